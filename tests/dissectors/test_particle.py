"""Every message of Particle's protocol is named; genuine sessions read like a conversation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dissectors import coap
from dissectors.coap import Message
from dissectors.events import Direction
from dissectors.lightssl import LightSsl
from dissectors.lightssl.cipher import open_records
from dissectors.lightssl.messages import Credentials
from dissectors.particle import Namer, describe, describe_bytes
from tests.lightssl_play import genuine

UP, DOWN = Direction.UP, Direction.DOWN


def text(value: str) -> str:
    return value.encode().hex()


OTHER_CASES = [
    (UP, "4000cbe8", "ping", "ping"),
    (UP, "5000cbe8", "ping", "ping"),
    (DOWN, "6000cbe8", "ack", "acknowledges message 52200"),
    (DOWN, "7000cbe8", "reset", "rejects message 52200"),
    (DOWN, "6100cbe800", "ack", "acknowledges message 52200"),
    (UP, "60cbe800", "ack", "acknowledges message 52200 (v0.4.0 form)"),
    (DOWN, "60cbe800", "unknown", "6.11 /, 0 bytes"),
    (DOWN, "6145cbe801ff6592008f", "time", "tells the time: 2024-01-01T00:00:15Z"),
    (DOWN, "6180cbe800", "error-response", "answers 4.00 Bad Request"),
    (UP, "5144000121ffffffffff", "function-return", "function returned -1"),
    (UP, "5144000121ff01", "update-ready", "is ready for the update"),
    (UP, "5144000121", "response", "answers 2.04 Changed"),
    (UP, "6145000121ff01", "variable-value", "variable value: bool True"),
    (UP, "6145000121ff0000002a", "variable-value", "variable value: int 42, or 4 characters"),
    (UP, "6145000121ff0000000000803540", "variable-value", "variable value: double 21.5, or 8 characters"),
    (UP, "6145000121ff000000000000f87f", "variable-value", "variable value: double nan, or 8 characters"),
    (UP, "6145000121ff" + text("hello"), "variable-value", "variable value: 5 characters"),
    (UP, "6145000121ff" + text('{"f":["a"]}'), "describe", "describes itself: 1 function"),
    (UP, "60010001", "error-response", "answers 4.00 (sent as 0.01 by firmware before v0.4.7)"),
    (UP, "50020001b17a", "unknown", "POST /z, 0 bytes"),
    (DOWN, "50020001b178", "unknown", "POST /x, 0 bytes"),
    (DOWN, "50020001ff00", "unknown", "POST /, 1 byte"),
    (DOWN, "", "malformed", "no CoAP message: 1 bytes wanted at offset 0, 0 there"),
    (DOWN, "deadbeef", "malformed", "no CoAP message: CoAP version 3, 1 wanted"),
]


@pytest.mark.parametrize(("direction", "wire", "kind", "summary"), OTHER_CASES)
def test_everything_else(direction: Direction, wire: str, kind: str, summary: str) -> None:
    data = bytes.fromhex(wire)
    found = describe_bytes(data, direction)
    assert (found.type, found.summary) == (kind, summary)
    assert Namer().name(data, direction).type == kind


# Privacy and bounds


def test_user_data_is_measured_not_repeated() -> None:
    secret = "hunter2hunter2"
    for wire, direction in (
        ("50020001b165" + "0474656d70" + "ff" + text(secret), UP),
        ("41020001aab166" + "036c6564" + "4d01" + text(secret), DOWN),
        ("6145000121ff" + text(secret), UP),
    ):
        found = describe_bytes(bytes.fromhex(wire), direction)
        assert found.type != "malformed"
        assert secret not in str(found)


def test_system_events_are_repeated_but_not_the_claim_code() -> None:
    def event(name: str, data: str) -> str:
        path = "".join(f"0{len(part)}{text(part)}" for part in name.split("/"))
        return str(describe_bytes(bytes.fromhex("50020001b145" + path + "ff" + text(data)), UP))

    assert "power_down" in event("spark/device/reset", "power_down")
    assert "s3cr3t" not in event("spark/device/claim/code", "s3cr3t")
    assert "\\x1b" not in event("spark/device/reset", "\x1b[31m")


@pytest.mark.parametrize(
    ("mask", "problems"),
    [
        ("1", ("server key was blank",)),
        ("5", ("server key was blank", "server address was blank")),
        ("10", ("server key was corrupt", "server address was corrupt")),
        ("x", None),
        ("²", None),
    ],
)
def test_key_errors_are_decoded(mask: str, problems: tuple[str, ...] | None) -> None:
    path = "0573706172" + "6b" + "0664657669" + "6365" + "036b6579" + "056572726f72"
    found = describe_bytes(bytes.fromhex("50020001b145" + path + "ff" + text(mask)), UP)
    assert found.facts["name"] == "spark/device/key/error"
    assert found.facts.get("key_errors") == problems


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(Direction),
            st.one_of(
                st.binary(max_size=60),
                st.tuples(
                    st.sampled_from(coap.Type),
                    st.sampled_from([1, 2, 3, 0x44, 0x45]),
                    st.sampled_from("hefvdtucSFCAxMkszE"),
                    st.lists(
                        st.tuples(st.sampled_from([11, 14, 15, 23, 27, 2049, 2057]), st.binary(max_size=9)), max_size=4
                    ),
                    st.binary(max_size=70),
                ).map(lambda t: Message(t[0], t[1], 7, b"\x01", ((11, t[2].encode()), *t[3]), t[4]).to_wire()),
            ),
        ),
        max_size=6,
    )
)
def test_whatever_comes_has_a_short_printable_name(messages: list[tuple[Direction, bytes]]) -> None:
    namer = Namer()
    for direction, data in messages:
        found = namer.name(data, direction)
        assert found.type.replace("-", "").isalpha()
        assert len(found.summary) < 400
        json.dumps(dict(found.facts), allow_nan=False)


# Conversations


GENUINE = genuine()


def conversation(name: str) -> list[tuple[str, str]]:
    """(who, type) of every message of a genuine session."""
    session = GENUINE[name]
    assert session.credentials is not None
    namer = Namer()
    found = []
    for item in open_records(Credentials.from_wire(session.credentials), session.play(LightSsl()).records):
        assert item.data is not None
        who = "D" if item.record.direction is UP else "C"
        summary = namer.name(item.data, item.record.direction)
        assert "counter_jump" not in summary.facts
        assert "retransmission" not in summary.facts
        found.append((who, summary.type))
    return found


def test_a_genuine_session_reads_like_a_conversation() -> None:
    """device-os v0.6.3 and spark-protocol, which answers events with 4.00 and acknowledges pings."""
    told = conversation("01c_good_sparkprotocol_fw063")
    assert told == [
        ("D", "hello"), ("C", "hello"), ("D", "event"), ("C", "ack"), ("D", "event"), ("D", "subscribe"),
        ("D", "time-request"), ("D", "subscribe"), ("C", "ack"), ("C", "ack"), ("C", "time"), ("C", "ack"),
        ("D", "event"), ("C", "error-response"), ("D", "event"), ("C", "error-response"), ("D", "ping"), ("C", "ack"),
    ]  # fmt: skip


#: A genuine UDP session (device-os v0.6.4, its cloud a stand-in), decrypted by tshark with the key log.
UDP = [
    (UP, "40020001b168ff0003ffff00000003000c0a10aced202194944a042f01", "hello", None),
    (DOWN, "60000001", "ack", "hello"),
    (UP, "40020002b1450d0c737061726b2f68617264776172652f6d61785f62696e617279ff313032343030", "event", None),
    (DOWN, "60000002", "ack", "event"),
    (UP, "4101000401b174", "time-request", None),
    (DOWN, "6145000401ff6b00e241", "time", "time-request"),
    (DOWN, "4101000120b164", "describe-request", None),
    (UP, "6145000120ff" + text('{"f":[],"v":{"temp":9},"p":3,"m":[]}'), "describe", "describe-request"),
    (DOWN, "4102000221b1660b6469676974616c72656164424433", "function-call", None),
    (UP, "60000002", "ack", "function-call"),
    (UP, "4144000621ff00000000", "function-return", "function-call"),
    (DOWN, "60000006", "ack", "function-return"),
    (DOWN, "4101000322b1760474656d70", "variable-request", None),
    (UP, "6145000322ff0000000000803540", "variable-value", "variable-request"),
]


def test_a_genuine_udp_session_pairs_answers_with_requests() -> None:
    namer = Namer()
    for direction, wire, kind, answers in UDP:
        found = namer.name(bytes.fromhex(wire), direction)
        assert (found.type, found.facts.get("answers")) == (kind, answers)


def test_a_retransmission_is_told_from_a_new_message() -> None:
    namer = Namer()
    first = bytes.fromhex(UDP[0][1])
    assert "retransmission" not in namer.name(first, UP).facts
    assert namer.name(first, UP).facts["retransmission"] is True
    other = namer.name(bytes.fromhex("40000001"), UP)
    assert "retransmission" not in other.facts
    assert "retransmission" not in namer.name(first, DOWN).facts


def test_a_counter_that_jumps_is_told() -> None:
    namer = Namer()
    facts = [namer.name(bytes.fromhex(f"4000{number:04x}"), UP).facts for number in (0xFFFE, 0xFFFF, 0, 1, 4, 4, 3)]
    assert [f.get("counter_jump") for f in facts] == [None, None, None, None, 3, None, 0xFFFF]


def test_acknowledgements_do_not_count() -> None:
    namer = Namer()
    namer.name(bytes.fromhex("40000005"), UP)
    namer.name(bytes.fromhex("60000099"), UP)
    assert "counter_jump" not in namer.name(bytes.fromhex("40000006"), UP).facts


def test_a_variable_of_four_bytes_is_no_time_when_it_was_asked_for() -> None:
    message = Message.from_wire(bytes.fromhex("6145000121ff0000002a"))
    assert describe(message, DOWN, "time-request").type == "time"
    assert describe(message, UP, "variable-request").type == "variable-value"
    assert describe(message, DOWN, "subscribe").type == "response"


@pytest.mark.parametrize(
    ("asked", "kind"),
    [("update-begin", "update-ready"), ("chunk", "chunk-received"), ("function-call", "function-return")],
)
def test_changed_is_named_by_what_was_asked(asked: str, kind: str) -> None:
    assert describe(Message.from_wire(bytes.fromhex("5144000121ff00000001")), UP, asked).type == kind


def test_blocks_are_facts() -> None:
    message = Message(coap.Type.CON, coap.POST, 1, b"", ((11, b"d"), (15, b"\x01"), (27, b"\x0e")), b"{}")
    found = Namer().name(message.to_wire(), UP)
    assert found.facts["block1"] == "0 of 1024 bytes, more to come"


def test_memory_of_a_long_session_is_bounded() -> None:
    namer = Namer()
    for number in range(3000):
        namer.name(b"\x42\x01" + number.to_bytes(2, "big") + number.to_bytes(2, "big") + b"\xb1t", UP)
    assert len(namer._seen[UP]) == len(namer._asked[UP]) == Namer.REMEMBERED
