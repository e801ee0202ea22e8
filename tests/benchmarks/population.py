"""A fleet behind a gateway: devices of both transports, most of them healthy, each of the others failing in its way.

Every message is real: nonces, ids, sealed keys and signatures are right where they should be and wrong where the
device's fate says so. Everything follows from the seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from random import Random

from captures.synth import wire
from captures.synth.capfile import Frame
from captures.synth.case import EPOCH, Lab, cloud_ec, cloud_key
from captures.synth.dtls import V290
from captures.synth.dtls_scene import DtlsScene
from captures.synth.keys import RsaKey, ec_private, server_slot, slot
from captures.synth.lightssl import Device, Server
from captures.synth.scene import Scene, ticket
from captures.synth.talk import CLOUD, DEVICE, SECOND, Host
from tests.benchmarks.fast_keys import FastEcKey, FastRsaKey

#: Fate -> (share of the devices, verdict with all keys in hand).
FATES: dict[str, tuple[float, str]] = {
    "tcp-healthy": (0.38, "healthy"),
    "tcp-server-key-erased": (0.03, "server-key-erased"),
    "tcp-server-key-mismatch": (0.08, "server-key-mismatch"),
    "tcp-device-key-mismatch-brewskey": (0.07, "device-key-mismatch"),
    "tcp-device-key-mismatch-spark": (0.05, "device-key-mismatch"),
    "tcp-device-unknown": (0.04, "device-unknown"),
    "tcp-server-signature-mismatch": (0.02, "server-signature-mismatch"),
    "tcp-device-key-corrupt": (0.02, "device-key-corrupt"),
    "tcp-no-nonce": (0.03, "no-nonce"),
    "tcp-connect-refused": (0.03, "connect-refused"),
    "tcp-closed-before-nonce": (0.02, "closed-before-nonce"),
    "udp-healthy": (0.15, "healthy"),
    "udp-server-key-mismatch": (0.03, "server-key-mismatch"),
    "udp-device-key-mismatch": (0.03, "device-key-mismatch"),
    "udp-device-key-corrupt": (0.01, "device-key-corrupt"),
    "udp-connect-unanswered": (0.01, "connect-unanswered"),
}
TCP_CLOUD = Host.of("203.0.113.10", "02:00:5e:00:01:01", 52)
UDP_CLOUD = Host.of("203.0.113.20", "02:00:5e:00:01:01", 52)


@cache
def server(name: str = "cloud") -> FastRsaKey:
    return FastRsaKey.of(cloud_key(name))


@cache
def server_ec(name: str = "cloud") -> FastEcKey:
    return FastEcKey(cloud_ec(name).d)


@dataclass
class Member:
    """One device of the fleet, with what it and the cloud hold."""

    number: int
    fate: str
    lab: Lab
    host: Host
    ident: bytes
    rsa: RsaKey | None = None
    on_file: RsaKey | None = None
    device: Device | None = None
    ec: FastEcKey | None = None
    point: bytes = b""
    keys: dict[str, bytes] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        return FATES[self.fate][1]


@dataclass(frozen=True)
class Attempt:
    """One session: its device and fate, its packets in order of time, its NSS key log line if it has one."""

    member: Member
    frames: list[Frame]
    keylog: bytes


def _ident(number: int) -> bytes:
    return bytes((0x3A, 0, number >> 8 & 0xFF, number & 0xFF, 0x11)) + b"G43" + f"{number % 10**4:04d}".encode()


def member(seed: int, number: int, fate: str) -> Member:
    """The device of that number; its key costs 25 ms to find on TCP."""
    lab = Lab(f"gateway/{seed}/{number}")
    host = Host.of(
        f"10.7.{number >> 8 & 255}.{number & 255}", f"e0:4f:43:07:{number >> 8 & 255:02x}:{number & 255:02x}"
    )
    made = Member(number, fate, lab, host, _ident(number))
    (_equip_tcp if fate.startswith("tcp-") else _equip_udp)(made)
    return made


def _equip_tcp(made: Member) -> None:
    made.lab.device, made.lab.cloud = made.host, TCP_CLOUD
    key = made.rsa = made.lab.rsa()
    device = made.device = Device.make(made.ident, key, server().spki, TCP_CLOUD.ip)
    on_file: RsaKey | None = key
    match made.fate:
        case "tcp-server-key-erased":
            device.server = server_slot(b"", TCP_CLOUD.ip)
        case "tcp-server-key-mismatch":
            device.server = server_slot(server("other").spki, TCP_CLOUD.ip)
        case "tcp-device-key-mismatch-brewskey" | "tcp-device-key-mismatch-spark":
            on_file = made.lab.rsa("on file")
        case "tcp-device-unknown":
            on_file = None
        case "tcp-device-key-corrupt":
            device.slot = key.pkcs8[:612]
    made.on_file = on_file
    made.keys = ticket(device, None, on_file)


def _equip_udp(made: Member) -> None:
    made.lab.device, made.lab.cloud = made.host, UDP_CLOUD
    key = made.ec = FastEcKey.generate(made.lab.rng)
    stored, on_file, private = server_ec().spki, key.spki, key.sec1
    match made.fate:
        case "udp-server-key-mismatch":
            stored = server_ec("other").spki
        case "udp-device-key-mismatch":
            on_file = FastEcKey.generate(made.lab.rng).spki
        case "udp-device-key-corrupt":
            made.point = key.point
            made.ec = FastEcKey(key.d ^ 1 << 77)
            private = ec_private(made.ec.d, key.point)
    name = made.ident.hex()
    made.keys = {
        f"{name}.device.der": slot(private, 192),
        f"{name}.server.pub.der": server_slot(stored, "$id.udp.particle.io", size=320),
        f"{name}.cloud.pub.der": on_file,
    }


def cloud_keys() -> dict[str, bytes]:
    """The key files of both clouds."""
    return {
        "default_key.pem": server().private_pem,
        "default_key.pub.pem": server().public_pem,
        "server.der": server_ec().sec1,
        "server.pub.der": server_ec().spki,
    }


def attempt(made: Member, start_ns: int) -> Attempt:
    """One session of that device."""
    made.lab.start = start_ns
    if made.fate.startswith("udp-"):
        scene = _udp(made)
        keylog = scene.hs.secrets.keylog if scene.hs.secrets is not None and made.verdict == "healthy" else b""
        return Attempt(made, scene.trace.frames, keylog)
    return Attempt(made, _tcp(made).trace.frames, b"")


def _tcp(made: Member) -> Scene:
    assert made.device is not None
    assert made.rsa is not None
    signer = server("other") if made.fate == "tcp-server-signature-mismatch" else None
    cloud = Server(server(), signer)
    scene = Scene(made.lab, made.device, cloud, (made.on_file or made.rsa).n, modern=False)
    scene.trace.rng = made.lab.rng
    match made.fate:
        case "tcp-healthy":
            scene.connect().nonce().identity().session_key().hellos()
            scene.trace.wait(0.2, 0.2)
            scene.talk.close(DEVICE)
        case "tcp-device-key-mismatch-spark" | "tcp-server-signature-mismatch":
            scene.connect().nonce().identity().session_key().given_up()
        case "tcp-no-nonce":
            scene.connect().trace.wait(20)
            scene.talk.close(DEVICE)
        case "tcp-closed-before-nonce":
            scene.connect().rejected()
        case "tcp-connect-refused":
            scene.talk.segment(DEVICE, wire.SYN)
            scene.trace.wait(scene.talk.rtt)
            scene.talk.segment(CLOUD, wire.RST | wire.ACK)
        case _:
            scene.connect().nonce().identity().rejected()
    return scene


def _udp(made: Member) -> DtlsScene:
    assert made.ec is not None
    scene = DtlsScene(
        made.lab,
        library=V290,
        device=made.ec,
        cloud=server_ec(),
        point=made.point or None,
        ident=made.ident,
        device_port=made.lab.rng.randrange(49152, 65536),
    )
    match made.fate:
        case "udp-healthy":
            scene.handshake()
            scene.data(DEVICE, scene.coap.hello())
            scene.reply()
            scene.data(CLOUD, scene.coap.ack(CLOUD))
        case "udp-server-key-mismatch":
            scene.hello().server_flight()
            scene.send(DEVICE, scene.hs.alert(DEVICE, 2, 51))
        case "udp-connect-unanswered":
            scene.send(DEVICE, scene.hs.client_hello())
            scene.repeat(DEVICE, 3)
        case "udp-device-key-corrupt":
            scene.hello().server_flight().device_flight()
        case _:
            scene.hello().server_flight().device_flight()
            scene.send(CLOUD, scene.hs.alert(CLOUD, 2, 42))
    return scene


@dataclass
class Population:
    """The fleet and its timetable: ``sessions`` attempts within ``seconds``, about 40 of each device."""

    sessions: int
    seconds: float
    seed: int = 1
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = max(min(50, self.sessions), self.sessions // 40)
        rng = Random(f"fates/{self.seed}")
        fates = list(FATES)[:count]
        fates += rng.choices(list(FATES), [share for share, _ in FATES.values()], k=count - len(fates))
        self.members = [member(self.seed, number, fate) for number, fate in enumerate(fates)]

    def attempts(self) -> Iterator[Attempt]:
        """All sessions; those of one device follow each other, devices interleave."""
        rng = Random(f"times/{self.seed}")
        room = max(self.seconds - 25, 1)
        for number in range(self.sessions):
            made = self.members[number % len(self.members)]
            rounds = -(-self.sessions // len(self.members))
            share = (number // len(self.members) + 0.2 + 0.3 * rng.random()) / rounds
            yield attempt(made, EPOCH * SECOND + round(share * room * SECOND) // 1000 * 1000)

    def verdicts(self) -> Counter[str]:
        """How often each verdict must be given with all keys."""
        return Counter(self.members[number % len(self.members)].verdict for number in range(self.sessions))

    def key_files(self) -> Iterator[tuple[str, bytes]]:
        """Every key file by name (the key log apart)."""
        yield from cloud_keys().items()
        for made in self.members:
            yield from made.keys.items()


#: For whoever wants single captures of the same fleet: one attempt's frames -> a file.
Writer = Callable[[list[Frame]], bytes]
