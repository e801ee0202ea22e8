#!/usr/bin/env python3
"""Measures `analyze batch` over thousands of small captures, beside `tshark -T json` once per file; prints Markdown.

    tests/benchmarks/fleet.py                      5,000 captures: rate, peak memory, ratio to tshark
    tests/benchmarks/fleet.py --one-folder         the same with all keys in one folder
    tests/benchmarks/fleet.py --kills 30           also: kill -9 at random moments, each further on, continued, compared byte for byte
    tests/benchmarks/fleet.py --page DIR           also: the HTML report of the run and of 10,000 devices, with pictures

The captures are those of `population.py`: every session of a fleet of both transports in a file of its own, addresses,
ids, keys and times varied, each with the verdict that is due. They are kept as tickets, as the golden cases are: a folder
for each device with its captures and a folder of its keys (`--keys-beside keys`), the clouds' keys once. In one folder for
all nobody can say whose server-key dump belongs to a session that no key opens; what that costs, `--one-folder` shows. tshark is measured before and after the run on a sample of
the same files. Exit status 1 when a verdict is not the one due, or a continued run differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from captures.synth import capfile  # noqa: E402 - the path must be set first
from tests.benchmarks.kills import kill_again_and_again  # noqa: E402 - as above
from tests.benchmarks.measure import measure  # noqa: E402 - as above
from tests.benchmarks.population import Population, cloud_keys  # noqa: E402 - as above

DAYS = 30
BESIDE = "keys"
#: What a killed and continued run is compared in: every stored report, and every column.
FORMATS = ("json", "csv")


def make(folder: Path, count: int, leave_out: str, *, one_folder: bool) -> Counter[str]:
    """``count`` captures and their keys in ``folder`` (kept and used again), less those of the fate ``leave_out``; how often each verdict is due."""
    done = folder / "truth.json"
    if done.exists():
        return Counter(json.loads(done.read_text()))
    (folder / "captures").mkdir(parents=True, exist_ok=True)
    fleet = Population(count, DAYS * 86400.0)
    keylog = b""
    verdicts: Counter[str] = Counter()
    for number, attempt in enumerate(fleet.attempts()):
        if attempt.member.fate == leave_out:
            continue
        verdicts[attempt.member.verdict] += 1
        home = folder / "captures" / attempt.member.ident.hex()
        home.mkdir(exist_ok=True)
        (home / f"{number:05}.pcap").write_bytes(capfile.pcap(attempt.frames))
        keylog += attempt.keylog
    keys: dict[Path, dict[str, bytes]] = {folder / "keys": cloud_keys()}
    for made in fleet.members:
        beside = folder / "captures" / made.ident.hex() / BESIDE
        keys.setdefault(folder / "keys" if one_folder else beside, {}).update(made.keys)
    for place, files in keys.items():
        place.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (place / name).write_bytes(data)
    (folder / "keys" / "sslkeys.log").write_bytes(keylog)
    done.write_text(json.dumps(verdicts))
    return verdicts


def batch(folder: Path, store: Path, jobs: int) -> list[str]:
    """The command of one run."""
    words = ["batch", str(folder / "captures"), "--keys", str(folder / "keys"), "--keys-beside", BESIDE]
    words += ["--store", str(store)]
    return [sys.executable, "-m", "analyzer", *words, "--jobs", str(jobs), "--quiet"]


def verdicts_in(store: Path) -> Counter[str]:
    """How often each verdict is in a store."""
    with sqlite3.connect(store) as db:
        return Counter(dict(db.execute("SELECT verdict, count(*) FROM sessions GROUP BY verdict")))


def exported(store: Path, form: str) -> str:
    """The digest of the store's report in that format."""
    process = subprocess.Popen(
        [sys.executable, "-m", "analyzer", "fleet", str(store), "--format", form], stdout=subprocess.PIPE
    )
    digest = hashlib.sha256()
    assert process.stdout is not None
    while block := process.stdout.read(1 << 20):
        digest.update(block)
    process.wait()
    return digest.hexdigest()


