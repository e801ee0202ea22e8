"""Tunnels and link types: stream numbers, the index, nesting, damage, what is closed. Verdicts are in `test_matrix`."""

from __future__ import annotations

import io
import struct
import subprocess
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture import open_capture, reader
from analyzer.capture.decode import Decoder
from analyzer.capture.encapsulation import PROTOCOLS, UDP_PORTS, Kind
from analyzer.capture.records import Notes
from analyzer.keys import load_keys
from analyzer.model import CaptureReport
from analyzer.packet import TCP, UDP
from analyzer.pipeline import Options, analyze_capture
from captures.synth import capfile, wire
from tests.analyzer.capture.screening import read
from tests.analyzer.capture.wrappings import CAPTURES, WRAPPINGS, frames, packet, wrapped

CASES = ("tcp-02a-cloud-wrong-devkey-brewskey", "dtls-09-icmp-port-unreachable", "dtls-03-wrong-server-key-on-device")
A, B = wire.address("192.0.2.1"), wire.address("198.51.100.2")


def _file(case: str) -> Path:
    return next((CAPTURES / case).glob("capture*.pcap"))


@cache
def _wrapped(case: str, name: str) -> bytes:
    return wrapped(_file(case), WRAPPINGS[name])


def _report(data: bytes, case: str) -> CaptureReport:
    keys = CAPTURES / case / "keys"
    return analyze_capture(io.BytesIO(data), load_keys([keys]), Options(jobs=1), name="c")


@pytest.mark.tshark
@pytest.mark.parametrize("name", [name for name, wrapping in WRAPPINGS.items() if wrapping.oracle])
def test_stream_numbers_are_wireshark_s(name: str, tshark: str, tmp_path: Path) -> None:
    """The filter selects in Wireshark the frames that the session has."""
    path = tmp_path / "c.pcap"
    path.write_bytes(_wrapped(CASES[0], name))
    report = analyze_capture(path, load_keys([]), Options(jobs=1))
    for session in report.sessions:
        shown = subprocess.run([tshark, "-r", str(path), "-Y", session.filter, "-T", "fields", "-e", "frame.number"], check=True, capture_output=True, text=True)  # fmt: skip
        numbers = [int(line) for line in shown.stdout.split()]
        assert (numbers[0], numbers[-1]) == (session.first_frame, session.last_frame)
    assert report.sessions


@pytest.mark.parametrize("name", WRAPPINGS)
def test_the_index_agrees(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_SMALL", 24)
    monkeypatch.setattr(reader, "_BLOCK", 3000)
    data = _wrapped(CASES[len(name) % 2], name)
    assert read(data, screened=True) == read(data, screened=False)


def _frame(payload: bytes = b"hello") -> bytes:
    inner = wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 5784, 5684, payload), ident=3)
    return wire.ethernet(bytes(6), bytes(6), wire.ETHERTYPE_IPV4, inner)


def _decoded(data: bytes, link: int = 1) -> tuple[list, Decoder]:
    decoder = Decoder(Notes())
    first = decoder.decode(4, 99, link, data, len(data))
    return ([] if first is None else [first, *decoder.taken()]), decoder


NESTED = ("VXLAN", "GTP-U", "GRE", "Geneve", "L2TP", "MPLS in IP", "ERSPAN II", "TZSP")


@pytest.mark.parametrize("outer", NESTED)
@pytest.mark.parametrize("inner", NESTED)
def test_tunnels_in_tunnels(inner: str, outer: str) -> None:
    frame = WRAPPINGS[inner].wrap(_frame(), 1)
    found, _ = _decoded(WRAPPINGS[outer].wrap(frame, 1))
    assert found[-1].payload == b"hello"
    assert [carrier.name for carrier in found[-1].carriers] == [WRAPPINGS[outer].carrier, WRAPPINGS[inner].carrier]
    # Wireshark numbers the outer datagrams too, outermost first.
    assert [len(item.carriers) for item in found] == sorted(len(item.carriers) for item in found)


