"""Headers of every kind, built and checked by scapy: pseudonyms in, lengths and checksums as before."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.contrib.mpls import MPLS
from scapy.layers.dot11 import Dot11, RadioTap
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP, IPOption_RR, fragment
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Pad1,
    PadN,
)
from scapy.layers.l2 import ARP, LLC, SNAP, CookedLinux, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from analyzer.capture import open_capture
from analyzer.exports.pcapng_writer import PcapngWriter
from analyzer.exports.redact import redact
from analyzer.exports.redaction.ip import read
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.keys import load_keys
from analyzer.pipeline import analyze_capture
from dissectors.dtls.messages import Certificate, Fragment
from dissectors.dtls.record import WireRecord

SALT = b"salt"
P = Pseudonyms(SALT)
DEVICE, CLOUD, ROUTER = "192.168.1.50", "203.0.113.10", "198.51.100.1"
DEVICE6, CLOUD6 = "fd00::e24f:43ff:fe00:350", "2001:db8::a"
MACS = {"src": "e0:4f:43:00:03:50", "dst": "00:1b:21:aa:bb:cc"}
HELLO = bytes.fromhex(
    "16fefd0000000000000000005e010000520000000000000052fefd" + "ab" * 32 + "00000004c0ae00ff01000024"
    "000d0006000404030303000a000400020017000b00020100001300020102001400020102"
)
#: Another session's: the same hello over IPv4 and over IPv6 is one session seen on two sides of a translator.
HELLO6 = HELLO.replace(b"\xab" * 32, b"\xcd" * 32)


def packed(text: str) -> bytes:
    from ipaddress import ip_address

    return ip_address(text).packed


def as_text(text: str) -> str:
    from ipaddress import ip_address

    return str(ip_address(P.address(packed(text))))


def hello(v6: bool = False, port: int = 40000, said: bytes = HELLO) -> Layers:
    ip = IPv6(src=DEVICE6, dst=CLOUD6) if v6 else IP(src=DEVICE, dst=CLOUD, id=7)
    return ip / UDP(sport=port, dport=5684) / Raw(said)


def run(tmp_path: Path, packets: list[tuple[int, bytes]], **options) -> list[tuple[int, bytes, int]]:
    """Redact a capture of these (link type, packet): (link type, packet, length) of what comes out, blanks left out."""
    writer = PcapngWriter()
    links = sorted({link for link, _ in packets})
    data = writer.section() + b"".join(writer.interface(link) for link in links)
    for number, (link, packet) in enumerate(packets):
        data += writer.packet(links.index(link), 10**18 + number * 10**9, packet, len(packet))
    source, output = tmp_path / "s.pcapng", tmp_path / "r.pcapng"
    source.write_bytes(data)
    report = analyze_capture(source, load_keys([]))
    done = redact(report, source, output, salt=SALT, **options)
    records = list(open_capture(output, name="o").records())[: done.kept]
    assert_gone(output)
    return [(link, packet, wire) for _, _, link, packet, wire in records]


def assert_gone(output: Path) -> None:
    data = output.read_bytes()
    for text in (DEVICE, CLOUD, ROUTER, DEVICE6, CLOUD6):
        if P.address(packed(text)) != packed(text):
            assert packed(text) not in data
    for mac in MACS.values():
        assert bytes.fromhex(mac.replace(":", "")) not in data
    assert bytes.fromhex("e24f43fffe000350") not in data


def valid(packet: Layers, layer: type) -> bool:
    """Whether scapy computes the checksum that is in ``packet``."""
    field = "cksum" if layer is ICMPv6DestUnreach else "chksum"
    copy = packet.copy()
    stored = getattr(copy[layer], field)
    delattr(copy[layer], field)
    return getattr(type(copy)(bytes(copy))[layer], field) == stored


@pytest.mark.parametrize("v6", [False, True])
def test_ethernet_with_tags(tmp_path: Path, v6: bool) -> None:
    frame = Ether(**MACS) / Dot1Q(vlan=77, prio=3) / Dot1Q(vlan=1234) / hello(v6)
    ((link, data, wire),) = run(tmp_path, [(1, bytes(frame))])
    out = Ether(data)
    assert (link, wire, len(data)) == (1, len(frame), len(frame))
    assert out.src == ":".join(f"{b:02x}" for b in P.mac(bytes.fromhex(MACS["src"].replace(":", ""))))
    assert out[Dot1Q].vlan == 0
    assert out[Dot1Q].payload.vlan == 0
    ip = out[IPv6] if v6 else out[IP]
    assert ip.src == as_text(DEVICE6 if v6 else DEVICE)
    assert ip.dst == as_text(CLOUD6 if v6 else CLOUD)
    assert valid(ip, UDP)
    assert v6 or valid(ip, IP)
    assert bytes(ip[Raw]) == HELLO


def test_padding_behind_the_packet_is_emptied(tmp_path: Path) -> None:
    ack = Ether(**MACS) / IP(src=DEVICE, dst=CLOUD) / UDP(sport=40000, dport=5684) / Raw(b"\0")
    padded = bytes(ack) + b"leaked memory of a network card"
    frames = run(tmp_path, [(1, bytes(Ether(**MACS) / hello())), (1, padded)])
    assert [wire for _, _, wire in frames][1] == len(padded)
    assert frames[1][1].endswith(bytes(31))


@pytest.mark.parametrize(
    ("link", "head"),
    [
        (113, bytes(CookedLinux(pkttype=4, lladdrlen=6, src=bytes.fromhex("e04f43000350") + b"\xaa\xbb", proto=0x800))),
        (276, bytes.fromhex("0800000000000003000104060000e04f43000350"[:24]) + bytes.fromhex("e04f43000350aabb")),
        (0, b"\2\0\0\0"),
        (9, b"\xff\x03\x00\x21"),
        (101, b""),
        (1, bytes(Ether(**MACS, type=0x8864) / PPPoE(sessionid=0x1234) / PPP(proto=0x21))),
    ],
    ids=["sll", "sll2", "null", "ppp", "raw", "pppoe"],
)
def test_link_types(tmp_path: Path, link: int, head: bytes) -> None:
    packet = bytes(hello())
    ((out_link, data, wire),) = run(tmp_path, [(link, head + packet)])
    assert (out_link, wire, len(data)) == (link, len(head) + len(packet), len(head) + len(packet))
    assert b"\xaa\xbb" not in data[: len(head)]
    assert b"\x12\x34" not in data[: len(head)]
    assert IP(data[len(head) :]).src == as_text(DEVICE)


def test_what_is_in_a_tunnel_comes_out_of_it(tmp_path: Path) -> None:
    outer = {"src": "198.51.100.1", "dst": "198.51.100.2"}
    frames = [
        Ether(**MACS) / IP(**outer) / GRE(key_present=1, key=0xCAFEBABE) / hello(),
        Ether(**MACS) / IP(**outer) / hello(),
        Ether(**MACS) / IP(**outer) / hello(v6=True, port=40001, said=HELLO6),
    ]
    out = run(tmp_path, [(1, bytes(frame)) for frame in frames])
    assert [link for link, _, _ in out] == [101, 101, 101]
    assert IP(out[0][1]).src == as_text(DEVICE)
    assert valid(IP(out[1][1]), UDP)
    assert IPv6(out[2][1]).dst == as_text(CLOUD6)


def test_ip_options_and_extension_headers_are_emptied(tmp_path: Path) -> None:
    recorded = IP(src=DEVICE, dst=CLOUD, options=[IPOption_RR(routers=[ROUTER, DEVICE])])
    options = IPv6ExtHdrHopByHop(options=[PadN(optdata=b"told by a router")])
    routed = IPv6(src=DEVICE6, dst=CLOUD6) / options / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"told by the device")])
    udp, udp6 = UDP(sport=40000, dport=5684) / Raw(HELLO), UDP(sport=40001, dport=5684) / Raw(HELLO6)
    out = run(tmp_path, [(101, bytes(recorded / udp)), (101, bytes(routed / udp6))])
    assert len(out[0][1]) == len(recorded / udp)
    assert valid(IP(out[0][1]), IP)
    assert valid(IP(out[0][1]), UDP)
    assert b"told" not in out[1][1]
    assert bytes(IPv6(out[1][1])[Raw]) == HELLO6


@pytest.mark.parametrize("told", [250, 256, 257, 258, 259, 600, 2000])
def test_extension_headers_of_every_length_are_emptied(tmp_path: Path, told: int) -> None:
    """A header may have 2 kB of options, one option 255 bytes: the emptied header is as long and still reads as options."""
    options = [PadN(optdata=b"told by a router".ljust(min(told - at, 250), b"!")) for at in range(0, told, 250)]
    packet = IPv6(src=DEVICE6, dst=CLOUD6) / IPv6ExtHdrHopByHop(options=options) / hello(True)[UDP]
    ((_, data, wire),) = run(tmp_path, [(101, bytes(packet))])
    assert wire == len(data) == len(packet)
    assert b"told" not in data
    out = IPv6(data)
    left = out[IPv6ExtHdrHopByHop]
    assert {type(option) for option in left.options} <= {Pad1, PadN}
    assert sum(len(option) for option in left.options) + 2 == (left.len + 1) * 8
    assert valid(out, UDP)
    assert bytes(out[Raw]) == HELLO


def test_a_routing_header_loses_its_addresses() -> None:
    packet = bytes(IPv6(src=DEVICE6, dst=CLOUD6) / IPv6ExtHdrRouting(addresses=[DEVICE6]) / UDP() / Raw(b"x" * 20))
    found = read(packet, len(packet))
    assert found is not None
    out = found.disguised_header(P)
    assert packed(DEVICE6) not in out
    assert len(out) == found.header


@pytest.mark.parametrize("v6", [False, True])
def test_an_icmp_error_is_about_the_redacted_packet(tmp_path: Path, v6: bool) -> None:
    about = hello(v6)
    if v6:
        error = IPv6(src="2001:db8:ffff::1", dst=DEVICE6) / ICMPv6DestUnreach(code=4) / bytes(about)
    else:
        error = IP(src=ROUTER, dst=DEVICE) / ICMP(type=3, code=3) / bytes(about) / Raw(b"interface eth0 of router 7")
    out = run(tmp_path, [(101, bytes(about)), (101, bytes(error))])
    assert len(out) == 2
    packet = (IPv6 if v6 else IP)(out[1][1])
    assert packet.dst == as_text(DEVICE6 if v6 else DEVICE)
    assert valid(packet, ICMPv6DestUnreach if v6 else ICMP)
    quote = out[1][1][48 if v6 else 28 :]
    assert quote.startswith(out[0][1])
    assert b"router" not in quote


def test_fragments_are_redacted_as_one(tmp_path: Path) -> None:
    spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + bytes(range(64))
    certificate = bytes.fromhex("16fefd0000000000000002006a0b00005e000200000000005e00005b") + spki
    whole = IP(src=DEVICE, dst=CLOUD, id=9) / UDP(sport=40000, dport=5684) / Raw(certificate)
    pieces = [bytes(piece) for piece in fragment(whole, fragsize=48)]
    assert len(pieces) > 2
    shuffled = [pieces[-1], *pieces[:-1]]
    out = run(tmp_path, [(101, bytes(hello())), *((101, piece) for piece in shuffled)])
    assert [len(data) for _, data, _ in out[1:]] == [len(piece) for piece in shuffled]
    payload = b"".join(bytes(IP(data).payload) for _, data, _ in [*out[2:], out[1]])
    joined = IP(src=as_text(DEVICE), dst=as_text(CLOUD), proto=17) / UDP(payload)
    assert valid(IP(bytes(joined)), UDP)
    assert spki[-32:] not in payload
    assert spki[:26] in payload


def test_missing_fragments_are_left_out(tmp_path: Path) -> None:
    whole = IP(src=DEVICE, dst=CLOUD, id=9) / UDP(sport=40000, dport=5684) / Raw(HELLO * 3)
    pieces = [bytes(piece) for piece in fragment(whole, fragsize=48)]
    out = run(tmp_path, [(101, bytes(hello())), *((101, piece) for piece in pieces[:-1])])
    assert len(out) == 1


def test_tcp_options_that_identify_are_gone(tmp_path: Path) -> None:
    rng_nonce = bytes((i * 37 + 11) % 256 for i in range(40))
    syn = {"sport": 40001, "dport": 5683}
    cookie = b"fastopen-cookie!"
    frames = [
        IP(src=DEVICE, dst=CLOUD)
        / TCP(**syn, flags="S", seq=9, options=[("MSS", 1460), (34, cookie), ("SAckOK", b"")]),
        IP(src=CLOUD, dst=DEVICE) / TCP(sport=5683, dport=40001, flags="SA", seq=99, ack=10),
        IP(src=CLOUD, dst=DEVICE) / TCP(sport=5683, dport=40001, flags="PA", seq=100, ack=10) / Raw(rng_nonce),
    ]
    out = run(tmp_path, [(101, bytes(frame)) for frame in frames])
    first = IP(out[0][1])
    assert b"cookie" not in out[0][1]
    assert first[TCP].options[0] == ("MSS", 1460)
    assert ("SAckOK", b"") in first[TCP].options
    assert len(out[0][1]) == len(frames[0])
    for _, data, _ in out:
        assert valid(IP(data), TCP)
        assert valid(IP(data), IP)
    assert bytes(IP(out[2][1])[Raw]) == rng_nonce


def test_labels_of_a_provider_are_gone(tmp_path: Path) -> None:
    """Of an MPLS stack only the mark of its bottom and the hop limits stay (RFC 3032)."""
    frame = Ether(**MACS, type=0x8847) / MPLS(label=77777, cos=5, s=0, ttl=62) / MPLS(label=4242, s=1, ttl=61) / hello()
    ((_, data, wire),) = run(tmp_path, [(1, bytes(frame))])
    assert wire == len(frame)
    stack = data[14:22]
    assert stack == bytes((0, 0, 0, 62, 0, 0, 1, 61))
    assert bytes(IP(data[22:])[Raw]) == HELLO


def test_the_session_of_a_dial_up_line_is_gone(tmp_path: Path) -> None:
    frame = PPPoE(sessionid=0x1234) / PPP(proto=0x21) / hello()
    ((link, data, wire),) = run(tmp_path, [(51, bytes(frame))])
    out = PPPoE(data)
    assert (link, wire, out.sessionid, out.len) == (51, len(frame), 0, len(frame) - 6)
    assert bytes(IP(data[8:])[Raw]) == HELLO


def test_of_a_link_that_only_scapy_knows_the_packet_stays(tmp_path: Path) -> None:
    """802.11 has three addresses and more: none of its header is kept."""
    radio = RadioTap() / Dot11(type=2, addr1=MACS["dst"], addr2=MACS["src"], addr3=MACS["dst"]) / LLC() / SNAP()
    frames = [(127, bytes(radio / hello())), (127, bytes(radio / ARP(psrc=DEVICE, pdst=ROUTER))), (127, b"\0\0cut")]
    ((link, data, wire),) = run(tmp_path, frames)
    assert (link, wire) == (101, len(hello()))
    assert valid(IP(data), UDP)
    assert bytes(IP(data)[Raw]) == HELLO


def test_a_redirect_names_no_gateway(tmp_path: Path) -> None:
    about = hello()
    redirect = IP(src=ROUTER, dst=DEVICE) / ICMP(type=5, code=1, gw="198.51.100.77") / bytes(about)
    out = run(tmp_path, [(101, bytes(about)), (101, bytes(redirect))])
    assert IP(out[1][1])[ICMP].gw == as_text("198.51.100.77")
    assert valid(IP(out[1][1]), ICMP)


@pytest.mark.parametrize(
    "quoted",
    [
        bytes(hello())[:27],
        bytes(hello())[:19],
        bytes(IP(src=DEVICE, dst=CLOUD, frag=4) / Raw(HELLO)),
        bytes(IP(src=DEVICE, dst=CLOUD, proto=132) / Raw(HELLO)),  # SCTP
        bytes(IP(src=ROUTER, dst="198.51.100.9") / UDP(sport=7, dport=9) / Raw(HELLO)),
    ],
    ids=["too little", "no header", "fragment", "protocol", "another flow"],
)
def test_an_icmp_error_about_anything_else_is_left_out(tmp_path: Path, quoted: bytes) -> None:
    error = IP(src=ROUTER, dst=DEVICE) / ICMP(type=3, code=3) / Raw(quoted)
    assert len(run(tmp_path, [(101, bytes(hello())), (101, bytes(error))])) == 1


def test_what_cannot_be_looked_into_is_left_out(tmp_path: Path) -> None:
    whole = bytes(IP(src=DEVICE, dst=CLOUD, id=9) / UDP(sport=40000, dport=5684) / Raw(HELLO * 3))
    first, *_ = [bytes(piece) for piece in fragment(IP(whole), fragsize=48)]
    later = bytearray(bytes(fragment(IP(whole), fragsize=48)[1]))
    others = [
        bytes(IP(src=DEVICE, dst=CLOUD) / GRE(version=1, proto=0x880B) / hello()),
        bytes(later[:40]),  # a piece of a datagram, cut by the snap length
        bytes(IPv6(src=DEVICE6, dst=CLOUD6))[:39],
    ]
    out = run(tmp_path, [(101, bytes(hello())), (101, first), *((101, data) for data in others)])
    assert len(out) == 1


def test_options_that_end_in_the_middle_are_emptied(tmp_path: Path) -> None:
    """A length that reaches beyond the header: what it began is not kept."""
    syn = IP(src=DEVICE, dst=CLOUD) / TCP(
        sport=40001, dport=5683, flags="S", seq=9, options=[("MSS", 1460), ("NOP", None)] * 2
    )
    broken = bytearray(bytes(syn))
    at = 40 + 5
    broken[at : at + 5] = b"\x02\x28hid"
    nonce = bytes((i * 37 + 11) % 256 for i in range(40))
    answers = [
        IP(src=CLOUD, dst=DEVICE) / TCP(sport=5683, dport=40001, flags="SA", seq=99, ack=10),
        IP(src=CLOUD, dst=DEVICE) / TCP(sport=5683, dport=40001, flags="PA", seq=100, ack=10) / Raw(nonce),
    ]
    out = run(tmp_path, [(101, bytes(broken)), *((101, bytes(answer)) for answer in answers)])
    assert len(out) == 3
    assert b"hid" not in out[0][1]
    assert len(out[0][1]) == len(broken)
    assert out[0][1][40:44] == b"\x02\x04\x05\xb4"


def test_a_certificate_a_device_sends_keeps_its_form_only(tmp_path: Path) -> None:
    """A chain instead of a bare key: the outer frame of each certificate stays, whose it is does not."""
    der = bytes.fromhex("30820120") + b"CN=device of somebody".ljust(288, b"!")
    body = Certificate(chain=(der, der[:4] + b"CN=issuer of somebody".ljust(288, b"?"))).to_wire()
    flight = WireRecord(22, 0xFEFD, 0, 2, Fragment(11, len(body), 2, 0, body).to_wire()).to_wire()
    frames = [hello(), IP(src=DEVICE, dst=CLOUD, id=8) / UDP(sport=40000, dport=5684) / Raw(flight)]
    out = run(tmp_path, [(101, bytes(frame)) for frame in frames])
    sent = bytes(IP(out[1][1])[Raw])
    assert len(sent) == len(flight)
    assert b"somebody" not in sent
    made = Certificate.from_wire(sent[25:])
    assert [item[:4] for item in made.chain] == [der[:4]] * 2
