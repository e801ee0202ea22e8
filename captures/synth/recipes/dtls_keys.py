"""DTLS: good handshakes of every generation, and every way in which a key can be wrong."""

from __future__ import annotations

from captures.synth.case import Case, Lab, case, cloud_ec, expect, pcap
from captures.synth.dtls import V212, V216, V222, V242, V290, Library
from captures.synth.dtls_scene import DtlsScene
from captures.synth.keys import EcKey, ec_private, server_slot, slot
from captures.synth.names import resolve
from captures.synth.talk import CLOUD, DEVICE

HEALTHY = expect("healthy", "proven")
LOOKS_HEALTHY = expect("healthy", "inferred")
STALLED = expect("handshake-stalled")
REJECTED = expect("handshake-rejected")


def healthy(lab: Lab, truth: str, library: Library, *, major: str = "", **options: int | bool) -> Case:
    """Name resolution, handshake, Hello, a few messages, a ping."""
    scene = DtlsScene(lab, library=library, **options)  # type: ignore[arg-type]
    resolve(lab, scene.trace, f"{scene.ident.hex()}{major}.udp.particle.io", ["203.0.113.10"])
    scene.handshake().greet()
    scene.trace.wait(23, 1)
    scene.ping()
    keys = scene.ticket() | {f"{scene.ident.hex()}.keylog": scene.secrets.keylog}
    return Case(truth, pcap(scene.trace), keys, HEALTHY, LOOKS_HEALTHY)


@case("synth-dtls-healthy-v064", "Is this Electron (0.6.4) all right?")
def electron(lab: Lab) -> Case:
    return healthy(lab, "nothing is wrong: mbedTLS 2.1.2, one record per datagram, 29-byte Hello", V212)


@case("synth-dtls-healthy-v07", "Is this Electron (0.7.0) all right?")
def seventh(lab: Lab) -> Case:
    return healthy(lab, "nothing is wrong: mbedTLS 2.4.2, no cookie exchange", V242, cookie=False)


@case("synth-dtls-healthy-v2", "Is this Boron (2.0) all right?")
def boron(lab: Lab) -> Case:
    truth = "nothing is wrong: mbedTLS 2.16, several records per datagram"
    return healthy(lab, truth, V216, major=".v2", device_port=5684)


@case("synth-dtls-healthy-v4", "Is this B-SoM (4.x) all right?")
def cid(lab: Lab) -> Case:
    truth = "nothing is wrong: connection id of draft-05, device records of type 25, 39-byte Hello"
    return healthy(lab, truth, V222, major=".v4", device_port=51234)


@case("synth-dtls-twilio", "An Electron with a Twilio SIM: Wireshark shows ESP.")
def twilio(lab: Lab) -> Case:
    return healthy(lab, "nothing is wrong; the cloud's port is 4500", V212, port=4500)


@case("synth-dtls-server-key-mismatch-silent", "Electron 0.6.4, one red flash every second.")
def silent(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V212)
    for _ in range(3):
        scene.hello().server_flight()
        scene.trace.wait(0.8)
        scene.repeat(CLOUD, 0.1)
        scene.fresh()
    truth = "the server key in the device is another one: it stops without a word after the ServerKeyExchange"
    keys = scene.ticket(stored=server_slot(cloud_ec("other").spki, "$id.udp.particle.io", size=320))
    refused = expect("server-key-mismatch", "proven")
    # Behind the last answer the capture ends: that the device refuses this one too is not in it.
    last = expect("server-key-mismatch", "inferred")
    return Case(truth, pcap(scene.trace), keys, [refused, refused, last], [STALLED] * 3)


@case("synth-dtls-server-key-mismatch-alert", "Boron 2.0, one red flash.")
def alert(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216).hello().server_flight()
    scene.send(DEVICE, scene.hs.alert(DEVICE, 2, 51))
    truth = "the server key in the device is another one: fatal alert 51 after the ServerKeyExchange"
    keys = scene.ticket(stored=server_slot(cloud_ec("other").spki, "$id.udp.particle.io", size=320))
    answer = expect("server-key-mismatch", "proven")
    return Case(truth, pcap(scene.trace), keys, answer, expect("server-key-mismatch handshake-rejected"))


@case("synth-dtls-device-key-mismatch-alert", "The key was regenerated; the cloud says bad_certificate.")
def mismatch(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V290).hello().server_flight().device_flight()
    scene.send(CLOUD, scene.hs.alert(CLOUD, 2, 42))
    truth = "the device's key is not the one the cloud has on file"
    keys = scene.ticket(on_file=lab.ec("on file").spki)
    answer = expect("device-key-mismatch", "proven")
    return Case(truth, pcap(scene.trace), keys, answer, REJECTED)


@case("synth-dtls-device-key-mismatch-silent", "The cloud stops answering after the device's flight.")
def mismatch_silent(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V212)
    # Twice: that the cloud answers the second ClientHello shows that it is there, and passes over the flight on purpose.
    for _ in range(2):
        scene.hello().server_flight().device_flight()
        scene.repeat(DEVICE, 3)
        scene.trace.wait(7)
        scene.fresh()
    truth = "the device's key is not the one the cloud has on file; the cloud ignores it"
    # Nothing names the device but the folder, which has files of one device only: it could be another one's traffic.
    keys = scene.ticket(on_file=lab.ec("on file").spki, device=None)
    answer = expect("device-key-mismatch", "inferred")
    return Case(truth, pcap(scene.trace), keys, [answer] * 2, [STALLED] * 2)


@case("synth-dtls-device-key-mismatch-hello", "Handshake complete, Hello ignored.")
def mismatch_hello(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216)
    # Twice: one silence may be a path that broke or a host that hangs.
    for _ in range(2):
        scene.fresh()
        scene.handshake()
        scene.insist(scene.coap.hello())
    truth = "the cloud compares keys only at the Hello, finds another one on file and drops the session"
    keys = scene.ticket(on_file=lab.ec("on file").spki)
    answer = expect("device-key-mismatch", "proven")
    return Case(truth, pcap(scene.trace), keys, [answer] * 2, [expect("hello-unanswered")] * 2)


@case("synth-dtls-device-unknown", "A new device on a staging cloud.")
def unknown(lab: Lab) -> Case:
    scene = DtlsScene(lab, library=V216).hello().server_flight().device_flight()
    scene.send(CLOUD, scene.hs.alert(CLOUD, 2, 42))
    truth = "the cloud has no key for this device"
    answer = expect("device-unknown handshake-rejected")
    return Case(truth, pcap(scene.trace), scene.ticket(on_file=None), answer, REJECTED)


@case("synth-dtls-device-key-corrupt", "The wire shows the right public key and yet the cloud stays silent.")
def corrupt(lab: Lab) -> Case:
    sound = lab.ec()
    damaged = EcKey(sound.d ^ 1 << 77)
    scene = DtlsScene(lab, library=V212, device=damaged, point=sound.point)
    # A second attempt, with another signature by the same wrong scalar, excludes damage on the way.
    for _ in range(2):
        scene.hello().server_flight().device_flight()
        scene.repeat(DEVICE, 3)
        scene.trace.wait(7)
        scene.fresh()
    truth = "one bit of the private scalar is damaged: the CertificateVerify does not hold under the key beside it"
    keys = scene.ticket(on_file=sound.spki, device=slot(ec_private(damaged.d, sound.point), 192))
    answer = expect("device-key-corrupt", "proven")
    return Case(truth, pcap(scene.trace), keys, answer, answer)