def test_nesting_ends_and_is_said() -> None:
    data = _frame()
    for number in range(40):
        data = WRAPPINGS["VXLAN"].wrap(data, number)
    found, decoder = _decoded(data)
    assert all(item.destination_port == 4789 for item in found)
    assert [problem.code for problem in decoder.unread.problems()] == ["nested-too-deep"]
    assert len(found) < 20


def test_fragments_of_a_tunnel_are_joined() -> None:
    inner = _frame(bytes(range(256)) * 4)
    whole = packet(WRAPPINGS["GTP-U"].wrap(inner, 1))
    decoder = Decoder(Notes())
    found = []
    for number, part in enumerate(wire.ipv4_fragments(whole, 400), 1):
        first = decoder.decode(number, 99, 101, part, len(part))
        found += [] if first is None else [first, *decoder.taken()]
    assert [len(item.payload) for item in found] == [1024 + 28 + 8, 1024]


@pytest.mark.parametrize("size", [34, 60, 80, 90])
def test_a_cut_tunnel_keeps_what_there_is(size: int) -> None:
    """What is cut off counts in the length; what is cut in front of the inner header is said."""
    whole = WRAPPINGS["VXLAN"].wrap(_frame(bytes(300)), 1)
    decoder = Decoder(Notes())
    first = decoder.decode(1, 99, 1, whole[:size], len(whole))
    found = [] if first is None else [first, *decoder.taken()]
    if size == 90:
        assert [item.destination_port for item in found] == [4789]
    assert all(problem.code == "cut-packets" for problem in decoder.unread.problems())
    assert list(decoder.unread.problems()) or size == 60
    whole_enough = decoder.decode(1, 99, 1, whole[:140], len(whole))
    assert whole_enough is not None
    (inner,) = decoder.taken()
    assert (inner.length, 0 < len(inner.payload) < 300) == (300, True)


# -- what cannot be read is said ---------------------------------------------------------------------------------------


def _udp(port: int, payload: bytes, source: int = 40000) -> bytes:
    return wire.ethernet(
        bytes(6), bytes(6), wire.ETHERTYPE_IPV4, wire.ipv4(A, B, wire.UDP, wire.udp(A, B, source, port, payload))
    )


