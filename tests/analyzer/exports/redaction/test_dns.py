"""DNS messages redacted in place, read back by an independent parser (dnspython)."""

from __future__ import annotations

import dns.edns
import dns.message
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from analyzer.exports.redaction.dns import pseudonym, question, redacted
from analyzer.exports.redaction.pseudonyms import Pseudonyms

P = Pseudonyms(b"salt")
DEVICE = "3d002a001047343530333430"


def answer(name: str, *records: tuple[str, str]) -> bytes:
    message = dns.message.make_response(dns.message.make_query(name, "A"))
    owner = name
    for kind, value in records:
        message.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, value))
        if kind == "CNAME":
            owner = value
    return message.to_wire()


def test_a_device_id_in_a_name_becomes_its_pseudonym_and_the_rest_stays_readable() -> None:
    wire = answer(f"{DEVICE}.v3.udp.particle.io.", ("A", "203.0.113.10"))
    out = redacted(wire, P)
    assert out is not None
    read = dns.message.from_wire(out)
    other = P.device_id(bytes.fromhex(DEVICE)).hex()
    assert read.question[0].name.to_text() == f"{other}.v3.udp.particle.io."
    assert read.answer[0].name == read.question[0].name
    assert read.answer[0][0].to_text() == ".".join(str(b) for b in P.address(bytes((203, 0, 113, 10))))
    assert len(out) == len(wire)


def test_private_names_go_also_behind_a_cname_and_through_compression() -> None:
    wire = answer("cloud.garden.example.", ("CNAME", "node7.garden.example."), ("A", "10.1.2.3"))
    out = redacted(wire, P)
    assert out is not None
    for word in (b"cloud", b"garden", b"node7"):
        assert word not in out
    read = dns.message.from_wire(out)
    name = read.question[0].name
    assert read.answer[0].name == name
    target = read.answer[0][0].target
    assert read.answer[1].name == target
    assert target.labels[1:] == name.labels[1:]
    assert name.labels[-2] == b"example"


def test_other_record_types_are_emptied() -> None:
    wire = answer(
        "cloud.garden.example.",
        ("TXT", '"written by somebody"'),
        ("SOA", "ns.garden.example. me.garden.example. 1 2 3 4 5"),
    )
    out = redacted(wire, P)
    assert out is not None
    assert b"written" not in out
    assert b"garden" not in out
    assert b"\x02ns" not in out
    assert len(out) == len(wire)


def test_client_subnets_and_cookies_are_emptied() -> None:
    query = dns.message.make_query("device.spark.io.", "A")
    query.use_edns(0, options=[dns.edns.ECSOption("198.51.100.0", 24), dns.edns.GenericOption(10, b"cookie!!")])
    out = redacted(query.to_wire(), P)
    assert out is not None
    assert bytes((198, 51, 100)) not in out
    assert b"cookie" not in out
    read = dns.message.from_wire(out)
    assert read.question[0].name.to_text() == "device.spark.io."
    assert all(option.otype == 12 for option in read.options)


def test_an_id_in_capitals_stays_the_same_device() -> None:
    low, high = pseudonym(DEVICE.encode(), P), pseudonym(DEVICE.upper().encode(), P)
    assert low == high.lower() == P.device_id(bytes.fromhex(DEVICE)).hex().encode()


@given(st.binary(max_size=120))
def test_any_bytes_give_as_many_or_none(data: bytes) -> None:
    out = redacted(data, P)
    assert out is None or len(out) == len(data)
    question(data)


@given(st.data())
def test_a_cut_or_damaged_message_never_leaks_a_name(data: st.DataObject) -> None:
    wire = bytearray(answer("cloud.garden.example.", ("CNAME", "node7.garden.example."), ("A", "10.1.2.3")))
    for _ in range(data.draw(st.integers(0, 3))):
        # Flips in the counts and lengths; a flip in a label would only make another label.
        wire[data.draw(st.integers(4, 11))] = data.draw(st.integers(0, 3))
    out = redacted(bytes(wire[: data.draw(st.integers(0, len(wire)))]), P)
    if out is not None:
        for word in (b"garden", b"node7", b"cloud"):
            assert word not in out


def test_the_question_is_found() -> None:
    assert question(answer("cloud.garden.example.")) == "cloud.garden.example"
    assert question(b"\0" * 12) is None
    assert question(b"") is None


def test_a_message_that_ends_too_early_or_never_is_not_kept() -> None:
    """A question without its type, and a name of more labels than a name may have (RFC 1035, 3.1: 255 bytes)."""
    head = bytes.fromhex("000701000001000000000000")
    name = b"\x05diary\x07private\x00"
    assert redacted(head + name + b"\0\1\0\1", P) is not None
    for cut in range(4):
        assert redacted(head + name + b"\0\1\0\1"[:cut], P) is None
    assert redacted(head + b"\x01a" * 200 + b"\0" + b"\0\1\0\1", P) is None
