"""Both ends of Particle's DTLS 1.2 profile: raw public keys, ECDHE-ECDSA, AES-128-CCM-8, draft-05 connection ids.

Written from RFC 6347, 5246, 7250, 7251, draft-ietf-tls-dtls-connection-id-05 and particle-iot/device-os
communication/src/dtls_message_channel.cpp@v0.4.8-rc.2..v6.2.0. The elliptic-curve arithmetic is our own.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from dataclasses import dataclass
from random import Random

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from captures.synth.keys import EcKey
from captures.synth.talk import CLOUD, DEVICE

CCS, ALERT, HANDSHAKE, DATA, CID, MOVED_CID, MOVED = 20, 21, 22, 23, 25, 253, 254
VERSION = b"\xfe\xfd"
SUITE = b"\xc0\xae"


@dataclass(frozen=True, slots=True)
class Library:
    """What a firmware's mbedTLS shows on the wire (dtls.md 0 and 1.3)."""

    algorithms: str
    #: Several records per datagram.
    packs: bool
    #: Says fatal 51 when the ServerKeyExchange signature is bad; earlier ones stop without a word.
    alerts: bool
    cid: bool = False


V212 = Library("04030303", packs=False, alerts=False)
V242 = Library("040304010303030102030201", packs=False, alerts=False)
V290 = Library("0403040103030301", packs=False, alerts=True)
V216 = Library("0403040103030301", packs=True, alerts=True)
V222 = Library("0403040103030301", packs=True, alerts=True, cid=True)


