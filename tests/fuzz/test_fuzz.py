"""A short run of the fuzzers; `tests/fuzz/run.py` is the long one. Found cases are kept in `found/` and replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.keys import load_keys
from tests.fuzz.run import _cases, fuzz_captures, fuzz_target, proven
from tests.fuzz.targets import CAPTURES, TARGETS

FOUND = Path(__file__).parent / "found"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_nothing_but_results_and_refusals(target: object) -> None:
    counts, bad = fuzz_target(target, max(60, 1500 // target.cost), seed=3)  # type: ignore[attr-defined]
    assert not bad, (bad[0][0], bad[0][1].hex()[:3000])
    assert counts["read"] > 0, counts


@pytest.mark.parametrize("path", _cases()[::3], ids=lambda path: path.parent.name)
def test_no_mutation_proves_more_than_the_intact_capture(path: Path) -> None:
    _, bad = fuzz_captures(path, 2, 11)
    assert not bad, (bad[0][0], bad[0][1].hex()[:3000])


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_was_found_once_stays_mended(target: object) -> None:
    for path in sorted(FOUND.glob(f"{target.name}-*")):  # type: ignore[attr-defined]
        try:
            target.run(path.read_bytes())  # type: ignore[attr-defined]
        except target.allowed:  # type: ignore[attr-defined]
            continue


@pytest.mark.parametrize("path", sorted(FOUND.glob("program-*")), ids=lambda path: path.name)
def test_a_capture_that_proved_too_much_once_does_not_again(path: Path) -> None:
    case = CAPTURES / path.name.removeprefix("program-").rpartition("-")[0]
    ring = load_keys([case / "keys"])
    intact = proven((case / "capture.pcap").read_bytes(), ring) or set()
    assert (proven(path.read_bytes(), ring) or set()) <= intact
