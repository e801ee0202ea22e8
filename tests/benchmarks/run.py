#!/usr/bin/env python3
"""Measures the analyzer beside the tools people use today, on the same captures in the same run; prints Markdown.

    tests/benchmarks/run.py                        the gateway capture: 2,000,000 packets, 2,000 sessions, all peers
    tests/benchmarks/run.py --suite slope          more packets, more sessions: time and memory must follow
    tests/benchmarks/run.py --suite start          one small capture, `--help`: the cost of starting
    tests/benchmarks/run.py --suite keys           10 to 10,000 keys in the folder
    tests/benchmarks/run.py --suite all

Rounds are paired: each runs every peer once, one after the other, and a ratio is taken within its round. Shown are
medians. The peers that read a whole capture into Python or JSON get a smaller one (`--slow-packets`); they are
compared by packets per second. Captures are made by gateway.py, kept in `--folder`, and used again.
Exit status 1 when the analyzer's verdicts are not those that the generator knows to be due.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.benchmarks.measure import Measured, measure  # noqa: E402 - the path must be set first

FILTER = "port 5683 or port 5684"
DISPLAY = "tcp.port==5683"
#: Programs of the Python peers; argv[1] is the capture.
READER = """
import sys
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import PcapReader
found = sum(1 for p in PcapReader(sys.argv[1]) if TCP in p and 5683 in (p[TCP].sport, p[TCP].dport))
"""
RDPCAP = """
import sys
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import rdpcap
found = sum(1 for p in rdpcap(sys.argv[1]) if TCP in p and 5683 in (p[TCP].sport, p[TCP].dport))
"""
PYSHARK = """
import sys, pyshark
found = sum(1 for p in pyshark.FileCapture(sys.argv[1], keep_packets=False) if "tcp" in p and p.tcp.dstport == "5683")
"""
READING = """
import sys
from pathlib import Path
from analyzer.capture import open_capture
found = sum(1 for p in open_capture(Path(sys.argv[1]), name=sys.argv[1]))
"""
INDEX = """
import sys
from pathlib import Path
from analyzer.capture import open_capture
from analyzer.conversations import Conversations, Options
table = Conversations(Options())
for packet in open_capture(Path(sys.argv[1]), name=sys.argv[1]).screened(table):
    table.feed(packet)
