"""Genuine captures inside tunnels and under other link types: scapy's layers where it has them, plain bytes where not.

A wrapping takes an Ethernet frame and gives the bytes of a record; `link` is the file's link type.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from analyzer.capture import open_capture
from captures.synth import capfile

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
OUTER = ("198.51.100.1", "198.51.100.2")
MACS = bytes.fromhex("0200000000fe020000000001")

Wrap = Callable[[bytes, int], bytes]


@dataclass(frozen=True)
class Wrapping:
    """``carrier``: the tunnel's name in a report, None where the addresses stay; ``oracle``: tshark opens it by itself."""

    wrap: Wrap
    link: int = 1
    carrier: str | None = None
    oracle: bool = True


def layer(name: str, **fields: Any) -> Any:
    """A scapy layer by ``module.Class``."""
    module, _, kind = name.rpartition(".")
    return getattr(import_module(f"scapy.{module}"), kind)(**fields)


def ether(**fields: Any) -> Any:
    return layer("layers.l2.Ether", dst="02:00:00:00:00:fe", src="02:00:00:00:00:01", **fields)


def ip(proto: int | None = None, ident: int = 1) -> Any:
    return layer(
        "layers.inet.IP", src=OUTER[0], dst=OUTER[1], id=ident & 0xFFFF, **({} if proto is None else {"proto": proto})
    )


def raw(data: bytes) -> Any:
    return layer("packet.Raw", load=data)


def udp(port: int, ident: int, source: int | None = None) -> Any:
    return ether() / ip(ident=ident) / layer("layers.inet.UDP", sport=source or 40000, dport=port)


def packet(frame: bytes) -> bytes:
    """The IP packet of an Ethernet frame, without padding."""
    if frame[12:14] == b"\x08\0":
        return frame[14 : 14 + int.from_bytes(frame[16:18], "big")]
    return frame[14 : 54 + int.from_bytes(frame[18:20], "big")]


def kind(frame: bytes) -> int:
    return int.from_bytes(frame[12:14], "big")


def ppp_number(frame: bytes) -> bytes:
    return b"\0\x21" if kind(frame) == 0x0800 else b"\0\x57"


def _in_udp(
    port: int, head: bytes | Callable[[bytes], bytes], of: Callable[[bytes], bytes] = bytes, source: int | None = None
) -> Wrap:
    def wrap(frame: bytes, number: int) -> bytes:
        first = head if isinstance(head, bytes) else head(frame)
        return bytes(udp(port, number, source) / raw(first + of(frame)))

    return wrap


def _gre(proto: int, head: bytes = b"", of: Callable[[bytes], bytes] = bytes, **fields: Any) -> Wrap:
    def wrap(frame: bytes, number: int) -> bytes:
        return bytes(ether() / ip(ident=number) / layer("layers.l2.GRE", proto=proto, **fields) / raw(head + of(frame)))

    return wrap


def _in_ip(proto: int, head: bytes = b"", of: Callable[[bytes], bytes] = bytes) -> Wrap:
    return lambda frame, number: bytes(ether() / ip(proto, number) / raw(head + of(frame)))


def _tagged(head: bytes) -> Wrap:
    """Between the addresses and the EtherType."""
    return lambda frame, number: frame[:12] + head + frame[12:]


def _before_ip(head: bytes | Callable[[bytes], bytes], of: Callable[[bytes], bytes] = packet) -> Wrap:
    return lambda frame, number: (head if isinstance(head, bytes) else head(frame)) + of(frame)


def _esp(frame: bytes, number: int) -> bytes:
    association = layer("layers.ipsec.SecurityAssociation", proto=import_module("scapy.layers.ipsec").ESP, spi=7, crypt_algo="NULL",
                        tunnel_header=ip(ident=number))  # fmt: skip
    inner = layer("layers.inet.IP" if kind(frame) == 0x0800 else "layers.inet6.IPv6", _pkt=packet(frame))
    return bytes(ether() / association.encrypt(inner))


def _ah(frame: bytes, number: int) -> bytes:
    """Transport mode: the packet's own addresses stay."""
    whole = packet(frame)
    if whole[0] >> 4 != 4:
        return frame
    authentication = struct.pack(">BBHII", whole[9], 4, 0, 7, number) + bytes(12)
    head = bytearray(whole[:20])
    head[2:4] = (len(whole) + len(authentication)).to_bytes(2, "big")
    head[9], head[10:12] = 51, b"\0\0"
    return frame[:14] + bytes(layer("layers.inet.IP", _pkt=bytes(head)))[:20] + authentication + whole[20:]


