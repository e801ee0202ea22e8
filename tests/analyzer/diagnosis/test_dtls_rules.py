"""DTLS verdicts where the golden captures do not reach: damage, missing keys, neighbours, latecomers."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.model import Certainty, Code, Session
from captures.synth import wire
from captures.synth.case import cloud_ec
from captures.synth.dtls import ALERT, DATA, V212, V216, V222, V242, V290, Library, message
from captures.synth.dtls_scene import DtlsScene
from captures.synth.keys import EcKey, ec_private, server_slot, slot
from captures.synth.talk import CLOUD, DEVICE, Host, UdpTalk
from tests.analyzer.dtls_lab import judged, scene

PROVEN, INFERRED, UNDETERMINED = Certainty.PROVEN, Certainty.INFERRED, Certainty.UNDETERMINED


def said(session: Session) -> tuple[Code, Certainty]:
    return session.verdict.code, session.verdict.certainty


def only(sessions: tuple[Session, ...]) -> Session:
    (session,) = sessions
    return session


def other_server_key() -> bytes:
    return server_slot(cloud_ec("other").spki, "$id.udp.particle.io", size=320)


def damaged(play: DtlsScene, wanted: bytes, at: int) -> None:
    """Flip one bit of the (one) datagram that holds ``wanted``, ``at`` bytes behind its start."""
    for number, frame in enumerate(play.trace.frames):
        where = frame.data.find(wanted)
        if where >= 0:
            data = bytearray(frame.data)
            data[where + at] ^= 1
            data[14 + 20 + 6 : 14 + 20 + 8] = b"\0\0"  # no checksum (RFC 768): with a wrong one no receiver takes it
            play.trace.frames[number] = type(frame)(frame.time_ns, bytes(data), frame.length)
            return
    raise AssertionError("no such datagram")


def retry(play: DtlsScene, times: int = 1, pause: float = 1.0) -> None:
    """The device gives up and begins again."""
    for _ in range(times):
        play.trace.wait(pause)
        play.fresh()
        play.hello().server_flight()


# -- the server key --------------------------------------------------------------------------------------------------------


def test_a_damaged_signature_is_not_a_wrong_server_key(tmp_path: Path):
    play = scene("damaged signature").hello().server_flight()
    retry(play)
    damaged(play, b"\x03\x00\x17\x41\x04", 90)
    first, second = judged(play.trace, play.ticket(), tmp_path)
    assert said(first) == (Code.HANDSHAKE_STALLED, INFERRED)
    assert first.verdict.alternatives == ()
    assert "corrupted-in-transit" in {finding.code for finding in first.findings}
    assert said(second)[0] in (Code.HANDSHAKE_STALLED, Code.CAPTURE_INCOMPLETE)


def test_a_damaged_signature_beside_a_wrong_key_weakens_only_its_own_attempt(tmp_path: Path):
    play = scene("damaged one of three").hello().server_flight()
    retry(play, 2)
    damaged(play, b"\x03\x00\x17\x41\x04", 90)
    keys = play.ticket(stored=other_server_key())
    first, second, third = judged(play.trace, keys, tmp_path)
    assert said(second) == (Code.SERVER_KEY_MISMATCH, PROVEN)
    assert said(third) == (Code.SERVER_KEY_MISMATCH, INFERRED), "the capture ends before the device starts over"
    assert said(first) == (Code.HANDSHAKE_STALLED, INFERRED)


def test_without_the_cloud_s_key_one_signature_infers_and_two_prove(tmp_path: Path):
    play = scene("no cloud key").hello().server_flight()
    play.trace.wait(1)
    play.fresh()
    play.send(DEVICE, play.hs.client_hello())
    keys = {
        name: data for name, data in play.ticket(stored=other_server_key()).items() if not name.startswith("server")
    }
    alone, _ = judged(play.trace, keys, tmp_path / "one")
    assert said(alone) == (Code.SERVER_KEY_MISMATCH, INFERRED)
    assert Code.NOT_THE_CLOUD in alone.verdict.alternatives
    assert alone.verdict.premises
    play.hello().server_flight()
    first, second = judged(play.trace, keys, tmp_path / "two")
    assert said(first) == (Code.SERVER_KEY_MISMATCH, PROVEN)
    assert said(second) == (Code.SERVER_KEY_MISMATCH, INFERRED)
    assert any("two attempts" in item.text for item in first.verdict.evidence)


def test_another_server_that_answers_is_not_called_by_the_folder_s_name(tmp_path: Path):
    """The folder says that the stored key is this cloud's, and the answer is signed with neither."""
    play = scene("impostor", cloud=cloud_ec("impostor")).hello().server_flight()
    retry(play)
    real = cloud_ec()
    keys = play.ticket(stored=server_slot(real.spki, "$id.udp.particle.io", size=320), cloud=real.sec1)
    keys["server.pub.der"] = real.spki
    for session in judged(play.trace, keys, tmp_path):
        assert said(session) == (Code.SERVER_KEY_MISMATCH, INFERRED)
        assert any("another cloud's" in item.text for cause in session.verdict.causes for item in cause.con)
        assert "wrong-cloud" in {finding.code for finding in session.findings}


