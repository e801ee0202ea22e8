"""The odd forms in which keys arrive, written a second time and apart from `analyzer.keys`, which has to read them.

Nothing random: salts, serial numbers and dates are constants, so that every file rebuilds byte for byte.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa as library
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from captures.synth.keys import EC_OIDS, E, EcKey, RsaKey, der, integer

SALT = bytes.fromhex("0123456789abcdef")
IV = bytes.fromhex("00112233445566778899aabbccddeeff")


def _padded(data: bytes, block: int = 16) -> bytes:
    count = block - len(data) % block
    return data + bytes((count,)) * count


def _aes_cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(_padded(data)) + encryptor.finalize()


def encrypted_pem(label: str, data: bytes, passphrase: bytes) -> bytes:
    """The older encrypted PEM (Proc-Type 4, AES-128-CBC, key by MD5 as EVP_BytesToKey does)."""
    key = hashlib.md5(passphrase + IV[:8], usedforsecurity=False).digest()
    text = base64.b64encode(_aes_cbc(key, IV, data)).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    head = ["Proc-Type: 4,ENCRYPTED", f"DEK-Info: AES-128-CBC,{IV.hex().upper()}", ""]
    return "\n".join([f"-----BEGIN {label}-----", *head, *lines, f"-----END {label}-----", ""]).encode()


def encrypted_pkcs8(pkcs8: bytes, passphrase: bytes, iterations: int = 2048, claimed: int | None = None) -> bytes:
    """EncryptedPrivateKeyInfo: PBES2, PBKDF2-HMAC-SHA256, AES-256-CBC (RFC 8018); ``claimed`` iterations may be a lie."""
    key = hashlib.pbkdf2_hmac("sha256", passphrase, SALT, iterations, 32)
    prf = der(0x30, bytes.fromhex("06082a864886f70d02090500"))
    kdf = der(
        0x30, bytes.fromhex("06092a864886f70d01050c"), der(0x30, der(4, SALT), integer(claimed or iterations), prf)
    )
    cipher = der(0x30, bytes.fromhex("060960864801650304012a"), der(4, IV))
    scheme = der(0x30, bytes.fromhex("06092a864886f70d01050d"), der(0x30, kdf, cipher))
    return der(0x30, scheme, der(4, _aes_cbc(key, IV, pkcs8)))


def certificate(key: RsaKey) -> bytes:
    """A self-signed X.509 certificate, DER."""
    numbers = library.RSAPrivateNumbers(
        key.p, key.q, key.d, key.d % (key.p - 1), key.d % (key.q - 1), pow(key.q, -1, key.p),
        library.RSAPublicNumbers(E, key.n),
    )  # fmt: skip
    private = numbers.private_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud.example")])
    start = datetime.datetime(2016, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(datetime.datetime(2036, 1, 1))
    return builder.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)


def rsa_numbers(key: RsaKey) -> list[int]:
    """The nine integers of PKCS#1, to be tampered with."""
    d, p, q = key.d, key.p, key.q
    return [0, key.n, E, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)]


def rsa_private(numbers: list[int]) -> bytes:
    """PKCS#1 of nine integers that need not belong together."""
    return der(0x30, *(integer(number) for number in numbers))


def pkcs1_public(key: RsaKey) -> bytes:
    """RSAPublicKey: the two integers alone."""
    return der(0x30, integer(key.n), integer(E))


def sec1(key: EcKey, scalar: bytes, *, tail: bytes = b"") -> bytes:
    """ECPrivateKey with the scalar written in any number of bytes, as old mbedTLS does."""
    return der(0x30, integer(1), der(4, scalar), der(0xA0, EC_OIDS[9:]), der(0xA1, der(3, b"\0", key.point))) + tail


def ec_pkcs8(key: EcKey) -> bytes:
    """PrivateKeyInfo around an ECPrivateKey without its curve."""
    inner = der(0x30, integer(1), der(4, key.d.to_bytes(32, "big")), der(0xA1, der(3, b"\0", key.point)))
    return der(0x30, integer(0), der(0x30, EC_OIDS), der(4, inner))


def generated_ec_slot(structure: bytes) -> bytes:
    """A 192-byte slot as key generation on the device leaves it: written at the buffer's end, then moved to its front."""
    buffer = bytearray(192)
    buffer[192 - len(structure) :] = structure
    buffer[: len(structure)] = structure
    return bytes(buffer)


def placed(size: int, parts: dict[int, bytes], fill: int = 0xFF) -> bytes:
    """A flash image of ``size`` bytes with ``parts`` at their offsets."""
    image = bytearray((fill,)) * size
    for offset, part in parts.items():
        image[offset : offset + len(part)] = part
    return bytes(image)


def xxd(data: bytes) -> bytes:
    """A hex dump with offsets and text, as xxd prints it."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        digits = " ".join(row[index : index + 2].hex() for index in range(0, len(row), 2))
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{start:08x}: {digits:<39}  {shown}\n")
    return "".join(lines).encode()


def colons(data: bytes, columns: int = 15) -> bytes:
    """Colon-separated hex in short lines, as openssl prints numbers."""
    rows = [data[start : start + columns] for start in range(0, len(data), columns)]
    return (":\n    ".join(":".join(f"{byte:02x}" for byte in row) for row in rows)).encode()


def session(size: int, *, wide: bool, client: bytes, server: bytes, master: bytes, checksum: int) -> bytes:
    """A SessionPersist dump: field by field from the table in device-os dtls_session_persist.h."""
    identifier = hashlib.sha256(b"session id").digest()
    connection = struct.pack("<HH4s24s", 2, 0x3416, bytes((203, 0, 113, 10)), b"").ljust(32, b"\0")
    data = struct.pack("<HBB", size + 4 * wide, 1, 0) + connection + struct.pack("<I", checksum) + client + server
    data += struct.pack("<II", 0xC0AE, 0) + len(identifier).to_bytes(8 if wide else 4, "little") + identifier + master
    data += struct.pack("<H", 1) + bytes.fromhex("0001000000000007") + struct.pack("<H", 0x2A)
    return data + bytes(range(1, size - 208 + 1))
