"""The machine: every stage, every way it goes wrong, and that nothing depends on how bytes are cut into segments."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dissectors.events import Direction, How, Mark, Status
from dissectors.lightssl import STAGES, LightSsl
from dissectors.lightssl.records import MAX_RECORDS
from tests.lightssl_play import (
    DOWN,
    IDENTITY,
    NONCE,
    SESSION_KEY,
    UP,
    Play,
    feed,
    genuine,
    noise,
    record,
    rows,
    substance,
)

SEEN, PARTIAL, MALFORMED, ABSENT = Status.SEEN, Status.PARTIAL, Status.MALFORMED, Status.ABSENT
GENUINE = genuine()
GOOD = GENUINE["01c_good_sparkprotocol_fw063"]


# Whole sessions


def test_a_good_session_has_every_stage() -> None:
    play = Play().greeting().up(record(seed=4)).down(record(seed=5)).up(record(48, 6)).close(UP).close(DOWN)
    told = play.end()
    assert rows(told) == [
        ("nonce", SEEN, 40, 0),
        ("identity", SEEN, 256, 0),
        ("session-key", SEEN, 384, 0),
        ("device-hello", SEEN, 18, 0),
        ("cloud-hello", SEEN, 18, 0),
        ("session", SEEN, 0, 0),
    ]
    assert [step.frames for step in told.steps] == [(1,), (2,), (3,), (4,), (5,), (6,)]
    assert told.history == "nIkHhRFf"
    assert told.notes == ()
    assert [(r.direction, r.index, len(r.fragment), r.after_gap) for r in told.records] == [
        (UP, 0, 16, False),
        (DOWN, 0, 16, False),
        (UP, 1, 48, False),
    ]


def test_the_rows_follow_the_table() -> None:
    told = GOOD.play(LightSsl(start_seen=True))
    assert [step.stage for step in told.steps] == [stage.name for stage in STAGES]
    for step, stage in zip(told.steps, STAGES, strict=True):
        assert step.direction is stage.direction
        if stage.size:
            assert len(step.data) == stage.size


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (0, [("nonce", ABSENT)]),
        (1, [("nonce", SEEN), ("identity", ABSENT)]),
        (2, [("nonce", SEEN), ("identity", SEEN), ("session-key", ABSENT)]),
        (3, [("nonce", SEEN), ("identity", SEEN), ("session-key", SEEN), ("device-hello", ABSENT)]),
    ],
)
def test_the_first_stage_that_did_not_come_is_a_row(stop: int, expected: list[tuple[str, Status]]) -> None:
    play = Play()
    for direction, data in [(DOWN, NONCE), (UP, IDENTITY), (DOWN, SESSION_KEY)][:stop]:
        play.machine.receive(direction, data, Mark((1,), 1))
    told = play.close(DOWN).end()
    assert [(step.stage, step.status) for step in told.steps] == expected


@pytest.mark.parametrize("size", range(1, 40))
def test_a_nonce_cut_short(size: int) -> None:
    told = Play().down(NONCE[:size]).close(DOWN).end()
    assert rows(told) == [("nonce", PARTIAL, size, 0), ("identity", ABSENT, 0, 0)]


@pytest.mark.parametrize("size", [1, 128, 200, 255, 256, 326, 327, 328, 329, 383])
def test_a_session_key_cut_short_and_the_sizes_that_name_their_cause(size: int) -> None:
    step = Play().down(NONCE).up(IDENTITY).down(SESSION_KEY[:size]).close(DOWN).end().step("session-key")
    assert step is not None
    assert (step.status, len(step.data), step.missing) == (PARTIAL, size, 0)
    causes = {256: "server-key-1024-bits"} | dict.fromkeys((326, 327, 328), "signature-instead-of-ciphertext")
    assert step.fields.get("odd_size") == causes.get(size)


def test_a_session_key_cut_by_a_gap_names_no_cause() -> None:
    step = Play().down(NONCE).up(IDENTITY).down(SESSION_KEY[:256]).gap(DOWN, 128).end().step("session-key")
    assert step is not None
    assert (step.status, step.missing, "odd_size" in step.fields) == (PARTIAL, 128, False)


# Genuine firmware


@pytest.mark.parametrize("start_seen", [True, None])
@pytest.mark.parametrize(
    ("name", "history", "notes"),
    [
        ("01c_good_sparkprotocol_fw063", "nIkHhRrRRRRrrrrRrRrRrFf", ()),
        ("01h_good_core_style", "nIkHhRrRRRRrrrrRrRrFf", ()),
        ("14f_corrupt_length_prefix", "nIkHhRrRRRRRmrrFXrXrX", ("malformed-record",)),
        ("26a_blank_server_key_brewskey", "nIfF", ()),
        ("07a_captive_portal_302", "mmIfF", ("not-the-cloud",)),
    ],
)
def test_genuine_histories(name: str, history: str, notes: tuple[str, ...], start_seen: bool | None) -> None:
    told = GENUINE[name].play(LightSsl(start_seen=start_seen))
    assert told.history == history
    assert told.notes == notes


def test_genuine_mid_session_is_recognised_by_content() -> None:
    told = GENUINE["19_mid_session"].play(LightSsl())
    assert told.notes == ("mid-session-start",)
    assert [(step.stage, step.status) for step in told.steps] == [
        *((stage.name, ABSENT) for stage in STAGES[:-1]),
        ("session", SEEN),
    ]
    assert [record.after_gap for record in told.records if record.index == 0] == [True, True]


def test_genuine_packets_cut_at_96_bytes_keep_every_stage_at_its_place() -> None:
    told = GENUINE["20a_snaplen96_good"].play(LightSsl(start_seen=True))
    assert rows(told)[:5] == [
        ("nonce", PARTIAL, 30, 10),
        ("identity", PARTIAL, 30, 226),
        ("session-key", PARTIAL, 30, 354),
        ("device-hello", SEEN, 18, 0),
        ("cloud-hello", SEEN, 18, 0),
    ]


def test_genuine_redirect_is_quoted() -> None:
    told = GENUINE["07a_captive_portal_302"].play(LightSsl(start_seen=True))
    nonce = told.step("nonce")
    assert nonce is not None
    assert nonce.status is MALFORMED
    assert nonce.fields["looks_like"] == "http"
    assert nonce.fields["status"] == 302
    assert str(nonce.fields["location"]).startswith("http://login.guest.example/hotspot")
    identity = told.step("identity")
    assert identity is not None
    assert (identity.status, len(identity.data)) == (SEEN, 256)


# Any segmentation


def _cuts(pieces: tuple[tuple[Direction, bytes | int | How], ...], at: list[int]) -> list[tuple[Direction, object]]:
    """The same streams, each run of bytes cut anew at the given places."""
    runs: list[tuple[Direction, bytes | int | How]] = []
    for direction, what in pieces:
        if runs and isinstance(what, bytes) and runs[-1][0] is direction and isinstance(runs[-1][1], bytes):
            runs[-1] = (direction, runs[-1][1] + what)
        else:
            runs.append((direction, what))
    cut: list[tuple[Direction, object]] = []
    numbers = itertools.cycle(at)
    for direction, what in runs:
        if isinstance(what, bytes):
            while what:
                size = next(numbers)
                cut.append((direction, what[:size]))
                what = what[size:]
        else:
            cut.append((direction, what))
    return cut


@pytest.mark.parametrize("name", GENUINE)
@settings(max_examples=60, deadline=None)
@given(at=st.lists(st.integers(1, 300), min_size=1, max_size=40), start_seen=st.sampled_from([True, None]))
def test_any_segmentation_gives_the_same_transcript(name: str, at: list[int], start_seen: bool | None) -> None:
    expected = GENUINE[name].play(LightSsl(start_seen=start_seen))
    machine = LightSsl(start_seen=start_seen)
    for frame, (direction, what) in enumerate(_cuts(GENUINE[name].pieces, at)):
        feed(machine, direction, what, Mark((frame,), frame))  # type: ignore[arg-type]
    assert substance(machine.transcript()) == substance(expected)


@settings(max_examples=60, deadline=None)
@given(
    damage=st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=60)), max_size=4),
    at=st.lists(st.integers(1, 90), min_size=1, max_size=20),
    start_seen=st.sampled_from([True, None]),
)
def test_any_segmentation_of_a_damaged_session_gives_the_same_transcript(
    damage: list[tuple[int, bytes]], at: list[int], start_seen: bool | None
) -> None:
    """Damage overwrites bytes of both directions: lengths break, boundaries are searched, and still cuts do not matter."""
    pieces = []
    for direction in (DOWN, UP):
        whole = bytearray(b"".join(w for d, w in GOOD.pieces if d is direction and isinstance(w, bytes)))
        for offset, junk in damage:
            whole[offset : offset + len(junk)] = junk
        pieces.append((direction, bytes(whole)))
    tellings = []
    for sizes in (at, [100_000]):
        machine = LightSsl(start_seen=start_seen)
        for frame, (direction, what) in enumerate(_cuts(tuple(pieces), sizes)):
            feed(machine, direction, what, Mark((frame,), frame))  # type: ignore[arg-type]
        tellings.append(substance(machine.transcript()))
    assert tellings[0] == tellings[1]


@settings(max_examples=40, deadline=None)
@given(at=st.lists(st.integers(1, 120), min_size=1, max_size=12))
def test_frames_of_a_step_are_exactly_those_that_brought_its_bytes(at: list[int]) -> None:
    """The oracle counts bytes per direction, knowing the sizes only."""
    machine = LightSsl(start_seen=True)
    position = {UP: 0, DOWN: 0}
    expected: dict[str, list[int]] = {"nonce": [], "identity": [], "session-key": []}
    spans = {DOWN: {"nonce": (0, 40), "session-key": (40, 424)}, UP: {"identity": (0, 256)}}
    for frame, (direction, what) in enumerate(_cuts(GOOD.pieces, at), 1):
        feed(machine, direction, what, Mark((frame,), frame))  # type: ignore[arg-type]
        if isinstance(what, bytes):
            begin, end = position[direction], position[direction] + len(what)
            position[direction] = end
            for stage, (first, last) in spans[direction].items():
                if begin < last and end > first:
                    expected[stage].append(frame)
    told = machine.transcript()
    for stage, frames in expected.items():
        step = told.step(stage)
        assert step is not None
        assert list(step.frames) == frames
        assert (step.start_ns, step.time_ns) == (frames[0], frames[-1])


# Any bytes


_PIECE = st.one_of(
    st.binary(max_size=600),
    st.integers(-5, 2**40),
    st.sampled_from(How),
    st.sampled_from([NONCE, IDENTITY, SESSION_KEY, record(), record(640), b"HTTP/1.1 302 Found\r\n", b"\x00\x10"]),
)


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(st.tuples(st.sampled_from(Direction), _PIECE), max_size=30),
    start_seen=st.sampled_from([True, False, None]),
)
def test_whatever_comes_is_a_transcript(
    pieces: list[tuple[Direction, bytes | int | How]], start_seen: bool | None
) -> None:
    machine = LightSsl(start_seen=start_seen)
    for frame, (direction, what) in enumerate(pieces):
        feed(machine, direction, what, Mark((frame,), frame))
    told = machine.transcript()
    assert told == machine.transcript()
    for stage in STAGES:
        step = told.step(stage.name)
        if step is not None and stage.size is not None:
            assert len(step.data) + step.missing <= stage.size
            assert (step.status is SEEN) <= (len(step.data) == stage.size)
    for direction in Direction:
        sent = sum(len(w) for d, w in pieces if d is direction and isinstance(w, bytes))
        steps = [told.step(stage.name) for stage in STAGES if stage.direction is direction and stage.size]
        kept = sum(len(step.data) for step in steps if step)
        kept += sum(len(r.header + r.fragment) for r in told.records if r.direction is direction)
        assert kept <= sent


def test_every_truncation_of_a_good_session() -> None:
    """Cut after every byte of the cloud's stream: what is told is a prefix of the whole story, never more."""
    stream = b"".join(w for d, w in GOOD.pieces if d is DOWN and isinstance(w, bytes))
    whole = Play().down(stream).end()
    for size in range(len(stream)):
        told = Play().down(stream[:size]).end()
        for step in told.steps:
            if step.status is SEEN and step.stage != "session":
                full = whole.step(step.stage)
                assert full is not None
                assert step.data == full.data
        complete = [r for r in told.records if r.status is SEEN]
        assert [r.fragment for r in complete] == [r.fragment for r in whole.records[: len(complete)]]


