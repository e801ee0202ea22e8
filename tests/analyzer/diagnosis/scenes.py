"""For rules that no golden capture meets: a scene for each, by the name of the rule and the code it gives there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from captures.synth.case import Lab, cloud_ec, cloud_key
from captures.synth.dtls import ALERT, V216
from captures.synth.dtls_scene import DtlsScene
from captures.synth.keys import server_slot, slot
from captures.synth.lightssl import pkcs1_open, pkcs1_pad
from captures.synth.names import resolve
from captures.synth.scene import Scene, sound, ticket
from captures.synth.talk import CLOUD, DEVICE, Host, Trace, UdpTalk
from captures.synth.wire import ACK, RST, SYN

#: The packets, and the files of the key folder.
Made = tuple[Trace, Mapping[str, bytes]]
SCENES: dict[tuple[str, str], Callable[[], Made]] = {}


def meets(rule: str, code: str) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
    """Note the scene for this rule and code."""

    def note(made: Callable[[], Made]) -> Callable[[], Made]:
        assert (rule, code) not in SCENES
        SCENES[rule, code] = made
        return made

    return note


def later(lab: Lab, trace: Trace, seconds: float) -> None:
    """The capture goes on: somebody else's packet after that time."""
    trace.wait(seconds)
    UdpTalk(trace, Host.of("192.168.1.9", "02:00:00:00:00:09"), lab.gateway, 50_000, 9999).say(DEVICE, b"hello")


# -- names -------------------------------------------------------------------------------------------------------------


@meets("unreached.unusable_key", "device-key-corrupt")
def unusable_key() -> Made:
    lab = Lab("rule unusable key")
    trace = lab.trace()
    resolve(lab, trace, "300047001147343332373737.udp.particle.io", ["203.0.113.10"])
    later(lab, trace, 30)
    return trace, {"300047001147343332373737.device.der": b"\x30\x77\x02\x01\x7f" + bytes(116)}


# -- TCP ---------------------------------------------------------------------------------------------------------------


class Tcp:
    """A device, its cloud and their keys; ``play`` is the connection."""

    #: The folder of the ticket in which the cloud's copy lies ("core_keys/": it is the server's, whatever it equals).
    records = ""

    def __init__(self, name: str, **options: bool) -> None:
        self.lab = Lab(f"rule {name}")
        self.device, self.server, self.key = sound(self.lab, **options)
        self.play = self.again()

    def again(self) -> Scene:
        """Another connection of the same device."""
        trace = self.play.trace if hasattr(self, "play") else None
        return Scene(self.lab, self.device, self.server, self.key.n, trace=trace)

    def keys(self, *without: str) -> dict[str, bytes]:
        """The ticket without files that end in one of these."""
        files = ticket(self.device, self.server.key, self.key, records=self.records)
        return {name: data for name, data in files.items() if not name.endswith(without or ("\0",))}

    def changed(self, at: int) -> None:
        """The 384 bytes with one bit flipped; the device gives up."""
        sealed = bytearray(self.server.session_key(self.key.n, self.play.rng))
        sealed[at] ^= 4
        self.play.talk.say(CLOUD, bytes(sealed))
        self.play.given_up()


@meets("lightssl.opening.unanswered", "capture-incomplete")
def syn_alone() -> Made:
    tcp = Tcp("syn alone")
    tcp.play.connect()
    del tcp.play.trace.frames[1:]
    return tcp.play.trace, {}


@meets("lightssl.opening.no_nonce", "capture-incomplete")
def ends_connected() -> Made:
    return Tcp("ends connected").play.connect().trace, {}


@meets("lightssl.opening.no_identity", "capture-incomplete")
def ends_at_nonce() -> Made:
    return Tcp("ends at nonce").play.connect().nonce().trace, {}


@meets("lightssl.sessionkey.truncated", "capture-incomplete")
def ends_in_session_key() -> Made:
    return Tcp("ends in session key").play.connect().nonce().identity().session_key(length=200).trace, {}


@meets("lightssl.session.unanswered_hello", "capture-incomplete")
def ends_at_hello() -> Made:
    tcp = Tcp("ends at hello")
    play = tcp.play.connect().nonce().identity().session_key()
    play.talk.say(DEVICE, play.begin().device_hello(15, platform=6, product=6))
    return play.trace, {}


