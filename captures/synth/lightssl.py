"""Both ends of the RSA/AES handshake over TCP, written from the firmware's and the servers' sources.

Device: particle-iot/device-os communication/src/{handshake,spark_protocol,lightssl_message_channel}.cpp@v0.4.0..v3.3.1.
Servers: Brewskey/spark-protocol@f664ab3 and particle-iot/spark-protocol@2c797c1, src|js/lib/Handshake.js.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from random import Random

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from captures.synth.keys import E, EcKey, RsaKey, server_slot, slot
from captures.synth.talk import CLOUD, DEVICE

#: The fixed DER around the 128 bytes that a device copies out of its private-key slot (162 bytes in all).
_TAIL_HEAD = bytes.fromhex("30819f300d06092a864886f70d010101050003818d0030818902818100")
_TAIL_FOOT = bytes.fromhex("0203010001")


def pkcs1_pad(kind: int, data: bytes, size: int, rng: Random | None = None) -> int:
    """A PKCS#1 v1.5 block: 00, ``kind`` (1: FF padding, 2: random non-zero), 00, ``data``; as an integer."""
    length = size - 3 - len(data)
    padding = b"\xff" * length if rng is None else bytes(rng.randrange(1, 256) for _ in range(length))
    return int.from_bytes(bytes((0, kind)) + padding + b"\0" + data, "big")


def pkcs1_open(value: int, size: int, kind: int) -> bytes | None:
    """What is behind the padding, or None when this is no such block."""
    block = value.to_bytes(size, "big")
    end = block.find(b"\0", 2)
    if block[:2] != bytes((0, kind)) or end < 10:
        return None
    return block[end + 1 :]


@dataclass(frozen=True, slots=True)
class Credentials:
    """The 40 bytes of a session: AES key, first IV, salt."""

    secret: bytes

    @property
    def key(self) -> bytes:
        return self.secret[:16]

    @property
    def iv(self) -> bytes:
        return self.secret[16:32]

    @property
    def salt(self) -> bytes:
        return self.secret[32:40]


@dataclass
class Device:
    """A device with what its flash holds.

    ``slot`` is the private key's (612 bytes), ``server`` the cloud's key and address (512 bytes). ``short`` is the
    Spark Core's 52-byte identity; ``little`` seeds message ids the LightSSL way (tcp.md 1.4).
    """

    id: bytes
    slot: bytes
    server: bytes
    short: bool = False
    little: bool = False

    @classmethod
    def make(
        cls, ident: bytes, key: RsaKey, cloud_spki: bytes, address: bytes | str | None = None, **options: bool
    ) -> Device:
        """A sound device: PKCS#1 in the private slot, that cloud's key and address in the server slot."""
        return cls(ident, slot(key.pkcs1, 612), server_slot(cloud_spki, address), **options)

    @property
    def hex(self) -> str:
        return self.id.hex()

    @property
    def tail(self) -> bytes:
        """The "public key" the device sends: fixed DER around bytes 11..138 of whatever is in the slot."""
        return _TAIL_HEAD + self.slot[11:139] + _TAIL_FOOT

    def identity(self, nonce: bytes, rng: Random) -> bytes:
        """The 256 bytes that answer a nonce, under the modulus found at its fixed place in the server slot."""
        message = nonce + self.id + (b"" if self.short else self.tail)
        modulus = int.from_bytes(self.server[33:289], "big")
        return pow(pkcs1_pad(2, message, 256, rng), E, modulus).to_bytes(256, "big")

    def accept(self, message: bytes) -> Credentials | str:
        """The session key message as the firmware opens it: the session, or which check failed.

        Returns ``"decryption"`` (code 6, orange) or ``"signature"`` (code 8, magenta).
        """
        p, q, dp, dq, qp = self._crt()
        value = int.from_bytes(message[:128], "big")
        if 0 in (p, q):
            return "decryption"
        a, b = pow(value % p, dp, p), pow(value % q, dq, q)
        opened = b + (a - b) * qp % p * q
        secret = pkcs1_open(opened, 128, 2) if opened < 1 << 1024 else None
        if secret is None or len(secret) != 40:
            return "decryption"
        modulus = int.from_bytes(self.server[33:289], "big")
        signed = pow(int.from_bytes(message[128:], "big"), E, modulus)
        if pkcs1_open(signed, 256, 1) != hmac.digest(secret, message[:128], "sha1"):
            return "signature"
        return Credentials(secret)

    def _crt(self) -> tuple[int, ...]:
        """P, Q, DP, DQ, QP read by position, as the firmware does (tcp.md 4.1)."""
        offset, numbers = 9, []
        for length, step in ((128, 135), (128, 129), (64, 65), (64, 65), (64, 65), (64, 65), (64, 65)):
            # The length byte's low bit tells whether a zero precedes the number; then comes the next length byte.
            offset += 1 + (self.slot[offset] & 1)
            numbers.append(int.from_bytes(self.slot[offset : offset + length], "big"))
            offset += step
        return tuple(numbers[2:])