def _geneve(options: bytes) -> bytes:
    return struct.pack(">BBHI", len(options) // 4, 0, 0x6558, 5 << 8) + options


def _gtp(head: bytes) -> Callable[[bytes], bytes]:
    return lambda frame: (
        bytes((0x30 | (4 if head else 0), 255)) + struct.pack(">HI", len(packet(frame)) + len(head), 9) + head
    )


def _pseudowire(control: bytes) -> Wrap:
    return lambda frame, number: MACS + b"\x88\x47" + b"\0\x06\x41\x40" + control + frame


def wifi(frame: bytes, *, qos: int | None = 0, flags: int = 1, control: bytes = b"\0\0", pad: bytes = b"") -> bytes:
    """A data frame to the access point; ``qos``: None for one without."""
    head = bytes((0x08 if qos is None else 0x88, flags)) + bytes(2) + frame[:12] + frame[:6] + control
    return head + (b"" if qos is None else bytes((qos, 0))) + pad


def _llc(frame: bytes) -> bytes:
    return b"\xaa\xaa\x03\0\0\0" + frame[12:14] + packet(frame)


def radiotap(flags: int | None = None, time: bool = False) -> bytes:
    present = (1 if time else 0) | (2 if flags is not None else 0)
    body = bytes(8) * time + (bytes((flags,)) if flags is not None else b"")
    return struct.pack("<BBHI", 0, 0, 8 + len(body), present) + body


def _amsdu(frame: bytes, number: int) -> bytes:
    inner = _llc(frame)
    first = frame[:12] + len(inner).to_bytes(2, "big") + inner
    arp = b"\xaa\xaa\x03\0\0\0\x08\x06\0\1\x08\0\6\4\0\1" + bytes(20)
    other = frame[:12] + len(arp).to_bytes(2, "big") + arp
    return (
        radiotap()
        + wifi(frame, qos=0x80, control=struct.pack("<H", (number & 0xFFF) << 4))
        + other
        + bytes(-len(other) % 4)
        + first
    )


def _radio(head: bytes, **fields: Any) -> Wrap:
    return lambda frame, number: (
        head + wifi(frame, control=struct.pack("<H", (number & 0xFFF) << 4), **fields) + _llc(frame) + bytes(4)
    )


def _pktap(link: int, of: Callable[[bytes], bytes] = bytes) -> Wrap:
    return lambda frame, number: struct.pack("<III", 108, 1, link) + b"en0".ljust(96, b"\0") + of(frame)


def _teredo(frame: bytes, number: int) -> bytes:
    six = packet(frame) if kind(frame) == 0x86DD else None
    if six is None:  # the IPv4 packet in an IPv6 one, as 4in6: Teredo carries IPv6 only
        six = bytes(layer("layers.inet6.IPv6", src="2001::1", dst="2001::2", nh=4) / raw(packet(frame)))
    return bytes(udp(3544, number) / raw(six))


_PPP = _before_ip(lambda frame: b"\xff\x03" + ppp_number(frame))
_ERSPAN2, _ERSPAN3 = bytes.fromhex("1001000100000000"), bytes.fromhex("200100010000000000000000")

WRAPPINGS: dict[str, Wrapping] = {
    # tunnels and mirrors
    "GRE": Wrapping(_gre(0x6558, key_present=1, key=7), carrier="GRE"),
    "GRE, IP": Wrapping(lambda f, n: _gre(kind(f), of=packet)(f, n), carrier="GRE"),
    "GRE with MPLS": Wrapping(_gre(0x8847, b"\0\x06\x41\x40", packet), carrier="GRE"),
    "ERSPAN I": Wrapping(_gre(0x88BE), carrier="GRE"),
    "ERSPAN II": Wrapping(_gre(0x88BE, _ERSPAN2, seqnum_present=1, sequence_number=3), carrier="GRE"),
    "ERSPAN III": Wrapping(_gre(0x22EB, _ERSPAN3, seqnum_present=1, sequence_number=3), carrier="GRE"),
    "ERSPAN III with platform header": Wrapping(_gre(0x22EB, _ERSPAN3[:11] + b"\1" + bytes(8), seqnum_present=1, sequence_number=3), carrier="GRE"),
    "PPTP": Wrapping(lambda f, n: bytes(ether() / ip(47, n) / raw(struct.pack(">BBHHHI", 0x30, 1, 0x880B, len(packet(f)) + 4, 5, n) + b"\xff\x03" + ppp_number(f) + packet(f))), carrier="GRE"),
    "IP in IP": Wrapping(lambda f, n: _in_ip(4 if kind(f) == 0x0800 else 41, of=packet)(f, n), carrier="IP in IP"),
    "EtherIP": Wrapping(_in_ip(97, b"\x30\0"), carrier="EtherIP"),
    "MPLS in IP": Wrapping(_in_ip(137, b"\0\x06\x41\x40", packet), carrier="MPLS in IP"),
    "L2TPv3": Wrapping(_in_ip(115, struct.pack(">I", 77)), carrier="L2TPv3", oracle=False),
    "L2TPv3 with cookie and sublayer": Wrapping(_in_ip(115, struct.pack(">IQI", 77, 3, 0x40000001)), carrier="L2TPv3", oracle=False),
    "AH": Wrapping(_ah),
    "ESP without encryption": Wrapping(_esp, carrier="ESP", oracle=False),
    "VXLAN": Wrapping(lambda f, n: bytes(udp(4789, n) / layer("layers.vxlan.VXLAN", vni=5, flags=8) / raw(f)), carrier="VXLAN"),
    "VXLAN-GPE": Wrapping(_in_udp(4790, struct.pack(">BHBI", 0x0C, 0, 3, 5 << 8)), carrier="VXLAN-GPE"),
    "Geneve": Wrapping(lambda f, n: bytes(udp(6081, n) / layer("contrib.geneve.GENEVE", proto=0x6558, vni=5) / raw(f)), carrier="Geneve"),
    "Geneve with options": Wrapping(_in_udp(6081, _geneve(bytes.fromhex("0108010200000001" "0108020100000002"))), carrier="Geneve"),
    "GTP-U": Wrapping(_in_udp(2152, _gtp(b""), packet, 2152), carrier="GTP-U"),
    "GTP-U with extension headers": Wrapping(_in_udp(2152, _gtp(bytes.fromhex("00000085" "01100100")), packet, 2152), carrier="GTP-U"),
    "TZSP": Wrapping(_in_udp(37008, bytes.fromhex("01000001" "0a01c4" "01")), carrier="TZSP"),
    "TZSP with 802.11": Wrapping(lambda f, n: bytes(udp(37008, n) / raw(bytes.fromhex("01000012" "01") + wifi(f, control=struct.pack("<H", (n & 0xFFF) << 4)) + _llc(f))), carrier="TZSP"),
    "CAPWAP": Wrapping(_in_udp(5247, bytes.fromhex("0010020000000000")), carrier="CAPWAP"),
    "CAPWAP with 802.11": Wrapping(lambda f, n: bytes(udp(5247, n) / raw(bytes.fromhex("0010030000000000") + wifi(f, control=struct.pack("<H", (n & 0xFFF) << 4)) + _llc(f))), carrier="CAPWAP", oracle=False),
    "L2TP": Wrapping(_in_udp(1701, lambda f: bytes.fromhex("0002000100020000"[:12]) + b"\xff\x03" + ppp_number(f), packet, 1701), carrier="L2TP"),
    "Teredo": Wrapping(_teredo, carrier="Teredo"),
    "MPLS in UDP": Wrapping(_in_udp(6635, b"\0\x06\x41\x40", packet), carrier="MPLS in UDP"),
    "LISP": Wrapping(_in_udp(4341, bytes(8), packet), carrier="LISP"),
    "GRE in UDP": Wrapping(_in_udp(4754, lambda f: b"\0\0" + f[12:14], packet), carrier="GRE in UDP"),
    "Aruba remote mirror": Wrapping(_in_udp(5555, lambda f: struct.pack(">IIII", 1, 2, len(f), len(f))), carrier="Aruba remote mirror", oracle=False),
    "HP remote mirror": Wrapping(_in_udp(7932, bytes(12)), carrier="HP remote mirror", oracle=False),
    "ESP in UDP without encryption": Wrapping(lambda f, n: bytes(udp(4500, n, 4500) / raw(_esp(f, n)[34:])), carrier="ESP in UDP", oracle=False),
    # in the frame
    "MPLS": Wrapping(lambda f, n: MACS + b"\x88\x47" + b"\0\x06\x40\x40" + b"\0\x06\x51\x40" + packet(f)),
    "MPLS pseudowire": Wrapping(_pseudowire(b""), oracle=False),
    "MPLS pseudowire with control word": Wrapping(_pseudowire(bytes(4)), oracle=False),
    "VLAN in VLAN in VLAN": Wrapping(_tagged(bytes.fromhex("88a80002" "81000003" "81000004"))),
    "PPPoE": Wrapping(lambda f, n: MACS + b"\x88\x64" + struct.pack(">BBHH", 0x11, 0, 7, len(packet(f)) + 2) + ppp_number(f) + packet(f)),
    "Cisco metadata": Wrapping(_tagged(bytes.fromhex("8909010100010004"))),
    "DSA tag": Wrapping(_tagged(bytes.fromhex("c0080000")), oracle=False),
    "EDSA tag": Wrapping(_tagged(bytes.fromhex("dada0000c0080000")), oracle=False),
    "802.1ah": Wrapping(lambda f, n: MACS + b"\x88\xe7" + b"\0\0\0\5" + f),
    "MACsec, integrity only": Wrapping(_tagged(bytes.fromhex("88e5200000000001") + bytes(8)), oracle=False),
    "HSR": Wrapping(_tagged(bytes.fromhex("892f00400001"))),
    "NSH": Wrapping(lambda f, n: MACS + b"\x89\x4f" + bytes.fromhex("0fc2020300000001") + f),
    # 802.11
    "802.11": Wrapping(lambda f, n: _radio(b"")(f, n), 105, oracle=False),
    "radiotap": Wrapping(_radio(radiotap(0x10)), 127),
    "radiotap with time stamp": Wrapping(_radio(radiotap(0x10, time=True)), 127),
    "radiotap without QoS": Wrapping(_radio(radiotap(0x10), qos=None), 127),
    "radiotap with Atheros pad": Wrapping(_radio(radiotap(0x30), pad=bytes(2)), 127),
    "radiotap with A-MSDU": Wrapping(_amsdu, 127),
    "AVS": Wrapping(_radio(struct.pack(">II", 0x80211001, 64) + bytes(56)), 163, oracle=False),
    "Prism": Wrapping(_radio(struct.pack("<II", 0x44, 144) + bytes(136)), 119, oracle=False),
    "PPI": Wrapping(_radio(struct.pack("<BBHI", 0, 0, 8, 105)), 192, oracle=False),
    # link types
    "PKTAP": Wrapping(_pktap(1), 258),
    "PKTAP, raw IP": Wrapping(_pktap(12, packet), 258),
    "USER2 as PKTAP": Wrapping(_pktap(1), 149),
    "NFLOG": Wrapping(lambda f, n: bytes((2 if kind(f) == 0x0800 else 10, 0, 0, 0)) + bytes.fromhex("0800010008000000") + struct.pack("<HH", len(packet(f)) + 4, 9) + packet(f), 239),
    "PFLOG": Wrapping(_before_ip(lambda f: bytes((61, 2 if kind(f) == 0x0800 else 24)) + bytes(62)), 117),
    "ENC": Wrapping(_before_ip(lambda f: struct.pack("<III", 2 if kind(f) == 0x0800 else 24, 7, 0)), 109),
    "C_HDLC": Wrapping(_before_ip(lambda f: b"\x0f\0" + f[12:14]), 104),
    "FRELAY": Wrapping(_before_ip(lambda f: b"\x18\x41\x03" + (b"\xcc" if kind(f) == 0x0800 else b"\x8e")), 107),
    "FDDI": Wrapping(lambda f, n: b"\x50" + f[:12] + _llc(f), 10),
    "TOKEN_RING": Wrapping(lambda f, n: b"\x10\x40" + f[:6] + bytes((f[6] & 0x7F,)) + f[7:12] + _llc(f), 6),
    "ERF": Wrapping(lambda f, n: bytes(8) + struct.pack(">BBHHH", 2, 4, len(f) + 18, 0, len(f)) + bytes(2) + f, 197),
    "IP_OVER_FC": Wrapping(lambda f, n: bytes(16) + _llc(f), 122),
    "IPOIB": Wrapping(lambda f, n: bytes(40) + f[12:14] + bytes(2) + packet(f), 242),
    "APPLE_IP_OVER_IEEE1394": Wrapping(lambda f, n: bytes(16) + f[12:14] + packet(f), 138),
    "PPP": Wrapping(_PPP, 9),
    "PPP_HDLC": Wrapping(_PPP, 50),
    "PPP_WITH_DIR": Wrapping(lambda f, n: b"\0" + _PPP(f, n), 204),
    "DSA_TAG_BRCM": Wrapping(lambda f, n: f[:12] + b"\0\0\0\1" + f[12:], 281, oracle=False),
}  # fmt: skip


def frames(path: Path) -> list[tuple[int, bytes]]:
    """The Ethernet frames of a capture that hold IP, with their times (ns)."""
    with path.open("rb") as stream:
        capture = open_capture(stream, name=path.name)
        return [
            (time_ns, data)
            for _, time_ns, link, data, _ in capture.records()
            if link == 1 and data[12:14] in (b"\x08\0", b"\x86\xdd")
        ]


def wrapped(path: Path, wrapping: Wrapping, wrap: Wrap | None = None) -> bytes:
    """The capture's frames inside ``wrapping``, as a pcap file."""
    wrap = wrap or wrapping.wrap
    records = [(time_ns, wrap(data, number)) for number, (time_ns, data) in enumerate(frames(path), 1)]
    return capfile.pcap([capfile.Frame(time_ns, data, len(data)) for time_ns, data in records], wrapping.link)