@meets("lightssl.session.corrupt_hello", "record-corrupt")
def corrupt_hello() -> Made:
    tcp = Tcp("corrupt hello")
    play = tcp.play.connect().nonce().identity().session_key()
    hello = bytearray(play.begin().device_hello(15, platform=6, product=6))
    hello[-1] ^= 1
    play.talk.say(DEVICE, bytes(hello))
    return play.rejected().trace, tcp.keys()


def cut_off(trace: Trace) -> Trace:
    """The same packets with nothing behind their TCP header."""
    trace.frames[:] = [frame.cut(54) for frame in trace.frames]
    return trace


@meets("lightssl.opening.sizes_alone", "capture-incomplete")
def cut_portal() -> Made:
    play = Tcp("cut portal").play.connect()
    play.talk.say(CLOUD, bytes(range(200)))
    play.talk.say(DEVICE, bytes(256))
    return cut_off(play.trace), {}


@meets("lightssl.session.unseen", "capture-incomplete")
def cut_session() -> Made:
    play = Tcp("cut session").play
    play.whole()
    return cut_off(play.trace), {}


@meets("lightssl.opening.answered_too_late", "connect-unanswered")
def late_answer() -> Made:
    talk = Tcp("late answer").play.talk
    talk.segment(DEVICE, SYN)
    talk.trace.wait(5.4)
    talk.segment(CLOUD, SYN | ACK)
    talk.trace.wait(0.0001)
    talk.segment(DEVICE, RST)
    return talk.trace, {}


@meets("lightssl.identity.key_of_another_cloud", "server-key-mismatch")
def another_clouds_key() -> Made:
    tcp = Tcp("another cloud's key")
    tcp.play.whole()
    trace = tcp.play.trace
    trace.wait(5)
    other, key = cloud_key("other"), tcp.lab.rsa("second")
    stranger = replace(tcp.device, id=tcp.lab.id(), slot=slot(key.pkcs1, 612), server=server_slot(other.spki, None))
    host = Host.of("192.168.1.210", "e0:4f:43:00:01:d2", 128)
    Scene(tcp.lab, stranger, tcp.server, key.n, trace=trace, host=host).connect().nonce().identity().rejected()
    return trace, tcp.keys() | {"cloud.pem": other.private_pem}


@meets("lightssl.unopened.rejected", "device-key-mismatch")
def record_not_in_hand() -> Made:
    tcp = Tcp("record not in hand")
    tcp.play.connect().nonce().identity().rejected()
    return tcp.play.trace, tcp.keys()


@meets("lightssl.unopened.unusable_cloud_key", "server-fault")
def unusable_cloud_key() -> Made:
    tcp = Tcp("cloud key of another size")
    tcp.device.server = server_slot(cloud_key("other").spki, None)
    tcp.play.connect().nonce().identity().rejected()
    large = generate_private_key(65537, 3072)
    pem = large.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    without = ("default_key.pem", "default_key.pub.pem", ".server_key.der")
    return tcp.play.trace, tcp.keys(*without) | {"default_key.pem": pem}


@meets("lightssl.unopened.not_opened", "server-key-mismatch")
def not_opened() -> Made:
    tcp = Tcp("not opened")
    tcp.play.whole()
    trace, key = tcp.play.trace, tcp.lab.rsa("second")
    stranger = replace(
        tcp.device, id=tcp.lab.id(), slot=slot(key.pkcs1, 612), server=server_slot(cloud_key("other").spki, None)
    )
    host = Host.of("192.168.1.210", "e0:4f:43:00:01:d2", 128)
    for _ in range(2):
        trace.wait(5)
        Scene(tcp.lab, stranger, tcp.server, key.n, trace=trace, host=host).connect().nonce().identity().rejected()
    return trace, tcp.keys()


@meets("lightssl.sessionkey.no_key", "device-key-corrupt")
def blank_slot() -> Made:
    tcp = Tcp("blank slot")
    tcp.device.slot = slot(b"", 612)
    tcp.play.connect().nonce().identity().session_key().given_up()
    return tcp.play.trace, tcp.keys(f"{tcp.device.hex}.der")