"""


@dataclass(frozen=True)
class Site:
    """A generated capture with its keys and what is true of it."""

    folder: Path
    packets: int
    sessions: int

    @property
    def capture(self) -> str:
        return str(self.folder / "gateway.pcap")

    @property
    def keys(self) -> str:
        return str(self.folder / "keys")

    @property
    def truth(self) -> dict[str, int]:
        verdicts: dict[str, int] = json.loads((self.folder / "truth.json").read_text())["verdicts"]
        return verdicts


@dataclass(frozen=True)
class Peer:
    """One row: who, what it does, the command."""

    name: str
    work: str
    command: Sequence[str]
    site: Site
    needs: str = ""
    report: Path | None = None

    @property
    def there(self) -> bool:
        return not self.needs or all(shutil.which(need) for need in self.needs.split())


def site(folder: Path, packets: int, sessions: int) -> Site:
    """The capture of that size, made unless it is there."""
    where = folder / f"{packets}-{sessions}"
    if not (where / "truth.json").exists():
        print(f"writing {packets:,} packets with {sessions:,} sessions ...", file=sys.stderr)
        command = [sys.executable, str(Path(__file__).with_name("gateway.py")), "--output", str(where)]
        command += ["--packets", str(packets), "--sessions", str(sessions)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return Site(where, packets, sessions)


def analyze(*arguments: str) -> list[str]:
    """Our command line."""
    return [sys.executable, "-m", "analyzer", *arguments]


def ours(place: Site, name: str = "analyze") -> Peer:
    """The whole analysis: keys in, JSON out."""
    command = analyze(place.capture, "--keys", place.keys, "--format", "json")
    return Peer(name, "full analysis with keys, JSON", command, place, report=place.folder / "report.json")


def gateway_peers(big: Site, small: Site) -> list[Peer]:
    """Everyone who reads the gateway capture, the limit first."""
    by_hand = f"tcpdump -r {big.capture} -w - '{FILTER}' | tshark -r - -T json"
    python = sys.executable
    return [
        Peer(
            "tcpdump",
            "filter in C, the limit",
            ["tcpdump", "-r", big.capture, "-w", os.devnull, FILTER],
            big,
            "tcpdump",
        ),
        Peer("analyzer index", "index alone: walk, screen, flow table", [python, "-c", INDEX, big.capture], big),
        Peer(
            "analyzer.capture", "reading alone: every packet to a `Packet`", [python, "-c", READING, big.capture], big
        ),
        ours(big),
        Peer("ssldump", "follows all TCP flows", ["ssldump", "-n", "-r", big.capture], big, "ssldump"),
        Peer("tcpdump, tshark -T json", "an expert's way, by hand", ["sh", "-c", by_hand], big, "tcpdump tshark"),
        Peer("tshark", f"-Y '{DISPLAY}'", ["tshark", "-r", big.capture, "-Y", DISPLAY], big, "tshark"),
        Peer("tshark -T json", "everything as JSON", ["tshark", "-r", small.capture, "-T", "json"], small, "tshark"),
        Peer("scapy PcapReader", "one packet at a time", [python, "-c", READER, small.capture], small),
        Peer("scapy rdpcap", "all packets in memory", [python, "-c", RDPCAP, small.capture], small),
        Peer("pyshark", "FileCapture, nothing kept", [python, "-c", PYSHARK, small.capture], small, "tshark"),
    ]


def rounds(peers: list[Peer], repeat: int) -> dict[str, list[Measured]]:
    """Every peer once per round, in order."""
    taken: dict[str, list[Measured]] = {peer.name: [] for peer in peers}
    for number in range(repeat):
        for peer in peers:
            print(f"round {number + 1}/{repeat}: {peer.name} ...", file=sys.stderr)
            taken[peer.name].append(measure(peer.command, output=peer.report))
    return taken


def wrong_verdicts(peer: Peer) -> str:
    """What our report says that is not due; empty when all is right."""
    assert peer.report is not None
    try:
        counted = json.loads(peer.report.read_text())["totals"]["verdicts"]
    except (ValueError, KeyError) as error:
        return f"{peer.name}: no report ({error})"
    due = peer.site.truth
    return "" if counted == due else f"{peer.name}: verdicts {counted}, due {due}"


#: The peers that every other one is divided by.
REFERENCES = ("tshark", "ssldump", "tcpdump")


def table(peers: list[Peer], taken: dict[str, list[Measured]]) -> str:
    """The rows; each "x tool" says how many times as fast as that tool, per packet, within each round."""
    references = [peer for name in REFERENCES for peer in peers if peer.name == name]
    heads = [
        "peer",
        "work",
        "packets",
        "wall s",
        "CPU s",
        "packets/s",
        "peak MB",
        *(f"x {peer.name}" for peer in references),
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "--:|" * (len(heads) - 2)]
    for peer in peers:
        runs = taken[peer.name]
        wall = median(run.wall for run in runs)
        cpu = median(run.cpu for run in runs)
        cells = [peer.name, peer.work, f"{peer.site.packets:,}", f"{wall:.2f}", f"{cpu:.2f}"]
        cells.append(f"{peer.site.packets / wall:,.0f}")
        cells.append(f"{max(run.peak for run in runs):,.0f}")
        for base in references:
            share = peer.site.packets / base.site.packets
            pairs = zip(runs, taken[base.name], strict=True)
            cells.append(f"{median(other.wall * share / run.wall for run, other in pairs):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine() -> str:
    """What it was measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    versions = [f"Python {platform.python_version()}"]
    for name, option in (("tshark", "--version"), ("tcpdump", "--version"), ("ssldump", "-v")):
        if shutil.which(name):
            done = subprocess.run([name, option], capture_output=True, text=True, check=False)
            found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
            versions.append(f"{name} {found[0]}" if found else name)
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}; " + ", ".join(versions)


