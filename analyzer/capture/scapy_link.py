"""Rare link types, read by scapy: 802.11, radiotap, and whatever else it knows. The only module that imports scapy.

scapy is imported when the first such packet comes (0.3 s and more), its layers one by one and never ``scapy.all``.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

#: Modules of scapy whose import registers link types that can carry IP.
_LAYERS = ("l2", "inet", "inet6", "ppp", "dot11")
_DOT11_DATA = 2


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
