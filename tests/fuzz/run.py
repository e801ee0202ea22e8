#!/usr/bin/env python3
"""Fuzz every parser and the whole program; prints counts by outcome. Exit status 1 on a violation.

    tests/fuzz/run.py                              a quick look: 20,000 parser executions, 500 captures
    tests/fuzz/run.py --executions 1000000 --captures 200000 --seed 7

The invariant: a result or one of the allowed errors, within the time limit, and never a *stronger* verdict than the
intact capture has (a "proven" that the intact capture does not prove is a violation, whatever else is damaged).
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import sys
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from analyzer.errors import InputError  # noqa: E402 - the path must be set first
from analyzer.keys import KeyRing, load_keys  # noqa: E402
from analyzer.model import Certainty, Code  # noqa: E402
from analyzer.pipeline import Options, analyze_capture  # noqa: E402
from tests.fuzz.mutate import mutated, shuffled  # noqa: E402
from tests.fuzz.targets import CAPTURES, TARGETS, Target  # noqa: E402

#: Seconds one execution of a parser, and one mutated capture, may take.
PARSER_LIMIT, CAPTURE_LIMIT = 2.0, 30.0
#: KiB one process may come to.
MEMORY_LIMIT = 1 << 20
#: A violation: what happened, and the input that did it.
Found = tuple[str, bytes]


def fuzz_target(target: Target, executions: int, seed: int) -> tuple[Counter[str], list[Found]]:
    """Run one target; counts by outcome and the violations."""
    rng = random.Random(f"{seed}/{target.name}")
    seeds = [item for item in target.seeds() if item] or [b"\0"]
    counts: Counter[str] = Counter()
    bad: list[Found] = []
    for number in range(executions):
        data = mutated(rng.choice(seeds), rng.choice(seeds), rng) if number >= len(seeds) else seeds[number]
        start = time.perf_counter()
        try:
            target.run(data)
            counts["read"] += 1
        except target.allowed as error:
            counts[f"refused ({type(error).__name__})"] += 1
        except Exception as error:  # noqa: BLE001 - whatever else comes out is what we look for
            counts["VIOLATION"] += 1
            bad.append((f"{target.name}: {type(error).__name__}: {error}", data))
        if time.perf_counter() - start > PARSER_LIMIT:
            counts["TOO SLOW"] += 1
            bad.append((f"{target.name}: {time.perf_counter() - start:.1f} s", data))
    return counts, bad + _too_big(target.name)


def _too_big(name: str) -> list[Found]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return [(f"{name}: {peak >> 10} MiB of memory", b"")] if peak > MEMORY_LIMIT else []


def proven(data: bytes, ring: KeyRing) -> set[tuple[str, str]] | None:
    """(verdict, certainty) pairs that are proven, with the refusals as None."""
    try:
        report = analyze_capture(io.BytesIO(data), ring, Options(jobs=1), name="fuzz")
    except InputError:
        return None
    return {
        (session.verdict.code.value, "proven")
        for session in report.sessions
        if session.verdict.certainty is Certainty.PROVEN
    }


def _cases() -> list[Path]:
    found = [
        path
        for path in sorted(CAPTURES.glob("*/capture.pcap*"))
        if path.stat().st_size <= 8000 and not path.name.endswith(".gz")
    ]
    return [path for path in found if (path.parent / "case.toml").exists()]


def fuzz_captures(job: tuple[str, int, int]) -> tuple[Counter[str], list[Found]]:
    """Mutate one golden capture many times, byte by byte and packet by packet in turn."""
    name, executions, seed = job
    path = Path(name)
    rng = random.Random(f"{seed}/{path.parent.name}")
    keys = path.parent / "keys"
    ring = load_keys([keys]) if keys.exists() else load_keys([])
    data = path.read_bytes()
    intact = proven(data, ring) or set()
    counts: Counter[str] = Counter()
    bad: list[Found] = []
    for number in range(executions):
        changed = mutated(data, data, rng) if number % 2 == 0 else shuffled(data, rng)
        start = time.perf_counter()
        try:
            found = proven(changed, ring)
        except Exception as error:  # noqa: BLE001
            counts["VIOLATION"] += 1
            bad.append((f"{path.parent.name} #{number}: {type(error).__name__}: {error}", changed))
            continue
        if found is None:
            counts["refused"] += 1
        elif {pair for pair in found - intact if pair[0] != Code.HEALTHY.value}:
            counts["STRONGER"] += 1
            bad.append((f"{path.parent.name} #{number}: proves {found - intact}", changed))
        else:
            counts["reported"] += 1
        if time.perf_counter() - start > CAPTURE_LIMIT:
            counts["TOO SLOW"] += 1
            bad.append((f"{path.parent.name} #{number}: {time.perf_counter() - start:.1f} s", changed))
    return counts, bad + _too_big(path.parent.name)


def _target_job(job: tuple[int, int, int]) -> tuple[str, Counter[str], list[Found]]:
    index, executions, seed = job
    return TARGETS[index].name, *fuzz_target(TARGETS[index], executions, seed)


def main() -> int:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=20_000, help="parser executions in all")
    parser.add_argument("--captures", type=int, default=500, help="mutated captures in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", type=Path, help="write the inputs of violations into this folder")
    options = parser.parse_args()
    weight = sum(1 / target.cost for target in TARGETS)
    jobs = [
        (index, max(50, int(options.executions / weight / target.cost)), options.seed)
        for index, target in enumerate(TARGETS)
    ]
    violations: list[Found] = []
    total = 0
    start = time.perf_counter()
    with Pool(options.jobs) as pool:
        print(f"{'target':22} {'executions':>10}  outcomes")
        for name, counts, bad in pool.imap(_target_job, jobs):
            total += sum(counts.values())
            print(
                f"{name:22} {sum(counts.values()):>10}  {', '.join(f'{count} {what}' for what, count in counts.most_common())}",
                flush=True,
            )
            violations += bad
        cases = _cases()
        share = max(1, options.captures // max(1, len(cases)))
        counted: Counter[str] = Counter()
        for counts, bad in pool.imap_unordered(fuzz_captures, [(str(path), share, options.seed) for path in cases]):
            counted += counts
            violations += bad
    print(
        f"{'whole program':22} {sum(counted.values()):>10}  {', '.join(f'{count} {what}' for what, count in counted.most_common())} ({len(cases)} golden captures)"
    )
    print(
        f"{len(TARGETS)} targets, {total} executions and {sum(counted.values())} mutated captures in {time.perf_counter() - start:.0f} s: {len(violations)} violations"
    )
    for number, (text, data) in enumerate(violations[:40]):
        print("!", text[:600], "on", f"{len(data)} bytes" if options.save else data[:1500].hex())
        if options.save:
            options.save.mkdir(parents=True, exist_ok=True)
            (options.save / f"{text.split(':')[0].split(' ')[0]}-{options.seed}-{number}").write_bytes(data)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