def tshark_rate(files: list[Path]) -> tuple[float, float]:
    """Files per second of one `tshark -T json` each, one after the other, and seconds of CPU of one."""
    tshark = shutil.which("tshark")
    if tshark is None:
        raise SystemExit("tshark is not installed")
    begun, cpu = time.perf_counter(), _children_cpu()
    for file in files:
        subprocess.run(
            [tshark, "-r", str(file), "-T", "json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )
    return len(files) / (time.perf_counter() - begun), (_children_cpu() - cpu) / len(files)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def killed(folder: Path, store: Path, jobs: int, kills: int, total: int) -> list[int]:
    """A run killed ``kills`` times, each time further on, and then left to its end; the captures done at each kill."""
    counts = kill_again_and_again(batch(folder, store, jobs), store, total, kills)
    subprocess.run(batch(folder, store, jobs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    with closing(sqlite3.connect(store)) as db:
        if db.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise SystemExit(f"{store} is corrupt")
    return counts


def page_of_many(store: Path, output: Path, devices: int = 10_000) -> None:
    """A report of ``devices`` devices: the run's own sessions, copied under other ids into another store."""
    many = output.with_suffix(".sqlite")
    shutil.copy(store, many)
    with sqlite3.connect(many) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(sessions)")]
        rows = db.execute("SELECT * FROM sessions ORDER BY result, number").fetchall()
        at, number = columns.index("device"), columns.index("number")
        made = []
        for device in range(devices):
            row = list(rows[device * 7 % len(rows)])
            row[at], row[number] = f"{device:024x}", 1000 + device
            made.append(row)
        db.executemany(f"INSERT INTO sessions VALUES ({', '.join('?' * len(columns))})", made)
    subprocess.run(
        [sys.executable, "-m", "analyzer", "fleet", str(many), "--format", "html", "--output", str(output)], check=True
    )


def pictures(page: Path) -> None:
    """Opens the page as a desktop and as a phone shows it, and leaves a picture of each beside it."""
    from tests.analyzer.reports.browser import chromium_tab

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print(f"no Chromium: {page} has no pictures")
        return
    with tempfile.TemporaryDirectory() as profile, chromium_tab(chromium, Path(profile)) as tab:
        for name, width in (("desktop", 1280), ("phone", 390)):
            tab.look(width=width, height=1400)
            took = tab.open(page)
            page.with_name(f"{page.stem}-{name}.png").write_bytes(tab.screenshot())
            wide = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
            count = tab.evaluate("document.querySelectorAll('*').length")
            print(
                f"| {page.name}, {name} | {took:.2f} s, {count:,} elements, {wide} px too wide, complaints: {tab.complaints} |"
            )


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captures", type=int, default=5_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--tshark-files", type=int, default=60)
    parser.add_argument(
        "--leave-out",
        default="",
        metavar="FATE",
        help="a fate of population.py, such as tcp-server-key-mismatch, whose search for a flipped bit takes half a second",
    )
    parser.add_argument("--one-folder", action="store_true", help="all keys in one folder, none beside the captures")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "analyze-fleet")
    asked = parser.parse_args()
    kind = "one-folder" if asked.one_folder else "tickets"
    folder = asked.folder / f"{asked.captures}-{kind}{asked.leave_out and '-without-'}{asked.leave_out}"
    truth = make(folder, asked.captures, asked.leave_out, one_folder=asked.one_folder)
    files = sorted((folder / "captures").rglob("*.pcap"))
    sample = random.Random(1).sample(files, min(asked.tshark_files, len(files)))
    half = len(sample) // 2
    store = folder / "whole.sqlite"
    for old in folder.glob("*.sqlite*"):
        old.unlink()

    print("| what | measured |\n|---|---|")
    before, cpu_before = tshark_rate(sample[:half])
    run = measure(batch(folder, store, asked.jobs))
    after, cpu_after = tshark_rate(sample[half:])
    rate, peer = len(files) / run.wall, (before + after) / 2
    print(f"| captures | {len(files):,}, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB |")
    print(
        f"| analyze batch, {asked.jobs} processes | {run.wall:.1f} s, {rate:.1f} captures/s, {run.cpu:.1f} s of CPU, peak {run.peak:.0f} MB, exit {run.status} |"
    )
    print(f"| tshark -T json per file | {before:.2f} and {after:.2f} files/s (before, after) |")
    print(f"| ratio | {rate / peer:.0f} |")
    ours, theirs = run.cpu / len(files), (cpu_before + cpu_after) / 2
    print(
        f"| CPU of one capture | {1e3 * ours:.1f} ms, tshark {1e3 * theirs:.0f} ms: {theirs / ours:.0f} times |",
        flush=True,
    )
    again = measure(batch(folder, store, asked.jobs))
    print(f"| the same again: nothing to do | {again.wall:.1f} s |")
    found = verdicts_in(store)
    status = 0 if found == truth else 1
    print(
        f"| verdicts | {'all as due' if found == truth else f'found - due: {found - truth}, due - found: {truth - found}'} |",
        flush=True,
    )
    if asked.kills:
        counts = killed(folder, folder / "killed.sqlite", asked.jobs, asked.kills, len(files))
        same = all(exported(store, form) == exported(folder / "killed.sqlite", form) for form in FORMATS)
        status |= not same
        print(
            f"| kill -9, {len(counts)} times, with {', '.join(map(str, counts))} captures done"
            f" | {'byte-identical' if same else 'DIFFERS'} ({', '.join(FORMATS)}) |",
            flush=True,
        )
    if asked.page:
        asked.page.mkdir(parents=True, exist_ok=True)
        page = asked.page / "fleet.html"
        subprocess.run(
            [sys.executable, "-m", "analyzer", "fleet", str(store), "--format", "html", "--output", str(page)],
            check=True,
        )
        pictures(page)
        page_of_many(store, asked.page / "many.html")
        pictures(asked.page / "many.html")
    return status


if __name__ == "__main__":
    sys.exit(main())
