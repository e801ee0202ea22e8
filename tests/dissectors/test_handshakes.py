"""The table of handshakes, and what goes by it: nothing else in the program knows a cloud's port."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from analyzer import conversations
from analyzer.conversations.options import TCP_PORTS, UDP_PORTS
from dissectors.handshakes import HANDSHAKES, USUAL, Handshake, Transport, usual_port

ROOT = Path(__file__).resolve().parents[2]


def test_every_handshake_has_its_carriage_and_every_transport_a_usual_one():
    assert set(HANDSHAKES) == set(get_args(Handshake))
    assert set(USUAL) == set(get_args(Transport))
    assert all(HANDSHAKES[name].transport == transport for transport, name in USUAL.items())
    assert all(item.port in item.ports for item in HANDSHAKES.values())
    assert (usual_port("tcp"), usual_port("udp")) == (5683, 5684)


def test_the_conversation_table_watches_these_ports():
    assert ({5683}, {5683, 5684, 4500}) == (TCP_PORTS, UDP_PORTS)
    assert conversations.Options(udp_ports=frozenset({7})).cloud_udp == UDP_PORTS | {7}


def test_the_wireshark_dissector_watches_the_same_ports():
    lua = (ROOT / "dissectors" / "wireshark" / "particle.lua").read_text()
    for name, ports in (("tcp_ports", TCP_PORTS), ("udp_ports", UDP_PORTS)):
        found = re.search(rf'{name} = Pref\.range\("[^"]*", "([\d,]+)"', lua)
        assert found is not None
        assert {int(port) for port in found[1].split(",")} == ports


def test_no_other_module_has_a_cloud_port_as_a_number():
    words = re.compile(r"(?<![\w.])568[34](?!\w)")
    found = []
    for path in (*(ROOT / "analyzer").rglob("*.py"), *(ROOT / "dissectors").rglob("*.py")):
        code = re.sub(r'"[^"\n]*"|#[^\n]*|"""(?s:.*?)"""', "", re.sub(r'"""(?s:.*?)"""', "", path.read_text()))
        if words.search(code) and path.name != "handshakes.py":
            found.append(str(path.relative_to(ROOT)))
    assert found == []
