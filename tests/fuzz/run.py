#!/usr/bin/env python3
"""Fuzz every parser and the whole program; prints counts by outcome. Exit status 1 on a violation.

    tests/fuzz/run.py                              a quick look: 20,000 parser executions, 500 captures
    tests/fuzz/run.py --executions 1000000 --captures 200000 --results F.jsonl --save found.new
    tests/fuzz/run.py --table F.jsonl              what the runs in F.jsonl came to, as a Markdown table

The invariant: a report or a clear refusal, within the limits of time and memory, and never a *stronger* verdict than the
intact capture has (a "proven" that the intact capture does not prove is a violation, whatever else is damaged).

How it works. Work is cut into rounds of a second or so, each with a seed of its own: the number of rounds that this target
or capture has had. With ``--results`` each round is a line in a file, so a run that was stopped goes on where it was, and
rounds before and after a repair add up.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from multiprocessing import Pool
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from analyzer.errors import InputError  # noqa: E402 - the path must be set first
from analyzer.keys import KeyRing, load_keys  # noqa: E402
from analyzer.limits import Limits  # noqa: E402
from analyzer.model import CaptureReport, Certainty, Code  # noqa: E402
from analyzer.pipeline import Options, analyze_capture, report_of  # noqa: E402
from analyzer.reports.pen import Style  # noqa: E402
from analyzer.reports.writing import chunks  # noqa: E402
from tests.fuzz.mutate import mutated, shuffled  # noqa: E402
from tests.fuzz.targets import CAPTURES, TARGETS, Target  # noqa: E402

#: Seconds one execution of a parser, and one mutated capture, may take (of this process: the machine may be busy).
PARSER_LIMIT, CAPTURE_LIMIT = 2.0, 30.0
#: KiB one process may come to.
MEMORY_LIMIT = 1 << 20
#: Seconds and mutations after which a round is over, and its executions of a target of cost 1.
ROUND, MUTATIONS, EXECUTIONS = 0.3, 60, 8000
#: A capture whose mutations took longer than this in some round (in seconds each: many RSA operations) has one turn of so many.
SLOW, SLOW_TURN = 0.02, 4
#: One mutated capture in so many is also written in every format.
WRITTEN = 25
FORMATS = ("text", "json", "jsonl", "csv", "html", "markdown")
#: A violation: what happened, and the input that did it.
Found = tuple[str, bytes]
#: "target" or "capture", its name, the round.
Job = tuple[str, str, int, int]


def fuzz_target(target: Target, executions: int, seed: int | str) -> tuple[Counter[str], list[Found]]:
    """Run one target; counts by outcome and the violations."""
    rng = random.Random(f"{seed}/{target.name}")
    seeds = [item for item in target.seeds() if item] or [b"\0"]
    counts: Counter[str] = Counter()
    bad: list[Found] = []
    first = seeds if seed in (0, 1, 3) else []  # the seeds as they are, once
    for number in range(executions):
        data = first[number] if number < len(first) else mutated(rng.choice(seeds), rng.choice(seeds), rng)
        start = time.process_time()
        try:
            target.run(data)
            counts["read"] += 1
        except target.allowed as error:
            counts[f"refused ({type(error).__name__})"] += 1
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever else comes out is what we look for, panics of Rust as well
            counts["VIOLATION"] += 1
            bad.append((f"{target.name}: {type(error).__name__}: {error}", data))
        if time.process_time() - start > PARSER_LIMIT:
            counts["TOO SLOW"] += 1
            bad.append((f"{target.name}: {time.process_time() - start:.1f} s", data))
    return counts, bad + _too_big(target.name)


def _too_big(name: str) -> list[Found]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return [(f"{name}: {peak >> 10} MiB of memory", b"")] if peak > MEMORY_LIMIT else []


def analyzed(data: bytes, ring: KeyRing) -> CaptureReport | None:
    """The report on these bytes; None when they are refused."""
    try:
        return analyze_capture(io.BytesIO(data), ring, Options(jobs=1, limits=Limits()), name="fuzz")
    except InputError:
        return None


def proven_by(report: CaptureReport | None) -> set[str] | None:
    """The verdicts that a report proves; None for a refusal."""
    if report is None:
        return None
    return {session.verdict.code.value for session in report.sessions if session.verdict.certainty is Certainty.PROVEN}


def proven(data: bytes, ring: KeyRing) -> set[str] | None:
    """The verdicts that are proven; None for a refusal."""
    return proven_by(analyzed(data, ring))


def _cases() -> list[Path]:
    found = [
        path
        for path in sorted(CAPTURES.glob("*/capture.pcap*"))
        if path.stat().st_size <= 8000 and not path.name.endswith(".gz")
    ]
    return [path for path in found if (path.parent / "case.toml").exists()]


@cache
def _ring(folder: Path) -> KeyRing:
    return load_keys([folder]) if folder.exists() else load_keys([])


@cache
def _intact(path: Path) -> tuple[frozenset[str], list[tuple[str, str]]]:
    """What the capture itself proves, and its verdicts."""
    report = analyzed(path.read_bytes(), _ring(path.parent / "keys"))
    return frozenset(proven_by(report) or ()), _verdicts(report)


def _verdicts(report: CaptureReport | None) -> list[tuple[str, str]]:
    return sorted(
        (session.verdict.code.value, session.verdict.certainty.value) for session in (report.sessions if report else ())
    )


def fuzz_captures(
    path: Path, executions: int, seed: int | str, seconds: float = 1e9
) -> tuple[Counter[str], list[Found]]:
    """Mutate one golden capture many times, byte by byte and packet by packet in turn."""
    case = path.parent.name
    rng = random.Random(f"{seed}/{case}")
    ring = _ring(path.parent / "keys")
    data = path.read_bytes()
    intact, verdicts = _intact(path)
    counts: Counter[str] = Counter()
    bad: list[Found] = []
    begun = time.process_time()
    for number in range(executions):
        start = time.process_time()
        if start - begun > seconds:
            break
        changed = mutated(data, data, rng) if number % 2 == 0 else shuffled(data, rng)
        try:
            report = analyzed(changed, ring)
            if report is not None and number % WRITTEN == 0:
                whole = report_of([report], ring)
                for kind in FORMATS:
                    for _ in chunks(whole, kind, Style()):
                        pass
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001
            counts["VIOLATION"] += 1
            bad.append((f"{case} #{number}: {type(error).__name__}: {error}", changed))
            continue
        found = proven_by(report)
        if report is None or found is None:
            counts["refused"] += 1
        elif stronger := found - intact - {Code.HEALTHY.value}:
            counts["STRONGER"] += 1
            bad.append((f"{case} #{number}: proves {', '.join(sorted(stronger))}", changed))
        else:
            counts[_outcome(report, found, intact, verdicts)] += 1
        if time.process_time() - start > CAPTURE_LIMIT:
            counts["TOO SLOW"] += 1
            bad.append((f"{case} #{number}: {time.process_time() - start:.1f} s", changed))
    return counts, bad + _too_big(case)


def _outcome(report: CaptureReport, found: set[str], intact: frozenset[str], verdicts: list[tuple[str, str]]) -> str:
    cut = ", partial" if report.status == "partial" else ""
    if not report.sessions:
        return f"no session{cut}"
    if _verdicts(report) == verdicts:
        return f"the intact verdicts{cut}"
    if not intact <= found:
        return f"less proven{cut}"
    return f"other verdicts, nothing more proven{cut}"


def _work(job: Job) -> tuple[Job, Counter[str], list[Found], float]:
    kind, name, number, executions = job
    start = time.process_time()
    if kind == "target":
        counts, bad = fuzz_target(next(target for target in TARGETS if target.name == name), executions, number)
    else:
        counts, bad = fuzz_captures(CAPTURES / name, executions, number, ROUND)
    return job, counts, bad, time.process_time() - start


def _jobs(
    executions: int, captures: int, done: Counter[tuple[str, str]], totals: Counter[str], slow: set[str]
) -> Iterator[Job]:
    """Rounds of captures and of targets in turn, until both numbers are reached (``totals`` and ``slow`` grow meanwhile)."""
    turns = 0
    shares = {target.name: max(20, EXECUTIONS // target.cost) for target in TARGETS}
    cases = [str(path.relative_to(CAPTURES)) for path in _cases()]
    small = min(MUTATIONS, max(1, captures // max(1, len(cases))))
    scale = min(1.0, executions / sum(shares.values()))
    while totals["target"] < executions or totals["capture"] < captures:
        begun = totals["target"], totals["capture"]
        if begun[0] < executions:
            for name, share in shares.items():
                yield "target", name, done["target", name], max(20, int(share * scale))
                done["target", name] += 1
        if begun[1] < captures:
            turns += 1
            for name in cases:
                if name in slow and turns % SLOW_TURN:
                    continue
                yield "capture", name, done["capture", name], small
                done["capture", name] += 1


def _signalled() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def recorded(path: Path) -> list[dict[str, object]]:
    """The rounds of a results file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def table(rows: list[dict[str, object]]) -> Iterator[str]:
    """Counts by outcome, as Markdown."""
    counted: dict[tuple[str, str], Counter[str]] = {}
    seconds: Counter[tuple[str, str]] = Counter()
    for row in rows:
        key = ("target", str(row["name"])) if row["kind"] == "target" else ("capture", "")
        counted.setdefault(key, Counter()).update(row["counts"])  # type: ignore[arg-type]
        seconds[key] += row["seconds"]  # type: ignore[operator]
    targets = {name: counts for (kind, name), counts in counted.items() if kind == "target"}
    yield "| target | executions | read | refused | violations | seconds |"
    yield "|---|---:|---:|---:|---:|---:|"
    total: Counter[str] = Counter()
    for name, counts in targets.items():
        read, bad = counts["read"], sum(count for what, count in counts.items() if what.isupper())
        refused = sum(count for what, count in counts.items() if what.startswith("refused"))
        total.update(all=read + refused + counts["VIOLATION"], read=read, refused=refused, bad=bad)
        yield f"| {name} | {read + refused + counts['VIOLATION']:,} | {read:,} | {refused:,} | {bad} | {seconds['target', name]:.0f} |"
    spent = sum(seconds["target", name] for name in targets)
    yield f"| **{len(targets)} targets** | **{total['all']:,}** | {total['read']:,} | {total['refused']:,} | {total['bad']} | {spent:.0f} |"
    counts = counted.get(("capture", ""), Counter())
    names = {row["name"] for row in rows if row["kind"] == "capture"}
    yield ""
    yield f"| mutated captures (of {len(names)} golden ones) | number |"
    yield "|---|---:|"
    for what, count in sorted(counts.items()):
        if not what.isupper():
            yield f"| {what} | {count:,} |"
    bad = sum(count for what, count in counts.items() if what.isupper())
    yield f"| violations | {bad} |"
    yield f"| **in all** | **{sum(counts.values()) - counts['TOO SLOW']:,}** |"