WIREGUARD = b"\4\0\0\0" + bytes(range(12)) + bytes(range(48))
CLOSED = {
    "WireGuard": (_udp(51820, WIREGUARD), "encrypted-tunnel"),
    "OpenVPN": (_udp(1194, b"\x30" + bytes(range(40))), "encrypted-tunnel"),
    "IPsec NAT-T (ESP in UDP)": (_udp(4500, bytes(range(1, 90)), 4500), "encrypted-tunnel"),
    "IPsec ESP": (wire.ethernet(bytes(6), bytes(6), 0x0800, wire.ipv4(A, B, 50, bytes(range(1, 90)))), "encrypted-tunnel"),
    "MACsec": (bytes(12) + bytes.fromhex("88e52c00") + bytes(60), "encrypted-tunnel"),
    "CAPWAP with DTLS": (_udp(5247, b"\1\0\0\0" + bytes(range(60))), "encrypted-tunnel"),
    "PPP with MPPE or compression": (bytes(12) + b"\x88\x64" + struct.pack(">BBHH", 0x11, 0, 7, 62) + b"\0\xfd" + bytes(60), "encrypted-tunnel"),
    "GRE type 1234": (wire.ethernet(bytes(6), bytes(6), 0x0800, wire.ipv4(A, B, 47, b"\0\0\x12\x34" + bytes(60))), "unread-encapsulation"),
    "Ethernet type 1234": (bytes(12) + b"\x12\x34" + bytes(60), "unread-encapsulation"),
    "IP protocol 200": (wire.ethernet(bytes(6), bytes(6), 0x0800, wire.ipv4(A, B, 200, bytes(60))), "unread-encapsulation"),
    "Geneve protocol 1234": (_udp(6081, struct.pack(">BBHI", 0, 0, 0x1234, 5 << 8) + bytes(60)), "unread-encapsulation"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_what_is_closed_is_named_with_its_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, code = CLOSED[name]
    file = capfile.pcap([capfile.Frame(number, data, len(data)) for number in range(1, 31)])
    report = analyze_capture(io.BytesIO(file), load_keys([]), name="c")
    assert [(problem.code, problem.frame, problem.packets) for problem in report.problems] == [(code, 1, 30)]
    assert f"30 packets are {name}" in report.problems[0].message
    assert report.status == "partial"
    monkeypatch.setattr(reader, "_SMALL", 24)
    assert read(file, screened=True) == read(file, screened=False)


def test_the_most_frequent_comes_first_and_a_capture_with_more_in_it_is_not_partial() -> None:
    chosen = [CLOSED["MACsec"][0]] * 2 + [CLOSED["WireGuard"][0]] * 3 + [_frame()]
    report = analyze_capture(io.BytesIO(capfile.pcap([capfile.Frame(n, d, len(d)) for n, d in enumerate(chosen)])), load_keys([]), name="c")  # fmt: skip
    assert [problem.packets for problem in report.problems] == [3, 2]
    assert report.status == "ok"


def test_names_of_unknown_encapsulations_are_bounded() -> None:
    decoder = Decoder(Notes())
    for kind in range(0x1000, 0x1400):
        decoder.decode(kind, 99, 1, bytes(12) + kind.to_bytes(2, "big") + bytes(50), 64)
    problems = list(decoder.unread.problems())
    assert len(problems) <= 65
    assert sum(problem.packets or 0 for problem in problems) == 0x400


def test_a_device_s_own_dtls_on_a_tunnel_s_port_is_no_tunnel() -> None:
    data = _udp(4500, bytes.fromhex("16fefd0000000000000000") + bytes(60), 4500)
    found, decoder = _decoded(data)
    assert [item.destination_port for item in found] == [4500]
    assert not decoder.unread
    assert decoder.read_any


def test_what_only_has_the_port_is_a_datagram_like_any_other() -> None:
    for port in UDP_PORTS:
        found, decoder = _decoded(_udp(port, b"xyz"))
        assert [item.payload for item in found] == [b"xyz"]
        assert not decoder.unread


# -- any bytes ----------------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.sampled_from(sorted(WRAPPINGS)), st.data())
def test_damaged_tunnels_never_raise_and_end(name: str, data: st.DataObject) -> None:
    wrapping = WRAPPINGS[name]
    raw = bytearray(wrapping.wrap(_frame(bytes(40)), 1))
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    found, _ = _decoded(bytes(raw[:cut]), wrapping.link)
    assert all(0 <= len(item.payload) <= max(item.length, 0) for item in found)


@settings(max_examples=200)
@given(st.binary(max_size=160), st.sampled_from(sorted(UDP_PORTS)), st.sampled_from(sorted(PROTOCOLS)))
def test_any_bytes_in_any_tunnel_never_raise(payload: bytes, port: int, protocol: int) -> None:
    for data in (_udp(port, payload), wire.ethernet(bytes(6), bytes(6), 0x0800, wire.ipv4(A, B, protocol, payload))):
        found, _ = _decoded(data)
        assert all(item.protocol in (TCP, UDP, 1, 58) for item in found)


def test_every_kind_is_used() -> None:
    assert {kind.value for kind in Kind} == set(range(len(Kind)))


def test_open_capture_gives_inner_packets_behind_their_outer_ones() -> None:
    data = WRAPPINGS["VXLAN"].wrap(_frame(), 1)
    found = list(open_capture(io.BytesIO(capfile.pcap([capfile.Frame(1, data, len(data))])), name="c"))
    assert [(item.number, item.destination_port) for item in found] == [(1, 4789), (1, 5684)]


# -- encrypted tunnels on any port -----------------------------------------------------------------------------------------

_SID = bytes(range(1, 9))
#: First datagrams, after the protocols' own pages.
BEGUN = {
    "WireGuard": b"\1\0\0\0" + bytes(range(144)),
    "OpenVPN": b"\x38" + _SID + bytes(5),
    "OpenVPN, tls-auth": b"\x38" + _SID + bytes(range(20)) + b"\0\0\0\1" + b"\x65\0\0\0" + bytes(5),
    "OpenVPN, tls-crypt": b"\x50" + _SID + b"\0\0\0\1" + bytes(range(41)),
    "QUIC (HTTP/3, or a VPN in it)": b"\xc3\0\0\0\1" + bytes(range(100)) * 12,
}


@pytest.mark.parametrize("name", BEGUN)
def test_an_encrypted_tunnel_on_any_port_is_named_by_its_first_datagram(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_SMALL", 24)
    monkeypatch.setattr(reader, "_BLOCK", 3000)
    chosen = [_udp(4433, BEGUN[name]), *[_udp(4433, bytes(range(200)))] * 30, _udp(9999, b"hello", 40001)]
    file = capfile.pcap([capfile.Frame(number, data, len(data)) for number, data in enumerate(chosen, 1)])
    said = []
    for index_ in ("", "1"):
        monkeypatch.setenv("ANALYZE_NO_INDEX", index_)
        report = analyze_capture(io.BytesIO(file), load_keys([]), name="c")
        said.append([(problem.code, problem.frame, problem.message) for problem in report.problems])
    assert said[0] == said[1]
    ((code, frame, text),) = said[0]
    assert (code, frame) == ("encrypted-tunnel", 1)
    assert f"begins as {name.replace(', tls-auth', '').replace(', tls-crypt', '')} does" in text and "port 4433" in text


def test_what_only_begins_with_the_same_byte_is_no_tunnel() -> None:
    chosen = [_udp(4433 + number, data[: len(data) - 1]) for number, data in enumerate(list(BEGUN.values())[:4])]
    file = capfile.pcap([capfile.Frame(number, data, len(data)) for number, data in enumerate(chosen, 1)])
    assert analyze_capture(io.BytesIO(file), load_keys([]), name="c").problems == ()


def test_quic_beside_a_session_is_nothing_to_say() -> None:
    records = [(t, d) for t, d in frames(_file(CASES[0]))]
    quic = _udp(443, BEGUN["QUIC (HTTP/3, or a VPN in it)"])
    data = capfile.pcap([capfile.Frame(t, d, len(d)) for t, d in [(records[0][0] - 1, quic), *records]])
    report = _report(data, CASES[0])
    assert report.sessions and report.problems == ()


@pytest.mark.parametrize("size", [700, 3000, 1 << 20])
def test_the_index_agrees_on_many_flows_in_several_tunnels(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider's capture: tunnels of several cells, look-ups and IPv6 inside, packets beside them, and cut ones."""
    monkeypatch.setattr(reader, "_SMALL", 24)
    monkeypatch.setattr(reader, "_BLOCK", size)
    cases = (
        "tcp-17-gateway-mixed",
        "dtls-13-several-devices",
        "tcp-01f-good-by-name-with-dns",
        "synth-path-ipv6",
        "synth-other-quic",
    )
    every = sorted(item for case in cases for item in frames(_file(case)))
    records = []
    for number, (time_ns, data) in enumerate(every, 1):
        inner = packet(data)
        gtp = bytes((0x30, 255)) + struct.pack(">HI", len(inner), 9) + inner
        cell = wire.address(f"198.51.100.{number % 3 + 1}")
        outer = wire.ipv4(cell, B, wire.UDP, wire.udp(cell, B, 2152, 2152, gtp), ident=number & 0xFFFF)
        whole = data if number % 7 == 0 else wire.ethernet(bytes(6), bytes(6), wire.ETHERTYPE_IPV4, outer)
        kept = whole[:110] if number % 31 == 0 else whole
        records.append(capfile.Frame(time_ns, kept, len(whole)))
    data = capfile.pcap(records)
    found = read(data, screened=True)
    assert found == read(data, screened=False)
    assert len(found["conversations"]) > 10
