"""DTLS: where a handshake or a session can stop, resumed and moved sessions, and DTLS that is not Particle's."""

from __future__ import annotations

from captures.synth import wire
from captures.synth.case import Case, Lab, case, expect, pcap
from captures.synth.dtls import ALERT, DATA, HANDSHAKE, V212, V216, V222, Handshake, extension, fragments, message
from captures.synth.dtls_scene import DtlsScene
from captures.synth.keys import EcKey, der, integer
from captures.synth.names import clock, internet_test, resolve
from captures.synth.recipes.dtls_keys import HEALTHY, LOOKS_HEALTHY, REJECTED, STALLED
from captures.synth.talk import CLOUD, DEVICE, Host, UdpTalk


def with_log(scene: DtlsScene) -> dict[str, bytes]:
    """The ticket with the session's secret."""
    return scene.ticket() | {f"{scene.ident.hex()}.keylog": scene.secrets.keylog}


@case("synth-dtls-unanswered", "Nothing comes back from port 5684.")
def unanswered(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V212)
    resolve(lab, scene.trace, f"{scene.ident.hex()}.udp.particle.io", ["203.0.113.10"])
    for _ in range(2):
        scene.send(DEVICE, scene.hs.client_hello())
        scene.repeat(DEVICE, 3)
        scene.trace.wait(7)
        scene.fresh()
    answer = expect("connect-unanswered", "inferred")
    truth = "a firewall drops UDP 5684: each ClientHello is sent twice and given up after 9 s"
    return Case(truth, pcap(scene.trace), scene.ticket(), [answer] * 2, [answer] * 2)


@case("synth-dtls-refused", "A staging cloud that is down.")
def refused(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216)
    scene.send(DEVICE, scene.hs.client_hello())
    quoted = scene.trace.frames[-1].data[14:]
    scene.reply()
    error = wire.ipv4(lab.cloud.ip, lab.device.ip, wire.ICMP, wire.icmp_error(3, 3, quoted), ttl=lab.cloud.ttl)
    scene.trace.packet(lab.cloud, lab.device, error)
    answer = expect("connect-refused", "inferred")
    return Case("nothing listens there: ICMP port unreachable", pcap(scene.trace), scene.ticket(), answer, answer)


@case("synth-dtls-rejected", "A fatal alert to every ClientHello.")
def rejected(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216)
    scene.send(DEVICE, scene.hs.client_hello())
    scene.reply()
    scene.send(CLOUD, scene.hs.alert(CLOUD, 2, 40))
    truth = "the server answers the ClientHello with handshake_failure"
    return Case(truth, pcap(scene.trace), scene.ticket(), REJECTED, REJECTED)


@case("synth-dtls-stalled", "The device's flight gets no answer; every key fits.")
def stalled(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216).hello().server_flight().device_flight()
    scene.repeat(DEVICE, 3, 6, 12)
    truth = "datagrams of more than 300 bytes are lost on the uplink"
    return Case(truth, pcap(scene.trace), scene.ticket(), STALLED, STALLED)


def certificate(key: EcKey) -> bytes:
    """A small self-signed X.509 certificate (RFC 5280)."""
    ecdsa = der(0x30, bytes.fromhex("06082a8648ce3d040302"))
    name = der(0x30, der(0x31, der(0x30, bytes.fromhex("0603550403"), der(12, b"cloud.example.net"))))
    valid = der(0x30, der(0x17, b"250101000000Z"), der(0x17, b"350101000000Z"))
    body = der(0x30, der(0xA0, integer(2)), integer(4711), ecdsa, name, valid, name, key.spki)
    return der(0x30, body, ecdsa, der(3, b"\0", key.sign(body)))


@case("synth-dtls-profile-x509", "A proxy that speaks ordinary DTLS stands in for the cloud.")
def x509(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216).hello()
    scene.server_flight(certificate(scene.cloud))
    scene.send(DEVICE, scene.hs.alert(DEVICE, 2, 10))
    answer = expect("profile-mismatch", "")
    truth = "the server sends an X.509 certificate; the firmware expects none and stops (alert 10)"
    return Case(truth, pcap(scene.trace), scene.ticket(), answer, answer)


@case("synth-dtls-profile-no-cid", "Handshake complete, then it starts again.")
def no_cid(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V222, cid=b"")
    for _ in range(2):
        scene.handshake()
        scene.trace.wait(1)
        scene.fresh()
    answer = expect("profile-mismatch")
    truth = "the server gives no connection id: firmware from 3.1 on finishes the handshake and drops it"
    return Case(truth, pcap(scene.trace), scene.ticket(), [answer] * 2, [answer] * 2)


