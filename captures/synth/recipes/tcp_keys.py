"""TCP: good sessions of every generation, and every way in which a key can be wrong."""

from __future__ import annotations

from random import Random

from captures.synth.case import Case, Lab, case, cloud_key, expect, pcap
from captures.synth.keys import RsaKey, rsa_spki, server_slot, slot
from captures.synth.lightssl import Server, ec_in_rsa_slot
from captures.synth.scene import Scene, sound, ticket
from captures.synth.talk import CLOUD, DEVICE

HEALTHY = expect("healthy", "proven")
LOOKS_HEALTHY = expect("healthy", "inferred")
#: "40 down, 256 up, FIN by the cloud": what it may be when no key decides.
REJECTED = expect(
    "identity-rejected", "undetermined", alternatives="server-key-mismatch device-key-mismatch device-unknown"
)
UNUSABLE = expect("session-key-unusable", "undetermined", alternatives="device-key-mismatch server-signature-mismatch")


def healthy(lab: Lab, truth: str, *, size: int = 15, kind: str = "bp", **options: bool) -> Case:
    device, server, key = sound(lab, **options)
    scene = Scene(lab, device, server, key.n, kind=kind, modern=not device.short).whole(size)
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), HEALTHY, LOOKS_HEALTHY)


@case("synth-healthy-photon", "Is this Photon (0.6.3, Brewskey server) all right?")
def photon(lab: Lab) -> Case:
    return healthy(lab, "nothing is wrong: 214-byte identity, 15-byte Hello, Brewskey Hello without token")


@case("synth-healthy-core", "Is this Spark Core all right?")
def core(lab: Lab) -> Case:
    truth = "nothing is wrong: 52-byte identity, 13-byte Hello, spark-protocol Hello with token"
    return healthy(lab, truth, size=13, kind="sp", short=True)


@case("synth-healthy-v3", "Is this P1 (device-os 3.x) all right?")
def third(lab: Lab) -> Case:
    truth = "nothing is wrong: 27-byte Hello (34 on the wire), message ids seeded the LightSSL way"
    return healthy(lab, truth, size=27, little=True)


@case("synth-device-exponent-damaged", "The private key file does not load in openssl. Is that why it fails?")
def exponent(lab: Lab) -> Case:
    device, server, key = sound(lab)
    damaged = bytearray(device.slot)
    damaged[160:163] = bytes(byte ^ 0x5A for byte in damaged[160:163])
    device.slot = bytes(damaged)
    scene = Scene(lab, device, server, key.n).whole()
    truth = "D is damaged, but the firmware computes with the CRT parts only: the session is good"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), HEALTHY, LOOKS_HEALTHY)


@case("synth-server-key-mismatch", "Fast cyan, one red flash, -19. Which key?")
def server_mismatch(lab: Lab) -> Case:
    device, server, key = sound(lab)
    device.server = server_slot(cloud_key("other").spki, lab.cloud.ip)
    scene = Scene(lab, device, server, key.n).connect().nonce().identity().rejected()
    scene.trace.wait(0.75)
    again = Scene(lab, device, server, key.n, trace=scene.trace).connect().nonce().identity().rejected()
    truth = "the device holds another cloud's public key: this cloud cannot open the 256 bytes"
    proven = expect("server-key-mismatch", "proven")
    return Case(truth, pcap(again.trace), ticket(device, server.key, key), proven, REJECTED)


@case("synth-server-key-erased", "-19 after a brown-out; no keys at hand. Can anything be said?")
def erased(lab: Lab) -> Case:
    device, server, key = sound(lab)
    device.server = server_slot(b"", lab.cloud.ip)
    scene = Scene(lab, device, server, key.n).connect().nonce().identity().rejected()
    truth = "the server-key slot is blank flash: the device encrypts under 2^2048-1, which anybody can open"
    proven = expect("server-key-erased", "proven")
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), proven, proven)


@case("synth-server-key-zeroed", "The device connects, gets the nonce and hangs up without a word.")
def zeroed(lab: Lab) -> Case:
    device, server, key = sound(lab)
    device.server = server_slot(bytes(294), lab.cloud.ip)
    scene = Scene(lab, device, server, key.n).connect().nonce()
    scene.given_up()
    truth = "the server-key slot is all zero: the firmware's RSA encryption fails (-4) and it sends nothing"
    keys = ticket(device, server.key, key)
    return Case(truth, pcap(scene.trace), keys, expect("server-key-erased no-identity"), expect("no-identity"))


