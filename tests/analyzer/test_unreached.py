"""A device that asks for its cloud and never gets there: DNS failures, silence after the answer, the internet test."""

from __future__ import annotations

import html
from io import BytesIO
from pathlib import Path

import pytest

from analyzer.keys import KeyRing, load_keys
from analyzer.model import CaptureReport, Certainty, Code, Session
from analyzer.pipeline import analyze_capture, report_of
from analyzer.reports.grouping import nothing_found
from analyzer.reports.writing import Style, chunks
from analyzer.unreached import silent_devices
from captures.synth.case import Lab, pcap
from captures.synth.keys import server_slot
from captures.synth.names import clock, internet_test, resolve, resolve_tcp
from captures.synth.scene import Scene, sound
from captures.synth.talk import DEVICE, Host, TcpTalk, Trace, UdpTalk
from dissectors.events import Status

ID = "300047001147343332373737"


def report(trace: Trace, ring: KeyRing | None = None) -> CaptureReport:
    return analyze_capture(BytesIO(pcap(trace)), ring or KeyRing(), name="made.pcap")


def sessions(trace: Trace, ring: KeyRing | None = None) -> tuple[Session, ...]:
    return report(trace, ring).sessions


def later(lab: Lab, trace: Trace, seconds: float) -> None:
    """The capture goes on: somebody else's packet after that time."""
    trace.wait(seconds)
    other = Host.of("192.168.1.9", "02:00:00:00:00:09")
    UdpTalk(trace, other, lab.gateway, 50_000, 9999).say(DEVICE, b"hello")


@pytest.fixture
def lab() -> Lab:
    return Lab("test-unreached")


def test_dns_that_never_answers(lab: Lab):
    trace = lab.trace()
    for _ in range(3):
        resolve(lab, trace, "device.spark.io", ["203.0.113.10"], answer=False)
        trace.wait(4)
    later(lab, trace, 8)
    (session,) = sessions(trace)
    assert (session.verdict.code, session.verdict.certainty) == (Code.CONNECT_UNANSWERED, Certainty.INFERRED)
    assert session.verdict.stage == "name-resolution" and session.verdict.frames == (1, 2, 3)
    assert session.verdict.summary.startswith("The device asks for device.spark.io (3 times in ")
    assert "DNS does not answer" in session.verdict.summary
    assert session.cloud.host == "device.spark.io" and session.transport == "tcp" and session.protocol == "unknown"
    assert [(stage.stage, stage.status) for stage in session.stages] == [
        ("name-resolution", Status.PARTIAL),
        ("connect", Status.ABSENT),
    ]
    assert any("nslookup device.spark.io" in remedy.commands for remedy in session.verdict.remedy)
    assert any("2 orange" in line or "two" in line for line in session.verdict.device_shows)


def test_a_name_that_does_not_exist_needs_no_waiting(lab: Lab):
    trace = lab.trace()
    resolve(lab, trace, f"{ID}.v2.udp.particle.io", [], rcode=3)
    (session,) = sessions(trace)
    assert session.verdict.code is Code.CONNECT_UNANSWERED and "the name does not exist" in session.verdict.summary
    assert (session.device.id, session.device.id_source, session.transport) == (ID, "name", "udp")


def test_a_capture_that_ends_at_once_says_nothing(lab: Lab):
    trace = lab.trace()
    resolve(lab, trace, "device.spark.io", [], answer=False)
    later(lab, trace, 2)
    assert sessions(trace) == ()


def test_an_address_learnt_and_no_packet_to_it(lab: Lab):
    trace = lab.trace()
    resolve(lab, trace, f"{ID}.udp.particle.io", ["203.0.113.10"])
    later(lab, trace, 30)
    (session,) = sessions(trace)
    assert (session.verdict.code, session.verdict.certainty) == (Code.CAPTURE_INCOMPLETE, Certainty.UNDETERMINED)
    assert set(session.verdict.alternatives) >= {Code.DEVICE_KEY_CORRUPT, Code.SERVER_KEY_ERASED}
    assert session.verdict.stage == "client-hello" and session.cloud.address == "203.0.113.10"


def test_a_key_file_that_does_not_parse_explains_the_silence(lab: Lab, tmp_path):
    (tmp_path / f"{ID}.device.der").write_bytes(b"\x30\x77\x02\x01\x7f" + bytes(116))
    trace = lab.trace()
    resolve(lab, trace, f"{ID}.udp.particle.io", ["203.0.113.10"])
    later(lab, trace, 30)
    (session,) = sessions(trace, load_keys([tmp_path]))
    assert (session.verdict.code, session.verdict.certainty) == (Code.DEVICE_KEY_CORRUPT, Certainty.INFERRED)
    # What such a device shows, and not the timeout of one that sends.
    shown = " ".join(session.verdict.device_shows)
    assert "code=16" in shown and "-6800" not in shown


def test_a_custom_host_counts_when_the_key_folder_knows_it(lab: Lab, tmp_path):
    device, server, _ = sound(lab)
    trace = lab.trace()
    resolve(lab, trace, "cloud.example.com", [], rcode=3)
    later(lab, trace, 30)
    assert sessions(trace) == ()
    slot = bytearray(server_slot(server.key.spki, None))
    name = b"cloud.example.com"
    slot[384 : 384 + 2 + len(name)] = bytes((1, len(name))) + name
    (tmp_path / f"{device.hex}.server_key.der").write_bytes(bytes(slot))
    (session,) = sessions(trace, load_keys([tmp_path]))
    assert session.verdict.code is Code.CONNECT_UNANSWERED
    assert (session.device.id, session.device.id_source) == (device.hex, "stored-address")


