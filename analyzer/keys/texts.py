"""Keys written as text: PEM (also inside a server's database), hex and base64 pasted from a ticket, a device's log."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from analyzer.keys import der
from analyzer.keys.blob import Blob, is_erased, is_zeroed
from analyzer.keys.findings import note, warning
from analyzer.keys.key import KeyFinding
from analyzer.model import Role

#: Longer texts are not looked through: no key and no device log of one session comes near.
MAX_TEXT: Final = 8 * 1024 * 1024
_SAMPLE: Final = 4096
_MAX_BLOCKS: Final = 4096
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{3,40})-----(.*?)(?:-----END \1-----|(?=-----BEGIN )|\Z)", re.DOTALL)
_LOG_KEY: Final = re.compile(r"\b(device|server) key:\s*([0-9A-Fa-f]+)(~?)", re.IGNORECASE)
_LOG_DEVICE: Final = re.compile(r"\bDevice ([0-9a-f]{24}) started|\bdevice ?id[:=]\s*([0-9a-f]{24})", re.IGNORECASE)
_DATABASE_ID: Final = re.compile(r'"deviceID"\s*:\s*"([0-9a-fA-F]{24})"')
_HEX_DUMP: Final = re.compile(r"^[0-9a-fA-F]{4,8}[: ]\s*((?:[0-9a-fA-F]{2,4}[ -]{1,2}){1,16})", re.MULTILINE)
_HEX_NOISE: Final = re.compile(r"0x|\\x|[\s,:;{}\[\]\"'-]", re.IGNORECASE)
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_HEX_RUN: Final = re.compile(r"(?<![0-9a-fA-F])30(?:[\s:,]{0,4}[0-9a-fA-F]{2}){60,}")
_HEX_PREFIX: Final = re.compile(r"0x|\\x", re.IGNORECASE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_MIN_KEY: Final = 60
_PLAIN: Final = bytes(range(0x20, 0x7F)) + b"\t\n\r\f\x1b"


def as_text(data: bytes) -> str | None:
    """The text these bytes are (UTF-8 or UTF-16, as Windows shells write it), or None when they are binary."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") and len(data) % 2 == 0:
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError:
            return None
        return text if text.isascii() else None
    sample = data[:_SAMPLE].removeprefix(b"\xef\xbb\xbf")
    if not sample or b"\0" in sample:
        return None
    odd = len(sample.translate(None, _PLAIN))
    return data.decode("utf-8-sig", "replace") if odd * 20 <= len(sample) else None


def blobs(text: str) -> Iterator[Blob]:
    """Every key in a text, at most 4,096; nothing for a text that holds none."""
    if "-----BEGIN " in text:
        yield from _pem(text)
        return
    logged = list(_log(text))
    if logged:
        yield from logged
        return
    pasted = _pasted(text)
    if pasted is not None:
        yield pasted


def _pem(text: str) -> Iterator[Blob]:
    in_database = "\\n" in text and '"' in text
    number = 0
    for match in _PEM.finditer(text):
        if number == _MAX_BLOCKS:
            return
        label, body = match.group(1), match.group(2)
        if label.endswith("PARAMETERS"):
            continue
        device_id = None
        if in_database:
            body = body.replace("\\r", "").replace("\\n", "\n")
            line_start = text.rfind("\n", 0, match.start()) + 1
            line_end = text.find("\n", match.end())
            named = _DATABASE_ID.search(text, line_start, line_end if line_end >= 0 else len(text))
            device_id = named.group(1).lower() if named else None
        whole = match.group().endswith(f"-----END {label}-----")
        yield _pem_block(label, body, number, device_id, whole=whole)
        number += 1


def _pem_block(label: str, body: str, number: int, device_id: str | None, *, whole: bool) -> Blob:
    part = f"block {number + 1} ({label})" if number else ""
    # Servers keep one kind of key in a database: their copies of the devices' public keys.
    role = Role.CLOUD_COPY if device_id else None
    if "Proc-Type:" in body:
        text = f"-----BEGIN {label}-----{body}-----END {label}-----\n"
        return Blob(b"", "pem", part, role=role, device_id=device_id, protected=text.encode("utf-8", "replace"))
    digits = re.sub(r"[^A-Za-z0-9+/]", "", body)
    data = base64.b64decode(digits[: len(digits) // 4 * 4] + _padded(digits[len(digits) // 4 * 4 :]))
    cut = () if whole else (warning("pem-cut", "the PEM text has no END line", "Copy the whole file."),)
    return Blob(data, "pem", part, role=role, device_id=device_id, whole=whole, findings=cut)


def _padded(rest: str) -> str:
    return "" if len(rest) < 2 else rest + "=" * (4 - len(rest))


def _log(text: str) -> Iterator[Blob]:
    named = _LOG_DEVICE.search(text)
    device_id = (named.group(1) or named.group(2)).lower() if named else None
    line, counted = 1, 0
    for number, match in enumerate(_LOG_KEY.finditer(text)):
        if number == _MAX_BLOCKS:
            return
        line += text.count("\n", counted, match.start())
        counted = match.start()
        which, digits = match.group(1).lower(), match.group(2)
        role = Role.DEVICE_PRIVATE if which == "device" else Role.DEVICE_SERVER_KEY
        findings: tuple[KeyFinding, ...] = ()
        if which == "device":
            findings = (
                warning(
                    "private-key-in-log",
                    "the log line prints the device's private key: whoever has this log has the key",
                    "Do not pass this log on; give the device a new key if you did.",
                ),
            )
        data = bytes.fromhex(digits[: len(digits) // 2 * 2])
        yield Blob(
            data,
            "log",
            f"line {line}: {which} key",
            role=role,
            device_id=device_id,
            whole=not match.group(3),
            findings=findings,
        )


def _pasted(text: str) -> Blob | None:
    dumped = "".join(match.group(1) for match in _HEX_DUMP.finditer(text))
    for candidate in (dumped, text):
        digits = _HEX_NOISE.sub("", candidate)
        if len(digits) >= 2 * _MIN_KEY and _HEX.fullmatch(digits):
            data = bytes.fromhex(digits[: len(digits) // 2 * 2])
            if der.declared_size(data) is not None or is_erased(data) or is_zeroed(data):
                return Blob(data, "hex", findings=(note("pasted-hex", "read from pasted hexadecimal text"),))
    run = _HEX_RUN.search(_HEX_PREFIX.sub("", text))
    if run:
        data = bytes.fromhex(_HEX_NOISE.sub("", run.group()))
        if der.declared_size(data) is not None:
            return Blob(data, "hex", findings=(note("pasted-hex", "read from hexadecimal digits in a text"),))
    compact = "".join(text.split())
    if len(compact) >= _MIN_KEY and _BASE64.fullmatch(compact):
        try:
            data = base64.b64decode(compact, validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(data) >= _MIN_KEY and der.declared_size(data) is not None:
            return Blob(data, "base64", findings=(note("pasted-base64", "read from pasted base64 text"),))
    return None
