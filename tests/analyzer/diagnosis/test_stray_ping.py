"""A Spark Core that could not take the session key goes on under a key of zeros: that ping is no Hello and no bad record."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from analyzer.keys import KeyRing, load_keys
from analyzer.model import Certainty, Code, Session
from analyzer.pipeline import analyze_capture, analyze_paths
from captures.synth.case import Lab, cloud_key, pcap
from captures.synth.lightssl import Server
from captures.synth.scene import Scene, sound, ticket
from captures.synth.talk import DEVICE


def stray_ping() -> bytes:
    """CoAP ping (40 00, message id 0001) with PKCS#7 under key and IV of zeros, as ccl spark_11 event_loop sends it."""
    encryptor = Cipher(algorithms.AES(bytes(16)), modes.CBC(bytes(16))).encryptor()
    sealed = encryptor.update(b"\x40\x00\x00\x01" + bytes([12]) * 12) + encryptor.finalize()
    return len(sealed).to_bytes(2, "big") + sealed


def played(tmp_path: Path, *, wrong_signature: bool, with_server: bool = True) -> tuple[Session, ...]:
    lab = Lab("test-stray")
    device, server, key = sound(lab, short=True)
    if wrong_signature:
        server = Server(cloud_key(), signer=cloud_key("other"))
    trace = lab.trace()
    for _ in range(2):
        scene = Scene(lab, device, server, key.n, kind="sp", trace=trace, modern=False)
        scene.connect().nonce().identity().session_key()
        trace.wait(0.05)
        scene.talk.say(DEVICE, stray_ping())
        trace.wait(20)
        scene.talk.close(DEVICE)
        trace.wait(2)
    for name, data in ticket(device, server.key, key).items():
        if with_server or not name.startswith("default"):
            (tmp_path / name).write_bytes(data)
    return analyze_capture(BytesIO(pcap(trace)), load_keys([tmp_path]), name="made.pcap").sessions


def test_with_a_wrong_signature_it_leads_to_the_signature(tmp_path: Path):
    for session in played(tmp_path, wrong_signature=True):
        assert (session.verdict.code, session.verdict.certainty) == (Code.SERVER_SIGNATURE_MISMATCH, Certainty.PROVEN)
        assert any("a ping under a key of zeros" in item.text for item in session.verdict.evidence)
        assert not session.messages  # it is nothing the session key has to open


def test_it_never_refutes_the_key_that_opens(tmp_path: Path):
    for session in played(tmp_path, wrong_signature=False, with_server=False):
        assert session.verdict.code not in (Code.RECORD_CORRUPT, Code.HELLO_UNANSWERED, Code.DEVICE_KEY_MISMATCH)
        assert any(item.stage == "session-key" and item.outcome.value == "proved" for item in session.attempts)


def test_without_keys_it_says_that_the_session_key_was_not_taken(captures: Path):
    report = analyze_paths([str(captures / "synth-core-restart" / "capture.pcap")], KeyRing())
    (session,) = report.captures[0].sessions
    assert (session.verdict.code, session.verdict.certainty) == (Code.SESSION_KEY_UNUSABLE, Certainty.UNDETERMINED)
    (said,) = (item for item in session.verdict.evidence if "a ping under a key of zeros" in item.text)
    assert said.frames == (10,)


def test_with_keys_it_supports_the_mismatch(captures: Path):
    case = captures / "synth-core-restart"
    (session,) = analyze_paths([str(case / "capture.pcap")], load_keys([case / "keys"])).captures[0].sessions
    assert (session.verdict.code, session.verdict.certainty) == (Code.DEVICE_KEY_MISMATCH, Certainty.PROVEN)
    assert any("a ping under a key of zeros" in item.text for item in session.verdict.evidence)
