"""What is read out of a transcript: bytes at their place in the message, letters in the order of things."""

from __future__ import annotations

from dissectors.events import Direction, How, Status
from dissectors.lightssl.transcript import HISTORY_KEPT, Heard
from tests.lightssl_play import DOWN, IDENTITY, NONCE, SESSION_KEY, UP, Play, noise, record


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
