"""Both handshakes as scapy layers, on genuine captures."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet, Raw
from scapy.utils import rdpcap

from dissectors import scapy_layers
from dissectors.dtls import messages
from dissectors.dtls.record import ContentType
from dissectors.scapy_layers import (
    Alert,
    Certificate,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    ClientKeyExchange,
    DtlsRecord,
    Handshake,
    HelloVerifyRequest,
    Identity,
    KeepAlive,
    Nonce,
    ParticleRecord,
    ServerHello,
    ServerKeyExchange,
    SessionKey,
)

# What scapy knows is the process's: the other tests here want its own view of these ports.
scapy_layers.unbind()


@pytest.fixture(autouse=True)
def bound() -> Iterator[None]:
    """scapy knows the handshakes for one test."""
    scapy_layers.bind()
    yield
    scapy_layers.unbind()


CAPTURES = Path(__file__).resolve().parents[2] / "captures"
#: Stages that a frame of its own layer is; a ClientHello and the like that come twice are one stage.
LAYERS = {
    "nonce": Nonce,
    "identity": Identity,
    "session-key": SessionKey,
    "device-hello": ParticleRecord,
    "client-hello": ClientHello,
    "hello-verify": HelloVerifyRequest,
    "server-hello": ServerHello,
    "server-key-exchange": ServerKeyExchange,
    "certificate-request": CertificateRequest,
    "device-certificate": Certificate,
    "client-key-exchange": ClientKeyExchange,
    "certificate-verify": CertificateVerify,
}
GENUINE = [
    "dtls-01-good",
    "dtls-02a-unknown-device-key-alert",
    "dtls-30-engine-222e",
    "tcp-01a-good-brewskey-fw063",
]


def payload_of(packet: Packet) -> tuple[bytes, Packet] | None:
    transport = packet.getlayer(UDP) or packet.getlayer(TCP)
    if transport is None or not {transport.sport, transport.dport} & {5683, 5684} or not transport.payload:
        return None
    size = packet[IP].len - 4 * packet[IP].ihl - (8 if UDP in packet else 4 * transport.dataofs)
    return bytes(packet[IP])[packet[IP].len - size : packet[IP].len], transport.payload


def all_layers(layer: Packet) -> list[Packet]:
    found = []
    while layer:
        found.append(layer)
        layer = layer.payload
    return found


@pytest.mark.parametrize("case", GENUINE)
def test_messages_are_layers_where_the_report_has_their_stages(case: str) -> None:
    packets = rdpcap(str(CAPTURES / case / "capture.pcap"))
    report = json.loads((CAPTURES / case / "expected.without.json").read_text())
    stages = [stage for session in report["captures"][0]["sessions"] for stage in session["stages"]]
    checked = 0
    for stage in stages:
        layer = LAYERS.get(stage["stage"])
        if layer is None or (layer is ParticleRecord and case.startswith("dtls")):
            continue
        for frame in stage["frames"]:
            assert packets[frame - 1].haslayer(layer), (stage["stage"], frame)
            checked += 1
    assert checked >= 4


@pytest.mark.parametrize("case", [*GENUINE, "dtls-11a-resumed-and-moved"])
def test_what_is_read_is_written_again_from_its_fields(case: str) -> None:
    ours = 0
    for packet in rdpcap(str(CAPTURES / case / "capture.pcap")):
        found = payload_of(packet)
        if found is None:
            continue
        data, first = found
        assert b"".join(layer.self_build() for layer in all_layers(first)) == data
        for layer in all_layers(first):
            ours += not isinstance(layer, Raw)
            layer.raw_packet_cache = None
        assert b"".join(layer.self_build() for layer in all_layers(first)) == data
        assert first.show(dump=True).startswith("###[ ")
    assert ours > 20


def test_a_message_can_be_built_and_read_back() -> None:
    hello = ClientHello(random=b"r" * 32, cookie=b"cookie", cipher_suites=(0xC0AE, 0xFF))
    packet = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=5684, dport=5684) / DtlsRecord() / Handshake() / hello
    again = IP(bytes(packet))
    assert again[ClientHello].cookie == b"cookie"
    assert again[ClientHello].cipher_suites == [0xC0AE, 0xFF]
    assert again[Handshake].kind is messages.Kind.CLIENT_HELLO
    assert again[DtlsRecord].length == 12 + len(hello.self_build())
    several = DtlsRecord(
        bytes(DtlsRecord() / Handshake() / hello) + bytes.fromhex("15fefd0000000000000001000202") + b"\x33"
    )
    assert several[Alert].description == "decrypt_error"
    assert KeepAlive in IP(bytes(IP() / UDP(sport=9, dport=5684) / Raw(b"\0")))


def test_moved_sessions_show_the_device_id() -> None:
    ping = bytes.fromhex("fefefd00010000000000020014000100000000000273ebf328b43231421467f3d13d002a0010473435303334300c")
    record = DtlsRecord(ping)
    assert record.content_type is ContentType.MOVED
    assert record.device_id == ping[-13:-1]
    assert bytes(record) == ping


def test_hostile_bytes_are_raw_and_never_raise() -> None:
    rng = random.Random(22)
    seeds = [
        found[0]
        for case in GENUINE[:2]
        for packet in rdpcap(str(CAPTURES / case / "capture.pcap"))
        if (found := payload_of(packet))
    ]
    assert len(seeds) > 30
    for round_ in range(800):
        data = bytearray(seeds[round_ % len(seeds)] if round_ % 7 else rng.randbytes(rng.randrange(90)))
        for _ in range(rng.randrange(5)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        data = data[: rng.randrange(len(data) + 1)]
        whole = IP() / UDP(sport=40000, dport=5684) / Raw(bytes(data))
        read = IP(bytes(whole))
        assert b"".join(layer.self_build() for layer in all_layers(read[UDP].payload)) == bytes(data)


def test_nothing_else_imports_scapy_for_it() -> None:
    code = "import sys, analyzer, dissectors, dissectors.dtls, dissectors.lightssl; sys.exit('scapy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
