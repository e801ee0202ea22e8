"""The benchmark's traffic is what it says: counted, in order, with right checksums, the same each time."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
from pathlib import Path
from random import Random

import pytest

from captures.synth.keys import EcKey, RsaKey
from captures.synth.lightssl import pkcs1_pad
from tests.benchmarks import gateway
from tests.benchmarks.fast_keys import FastEcKey, FastRsaKey
from tests.benchmarks.population import FATES, Population

PACKETS, SESSIONS = 45_000, 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gateway")
    gateway.write(folder, packets=PACKETS, sessions=SESSIONS)
    return folder


def test_fast_keys_are_the_plain_keys() -> None:
    rng = Random(3)
    key, peer = EcKey.generate(rng), EcKey.generate(rng)
    fast = FastEcKey(key.d)
    assert fast.point == key.point
    assert fast.sign(b"message") == key.sign(b"message")
    assert fast.agree(peer.point) == key.agree(peer.point)
    server = RsaKey.generate(rng, 2048)
    block = pkcs1_pad(1, rng.randbytes(20), 256)
    assert FastRsaKey.of(server).private(block) == server.private(block)


def test_every_fate_occurs_and_is_counted(made: Path) -> None:
    truth = json.loads((made / "truth.json").read_text())
    assert sum(truth["verdicts"].values()) == SESSIONS
    assert set(truth["verdicts"]) == {verdict for _, verdict in FATES.values()}
    assert sum(share for share, _ in FATES.values()) == pytest.approx(1)


def test_packets_are_counted_and_in_order(made: Path) -> None:
    data = (made / "gateway.pcap").read_bytes()
    offset, count, before = 24, 0, (0, 0)
    while offset < len(data):
        seconds, micros, captured, length = struct.unpack_from("<IIII", data, offset)
        assert captured == length
        assert before <= (seconds, micros)
        before = seconds, micros
        offset += 16 + captured
        count += 1
    assert count == PACKETS


def test_the_same_seed_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    gateway.write(tmp_path, packets=PACKETS, sessions=SESSIONS)
    for path in sorted(made.rglob("*")):
        if path.is_file():
            again = tmp_path / path.relative_to(made)
            assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(path.read_bytes()).digest(), path.name


def test_sessions_of_one_device_follow_each_other() -> None:
    population = Population(120, 300)
    starts: dict[int, list[int]] = {}
    for attempt in population.attempts():
        starts.setdefault(attempt.member.number, []).append(attempt.frames[0].time_ns)
        assert attempt.frames == sorted(attempt.frames, key=lambda frame: frame.time_ns)
    assert all(times == sorted(times) for times in starts.values())


@pytest.mark.tshark
def test_tshark_finds_no_wrong_checksum(tshark: str, made: Path) -> None:
    options = ["-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    wrong = "ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0"
    command = [tshark, "-r", str(made / "gateway.pcap"), *options, "-Y", wrong]
    assert subprocess.run(command, capture_output=True, timeout=120, check=True).stdout == b""