@meets("lightssl.sessionkey.unusable_device_key", "device-key-corrupt")
def unusable_device_key() -> Made:
    tcp = Tcp("unusable device key")
    tcp.device.slot = tcp.device.slot[:200] + bytes(300) + tcp.device.slot[500:]
    tcp.play.connect().nonce().identity().session_key().given_up()
    return tcp.play.trace, tcp.keys("default_key.pem", ".pub.pem")


@meets("lightssl.sessionkey.changed_signature", "session-key-unusable")
def changed_signature() -> Made:
    tcp = Tcp("changed signature")
    tcp.play.connect().nonce().identity()
    tcp.changed(200)
    return tcp.play.trace, tcp.keys()


@meets("lightssl.sessionkey.right_copy", "session-key-unusable")
def right_copy() -> Made:
    tcp = Tcp("changed session key")
    tcp.records = "core_keys/"
    tcp.play.connect().nonce().identity()
    tcp.changed(100)
    return tcp.play.trace, tcp.keys()


@meets("lightssl.sessionkey.signature_of_another_message", "server-signature-mismatch")
def signature_of_another_message() -> Made:
    tcp = Tcp("signature of another message")
    tcp.play.connect().nonce().identity()
    first, second = (tcp.server.session_key(tcp.key.n, tcp.play.rng) for _ in range(2))
    tcp.play.talk.say(CLOUD, first[:128] + second[128:])
    return tcp.play.given_up().trace, tcp.keys()


@meets("lightssl.sessionkey.signed_in_another_form", "server-signature-mismatch")
def signed_in_another_form() -> Made:
    tcp = Tcp("signed in another form")
    tcp.play.connect().nonce().identity()
    message = tcp.server.session_key(tcp.key.n, tcp.play.rng)
    digest = pkcs1_open(pow(int.from_bytes(message[128:], "big"), 65537, tcp.server.key.n), 256, 1)
    assert digest is not None
    algorithm = bytes.fromhex("3021300906052b0e03021a05000414")  # DigestInfo for SHA-1, RFC 8017 section 9.2
    signed = tcp.server.key.private(pkcs1_pad(1, algorithm + digest, 256))
    tcp.play.talk.say(CLOUD, message[:128] + signed.to_bytes(256, "big"))
    return tcp.play.given_up().trace, tcp.keys()


@meets("lightssl.sessionkey.signed_by_nobody_known", "server-signature-mismatch")
def signed_by_nobody_known() -> Made:
    tcp = Tcp("signed by nobody known")
    tcp.play.connect().nonce().identity().session_key().given_up()
    keys = tcp.keys(".server_key.der", "default_key.pem", "default_key.pub.pem")
    return tcp.play.trace, keys | {"default_key.pub.pem": cloud_key("other").public_pem}


# -- DTLS --------------------------------------------------------------------------------------------------------------


def dtls(name: str, **options: object) -> DtlsScene:
    return DtlsScene(Lab(f"rule {name}"), **options)  # type: ignore[arg-type]


def secret(play: DtlsScene) -> dict[str, bytes]:
    return {"session.keylog": play.secrets.keylog}


@meets("dtls.opening.unanswered", "capture-incomplete")
def hello_alone() -> Made:
    play = dtls("hello alone")
    play.send(DEVICE, play.hs.client_hello())
    return play.trace, {}


@meets("dtls.opening.after_cookie", "capture-incomplete")
def ends_at_cookie() -> Made:
    return dtls("ends at cookie").hello().trace, {}


@meets("dtls.opening.after_cookie", "handshake-stalled")
def stalls_at_cookie() -> Made:
    play = dtls("stalls at cookie").hello()
    play.repeat(DEVICE, 3, 6)
    return play.trace, {}


@meets("dtls.device.stalled", "capture-incomplete")
def ends_at_device_flight() -> Made:
    return dtls("ends at device flight").hello().server_flight().device_flight().trace, {}


@meets("dtls.session.hello_to_come", "healthy")
def ends_at_finish() -> Made:
    return dtls("ends at finish").handshake().trace, {}


@meets("dtls.session.hello_to_come", "capture-incomplete")
def ends_in_finish() -> Made:
    play = dtls("ends in finish").hello().server_flight().device_flight()
    play.send(CLOUD, *play.hs.cloud_finish()[:1])
    return play.trace, {}


@meets("dtls.session.no_hello", "handshake-stalled")
def no_hello() -> Made:
    play = dtls("no hello").handshake()
    later(play.lab, play.trace, 9)
    return play.trace, {}