@case("synth-server-signature-mismatch", "Magenta flash: the signature does not verify. Whose is it?")
def signature(lab: Lab) -> Case:
    device, _, key = sound(lab)
    server = Server(cloud_key(), signer=cloud_key("other"))
    scene = Scene(lab, device, server, key.n).connect().nonce().identity().session_key()
    assert device.accept(scene.sealed) == "signature"
    scene.given_up()
    scene.trace.wait(0.7)
    again = Scene(lab, device, server, key.n, trace=scene.trace).connect().nonce().identity().session_key()
    again.given_up()
    truth = "the cloud opens the identity with the right key but signs with another one"
    proven = expect("server-signature-mismatch", "proven")
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), proven, UNUSABLE)


@case("synth-device-key-mismatch-brewskey", "One red flash, -19, on a Brewskey server. Which key?")
def device_mismatch(lab: Lab) -> Case:
    device, server, _ = sound(lab)
    other = lab.rsa("on file")
    scene = Scene(lab, device, server, other.n).connect().nonce().identity().rejected()
    truth = "the cloud has another public key on file and refuses the one in the identity"
    proven = expect("device-key-mismatch", "proven")
    return Case(truth, pcap(scene.trace), ticket(device, server.key, other), proven, REJECTED)


@case("synth-device-key-mismatch-spark", "One orange flash on a spark-protocol server. Which key?")
def device_mismatch_spark(lab: Lab) -> Case:
    device, server, _ = sound(lab)
    other = lab.rsa("on file")
    scene = Scene(lab, device, server, other.n, kind="sp").connect().nonce().identity().session_key()
    assert device.accept(scene.sealed) == "decryption"
    scene.given_up()
    truth = "the cloud seals the session key for another public key: the device cannot open it"
    proven = expect("device-key-mismatch", "proven")
    return Case(truth, pcap(scene.trace), ticket(device, server.key, other), proven, UNUSABLE)


@case("synth-device-unknown", "A new Photon on our own cloud: -19 at once.")
def unknown(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect().nonce().identity().rejected()
    truth = "the cloud has no public key for this id; everything the device sent is right"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, None), expect("device-unknown"), REJECTED)


def corrupt(lab: Lab, truth: str, damaged: bytes, *, proven: bool = True) -> Case:
    """The slot holds ``damaged``; a Brewskey server sees a tail that is not the key on file."""
    device, server, key = sound(lab)
    device.slot = damaged
    scene = Scene(lab, device, server, key.n).connect().nonce().identity().rejected()
    answer = expect("device-key-corrupt", "proven" if proven else "")
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, REJECTED)


@case("synth-device-key-blank", "keys save gives a file of FF bytes. Is the device's key gone?")
def blank(lab: Lab) -> Case:
    return corrupt(lab, "the private-key slot is blank flash", slot(b"", 612))


@case("synth-device-key-pkcs8", "Since `keys doctor` with OpenSSL 3 it is worse than before.")
def pkcs8(lab: Lab) -> Case:
    truth = "the slot holds PKCS#8; the firmware reads PKCS#1 by position"
    return corrupt(lab, truth, lab.rsa().pkcs8[:612])


@case("synth-device-key-ec", "A TCP Electron after `keys doctor`: ASN.1 errors on the server.")
def elliptic(lab: Lab) -> Case:
    return corrupt(lab, "the slot holds an EC private key (the CLI loaded the UDP one)", ec_in_rsa_slot(lab.ec()))


@case("synth-device-key-prime-damaged", "Orange flash, and the cloud's copy of the public key is right.")
def prime(lab: Lab) -> Case:
    device, server, key = sound(lab)
    damaged = bytearray(device.slot)
    offset = device.slot.index(key.q.to_bytes(64, "big"))
    damaged[offset + 40] ^= 0x10
    device.slot = bytes(damaged)
    scene = Scene(lab, device, server, key.n, kind="sp").connect().nonce().identity().session_key()
    assert device.accept(scene.sealed) == "decryption"
    scene.given_up()
    truth = "one bit of a prime is damaged in the device's flash: the CRT result is wrong, the modulus is intact"
    proven = expect("device-key-corrupt", "proven")
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), proven, UNUSABLE)