@dataclass
class Server:
    """A cloud: its private key and the public modulus it has on file for each device."""

    key: RsaKey
    #: Signs with another key than it decrypts with (a fault that real set-ups have had).
    signer: RsaKey | None = None
    sessions: list[Credentials] = field(default_factory=list)

    def open_identity(self, message: bytes) -> bytes | None:
        """What the 256 bytes hold under this cloud's key, or None."""
        return pkcs1_open(self.key.private(int.from_bytes(message, "big")), 256, 2)

    def session_key(self, modulus: int, rng: Random) -> bytes:
        """The 384 bytes for a device whose public key on file is ``modulus``; the session is kept in ``sessions``."""
        secret = rng.randbytes(40)
        sealed = pow(pkcs1_pad(2, secret, 128, rng), E, modulus).to_bytes(128, "big")
        digest = hmac.digest(secret, sealed, "sha1")
        signed = (self.signer or self.key).private(pkcs1_pad(1, digest, 256))
        self.sessions.append(Credentials(secret))
        return sealed + signed.to_bytes(256, "big")


class Channel:
    """The records of one session: AES-128-CBC, next IV = first block of the record before, per direction."""

    def __init__(self, credentials: Credentials) -> None:
        self.key = credentials.key
        self.ivs = [credentials.iv, credentials.iv]

    def seal(self, side: int, message: bytes) -> bytes:
        """One record: length, ciphertext."""
        count = 16 - len(message) % 16
        encryptor = Cipher(algorithms.AES(self.key), modes.CBC(self.ivs[side])).encryptor()
        sealed = encryptor.update(message + bytes((count,)) * count)
        self.ivs[side] = sealed[:16]
        return len(sealed).to_bytes(2, "big") + sealed