@meets("dtls.session.unanswered_hello", "capture-incomplete")
def ends_at_dtls_hello() -> Made:
    play = dtls("ends at dtls hello").handshake()
    play.data(DEVICE, play.coap.hello())
    return play.trace, {}


@meets("dtls.session.ended_at_once", "handshake-rejected")
def ended_at_once() -> Made:
    play = dtls("ended at once").handshake()
    play.udp.say(CLOUD, play.secrets.seal(CLOUD, ALERT, b"\2\x28"))
    return play.trace, secret(play)


@meets("dtls.session.displaced", "session-displaced")
def displaced() -> Made:
    first = dtls("displaced").handshake().greet()
    first.trace.wait(20)
    second = DtlsScene(first.lab, ident=first.ident, device=first.key, trace=first.trace)
    second.udp = UdpTalk(first.trace, Host.of("192.168.1.202", "02:00:00:00:00:02"), first.lab.cloud, 5684, 5684)
    second.handshake().greet()
    first.data(DEVICE, first.coap.ping(DEVICE))
    first.udp.say(CLOUD, first.secrets.seal(CLOUD, ALERT, b"\1\0"))
    return first.trace, first.ticket() | {"a.keylog": first.secrets.keylog, "b.keylog": second.secrets.keylog}


@meets("dtls.opening.cut_packets", "capture-incomplete")
def cut_packets() -> Made:
    play = dtls("cut packets").hello()
    play.trace.frames[:] = [replace(frame, data=frame.data[:80]) for frame in play.trace.frames]
    return play.trace, {}


@meets("dtls.opening.late_start", "capture-incomplete")
def late_start() -> Made:
    play = dtls("late start").hello()
    play.trace.frames.clear()
    play.server_flight().device_flight()
    return play.trace, {}


