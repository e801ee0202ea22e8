"""CoAP against aiocoap, an independent implementation, and against what genuine peers really send."""

from __future__ import annotations

import contextlib

import aiocoap
import pytest
from aiocoap.numbers.optionnumbers import OptionNumber
from hypothesis import given, settings
from hypothesis import strategies as st

from dissectors import coap
from dissectors.coap import Block, Message, Type
from dissectors.errors import Malformed, Truncated

#: Plaintexts of genuine sessions: device-os v0.6.3 (TCP) and v0.6.4 (UDP), spark-protocol, Brewskey/spark-protocol.
GENUINE = [
    "5002cbe0b168ff0003ffff00000003",
    "51025822" + "01b168",
    "40020001b168ff0003ffff00000003000c0a10aced202194944a042f01",
    "5002cbe1b1450d0c737061726b2f68617264776172652f6d61785f62696e617279ff313032343030",
    "4001cbe3b16505737061726b",
    "4101cbe401b174",
    "6145cbe401ff6b00e581",
    "4101d10a01b164",
    "4000cbe8",
    "6000cbe8",
    "4102000221b1660b6469676974616c72656164424433",
    "4144000621ff00000000",
    "4101000322b1760474656d70",
    "6145000322ff0000000000803540",
]


@pytest.mark.parametrize("wire", GENUINE)
def test_genuine_messages_read_as_aiocoap_reads_them(wire: str) -> None:
    data = bytes.fromhex(wire)
    ours, theirs = Message.from_wire(data), aiocoap.Message.decode(data)
    assert (ours.type, ours.code, ours.message_id) == (theirs.mtype, theirs.code, theirs.mid)
    assert (ours.token, ours.payload) == (theirs.token, theirs.payload)
    assert [(number, value) for number, value in ours.options] == [
        (int(option.number), option.encode()) for option in theirs.opt.option_list()
    ]
    assert ours.violations == ()
    assert ours.to_wire() == data


#: Opaque or textual options, so that aiocoap keeps their bytes as they are.
_NUMBERS = st.sampled_from([1, 4, 8, 11, 15, 20, 35, 258 * 8 + 1, 2049, 65000])
_OPTIONS = st.lists(
    st.tuples(_NUMBERS, st.text("abc/√", max_size=300).map(str.encode).filter(lambda value: len(value) < 1000)),
    max_size=8,
)


@settings(deadline=None)
@given(
    kind=st.sampled_from(Type),
    code=st.sampled_from(sorted(set(coap.CODE_NAMES) - {0})),
    message_id=st.integers(0, 0xFFFF),
    token=st.binary(max_size=8),
    options=_OPTIONS,
    payload=st.binary(max_size=600),
)
def test_built_messages_read_the_same_both_ways(
    kind: Type, code: int, message_id: int, token: bytes, options: list[tuple[int, bytes]], payload: bytes
) -> None:
    ours = Message(kind, code, message_id, token, tuple(sorted(options, key=lambda o: o[0])), payload)
    theirs = aiocoap.Message(code=aiocoap.Code(code), payload=payload)
    theirs.mtype, theirs.mid, theirs.token = aiocoap.Type(kind), message_id, token
    for number, value in ours.options:
        theirs.opt.add_option(OptionNumber(number).create_option(decode=value))
    wire = theirs.encode()
    assert ours.to_wire() == wire
    assert Message.from_wire(wire) == ours


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda tail: b"\x41\x02\x00\x01\x07" + tail)))
def test_any_bytes_parse_as_aiocoap_parses_them_or_are_refused(data: bytes) -> None:
    """aiocoap takes more (short tokens, big numbers); what we take, it takes, with the same content."""
    try:
        ours = Message.from_wire(data)
    except (Truncated, Malformed) as error:
        assert coap.parse(data).args == error.args  # type: ignore[union-attr]
        return
    assert coap.parse(data) == ours
    theirs = None
    with contextlib.suppress(UnicodeDecodeError, aiocoap.error.UnparsableMessage, ValueError):
        theirs = aiocoap.Message.decode(data)
    if theirs is not None:
        assert (ours.type, ours.code, ours.message_id, ours.token) == (
            theirs.mtype,
            theirs.code,
            theirs.mid,
            theirs.token,
        )
        assert ours.payload == theirs.payload
        assert [number for number, _ in ours.options] == sorted(int(o.number) for o in theirs.opt.option_list())
    assert Message.from_wire(ours.to_wire()) == ours


