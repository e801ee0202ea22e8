"""The device's Hello in all its generations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dissectors.errors import Malformed, Truncated
from dissectors.hello import FLAGS, PLATFORMS, Hello, platform_name

UDP_ID = "0a10aced202194944a042f01"


@pytest.mark.parametrize(
    ("payload", "hello", "generation"),
    [
        # Core, communication library of 2013-2015: tcp.md 1.6, layout of ccl hello()@spark_3
        ("000000010000", Hello(0, 1, 0), "Core of 2013-2015"),
        # genuine device-os v0.6.3 over TCP
        ("0003ffff00000003", Hello(3, 0xFFFF, 0, 3), "v0.4.0 to v2.x"),
        # genuine device-os v0.6.4 over UDP
        ("0003ffff00000003000c" + UDP_ID, Hello(3, 0xFFFF, 0, 3, UDP_ID), "v0.4.0 to v2.x"),
        # v3 over TCP, layout of messages.cpp hello()@v3.0.0
        (
            "0006000a00f6000600000cea03c0000fa0000200",
            Hello(6, 10, 0xF6, 6, None, 3306, 960, 0x000FA000, 512),
            "v3.0.0 or later",
        ),
        (
            "000dffff0097000d000c" + UDP_ID + "0cea03c0000fa0000200",
            Hello(13, 0xFFFF, 0x97, 13, UDP_ID, 3306, 960, 0x000FA000, 512),
            "v3.0.0 or later",
        ),
        (
            "000dffff0097000d000c" + UDP_ID + "03c0",
            Hello(13, 0xFFFF, 0x97, 13, UDP_ID, None, 960),
            "v3.0.0 or later",
        ),
    ],
)
def test_generations(payload: str, hello: Hello, generation: str) -> None:
    found = Hello.from_wire(bytes.fromhex(payload))
    assert found == hello
    assert found.generation == generation
    assert all(value is not None for value in found.facts.values())


@pytest.mark.parametrize("size", [n for n in range(33) if n not in (6, 8, 10, 12, 20, 22, 24, 32)])
def test_every_other_size_is_refused(size: int) -> None:
    payload = bytes.fromhex("000dffff0097000d000c" + UDP_ID + "0cea03c0000fa0000200")
    with pytest.raises(Truncated):
        Hello.from_wire(payload[:size])


@pytest.mark.parametrize("payload", ["0003ffff000000030005", "0003ffff00000003000b" + "00" * 11, "00" * 10 + "00" * 11])
def test_odd_ids_and_tails_are_malformed(payload: str) -> None:
    with pytest.raises(Malformed):
        Hello.from_wire(bytes.fromhex(payload))


_U16 = st.integers(0, 0xFFFF)
_ID = st.binary(min_size=12, max_size=12).map(bytes.hex)
_LATE = st.tuples(_U16, _U16, st.integers(0, 2**32 - 1), _U16)


@given(_U16, _U16, _U16, st.one_of(st.none(), _U16), st.one_of(st.none(), _ID), st.one_of(st.none(), _LATE))
def test_round_trip(
    product: int,
    version: int,
    flags: int,
    platform: int | None,
    device_id: str | None,
    late: tuple[int, int, int, int] | None,
) -> None:
    if platform is None:
        device_id = late = None
    hello = Hello(product, version, flags, platform, device_id, *(late or ()))
    assert Hello.from_wire(hello.to_wire()) == hello


def test_summary_says_what_is_set() -> None:
    assert Hello(6, 1, 0, 6).summary == "Photon, product 6, firmware version 1"
    assert (
        Hello(0xFFFF, 0xFFFF, 1, 6).summary == "Photon, product unset, firmware version unset, flags: update succeeded"
    )
    assert Hello(0, 1, 0).summary == "Core, product 0, firmware version 1"
    assert "id " + UDP_ID in Hello(1, 1, 0, 10, UDP_ID).summary


def test_flags_known_and_unknown() -> None:
    assert Hello(1, 1, 0x0000).flag_names == ()
    assert Hello(1, 1, 0x0107).flag_names == ("update succeeded", "diagnostics", "immediate updates", "bit 8")
    everything = Hello(1, 1, 0xFFFF).flag_names
    assert set(FLAGS.values()) < set(everything)
    assert len(everything) == 16


def test_platforms_have_names() -> None:
    assert platform_name(6) == "Photon"
    assert platform_name(10) == "Electron"
    assert platform_name(4711) == "platform 4711"
    assert len(set(PLATFORMS.values())) == len(PLATFORMS)
