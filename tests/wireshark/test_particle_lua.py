"""The Lua dissector, as tshark runs it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, UDP
from scapy.packet import Packet

from tests.wireshark.conftest import CLOUD, DEVICE

pytestmark = pytest.mark.tshark

random_bytes = random.Random(5683).randbytes
NONCE, IDENTITY, KEY = random_bytes(40), random_bytes(256), random_bytes(384)
Dissect = Callable[..., dict]


def record(blocks: int) -> bytes:
    return (16 * blocks).to_bytes(2, "big") + random_bytes(16 * blocks)


def stages(frames: dict) -> dict[int, tuple[str, ...]]:
    return {number: frame.stages for number, frame in frames.items() if frame.stages}


def whole_session(talk) -> dict[int, tuple[str, ...]]:
    """Feeds a good session and says which frame is which stage."""
    return {
        talk.down(NONCE): ("nonce",),
        talk.up(IDENTITY): ("identity",),
        talk.down(KEY): ("session-key",),
        talk.up(record(1)): ("device-hello",),
        talk.down(record(1)): ("cloud-hello",),
        talk.up(record(3)): ("session",),
        talk.down(record(1)): ("session",),
    }


@pytest.mark.parametrize("port", [5683, 7777])
def test_a_session_is_named_stage_by_stage(talk, dissect: Dissect, tmp_path: Path, port: int) -> None:
    t = talk(port)
    expected = whole_session(t)
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert stages(frames) == expected
    assert {frames[number].protocol for number in expected} == {"Particle"}
    assert not any("coap" in frame.protocols or frame.malformed for frame in frames.values())
    nonce, identity, key, *_ = (frames[number] for number in expected)
    assert (nonce.nonce, identity.identity) == (NONCE.hex(), IDENTITY.hex())
    assert (key.ciphertext, key.signature) == (KEY[:128].hex(), KEY[128:].hex())


@pytest.mark.parametrize(
    "options",
    [
        ("-2",),
        ("-2", "-Y", "frame"),
        ("-o", "tcp.reassemble_out_of_order:TRUE"),
        ("-o", "tcp.desegment_tcp_streams:FALSE"),
        ("-o", "tcp.relative_sequence_numbers:FALSE"),
        ("-o", "tcp.analyze_sequence_numbers:FALSE"),
        ("-o", "tcp.no_subdissector_on_error:FALSE"),
        ("-o", "tcp.try_heuristic_first:TRUE"),
    ],
    ids=" ".join,
)
def test_preferences_and_passes_do_not_change_the_stages(talk, dissect: Dissect, tmp_path: Path, options) -> None:
    t = talk()
    expected = whole_session(t)
    assert stages(dissect(t.save(tmp_path / "c.pcap"), *options)) == expected


def test_split_messages_carry_their_stage_in_every_segment(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk()
    expected = {
        t.down(NONCE[:7]): ("nonce",),
        t.down(NONCE[7:]): ("nonce",),
        t.up(IDENTITY[:100]): ("identity",),
        t.up(IDENTITY[100:]): ("identity",),
        t.down(KEY[:1]): ("session-key",),
        t.down(KEY[1:]): ("session-key",),
    }
    hello = record(1)
    expected[t.up(hello[:1])] = ("device-hello",)
    expected[t.up(hello[1:5])] = ("device-hello",)
    expected[t.up(hello[5:])] = ("device-hello",)
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert stages(frames) == expected
    completing = {number: frame for number, frame in frames.items() if frame.nonce or frame.identity or frame.signature}
    assert sorted(completing) == [5, 7, 9]
    assert completing[5].nonce == NONCE.hex()
    assert completing[7].identity == IDENTITY.hex()
    assert completing[9].signature == KEY[128:].hex()
    assert frames[12].record_lengths == (16,)


def test_several_messages_in_one_segment(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk()
    t.down(NONCE)
    t.up(IDENTITY)
    key = t.down(KEY)
    both = t.up(record(1) + record(2) + record(1)[:9])
    down = t.down(record(1) + record(1))
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert frames[key].stages == ("session-key",)
    assert frames[both].stages == ("device-hello", "session", "session")
    assert frames[both].record_lengths == (16, 32)
    assert frames[down].stages == ("cloud-hello", "session")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-2",),
        ("-o", "tcp.no_subdissector_on_error:FALSE"),
        ("-o", "tcp.reassemble_out_of_order:TRUE"),
        ("-2", "-Y", "frame", "-o", "tcp.reassemble_out_of_order:TRUE"),
    ],
    ids=["default", "two-pass", "all-segments", "reordered", "reordered-two-pass"],
)
def test_out_of_order_segments(talk, dissect: Dissect, tmp_path: Path, options) -> None:
    t = talk()
    late = t.at("down", 10, NONCE[10:])
    first = t.at("down", 0, NONCE[:10])
    identity_end = t.at("up", 200, IDENTITY[200:])
    identity_start = t.at("up", 0, IDENTITY[:200])
    key = t.down(KEY)
    hello, later = record(1), record(2)
    behind = t.at("up", 256 + len(hello), later)
    before = t.at("up", 256, hello)
    frames = dissect(t.save(tmp_path / "c.pcap"), *options)
    assert stages(frames) == {
        late: ("nonce",),
        first: ("nonce",),
        identity_end: ("identity",),
        identity_start: ("identity",),
        key: ("session-key",),
        behind: ("session",),
        before: ("device-hello",),
    }
    assert frames[first].nonce == NONCE.hex()
    assert frames[identity_start].identity == IDENTITY.hex()


def test_sent_again_is_no_stage(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk()
    nonce = t.down(NONCE)
    again = t.at("down", 0, NONCE)
    identity = t.up(IDENTITY)
    frames = dissect(t.save(tmp_path / "c.pcap"), "-o", "tcp.no_subdissector_on_error:FALSE")
    assert stages(frames) == {nonce: ("nonce",), identity: ("identity",)}
    assert "sent again" not in frames[nonce].info
    assert frames[again].protocol == "TCP"


def test_a_gap_ends_where_framing_can_be_picked_up(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk()
    expected = whole_session(t)
    t.skip("up", 100)
    t.down(record(1))
    after = t.up(record(2))
    t.down(record(1))
    more = t.up(record(1) + record(1))
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert {number: frames[number].stages for number in expected} == expected
    assert frames[after].stages == ("session",)
    assert frames[more].stages == ("session", "session")
    assert frames[more].record_lengths == (16, 16)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n", "HTTP response"),
        (b"<!DOCTYPE html><html><head><title>Log in</title></head></html>", "HTML page"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "SSH banner"),
        (bytes.fromhex("160303003a0200003603") + random_bytes(53), "TLS record"),
        (b"Welcome to this server, please identify yourself now.\n", "text"),
    ],
)
def test_something_else_in_place_of_a_nonce(talk, dissect: Dissect, tmp_path: Path, answer: bytes, what: str) -> None:
    t = talk()
    frame = t.down(answer)
    end = t.down(b"", "FA")
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert frames[frame].stages[0] == "nonce"
    assert f"This is no Particle cloud: {what}" in frames[frame].experts
    assert "no Particle cloud" in frames[end].experts


def session_until(t, *, nonce: int = 40, identity: int = 256, key: int = 384, hellos: int = 2) -> None:
    if nonce:
        t.down(NONCE[:nonce])
    if nonce == 40 and identity:
        t.up(IDENTITY[:identity])
    if nonce == 40 and identity == 256 and key:
        t.down(KEY[:key])
        if key == 384 and hellos:
            t.up(record(1))
        if key == 384 and hellos == 2:
            t.down(record(1))


@pytest.mark.parametrize(
    ("parts", "side", "flags", "said"),
    [
        ({"nonce": 0}, "down", "FA", "The cloud closes before a byte of the nonce came"),
        ({"nonce": 0}, "down", "RA", "The cloud resets before a byte of the nonce came"),
        ({"nonce": 23}, "up", "FA", "The device closes with 23 of the nonce's 40 bytes"),
        ({"identity": 0}, "up", "FA", "The device closes: the device never answered the nonce"),
        ({"identity": 77}, "down", "FA", "The cloud closes with 77 of the identity's 256 bytes"),
        ({"key": 0}, "down", "FA", "The cloud closes after the device's 256 bytes"),
        ({"key": 0}, "up", "FA", "The device closes without a session key"),
        ({"key": 200}, "up", "FA", "The device closes with 200 of the session key's 384 bytes"),
        ({"hellos": 0}, "up", "FA", "The device closes after the session key without a Hello"),
        ({"hellos": 0}, "down", "FA", "The cloud closes: the device said nothing after the session key"),
        ({"hellos": 1}, "down", "RA", "The cloud resets: the device's Hello got no answer"),
    ],
)
def test_the_end_says_what_is_missing(talk, dissect: Dissect, tmp_path: Path, parts, side, flags, said) -> None:
    t = talk()
    session_until(t, **parts)
    end = getattr(t, side)(b"", flags)
    getattr(t, "up" if side == "down" else "down")(b"", "FA")
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert said in frames[end].experts
    assert "The " not in frames[end + 1].experts.replace("This frame", "")


def test_more_than_a_nonce_before_the_device_answers(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk()
    early = t.down(NONCE + KEY[:20])
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert frames[early].stages == ("nonce", "session-key")
    assert "More than a nonce" in frames[early].experts


def test_the_end_of_a_good_session_says_nothing(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk()
    whole_session(t)
    end = t.up(b"", "FA")
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert "particle" not in frames[end].protocols
    assert "The device" not in frames[end].experts


def test_an_impossible_length_is_named_and_framing_found_again(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk()
    whole_session(t)
    bad = t.down(b"\x40\x10" + random_bytes(16))
    after = t.down(record(1) + record(2))
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert "No record has 16400 bytes" in frames[bad].experts
    assert set(frames[bad].stages) == {"session"}
    assert frames[after].record_lengths == (16, 32)


def test_a_capture_that_starts_in_mid_session(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk(handshake=False)
    first = t.up(record(2))
    second = t.down(record(1))
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert stages(frames) == {first: ("session",), second: ("session",)}
    assert "handshake is not in the capture" in frames[first].experts


def test_a_capture_that_starts_before_the_nonce_but_after_the_syn(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk(handshake=False)
    expected = whole_session(t)
    assert stages(dissect(t.save(tmp_path / "c.pcap"))) == expected


def test_a_capture_that_starts_after_the_nonce(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk(handshake=False)
    identity, key, hello = t.up(IDENTITY), t.down(KEY), t.up(record(1))
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert stages(frames) == {identity: ("identity",), key: ("session-key",), hello: ("device-hello",)}


def test_coap_over_tcp_on_the_same_port_stays_coap(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk()
    hello = t.up(b"\x00\xe1")
    answer = t.down(b"\x00\xe1")
    get = t.up(bytes.fromhex("3101aab4746573"))
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert not stages(frames)
    assert [frames[number].protocol for number in (hello, answer, get)] == ["CoAP"] * 3


@pytest.mark.parametrize(
    "first",
    [b"220 mail.example ESMTP ready and waiting", bytes(40), b"\xff\xfb\x01" * 13 + b"\0", random_bytes(41)],
    ids=["smtp", "zeros", "telnet", "41 bytes"],
)
def test_other_protocols_on_other_ports_are_left_alone(talk, dissect: Dissect, tmp_path: Path, first: bytes) -> None:
    t = talk(7777)
    t.down(first)
    t.up(random_bytes(256))
    frames = dissect(t.save(tmp_path / "c.pcap"))
    assert not any("particle" in frame.protocols for frame in frames.values())


def test_ports_are_a_preference(talk, dissect: Dissect, tmp_path: Path) -> None:
    t = talk(9999)
    nonce = t.down(NONCE[:12])
    capture = t.save(tmp_path / "c.pcap")
    assert not stages(dissect(capture))
    assert stages(dissect(capture, "-o", "particle.tcp_ports:9999,5683")) == {nonce: ("nonce",)}


# DTLS

DEVICE_ID = bytes.fromhex("3d002a001047343530333430")
CLIENT_HELLO = bytes.fromhex(
    "16fefd0000000000000000005e010000520000000000000052fefd" + "ab" * 32 + "00000004c0ae00ff01000024"
    "000d0006000404030303000a000400020017000b00020100001300020102001400020102"
)
MOVED_PING = bytes.fromhex(
    "fefefd00010000000000020014000100000000000273ebf328b43231421467f3d1" + DEVICE_ID.hex() + "0c"
)
MOVED_CID_PING = bytes.fromhex(
    "fdfefd0001000000000002c1d00102030405060020000100000000000269076608a7ebe6f587ffd4bee21311b1a1d865cf914f77eb"
)
CID_HELLO = bytes.fromhex(
    "19fefd0001000000000001c1d001020304050600300001000000000001259a3fcb9d757e1ed1874d3761742b45fcd37700137bcbea9db3a3c8"
    "9a4ba7d79740cfa085928207"
)
ACK = bytes.fromhex("17fefd000100000000000100140001000000000001e4a1d04ec139c6b991ae343b")
# Datagrams measured with the genuine mbedTLS forks, as the constants above.


@pytest.mark.parametrize("port", [5684, 4500, 7777])
def test_moved_session_with_device_id(datagrams, dissect: Dissect, tmp_path: Path, port: int) -> None:
    d = datagrams(port)
    ping, ack = d.up(MOVED_PING), d.down(ACK)
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert frames[ping].device_id == DEVICE_ID.hex()
    assert frames[ping].moved == "1"
    assert "moved session, with device id" in frames[ping].info
    assert frames[ping].stages == ("resumed",)
    assert "dtls" in frames[ack].protocols
    assert not any(frame.malformed for frame in frames.values())


@pytest.mark.parametrize("port", [5684, 4500, 7777])
def test_records_with_connection_id(datagrams, dissect: Dissect, tmp_path: Path, port: int) -> None:
    d = datagrams(port)
    moved, hello, ack = d.up(MOVED_CID_PING), d.up(CID_HELLO), d.down(ACK)
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert frames[moved].cid == frames[hello].cid == "c1d0010203040506"
    assert "moved session, with connection id" in frames[moved].info
    assert frames[hello].info == "Record with connection id"
    assert frames[moved].protocol == frames[hello].protocol == "Particle"
    assert "dtls" in frames[ack].protocols
    assert not any(frame.malformed for frame in frames.values())


@pytest.mark.parametrize("port", [5684, 4500, 7777])
def test_a_particle_client_hello_is_dtls_on_any_port(datagrams, dissect: Dissect, tmp_path: Path, port: int) -> None:
    d = datagrams(port)
    hello = d.up(CLIENT_HELLO)
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert frames[hello].stages == ("client-hello",)
    assert frames[hello].protocols.endswith("dtls")
    assert frames[hello].info == "Client Hello"


def test_the_name_asked_for_gives_the_device_id_unless_two_devices_ask(
    datagrams, dissect: Dissect, tmp_path: Path
) -> None:
    def asked(name: str) -> Packet:
        record = DNSRR(rrname=name, rdata=CLOUD)
        answer = DNS(qr=1, qd=DNSQR(qname=name), an=record)
        return IP(src="192.168.1.1", dst=DEVICE) / UDP(sport=53, dport=5353) / answer

    d = datagrams()
    d._add(asked(f"{DEVICE_ID.hex()}.v3.udp.particle.io"))
    hello = d.up(CLIENT_HELLO)
    d._add(asked(f"{'5' * 24}.udp.particle.io"))
    other = d.up(CLIENT_HELLO.replace(bytes.fromhex("ab" * 32), random_bytes(32)))
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert frames[hello].device_id == DEVICE_ID.hex()
    assert frames[other].stages == ("client-hello",)
    assert frames[other].device_id == ""


def test_a_hello_sent_again_and_one_captured_twice(datagrams, dissect: Dissect, tmp_path: Path) -> None:
    d = datagrams()
    d.up(CLIENT_HELLO)
    copy = d.up(CLIENT_HELLO)
    again = d.up(CLIENT_HELLO[:10] + b"\x01" + CLIENT_HELLO[11:])
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert frames[copy].verdicts == ()
    assert frames[again].verdicts == ("connect-unanswered",)


def test_alerts_say_what_they_mean_here(datagrams, dissect: Dissect, tmp_path: Path) -> None:
    d = datagrams()
    d.up(CLIENT_HELLO)
    told = {
        d.up(alert(51)): "The device cannot verify the server's signature",
        d.down(alert(48)): "The cloud refuses the device's key",
        d.up(alert(99)): "The device ends the handshake with fatal alert 99",
        d.down(alert(40)): "The cloud finds nothing in common with the other side (fatal alert handshake_failure (40))",
    }
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert len(told) == 4
    for number, sentence in told.items():
        assert sentence in frames[number].experts


def alert(code: int) -> bytes:
    return bytes.fromhex("15fefd0000") + code.to_bytes(6, "big") + bytes((0, 2, 2, code))


def test_records_of_both_kinds_in_one_datagram(datagrams, dissect: Dissect, tmp_path: Path) -> None:
    d = datagrams()
    d.up(CLIENT_HELLO)
    change = bytes.fromhex("14fefd0000000000000005000101")
    flight = d.up(change + CID_HELLO)
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert frames[flight].info == "Change Cipher Spec, Record with connection id"
    assert frames[flight].cid == "c1d0010203040506"
    assert not frames[flight].malformed


def test_a_bare_key_without_its_server_hello_is_not_taken_for_x509(datagrams, dissect: Dissect, tmp_path: Path) -> None:
    spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + random_bytes(64)
    message = bytes.fromhex("0b00005e000200000000005e00005b") + spki
    d = datagrams()
    d.up(CLIENT_HELLO)
    certificate = d.up(bytes.fromhex("16fefd0000000000000002006a") + message)
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert frames[certificate].stages == ("device-certificate",)
    assert frames[certificate].public_key == spki.hex()
    assert not frames[certificate].malformed


def test_keep_alive_is_not_malformed(datagrams, dissect: Dissect, tmp_path: Path) -> None:
    d = datagrams()
    alive = d.up(b"\0")
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert frames[alive].info == "Keep-alive"
    assert not frames[alive].malformed


def test_esp_and_ike_on_port_4500_stay_what_they_are(datagrams, dissect: Dissect, tmp_path: Path) -> None:
    d = datagrams(4500, 4500)
    esp = d.up(bytes.fromhex("c0ffee0100000001") + random_bytes(64))
    alive = d.up(b"\xff")
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert frames[esp].protocol == "ESP"
    assert not frames[esp].stages
    assert frames[alive].protocol == "UDPENCAP"


def test_dtls_of_others_is_left_to_wireshark(datagrams, dissect: Dissect, tmp_path: Path) -> None:
    d = datagrams(7777)
    other = CLIENT_HELLO.replace(bytes.fromhex("0004c0ae00ff"), bytes.fromhex("0004c02b00ff"))
    hello = d.up(other)
    frames = dissect(d.save(tmp_path / "c.pcap"))
    assert frames[hello].protocols.endswith("udp:dtls")
    assert not frames[hello].stages


def test_hostile_bytes_never_end_in_a_lua_error(talk, datagrams, dissect: Dissect, tmp_path: Path) -> None:
    rng = random.Random(1)
    for round_ in range(4):
        t = talk()
        for _ in range(60):
            data = rng.choice([b"", NONCE, IDENTITY, KEY, record(1), record(70)]) + rng.randbytes(rng.randrange(40))
            data = data[: rng.randrange(len(data) + 1)]
            t.at(rng.choice(["up", "down"]), rng.randrange(900), data or b"\0")
        dissect(t.save(tmp_path / f"t{round_}.pcap"), *(["-2"] if round_ % 2 else []))
        d = datagrams(rng.choice([5684, 4500, 9]))
        for seed in (CLIENT_HELLO, MOVED_PING, MOVED_CID_PING, CID_HELLO, ACK, b""):
            for _ in range(16):
                data = bytearray(seed + rng.randbytes(rng.randrange(20)))
                for _ in range(rng.randrange(4)):
                    if data:
                        data[rng.randrange(len(data))] = rng.randrange(256)
                rng.choice([d.up, d.down])(bytes(data[: rng.randrange(len(data) + 1)]) or b"\0")
        dissect(d.save(tmp_path / f"d{round_}.pcap"))
