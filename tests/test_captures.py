"""Golden captures: each case is analysed with and without its keys, held against its truth, and compared as a whole.

`pytest tests/test_captures.py --update-expected` rewrites what is expected; the diff is then read as a user would.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import InputError
from analyzer.keys import load_keys
from analyzer.pipeline import analyze_paths
from analyzer.reports.json import plain

CASES = sorted(path.parent for path in (Path(__file__).resolve().parent.parent / "captures").glob("*/case.toml"))
MODES = ("with_keys", "without_keys")
_RANK = ("undetermined", "inferred", "proven")


@pytest.fixture(autouse=True)
def _in_the_key_folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands name key files from where one stands; what is expected must not hold a machine's paths."""
    case = getattr(request.node, "callspec", None)
    folder = case.params.get("case") if case is not None else None
    if isinstance(folder, Path) and (folder / "keys").is_dir():
        monkeypatch.chdir(folder / "keys")


def _analyze(case: Path, spec: dict[str, Any], mode: str, capture: str) -> dict[str, Any]:
    keys = (
        [path for path in (case / "keys", case / spec.get("secrets", "sslkeys.log")) if path.exists()]
        if mode == "with_keys"
        else []
    )
    report = analyze_paths([str(case / capture)], load_keys(keys))
    result: dict[str, Any] = plain(report)
    for item in result["captures"]:
        item["path"] = Path(item["path"]).name
    result["tool"]["version"] = "0"
    return result


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_report_is_the_expected_one(case: Path, mode: str, request: pytest.FixtureRequest) -> None:
    spec = tomllib.loads((case / "case.toml").read_text())
    result = _analyze(case, spec, mode, spec["capture"])
    file = case / f"expected.{mode.split('_')[0]}.json"
    if request.config.getoption("--update-expected"):
        file.write_text(json.dumps(result, indent=1, ensure_ascii=True) + "\n")
    assert result == json.loads(file.read_text())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_verdicts_hold_against_the_truth(case: Path, mode: str) -> None:
    spec = tomllib.loads((case / "case.toml").read_text())
    truth = spec["truth"]
    for capture in (spec["capture"], *spec.get("also", ())):
        sessions = [session for item in _analyze(case, spec, mode, capture)["captures"] for session in item["sessions"]]
        if truth.get("no_session"):
            assert sessions == []
            continue
        wanted = truth.get(mode)
        if not wanted:
            continue
        assert sessions, "no session found"
        codes = {session["verdict"]["code"] for session in sessions}
        if capture != spec["capture"] and len(sessions) != len(wanted):
            wanted = wanted[:1]
        rows = wanted if len(wanted) > 1 else wanted * len(sessions)
        assert len(rows) == len(sessions), [session["verdict"]["code"] for session in sessions]
        for row, session in zip(rows, sessions, strict=True):
            verdict = session["verdict"]
            assert verdict["code"] in row["verdicts"], verdict
            assert set(row.get("alternatives", ())) <= set(verdict["alternatives"]) | {verdict["code"]}
            if len(wanted) > 1 and "certainty" in row:
                assert verdict["certainty"] == row["certainty"], verdict
            if verdict["certainty"] == "proven":
                allowed = {
                    code
                    for entry in (*truth.get("with_keys", ()), *truth.get("without_keys", ()))
                    for code in entry["verdicts"]
                }
                assert verdict["code"] in allowed, "wrongly proven"
        if len(wanted) == 1 and "certainty" in wanted[0]:
            assert any(session["verdict"]["certainty"] == wanted[0]["certainty"] for session in sessions), sessions[0][
                "verdict"
            ]
        _hold_back(truth, mode, [session["verdict"] for session in sessions])
        if mode == "with_keys":
            if "must" in truth:
                assert {*truth["must"]} & codes if isinstance(truth["must"], list) else truth["must"] in codes
            if "finding" in truth:
                assert truth["finding"] in {finding["code"] for session in sessions for finding in session["findings"]}


def _hold_back(truth: dict[str, Any], mode: str, verdicts: list[dict[str, Any]]) -> None:
    """A trap: what may never be said, nor be proven without a premise; how sure, and beside which other causes."""
    for verdict in verdicts:
        assert mode == "without_keys" or verdict["code"] not in truth.get("never", ())
        proven = verdict["certainty"] == "proven" and verdict["code"] != "healthy" and not verdict["premises"]
        assert not (truth.get("never_proven") and proven), verdict
    for row in truth.get(mode, ()):
        said = [verdict for verdict in verdicts if verdict["code"] in row["verdicts"] and verdict["code"] != "healthy"]
        if "certainties" in row:
            assert any(verdict["certainty"] in row["certainties"] for verdict in said or verdicts)
        if "beside" in row:
            known = {code for verdict in verdicts for code in (verdict["code"], *verdict["alternatives"])}
            assert set(row["beside"]) <= known


def test_a_key_never_weakens_what_is_known_without_it() -> None:
    """With keys a healthy session stays healthy: keys explain faults, they do not make them."""
    for case in CASES:
        spec = tomllib.loads((case / "case.toml").read_text())
        try:
            with_keys, without = (_analyze(case, spec, mode, spec["capture"]) for mode in MODES)
        except InputError:
            continue
        for first, second in zip(
            with_keys["captures"][0]["sessions"], without["captures"][0]["sessions"], strict=False
        ):
            if second["verdict"]["code"] == "healthy" and first["verdict"]["code"] == "healthy":
                assert _RANK.index(first["verdict"]["certainty"]) >= _RANK.index(second["verdict"]["certainty"])