def test_pieces_after_the_transcript_are_ignored() -> None:
    play = Play().greeting()
    told = play.end()
    assert play.up(record()).end() is told


# Gaps


@pytest.mark.parametrize(
    ("start", "length"), [(0, 5), (0, 40), (10, 10), (39, 1), (30, 30), (0, 200), (100, 50), (0, 424), (40, 384)]
)
def test_a_gap_in_the_clouds_handshake_is_counted_at_its_place(start: int, length: int) -> None:
    stream = NONCE + SESSION_KEY + record(seed=5)
    play = Play()
    if start:
        play.down(stream[:start])
    told = play.gap(DOWN, length).up(IDENTITY).down(stream[start + length :]).end()
    in_nonce = max(0, min(start + length, 40) - start) if start < 40 else 0
    in_key = length - in_nonce
    nonce, key, hello = told.step("nonce"), told.step("session-key"), told.step("cloud-hello")
    assert nonce is not None
    assert key is not None
    assert hello is not None
    assert (nonce.missing, key.missing) == (in_nonce, in_key)
    assert nonce.status is (PARTIAL if in_nonce else SEEN)
    assert key.status is (PARTIAL if in_key else SEEN)
    assert nonce.data + key.data == stream[:start] + stream[start + length : 424]
    assert (hello.status, hello.data) == (SEEN, record(seed=5))


