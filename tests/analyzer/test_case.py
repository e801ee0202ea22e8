"""What a case says of itself."""

from __future__ import annotations

import pytest

from analyzer.case import Case
from analyzer.model import Ending, Endpoint
from dissectors.events import How, Transcript


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("203.0.113.10", "203.0.113.10"),
        ("64:ff9b::cb00:710a", "203.0.113.10"),
        ("64:ff9b::a00:1", "10.0.0.1"),
        ("64:ff9b::1:cb00:710a", "64:ff9b::1:cb00:710a"),
        ("64:ff9b:1::cb00:710a", "64:ff9b:1::cb00:710a"),
        ("2001:db8::1", "2001:db8::1"),
        ("", ""),
    ],
)
def test_an_address_behind_nat64_is_the_one_it_stands_for(address: str, reached: str) -> None:
    """RFC 6052 section 2.1: the well-known prefix, 96 bits."""
    case = Case(
        "tcp", "unknown", None, "", Endpoint("2001:db8::2", 1), Endpoint(address, 5683), "syn", 1, 1, 0, 0,
        Transcript("unknown", (), (), ""), Ending("capture", How.SILENCE),
    )  # fmt: skip
    assert case.reached == reached
