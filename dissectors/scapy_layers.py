"""The messages of both handshakes as scapy layers, for people who live in scapy.

    from dissectors.scapy_layers import ParticleRecord, SessionKey, ClientHello

Importing binds them: TCP port 5683, UDP ports 5683, 5684 and 4500. Then `show()`, `haslayer()`, `packet[ClientHello].random` and
building work as with scapy's own. Other ports: `bind_layers(TCP, Lightssl, dport=N)`, `bind_layers(UDP, DtlsRecord, dport=N)`.

How it works. What is in a message is read and written by our dissectors (`from_wire`, `to_wire`); a layer's fields are the
message's. Bytes that no dissector takes are Raw, as scapy has it. A TCP segment is told by its length, as each message of
that handshake has one of its own; a message split over segments needs scapy's `sessions`, or the stream put together first.
The only module here that imports scapy; nothing imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

from scapy.fields import Field
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet, Raw, bind_layers, split_layers

from dissectors.alerts import alert_name
from dissectors.dtls import messages as dtls
from dissectors.dtls.record import DTLS_1_2, ContentType, WireRecord, read_datagram
from dissectors.errors import Malformed, Truncated
from dissectors.handshakes import HANDSHAKES
from dissectors.handshakes import Handshake as Kind
from dissectors.lightssl import messages as lightssl
from dissectors.lightssl import records
from dissectors.lightssl.stages import STAGE
from dissectors.wire import Cursor

__all__ = [
    "Alert",
    "Certificate",
    "CertificateRequest",
    "CertificateVerify",
    "ClientHello",
    "ClientKeyExchange",
    "DtlsRecord",
    "Handshake",
    "HelloVerifyRequest",
    "Identity",
    "KeepAlive",
    "Lightssl",
    "Nonce",
    "ParticleRecord",
    "ServerHello",
    "ServerKeyExchange",
    "SessionKey",
]

_BAD = (Malformed, Truncated, ValueError, IndexError)


class Value(Field[Any, Any]):
    """A field that holds what a dissector read; its bytes are the message's business. Several values are a list."""

    #: scapy takes a list in any other field for several packets, one for each value.
    islist = 1

    def __init__(self, name: str, default: object) -> None:
        super().__init__(name, default, "0s")

    def any2i(self, pkt: Any, x: Any) -> Any:  # noqa: ANN401 - scapy's signature
        """scapy takes a tuple of two numbers for a range."""
        return list(x) if isinstance(x, tuple) else x

    def i2repr(self, pkt: Any, x: Any) -> str:  # noqa: ANN401 - scapy's signature
        """Bytes as hex."""
        return x.hex() if isinstance(x, bytes) else str(x)


class Message(Packet):
    """A layer made of one message. Subclasses say how it is read from the bytes at hand and written back."""

    __slots__ = ("left",)
    #: Bytes that still belong to what is around this message (a record) when it ends.
    left: int

    def do_dissect(self, s: bytes) -> bytes:
        """Read the message at the front; what is behind it is the next layer's."""
        taken, left, values = self.read(s)
        self.fields.update({name: list(value) if isinstance(value, tuple) else value for name, value in values.items()})
        self.left = left
        self.raw_packet_cache = s[:taken]
        self.raw_packet_cache_fields = {name: self.fields[name] for name in values}
        return s[taken:]

    def self_build(self) -> bytes:
        """The message's bytes: as they were read, unless a field was changed since."""
        if self.raw_packet_cache is not None and self.raw_packet_cache_fields == {
            name: self.fields.get(name) for name in self.raw_packet_cache_fields or {}
        }:
            return self.raw_packet_cache
        return self.write({field.name: self.getfieldval(field.name) for field in self.fields_desc})

    def read(self, data: bytes) -> tuple[int, int, dict[str, Any]]:
        """(bytes taken, bytes left of what is around it, values by field)."""
        raise NotImplementedError

    def write(self, values: dict[str, Any]) -> bytes:
        """The message with these values."""
        raise NotImplementedError

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes | None]:
        """What is behind a message is the next one."""
        return s, None


# -- the RSA handshake over TCP ---------------------------------------------------------------------------------------


class Lightssl(Packet):
    """A TCP payload of the RSA handshake: becomes the message it is by its length."""

    name = "Particle handshake over TCP"

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> type[Packet]:  # noqa: ANN401
        """The layer for these bytes."""
        data = _pkt or b""
        sized = {layer.size: layer for layer in (Nonce, Identity, SessionKey)}
        if len(data) in sized:
            return sized[len(data)]
        return ParticleRecord if records.records_at(data, 0, ended=True) else Raw


