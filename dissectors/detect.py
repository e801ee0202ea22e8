"""What answered, named from its first bytes; and whether bytes look like the 40 random ones of a Particle cloud.

Content first: a port is never asked. Each rule needs at least 24 fixed bits, so that a random nonce is taken for
another protocol in less than one of ten million handshakes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dissectors.alerts import ALERTS
from dissectors.events import Fact

NONCE_SIZE = 40
#: Fewer bytes of a message that is cut name nothing. What stands for those that are not there.
_FEWEST, _UNSEEN = 5, b"\x80" * 32
#: Longest text quoted from a foreign answer.
QUOTED = 120
_TEXT = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D}
_HTTP_METHODS = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"DELETE ", b"PATCH ", b"PRI * HTTP/2")
_TLS_TYPES = {20: "change cipher spec", 21: "alert", 22: "handshake", 23: "application data"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Something that is not lightssl. ``kind`` is stable: http, html, tls, dtls, ssh, ftp, mqtt, coap, ..., text."""

    kind: str
    summary: str
    facts: Mapping[str, Fact] = field(default_factory=dict)


def quote(data: bytes, limit: int = QUOTED) -> str:
    """Foreign bytes as one printable line of at most ``limit`` characters: markup and control bytes become dots."""
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable_share(data: bytes) -> float:
    """Share of bytes that are ASCII text, 0..1; 0 for no bytes."""
    return sum(byte in _TEXT for byte in data) / len(data) if data else 0.0


def looks_random(data: bytes) -> bool:
    """True when ``data`` could be random bytes (a nonce, ciphertext): neither text nor a few values repeated.

    Wrong for less than one random 40-byte nonce in 10^9. Fewer than 8 bytes are given the benefit of the doubt.
    """
    if len(data) < 8:
        return True
    sample = data[:NONCE_SIZE]
    return len(set(sample)) * 3 >= len(sample) * 2 and printable_share(sample) < 0.85


def foreign(data: bytes, *, cut: bool = False) -> Answer | None:
    """Name what ``data``, the first bytes one side sent, is; None when it may be lightssl (random or a record).

    ``cut``: more followed that is not in the capture, so that nothing is known by being short. Text or a repeated pattern that no rule knows is still named: kind ``text`` or ``pattern``.
    """
    if cut and len(data) < _FEWEST:
        return None
    for rule in _RULES:
        answer = rule(data + _UNSEEN if cut else data)
        if answer is not None:
            return answer
    if looks_random(data):
        return None
    if printable_share(data[:NONCE_SIZE]) >= 0.85:
        return Answer("text", f"text: {quote(data)}", {"first_line": quote(data.splitlines()[0])})
    return Answer("pattern", f"not random: {data[:16].hex()}…", {})


def _http(data: bytes) -> Answer | None:
    if data.startswith(b"HTTP/"):
        return _http_response(data)
    if data.startswith(_HTTP_METHODS):
        line = data.split(b"\r\n", 1)[0]
        return Answer("http", f"HTTP request {quote(line)}", {"request": quote(line)})
    head = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<script", b"<meta")):
        facts = _page(data)
        return Answer("html", _with_details("an HTML page", facts), facts)
    return None


def _http_response(data: bytes) -> Answer | None:
    line, _, rest = data.partition(b"\r\n")
    match = re.match(rb"HTTP/[0-9.]{1,3} ([0-9]{3})", line)
    facts: dict[str, Fact] = {"status_line": quote(line)}
    if match:
        facts["status"] = int(match[1])
    head = rest.partition(b"\r\n\r\n")[0]
    for name, key in ((b"location", "location"), (b"server", "server")):
        found = re.search(rb"(?im)^" + name + rb":[ \t]*([^\r\n]{1,400})", head)
        if found:
            facts[key] = quote(found[1])
    facts.update(_page(rest))
    return Answer("http", _with_details(f"HTTP {facts.get('status', 'response')}", facts), facts)


def _page(body: bytes) -> dict[str, Fact]:
    found = re.search(rb"(?is)<title[^>]{0,80}>\s{0,80}([^<]{1,200})", body)
    return {"title": quote(b" ".join(found[1].split()))} if found else {}


def _with_details(what: str, facts: Mapping[str, Fact]) -> str:
    if "location" in facts:
        what += f", redirect to {facts['location']}"
    return what + (f", title “{facts['title']}”" if "title" in facts else "")