def main() -> int:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=20_000, help="parser executions in all")
    parser.add_argument("--captures", type=int, default=500, help="mutated captures in all")
    parser.add_argument(
        "--seed", type=int, default=0, help="the number of the first round, when there are no results yet"
    )
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--results", type=Path, help="add each round to this file, and count what is in it")
    parser.add_argument("--table", type=Path, metavar="RESULTS", help="only print what is in this file")
    parser.add_argument("--save", type=Path, help="write the inputs of violations into this folder")
    options = parser.parse_args()
    if options.table:
        print("\n".join(table(recorded(options.table))))
        return 0
    rows = recorded(options.results) if options.results else []
    done: Counter[tuple[str, str]] = Counter()
    totals: Counter[str] = Counter()
    slow: set[str] = set()
    for row in rows:
        kind, name = str(row["kind"]), str(row["name"])
        done[kind, name] = max(done[kind, name], int(row["round"]) + 1)  # type: ignore[call-overload]
        totals[kind] += sum(row["counts"].values())  # type: ignore[attr-defined]
        if kind == "capture" and float(row["seconds"]) > SLOW * sum(row["counts"].values()):  # type: ignore[arg-type, attr-defined]
            slow.add(name)
    if not rows:
        done.update({("target", target.name): options.seed for target in TARGETS})
        done.update({("capture", str(path.relative_to(CAPTURES))): options.seed for path in _cases()})
    violations = 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the pool is ended on the way out
    start = time.monotonic()
    with Pool(options.jobs, initializer=_signalled) as pool:
        waiting: list = []  # type: ignore[type-arg]
        jobs = _jobs(options.executions, options.captures, done, totals, slow)
        while True:
            while len(waiting) < 2 * options.jobs and time.monotonic() - start < options.seconds:
                job = next(jobs, None)
                if job is None:
                    break
                waiting.append(pool.apply_async(_work, (job,)))
            if not waiting:
                break
            (kind, name, number, _), counts, bad, seconds = waiting.pop(0).get()
            totals[kind] += sum(counts.values())
            row = {"kind": kind, "name": name, "round": number, "counts": dict(counts), "seconds": round(seconds, 2)}
            rows.append(row)
            if kind == "capture" and seconds > SLOW * sum(counts.values()):
                slow.add(name)
            if options.results:
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            for text, data in bad:
                violations += 1
                print("!", f"round {number}", text[:600], "" if options.save else data[:1500].hex(), flush=True)
                if options.save:
                    options.save.mkdir(parents=True, exist_ok=True)
                    (options.save / f"{kind}-{Path(name).parent.name or name}-{number}-{violations}").write_bytes(data)
    print("\n".join(table(rows)))
    print(f"\n{time.monotonic() - start:.0f} s, {violations} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
