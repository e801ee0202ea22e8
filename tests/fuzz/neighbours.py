"""A healthy session of the same device with the same keys, before or after what a capture holds.

Made by `captures.synth` (device, cloud and arithmetic written a second time) from the key files of the case.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from captures.synth.case import Lab
from captures.synth.dtls import V212
from captures.synth.dtls_scene import DtlsScene
from captures.synth.keys import EcKey, RsaKey, server_slot, slot
from captures.synth.lightssl import Device, Server
from captures.synth.scene import Scene
from captures.synth.talk import DEVICE, Host, Trace
from tests.fuzz.folders import Folder, private_key, role_of
from tests.fuzz.frames import ETHERNET, SECOND, UDP, Frame, Pcap, Talk
from tests.fuzz.wires import handshake_type

#: From when to when (ns) the healthy session lasts, and the capture with it.
Beside = tuple[Pcap, tuple[int, int]]


def healthy_beside(pcap: Pcap, talk: Talk, folder: Folder, before: bool) -> Beside | None:
    """The capture with a healthy session of that device at that cloud; None where the keys for one are not there."""
    if pcap.link != ETHERNET or (talk.protocol == UDP and handshake_type(talk.packets[0][1].payload) != 1):
        return None  # a session that goes on from before the capture leaves no room for another
    found = {}
    for name, data in sorted(folder.items()):
        if (role := role_of(name)) in ("device", "cloud") and role not in found:
            found[role] = (name, data, private_key(data))
    if "device" not in found or "cloud" not in found:
        return None
    (name, stored, device), (_, _, cloud) = found["device"], found["cloud"]
    ident = bytes.fromhex(name.rsplit("/", 1)[-1][:24])
    lab = Lab(f"beside/{name}")
    start = pcap.frames[0].time - 90 * SECOND if before else pcap.frames[-1].time + 20 * SECOND
    lab.start = start // 1000 * 1000
    lab.device = Host(talk.device[0], bytes.fromhex("e04f43000001"), 64)
    lab.cloud = Host(talk.cloud[0], bytes.fromhex("02005e000101"), 52)
    if isinstance(device, rsa.RSAPrivateKey) and isinstance(cloud, rsa.RSAPrivateKey):
        made = _tcp(
            lab, Device(ident, slot(stored, 612), server_slot(_rsa(cloud).spki, talk.cloud[0])), device, cloud, talk
        )
    elif isinstance(device, ec.EllipticCurvePrivateKey) and isinstance(cloud, ec.EllipticCurvePrivateKey):
        made = _udp(lab, ident, device, cloud, talk)
    else:
        return None
    if made is None:
        return None
    added = [Frame(frame.time_ns, frame.data, frame.length) for frame in made.frames]
    span = added[0].time, added[-1].time
    frames = [*added, *pcap.frames] if before else [*pcap.frames, *added]
    return pcap.having(frames), span


def _rsa(key: rsa.RSAPrivateKey) -> RsaKey:
    numbers = key.private_numbers()
    return RsaKey(max(numbers.p, numbers.q), min(numbers.p, numbers.q))


def _tcp(lab: Lab, device: Device, private: rsa.RSAPrivateKey, cloud: rsa.RSAPrivateKey, talk: Talk) -> Trace | None:
    public, server = private.public_key().public_numbers().n, Server(_rsa(cloud))
    if isinstance(device.accept(server.session_key(public, lab.rng)), str):
        return None  # a damaged key: no such session is possible
    scene = Scene(lab, device, server, public, port=talk.cloud[1]).whole(pings=1)
    scene.talk.close(DEVICE)
    return scene.trace


def _udp(
    lab: Lab, ident: bytes, key: ec.EllipticCurvePrivateKey, cloud: ec.EllipticCurvePrivateKey, talk: Talk
) -> Trace:
    scene = DtlsScene(
        lab,
        library=V212,
        device=EcKey(key.private_numbers().private_value),
        cloud=EcKey(cloud.private_numbers().private_value),
        ident=ident,
        port=talk.cloud[1],
        device_port=talk.device[1],
    )
    scene.handshake().greet().ping()
    return scene.trace