class _Sized(Message):
    size: ClassVar[int]
    match_subclass = False

    def read(self, data: bytes) -> tuple[int, int, dict[str, Any]]:
        """One field, or the ones of the dissector's message."""
        return len(data), 0, {self.fields_desc[0].name: data}

    def write(self, values: dict[str, Any]) -> bytes:
        """The bytes of the field."""
        return bytes(values[self.fields_desc[0].name])


class Nonce(_Sized):
    """The cloud's 40 random bytes."""

    name = "Particle nonce"
    size = STAGE["nonce"].size or 0
    fields_desc: ClassVar[list[Any]] = [Value("nonce", bytes(size))]


class Identity(_Sized):
    """The device's 256 bytes: nonce, id and key, under the server key it has stored (`lightssl.crypto` opens it)."""

    name = "Particle identity"
    size = STAGE["identity"].size or 0
    fields_desc: ClassVar[list[Any]] = [Value("ciphertext", bytes(size))]


class SessionKey(_Sized):
    """The cloud's 384 bytes: credentials under the device's key, and a signature."""

    name = "Particle session key"
    size = STAGE["session-key"].size or 0
    fields_desc: ClassVar[list[Any]] = [Value("ciphertext", bytes(128)), Value("signature", bytes(256))]

    def read(self, data: bytes) -> tuple[int, int, dict[str, Any]]:
        """Both halves."""
        message = lightssl.SessionKeyMessage.from_wire(data)
        return len(data), 0, {"ciphertext": message.ciphertext, "signature": message.signature}

    def write(self, values: dict[str, Any]) -> bytes:
        """Both halves."""
        return lightssl.SessionKeyMessage(**values).to_wire()


class ParticleRecord(Message):
    """A record behind the handshake; the first of each side is its Hello. Several may follow one another."""

    name = "Particle record"
    fields_desc: ClassVar[list[Any]] = [Value("length", None), Value("ciphertext", b"")]

    def read(self, data: bytes) -> tuple[int, int, dict[str, Any]]:
        """One record, which may be cut."""
        length = int.from_bytes(data[: records.HEADER], "big")
        ciphertext = data[records.HEADER : records.HEADER + length]
        return records.HEADER + len(ciphertext), 0, {"length": length, "ciphertext": ciphertext}

    def write(self, values: dict[str, Any]) -> bytes:
        """Length and ciphertext; the length is the ciphertext's unless one is given."""
        length = values["length"] if values["length"] is not None else len(values["ciphertext"])
        return int(length).to_bytes(records.HEADER, "big") + bytes(values["ciphertext"])

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """Another record, or what cannot be one."""
        return ParticleRecord if records.records_at(payload, 0, ended=True) else Raw


# -- DTLS ---------------------------------------------------------------------------------------------------------------


class DtlsRecord(Message):
    """A DTLS record with Particle's ways: connection ids of 8 bytes, and moved sessions with the device's id behind them.

    ``fragment`` is set where it is encrypted; else what is in it are the next layers.
    """

    name = "Particle DTLS record"
    fields_desc: ClassVar[list[Any]] = [
        Value("content_type", ContentType.HANDSHAKE), Value("version", DTLS_1_2), Value("epoch", 0), Value("sequence", 0),
        Value("connection_id", b""), Value("length", None), Value("fragment", b""), Value("device_id", None),
    ]  # fmt: skip

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> type[Packet]:  # noqa: ANN401
        """A record, a keep-alive, or neither."""
        found = read_datagram(_pkt or b"\0\0")
        if found.keep_alive:
            return KeepAlive
        return cls if found.records or _pkt is None else Raw

    def read(self, data: bytes) -> tuple[int, int, dict[str, Any]]:
        """The first record; a clear one up to what it carries."""
        record = read_datagram(data).records[0]
        length = len(record.fragment) + record.missing
        values = {
            "content_type": record.content_type, "version": record.version, "epoch": record.epoch, "sequence": record.sequence,
            "connection_id": record.connection_id, "length": length, "fragment": b"", "device_id": record.device_id,
        }  # fmt: skip
        if record.protected or record.content_type not in (ContentType.HANDSHAKE, ContentType.ALERT):
            values["fragment"] = record.fragment
            return len(record.to_wire()) - record.missing, 0, values
        return len(record.header), len(record.fragment), values

    def write(self, values: dict[str, Any]) -> bytes:
        """Header and fragment; in front of clear messages the header, with their length."""
        given = values["length"]
        behind = len(values["fragment"] or self._carried())
        record = WireRecord(
            ContentType(values["content_type"]), values["version"], values["epoch"], values["sequence"], values["fragment"],
            values["connection_id"], (behind if given is None else given) - len(values["fragment"]), values["device_id"],
        )  # fmt: skip
        return record.to_wire()

    def _carried(self) -> bytes:
        """The messages in this record: all layers up to the next record."""
        found, layer = b"", self.payload
        while layer and not isinstance(layer, DtlsRecord):
            found += layer.self_build()
            layer = layer.payload
        return found

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """What a clear record carries; behind an encrypted one, the next record."""
        return _next(self.left, payload, ContentType(self.fields["content_type"]))


