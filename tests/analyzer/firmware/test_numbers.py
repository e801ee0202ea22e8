"""The numbers, held against independent sources where there are any."""

from __future__ import annotations

import errno
import re
import ssl
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.firmware.numbers import meanings, number, spaces
from analyzer.model import Code

LOGS = Path(__file__).resolve().parents[2] / "data" / "devicelogs"


def test_alerts_are_those_of_openssl():
    known = {member.value: member.name.removeprefix("ALERT_DESCRIPTION_").lower() for member in ssl.AlertDescription}
    for value, item in spaces()["alert"].numbers.items():
        if value in known:
            # The RFC writes "canceled", Python "cancelled".
            assert item.name == known[value].replace("cancelled", "canceled")
    assert {40, 42, 46, 51} <= set(spaces()["alert"].numbers) & set(known)


@pytest.mark.skipif(sys.platform != "linux", reason="errno values are those of Linux")
def test_socket_errors_are_those_of_linux():
    for value, item in spaces()["errno"].numbers.items():
        assert errno.errorcode[value] == item.name


def test_protocol_errors_have_no_hole_and_the_values_the_enumeration_has():
    values = spaces()["protocol"].numbers
    assert set(values) == {*range(37), 0x7FFFF}
    # The header's own comments are off by one from 22 on (tcp.md S12); these are what a compiler makes of it.
    assert values[22].name.endswith("BLOCKING_SEND") and values[25].name.endswith("HANDSHAKE_NONCE")
    assert values[26].name.endswith("HANDSHAKE_RECV_KEY") and values[16].name.endswith("PARSING_SERVER_PUBLIC_KEY")


def test_wired_into_the_report():
    assert number("wiced", -19).verdicts[0] is Code.IDENTITY_REJECTED
    assert number("mbedtls", -0x4E00).verdicts == (Code.SERVER_KEY_MISMATCH,)


def test_mbedtls_decimals_and_hexadecimals_of_a_genuine_log_are_one_number():
    text = (LOGS / "dtls-wrong-server-key.log").read_text()
    pairs = set(re.findall(r"returned (-\d+) \((-0x[0-9a-f]+)\)", text))
    assert pairs
    for decimal, hexadecimal in pairs:
        assert int(decimal) == int(hexadecimal, 16)
    assert number("mbedtls", -19968).name == "ECP_VERIFY_FAILED"


@given(
    st.sampled_from([-0x3D00, -0x3B00, -0x4280, -0x4080]), st.sampled_from([-0x04, -0x60, -0x62, -0x64, -0x66, -0x68])
)
def test_a_sum_of_mbedtls_codes_is_taken_apart(high, low):
    parts = [number("mbedtls", high).name, number("mbedtls", low).name]
    assert number("mbedtls", high + low).name == " + ".join(parts)


def test_the_codes_firmware_really_printed_are_known():
    # -3d60 from genuine v0.6.4 with a broken key; -17028 from reading v0.7.0 (tcp.md 2.5); -1040, -1024 genuine v0.6.3.
    assert number("mbedtls", -0x3D60).name == "PK_KEY_INVALID_FORMAT + ASN1_OUT_OF_DATA"
    assert number("mbedtls", -17028).name == "RSA_PUBLIC_FAILED + MPI_BAD_INPUT_DATA"
    assert "padding" in number("tropicssl", -1040).name and "PKCS#8" in number("tropicssl", -1024).text
    assert number("mbedtls", -0x3D75) is None and number("mbedtls", 0x4E00) is None


def test_one_number_has_all_its_eras_meanings():
    assert {space.name for space, _ in meanings(2)} >= {"protocol", "handshake-old", "cloud-error"}
    assert {space.name for space, _ in meanings(-4)} == {"wiced", "tropicssl", "mbedtls"}
    assert {space.name for space, _ in meanings(1000)} == {"system-error-old"}


def test_every_space_says_where_it_is_seen_and_what_tells_it_apart():
    for space in spaces().values():
        assert space.title and space.where and space.tells and space.source
        assert len({item.name for item in space.numbers.values()}) == len(space.numbers)
