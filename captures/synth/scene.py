"""A device and a cloud on one TCP connection, stage by stage, with what each side does next at its own pace."""

from __future__ import annotations

from collections.abc import Sequence

from captures.synth.case import Lab, cloud_key
from captures.synth.keys import RsaKey
from captures.synth.lightssl import Credentials, Device, Server, Session
from captures.synth.talk import CLOUD, DEVICE, Host, Link, TcpTalk, Trace

DESCRIBE = '{"f":["lamp"],"v":{"level":2}}'


class Scene:
    """One connection. Methods go through the handshake; each moves the clock as the real sides would.

    ``kind`` is the server: ``"bp"`` (Brewskey) or ``"sp"`` (particle-iot/spark-protocol). ``on_file`` is the public
    modulus that the cloud has for this device.
    """

    def __init__(
        self,
        lab: Lab,
        device: Device,
        server: Server,
        on_file: int,
        *,
        kind: str = "bp",
        trace: Trace | None = None,
        link: Link | None = None,
        host: Host | None = None,
        cloud: Host | None = None,
        port: int = 5683,
        talk: TcpTalk | None = None,
        modern: bool = True,
    ) -> None:
        self.lab, self.device, self.server, self.on_file, self.kind = lab, device, server, on_file, kind
        self.rng = lab.rng
        self.trace = trace or lab.trace(link)
        self.talk = talk or TcpTalk(self.trace, host or lab.device, cloud or lab.cloud, cloud_port=port, modern=modern)
        self.challenge = self.rng.randbytes(40)
        self.sealed = b""
        self.session: Session | None = None

    # ---- stages --------------------------------------------------------------------------------------------------

    def connect(self) -> Scene:
        self.talk.connect()
        self.trace.wait(self.talk.rtt, 0.01)
        return self

    def nonce(self, sizes: Sequence[int] = ()) -> Scene:
        """The cloud's 40 bytes."""
        self.talk.say(CLOUD, self.challenge, sizes)
        self.trace.wait(0.0004, 0.0003)
        return self

    def identity(self, sizes: Sequence[int] = (), *, echo: bytes | None = None, ack: bool = True) -> Scene:
        """The device's 256 bytes, echoing the nonce (or another)."""
        message = self.device.identity(self.challenge if echo is None else echo, self.rng)
        self.talk.say(DEVICE, message, sizes, ack=ack)
        self.trace.wait(0.008, 0.02)
        return self

    def session_key(self, sizes: Sequence[int] = (), *, length: int = 384, ack: bool = True) -> Scene:
        """The cloud's 384 bytes (or only the first of them)."""
        self.sealed = self.server.session_key(self.on_file, self.rng)
        self.talk.say(CLOUD, self.sealed[:length], sizes, ack=ack)
        return self

    def hellos(self, size: int = 15, *, platform: int = 6, product: int = 6) -> Scene:
        """Both Hellos; the device's only if it could open the session key, which is asserted."""
        session = self.begin()
        self.trace.wait(0.0008, 0.0005)
        self.talk.say(DEVICE, session.device_hello(size, platform=platform, product=product))
        self.trace.wait(0.002, 0.004)
        self.talk.say(CLOUD, session.cloud_hello(self.kind))
        return self

    def begin(self) -> Session:
        """The session that the device opens from the 384 bytes."""
        opened = self.device.accept(self.sealed)
        assert isinstance(opened, Credentials), opened
        self.session = Session(opened, self.rng, little=self.device.little)
        return self.session

    def chatter(self, pings: int = 1) -> Scene:
        """What follows a Hello: describe, events, a subscription, the time, then pings every 15 s."""
        session = self.session
        assert session is not None
        if self.kind == "bp":
            self.trace.wait(0.001, 0.002)
            self.talk.say(CLOUD, session.describe_request())
            self.trace.wait(0.002)
            self.talk.say(DEVICE, session.describe(DESCRIBE))
        self.trace.wait(0.02, 0.02)
        self.talk.say(DEVICE, session.event(DEVICE, "spark/device/last_reset", "pin_reset"))
        self.talk.say(DEVICE, session.subscribe("spark") + session.time_request(), (18,))
        self.trace.wait(0.003)
        self.talk.say(CLOUD, session.ack(CLOUD))
        self.talk.say(CLOUD, session.time(session.tokens[DEVICE], self.trace.now // 10**9))
        for _ in range(pings):
            self.trace.wait(15, 0.01)
            self.talk.say(DEVICE, session.ping())
            self.trace.wait(0.002, 0.002)
            self.talk.say(CLOUD, session.ack(CLOUD))
        return self

    def whole(self, size: int = 15, *, pings: int = 1) -> Scene:
        """A good session from SYN to pings."""
        self.connect().nonce().identity().session_key()
        return self.hellos(size, platform=0 if size == 13 else 6).chatter(pings)

    # ---- endings -------------------------------------------------------------------------------------------------

    def rejected(self) -> Scene:
        """The cloud closes right after what it was sent; the device closes 250 ms later (tcp.md 2.1)."""
        self.talk.close(CLOUD, later=0.25)
        return self

    def given_up(self) -> Scene:
        """The device closes 250 ms after what it was sent."""
        self.trace.wait(0.251, 0.004)
        self.talk.close(DEVICE)
        return self


def sound(lab: Lab, *, cloud: str = "cloud", **options: bool) -> tuple[Device, Server, RsaKey]:
    """A device whose keys are all right, its cloud, and the device's key pair."""
    key = lab.rsa()
    server = cloud_key(cloud)
    return Device.make(lab.id(), key, server.spki, lab.cloud.ip, **options), Server(server), key


def ticket(device: Device, cloud: RsaKey | None, on_file: RsaKey | None, *, records: str = "") -> dict[str, bytes]:
    """The key files of a ticket: device dumps, the cloud's copy of the device key, the cloud's own key.

    The copy goes to the server's folder ``records`` ("core_keys/"): beside a key that it is the pair of, its name alone
    does not make it the cloud's.
    """
    files = {f"{device.hex}.der": device.slot, f"{device.hex}.server_key.der": device.server}
    if on_file is not None:
        files[f"{records}{device.hex}.pub.pem"] = on_file.public_pem
    if cloud is not None:
        files |= {"default_key.pem": cloud.private_pem, "default_key.pub.pem": cloud.public_pem}
    return files