class Session:
    """Message ids and plaintexts on top of a :class:`Channel`: what devices and clouds really say (tcp.md 1.6, 3)."""

    def __init__(self, credentials: Credentials, rng: Random, *, little: bool = False) -> None:
        self.channel = Channel(credentials)
        seed = int.from_bytes(credentials.salt[:2], "little" if little else "big")
        self.ids = [seed, rng.randrange(1, 65000)]
        self.tokens = [credentials.salt[2], 0]

    def next_id(self, side: int) -> bytes:
        self.ids[side] = self.ids[side] + 1 & 0xFFFF
        return self.ids[side].to_bytes(2, "big")

    def _token(self, side: int) -> bytes:
        self.tokens[side] = self.tokens[side] + 1 & 0xFF
        return bytes((self.tokens[side],))

    def device_hello(self, size: int = 15, *, product: int = 6, version: int = 1, platform: int = 6) -> bytes:
        """The device's Hello of 13 (Core), 15 (v0.4-v2) or 27 bytes (v3)."""
        head = (
            b"\x50\x02" + self.next_id(DEVICE) + b"\xb1h\xff" + product.to_bytes(2, "big") + version.to_bytes(2, "big")
        )
        if size == 13:
            return self._up(head + b"\0\0")
        if size == 15:
            return self._up(head + b"\0\0" + platform.to_bytes(2, "big"))
        modern = (3202).to_bytes(2, "big") + (1024).to_bytes(2, "big") + (122880).to_bytes(4, "big") + b"\2\0"
        return self._up(head + b"\0\x96" + platform.to_bytes(2, "big") + b"\0\0" + modern)

    def cloud_hello(self, kind: str) -> bytes:
        """The cloud's Hello: ``"sp"`` has a token, ``"bp"`` has none."""
        if kind == "sp":
            return self._down(b"\x51\x02" + self.next_id(CLOUD) + self._token(CLOUD) + b"\xb1h")
        return self._down(b"\x50\x02" + self.next_id(CLOUD) + b"\xb1h")

    def event(self, side: int, name: str, data: str = "", *, private: bool = True, confirm: bool = False) -> bytes:
        """A published (or delivered) event."""
        body = bytes((0x40 if confirm else 0x50, 2)) + self.next_id(side) + (b"\xb1E" if private else b"\xb1e")
        for part in name.split("/"):
            body += (bytes((len(part),)) if len(part) < 13 else bytes((13, len(part) - 13))) + part.encode()
        if data:
            body += b"\xff" + data.encode()
        return self.channel.seal(side, body)

    def subscribe(self, name: str) -> bytes:
        """GET e/<name>: the device asks for events."""
        path = bytes((len(name),)) + name.encode()
        return self._up(b"\x40\x01" + self.next_id(DEVICE) + b"\xb1e" + path)

    def time_request(self) -> bytes:
        return self._up(b"\x41\x01" + self.next_id(DEVICE) + self._token(DEVICE) + b"\xb1t")

    def time(self, token: int, unix: int) -> bytes:
        return self._down(b"\x61\x45" + self.next_id(CLOUD) + bytes((token,)) + b"\xff" + unix.to_bytes(4, "big"))

    def describe_request(self) -> bytes:
        return self._down(b"\x41\x01" + self.next_id(CLOUD) + self._token(CLOUD) + b"\xb1d")

    def describe(self, text: str) -> bytes:
        """The answer to the last describe request."""
        mid = self.ids[CLOUD].to_bytes(2, "big")
        return self._up(b"\x61\x45" + mid + bytes((self.tokens[CLOUD],)) + b"\xff" + text.encode())

    def call(self, name: str, argument: str) -> bytes:
        """POST f/<name>?<argument>: the cloud calls a function."""
        path = bytes((len(name),)) + name.encode() + bytes((0x40 | len(argument),)) + argument.encode()
        return self._down(b"\x41\x02" + self.next_id(CLOUD) + self._token(CLOUD) + b"\xb1f" + path)

    def result(self, value: int) -> bytes:
        """What the function returned."""
        head = b"\x51\x44" + self.next_id(DEVICE) + bytes((self.tokens[CLOUD],)) + b"\xff"
        return self._up(head + value.to_bytes(4, "big", signed=True))

    def ping(self, side: int = DEVICE) -> bytes:
        return self.channel.seal(side, b"\x40\0" + self.next_id(side))

    def ack(self, side: int) -> bytes:
        """The empty acknowledgement of the other side's last message."""
        return self.channel.seal(side, b"\x60\0" + self.ids[1 - side].to_bytes(2, "big"))

    def _up(self, message: bytes) -> bytes:
        return self.channel.seal(DEVICE, message)

    def _down(self, message: bytes) -> bytes:
        return self.channel.seal(CLOUD, message)


def ec_in_rsa_slot(key: EcKey) -> bytes:
    """An EC private key where the RSA one belongs (particle-cli #582, Brewskey/spark-server #295)."""
    return slot(key.sec1, 612)
