"""Look-ups over UDP and TCP, and internet tests: kept with their sessions, redacted, and nothing else of them."""

from __future__ import annotations

import random
from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from analyzer.capture import open_capture
from analyzer.exports.pcapng_writer import PcapngWriter
from analyzer.exports.redact import redact
from analyzer.exports.redaction.dns import redacted
from analyzer.exports.redaction.preludes import NameStream, Preludes, Wanted
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.keys import load_keys
from analyzer.model import CaptureReport
from analyzer.packet import TCP as TCP_NUMBER
from analyzer.packet import Packet
from analyzer.pipeline import analyze_capture

SALT = b"salt"
P = Pseudonyms(SALT)
DEVICE, CLOUD, RESOLVER, OTHER = "192.168.1.50", "203.0.113.10", "192.168.1.1", "192.168.1.77"
NAME, DEVICE_ID = "cloud.garden.example", "3d002a001047343530333430"
SECONDS = 10**9


def query(name: str) -> bytes:
    return dns.message.make_query(f"{name}.", "A", id=7).to_wire()


def answer(name: str, address: str | None) -> bytes:
    message = dns.message.make_response(dns.message.make_query(f"{name}.", "A", id=7))
    if address is None:
        message.set_rcode(3)
    else:
        message.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "A", address))
    return message.to_wire()


def over_tcp(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def udp(source: str, destination: str, sport: int, dport: int, payload: bytes) -> Layers:
    return IP(src=source, dst=destination) / UDP(sport=sport, dport=dport) / Raw(payload)


def tcp(
    source: str, destination: str, sport: int, dport: int, flags: str, seq: int, ack: int, data: bytes = b""
) -> Layers:
    packet = IP(src=source, dst=destination) / TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack)
    return packet / Raw(data) if data else packet


def lookup(client: str = DEVICE, name: str = NAME, address: str | None = CLOUD, port: int = 40053) -> list[Layers]:
    return [
        udp(client, RESOLVER, port, 53, query(name)),
        udp(RESOLVER, client, 53, port, answer(name, address)),
    ]


def refused(client: str = DEVICE) -> list[Layers]:
    return [
        tcp(client, CLOUD, 50000, 5683, "S", 10, 0),
        tcp(CLOUD, client, 5683, 50000, "RA", 0, 11),
    ]


def internet_test(client: str = DEVICE) -> list[Layers]:
    return [
        tcp(client, "8.8.8.8", 50001, 53, "S", 10, 0),
        tcp("8.8.8.8", client, 53, 50001, "SA", 90, 11),
        tcp(client, "8.8.8.8", 50001, 53, "A", 11, 91),
    ]


def run(tmp_path: Path, packets: list[Layers]) -> tuple[CaptureReport, CaptureReport, list[bytes], bytes]:
    """Redact these packets, one second apart: report before, report after, packets and bytes of what comes out."""
    writer = PcapngWriter()
    data = writer.section() + writer.interface(101)
    for number, packet in enumerate(packets):
        data += writer.packet(0, 10**18 + number * SECONDS, bytes(packet), len(packet))
    data += writer.packet(0, 10**18 + (len(packets) + 60) * SECONDS, b"\x60" + bytes(39), 40)
    source, output = tmp_path / "s.pcapng", tmp_path / "r.pcapng"
    source.write_bytes(data)
    report = analyze_capture(source, load_keys([]))
    done = redact(report, source, output, salt=SALT)
    kept = [record[3] for record in open_capture(output, name="o").records()][: done.kept]
    return report, analyze_capture(output, load_keys([])), kept, output.read_bytes()


def test_the_look_up_of_a_session_stays_and_others_go(tmp_path: Path) -> None:
    packets = [
        *lookup(name="diary.private.example", address="198.51.100.9", port=40001),
        *lookup(),
        *lookup(client=OTHER, port=40002),
        *refused(),
    ]
    before, after, kept, data = run(tmp_path, packets)
    assert len(kept) == 4
    assert before.sessions[0].cloud.host == NAME
    host = after.sessions[0].cloud.host
    assert host is not None
    assert [len(label) for label in host.split(".")] == [len(label) for label in NAME.split(".")]
    for word in (b"cloud", b"garden", b"diary", b"private"):
        assert word not in data