def test_cut_packets_are_noted() -> None:
    assert "cut-packets" in Play().down(NONCE[:30]).gap(DOWN, 10, cut=True).end().notes
    assert "cut-packets" not in Play().down(NONCE[:30]).gap(DOWN, 10).end().notes


def test_a_hello_lost_in_a_gap_is_partial_and_no_later_record_is_taken_for_it() -> None:
    play = Play().greeting().gap(UP, 18).up(record(48, 4), record(16, 5), record(16, 6))
    told = play.end()
    hello, session = told.step("device-hello"), told.step("session")
    assert hello is not None
    assert session is not None
    assert (hello.status, hello.missing, hello.data) == (PARTIAL, 18, b"")
    assert session.fields["records_up"] == 3
    assert told.history == "nIkGRRR"


# Out of turn


def test_a_device_that_speaks_first_is_counted_and_its_identity_kept() -> None:
    told = Play().up(IDENTITY).down(NONCE, SESSION_KEY).end()
    identity = told.step("identity")
    assert identity is not None
    assert (identity.status, identity.fields["early_bytes"]) == (SEEN, 256)
    assert "device-spoke-first" in told.notes


def test_bytes_beyond_the_identity_before_any_session_key() -> None:
    told = Play().down(NONCE).up(IDENTITY + record(seed=4)).down(SESSION_KEY).end()
    hello = told.step("device-hello")
    assert hello is not None
    assert (hello.status, hello.fields["early_bytes"]) == (SEEN, 18)
    assert told.notes == ("bytes-before-session-key",)