@meets("dtls.opening.somebody_else", "not-the-cloud")
def somebody_else() -> Made:
    play = dtls("somebody else")
    play.send(DEVICE, play.hs.client_hello())
    play.reply()
    play.udp.say(CLOUD, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    return play.trace, {}


@meets("dtls.opening.repeated_answer", "handshake-stalled")
def repeated_answer() -> Made:
    play = dtls("repeated answer").hello().server_flight()
    before, flight = play.hs, play.last
    play.trace.wait(9)
    play.fresh()
    play.send(DEVICE, play.hs.client_hello())
    play.reply()
    play.send(CLOUD, *before.again(CLOUD, flight))
    later(play.lab, play.trace, 9)
    return play.trace, {}


@meets("dtls.opening.untold", "capture-incomplete")
def untold() -> Made:
    """The cloud says HelloRequest and nothing else."""
    play = dtls("untold")
    play.send(DEVICE, play.hs.client_hello())
    play.reply()
    play.udp.say(CLOUD, bytes.fromhex("16fefd0000000000000000000c" + "00" * 12))
    later(play.lab, play.trace, 9)
    return play.trace, {}


@meets("dtls.device.unknown_device", "device-unknown")
def unknown_device() -> Made:
    play = dtls("unknown device").handshake()
    play.data(DEVICE, play.coap.hello())
    play.udp.say(CLOUD, play.secrets.seal(CLOUD, ALERT, b"\2\x31"))
    others = {f"0123456789abcdef0123456{n}.cloud.pub.der": play.lab.ec(f"another {n}").spki for n in range(2)}
    return play.trace, play.ticket(on_file=None, device=None) | secret(play) | others


def flipped(play: DtlsScene, wanted: bytes, at: int) -> None:
    """Flip one bit of the first datagram that holds ``wanted``, ``at`` bytes behind its start; its checksum stays away."""
    number, frame = next((n, f) for n, f in enumerate(play.trace.frames) if wanted in f.data)
    data = bytearray(frame.data)
    data[frame.data.find(wanted) + at] ^= 1
    udp = 14 + 20
    data[udp + 6 : udp + 8] = b"\0\0"  # no checksum (RFC 768)
    play.trace.frames[number] = replace(frame, data=bytes(data))


@meets("dtls.server.altered", "handshake-stalled")
def altered_answer() -> Made:
    play = dtls("altered answer, silence").hello().server_flight()
    flipped(play, b"\x03\x00\x17\x41\x04", 20)
    later(play.lab, play.trace, 9)
    return play.trace, play.ticket()


@meets("dtls.server.undelivered", "handshake-stalled")
def answer_undelivered() -> Made:
    play = dtls("mtu down").hello()
    asked, flight = play.last, play.hs.server_flight()
    play.send(CLOUD, *flight)
    for pause in (2.8, 6):
        play.trace.wait(pause)
        play.send(DEVICE, *play.hs.again(DEVICE, asked))
        play.reply()
        play.send(CLOUD, *play.hs.again(CLOUD, flight))
    return play.trace, play.ticket(stored=server_slot(cloud_ec("other").spki, "$id.udp.particle.io", size=320))


@meets("dtls.device.altered", "handshake-rejected")
def altered_certificate() -> Made:
    play = dtls("altered certificate", library=V216).hello().server_flight()
    play.send(DEVICE, *play.hs.device_flight())
    play.send(CLOUD, play.hs.alert(CLOUD, 2, 50))
    flipped(play, play.key.spki, 40)
    return play.trace, play.ticket()


@meets("dtls.device.altered", "handshake-stalled")
def altered_certificate_silent() -> Made:
    play = dtls("altered certificate, silence", library=V216).hello().server_flight()
    play.send(DEVICE, *play.hs.device_flight())
    flipped(play, play.key.spki, 40)
    later(play.lab, play.trace, 9)
    return play.trace, play.ticket()


@meets("dtls.server.cloud_key_changed", "server-key-mismatch")
def cloud_key_changed() -> Made:
    play = dtls("cloud key changed").handshake().greet()
    first = play.secrets
    play.trace.wait(60)
    play.cloud = cloud_ec("the new one")
    for _ in range(2):
        play.fresh()
        play.hello().server_flight()
        play.trace.wait(1)
    keys = {"server.der": play.cloud.sec1, "old.server.pub.der": cloud_ec().spki, "a.keylog": first.keylog}
    return play.trace, keys


@meets("dtls.server.another_server", "handshake-stalled")
def another_server() -> Made:
    play = dtls("another server", cloud=cloud_ec("impostor")).hello().server_flight()
    later(play.lab, play.trace, 9)
    real = cloud_ec()
    keys = play.ticket(stored=server_slot(real.spki, "$id.udp.particle.io", size=320), cloud=real.sec1)
    return play.trace, keys | {"server.pub.der": real.spki}


@meets("dtls.server.unknown_signature", "server-key-mismatch")
def unknown_signature() -> Made:
    play = dtls("unknown signature").hello().server_flight()
    later(play.lab, play.trace, 9)
    stored = server_slot(cloud_ec("other").spki, "$id.udp.particle.io", size=320)
    keys = play.ticket(stored=stored)
    return play.trace, {name: data for name, data in keys.items() if not name.startswith("server")}


@meets("dtls.server.erased_server_key", "server-key-erased")
def erased_server_key() -> Made:
    play = dtls("erased server key").hello().server_flight()
    later(play.lab, play.trace, 9)
    return play.trace, play.ticket(stored=b"\xff" * 320)


@meets("dtls.server.refused_by_device", "handshake-rejected")
def refused_by_device() -> Made:
    play = dtls("refused by device").hello().server_flight()
    play.send(DEVICE, play.hs.alert(DEVICE, 2, 40))
    return play.trace, {}


@meets("dtls.server.refused_by_device", "profile-mismatch")
def unexpected_message() -> Made:
    play = dtls("unexpected message").hello().server_flight()
    play.send(DEVICE, play.hs.alert(DEVICE, 2, 10))
    return play.trace, {}


@meets("dtls.resumed.unseen", "capture-incomplete")
def clouds_side_alone() -> Made:
    play = dtls("cloud's side alone", device_port=50001).handshake().greet()
    play.trace.frames.clear()
    for _ in range(3):
        play.data(CLOUD, play.coap.ack(CLOUD))
        play.trace.wait(25)
    return play.trace, {}


@meets("dtls.resumed.unanswered", "capture-incomplete")
def starts_behind_handshake() -> Made:
    play = dtls("starts behind handshake").handshake()
    play.trace.frames.clear()
    play.insist(play.coap.hello())
    return play.trace, {}
