"""What scapy reads: rare link types, and with `--engine scapy` every packet. The only module here that imports scapy.

scapy is imported when the first such packet comes (0.3 s and more), its layers one by one and never ``scapy.all``.
"""

from __future__ import annotations

import logging
from importlib import import_module
from ipaddress import ip_address
from typing import Any

from analyzer.capture.decode import Decoder
from analyzer.capture.encapsulation import UDP_PORTS
from analyzer.capture.records import Notes
from analyzer.packet import TCP, UDP, Packet

#: Modules of scapy whose import registers link types that can carry IP.
_LAYERS = ("l2", "inet", "inet6", "ppp", "dot11")
_DOT11_DATA = 2
#: Layers around and in IP that `ScapyDecoder` takes scapy's word for; with any other (tunnels) the walk is ours.
_PLAIN = frozenset(
    {
        "Ether", "Dot1Q", "Dot1AD", "CookedLinux", "CookedLinuxV2", "Loopback", "IP", "IPv6", "TCP", "UDP", "ICMP",
        "IPv6ExtHdrHopByHop", "IPv6ExtHdrDestOpt", "IPv6ExtHdrRouting",
    }
)  # fmt: skip
_TRANSPORTS = frozenset({"TCP", "UDP"})
#: UDP ports that may hold tunnels.
_ENCAPSULATING = frozenset(UDP_PORTS)


class ScapyLinks:
    """Finds the IP packet inside a frame of a link type that `analyzer.capture.links` does not know."""

    def __init__(self) -> None:
        # scapy's startup notes (no route, no libpcap) are about sending, which never happens here.
        logging.getLogger("scapy").setLevel(logging.CRITICAL)
        self._by_number: dict[int, Any] = {}
        self._ip: tuple[Any, ...] = ()
        self._dot11: Any = None
        #: An encrypted 802.11 data frame was seen.
        self.encrypted = False
        try:
            for layer in _LAYERS:
                import_module(f"scapy.layers.{layer}")
            self._by_number = dict(import_module("scapy.config").conf.l2types.num2layer)
            self._ip = (import_module("scapy.layers.inet").IP, import_module("scapy.layers.inet6").IPv6)
            self._dot11 = import_module("scapy.layers.dot11").Dot11
        except ImportError:
            # Without scapy the link type is reported as not read, which is all there is to say.
            self._by_number = {}

    def knows(self, link_type: int) -> bool:
        """scapy has a dissector for this LINKTYPE_* number."""
        return link_type in self._by_number

    def segment(self, number: int, time_ns: int, link_type: int, data: bytes) -> Packet | None:
        """The TCP segment or UDP datagram of a frame without tunnels and fragments; None where scapy finds none."""
        try:
            return self._segment(number, time_ns, self._by_number[link_type](data))
        except Exception:  # as above: a bad frame is data
            return None

    def _segment(self, number: int, time_ns: int, frame: Any) -> Packet | None:  # noqa: ANN401 - a scapy packet
        ip, transport = None, None
        layer = frame
        while layer and transport is None:
            name = type(layer).__name__
            if name not in _PLAIN:
                return None
            if name in ("IP", "IPv6"):
                ip = layer
            elif name in _TRANSPORTS:
                transport = layer
            layer = layer.payload
        if ip is None or transport is None:
            return None
        before = len(ip.original) - len(transport.original)
        if ip.version == 4:
            if ip.frag or ip.flags.MF or not ip.len or ip.ihl * 4 != before:
                return None
            end, ttl, ident = ip.len, ip.ttl, ip.id
        else:
            if not ip.plen:
                return None
            end, ttl, ident = ip.plen + 40, ip.hlim, 0
        udp = type(transport).__name__ == "UDP"
        header = 8 if udp else 4 * transport.dataofs
        start = before + header
        if header < 8 or (not udp and header < 20) or len(ip.original) < start or end < start:
            return None
        if udp:
            if transport.len is None or transport.len < 8 or {transport.sport, transport.dport} & _ENCAPSULATING:
                return None
            end = min(end, before + transport.len)
        return Packet(
            number, time_ns, UDP if udp else TCP, ip_address(ip.src).packed, ip_address(ip.dst).packed, transport.sport, transport.dport,
            ip.original[start:end], end - start, ttl, ident,
            0 if udp else transport.seq, 0 if udp else transport.ack, 0 if udp else int(transport.flags) & 0xFF,
            0 if udp else transport.window, ip.original[before:start],
        )  # fmt: skip

    def ip(self, link_type: int, data: bytes) -> bytes | None:
        """The bytes from the IP header on; None when there is none, or scapy fails on the frame."""
        try:
            frame = self._by_number[link_type](data)
            for layer in self._ip:
                found = frame.getlayer(layer)
                if found is not None:
                    return bytes(found.original)
            wireless = frame.getlayer(self._dot11)
            if wireless is not None and wireless.type == _DOT11_DATA and wireless.FCfield.protected:
                self.encrypted = True
        except Exception:  # scapy's dissectors raise what they like on bad bytes; a bad frame is data, not a failure
            return None
        return None


class ScapyDecoder(Decoder):
    """`--engine scapy`: headers as scapy reads them.

    Fragments, tunnels, ICMP, and frames scapy fails on are read by the decoder below, as scapy does not put them together.
    """

    def __init__(self, notes: Notes, fragments: int = 4096) -> None:
        super().__init__(notes, fragments)
        self._links = ScapyLinks()

    def decode(self, number: int, time_ns: int, link_type: int, data: bytes, wire: int) -> Packet | None:
        """See `Decoder.decode`."""
        found = self._links.segment(number, time_ns, link_type, data)
        if found is None:
            return super().decode(number, time_ns, link_type, data, wire)
        self.read_any = True
        return found
