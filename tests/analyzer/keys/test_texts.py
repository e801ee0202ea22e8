"""Keys as text, and text that only pretends: any bytes are read in bounded time."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.keys import sessions, texts
from captures.synth.keys import RsaKey
from captures.zoo import forms

KEY = RsaKey.generate(Random("texts"), 1024)


def read(data: bytes) -> list[bytes]:
    text = texts.as_text(data)
    return [] if text is None else [blob.data for blob in texts.blobs(text)]


@pytest.mark.parametrize(
    "data",
    [
        KEY.private_pem,
        KEY.private_pem.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + KEY.private_pem,
        KEY.private_pem.decode().encode("utf-16"),
        KEY.private_pem.decode().encode("utf-16-be").join([b"\xfe\xff", b""]),
        b"   " + KEY.private_pem.replace(b"\n", b"\n   "),
        KEY.pkcs1.hex().encode(),
        KEY.pkcs1.hex(" ").upper().encode(),
        forms.colons(KEY.pkcs1),
        forms.xxd(KEY.pkcs1),
        b"unsigned char key[] = {" + ", ".join(f"0x{byte:02x}" for byte in KEY.pkcs1).encode() + b"};",
        b"here it is: " + KEY.pkcs1.hex().encode() + b" thanks",
    ],
    ids=[
        "pem",
        "crlf",
        "bom",
        "utf16",
        "utf16be",
        "indented",
        "hex",
        "hex spaced",
        "colons",
        "xxd",
        "c array",
        "in a sentence",
    ],
)
def test_one_key_is_found(data):
    assert read(data) == [KEY.pkcs1]


def test_several_blocks_and_no_parameters():
    data = (
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        + KEY.private_pem
        + KEY.public_pem
    )
    assert read(data) == [KEY.pkcs1, KEY.spki]


def test_pem_without_its_end_is_cut():
    (blob,) = texts.blobs(KEY.private_pem.decode()[:400])
    assert not blob.whole
    assert KEY.pkcs1.startswith(blob.data)


@pytest.mark.parametrize("data", [b"", b"hello", b"deadbeef", b"The key is in the drawer.\n" * 50, b"A" * 400], ids=str)
def test_texts_without_a_key(data):
    assert read(data) == []


def test_binary_is_no_text():
    assert texts.as_text(KEY.pkcs1) is None
    assert texts.as_text(b"\xff" * 612) is None


@pytest.mark.parametrize(
    "text",
    [
        " " * 400_000 + "!",
        "\n" * 400_000 + "CLIENT_RANDOM",
        "30 " * 200_000,
        ("30" + "\n" * 50) * 20_000,
        "-----BEGIN RSA PRIVATE KEY-----" * 20_000,
        "-----BEGIN A-----" + "A" * 500_000,
        "device key: " * 50_000,
        "00000000: " + "aa " * 200_000,
        "=" * 500_000,
        "A" * 400_001 + "=====",
    ],
    ids=range(10),
)
def test_hostile_text_is_read_in_bounded_time(text):
    started = time.perf_counter()
    list(texts.blobs(text))
    sessions.looks_like_key_log(text)
    sessions.read_key_log(text)
    assert time.perf_counter() - started < 3


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_taken(data):
    read(data)


@settings(deadline=None)
@given(st.text(alphabet="-BEGINRSA PUVTKY\n0123456789abcdef=:x", max_size=300))
def test_near_misses_are_taken(text):
    list(texts.blobs(text))


def test_key_log_lines():
    client, master = bytes(range(32)), bytes(range(48))
    line = f"CLIENT_RANDOM {client.hex()} {master.hex().upper()}"
    text = f"# comment\r\n{line}\r\n\r\nCLIENT_RANDOM {client.hex()[:-2]} {master.hex()}\nRSA 00 00\n  {line}  \n"
    found = sessions.read_key_log(text)
    assert [(secret.client_random, secret.master_secret) for secret in found] == [(client, master)] * 2
    assert sessions.looks_like_key_log(text)
    assert not sessions.looks_like_key_log("CLIENT RANDOM thoughts")