def test_a_session_key_before_the_identity() -> None:
    step = Play().down(NONCE + SESSION_KEY).up(IDENTITY).end().step("session-key")
    assert step is not None
    assert step.fields["early_bytes"] == 384


def test_forty_bytes_from_the_other_side_look_like_reversed_roles() -> None:
    told = Play().up(NONCE).down(IDENTITY).up(SESSION_KEY).end()
    assert {"device-spoke-first", "roles-look-reversed"} <= set(told.notes)
    assert "roles-look-reversed" not in Play().up(IDENTITY).down(NONCE).end().notes


def test_a_second_nonce_on_the_same_connection() -> None:
    """An old Core that failed keeps the socket and waits for another nonce (device firmware spark_11)."""
    again = noise(40, 77)
    told = Play().greeting().down(again).up(noise(256, 78)).close(UP).end()
    assert "second-nonce" in told.notes
    hello = told.step("cloud-hello")
    assert hello is not None
    assert (hello.status, hello.fields["second_nonce"], hello.data) == (MALFORMED, True, again)
    assert "second-nonce" not in Play().greeting().down(noise(41, 77)).end().notes


def test_a_stray_ping_is_no_hello() -> None:
    """`openssl enc -aes-128-cbc -K 0 -iv 0` of 40 00 00 01: what a Core without a session key sends."""
    ping = bytes.fromhex("0010" + STRAY_PING)
    told = Play().greeting().up(ping).end()
    hello = told.step("device-hello")
    assert hello is not None
    assert (hello.status, hello.fields.get("stray_ping")) == (MALFORMED, True)
    assert "stray-ping" in told.notes
    assert told.history == "nIkR"


STRAY_PING = "d495951e50f38d7362594d4bb629a0e8"


# What is not the cloud


def test_silence_about_the_device_when_the_cloud_is_foreign() -> None:
    page = b"HTTP/1.1 200 OK\r\n\r\n" + b"<html><title>Sign in</title>" + b"x" * 2000
    told = Play().down(page).up(IDENTITY).end()
    assert [(step.stage, step.status) for step in told.steps] == [
        ("nonce", MALFORMED),
        ("identity", SEEN),
        ("session-key", MALFORMED),
    ]
    assert told.records == ()
    assert "malformed-record" not in told.notes


def test_a_foreign_banner_shorter_than_a_nonce() -> None:
    nonce = Play().down(b"SSH-2.0-OpenSSH_9.2\r\n").close(DOWN).end().step("nonce")
    assert nonce is not None
    assert (nonce.status, nonce.fields["looks_like"]) == (MALFORMED, "ssh")