@pytest.mark.parametrize("cuts", [(), (1,), (2, 9, 30)])
def test_a_look_up_over_tcp_in_any_pieces(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    asked, told = (
        over_tcp(query(NAME)),
        over_tcp(answer(NAME, CLOUD)) + over_tcp(answer("diary.private.example", OTHER)),
    )
    packets = [
        tcp(DEVICE, RESOLVER, 40100, 53, "S", 100, 0),
        tcp(RESOLVER, DEVICE, 53, 40100, "SA", 900, 101),
        tcp(DEVICE, RESOLVER, 40100, 53, "PA", 101, 901, asked),
    ]
    bounds = [0, *cuts, len(told)]
    for low, high in zip(bounds, bounds[1:], strict=False):
        packets.append(tcp(RESOLVER, DEVICE, 53, 40100, "PA", 901 + low, 101 + len(asked), told[low:high]))
    before, after, kept, data = run(tmp_path, [*packets, *refused()])
    assert len(kept) == len(packets) + 2
    assert before.sessions[0].cloud.host == NAME
    assert after.sessions[0].cloud.host is not None
    for word in (b"cloud", b"garden", b"diary", b"private"):
        assert word not in data


def test_a_name_that_leads_nowhere_is_a_session_before_and_after(tmp_path: Path) -> None:
    name = f"{DEVICE_ID}.udp.particle.io"
    before, after, kept, data = run(tmp_path, lookup(name=name, address=None))
    assert len(kept) == 2
    assert [s.verdict.code for s in after.sessions] == [s.verdict.code for s in before.sessions]
    assert len(after.sessions) == 1
    assert after.sessions[0].device.id == P.device_id(bytes.fromhex(DEVICE_ID)).hex()
    assert DEVICE_ID.encode() not in data


def test_the_internet_test_stays_with_its_address(tmp_path: Path) -> None:
    before, after, kept, _ = run(tmp_path, [*refused(), *internet_test()])
    codes = [[finding.code for finding in report.sessions[0].findings] for report in (before, after)]
    assert codes[0] == codes[1]
    assert "internet-test" in codes[1]
    tests = [IP(data) for data in kept if IP(data).dst == "8.8.8.8"]
    assert tests
    assert tests[0].src == str(ip_address(P.address(ip_address(DEVICE).packed)))


def test_an_ntp_question_keeps_its_mode_only(tmp_path: Path) -> None:
    asks, tells = b"\xe3" + b"clock of somebody".ljust(47), b"\x24" + b"clock of a server".ljust(47)
    packets = [
        *refused(),
        udp(DEVICE, "198.51.100.123", 40123, 123, asks),
        udp("198.51.100.123", DEVICE, 123, 40123, tells),
        udp(OTHER, "198.51.100.123", 40124, 123, asks),
    ]
    _, _, kept, data = run(tmp_path, packets)
    assert b"clock of" not in data
    assert len(kept) == 4
    assert [len(packet) for packet in kept] == [len(packet) for packet in packets[:4]]
    assert bytes(IP(kept[2])[UDP].payload)[0] & 7 == 3


def segment(offset: int, data: bytes, sport: int = 40100) -> Packet:
    client, server = ip_address(DEVICE).packed, ip_address(RESOLVER).packed
    return Packet(1, 0, TCP_NUMBER, client, server, sport, 53, data, len(data), sequence=(2**32 - 20 + offset) % 2**32)


@given(cuts=st.lists(st.integers(0, 80), max_size=5), seed=st.integers(0, 1000))
def test_pieces_in_any_order_and_twice_give_the_same_bytes(cuts: list[int], seed: int) -> None:
    text = over_tcp(query(NAME)) + over_tcp(query("diary.private.example"))
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [segment(low, text[low:high]) for low, high in zip(bounds, bounds[1:], strict=False) if high > low]
    shuffled = [*pieces, pieces[0]]
    random.Random(seed).shuffle(shuffled)
    collected = Preludes()
    for piece in shuffled:
        collected.observe(piece)
    wanted = Wanted(frozenset({NAME}), frozenset({ip_address(DEVICE).packed}))
    ((_, stream),) = collected.streams(wanted, P)
    source = (ip_address(DEVICE).packed, 40100)
    out = b"".join(stream.payload(source, piece.sequence, False, piece.payload) for piece in pieces)
    assert len(out) == len(text)
    assert out[: len(over_tcp(query(NAME)))] != text[: len(over_tcp(query(NAME)))]
    for word in (b"garden", b"diary", b"private"):
        assert word not in out
    assert stream.payload(source, pieces[0].sequence, False, text) == out


def test_behind_a_hole_and_in_half_a_message_nothing_is_left() -> None:
    """The first look-up is whole; of the second a piece was not captured, so that nobody knows what the rest is."""
    first, second = over_tcp(query(NAME)), over_tcp(query("diary.private.example"))
    pieces = [segment(0, first), segment(len(first), second[:10]), segment(len(first) + 20, second[20:])]
    half = [segment(0, first), segment(len(first), second[:-3])]
    wanted = Wanted(frozenset({NAME}), frozenset({ip_address(DEVICE).packed}))
    source = (ip_address(DEVICE).packed, 40100)
    for sent in (pieces, half):
        collected = Preludes()
        for piece in sent:
            collected.observe(piece)
        ((_, stream),) = collected.streams(wanted, P)
        out = [stream.payload(source, piece.sequence, False, piece.payload) for piece in sent]
        assert out[0] == over_tcp(redacted(query(NAME), P))
        assert [len(data) for data in out] == [len(piece.payload) for piece in sent]
        assert set(b"".join(out[1:])[2:]) == {0}


def test_a_connection_without_a_wanted_look_up_is_left_out() -> None:
    collected = Preludes()
    collected.observe(segment(0, over_tcp(query("diary.private.example"))))
    collected.observe(segment(0, over_tcp(b"no message"), sport=40200))
    wanted = Wanted(frozenset({NAME}), frozenset({ip_address(DEVICE).packed}))
    assert list(collected.streams(wanted, P)) == []


def test_bytes_nobody_put_together_are_zeros() -> None:
    stream = NameStream({})
    assert stream.payload((b"abcd", 1), 5, False, b"name") == bytes(4)
