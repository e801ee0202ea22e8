"""Right checksums stay right, wrong ones wrong by the same amount, offloaded ones offloaded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.exports.redaction import checksum

WORDS = st.binary(min_size=2, max_size=60)


def rfc1071(data: bytes) -> int:
    """The checksum as RFC 1071 spells it out."""
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@given(old=WORDS, new=WORDS)
def test_a_right_one_stays_right(old: bytes, new: bytes) -> None:
    field = rfc1071(old).to_bytes(2, "big")
    out = checksum.adjusted(field, checksum.total(new) - checksum.total(old))
    if field == b"\0\0":
        assert out == field
    else:
        assert int.from_bytes(out, "big") % 0xFFFF == rfc1071(new) % 0xFFFF


@given(old=WORDS, new=WORDS, error=st.integers(1, 0xFFFE))
def test_a_wrong_one_stays_wrong_by_as_much(old: bytes, new: bytes, error: int) -> None:
    field = ((rfc1071(old) + error) % 0xFFFF or 0xFFFF).to_bytes(2, "big")
    out = int.from_bytes(checksum.adjusted(field, checksum.total(new) - checksum.total(old)), "big")
    assert (out - rfc1071(new)) % 0xFFFF == error


def test_none_stays_none_and_never_comes_to_be() -> None:
    assert checksum.adjusted(b"\0\0", 5) == b"\0\0"
    assert checksum.adjusted(b"\0\5", 5) == b"\xff\xff"


@given(
    addresses=st.binary(min_size=8, max_size=8), others=st.binary(min_size=8, max_size=8), length=st.integers(20, 1500)
)
def test_a_pseudo_header_sum_follows_the_addresses(addresses: bytes, others: bytes, length: int) -> None:
    pseudo = checksum.total(addresses + bytes((0, 6)) + length.to_bytes(2, "big"))
    field = (pseudo or 0xFFFF).to_bytes(2, "big")
    assert checksum.is_partial(field, addresses, 6, length)
    out = checksum.adjusted_partial(field, checksum.total(others) - checksum.total(addresses))
    assert checksum.is_partial(out, others, 6, length)
