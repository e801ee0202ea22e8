"""UDP conversations to cases: which DTLS is a device's, what an attempt is called by, how it ended."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from analyzer.keys import KeyRing, load_keys
from analyzer.model import Session
from analyzer.pipeline import Options, analyze_capture
from captures.synth.dtls import V216
from captures.synth.keys import slot
from captures.synth.talk import CLOUD, DEVICE, UdpTalk
from tests.analyzer.dtls_lab import judged, scene
from tests.dissectors.dtls.test_profile import OPENSSL

CAPTURES = Path(__file__).resolve().parents[2] / "captures"


def sessions(case: str, *keys: str) -> tuple[Session, ...]:
    folder = CAPTURES / case
    ring = load_keys([folder / key for key in keys]) if keys else KeyRing()
    return analyze_capture(folder / "capture.pcap", ring).sessions


@pytest.mark.parametrize("case", sorted(path.name for path in CAPTURES.glob("synth-other-*")))
def test_other_protocols_give_no_session(case: str):
    assert sessions(case) == ()


@pytest.mark.parametrize("name", OPENSSL)
@pytest.mark.parametrize("port", [5684, 4433])
def test_other_dtls_clients_give_no_session_even_when_answered(tmp_path: Path, name: str, port: int):
    play = scene("other client", port=port)
    play.udp.say(DEVICE, bytes.fromhex(OPENSSL[name]))
    play.reply()
    play.send(CLOUD, *play.hs.server_flight())
    assert judged(play.trace, {}, tmp_path) == ()


def test_a_device_on_an_unknown_port_is_known_by_its_hello(tmp_path: Path):
    play = scene("unknown port", port=50123).handshake().greet()
    (session,) = judged(play.trace, {}, tmp_path)
    assert (session.protocol, session.cloud.port, session.device.role_source) == ("dtls", 50123, "content")


def test_a_port_given_by_the_user_makes_bare_records_a_session():
    from captures.synth.case import pcap

    play = scene("bare records", port=50123).handshake().greet()
    play.trace.frames.clear()
    play.trace.wait(30)
    play.ping().ping()
    raw = pcap(play.trace)
    assert analyze_capture(io.BytesIO(raw), KeyRing(), name="x").sessions == ()
    told = analyze_capture(io.BytesIO(raw), KeyRing(), Options(ports=(("udp", 50123),)), name="x").sessions
    assert [session.verdict.code.value for session in told] == ["capture-incomplete"]


@pytest.mark.parametrize(
    ("case", "keys", "source"),
    [
        ("dtls-01-good", ("keys", "sslkeys.log"), "hello"),
        ("dtls-02a-unknown-device-key-alert", ("keys",), "certificate"),
        ("dtls-11a-resumed-and-moved", (), "moved-record"),
        ("dtls-03-wrong-server-key-on-device", ("keys",), "only-device-in-keys"),
    ],
)
def test_a_device_is_named_by_the_best_evidence(case: str, keys: tuple[str, ...], source: str):
    for session in sessions(case, *keys):
        assert (session.device.id, session.device.id_source) == ("0a10aced202194944a042f01", source)


def test_the_cloud_s_copy_names_a_device_only_when_nothing_better_does(tmp_path: Path):
    play = scene("copy names").handshake().greet()
    name = play.ident.hex()
    copies = {f"{name}.cloud.pub.der": play.key.spki}
    (session,) = judged(play.trace, copies, tmp_path / "one")
    assert (session.device.id, session.device.id_source) == (name, "cloud-copy")
    # Swapped records: the copy is filed under another id, the device's own key under its own.
    swapped = {"00" * 11 + "ff.cloud.pub.der": play.key.spki, f"{name}.device.der": slot(play.key.sec1, 192)}
    (session,) = judged(play.trace, swapped, tmp_path / "two")
    assert (session.device.id, session.device.id_source) == (name, "certificate")


def test_attempts_of_one_flow_have_filters_that_part_them():
    first, second, *_ = sessions("dtls-03-wrong-server-key-on-device")
    assert first.filter == "(udp.stream eq 0) and frame.number ge 1 and frame.number le 7"
    assert second.filter == "(udp.stream eq 0) and frame.number ge 8 and frame.number le 14"
    (alone,) = sessions("dtls-01-good")
    assert alone.filter == "udp.stream eq 0"


def ending(session: Session) -> tuple[str, str]:
    return session.ending.by, session.ending.how.value


def test_how_it_ended():
    assert ending(sessions("dtls-02a-unknown-device-key-alert")[0]) == ("cloud", "alert")
    assert ending(sessions("dtls-03-wrong-server-key-on-device")[0]) == ("device", "silence")
    assert ending(sessions("dtls-04a-private-key-not-matching-silent")[0]) == ("device", "timeout")
    assert ending(sessions("dtls-09-icmp-port-unreachable")[-1]) == ("network", "icmp")
    assert ending(sessions("dtls-01-good")[0]) == ("capture", "capture-end")
    (closed,) = sessions("synth-dtls-closed")
    assert ending(closed) == ("cloud", "alert")
    assert closed.ending.after_s == pytest.approx(30, abs=0.5)


def test_repeats_and_icmp_are_incidents():
    session = sessions("dtls-03-wrong-server-key-on-device")[5]
    kinds = [incident.kind for incident in session.incidents]
    assert kinds == ["retransmission", "icmp"] * 4


def test_a_packet_captured_twice_counts_once(tmp_path: Path):
    """`-i any`: the same datagram on two interfaces, microseconds apart."""
    from captures.synth.case import pcap

    play = scene("twice", library=V216).handshake().greet()
    doubled = [
        copy
        for frame in play.trace.frames
        for copy in (frame, type(frame)(frame.time_ns + 9000, frame.data, frame.length))
    ]
    play.trace.frames = doubled
    (session,) = judged(pcap(play.trace), play.ticket() | {"a.keylog": play.secrets.keylog}, tmp_path)
    assert session.verdict.code.value == "healthy"
    assert session.incidents == ()
    assert len(session.messages) == 8


def test_two_flows_of_one_device_are_two_sessions(tmp_path: Path):
    play = scene("two flows").handshake().greet()
    play.udp = UdpTalk(play.trace, play.lab.device, play.lab.cloud, 40000, 5684)
    play.fresh()
    play.handshake().greet()
    found = judged(play.trace, play.ticket(), tmp_path)
    assert [session.device.port for session in found] == [5684, 40000]
    assert {session.device.id for session in found} == {play.ident.hex()}