def _tls(data: bytes) -> Answer | None:
    if len(data) < 5 or data[0] not in _TLS_TYPES:
        return None
    length = int.from_bytes(data[3:5], "big")
    if data[1] == 3 and data[2] <= 4 and 0 < length <= 2**14 + 2048:
        what = _TLS_TYPES[data[0]]
        facts: dict[str, Fact] = {"record": what, "version": f"3.{data[2]}"}
        if data[0] == 21 and length == 2 and len(data) >= 7:
            facts["alert"] = ALERTS.get(data[6], str(data[6]))
            what = f"alert {facts['alert']}"
        elif data[0] == 22 and len(data) > 5:
            hello = {1: "ClientHello", 2: "ServerHello"}.get(data[5])
            # Handshake records carry one of few types: 5 more bits against chance.
            if hello is None:
                return None
            what, facts["message"] = hello, hello
        return Answer("tls", f"TLS {what}", facts)
    return None


def _dtls(data: bytes) -> Answer | None:
    if (
        len(data) >= 13
        and data[0] in _TLS_TYPES
        and data[1] == 0xFE
        and data[2] in (0xFD, 0xFF)
        and data[3:5] == b"\0\0"
    ):
        return Answer("dtls", f"DTLS {_TLS_TYPES[data[0]]}", {})
    return None


def _banner(data: bytes) -> Answer | None:
    line = data.splitlines()[0] if data else b""
    if data.startswith(b"SSH-"):
        return Answer("ssh", f"SSH banner {quote(line)}", {"banner": quote(line)})
    if re.match(rb"220[ -]", data):
        kind = "smtp" if re.search(rb"(?i)e?smtp|mail|postfix|exim", line) else "ftp"
        return Answer(kind, f"{kind.upper()} banner {quote(line)}", {"banner": quote(line)})
    for start, kind in ((b"+OK ", "pop3"), (b"* OK", "imap"), (b"RFB 00", "vnc"), (b"-ERR ", "redis")):
        if data.startswith(start):
            return Answer(kind, f"{kind.upper()} banner {quote(line)}", {"banner": quote(line)})
    if re.match(rb"RTSP/1|SIP/2\.0|ICY 200", data):
        kind = data[:4].decode("ascii").strip("/ 2").lower()
        return Answer(kind, f"{kind.upper()} response {quote(line)}", {"banner": quote(line)})
    return None


def _binary(data: bytes) -> Answer | None:
    if data[:3] == b"\x20\x02\x00" and len(data) == 4 and data[3] <= 5:
        return Answer("mqtt", f"MQTT CONNACK, return code {data[3]}", {"return_code": data[3]})
    if data[:1] == b"\x10" and data[2:8] == b"\0\x04MQTT" or data[3:9] == b"\0\x04MQTT":
        return Answer("mqtt", "MQTT CONNECT", {})
    if re.match(rb"\xff[\xfb-\xfe][\x00-\x2f]\xff[\xfb-\xfe]", data):
        return Answer("telnet", "Telnet option negotiation", {})
    if data[4:10] == b"\xffSMB\x72\0" or data[4:8] == b"\xfeSMB":
        return Answer("smb", "SMB", {})
    if len(data) > 5 and data[3:4] == b"\0" and data[4] == 10 and re.match(rb"[0-9]+\.[0-9]+\.", data[5:16]):
        return Answer("mysql", f"MySQL greeting {quote(data[5:].split(bytes(1))[0])}", {})
    if data[:1] == b"\x05" and len(data) == 2:
        return Answer("socks", "SOCKS5 method selection", {})
    return None


def _dns(data: bytes) -> Answer | None:
    """DNS over TCP (RFC 1035 4.2.2): one question, small counts, a length that fits."""
    if len(data) < 18 or data[6:8] != b"\0\1" or data[8] or data[10] or data[12] or data[4] & 0x78:
        return None
    length = int.from_bytes(data[:2], "big")
    if 17 <= length <= 4096 and len(data) >= min(length + 2, 512):
        return Answer("dns", "DNS response" if data[4] & 0x80 else "DNS query", {})
    return None


def _coap(data: bytes) -> Answer | None:
    """RFC 8323 CSM (7.01) first, or a whole RFC 7252 response with a diagnostic text (a UDP server bridged to TCP)."""
    if len(data) >= 2 and data[0] & 0x0F == 0 and data[1] == 0xE1 and len(data) == 2 + (data[0] >> 4):
        return Answer("coap", "CoAP over TCP (RFC 8323 capabilities message)", {})
    if len(data) >= 8 and data[0] & 0xC0 == 0x40 and data[1] >> 5 in (2, 4, 5) and data[1] & 31 <= 31:
        payload = data.find(b"\xff", 4)
        if 0 < payload < 24 and len(data) > payload + 4 and printable_share(data[payload + 1 :]) == 1.0:
            return Answer("coap", f"CoAP response {data[1] >> 5}.{data[1] & 31:02d}", {})
    return None


_RULES = (_http, _tls, _dtls, _banner, _binary, _dns, _coap)
