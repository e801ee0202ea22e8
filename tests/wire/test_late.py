"""A capture that begins late, or is cut: nothing is said of what it does not hold."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from analyzer.model import CaptureReport, Certainty, Code, Session
from tests.wire.frames import TCP, Frame, checksum, pcap
from tests.wire.handed import GENUINE, genuine, original, report, verdicts

FIN, SYN, RST, ACK = 1, 2, 4, 16
TCP_CASES = [name for name in GENUINE if name.startswith("tcp-")]
#: Codes that say what did not come: none of them can be known of a connection whose beginning was not captured.
UNSEEN = {Code.NO_NONCE, Code.CLOSED_BEFORE_NONCE, Code.NO_IDENTITY, Code.CONNECT_REFUSED, Code.CONNECT_UNANSWERED}


def flags(item: Frame) -> int:
    return item.data[item.l4 + 13] if item.protocol == TCP else 0


def flow(item: Frame) -> frozenset[tuple[bytes, int]]:
    source, port, destination, to = item.ends
    return frozenset({(source, port), (destination, to)})


def known(name: str) -> set[Code]:
    return {session.verdict.code for keyed in (True, False) for session in original(name, keyed).sessions}


def allowed(session: Session, truth: set[Code]) -> bool:
    """Its verdict is one of ``truth``, or leaves that open."""
    verdict = session.verdict
    if verdict.code in truth or verdict.code is Code.CAPTURE_INCOMPLETE:
        return True
    return verdict.certainty is not Certainty.PROVEN and bool(truth & set(verdict.alternatives))


def texts(session: Session) -> str:
    return "\n".join([session.verdict.summary, *(item.text for item in session.verdict.evidence)])


@pytest.mark.parametrize("name", TCP_CASES)
def test_a_capture_that_begins_at_any_packet(name: str) -> None:
    link, frames = genuine(name)
    frames = frames[:48]
    truth = known(name) | {session.verdict.code for session in report(pcap(link, frames), name).sessions}
    begun = 0
    for at in range(1 + len(name) % 3, len(frames), 3):
        rest = frames[at:]
        found = report(pcap(link, rest), name)
        for session in found.sessions:
            ends = {(session.device.address, session.device.port)}
            opened = any(
                flags(item) & SYN
                for item in rest
                if (".".join(map(str, item.ends[0])), item.ends[1]) in ends or not ends
            ) or any(flags(item) & SYN for item in rest if (".".join(map(str, item.ends[2])), item.ends[3]) in ends)
            assert allowed(session, truth), (at, session.verdict)
            if not opened and session.device.port:
                begun += 1
                assert session.verdict.code not in UNSEEN, (at, session.verdict)
                assert "is accepted" not in texts(session)
                assert "accepts the connection" not in texts(session)
    assert begun or name in {"tcp-11-no-synack", "tcp-12-syn-refused"} | set(TCP_CASES[:0]), "no connection began late"


def test_a_capture_that_begins_at_the_384_bytes() -> None:
    """They are not taken for a nonce, and what a key says of them stands."""
    mismatches = 0
    for name in TCP_CASES:
        link, frames = genuine(name)
        at = next((n for n, item in enumerate(frames) if item.protocol == TCP and item.end - item.payload == 384), None)
        if at is None or len(frames[at].data) < frames[at].wire:
            continue
        (first, *_) = report(pcap(link, frames[at:]), name).sessions
        stages = {stage.stage: stage.bytes for stage in first.stages}
        if first.first_frame == 1 and "mid" not in name:
            assert (stages.get("session-key"), stages.get("nonce", 0), stages.get("identity", 0)) in {
                (384, 0, 0),
                (0, 0, 0),
                (None, 0, 0),
            }
        assert "nonce" not in first.verdict.summary
        assert allowed(first, known(name))
        mismatches += first.verdict.code is Code.DEVICE_KEY_MISMATCH
    assert mismatches


@pytest.mark.parametrize("kind", [FIN, RST])
def test_a_capture_of_nothing_but_the_end(kind: int) -> None:
    for name in TCP_CASES:
        link, frames = genuine(name)
        ends = [item for item in frames if flags(item) & kind]
        for item in ends[:1]:
            for session in report(pcap(link, [item]), name).sessions:
                assert session.verdict.code is Code.CAPTURE_INCOMPLETE, name
        if kind == FIN and name == "tcp-01a-good-brewskey-fw063":
            assert ends


def _cut(name: str, snap: int, keyed: bool) -> CaptureReport:
    link, frames = genuine(name)
    return report(pcap(link, frames, snap=snap), name, keyed)


@pytest.mark.parametrize("name", TCP_CASES)
def test_snap_lengths(name: str) -> None:
    """Each case at five lengths from 42 to 400, which are others in each case."""
    truth = known(name)
    number = TCP_CASES.index(name)
    for snap in (42, 54, *(55 + (number * 7 + step * 92) % 345 for step in range(3))):
        for keyed in (True, False):
            found = _cut(name, snap, keyed)
            for session in found.sessions:
                assert allowed(session, truth), (snap, keyed, session.verdict)
                assert session.verdict.certainty is not Certainty.PROVEN or session.verdict.code in truth
            cut = any(item.wire > min(snap, len(item.data)) for item in genuine(name)[1])
            assert ("snap-length" in {problem.code for problem in found.problems}) is cut
            assert found.sessions or {"cut-packets", "snap-length"} & {problem.code for problem in found.problems}


@pytest.mark.parametrize(
    ("name", "snap"),
    [
        ("dtls-11c-resumed-cloud-forgot", 63),  # a ClientHello shows no more than its record's header
        ("dtls-11c-resumed-cloud-forgot", 67),  # and no more than its own
        ("dtls-16b-app-record-corrupted-to-device", 76),  # the altered record is not there
        ("dtls-17-gnutls-server-certificate-refused", 152),  # of the Certificate its kind is
        ("dtls-30-engine-222e", 57),  # how long a connection id is is not
        ("dtls-30-engine-222e", 159),  # the Finished is not
        ("dtls-30-engine-222e", 300),
    ],
)
def test_snap_lengths_of_datagrams(name: str, snap: int) -> None:
    for keyed in (True, False):
        truth = {session.first_frame: session.verdict.code for session in original(name, keyed).sessions}
        found = _cut(name, snap, keyed).sessions
        assert found
        for session in found:
            code = truth[session.first_frame]
            healthy_too = {code, Code.HEALTHY} if code is Code.RECORD_CORRUPT else {code}
            assert allowed(session, healthy_too), (keyed, session.verdict)
            assert session.verdict.certainty is not Certainty.PROVEN or session.verdict.code is code


@pytest.mark.parametrize("name", [name for name in GENUINE if name.startswith("dtls-")])
@pytest.mark.parametrize("snap", [42, 54])
def test_datagrams_without_their_bytes_are_not_lost_without_a_word(name: str, snap: int) -> None:
    found = _cut(name, snap, True)
    if not genuine(name)[1]:
        pytest.skip("an empty capture")
    if not found.sessions:
        assert found.status == "partial"
        assert "cut-conversations" in {problem.code for problem in found.problems}
    assert all(session.verdict.certainty is not Certainty.PROVEN for session in found.sessions)


def test_a_blank_key_is_not_excluded_by_bytes_that_are_not_there() -> None:
    for session in _cut("tcp-26a-blank-server-key-brewskey", 96, True).sessions:
        assert Code.SERVER_KEY_ERASED in session.verdict.alternatives


# -- ports in TIME-WAIT, clocks ----------------------------------------------------------------------------------------


def _segment(like: Frame, ns: int, sequence: int, acknowledgement: int, kind: int) -> Frame:
    """A segment without data between the ends of ``like``."""
    data = bytearray(like.data[: like.l4 + 20])
    data[like.ip + 2 : like.ip + 4] = (like.l4 - like.ip + 20).to_bytes(2, "big")
    data[like.ip + 10 : like.ip + 12] = b"\0\0"
    data[like.ip + 10 : like.ip + 12] = checksum(bytes(data[like.ip : like.l4])).to_bytes(2, "big")
    data[like.l4 + 4 : like.l4 + 14] = struct.pack("!IIBB", sequence, acknowledgement, 0x50, kind)
    data[like.l4 + 16 : like.l4 + 20] = bytes(4)
    pseudo = bytes(data[like.ip + 12 : like.ip + 20]) + struct.pack("!BBH", 0, TCP, 20)
    data[like.l4 + 16 : like.l4 + 18] = checksum(pseudo + bytes(data[like.l4 :])).to_bytes(2, "big")
    return replace(like, ns=ns, data=bytes(data), wire=len(data))


@pytest.mark.parametrize("name", TCP_CASES)
def test_a_port_that_is_still_in_time_wait(name: str) -> None:
    """SYN, an acknowledgement of the old connection, RST, and the SYN again (RFC 9293 3.10.7.4)."""
    link, frames = genuine(name)
    if name in {"tcp-19-mid-session"}:
        pytest.skip("no SYN in it")
    seen: list[Frame] = []
    answered = {flow(item) for item in frames if flags(item) & (SYN | ACK) == SYN | ACK}
    done: set[frozenset[tuple[bytes, int]]] = set()
    for item in frames:
        if flags(item) & (SYN | ACK) == SYN and flow(item) in answered - done:
            done.add(flow(item))
            number = int.from_bytes(item.data[item.l4 + 4 : item.l4 + 8], "big")
            reply = next(
                other for other in frames if flow(other) == flow(item) and flags(other) & (SYN | ACK) == SYN | ACK
            )
            old = (number - 900_000_000) & 0xFFFFFFFF
            seen += [
                item.at(item.ns - 300_000),
                _segment(reply, item.ns - 200_000, 77_000_000, old, ACK),
                _segment(item, item.ns - 100_000, old, 0, RST),
            ]
        seen.append(item)
    seen.sort(key=lambda item: item.ns)
    found = report(pcap(link, seen), name)
    assert verdicts(found) == verdicts(original(name))
    assert not any(
        finding.code == "middlebox-reset" for session in found.sessions for finding in session.findings
    ) or any(finding.code == "middlebox-reset" for session in original(name).sessions for finding in session.findings)


@pytest.mark.parametrize("name", GENUINE)
def test_coarse_clocks(name: str) -> None:
    tick = (10_000_000, 15_625_000)[GENUINE.index(name) % 2]
    link, frames = genuine(name)
    coarse = [item.at(item.ns // tick * tick) for item in frames]
    codes = [code for code, _ in verdicts(report(pcap(link, coarse), name))]
    assert codes == [code for code, _ in verdicts(original(name))]


@pytest.mark.parametrize("name", GENUINE)
def test_no_clock_at_all(name: str) -> None:
    """All times are equal: the order in the file is all there is."""
    link, frames = genuine(name)
    truth = known(name)
    for session in report(pcap(link, [item.at(frames[0].ns) for item in frames]), name).sessions:
        assert allowed(session, truth), session.verdict
        assert session.verdict.certainty is not Certainty.PROVEN or session.verdict.code in truth


@pytest.mark.parametrize("name", [name for name in GENUINE if name.startswith("dtls-0") or name.startswith("dtls-1")])
def test_a_capture_that_begins_within_a_dtls_handshake(name: str) -> None:
    """What is left of one handshake is not taken for part of the next: no answer is called altered for that."""
    link, frames = genuine(name)
    frames = frames[:40]
    truth = known(name) | {session.verdict.code for session in report(pcap(link, frames), name).sessions}
    for at in range(1, min(len(frames), 12)):
        for session in report(pcap(link, frames[at:]), name).sessions[:1]:
            assert allowed(session, truth), (at, session.verdict)