@case("synth-dtls-hello-unanswered", "Handshake complete, no Hello acknowledgement, all keys fit.")
def hello(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V212).handshake()
    scene.insist(scene.coap.hello())
    answer = expect("hello-unanswered")
    truth = "the cloud drops the session at the Hello (product rules); no key is wrong"
    return Case(truth, pcap(scene.trace), with_log(scene), answer, answer)


@case("synth-dtls-record-corrupt", "One message of many is lost for good.")
def corrupt(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V212).handshake().greet()
    scene.trace.wait(5)
    record = bytearray(scene.secrets.seal(CLOUD, DATA, scene.coap.ping(CLOUD)))
    record[-3] ^= 4
    scene.udp.say(CLOUD, bytes(record))
    scene.trace.wait(8)
    scene.ping()
    answer = expect("record-corrupt", "proven")
    truth = "one bit of an application record was flipped in transit, the UDP checksum made right"
    return Case(truth, pcap(scene.trace), with_log(scene), answer, expect("healthy"))


@case("synth-dtls-moved", "After sleep the device comes from another address; Wireshark shows `Continuation Data`.")
def moved(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V212).handshake().greet()
    dump = scene.secrets.persist(scene.cloud.spki, scene.key.sec1, scene.coap.last[DEVICE])
    # The capture begins here: the handshake is not in it.
    scene.trace.frames.clear()
    scene.trace.wait(600)
    away = Host.of("198.51.100.77", "e0:4f:43:00:01:50", 120)
    scene.udp = UdpTalk(scene.trace, away, lab.cloud, 5684, 5684)
    scene.ping(moved=True)
    scene.data(DEVICE, scene.coap.event("app", "awake"))
    scene.reply()
    scene.data(CLOUD, scene.coap.ack(CLOUD))
    keys = scene.ticket() | {f"{scene.ident.hex()}.session.bin": dump}
    truth = "a resumed session (record type 254 with the device id), answered: nothing is wrong"
    unseen = expect("healthy capture-incomplete")
    return Case(truth, pcap(scene.trace), keys, expect("healthy"), unseen)


@case("synth-dtls-moved-cid", "The same with connection ids (4.x).")
def moved_cid(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V222, device_port=50001).handshake().greet()
    scene.trace.wait(300)
    scene.udp = UdpTalk(scene.trace, lab.device, lab.cloud, 50987, 5684)
    scene.ping(moved=True).ping()
    scene.data(DEVICE, scene.coap.goodbye())
    dump = scene.secrets.persist(scene.cloud.spki, scene.key.sec1, scene.coap.last[DEVICE], 262)
    keys = with_log(scene) | {f"{scene.ident.hex()}.session.bin": dump}
    truth = "the session goes on from another port (record type 253), answered: nothing is wrong"
    unseen = [LOOKS_HEALTHY, expect("healthy capture-incomplete")]
    return Case(truth, pcap(scene.trace), keys, [HEALTHY, expect("healthy")], unseen)


@case("synth-dtls-session-lost", "A minute of silence after each sleep.")
def lost(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V212).handshake().greet()
    dump = scene.secrets.persist(scene.cloud.spki, scene.key.sec1, scene.coap.last[DEVICE])
    scene.trace.frames.clear()
    scene.trace.wait(900)
    scene.insist(scene.coap.ping(DEVICE), moved=True)
    scene.fresh()
    scene.handshake().greet()
    keys = scene.ticket() | {f"{scene.ident.hex()}.session.bin": dump, "new.keylog": scene.secrets.keylog}
    truth = "the cloud has forgotten the session: four tries, then a full handshake that succeeds"
    return Case(
        truth, pcap(scene.trace), keys, [expect("session-lost"), HEALTHY], [expect("session-lost"), LOOKS_HEALTHY]
    )


@case("synth-dtls-session-refused", "The cloud answers a resumed session with an alert.")
def resume_refused(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216).handshake().greet()
    dump = scene.secrets.persist(scene.cloud.spki, scene.key.sec1, scene.coap.last[DEVICE])
    scene.trace.frames.clear()
    scene.trace.wait(900)
    scene.data(DEVICE, scene.coap.ping(DEVICE), moved=True)
    scene.reply()
    scene.udp.say(CLOUD, scene.secrets.seal(CLOUD, ALERT, b"\2\x32"))
    scene.trace.wait(1)
    scene.fresh()
    scene.handshake().greet()
    keys = scene.ticket() | {f"{scene.ident.hex()}.session.bin": dump, "new.keylog": scene.secrets.keylog}
    truth = "the cloud ends the resumed session with an encrypted fatal alert; a full handshake succeeds"
    first = expect("session-lost")
    return Case(truth, pcap(scene.trace), keys, [first, HEALTHY], [first, LOOKS_HEALTHY])