@case("synth-device-key-short-integer", "Orange flash, although openssl finds nothing wrong with the device's key.")
def irregular(lab: Lab) -> Case:
    device, server, _ = sound(lab)
    rng = Random(f"{lab.name}/irregular")
    while (key := RsaKey.generate(rng, 1024)).regular:
        pass
    device.slot = slot(key.pkcs1, 612)
    scene = Scene(lab, device, server, key.n, kind="sp").connect().nonce().identity().session_key()
    assert device.accept(scene.sealed) == "decryption"
    scene.given_up()
    truth = (
        "a number of the PKCS#1 form is a byte shorter than usual: the firmware's positional reader misreads the key"
    )
    answer = expect("device-key-corrupt session-key-unusable")
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, UNUSABLE)


@case("synth-identity-rejected", "-19, and only the device's own files are at hand.")
def rejected(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, lab.rsa("on file").n).connect().nonce().identity().rejected()
    truth = "the cloud has another key on file, but nothing in this folder can show it"
    return Case(truth, pcap(scene.trace), ticket(device, None, None), REJECTED, REJECTED)


@case("synth-session-key-unusable", "A Core gives up after 384 bytes; the device cannot be read out any more.")
def unusable(lab: Lab) -> Case:
    device, server, key = sound(lab, short=True)
    other = lab.rsa("on file")
    scene = Scene(lab, device, server, other.n, kind="sp", modern=False).connect().nonce().identity().session_key()
    scene.given_up()
    truth = "the cloud's copy is not the device's key; a 52-byte identity carries no key to compare it with"
    keys = ticket(device, server.key, other)
    del keys[f"{device.hex}.der"]
    # The signature opens with the key on file on both sides: that cause is excluded.
    answer = expect("session-key-unusable", "undetermined", alternatives="device-key-mismatch")
    return Case(truth, pcap(scene.trace), keys, answer, UNUSABLE)


@case("synth-nonce-mismatch", "-19 behind a proxy that keeps connections.")
def nonce(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect().nonce().identity(echo=lab.rng.randbytes(40)).rejected()
    truth = "the nonce in the identity is not the one on this connection"
    proven = expect("nonce-mismatch", "proven")
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), proven, REJECTED)


@case("synth-server-key-by-range", "Which of two server keys does this device use? Only public keys are at hand.")
def bound(lab: Lab) -> Case:
    device, server, key = sound(lab)
    # A modulus so large that what is encrypted under it often exceeds the cloud's own.
    large = (1 << 2048) - 1 - lab.rng.getrandbits(1024) * 2
    device.server = server_slot(rsa_spki(large), lab.cloud.ip)
    scene = Scene(lab, device, server, key.n).connect().nonce()
    message = b""
    while int.from_bytes(message, "big") <= server.key.n:
        message = device.identity(scene.challenge, lab.rng)
    scene.talk.say(DEVICE, message)
    scene.trace.wait(0.01)
    scene.rejected()
    truth = "the ciphertext is larger than this cloud's modulus: it cannot have been made with this cloud's key"
    keys = ticket(device, None, None) | {"default_key.pub.pem": server.key.public_pem}
    del keys[f"{device.hex}.server_key.der"]
    return Case(truth, pcap(scene.trace), keys, expect("server-key-mismatch identity-rejected"), REJECTED)


@case("synth-brewskey-ec-on-file", "The device waits 20 s after a short answer.")
def ec_on_file(lab: Lab) -> Case:
    device, server, key = sound(lab)
    other = lab.ec("on file")
    scene = Scene(lab, device, server, key.n).connect().nonce().identity()
    # node-rsa cannot: DeviceKey.encrypt() of an EC key gives an ECDSA signature, 70 to 72 bytes (tcp.md 1.4).
    sealed = other.sign(lab.rng.randbytes(40))
    whole = server.session_key(key.n, lab.rng)
    scene.talk.say(CLOUD, sealed + whole[128:])
    scene.trace.wait(20)
    scene.talk.close(DEVICE)
    truth = "the cloud has an EC key on file for a TCP device and sends a signature where 128 bytes belong"
    keys = ticket(device, server.key, None) | {f"{device.hex}.pub.pem": other.public_pem}
    return Case(
        truth,
        pcap(scene.trace),
        keys,
        expect("device-key-mismatch session-key-truncated"),
        expect("session-key-truncated"),
    )