def test_a_lookup_that_led_to_a_session_is_a_row_of_it_and_no_case(lab: Lab):
    device, server, key = sound(lab)
    trace = lab.trace()
    resolve_tcp(lab, trace, "device.spark.io", ["203.0.113.10"])
    Scene(lab, device, server, key.n, trace=trace).connect().nonce().identity().rejected()
    later(lab, trace, 90)
    (session,) = sessions(trace)
    assert session.stages[0].stage == "name-resolution" and session.cloud.host == "device.spark.io"


def test_an_answer_after_failures_leaves_the_failures_to_be_told(lab: Lab):
    device, server, key = sound(lab)
    trace = lab.trace()
    resolve(lab, trace, "device.spark.io", [], rcode=2)
    trace.wait(90)
    resolve(lab, trace, "device.spark.io", ["203.0.113.10"])
    Scene(lab, device, server, key.n, trace=trace).connect().nonce().identity().rejected()
    first, second = sessions(trace)
    assert first.verdict.stage == "name-resolution" and "could not find out" in first.verdict.summary
    assert second.verdict.code is Code.IDENTITY_REJECTED


def test_a_forwarder_is_no_second_device(lab: Lab):
    outside = Host.of("198.51.100.23", "02:00:00:00:00:17")
    trace = lab.trace()
    for host in (lab.device, outside):
        resolve(lab, trace, "device.spark.io", [], answer=False, host=host)
        trace.wait(0.05)
    later(lab, trace, 30)
    (session,) = sessions(trace)
    assert session.device.address != "198.51.100.23"


def test_an_aaaa_without_address_beside_an_a_is_no_failure(lab: Lab):
    device, server, key = sound(lab)
    trace = lab.trace()
    resolve(lab, trace, "device.spark.io", ["203.0.113.10"])
    resolve(lab, trace, "device.spark.io", ["2001:db8::1"], rcode=3)
    Scene(lab, device, server, key.n, trace=trace).connect().nonce().identity().rejected()
    later(lab, trace, 90)
    assert len(sessions(trace)) == 1


def refused(lab: Lab, trace: Trace) -> None:
    """A connection attempt that nobody answers."""
    talk = TcpTalk(trace, lab.device, lab.cloud, modern=False)
    talk.segment(DEVICE, 0x02)
    trace.wait(3)
    talk.segment(DEVICE, 0x02, back=1)
    trace.wait(2)


@pytest.mark.parametrize(("reachable", "blinks"), [(True, "three orange"), (False, "two orange")])
def test_the_internet_test_after_a_failure_is_read(lab: Lab, reachable: bool, blinks: str):
    trace = lab.trace()
    refused(lab, trace)
    internet_test(lab, trace, reachable=reachable)
    later(lab, trace, 5)
    (session,) = sessions(trace)
    (finding,) = (finding for finding in session.findings if finding.code == "internet-test")
    assert blinks in finding.summary and "0.4.4 to 1.5" in finding.summary
    assert finding.frames and finding.certainty is Certainty.INFERRED


def test_the_internet_test_of_later_firmware(lab: Lab):
    trace = lab.trace()
    refused(lab, trace)
    clock(lab, trace)
    (session,) = sessions(trace)
    (finding,) = (finding for finding in session.findings if finding.code == "internet-test")
    assert "2.0 and later" in finding.summary and "three orange" in finding.summary


def test_a_healthy_session_needs_no_internet_test(lab: Lab):
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).whole()
    clock(lab, scene.trace)
    (session,) = sessions(scene.trace)
    assert session.verdict.code is Code.HEALTHY
    assert all(finding.code != "internet-test" for finding in session.findings)


def test_an_internet_test_without_any_attempt_is_noted(lab: Lab):
    trace = lab.trace()
    for _ in range(2):
        internet_test(lab, trace)
        trace.wait(3)
    found = report(trace)
    assert found.sessions == () and found.status == "ok"
    (problem,) = found.problems
    assert problem.code == "internet-test-alone" and "2 times" in problem.message
    # The remedy stands beside it, and nothing that contradicts it.
    assert [command for step in found.advice for command in step.commands][0] == "particle keys server"
    assert any("--host HOST" in command for step in found.advice for command in step.commands)
    assert "note" in nothing_found(found) and "Usual causes" not in nothing_found(found)


def test_a_device_that_reaches_a_cloud_leaves_no_advice_for_a_lonely_one(lab: Lab):
    device, server, key = sound(lab)
    found = report(Scene(lab, device, server, key.n).whole().trace)
    assert found.sessions and found.advice == ()
    assert found.problems == ()


@pytest.mark.parametrize("form", ["json", "html", "markdown", "text"])
def test_the_advice_is_in_every_form(lab: Lab, form: str):
    trace = lab.trace()
    internet_test(lab, trace)
    out = "".join(chunks(report_of([report(trace)], KeyRing()), form, Style()))
    assert "particle keys server" in out and "particle keys address" in out
    assert "(8.8.8.8:53, once)" in html.unescape(out).replace("\\", "")


def test_a_private_number_of_another_point_keeps_no_device_silent(lab: Lab, captures: Path):
    """It parses (dtls-04a); a damaged structure does not (dtls-05b). A TCP device never parses its key."""
    found = {}
    for case in (
        "dtls-04a-private-key-not-matching-silent",
        "dtls-05b-device-key-broken-der",
        "tcp-05-ff-devkey-brewskey",
    ):
        found[case] = [problem.code for problem in silent_devices(load_keys([captures / case / "keys"]))]
    assert list(found.values()) == [[], ["device-key-damaged"], []]
