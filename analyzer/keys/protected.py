"""Encrypted private keys: PKCS#8 and the older PEM form, opened with the passphrases at hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from analyzer.keys import der
from dissectors.errors import Malformed, Truncated

#: Work factors above these would keep the program busy for minutes: a hostile file, not a key.
_MAX_ITERATIONS: Final = 20_000_000
_MAX_SCRYPT: Final = 1 << 24
_DEK: Final = re.compile(rb"(?m)^DEK-Info: *([A-Z0-9-]{1,32}), *([0-9A-Fa-f]*)\s*$")
_SCRYPT: Final = bytes.fromhex("2b06010401da47040b")
_SALTED: Final = 3


def open_pem(pem: bytes, passphrases: Sequence[bytes]) -> bytes | None:
    """PKCS#8 DER of an encrypted PEM block, or None when no passphrase opens it."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if _short_vector(pem):
        return None
    return _opened(load_pem_private_key, pem, passphrases)


def open_der(data: bytes, passphrases: Sequence[bytes]) -> bytes | None:
    """PKCS#8 DER of an EncryptedPrivateKeyInfo, or None when no passphrase opens it.

    Raises Malformed when its work factor is absurd.
    """
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    if passphrases and _costs_too_much(data):
        raise Malformed("encrypted: its work factor is absurd, so no passphrase was tried")
    return _opened(load_der_private_key, data, passphrases)


def _opened(load: Callable[[bytes, bytes], object], data: bytes, passphrases: Sequence[bytes]) -> bytes | None:
    from cryptography.exceptions import UnsupportedAlgorithm

    for passphrase in passphrases:
        try:
            return _plain(load(data, passphrase))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        except BaseException as error:
            # A panic of the library's Rust is no Exception, and its class can be imported from nowhere.
            if type(error).__name__ != "PanicException":
                raise
            return None
    return None


def _short_vector(pem: bytes) -> bool:
    """Whether the header of an old encrypted PEM (RFC 1421 4.6.1.1) gives an initialisation vector that is not one of its
    cipher: the library panics on a short one (cryptography 50), with a stack on standard error."""
    found = _DEK.search(pem)
    if found is None:
        return b"DEK-Info" in pem
    digits = len(found[2])
    return digits != (32 if found[1].startswith(b"AES") else 16)


def _plain(key: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    export = getattr(key, "private_bytes", None)
    if export is None:
        raise ValueError("no private key")
    return bytes(export(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def _costs_too_much(data: bytes) -> bool:
    """Look at every small integer of the key derivation parameters (PBKDF2 iterations; scrypt N times r times p)."""
    try:
        outer = der.expect(data, 0, der.SEQUENCE)
        numbers, scrypt = _parameters(data, der.expect(data, outer.body, der.SEQUENCE, outer.end))
    except (Truncated, Malformed):
        return False
    if scrypt:
        product = 1
        for number in numbers[:_SALTED]:
            product *= number
        return product > _MAX_SCRYPT
    return any(number > _MAX_ITERATIONS for number in numbers)


def _parameters(data: bytes, top: der.Element) -> tuple[list[int], bool]:
    numbers: list[int] = []
    scrypt = False
    waiting = [top]
    for _ in range(32):  # far more elements than PBES2 parameters have
        if not waiting:
            break
        for item in der.children(data, waiting.pop(0)):
            if item.tag == der.SEQUENCE:
                waiting.append(item)
            elif item.tag == der.INTEGER:
                numbers.append(der.integer(data, item))
            elif item.tag == der.OID:
                scrypt = scrypt or der.content(data, item) == _SCRYPT
    return numbers, scrypt