@pytest.mark.parametrize("wire", GENUINE)
def test_every_truncation_is_truncated_or_a_shorter_message(wire: str) -> None:
    data = bytes.fromhex(wire)
    whole = Message.from_wire(data)
    for size in range(len(data)):
        try:
            short = Message.from_wire(data[:size])
        except Truncated:
            continue
        assert whole.payload.startswith(short.payload)
        assert whole.options[: len(short.options)] == short.options
        assert size >= 4 + len(whole.token)


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        ("", Truncated),
        ("4001", Truncated),
        ("00010001", Malformed),
        ("80010001", Malformed),
        ("c0010001", Malformed),
        ("49010001" + "00" * 9, Malformed),
        ("48010001" + "00" * 7, Truncated),
        ("40010001d1", Truncated),
        ("40010001e1ff", Truncated),
        ("40010001f1", Malformed),
        ("400100011f", Malformed),
        ("40010001bd", Truncated),
        ("40010001b5616263", Truncated),
        ("40010001e0ffffe0ffff", Malformed),
        ("40010001" + "00" * 257, Malformed),
    ],
)
def test_what_is_no_message(wire: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        Message.from_wire(bytes.fromhex(wire))


@pytest.mark.parametrize(
    ("wire", "violations"),
    [
        ("6100cbe100", ("empty-with-content",)),
        ("4000000101", None),
        ("5002cbe1b145047465737" + "4ff", ("empty-payload",)),
        ("40000001ff", ("empty-with-content", "empty-payload")),
        ("40200001", ("reserved-code",)),
        ("40e10001", ("reserved-code",)),
    ],
)
def test_bad_manners_parse_and_are_named(wire: str, violations: tuple[str, ...] | None) -> None:
    data = bytes.fromhex(wire)
    if violations is None:
        with pytest.raises(Truncated):
            Message.from_wire(data)
        return
    message = Message.from_wire(data)
    assert message.violations == violations
    assert message.to_wire() == data


def test_blocks() -> None:
    """RFC 7959 section 2.2 figure: NUM 3, more, 128 bytes -> 0x3b."""
    message = Message(Type.CON, coap.POST, 1, options=((coap.BLOCK1, b"\x3b"), (coap.BLOCK2, b"")))
    assert message.block(coap.BLOCK1) == Block(3, True, 128)
    assert message.block(coap.BLOCK2) == Block(0, False, 16)
    assert Message(Type.CON, coap.POST, 1).block(coap.BLOCK1) is None
    assert Message(Type.CON, coap.POST, 1, options=((coap.BLOCK1, bytes(4)),)).block(coap.BLOCK1) is None


def test_codes_are_written_as_rfcs_write_them() -> None:
    assert Message(Type.ACK, 0x45, 1).code_text == "2.05"
    assert Message(Type.ACK, 0x45, 1).code_name == "Content"
    assert Message(Type.ACK, 0xA3, 1).code_text == "5.03"
    assert Message(Type.ACK, 0x5E, 1).code_name == "2.30"
    assert Message(Type.ACK, 0x45, 1).is_response
    assert Message(Type.CON, 0x02, 1).is_request
    assert not Message(Type.CON, 0x00, 1).is_request


def test_the_path_survives_bytes_that_are_no_text() -> None:
    message = Message.from_wire(bytes.fromhex("40010001b165" + "02c328"))
    assert message.path == ("e", "�(")


def test_code_names_are_those_of_the_registry() -> None:
    """aiocoap's table of RFC 7252 12.1 and later: CHANGED, BAD_REQUEST ..."""
    for code, name in coap.CODE_NAMES.items():
        theirs = aiocoap.Code(code).name
        assert name.upper().replace(" ", "_").replace("-", "_") == theirs