def _next(left: int, payload: bytes, content_type: ContentType = ContentType.HANDSHAKE) -> type[Packet]:
    if left == 0:
        return DtlsRecord if read_datagram(payload).records else Raw
    if content_type is ContentType.ALERT:
        return Alert if left == 2 else Raw
    try:
        dtls.Fragment.from_wire(Cursor(payload, 0, left))
    except _BAD:
        return Raw
    return Handshake


class _InRecord(Message):
    def around(self) -> int:
        """Bytes of the record from here on."""
        under = self.underlayer
        return under.left if isinstance(under, DtlsRecord | _InRecord) else 1 << 30

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """The next message of this record, or the next record."""
        return _next(self.left, payload)


class KeepAlive(Message):
    """One byte that keeps a NAT open."""

    name = "Particle keep-alive"
    fields_desc: ClassVar[list[Any]] = [Value("byte", b"\0")]

    def read(self, data: bytes) -> tuple[int, int, dict[str, Any]]:
        """The byte."""
        return 1, 0, {"byte": data[:1]}

    def write(self, values: dict[str, Any]) -> bytes:
        """The byte."""
        return bytes(values["byte"])


class Alert(_InRecord):
    """An alert in the clear; ``description`` is its name."""

    name = "Particle DTLS alert"
    fields_desc: ClassVar[list[Any]] = [Value("level", 2), Value("code", 0), Value("description", "")]

    def read(self, data: bytes) -> tuple[int, int, dict[str, Any]]:
        """Level and code."""
        return 2, self.around() - 2, {"level": data[0], "code": data[1], "description": alert_name(data[1])}

    def write(self, values: dict[str, Any]) -> bytes:
        """Level and code."""
        return bytes((values["level"], values["code"]))


class Handshake(_InRecord):
    """The header of a handshake message or of a fragment of one; a whole message is the next layer."""

    name = "Particle DTLS handshake"
    fields_desc: ClassVar[list[Any]] = [
        Value("kind", dtls.Kind.CLIENT_HELLO), Value("length", None), Value("message_seq", 0), Value("offset", 0),
        Value("size", None), Value("fragment", b""),
    ]  # fmt: skip

    def read(self, data: bytes) -> tuple[int, int, dict[str, Any]]:
        """The header; of what is no whole message that we know, the bytes too."""
        left = min(self.around(), len(data))
        found = dtls.Fragment.from_wire(Cursor(data, 0, left), self.around() - left)
        known = found.kind in set(dtls.Kind)
        values = {
            "kind": dtls.Kind(found.kind) if known else found.kind, "length": found.length, "message_seq": found.message_seq,
            "offset": found.offset, "size": len(found.data), "fragment": b"",
        }  # fmt: skip
        head = 12
        if _body(found) is None:
            values["fragment"] = found.data
            head += len(found.data)
        return head, self.around() - head, values

    def write(self, values: dict[str, Any]) -> bytes:
        """The header (and a fragment's bytes), with the next layer's length."""
        size = len(values["fragment"] or (self.payload.self_build() if isinstance(self.payload, _Body) else b""))
        length = size if values["length"] is None else values["length"]
        size = size if values["size"] is None else values["size"]
        head = dtls.Fragment(values["kind"], length, values["message_seq"], values["offset"], b"").to_wire()[:-3]
        return head + size.to_bytes(3, "big") + bytes(values["fragment"])

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """The message, or what comes behind a fragment."""
        if self.fields["fragment"] or self.fields["length"] != self.fields["size"]:
            return _next(self.left, payload)
        return _BODIES.get(self.fields["kind"]) or _next(self.left, payload)


