"""A log beside a capture: which attempt is which session, and whether they tell the same story."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.devicelog import align, attach, read_log
from analyzer.model import Certainty, Cloud, Code, Device, Ending, Finding, Session, Stage, Verdict
from analyzer.times import rfc3339
from dissectors.events import Direction, How, Status

LOGS = Path(__file__).resolve().parents[2] / "data" / "devicelogs"
SEED_002_DAY = 1_554_000_000_000_000_000
DIRECTIONS = {"nonce": Direction.DOWN, "session-key": Direction.DOWN, "cloud-hello": Direction.DOWN}


def session(
    number: int,
    start_s: float,
    seen: dict[str, float],
    *,
    absent: tuple[str, ...] = (),
    code: Code = Code.IDENTITY_REJECTED,
    device: str | None = None,
    address: str = "192.168.1.50",
    cloud: str = "34.237.141.248",
    transport: str = "tcp",
    base_ns: int = SEED_002_DAY,
) -> Session:
    stages = [Stage(name, Status.SEEN, DIRECTIONS.get(name, Direction.UP), offset_s=at) for name, at in seen.items()]
    stages += [Stage(name, Status.ABSENT, DIRECTIONS.get(name, Direction.UP)) for name in absent]
    return Session(
        id=f"s{number}",
        transport=transport,
        protocol="lightssl" if transport == "tcp" else "dtls",
        stream=number,
        filter="",
        device=Device(address, 50000 + number, device),
        cloud=Cloud(cloud, 5683),
        first_frame=number * 10 + 1,
        last_frame=number * 10 + 9,
        start_time=rfc3339(base_ns + round(start_s * 1e9)),
        duration_s=1.0,
        history="",
        stages=tuple(stages),
        attempts=(),
        messages=(),
        ending=Ending("cloud", How.FIN),
        verdict=Verdict(code, Certainty.UNDETERMINED, None, (), ""),
    )


#: The two sessions of thread 002 as a capture on the router would show them (its log's instants, plus some milliseconds).
def seed_sessions(cloud_1: str = "34.237.141.248", cloud_2: str = "54.159.170.67") -> list[Session]:
    rejected = {"absent": ("session-key",)}
    return [
        session(1, 304.450, {"connect": 0.115, "nonce": 0.239, "identity": 0.282}, cloud=cloud_1, **rejected),
        session(2, 336.945, {"connect": 0.110, "nonce": 0.303, "identity": 0.345}, cloud=cloud_2, **rejected),
    ]


def test_seed_002_is_laid_beside_its_capture_by_intervals_alone():
    log = read_log(LOGS / "seed-002.log")
    found = align(log, seed_sessions())
    assert {name: item.attempt for name, item in found.sessions.items()} == {"s1": 0, "s2": 1}
    assert all(item.agrees for item in found.sessions.values()) and not found.unmatched and not found.doubtful
    # The device's clock started at boot, whatever the time of day.
    assert found.offsets_s[0] == pytest.approx(SEED_002_DAY / 1e9, abs=0.05)


def test_lines_stand_beside_the_stages_they_belong_to():
    found = align(read_log(LOGS / "seed-002.log"), seed_sessions())
    lines = {line.text: line for line in found.sessions["s1"].lines}
    assert lines["Encrypting handshake nonce"].stage == "nonce" and lines["Encrypting handshake nonce"].agrees is True
    assert lines["Sending encrypted nonce"].stage == "identity"
    key = lines["Unable to receive key -19"]
    assert (key.file, key.line, key.time_ms, key.stage, key.agrees) == ("seed-002.log", 10, 304866, "session-key", True)


def test_attempts_and_sessions_that_the_other_side_lacks_stay_alone():
    log = read_log(LOGS / "seed-002.log")
    both = seed_sessions()
    assert set(align(log, both[1:]).sessions) == {"s2"} and align(log, both[1:]).unmatched == (0,)
    stranger = session(3, 320.0, {"connect": 0.1, "nonce": 0.2}, absent=("identity",), code=Code.NO_IDENTITY)
    found = align(log, [both[0], stranger, both[1]])
    assert {name: item.attempt for name, item in found.sessions.items()} == {"s1": 0, "s2": 1}


def test_a_log_that_says_otherwise_is_a_finding_with_its_reason():
    log = read_log(LOGS / "seed-002.log")
    good = [
        replace(
            item,
            stages=(
                *item.stages[:3],
                *session(9, 0, {"session-key": 0.4, "device-hello": 0.41, "cloud-hello": 0.5}).stages,
            ),
            verdict=replace(item.verdict, code=Code.HEALTHY),
        )
        for item in seed_sessions()
    ]
    found = align(log, good)
    assert [item.agrees for item in found.sessions.values()] == [False, False]
    finding = found.sessions["s1"].finding
    assert (finding.code, finding.certainty, finding.frames) == ("log-disagrees", Certainty.INFERRED, (11, 19))
    assert "Unable to receive key -19" in finding.summary and "the capture shows" in finding.summary


def test_a_capture_with_holes_contradicts_nothing_by_what_it_lacks():
    log = read_log(LOGS / "tcp-key-does-not-open.log")
    device = log.device_id
    whole = [
        session(1, 1.0, {"connect": 0.13, "nonce": 0.2, "identity": 0.201}, absent=("session-key",), device=device),
        session(2, 2.3, {"connect": 0.07, "nonce": 0.13, "identity": 0.131}, absent=("session-key",), device=device),
    ]
    assert "the 384 bytes came" in align(log, whole).sessions["s1"].finding.summary
    holes = [replace(item, findings=(Finding("one-direction-only", Certainty.INFERRED, ""),)) for item in whole]
    assert all(item.finding is None for item in align(log, holes).sessions.values())
    cut = [replace(item, verdict=replace(item.verdict, code=Code.CAPTURE_INCOMPLETE)) for item in whole]
    assert all(item.finding is None for item in align(log, cut).sessions.values())


def test_what_the_capture_proves_the_log_may_not_deny():
    log = read_log(LOGS / "tcp-bad-signature.log")
    proven = Verdict(Code.DEVICE_KEY_MISMATCH, Certainty.PROVEN, "session-key", (), "")
    stages = {"connect": 0.127, "nonce": 0.2, "identity": 0.201, "session-key": 0.29}
    wire = replace(session(1, 1.0, stages, device=log.device_id), verdict=proven)
    assert "logs a wrong signature (8)" in align(log, [wire]).sessions["s1"].finding.summary


def test_a_log_of_another_device_is_refused():
    log = read_log(LOGS / "tcp-closed-after-identity.log")
    found = align(log, [session(1, 1.0, {"connect": 0.1, "nonce": 0.2}, device="53001c001147343333343330")])
    assert not found.sessions
    assert "is the log of 300047001147343332373737" in found.findings[0].summary


def test_the_device_is_found_among_others_by_its_id_and_else_by_its_intervals():
    log = read_log(LOGS / "seed-002.log")
    others = [
        replace(
            item,
            id=f"x{item.id}",
            device=Device("192.168.1.77", 1),
            start_time=rfc3339(SEED_002_DAY + n * 7_100_000_000),
        )
        for n, item in enumerate([*seed_sessions(), *seed_sessions()])
    ]
    found = align(log, [*others, *seed_sessions()])
    assert set(found.sessions) == {"s1", "s2"}


def test_several_devices_in_one_log_each_find_their_own():
    log = read_log(LOGS / "dtls-several-devices.log")
    sessions = []
    for number, attempt in enumerate(log.attempts):
        if attempt.outcome == "unfinished":
            continue
        at = attempt.anchor_ms / 1000 + 3 * attempt.boot
        hello = attempt.time_of("device-hello")
        seen = {"client-hello": 0.0} | ({"device-hello": (hello - attempt.anchor_ms) / 1000} if hello else {})
        good = attempt.outcome == "connected"
        seen |= {"hello-ack": seen["device-hello"] + 0.001} if good else {}
        code = Code.HEALTHY if good else Code.HANDSHAKE_STALLED
        wire = session(
            number, at, seen, device=attempt.device_id, transport="udp", code=code, address=f"10.0.0.{attempt.boot}"
        )
        sessions.append(replace(wire, ending=Ending("device", How.ALERT)))
    found = align(log, sessions)
    assert {name: item.attempt for name, item in found.sessions.items()} == {
        item.id: int(item.id[1:]) for item in sessions
    }


def test_two_boots_keep_their_order():
    log = read_log(LOGS / "dtls-resumed-forgotten.log")
    first, lost, again = log.attempts
    gap = 40.0
    starts = [first.anchor_ms / 1000, gap + lost.anchor_ms / 1000, gap + again.anchor_ms / 1000]
    full = {"client-hello": 0.0, "device-hello": 0.012, "hello-ack": 0.013}
    wires = [
        session(1, starts[0], full, transport="udp", code=Code.HEALTHY),
        session(2, starts[1], {"resumed": 0.0}, transport="udp", code=Code.SESSION_LOST),
        session(3, starts[2], {**full, "device-hello": 0.022, "hello-ack": 0.023}, transport="udp", code=Code.HEALTHY),
    ]
    found = align(log, wires)
    assert {name: item.attempt for name, item in found.sessions.items()} == {"s1": 0, "s2": 1, "s3": 2}
    assert found.offsets_s[1] - found.offsets_s[0] == pytest.approx(gap, abs=0.05)


def test_lines_without_times_are_paired_in_order():
    lines = [line.split(": ", 1)[1] for line in (LOGS / "seed-002.log").read_text().splitlines()]
    found = align(read_log(lines, name="bare.log"), seed_sessions())
    assert {name: item.attempt for name, item in found.sessions.items()} == {"s1": 0, "s2": 1}


def test_attach_puts_lines_and_findings_into_the_sessions():
    log = read_log(LOGS / "seed-002.log")
    sessions, alignments = attach(seed_sessions(), [log])
    assert [bool(item.log) for item in sessions] == [True, True]
    assert sessions[0].log[0].file == "seed-002.log" and alignments[0].log == "seed-002.log"
    assert attach(seed_sessions(), []) == (tuple(seed_sessions()), ())


def test_no_secret_reaches_a_line():
    key = "3082025C02010002818100" + "DEADBEEF" * 16
    text = (
        (LOGS / "seed-002.log")
        .read_text()
        .replace("INFO: Receive key", f"INFO: device key: {key}\n0000304730 INFO: Receive key", 1)
    )
    sessions, _ = attach(seed_sessions(), [read_log(text.splitlines())])
    assert "DEADBEEF" not in repr(sessions) and "device key" not in repr(sessions[0].log)


@given(st.lists(st.tuples(st.floats(0, 1e5), st.sampled_from(["tcp", "udp"]), st.booleans()), max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_sessions_can_be_laid_beside_any_log(items):
    sessions = [
        session(n, at, {"connect": 0.1} if seen else {}, transport=transport, absent=("nonce",))
        for n, (at, transport, seen) in enumerate(items)
    ]
    for name in ("seed-002.log", "dtls-several-devices.log"):
        found = align(read_log(LOGS / name), sessions)
        used = [item.attempt for item in found.sessions.values()]
        assert len(used) == len(set(used))
        assert set(found.sessions) <= {item.id for item in sessions}