def suite_gateway(options: argparse.Namespace) -> list[str]:
    """The table of peers."""
    big = site(options.folder, options.packets, options.sessions)
    small = site(
        options.folder, options.slow_packets, max(options.sessions * options.slow_packets // options.packets, 16)
    )
    peers = [peer for peer in gateway_peers(big, small) if peer.there]
    if options.only:
        peers = [peer for peer in peers if peer.name in (*options.only, "tshark")]
    taken = rounds(peers, options.repeat)
    print(f"\n### A gateway capture: {big.packets:,} packets, {big.sessions:,} device sessions\n")
    print(table(peers, taken))
    return [problem for peer in peers if peer.report and (problem := wrong_verdicts(peer))]


def suite_slope(options: argparse.Namespace) -> list[str]:
    """Time and memory against packets and sessions."""
    sizes = [
        (options.packets // 10, options.sessions // 10),
        (options.packets, options.sessions),
        (options.packets * 2, options.sessions),
        (options.packets, options.sessions * 10),
    ]
    peers = [ours(site(options.folder, *size), f"analyze, {size[0]:,} packets, {size[1]:,} sessions") for size in sizes]
    taken = rounds(peers, options.repeat)
    print(
        "\n### How it grows\n\n| packets | sessions | wall s | CPU s | peak MB | packets/s |\n|--:|--:|--:|--:|--:|--:|"
    )
    for peer in peers:
        runs = taken[peer.name]
        wall, cpu = median(run.wall for run in runs), median(run.cpu for run in runs)
        peak = max(run.peak for run in runs)
        place = peer.site
        rate = place.packets / wall
        print(f"| {place.packets:,} | {place.sessions:,} | {wall:.2f} | {cpu:.2f} | {peak:,.0f} | {rate:,.0f} |")
    return [problem for peer in peers if (problem := wrong_verdicts(peer))]


def suite_start(options: argparse.Namespace) -> list[str]:
    """What one small capture costs, and the help text."""
    case = ROOT / "captures" / "synth-healthy-photon"
    capture = str(case / "capture.pcap")
    place = Site(case, 30, 1)
    peers = [
        Peer("tshark", "-r of one small capture", ["tshark", "-r", capture], place, "tshark"),
        Peer("analyze", "the same with keys, text", analyze(capture, "--keys", str(case / "keys")), place),
        Peer("analyze, no keys", "the same without keys", analyze(capture), place),
        Peer("analyze --help", "the help text", analyze("--help"), place),
        Peer("python -c pass", "the interpreter alone", [sys.executable, "-c", "pass"], place),
    ]
    peers = [peer for peer in peers if peer.there]
    taken = rounds(peers, max(options.repeat * 5, 5))
    base = taken[peers[0].name]
    print(f"\n### Starting\n\n| command | work | wall ms | peak MB | share of {peers[0].name} |\n|---|---|--:|--:|--:|")
    for peer in peers:
        runs = taken[peer.name]
        share = median(run.wall / other.wall for run, other in zip(runs, base, strict=True))
        wall, peak = median(run.wall for run in runs) * 1000, max(run.peak for run in runs)
        print(f"| {peer.name} | {peer.work} | {wall:.0f} | {peak:.0f} | {share:.2f} |")
    return []


def suite_keys(options: argparse.Namespace) -> list[str]:
    """What more keys in the folder cost a session that names its device, and one that does not."""
    command = [sys.executable, str(Path(__file__).with_name("keys.py"))]
    print("\n### Keys in the folder\n", flush=True)
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=False)
    print(done.stdout.rstrip())
    return ["keys.py found a wrong key, or none"] if done.returncode else []


SUITES = {"gateway": suite_gateway, "slope": suite_slope, "start": suite_start, "keys": suite_keys}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure the analyzer beside its peers.")
    parser.add_argument("--suite", choices=[*SUITES, "all"], default="gateway")
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--slow-packets", type=int, default=20_000, help="packets for the peers that are slow")
    parser.add_argument("--repeat", type=int, default=3, metavar="ROUNDS")
    parser.add_argument("--only", nargs="*", metavar="PEER", help="these peers (and tshark, for the ratio)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "gateway-benchmark")
    options = parser.parse_args()
    os.chdir(ROOT)
    problems = []
    for name in SUITES if options.suite == "all" else [options.suite]:
        problems += SUITES[name](options)
    print(f"\n{machine()}. Medians of {options.repeat} paired rounds.")
    for problem in problems:
        print(f"WRONG: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
