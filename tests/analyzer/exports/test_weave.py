"""A pcapng stream with verdicts between its packets."""

from __future__ import annotations

import io
import random

import pytest
from scapy.utils import PcapNgReader

from analyzer.exports.pcapng_writer import PcapngWriter
from analyzer.exports.weave import Weave


def stream(order: str) -> bytes:
    writer = PcapngWriter(order)  # type: ignore[arg-type]
    packets = [writer.packet(0, 10**18 + n, bytes([n]) * (60 + n), 60 + n) for n in range(9)]
    return writer.section() + writer.interface(1) + b"".join(packets)


@pytest.mark.parametrize("order", ["<", ">"])
def test_verdicts_land_between_blocks_whatever_the_pieces(order: str) -> None:
    rng, data, out = random.Random(5), stream(order), io.BytesIO()
    weave = Weave(out)
    weave.say(1, "too early", "nothing has begun")
    said = 0
    while data:
        piece = rng.randrange(1, 70)
        weave.write(data[:piece])
        data = data[piece:]
        if len(data) < 500 and said < 2:
            said += 1
            weave.say(10**18, f"s{said} verdict", f"text {said}\n")
    weave.close()
    raw = [bytes(packet) for packet in PcapNgReader(io.BytesIO(out.getvalue()))]
    assert [packet for packet in raw if b"text" not in packet] == [bytes([n]) * (60 + n) for n in range(9)]
    assert [packet[-7:] for packet in raw if b"text" in packet] == [b"text 1\n", b"text 2\n"]
    assert out.getvalue().count(b"s1 verdict") == 1


def test_what_is_no_pcapng_is_passed_on_as_it_is() -> None:
    for data in (random.Random(1).randbytes(300), stream("<")[:200] + b"\xff" * 99):
        out = io.BytesIO()
        weave = Weave(out)
        for at in range(0, len(data), 7):
            weave.write(data[at : at + 7])
            weave.say(1, "c", "t")
        weave.close()
        left = out.getvalue()
        # Nothing of the stream is lost; where it could be followed, verdicts are in it.
        assert left.startswith(data[:28])
        assert left.endswith(data[-20:])
