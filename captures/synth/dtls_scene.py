"""A device and a cloud on one UDP flow, flight by flight."""

from __future__ import annotations

from captures.synth.case import Lab, cloud_ec
from captures.synth.dtls import DATA, V212, Coap, Handshake, Library, Secrets
from captures.synth.keys import EcKey, server_slot, slot
from captures.synth.talk import CLOUD, DEVICE, Host, Trace, UdpTalk


class DtlsScene:
    """One flow. ``device`` is the key that signs; ``point`` what the device claims as its public point."""

    def __init__(
        self,
        lab: Lab,
        *,
        library: Library = V212,
        device: EcKey | None = None,
        cloud: EcKey | None = None,
        point: bytes | None = None,
        ident: bytes | None = None,
        trace: Trace | None = None,
        host: Host | None = None,
        port: int = 5684,
        device_port: int | None = None,
        cookie: bool = True,
        cid: bytes | None = None,
    ) -> None:
        self.lab, self.library = lab, library
        self.key = device or lab.ec()
        self.cloud = cloud or cloud_ec()
        self.point = point
        self.ident = ident or lab.id()
        self.trace = trace or lab.trace()
        self.cookie = cookie
        self.cid = (lab.rng.randbytes(8) if library.cid else b"") if cid is None else cid
        self.udp = UdpTalk(self.trace, host or lab.device, lab.cloud, device_port or port, port)
        self.rtt = 0.052
        self.coap = Coap(lab.rng, self.ident)
        self.hs = self.fresh()
        self.last: list[bytes] = []

    def fresh(self) -> Handshake:
        """A new attempt on the same flow."""
        self.hs = Handshake(
            self.lab.rng,
            self.key,
            self.cloud,
            self.library,
            point=self.point,
            cid=self.cid,
            cookie=self.cookie,
        )
        return self.hs

    @property
    def secrets(self) -> Secrets:
        assert self.hs.secrets is not None
        return self.hs.secrets

    # ---- sending -------------------------------------------------------------------------------------------------

    def send(self, side: int, *records: bytes, packed: bool | None = None) -> None:
        """Records in one datagram, or one each, as the library does."""
        self.last = list(records)
        datagrams = [b"".join(records)] if (self.library.packs if packed is None else packed) else list(records)
        for datagram in datagrams:
            self.udp.say(side, datagram)
            self.trace.wait(0.0004, 0.0006)

    def reply(self) -> None:
        """The cloud's thinking and the way."""
        self.trace.wait(self.rtt, 0.01)

    def repeat(self, side: int, *pauses: float) -> None:
        """The last flight again, after each of these pauses."""
        flight = self.last
        for pause in pauses:
            self.trace.wait(pause, 0.02)
            self.send(side, *self.hs.again(side, flight))

    def data(self, side: int, plain: bytes, *, moved: bool = False) -> bytes:
        """One application record in one datagram; returns the record."""
        record = self.secrets.seal(side, DATA, plain, moved=moved)
        tail = self.ident + b"\x0c" if moved and not self.secrets.cid else b""
        self.udp.say(side, record + tail)
        self.trace.wait(0.0008, 0.0006)
        return record

    # ---- flights -------------------------------------------------------------------------------------------------

    def hello(self) -> DtlsScene:
        """ClientHello, the cookie exchange if there is one, and the way back."""
        self.send(DEVICE, self.hs.client_hello())
        self.reply()
        if self.cookie:
            self.send(CLOUD, self.hs.verify_request())
            self.trace.wait(0.002)
            self.send(DEVICE, self.hs.client_hello(cookie=True))
            self.reply()
        return self

    def server_flight(self, certificate: bytes = b"") -> DtlsScene:
        self.send(CLOUD, *self.hs.server_flight(certificate=certificate))
        self.trace.wait(0.18, 0.05)
        return self

    def device_flight(self) -> DtlsScene:
        self.send(DEVICE, *self.hs.device_flight())
        self.reply()
        return self

    def finish(self) -> DtlsScene:
        self.send(CLOUD, *self.hs.cloud_finish())
        self.trace.wait(0.004)
        return self

    def handshake(self) -> DtlsScene:
        """All flights."""
        return self.hello().server_flight().device_flight().finish()

    def greet(self) -> DtlsScene:
        """Hello, its acknowledgement, and what follows."""
        self.data(DEVICE, self.coap.hello(modern=self.library.cid))
        self.reply()
        self.data(CLOUD, self.coap.ack(CLOUD))
        for name, value in (("spark/reset", "pin"), ("app", "ready")):
            self.data(DEVICE, self.coap.event(name, value))
            self.reply()
            self.data(CLOUD, self.coap.ack(CLOUD))
        self.data(CLOUD, self.coap.describe_request())
        self.data(DEVICE, self.coap.ack(DEVICE))
        return self

    def ping(self, *, moved: bool = False, answered: bool = True) -> DtlsScene:
        """A device ping and, if it is answered, the cloud's acknowledgement."""
        self.data(DEVICE, self.coap.ping(DEVICE), moved=moved)
        if answered:
            self.reply()
            self.data(CLOUD, self.coap.ack(CLOUD))
        return self

    def insist(self, plain: bytes, *, moved: bool = False) -> DtlsScene:
        """A confirmable message that is never answered: sent four times, given up after 60 s (dtls.md 4.3)."""
        for pause in (4.6, 9.1, 18.9, 41.0):
            self.data(DEVICE, plain, moved=moved)
            self.trace.wait(pause)
        return self

    # ---- keys ----------------------------------------------------------------------------------------------------

    def ticket(self, **changes: bytes | None) -> dict[str, bytes]:
        """The key files of a ticket; ``device``, ``stored``, ``on_file``, ``cloud`` replace (or, None, omit) one."""
        name = self.ident.hex()
        files: dict[str, bytes | None] = {
            f"{name}.device.der": changes.get("device", slot(self.key.sec1, 192)),
            f"{name}.server.pub.der": changes.get(
                "stored", server_slot(self.cloud.spki, "$id.udp.particle.io", size=320)
            ),
            f"{name}.cloud.pub.der": changes.get("on_file", self.key.spki),
            "server.der": changes.get("cloud", self.cloud.sec1),
            "server.pub.der": self.cloud.spki,
        }
        return {file: data for file, data in files.items() if data is not None}