@case("synth-dtls-session-dropped", "Online for a minute, then no answer any more (NAT).")
def dropped(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216).handshake().greet()
    scene.trace.wait(60)
    scene.insist(scene.coap.ping(DEVICE))
    answer = expect("session-dropped")
    truth = "the NAT mapping expired: nothing the device sends is answered any more"
    return Case(truth, pcap(scene.trace), with_log(scene), answer, answer)


@case("synth-dtls-closed", "The cloud says goodbye.")
def closed(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216).handshake().greet()
    scene.trace.wait(30)
    scene.udp.say(CLOUD, scene.secrets.seal(CLOUD, ALERT, b"\1\0"))
    answer = expect("session-dropped healthy")
    truth = "the cloud closes an established session with close_notify"
    return Case(truth, pcap(scene.trace), with_log(scene), answer, answer)


@case("synth-dtls-no-handshake", "The capture was started too late; no session dump.")
def late(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216).handshake().greet()
    scene.trace.frames.clear()
    scene.trace.wait(20)
    scene.ping()
    scene.trace.wait(20)
    scene.ping()
    answer = expect("capture-incomplete healthy")
    truth = "nothing is wrong; only application records are in the capture"
    return Case(truth, pcap(scene.trace), scene.ticket(), answer, answer)


@case("synth-dtls-one-direction", "Only what the device sends is in the capture.")
def one_direction(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216).handshake().greet()
    scene.trace.frames = [frame for frame in scene.trace.frames if frame.data[26:30] == lab.device.ip]
    answer = expect("capture-incomplete", findings="one-direction-only")
    return Case("nothing is wrong", pcap(scene.trace), scene.ticket(), answer, answer)


@case("synth-dtls-disorder", "Fragments, repeats and disorder.")
def disorder(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216).hello()
    flight = scene.hs.server_flight()
    pieces = [
        scene.hs.plain(CLOUD, HANDSHAKE, part)
        for record in flight
        for part in fragments(record[13:], 60) or [record[13:]]
    ]
    pieces.insert(0, pieces.pop(2))
    pieces += [pieces[1], pieces[-1]]
    scene.send(CLOUD, *pieces, packed=False)
    scene.trace.wait(0.1)
    scene.device_flight()
    scene.repeat(DEVICE, 3)
    scene.reply()
    scene.finish().greet()
    truth = "handshake messages in fragments, out of order, twice; the device's flight sent again: nothing is wrong"
    return Case(truth, pcap(scene.trace), with_log(scene), HEALTHY, LOOKS_HEALTHY)


@case("synth-dtls-no-address", "Electron 0.6.4: three orange blinks, modem resets, no traffic on 5684.")
def no_address(lab: Lab) -> Case:
    trace = lab.trace()
    internet_test(lab, trace)
    clock(lab, trace)
    # A stray keep-alive byte and a multicast datagram are no sessions either.
    UdpTalk(trace, lab.device, lab.cloud, 5684, 5684).say(DEVICE, b"\0")
    group = Host.of("224.0.1.187", "01:00:5e:00:01:bb")
    UdpTalk(trace, lab.device, group, 5683, 5683).say(DEVICE, b"\x60\x65\x63\x74" + lab.rng.randbytes(15))
    truth = "the server address slot is corrupt: only the internet test is seen; there is no session to judge"
    return Case(truth, pcap(trace), {}, [], [])


# ---- not Particle's ----------------------------------------------------------------------------------------------


def other(lab: Lab, truth: str, port: int, *datagrams: tuple[int, bytes]) -> Case:
    """A UDP exchange that must give no session."""
    trace = lab.trace()
    talk = UdpTalk(trace, lab.device, lab.cloud, 49200, port)
    for side, data in datagrams:
        talk.say(side, data)
        trace.wait(0.03, 0.01)
    return Case(truth, pcap(trace), {}, [], [])


def record(kind: int, body: bytes, version: bytes = b"\xfe\xfd", number: int = 0) -> bytes:
    return bytes((kind,)) + version + number.to_bytes(8, "big") + len(body).to_bytes(2, "big") + body


def foreign_hello(lab: Lab, suites: str, extensions: bytes, version: bytes = b"\xfe\xfd") -> bytes:
    """A ClientHello of somebody else."""
    offered = bytes.fromhex(suites)
    body = version + lab.rng.randbytes(32) + b"\0\0" + len(offered).to_bytes(2, "big") + offered + b"\1\0"
    return message(1, 0, body + len(extensions).to_bytes(2, "big") + extensions)


