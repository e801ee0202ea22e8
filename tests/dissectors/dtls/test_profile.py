"""Which ClientHello is a device's, which mbedTLS wrote it, and what a device cannot accept from a server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dissectors.dtls.messages import ClientHello, Extension, Fragment, ServerHello
from dissectors.dtls.profile import HELLO_SIZES, Profile, client_profile, generation, server_objections, server_profile
from dissectors.dtls.record import read_datagram
from dissectors.wire import Cursor
from tests.dissectors.dtls.flows import attempts, datagrams

#: ClientHellos of OpenSSL 3.0.19 `s_client -dtls1_2`: defaults; `-use_srtp SRTP_AES128_CM_SHA1_80 -curves P-256` (what a
#: WebRTC client sends); `-cipher ECDHE-ECDSA-AES128-CCM8 -curves P-256` (the devices' suites exactly, no raw public keys).
OPENSSL = {
    "defaults": "16feff000000000000000000c0010000b400000000000000b4fefd8d0d514eb92670c5b18e622387534d018d20c125b13505cb350b1b898b811fa100000038c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c003d003c0035002f00ff01000052000b000403000102000a000c000a001d0017001e00190018002300000016000000170000000d002a0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602",
    "srtp": "16feff000000000000000000c1010000b500000000000000b5fefd6de30740dab9215c94a9546dca7875ae13f1c7524ecb2deadf5f16f6c85b7abc00000038c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c003d003c0035002f00ff01000053000b000403000102000a00040002001700230000000e000500020001000016000000170000000d002a0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602",
    "ccm8": "16feff0000000000000000008a0100007e000000000000007efefd72242c0ae2f7363b27cd4e0d5b86580fb0ed299e396255245bc2e805c9aced9b00000004c0ae00ff01000050000b000403000102000a000400020017002300000016000000170000000d0030002e040305030603080708080809080a080b080408050806040105010601030303020301020103020202040205020602",
}


def openssl_hello(name: str) -> ClientHello:
    (record,) = read_datagram(bytes.fromhex(OPENSSL[name])).records
    return ClientHello.from_wire(Fragment.from_wire(Cursor(record.fragment)).data)


def device_hello(case: str = "01-good") -> ClientHello:
    return attempts(case)[0].client_hello


@pytest.mark.parametrize(
    ("case", "mbedtls", "alerts", "connection_id"),
    [
        ("01-good", "2.1.2", False, False),
        ("30-engine-290", "2.9.0 to 2.22.0", True, False),
        ("30-engine-222e", "2.22.0", True, True),
    ],
)
def test_real_builds_are_told_apart(case, mbedtls, alerts, connection_id):
    hello = device_hello(case)
    assert client_profile(hello)[0] is Profile.PARTICLE
    found = generation(hello)
    assert (found.mbedtls, found.alerts, found.connection_id) == (mbedtls, alerts, connection_id)
    first = datagrams(case)[0]
    assert len(first.data) in found.hello_sizes
    assert len(first.data) in HELLO_SIZES


def test_sizes_follow_from_what_is_in_the_hello():
    """The table's sizes and its signature algorithms belong together: swap the list, and the size is the generation's."""
    base = len(datagrams("30-engine-290")[0].data)
    algorithms = {
        "2.1.2": "04030303",
        "2.4.2": "040304010303030102030201",
        "2.9.0 to 2.22.0": "0403040103030301",
    }
    for mbedtls, text in algorithms.items():
        pairs = bytes.fromhex(text)
        hello = device_hello("30-engine-290")
        changed = tuple(
            Extension(13, len(pairs).to_bytes(2, "big") + pairs) if e.kind == 13 else e for e in hello.extensions
        )
        found = generation(replace(hello, extensions=changed))
        assert found.mbedtls == mbedtls
        assert found.hello_sizes == (base + len(pairs) - 8,)


@pytest.mark.parametrize("name", OPENSSL)
def test_other_clients_are_not_devices(name):
    profile, reason = client_profile(openssl_hello(name))
    assert profile is Profile.OTHER
    assert reason
    assert generation(openssl_hello(name)) is None


def test_a_hello_one_detail_off_is_not_a_device_s():
    hello = device_hello()
    tls13 = replace(hello, extensions=(*hello.extensions, Extension(43, b"\x02\xfe\xfc")))
    x509_too = replace(
        hello, extensions=tuple(replace(e, data=b"\2\2\0") if e.kind == 20 else e for e in hello.extensions)
    )
    for other in (replace(hello, version=0xFEFF), replace(hello, cipher_suites=(0xC0AE,)), tls13, x509_too):
        assert client_profile(other)[0] is Profile.OTHER
    assert generation(replace(hello, extensions=())) is None


def server_hello(case: str) -> ServerHello:
    return attempts(case)[0].flight.hello


def test_server_hellos_without_their_client():
    good = server_hello("01-good")
    assert server_profile(good)[0] is Profile.PARTICLE
    assert server_profile(replace(good, extensions=()))[0] is Profile.UNKNOWN
    assert server_profile(replace(good, cipher_suite=0xC02B))[0] is Profile.OTHER
    assert server_profile(replace(good, version=0xFEFF))[0] is Profile.OTHER


def test_what_a_device_cannot_accept():
    client, good = device_hello(), server_hello("01-good")
    assert server_objections(client, good) == ()
    assert server_objections(None, good) == ()
    assert any("c02b" in text for text in server_objections(client, replace(good, cipher_suite=0xC02B)))
    assert any("X.509" in text for text in server_objections(client, replace(good, extensions=())))
    assert any("feff" in text for text in server_objections(client, replace(good, version=0xFEFF)))
    assert any("compression" in text for text in server_objections(client, replace(good, compression=1)))


def test_a_device_with_connection_ids_insists_on_one_of_eight_bytes():
    client, good = device_hello("30-engine-222e"), server_hello("30-engine-222e")
    assert server_objections(client, good) == ()
    for data in (b"\4abcd", b"\0", b""):
        changed = tuple(replace(e, data=data) if e.kind == 254 else e for e in good.extensions)
        assert server_objections(client, replace(good, extensions=changed))
    assert server_objections(device_hello("01-good"), server_hello("01-good")) == ()
