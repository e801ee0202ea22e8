"""Describe answers: genuine ones, blocks of one, and what an attacker would send."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dissectors.description import LISTED, summarise

#: Genuine device-os v0.6.3 virtual device.
VIRTUAL = b'{"f":["led"],"v":{"tempC":9,"counter":2,"label":4},"p":3,"m":[]}'
#: The shape of a v0.6.x Photon's system modules (device-os services/src/system_describe, field names).
MODULES = json.dumps(
    {
        "p": 10,
        "imei": "353162078000000",
        "iccid": "89014103278000000000",
        "m": [
            {"s": 16384, "l": "m", "vc": 30, "vv": 30, "f": "b", "n": "0", "v": 11, "d": []},
            {"f": "s", "n": "1", "v": 109},
        ],
    }
).encode()


def test_a_genuine_answer() -> None:
    summary, facts = summarise(VIRTUAL)
    assert summary == "describes itself: virtual device (gcc), 1 function, 3 variables, 0 modules"
    assert facts["functions"] == ("led",)
    assert facts["variables"] == ("tempC (double)", "counter (int)", "label (string)")
    assert facts["platform_name"] == "virtual device (gcc)"


def test_modules_by_name_and_no_subscriber_identity() -> None:
    summary, facts = summarise(MODULES)
    assert facts["modules"] == ("bootloader 0 v11", "system 1 v109")
    assert "353162" not in summary + str(facts)
    assert "890141" not in summary + str(facts)


@pytest.mark.parametrize("size", range(1, len(VIRTUAL)))
def test_a_block_of_an_answer(size: int) -> None:
    assert summarise(VIRTUAL[:size])[0] == f"describes itself in {size} bytes of JSON, not complete"


def test_binary() -> None:
    assert summarise(b"\x00\x01\x02") == ("describes itself in 3 bytes, not JSON", {"bytes": 3})
    assert summarise(b"") == ("describes itself in 0 bytes, not JSON", {"bytes": 0})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("fvpmns"), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first draw builds the recursive strategy
@given(st.dictionaries(st.sampled_from(["f", "v", "p", "m", "x"]), _JSON))
def test_any_json_gives_printable_facts(found: dict[str, object]) -> None:
    summary, facts = summarise(json.dumps(found).encode())
    for value in (summary, *facts.values()):
        for text in value if isinstance(value, tuple) else (value,):
            assert not isinstance(text, str) or text.isprintable()


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    summarise(b"{" + data)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"f":' + b"[" * 60_000,
        b'{"p":' + b"9" * 5_000 + b"}",
        b'{"f":["\\ud800"],"v":{"\\ud800":[]},"m":[{"f":{},"n":"\\ud800"}]}',
        b'{"f":["' + b"a" * 1000 + b'"]}',
        b'{"v":{"a\\nb\\u001b[31m":2}}',
    ],
)
def test_hostile_answers(payload: bytes) -> None:
    summary, facts = summarise(payload)
    assert summary.isprintable()
    assert all(len(str(value)) < 500 for value in facts.values())


def test_long_lists_are_counted_and_cut() -> None:
    summary, facts = summarise(json.dumps({"f": [f"f{n}" for n in range(500)]}).encode())
    assert "500 functions" in summary
    functions = facts["functions"]
    assert isinstance(functions, tuple)
    assert len(functions) == LISTED