def test_alert_51_speaks_for_itself(tmp_path: Path):
    play = scene("alert 51", library=V216).hello().server_flight()
    play.send(DEVICE, play.hs.alert(DEVICE, 2, 51))
    session = only(judged(play.trace, {}, tmp_path))
    assert said(session) == (Code.SERVER_KEY_MISMATCH, INFERRED)
    assert Code.HANDSHAKE_REJECTED in session.verdict.alternatives


def test_silence_means_more_on_old_firmware_than_on_new(tmp_path: Path):
    for library, words in ((V242, "stops without a word"), (V216, "would send alert 51")):
        play = scene(f"silence {words}", library=library).hello().server_flight()
        retry(play)
        first = judged(play.trace, {}, tmp_path)[0]
        assert said(first) == (Code.HANDSHAKE_STALLED, UNDETERMINED)
        assert Code.SERVER_KEY_MISMATCH in first.verdict.alternatives
        assert any(words in item.text for item in first.verdict.evidence)


def test_a_good_server_key_turns_silence_into_loss(tmp_path: Path):
    play = scene("good key, silence").hello().server_flight()
    retry(play, pause=9)
    first, _ = judged(play.trace, play.ticket(), tmp_path)
    assert said(first) == (Code.HANDSHAKE_STALLED, INFERRED)
    assert first.verdict.alternatives == ()


def test_a_device_that_starts_over_at_once_holds_no_key_that_accepts(tmp_path: Path):
    """Its file says it holds the right one: then the file is old, or the answer was changed behind the capture."""
    play = scene("good key, at once").hello().server_flight()
    retry(play)
    first, _ = judged(play.trace, play.ticket(), tmp_path)
    assert said(first) == (Code.HANDSHAKE_STALLED, UNDETERMINED)
    assert first.verdict.alternatives == (Code.SERVER_KEY_MISMATCH,)


def test_an_unknown_device_is_narrowed_down_by_the_folder(tmp_path: Path):
    good = scene("narrow good").handshake().greet()
    bad = DtlsScene(
        good.lab, ident=bytes.fromhex("0123456789abcdef01234567"), host=Host.of("192.168.1.201", "02:00:00:00:00:01")
    )
    bad.hello().server_flight()
    retry(bad)
    keys = good.ticket() | bad.ticket(stored=other_server_key())
    by_address = {session.device.address: session for session in judged([good.trace, bad.trace], keys, tmp_path)}
    stalled = by_address["192.168.1.201"]
    assert said(stalled) == (Code.SERVER_KEY_MISMATCH, INFERRED)
    assert "0123456789abcdef01234567" in stalled.verdict.summary
    assert stalled.device.id is None


def test_part_of_the_answer_lost_is_loss(tmp_path: Path):
    play = scene("half an answer").hello()
    play.send(CLOUD, *play.hs.server_flight()[:1])
    play.trace.wait(0.2)
    retry(play)
    first = judged(play.trace, {}, tmp_path)[0]
    assert said(first) == (Code.HANDSHAKE_STALLED, INFERRED)
    assert "server-key-exchange" in first.verdict.summary


# -- the device's key ------------------------------------------------------------------------------------------------------


def corrupt_device(name: str) -> tuple[DtlsScene, EcKey, EcKey]:
    sound = scene(name).lab.ec()
    broken = EcKey(sound.d ^ 1 << 77)
    return scene(name, device=broken, point=sound.point), sound, broken