def test_a_dull_nonce_is_still_a_nonce() -> None:
    """A bad random generator is no other protocol."""
    told = Play().down(bytes(40)).up(IDENTITY).down(SESSION_KEY).end()
    nonce = told.step("nonce")
    assert nonce is not None
    assert (nonce.status, nonce.fields["looks_random"]) == (SEEN, False)
    assert "not-the-cloud" not in told.notes


def test_text_where_the_session_key_belongs() -> None:
    error = b"<html><head><title>502 Bad Gateway</title></head></html>\r\n"
    step = Play().down(NONCE).up(IDENTITY).down(error).close(DOWN).end().step("session-key")
    assert step is not None
    assert (step.status, step.fields["looks_like"]) == (MALFORMED, "html")


# Where the capture begins


def test_a_nonce_that_begins_like_a_record_is_a_nonce() -> None:
    """One nonce in 900 begins with a possible length; with the start unknown its bytes are held until it is clear."""
    nonce = b"\x00\x30" + noise(38, 5)
    for start_seen in (True, None):
        told = Play(start_seen).down(nonce).up(IDENTITY).down(SESSION_KEY).up(record(seed=4)).down(record()).end()
        assert told.history == "nIkHh", start_seen


def test_one_record_each_way_without_a_start_is_mid_session() -> None:
    told = Play(None).up(record(16, 3)).down(record(16, 4)).end()
    assert told.notes == ("mid-session-start",)
    assert told.history == "Rr"


def test_the_same_bytes_from_a_start_that_was_seen_are_no_records() -> None:
    told = Play(True).up(record(16, 3)).down(record(16, 4)).end()
    assert told.records == ()
    assert told.steps[0].status is PARTIAL


def test_mid_session_may_begin_inside_a_record() -> None:
    tail = record(64, 3)[20:]
    told = Play(None).up(tail).down(record(16, 4), record(16, 5)).up(record(16, 6), record(16, 7), record(32, 8)).end()
    up = [(r.status, len(r.fragment), r.after_gap) for r in told.records if r.direction is UP]
    assert up == [(PARTIAL, 46, True), (SEEN, 16, True), (SEEN, 16, False), (SEEN, 32, False)]


def test_a_capture_that_begins_after_the_nonce() -> None:
    told = Play(None).up(IDENTITY).down(SESSION_KEY).up(record(16, 4)).down(record(16, 5)).end()
    assert told.notes[0] == "nonce-not-captured"
    assert [(s.stage, s.status) for s in told.steps][:4] == [
        ("nonce", ABSENT),
        ("identity", SEEN),
        ("session-key", SEEN),
        ("device-hello", SEEN),
    ]


def test_one_direction_only() -> None:
    told = Play(True).up(IDENTITY + record(16, 4) + record(32, 5)).close(UP).end()
    assert [(s.stage, s.status) for s in told.steps] == [
        ("nonce", ABSENT),
        ("identity", SEEN),
        ("session-key", ABSENT),
        ("device-hello", SEEN),
        ("cloud-hello", ABSENT),
        ("session", SEEN),
    ]
    assert "bytes-before-session-key" not in told.notes


# Bounds


def test_memory_does_not_grow_with_noise() -> None:
    """Ten megabytes of garbage after the handshake leave two kilobytes and a count."""
    play = Play().greeting()
    chunk = noise(1 << 16, 4)
    for _ in range(160):
        play.up(chunk)
    told = play.end()
    assert sum(len(r.fragment) for r in told.records) < 4096
    session = told.step("session") or told.step("device-hello")
    assert session is not None
    assert len(told.records) <= 3


def test_memory_does_not_grow_while_the_start_is_unknown() -> None:
    play = Play(None)
    for seed in range(64):
        play.down(noise(1 << 16, seed))
    assert play.machine._held == []
    told = play.end()
    assert told.step("nonce") is not None


def test_history_and_records_are_bounded() -> None:
    play = Play().greeting()
    burst = b"".join(record(16, seed) for seed in range(50))
    for _ in range(MAX_RECORDS // 50 + 2):
        play.up(burst)
    told = play.end()
    assert len(told.records) == MAX_RECORDS
    assert "records-not-kept" in told.notes
    assert len(told.history) <= 401
    assert told.history.endswith("+")


def test_nothing_secret_is_shown() -> None:
    told = GOOD.play(LightSsl(start_seen=True))
    shown = repr(told)
    assert NONCE.hex() not in shown
    assert repr(told.steps[0].data) not in shown
    assert repr(told.records[0].fragment) not in shown
