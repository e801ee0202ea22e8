"""What answered instead of the cloud; and that a nonce is hardly ever taken for something else."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dissectors.detect import QUOTED, foreign, looks_random, printable_share, quote
from tests.lightssl_play import noise

CASES = [
    (b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login?x=1\r\nServer: nginx\r\n\r\n", "http",
     "HTTP 302, redirect to http://portal.example/login?x=1"),
    (b"HTTP/1.0 200 OK\r\n\r\n<html><TITLE>\r\n Guest  Wi-Fi </TITLE>", "http", "HTTP 200, title “Guest Wi-Fi”"),
    (b"HTTP/1.1 4", "http", "HTTP response"),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http", "HTTP request GET / HTTP/1.1"),
    (b"\r\n<!DOCTYPE html><html><title>Hi</title>", "html", "an HTML page, title “Hi”"),
    (b"<HTML><body>", "html", "an HTML page"),
    (bytes.fromhex("15030100020228"), "tls", "TLS alert handshake_failure"),
    (bytes.fromhex("1503030002025a"), "tls", "TLS alert user_canceled"),
    (bytes.fromhex("150303000202c8"), "tls", "TLS alert 200"),
    (bytes.fromhex("160303005a0200005603036000"), "tls", "TLS ServerHello"),
    (bytes.fromhex("16030100ca010000c60303"), "tls", "TLS ClientHello"),
    (bytes.fromhex("16fefd0000000000000000002f030000"), "dtls", "DTLS handshake"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh", "SSH banner SSH-2.0-OpenSSH_9.2"),
    (b"220 mail.example ESMTP Postfix\r\n", "smtp", "SMTP banner 220 mail.example ESMTP Postfix"),
    (b"220-FileZilla Server 1.5\r\n", "ftp", "FTP banner 220-FileZilla Server 1.5"),
    (b"+OK POP3 ready\r\n", "pop3", "POP3 banner +OK POP3 ready"),
    (b"* OK IMAP4 ready\r\n", "imap", "IMAP banner * OK IMAP4 ready"),
    (b"RFB 003.008\n", "vnc", "VNC banner RFB 003.008"),
    (b"-ERR unknown command\r\n", "redis", "REDIS banner -ERR unknown command"),
    (b"RTSP/1.0 400 Bad Request\r\n", "rtsp", "RTSP response RTSP/1.0 400 Bad Request"),
    (b"SIP/2.0 400 Bad\r\n", "sip", "SIP response SIP/2.0 400 Bad"),
    (bytes.fromhex("20020005"), "mqtt", "MQTT CONNACK, return code 5"),
    (bytes.fromhex("101000044d5154540402003c000461626364"), "mqtt", "MQTT CONNECT"),
    (bytes.fromhex("fffd18fffd20"), "telnet", "Telnet option negotiation"),
    (bytes.fromhex("00000085ff534d4272000000"), "smb", "SMB"),
    (bytes.fromhex("0500") , "socks", "SOCKS5 method selection"),
    (bytes.fromhex("4a0000000a382e302e333600"), "mysql", "MySQL greeting 8.0.36"),
    (bytes.fromhex("0021f8cd0100000100000000000003696f74076578616d706c6503636f6d0000010001"), "dns", "DNS query"),
    (bytes.fromhex("20e1") + b"ab", "coap", "CoAP over TCP (RFC 8323 capabilities message)"),
    (bytes.fromhex("60840001ff") + b"not found", "coap", "CoAP response 4.04"),
    (b"hello, this is a plain text service of some kind\n", "text",
     "text: hello, this is a plain text service of some kind."),
    (bytes(40), "pattern", "not random: 00000000000000000000000000000000…"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "kind", "summary"), CASES)
def test_named_by_first_bytes(data: bytes, kind: str, summary: str) -> None:
    found = foreign(data)
    assert found is not None
    assert (found.kind, found.summary) == (kind, summary)


def test_facts_of_a_redirect() -> None:
    found = foreign(CASES[0][0])
    assert found is not None
    assert found.facts == {
        "status_line": "HTTP/1.1 302 Found",
        "status": 302,
        "location": "http://portal.example/login?x=1",
        "server": "nginx",
    }


def test_random_bytes_are_nothing_else() -> None:
    """200,000 nonces, and identities: none is named. The rules' fixed bits promise less than one in ten million."""
    rng = random.Random(5)
    assert not [n for n in range(200_000) if foreign(rng.randbytes(40)) is not None]
    assert not [n for n in range(20_000) if foreign(rng.randbytes(256)) is not None]


@pytest.mark.parametrize("kept", range(8))
def test_few_bytes_are_given_the_benefit_of_the_doubt(kept: int) -> None:
    assert foreign(noise(40)[:kept]) is None
    assert foreign(bytes(kept)) is None


@pytest.mark.parametrize("record", ["001092fa11", "0030ffeeddcc", "0280aabb", "04b0"])
def test_the_beginning_of_a_record_is_not_foreign(record: str) -> None:
    assert foreign(bytes.fromhex(record) + noise(60)) is None


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.tuples(st.sampled_from([case[0] for case in CASES]), st.binary(max_size=60)).map(b"".join),
        st.tuples(st.sampled_from([case[0] for case in CASES]), st.integers(0, 60)).map(lambda t: t[0][: t[1]]),
    )
)
def test_any_bytes_give_a_short_printable_answer_or_none(data: bytes) -> None:
    found = foreign(data)
    if found is not None:
        assert found.summary.isprintable()
        assert len(found.summary) < 3 * QUOTED
        assert all(str(value).isprintable() and len(str(value)) <= QUOTED for value in found.facts.values())


def test_looks_random() -> None:
    assert looks_random(noise(40))
    assert looks_random(bytes(range(40)))
    assert not looks_random(b"A" * 40)
    assert not looks_random(b"Lorem ipsum dolor sit amet, consectetur.")
    assert not looks_random(bytes(20) + noise(20))


def test_printable_share() -> None:
    assert printable_share(b"") == 0
    assert printable_share(b"ab\r\n") == 1
    assert printable_share(b"a\x00") == 0.5


@given(st.binary(max_size=400), st.integers(2, 200))
def test_quote_is_one_bounded_printable_line(data: bytes, limit: int) -> None:
    quoted = quote(data, limit)
    assert quoted.isprintable()
    assert len(quoted) == min(len(data), limit)
    if len(data) <= limit:
        assert all(a == chr(b) or (a == "." and not 0x20 <= b < 0x7F) for a, b in zip(quoted, data, strict=True))


def test_hostile_pages_take_no_time() -> None:
    """Patterns are bounded: a page built to make them backtrack is read at once."""
    began = time.perf_counter()
    for page in (
        b"HTTP/1.1 200 OK\r\n\r\n" + b"<title " * 600,
        b"HTTP/1.1 200 OK\r\n" + b"location: \t" * 400,
        b"<html><title>" + b" " * 4000,
        b"220 " + b"e" * 4000,
    ):
        foreign(page[:4096])
    assert time.perf_counter() - began < 2


def test_a_tls_header_with_an_unknown_message_is_not_enough() -> None:
    assert foreign(bytes.fromhex("1603010040") + b"\x77" + noise(60)) is None
