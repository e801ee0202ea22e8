"""What is read out of a transcript: bytes at their place in the message, letters in the order of things."""

from __future__ import annotations

import itertools

from dissectors.events import Direction, How, Status
from dissectors.lightssl import contiguous
from dissectors.lightssl.transcript import HISTORY_KEPT, Heard
from tests.lightssl_play import DOWN, IDENTITY, NONCE, SESSION_KEY, UP, Play, noise, record


def test_contiguous_gives_bytes_only_where_none_is_missing() -> None:
    message = SESSION_KEY
    play = Play().down(NONCE).up(IDENTITY).down(message[:150]).gap(DOWN, 20).down(message[170:300])
    step = play.gap(DOWN, 1).down(message[301:]).end().step("session-key")
    assert step is not None
    assert step.missing == 21
    for start, length in itertools.product(range(0, 384, 7), range(1, 384, 11)):
        whole = start + length <= 384
        hit = any(start < end and start + length > begin for begin, end in ((150, 170), (300, 301)))
        expected = message[start : start + length] if whole and not hit else None
        assert contiguous(step, start, length) == expected


def test_contiguous_of_a_whole_and_of_an_absent_step() -> None:
    told = Play().down(NONCE).end()
    nonce, identity = told.step("nonce"), told.step("identity")
    assert nonce is not None
    assert identity is not None
    assert contiguous(nonce, 0, 40) == NONCE
    assert contiguous(nonce, 1, 40) is None
    assert contiguous(identity, 0, 1) is None


def test_history_is_in_the_order_of_the_wire() -> None:
    play = Play().down(NONCE[:20]).gap(DOWN, 20).up(IDENTITY).down(SESSION_KEY).up(record(seed=4))
    play.gap(DOWN, 18).up(b"\xff\x10" + noise(20, 4)).close(DOWN, How.RST).close(UP, How.TIMEOUT)
    # The part that is missing completes the nonce, so both stand at one turn: the gap first.
    assert play.end().history == "gpIkHgMxE"


def test_session_row_counts_what_came_after_the_hellos() -> None:
    play = Play().greeting().up(record(seed=4)).down(record(seed=5))
    session = play.up(record(32, 6), b"\xff\xff" + noise(30, 7)).down(record(48, 8)).end().step("session")
    assert session is not None
    assert session.status is Status.SEEN
    assert dict(session.fields) == {
        "records_up": 2,
        "records_down": 1,
        "bytes": 34 + 32 + 50,
        "malformed": 1,
    }
    assert session.frames == (6, 8)
    assert (session.start_ns, session.time_ns) == (6_000_000, 8_000_000)


def test_heard_is_bounded_and_notes_once() -> None:
    heard = Heard()
    for turn in range(HISTORY_KEPT + 50):
        heard.happen(turn, "g", Direction.UP)
        heard.note("same")
    assert (len(heard.happened), heard.notes) == (HISTORY_KEPT, ["same"])
    assert heard.happened[0] == (0, "G")
