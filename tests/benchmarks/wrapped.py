#!/usr/bin/env python3
"""Cost of the same packets as Ethernet, as radiotap and inside GTP-U; prints Markdown.

    tests/benchmarks/wrapped.py                    100,000 packets, 50 sessions
    tests/benchmarks/wrapped.py --packets 200000   more

The packets are those of gateway.py that hold IP; without keys, as keys cost the same in all three. Rounds are paired, shown are medians. Exit status 1 when the verdicts differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from analyzer.capture import open_capture  # noqa: E402 - the path must be set first
from captures.synth import capfile, wire  # noqa: E402 - as above
from tests.analyzer.capture.wrappings import WRAPPINGS, packet  # noqa: E402 - as above
from tests.benchmarks.measure import measure  # noqa: E402 - as above
from tests.benchmarks.run import analyze, site  # noqa: E402 - as above

A, B = wire.address("198.51.100.1"), wire.address("198.51.100.2")


def gtp(frame: bytes, number: int) -> bytes:
    """GTP-U over UDP, IPv4 and Ethernet."""
    inner = packet(frame)
    data = bytes((0x30, 255)) + len(inner).to_bytes(2, "big") + bytes((0, 0, 0, 9)) + inner
    whole = wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 2152, 2152, data), ident=number & 0xFFFF)
    return wire.ethernet(bytes(6), bytes(6), wire.ETHERTYPE_IPV4, whole)


ROWS: dict[str, tuple[int, Callable[[bytes, int], bytes]]] = {
    "Ethernet": (1, lambda frame, _: frame),
    "radiotap": (127, WRAPPINGS["radiotap"].wrap),
    "GTP-U": (1, gtp),
}


def written(capture: Path, wrap: Callable[[bytes, int], bytes]) -> Iterator[capfile.Frame]:
    """The capture's frames with IP in them, wrapped."""
    kinds = (b"\x08\0", b"\x86\xdd")
    for number, time_ns, link, data, length in open_capture(capture, name=capture.name).records():
        if link == 1 and data[12:14] in kinds and len(data) == length:
            record = wrap(data, number)
            yield capfile.Frame(time_ns, record, len(record))


def main() -> int:
    """Measure, print, and say by the exit status whether the verdicts are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "analyze-benchmarks")
    options = parser.parse_args()
    place = site(options.folder, options.packets, options.sessions)
    verdicts: dict[str, Counter[str]] = {}
    walls: dict[str, list[float]] = {name: [] for name in ROWS}
    costs: dict[str, list[float]] = {name: [] for name in ROWS}
    peaks: dict[str, float] = {}
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, (link, wrap) in ROWS.items():
            files[name] = Path(folder) / f"{name}.pcap"
            frames = list(written(Path(place.capture), wrap))
            counts[name] = len(frames)
            files[name].write_bytes(capfile.pcap(frames, link))
        for _ in range(options.repeat):
            for name, path in files.items():
                report = Path(folder) / "report.json"
                found = measure(analyze(str(path), "--format", "json"), output=report)
                walls[name].append(found.wall)
                costs[name].append(found.cpu)
                peaks[name] = max(peaks.get(name, 0.0), found.peak)
                sessions = json.loads(report.read_text())["captures"][0]["sessions"]
                verdicts[name] = Counter(session["verdict"]["code"] for session in sessions)
    print("| packets as | packets | wall s | CPU s | peak MB | x Ethernet |\n|---|--:|--:|--:|--:|--:|")
    for name in ROWS:
        ratio = median(one / plain for one, plain in zip(walls[name], walls["Ethernet"], strict=True))
        print(
            f"| {name} | {counts[name]:,} | {median(walls[name]):.2f} | {median(costs[name]):.2f} | {peaks[name]:.0f} | {ratio:.2f} |"
        )
    same = all(found == verdicts["Ethernet"] for found in verdicts.values())
    if not same:
        print(f"verdicts differ: {verdicts}", file=sys.stderr)
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