@case("synth-other-webrtc", "A video call on the same network.")
def webrtc(lab: Lab) -> Case:
    extensions = (
        extension(23, "") + extension(0xFF01, "00") + extension(10, "0004001d0017") + extension(11, "0100")
        + extension(13, "0006040308040401") + extension(14, "0004000700010000"[:12] + "00")
    )  # fmt: skip
    hello = foreign_hello(lab, "c02bc02fcca9c009c013", extensions)
    server = Handshake(lab.rng, lab.ec(), lab.ec("peer"), V216)
    flight = b"".join([record(22, hello)])
    answer = b"".join(server.server_flight(certificate=certificate(lab.ec("peer"))))
    return other(lab, "WebRTC: DTLS with X.509 and SRTP", 50004, (DEVICE, flight), (CLOUD, answer))


@case("synth-other-dtls10", "A VPN of the older kind.")
def dtls10(lab: Lab) -> Case:
    old = b"\xfe\xff"
    hello = record(22, foreign_hello(lab, "002f0035000a", b"", old), old)
    verify = record(22, message(3, 0, old + b"\x14" + lab.rng.randbytes(20)), old)
    return other(lab, "DTLS 1.0 with RSA suites", 443, (DEVICE, hello), (CLOUD, verify), (DEVICE, hello))


@case("synth-other-dtls13", "DTLS 1.3.")
def dtls13(lab: Lab) -> Case:
    share = lab.ec().point.hex()
    extensions = extension(43, "02fefc") + extension(10, "00020017") + extension(13, "00020403")
    extensions += extension(51, f"0045001700 41{share}".replace(" ", ""))
    hello = record(22, foreign_hello(lab, "13011302", extensions))
    body = b"\xfe\xfd" + lab.rng.randbytes(32) + b"\0\x13\1\0"
    agreed = extension(43, "fefc") + extension(51, f"00170041{lab.ec('peer').point.hex()}")
    answer = record(22, message(2, 0, body + len(agreed).to_bytes(2, "big") + agreed))
    # The unified header of RFC 9147 follows.
    secret = b"\x2e\0\1" + (200).to_bytes(2, "big") + lab.rng.randbytes(200)
    return other(lab, "DTLS 1.3", 4433, (DEVICE, hello), (CLOUD, answer + secret), (DEVICE, secret))


@case("synth-other-quic", "A browser.")
def quic(lab: Lab) -> Case:
    def initial(size: int) -> bytes:
        head = b"\xc3\0\0\0\1\x08" + lab.rng.randbytes(8) + b"\x08" + lab.rng.randbytes(8) + b"\0"
        return head + (0x4000 | size).to_bytes(2, "big") + lab.rng.randbytes(size)

    return other(
        lab, "QUIC", 443, (DEVICE, initial(300)), (CLOUD, initial(280)), (DEVICE, b"\x4f" + lab.rng.randbytes(60))
    )


@case("synth-other-openvpn", "A VPN on port 5684.")
def openvpn(lab: Lab) -> Case:
    reset = b"\x38" + lab.rng.randbytes(8) + bytes(5)
    answer = b"\x40" + lab.rng.randbytes(8) + b"\1" + bytes(4) + lab.rng.randbytes(8) + bytes(4)
    data = b"\x48\0\0\1" + lab.rng.randbytes(90)
    return other(lab, "OpenVPN on our port", 5684, (DEVICE, reset), (CLOUD, answer), (DEVICE, data), (CLOUD, data))


@case("synth-other-coap", "Plain CoAP on port 5683, UDP.")
def coap(lab: Lab) -> Case:
    request = b"\x42\1\x12\x34\xaa\xbb\xbb.well-known\x04core"
    answer = b'\x62\x45\x12\x34\xaa\xbb\xc1\x28\xff</temp>;rt="x"'
    return other(lab, "plain CoAP of some sensor", 5683, (DEVICE, request), (CLOUD, answer))


@case("synth-other-ipsec", "IPsec through NAT on port 4500.")
def ipsec(lab: Lab) -> Case:
    ike = bytes(4) + lab.rng.randbytes(8) + bytes(8) + b"\x21\x20\x22\x08" + bytes(4) + (148).to_bytes(4, "big")
    esp = lab.rng.randbytes(4) + b"\0\0\0\1" + lab.rng.randbytes(84)
    answer = (CLOUD, esp)
    return other(lab, "IKE and ESP in UDP", 4500, (DEVICE, ike + bytes(120)), (DEVICE, b"\xff"), (DEVICE, esp), answer)