def test_one_bad_signature_infers_two_prove_a_damaged_key(tmp_path: Path):
    play, _, _ = corrupt_device("two signatures")
    play.hello().server_flight().device_flight()
    play.repeat(DEVICE, 3)
    alone = only(judged(play.trace, {}, tmp_path / "one"))
    assert said(alone) == (Code.DEVICE_KEY_CORRUPT, INFERRED)
    play.trace.wait(7)
    play.fresh()
    play.hello().server_flight().device_flight()
    for session in judged(play.trace, {}, tmp_path / "two"):
        assert said(session) == (Code.DEVICE_KEY_CORRUPT, PROVEN)


def test_the_slot_whose_scalar_signed_proves_it_alone(tmp_path: Path):
    play, sound, broken = corrupt_device("the slot itself")
    play.hello().server_flight().device_flight()
    play.repeat(DEVICE, 3)
    keys = play.ticket(on_file=sound.spki, device=slot(ec_private(broken.d, sound.point), 192))
    session = only(judged(play.trace, keys, tmp_path))
    assert said(session) == (Code.DEVICE_KEY_CORRUPT, PROVEN)
    assert any(a.stage == "certificate-verify" and a.outcome.value == "proved" for a in session.attempts)


def test_a_signature_damaged_on_the_way_proves_nothing(tmp_path: Path):
    play = scene("damaged verify").hello().server_flight().device_flight()
    damaged(play, b"\x0f\x00\x00", 40)
    play.repeat(DEVICE, 3)
    session = only(judged(play.trace, play.ticket(), tmp_path))
    assert session.verdict.certainty is not PROVEN


def test_the_hello_s_own_word_ties_key_and_record_together(tmp_path: Path):
    play = scene("hello names it").handshake()
    play.insist(play.coap.hello())
    keys = play.ticket(on_file=play.lab.ec("another").spki, device=None) | {"a.keylog": play.secrets.keylog}
    alone = only(judged(play.trace, keys, tmp_path / "alone"))
    assert said(alone) == (Code.HELLO_UNANSWERED, UNDETERMINED), "one silence is no refusal: the path may have broken"
    assert Code.DEVICE_KEY_MISMATCH in alone.verdict.alternatives
    play.fresh()
    play.handshake()
    play.insist(play.coap.hello())
    keys["b.keylog"] = play.secrets.keylog
    for session in judged(play.trace, keys, tmp_path / "twice"):
        assert said(session) == (Code.DEVICE_KEY_MISMATCH, PROVEN)
        assert session.device.id_source == "hello"
        assert len(session.verdict.premises) == 1
    nameless = {name: data for name, data in keys.items() if not name.endswith("keylog")}
    for session in judged(play.trace, nameless, tmp_path / "nameless"):
        assert said(session) == (Code.DEVICE_KEY_MISMATCH, INFERRED)


def test_a_device_that_is_through_elsewhere_clears_the_copy(tmp_path: Path):
    play = scene("through elsewhere").hello().server_flight().device_flight()
    play.repeat(DEVICE, 3)
    play.trace.wait(6)
    play.fresh()
    play.handshake().greet()
    keys = play.ticket(on_file=play.lab.ec("another").spki)
    first, second = judged(play.trace, keys, tmp_path)
    assert said(first) == (Code.HANDSHAKE_STALLED, UNDETERMINED)
    assert first.verdict.alternatives[0] is Code.SERVER_FAULT, "the record may have been repaired in between"
    cases = {cause.code: (bool(cause.pro), bool(cause.con)) for cause in first.verdict.causes}
    assert cases[Code.SERVER_FAULT] == (True, False)
    assert cases[Code.DEVICE_KEY_MISMATCH] == (True, True), "the file is another key; with this one it got in later"
    assert said(second)[0] is Code.HEALTHY
    assert "stale-key-file" in {finding.code for finding in second.findings}


def test_every_key_fits_and_the_cloud_refuses(tmp_path: Path):
    play = scene("all fit").hello().server_flight().device_flight()
    play.send(CLOUD, play.hs.alert(CLOUD, 2, 49))
    session = only(judged(play.trace, play.ticket(), tmp_path))
    assert said(session) == (Code.HANDSHAKE_REJECTED, INFERRED)
    # That the copy is what the cloud has on file is the folder's word: it stands last, with what speaks against it.
    assert session.verdict.alternatives[-1] is Code.DEVICE_KEY_MISMATCH
    (weighed,) = (cause for cause in session.verdict.causes if cause.code is Code.DEVICE_KEY_MISMATCH)
    assert weighed.con
    assert not weighed.pro
    blind = only(judged(play.trace, {}, tmp_path / "blind"))
    assert said(blind) == (Code.HANDSHAKE_REJECTED, UNDETERMINED)
    assert {Code.DEVICE_KEY_MISMATCH, Code.DEVICE_UNKNOWN} <= set(blind.verdict.alternatives)