def _body(found: dtls.Fragment) -> object | None:
    """The message of a fragment that is whole and is what its header says; else None."""
    layer = _BODIES.get(found.kind)
    # scapy has no layer of no bytes: an empty message is its header.
    if layer is None or found.missing or not found.length or len(found.data) != found.length:
        return None
    try:
        message: object = layer.wire.from_wire(found.data)
    except _BAD:
        return None
    return message


class _Body(_InRecord):
    """A handshake message: its fields are those of the dissector's class."""

    wire: ClassVar[Any]

    def read(self, data: bytes) -> tuple[int, int, dict[str, Any]]:
        """As long as the handshake header says."""
        under = self.underlayer
        size = under.fields["size"] if isinstance(under, Handshake) else len(data)
        message = self.wire.from_wire(data[:size])
        return size, self.around() - size, {field.name: getattr(message, field.name) for field in fields(message)}

    def write(self, values: dict[str, Any]) -> bytes:
        """What the dissector's class writes."""
        lists = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return bytes(self.wire(**lists).to_wire())


def _fields(wire: Any, **defaults: object) -> list[Value]:  # noqa: ANN401 - any of the dissectors' dataclasses
    """A field for each of the dataclass's, with its default there or one given here."""
    return [Value(each.name, defaults.get(each.name, each.default)) for each in fields(wire)]


class ClientHello(_Body):
    """Message 1 of the device."""

    name = "Particle ClientHello"
    wire = dtls.ClientHello
    fields_desc: ClassVar[list[Any]] = _fields(wire, random=bytes(32))


class HelloVerifyRequest(_Body):
    """The cookie the cloud wants back."""

    name = "Particle HelloVerifyRequest"
    wire = dtls.HelloVerifyRequest
    fields_desc: ClassVar[list[Any]] = _fields(wire, cookie=b"")


class ServerHello(_Body):
    """What the cloud chose."""

    name = "Particle ServerHello"
    wire = dtls.ServerHello
    fields_desc: ClassVar[list[Any]] = _fields(wire, random=bytes(32))


class Certificate(_Body):
    """A bare public key, or a chain."""

    name = "Particle Certificate"
    wire = dtls.Certificate
    fields_desc: ClassVar[list[Any]] = _fields(wire)


class ServerKeyExchange(_Body):
    """The cloud's ephemeral key, signed by its own."""

    name = "Particle ServerKeyExchange"
    wire = dtls.ServerKeyExchange
    fields_desc: ClassVar[list[Any]] = _fields(wire, group=23, point=b"", signed=dtls.Signed(0x0403, b""))


class CertificateRequest(_Body):
    """What the cloud asks the device to prove itself with."""

    name = "Particle CertificateRequest"
    wire = dtls.CertificateRequest
    fields_desc: ClassVar[list[Any]] = _fields(wire, types=b"\x40", algorithms=(0x0403,))


class CertificateVerify(_Body):
    """The device's signature over the handshake so far."""

    name = "Particle CertificateVerify"
    wire = dtls.CertificateVerify
    fields_desc: ClassVar[list[Any]] = _fields(wire, signed=dtls.Signed(0x0403, b""))


class ClientKeyExchange(_Body):
    """The device's ephemeral key."""

    name = "Particle ClientKeyExchange"
    wire = dtls.ClientKeyExchange
    fields_desc: ClassVar[list[Any]] = _fields(wire, point=b"")


_BODIES: dict[int, type[_Body]] = {
    dtls.Kind.CLIENT_HELLO: ClientHello,
    dtls.Kind.SERVER_HELLO: ServerHello,
    dtls.Kind.HELLO_VERIFY_REQUEST: HelloVerifyRequest,
    dtls.Kind.CERTIFICATE: Certificate,
    dtls.Kind.SERVER_KEY_EXCHANGE: ServerKeyExchange,
    dtls.Kind.CERTIFICATE_REQUEST: CertificateRequest,
    dtls.Kind.CERTIFICATE_VERIFY: CertificateVerify,
    dtls.Kind.CLIENT_KEY_EXCHANGE: ClientKeyExchange,
}

_BOUND: tuple[tuple[Kind, Any, Any], ...] = (("lightssl", TCP, Lightssl), ("dtls", UDP, DtlsRecord))


def bind() -> None:
    """Have scapy look for the handshakes on their ports; importing this module does so."""
    _each(bind_layers)


def unbind() -> None:
    """Have scapy read these ports as it did before."""
    _each(split_layers)


def _each(change: Callable[..., None]) -> None:
    for handshake, lower, upper in _BOUND:
        for port in sorted(HANDSHAKES[handshake].ports):
            change(lower, upper, sport=port)
            change(lower, upper, dport=port)


bind()