def prf(secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """The TLS 1.2 PRF with SHA-256 (RFC 5246, section 5)."""
    seed, block, output = label + seed, label + seed, b""
    while len(output) < length:
        block = hmac.digest(secret, block, "sha256")
        output += hmac.digest(secret, block + seed, "sha256")
    return output[:length]


def extension(kind: int, body: str) -> bytes:
    data = bytes.fromhex(body)
    return struct.pack(">HH", kind, len(data)) + data


def message(kind: int, sequence: int, body: bytes) -> bytes:
    """A whole (unfragmented) handshake message."""
    length = len(body).to_bytes(3, "big")
    return bytes((kind,)) + length + sequence.to_bytes(2, "big") + bytes(3) + length + body


def fragments(whole: bytes, size: int) -> list[bytes]:
    """The same handshake message in fragments of at most ``size`` body bytes."""
    head, body = whole[:6], whole[12:]
    return [
        head
        + start.to_bytes(3, "big")
        + len(body[start : start + size]).to_bytes(3, "big")
        + body[start : start + size]
        for start in range(0, len(body), size)
    ]


class Secrets:
    """The keys of one association, and the record counters of both sides."""

    def __init__(self, master: bytes, client_random: bytes, server_random: bytes, cid: bytes = b"") -> None:
        self.master, self.client_random, self.server_random, self.cid = master, client_random, server_random, cid
        block = prf(master, b"key expansion", server_random + client_random, 40)
        self.ciphers = AESCCM(block[:16], 8), AESCCM(block[16:32], 8)
        self.ivs = block[32:36], block[36:40]
        self.counters = [0, 0]

    def seal(self, side: int, kind: int, plain: bytes, *, moved: bool = False) -> bytes:
        """An epoch-1 record. ``moved`` marks the first ones after a resume (types 254 and 253)."""
        number = (1 << 48 | self.counters[side]).to_bytes(8, "big")
        self.counters[side] += 1
        nonce = self.ivs[side] + number
        if self.cid and side == DEVICE:
            inner = plain + bytes((kind,))
            inner += bytes(-len(inner) % 16)
            cid = self.cid + bytes((len(self.cid),))
            extra = number + bytes((CID,)) + VERSION + cid + len(inner).to_bytes(2, "big")
            body = number + self.ciphers[side].encrypt(nonce, inner, extra)
            head = bytes((MOVED_CID if moved else CID,)) + VERSION + number + self.cid
        else:
            extra = number + bytes((kind,)) + VERSION + len(plain).to_bytes(2, "big")
            body = number + self.ciphers[side].encrypt(nonce, plain, extra)
            head = bytes((MOVED if moved else kind,)) + VERSION + number
        return head + len(body).to_bytes(2, "big") + body

    @property
    def keylog(self) -> bytes:
        """The NSS key log line."""
        return f"CLIENT_RANDOM {self.client_random.hex()} {self.master.hex()}\n".encode()

    def persist(self, server_spki: bytes, device_private: bytes, next_coap_id: int, size: int = 220) -> bytes:
        """The SessionPersist dump of the device, of 220 (v0.6-v1.5) or 262 bytes (v3.1+); dtls.md 2.2, 2.3."""
        sums = struct.pack("<II", zlib.crc32(server_spki), zlib.crc32(device_private))
        connection = b"\2\0" + (5684).to_bytes(2, "big") + bytes(12) + struct.pack("<I", zlib.crc32(b"address"))
        connection = connection.ljust(32, b"\0")
        blob = struct.pack("<HBB", size, 1, 0) + connection + struct.pack("<I", zlib.crc32(sums))
        blob += self.client_random + self.server_random + struct.pack("<III", 0xC0AE, 0, 32) + self.session_id
        counter = (1 << 48 | self.counters[DEVICE]).to_bytes(8, "big")
        blob += self.master + struct.pack("<H", 1) + counter + struct.pack("<H", next_coap_id) + bytes(12)
        if size == 262:
            blob += bytes(8) + struct.pack("<IHHH", 122880, 3202, 1024, 512) + struct.pack("<QQ", 0, 0) + self.cid
        assert len(blob) == size, len(blob)
        return blob

    session_id = bytes(range(32))


class Handshake:
    """One full handshake: builds each side's flights as lists of records, and the transcript behind them.

    ``device`` signs; ``point`` is the public point the device sends (its own unless the flash is damaged).
    """

    def __init__(
        self,
        rng: Random,
        device: EcKey,
        cloud: EcKey,
        library: Library,
        *,
        point: bytes | None = None,
        cid: bytes = b"",
        cookie: bool = True,
    ) -> None:
        self.rng, self.device, self.cloud, self.library = rng, device, cloud, library
        curve = type(device)
        self.spki = device.spki[:26] + (point or device.point)
        self.cid = cid
        self.cookie = rng.randbytes(32) if cookie else b""
        self.client_random, self.server_random = rng.randbytes(32), rng.randbytes(32)
        self.ephemeral = curve.generate(rng), curve.generate(rng)
        self.transcript = b""
        self.sequence = [0, 0]
        self.numbers = [0, 0]
        self.secrets: Secrets | None = None
        self.finished: dict[int, bytes] = {}

    # ---- records -------------------------------------------------------------------------------------------------

    def plain(self, side: int, kind: int, body: bytes) -> bytes:
        """An epoch-0 record."""
        number = self.numbers[side].to_bytes(8, "big")
        self.numbers[side] += 1
        return bytes((kind,)) + VERSION + number + len(body).to_bytes(2, "big") + body

    def say(self, side: int, kind: int, body: bytes, *, keep: bool = True) -> bytes:
        """A handshake message as a record; part of the transcript when ``keep``."""
        whole = message(kind, self.sequence[side], body)
        self.sequence[side] += 1
        if keep:
            self.transcript += whole
        return self.plain(side, HANDSHAKE, whole)

    def again(self, side: int, records: list[bytes]) -> list[bytes]:
        """The same flight sent again: new record numbers, the same messages."""
        repeated = []
        for record in records:
            if record[0] in (HANDSHAKE, CCS) and record[3:5] == b"\0\0":
                repeated.append(self.plain(side, record[0], record[13:]))
            else:
                secrets = self.secrets
                assert secrets is not None
                repeated.append(secrets.seal(side, HANDSHAKE, self.finished[side]))
        return repeated

    # ---- flights -------------------------------------------------------------------------------------------------

    def client_hello(self, *, cookie: bool = False) -> bytes:
        body = VERSION + self.client_random + b"\0"
        body += bytes((len(self.cookie),)) + self.cookie if cookie else b"\0"
        extensions = extension(13, f"{len(self.library.algorithms) // 2:04x}{self.library.algorithms}")
        extensions += extension(10, "00020017") + extension(11, "0100")
        if self.library.cid:
            extensions += extension(254, "00")
        extensions += extension(19, "0102") + extension(20, "0102")
        body += b"\0\4" + SUITE + b"\0\xff\1\0" + len(extensions).to_bytes(2, "big") + extensions
        return self.say(DEVICE, 1, body, keep=cookie or not self.cookie)

    def verify_request(self) -> bytes:
        return self.say(CLOUD, 3, VERSION + bytes((len(self.cookie),)) + self.cookie, keep=False)

    def server_hello(self, *, raw: bool = True) -> bytes:
        """``raw`` agrees to raw public keys; without it both sides are back at X.509."""
        extensions = extension(0xFF01, "00")
        if self.cid:
            extensions += extension(254, f"{len(self.cid):02x}{self.cid.hex()}")
        extensions += extension(11, "0100")
        if raw:
            extensions += extension(19, "02") + extension(20, "02")
        body = VERSION + self.server_random + b"\x20" + Secrets.session_id + SUITE + b"\0"
        return self.say(CLOUD, 2, body + len(extensions).to_bytes(2, "big") + extensions)

    def server_key_exchange(self) -> bytes:
        parameters = b"\3\0\x17\x41" + self.ephemeral[CLOUD].point
        signature = self.cloud.sign(self.client_random + self.server_random + parameters)
        return self.say(CLOUD, 12, parameters + b"\4\3" + len(signature).to_bytes(2, "big") + signature)

    def server_flight(self, *, certificate: bytes = b"") -> list[bytes]:
        """ServerHello, [Certificate,] ServerKeyExchange, CertificateRequest, ServerHelloDone."""
        records = [self.server_hello(raw=not certificate)]
        if certificate:
            entry = len(certificate).to_bytes(3, "big") + certificate
            records.append(self.say(CLOUD, 11, len(entry).to_bytes(3, "big") + entry))
        records.append(self.server_key_exchange())
        request = "0140000204030000" if self.library is V212 else "0201400004040104030000"
        records.append(self.say(CLOUD, 13, bytes.fromhex(request)))
        records.append(self.say(CLOUD, 14, b""))
        return records

    def device_flight(self) -> list[bytes]:
        """Certificate, ClientKeyExchange, CertificateVerify, ChangeCipherSpec, Finished."""
        records = [self.say(DEVICE, 11, len(self.spki).to_bytes(3, "big") + self.spki)]
        records.append(self.say(DEVICE, 16, b"\x41" + self.ephemeral[DEVICE].point))
        premaster = self.ephemeral[DEVICE].agree(self.ephemeral[CLOUD].point)
        master = prf(premaster, b"master secret", self.client_random + self.server_random, 48)
        self.secrets = Secrets(master, self.client_random, self.server_random, self.cid)
        signature = self.device.sign(self.transcript)
        records.append(self.say(DEVICE, 15, b"\4\3" + len(signature).to_bytes(2, "big") + signature))
        records.append(self.plain(DEVICE, CCS, b"\1"))
        records.append(self._finished(DEVICE, b"client finished"))
        return records

    def cloud_finish(self) -> list[bytes]:
        """ChangeCipherSpec, Finished."""
        return [self.plain(CLOUD, CCS, b"\1"), self._finished(CLOUD, b"server finished")]

    def alert(self, side: int, level: int, description: int) -> bytes:
        return self.plain(side, ALERT, bytes((level, description)))

    def _finished(self, side: int, label: bytes) -> bytes:
        secrets = self.secrets
        assert secrets is not None
        proof = prf(secrets.master, label, hashlib.sha256(self.transcript).digest(), 12)
        whole = message(20, self.sequence[side], proof)
        self.sequence[side] += 1
        self.transcript += whole
        self.finished[side] = whole
        return secrets.seal(side, HANDSHAKE, whole)


class Coap:
    """CoAP messages over DTLS: one per record, confirmable, ids counted per side (dtls.md 5)."""

    def __init__(self, rng: Random, ident: bytes, *, last: int | None = None) -> None:
        self.ident = ident
        self.last = [rng.randrange(1, 60000) if last is None else last, rng.randrange(1, 60000)]

    def next_id(self, side: int) -> bytes:
        self.last[side] = self.last[side] + 1 & 0xFFFF
        return self.last[side].to_bytes(2, "big")

    def hello(self, *, modern: bool = False, platform: int = 10) -> bytes:
        """The device's Hello: 29 bytes, 39 from v3.0.0."""
        body = b"\x40\2" + self.next_id(DEVICE) + b"\xb1h\xff" + platform.to_bytes(2, "big") + b"\0\7\0"
        body += (b"\x96" if modern else b"\0") + platform.to_bytes(2, "big") + b"\0\x0c" + self.ident
        if modern:
            body += struct.pack(">HHIH", 3202, 1152, 122880, 512)
        return body

    def ack(self, side: int) -> bytes:
        """The empty acknowledgement of the other side's last message."""
        return b"\x60\0" + self.last[1 - side].to_bytes(2, "big")

    def ping(self, side: int) -> bytes:
        return b"\x40\0" + self.next_id(side)

    def event(self, name: str, data: str) -> bytes:
        path = b"".join(bytes((len(part),)) + part.encode() for part in name.split("/"))
        return b"\x40\2" + self.next_id(DEVICE) + b"\xb1E" + path + b"\xff" + data.encode()

    def describe_request(self) -> bytes:
        return b"\x41\1" + self.next_id(CLOUD) + b"\x21\xb1d"

    def goodbye(self) -> bytes:
        """POST /x of v2.0.0 and later: cloud reason `sleep`."""
        return b"\x40\2" + self.next_id(DEVICE) + b"\xb1x\xff\1\6"