# -- the profile -----------------------------------------------------------------------------------------------------------


def test_another_suite_is_not_for_devices(tmp_path: Path):
    play = scene("wrong suite").hello()
    hello = play.hs.server_hello()
    assert hello.count(b"\xc0\xae") == 1
    play.send(CLOUD, hello.replace(b"\xc0\xae", b"\xc0\x2b"))
    play.trace.wait(5)
    session = only(judged(play.trace, play.ticket(), tmp_path))
    assert said(session) == (Code.PROFILE_MISMATCH, INFERRED)
    assert "c02b" in session.verdict.summary


def test_a_server_without_raw_keys_is_not_for_devices(tmp_path: Path):
    play = scene("no raw keys").hello()
    play.send(CLOUD, play.hs.server_hello(raw=False))
    play.trace.wait(5)
    assert said(only(judged(play.trace, {}, tmp_path))) == (Code.PROFILE_MISMATCH, INFERRED)


def test_what_answers_and_is_no_dtls_is_not_the_cloud(tmp_path: Path):
    play = scene("no dtls")
    play.send(DEVICE, play.hs.client_hello())
    play.reply()
    play.udp.say(CLOUD, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    play.trace.wait(5)
    assert said(only(judged(play.trace, {}, tmp_path))) == (Code.NOT_THE_CLOUD, INFERRED)


# -- silence and its length ------------------------------------------------------------------------------------------------


def test_a_capture_that_ends_at_once_is_incomplete_and_not_silence(tmp_path: Path):
    plays = (
        ("client-hello", lambda s: s.send(DEVICE, s.hs.client_hello())),
        ("server-key-exchange", lambda s: s.hello().server_flight()),
        ("cloud-finished", lambda s: s.hello().server_flight().device_flight()),
        ("hello-ack", lambda s: s.handshake().data(DEVICE, s.coap.hello())),
    )
    for stage, act in plays:
        play = scene(f"ends at {stage}")
        act(play)
        session = only(judged(play.trace, {}, tmp_path))
        assert said(session) == (Code.CAPTURE_INCOMPLETE, INFERRED), stage
        assert session.verdict.stage == stage


def test_the_handshake_alone_is_healthy_as_far_as_it_goes(tmp_path: Path):
    play = scene("handshake alone").handshake()
    assert said(only(judged(play.trace, play.ticket(), tmp_path))) == (Code.HEALTHY, INFERRED)


def test_cookie_returned_and_silence(tmp_path: Path):
    play = scene("after the cookie")
    for _ in range(2):
        play.hello()
        play.repeat(DEVICE, 3)
        play.trace.wait(6)
        play.fresh()
    first = judged(play.trace, {}, tmp_path)[0]
    assert said(first) == (Code.HANDSHAKE_STALLED, INFERRED)
    assert "cookie" in first.verdict.summary


def test_icmp_about_the_cloud_s_datagrams_is_no_refusal(tmp_path: Path):
    """The host under a virtual device says port unreachable between two attempts; hardware does not."""
    play = scene("icmp from the device").hello().server_flight()
    quoted = play.trace.frames[-1].data[14:]
    lab = play.lab
    error = wire.ipv4(lab.device.ip, lab.cloud.ip, wire.ICMP, wire.icmp_error(3, 3, quoted), ttl=64)
    play.trace.packet(lab.device, lab.cloud, error)
    retry(play)
    first = judged(play.trace, {}, tmp_path)[0]
    assert said(first)[0] is Code.HANDSHAKE_STALLED


# -- the session -----------------------------------------------------------------------------------------------------------


def secret(play: DtlsScene) -> dict[str, bytes]:
    return {"session.keylog": play.secrets.keylog}


def test_a_lost_acknowledgement_does_not_unmake_a_session(tmp_path: Path):
    play = scene("lost ack").handshake()
    play.data(DEVICE, play.coap.hello())
    play.coap.ack(CLOUD)
    play.data(DEVICE, play.coap.event("app", "ready"))
    play.reply()
    play.data(CLOUD, play.coap.ack(CLOUD))
    play.trace.wait(9)
    session = only(judged(play.trace, secret(play), tmp_path))
    assert said(session) == (Code.HEALTHY, PROVEN)


def test_a_closed_session_with_and_without_its_secret(tmp_path: Path):
    play = scene("closed").handshake().greet()
    play.trace.wait(30)
    play.udp.say(CLOUD, play.secrets.seal(CLOUD, ALERT, b"\1\0"))
    play.trace.wait(2)
    opened = only(judged(play.trace, secret(play), tmp_path / "with"))
    blind = only(judged(play.trace, {}, tmp_path / "without"))
    assert said(opened) == said(blind) == (Code.SESSION_DROPPED, INFERRED)
    assert "close_notify" in opened.verdict.summary
    assert (
        (opened.ending.by, opened.ending.how.value) == (blind.ending.by, blind.ending.how.value) == ("cloud", "alert")
    )


def test_a_second_connection_displaces_the_first(tmp_path: Path):
    first = scene("displaced").handshake().greet()
    first.trace.wait(20)
    second = DtlsScene(first.lab, ident=first.ident, device=first.key, trace=first.trace)
    second.udp = UdpTalk(first.trace, Host.of("192.168.1.202", "02:00:00:00:00:02"), first.lab.cloud, 5684, 5684)
    second.handshake().greet()
    first.data(DEVICE, first.coap.ping(DEVICE))
    first.udp.say(CLOUD, first.secrets.seal(CLOUD, ALERT, b"\1\0"))
    keys = first.ticket() | {"a.keylog": first.secrets.keylog, "b.keylog": second.secrets.keylog}
    by_address = {session.device.address: session for session in judged(first.trace, keys, tmp_path)}
    assert said(by_address.pop("192.168.1.202"))[0] is Code.HEALTHY
    (displaced,) = by_address.values()
    assert said(displaced) == (Code.SESSION_DISPLACED, INFERRED)


def test_a_device_that_comes_back_after_an_outage_is_no_clone(tmp_path: Path):
    """From another port, with the same key; the cloud closes what it still had. Nothing of the old session speaks meanwhile."""
    first = scene("outage").handshake().greet()
    first.insist(first.coap.ping(DEVICE))
    second = DtlsScene(first.lab, ident=first.ident, device=first.key, trace=first.trace, device_port=50111)
    second.handshake().greet()
    first.udp.say(CLOUD, first.secrets.seal(CLOUD, ALERT, b"\1\0"))
    keys = first.ticket() | {"a.keylog": first.secrets.keylog, "b.keylog": second.secrets.keylog}
    before, after = judged(first.trace, keys, tmp_path)
    assert said(before) == (Code.SESSION_DROPPED, INFERRED)
    assert said(after)[0] is Code.HEALTHY


def test_a_latecomer_of_the_session_before_is_not_corrupt(tmp_path: Path):
    play = scene("latecomer").handshake().greet()
    before = play.secrets
    late = before.seal(CLOUD, DATA, play.coap.ping(CLOUD))
    play.trace.wait(10)
    play.fresh()
    play.handshake().greet()
    play.udp.say(CLOUD, late)
    play.trace.wait(1)
    play.ping()
    keys = {"a.keylog": before.keylog, "b.keylog": play.secrets.keylog}
    _, session = judged(play.trace, keys, tmp_path / "both")
    assert said(session) == (Code.HEALTHY, PROVEN)
    assert "late-records" in {finding.code for finding in session.findings}
    del keys["a.keylog"]
    _, session = judged(play.trace, keys, tmp_path / "one")
    assert said(session) == (Code.RECORD_CORRUPT, INFERRED)


@pytest.mark.parametrize("side", [CLOUD, DEVICE])
def test_a_flipped_bit_between_sound_records_is_proven(tmp_path: Path, side: int):
    play = scene(f"flipped {side}").handshake().greet()
    record = bytearray(play.secrets.seal(side, DATA, play.coap.ping(side)))
    record[-3] ^= 4
    play.udp.say(side, bytes(record))
    play.trace.wait(3)
    play.ping()
    session = only(judged(play.trace, secret(play), tmp_path / "with"))
    assert said(session) == (Code.RECORD_CORRUPT, PROVEN)
    assert len(session.verdict.frames) == 1
    assert [m.frames for m in session.messages if m.type == "undecryptable"] == [session.verdict.frames]
    assert said(only(judged(play.trace, {}, tmp_path / "without")))[0] is Code.HEALTHY


def test_a_secret_of_another_session_opens_nothing_and_says_so(tmp_path: Path):
    play = scene("wrong secret").handshake().greet()
    line = play.secrets.keylog.split()
    wrong = b" ".join((line[0], line[1], b"ab" * 48)) + b"\n"
    session = only(judged(play.trace, {"wrong.keylog": wrong}, tmp_path))
    assert said(session) == (Code.HEALTHY, INFERRED)
    outcomes = {(a.key, a.outcome.value) for a in session.attempts if a.stage == "device-finished"}
    assert outcomes == {("wrong.keylog", "refuted"), ("-", "no-key")}
    assert session.messages == ()


# -- sessions that go on ---------------------------------------------------------------------------------------------------


def rebound(name: str, *, answered: bool) -> DtlsScene:
    """The NAT gives the device another port; neither side knows."""
    play = scene(name, library=V212, device_port=5684).handshake().greet()
    play.trace.wait(600)
    play.udp = UdpTalk(play.trace, play.lab.device, play.lab.cloud, 40001, 5684)
    if answered:
        play.ping().ping()
    else:
        play.insist(play.coap.ping(DEVICE))
    return play


def test_a_new_port_is_followed_by_the_session_s_secret(tmp_path: Path):
    play = rebound("rebound, answered", answered=True)
    first, second = judged(play.trace, play.ticket() | secret(play), tmp_path)
    assert said(first) == said(second) == (Code.HEALTHY, PROVEN)
    assert second.messages
    blind = judged(play.trace, {}, tmp_path / "blind")[1]
    assert said(blind) == (Code.CAPTURE_INCOMPLETE, INFERRED)
    assert "mid-session-start" in {finding.code for finding in blind.findings}


def test_a_new_port_that_nobody_answers_is_a_lost_session(tmp_path: Path):
    play = rebound("rebound, silent", answered=False)
    first, second = judged(play.trace, secret(play), tmp_path / "with")
    assert said(first) == (Code.HEALTHY, PROVEN)
    assert said(second) == (Code.SESSION_LOST, INFERRED)
    blind = judged(play.trace, {}, tmp_path / "blind")[1]
    assert said(blind) == (Code.SESSION_LOST, UNDETERMINED)
    assert Code.CAPTURE_INCOMPLETE in blind.verdict.alternatives


def test_a_capture_that_starts_behind_the_handshake_keeps_the_true_cause_open(tmp_path: Path):
    play = scene("starts behind").handshake()
    play.trace.frames.clear()
    play.insist(play.coap.hello())
    session = only(judged(play.trace, {}, tmp_path))
    assert said(session) == (Code.CAPTURE_INCOMPLETE, INFERRED)
    assert {Code.DEVICE_KEY_MISMATCH, Code.HELLO_UNANSWERED} <= set(session.verdict.alternatives)


def test_a_connection_id_names_the_device_at_its_new_address(tmp_path: Path):
    play = scene("cid moves", library=V222, device_port=50001).handshake().greet()
    play.trace.wait(300)
    away = Host.of("198.51.100.9", "02:00:00:00:00:03")
    play.udp = UdpTalk(play.trace, away, play.lab.cloud, 50987, 5684)
    play.ping(moved=True)
    first, second = judged(play.trace, play.ticket(), tmp_path)
    assert (first.device.id_source, second.device.id_source) == ("certificate", "connection-id")
    assert first.device.id == second.device.id == play.ident.hex()
    assert said(second) == (Code.HEALTHY, INFERRED)


def test_a_dump_tells_which_keys_the_device_held(tmp_path: Path):
    play = scene("dump").handshake().greet()
    dump = play.secrets.persist(play.cloud.spki, play.key.sec1, play.coap.last[DEVICE])
    keys = play.ticket() | {f"{play.ident.hex()}.session.bin": dump}
    session = only(judged(play.trace, keys, tmp_path / "same"))
    assert "session-keys-known" in {finding.code for finding in session.findings}
    changed = play.ticket(stored=other_server_key()) | {f"{play.ident.hex()}.session.bin": dump}
    session = only(judged(play.trace, changed, tmp_path / "changed"))
    assert {"session-keys-changed", "stale-key-file"} <= {finding.code for finding in session.findings}


def test_no_secret_reaches_the_report(tmp_path: Path):
    play = scene("no leak").handshake().greet()
    text = repr(judged(play.trace, play.ticket() | secret(play), tmp_path))
    master = play.secrets.master
    assert master.hex() not in text
    assert repr(master) not in text
    assert play.key.d.to_bytes(32, "big").hex() not in text


def test_long_term_keys_alone_say_that_they_cannot_decrypt(tmp_path: Path):
    play = scene("cannot decrypt").handshake().greet()
    session = only(judged(play.trace, play.ticket(), tmp_path))
    assert "decryption-impossible" in {finding.code for finding in session.findings}
    assert session.messages == ()


def test_a_hello_done_of_nothing_is_no_session(tmp_path: Path):
    """Records on our port that no device and no cloud of ours would send."""
    play = scene("stray")
    play.send(CLOUD, play.hs.plain(CLOUD, 22, message(14, 9, b"")))
    assert judged(play.trace, {}, tmp_path) == ()


# -- which firmware --------------------------------------------------------------------------------------------------------


def family(session: Session) -> str:
    return next(finding.summary for finding in session.findings if finding.code == "firmware-family")


@pytest.mark.parametrize(
    ("library", "words"),
    [
        (V212, "v0.4.8-rc.2 to v0.6.4"),
        (V242, "v0.7.0"),
        (V290, "v1.1.0 to v1.3.x"),
        (V216, "v1.4.0 to v3.0.x"),
        (V222, "v3.1.0 or later"),
    ],
)
def test_the_firmware_is_told_as_closely_as_the_wire_tells(tmp_path: Path, library: Library, words: str):
    play = scene(f"firmware {words}", library=library).handshake().greet()
    assert words in family(only(judged(play.trace, {}, tmp_path)))


def test_a_third_copy_means_a_later_timer(tmp_path: Path):
    play = scene("timer", library=V216).hello().server_flight().device_flight()
    play.repeat(DEVICE, 3, 6, 12)
    session = only(judged(play.trace, {}, tmp_path))
    assert "v1.4.1 or later" in family(session)
    assert any("at 0, 3." in item.text for item in session.verdict.evidence)


def test_a_move_marker_and_the_hello_narrow_it_down(tmp_path: Path):
    play = scene("narrowed", library=V222).handshake().greet()
    play.ping(moved=True)
    told = family(only(judged(play.trace, secret(play), tmp_path)))
    assert "v4.0.0 or later (record type 253)" in told
    assert "its Hello says" in told


def test_stages_that_no_key_could_be_held_against_are_named(tmp_path: Path):
    play = scene("not reached")
    play.send(DEVICE, play.hs.client_hello())
    play.repeat(DEVICE, 3)
    session = only(judged(play.trace, play.ticket(), tmp_path))
    assert {(a.stage, a.outcome.value) for a in session.attempts} == {
        ("server-key-exchange", "not-reached"),
        ("device-certificate", "not-reached"),
    }


def test_a_message_sent_again_says_so(tmp_path: Path):
    play = scene("sent again").handshake().greet()
    event = play.coap.event("app", "once")
    play.data(DEVICE, event)
    play.trace.wait(4.5)
    play.data(DEVICE, event)
    play.reply()
    play.data(CLOUD, play.coap.ack(CLOUD))
    session = only(judged(play.trace, secret(play), tmp_path))
    assert [message.summary.endswith("sent again") for message in session.messages].count(True) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, False),
        ({"on_file": EcKey(99).spki}, True),
        ({"device": slot(b"\xff" * 121, 192)}, True),
    ],
    ids=["all else fits", "another key on file", "no key in the slot"],
)
def test_behind_a_wrong_server_key_the_next_fault_is_told(changes: dict[str, bytes], told: bool, tmp_path: Path):
    play = scene("next").hello().server_flight()
    retry(play, 2)
    sessions = judged(play.trace, play.ticket(stored=other_server_key(), **changes), tmp_path)
    first = sessions[0]
    assert first.verdict.code is Code.SERVER_KEY_MISMATCH
    assert ("next-fault" in {finding.code for finding in first.findings}) is told
