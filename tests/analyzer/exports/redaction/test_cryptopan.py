"""Crypto-PAn against its authors' sample, and the properties that make it useful."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.exports.redaction.cryptopan import CryptoPan
from analyzer.exports.redaction.pseudonyms import Pseudonyms

#: Key and pairs of the sample trace that comes with the authors' implementation (Crypto-PAn 1.0, sample.cpp).
SAMPLE_KEY = bytes(
    (21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16)
    + (216, 152, 143, 131, 121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2)
)
SAMPLE = [
    ("128.11.68.132", "135.242.180.132"),
    ("129.118.74.4", "134.136.186.123"),
    ("130.132.252.244", "133.68.164.234"),
    ("141.223.7.43", "141.167.8.160"),
    ("141.233.145.108", "141.129.237.235"),
    ("152.163.225.39", "151.140.114.167"),
    ("156.29.3.236", "147.225.12.42"),
    ("165.247.96.84", "162.9.99.234"),
    ("166.107.77.190", "160.132.178.185"),
    ("192.102.249.13", "252.138.62.131"),
]
ADDRESSES = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
PSEUDONYMS = Pseudonyms(b"a salt for tests")


@pytest.mark.parametrize(("address", "pseudonym"), SAMPLE)
def test_the_authors_sample(address: str, pseudonym: str) -> None:
    assert str(ip_address(CryptoPan(SAMPLE_KEY)(ip_address(address).packed))) == pseudonym


def common(one: bytes, other: bytes) -> int:
    """Bits that two addresses share from the front."""
    bits = 8 * len(one)
    return bits - (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_length()


@pytest.mark.parametrize("function", [CryptoPan(SAMPLE_KEY), PSEUDONYMS.address], ids=["plain", "with networks"])
@given(one=ADDRESSES, flip=st.integers(0, 127), tail=st.integers(0, 2**128 - 1))
def test_prefixes_are_preserved_exactly(function, one: bytes, flip: int, tail: int) -> None:
    bits = 8 * len(one)
    at = flip % bits
    other = (int.from_bytes(one, "big") ^ (1 << (bits - 1 - at)) ^ (tail % (1 << (bits - 1 - at)))).to_bytes(
        len(one), "big"
    )
    assert common(one, other) == at
    assert common(function(one), function(other)) == at


@pytest.mark.parametrize(
    "network",
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "fc00::/7", "2000::/3"],
)
@given(number=st.integers(0, 2**128 - 1))
def test_private_stays_private_and_public_public(network: str, number: int) -> None:
    from ipaddress import ip_network

    block = ip_network(network)
    bits = block.max_prefixlen
    inside = (int(block.network_address) + number % block.num_addresses).to_bytes(bits // 8, "big")
    assert ip_address(PSEUDONYMS.address(inside)) in block
    outside = (number % (1 << bits)).to_bytes(bits // 8, "big")
    assert (ip_address(PSEUDONYMS.address(outside)) in block) == (ip_address(outside) in block)


@pytest.mark.parametrize("address", ["127.0.0.1", "224.0.1.187", "255.255.255.255", "0.0.0.0", "::1", "ff02::fb", "::"])
def test_addresses_that_name_nobody_stay(address: str) -> None:
    packed = ip_address(address).packed
    assert PSEUDONYMS.address(packed) == packed


def test_another_salt_is_another_map() -> None:
    packed = ip_address("203.0.113.10").packed
    assert PSEUDONYMS.address(packed) != Pseudonyms(b"another").address(packed)
    assert PSEUDONYMS.address(packed) == Pseudonyms(b"a salt for tests").address(packed)


def test_a_key_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        CryptoPan(bytes(16))
