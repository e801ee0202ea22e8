#!/usr/bin/env python3
"""Attack the verdicts: is anything wrongly proven, is the wrong one blamed, would a repair do harm?

    tests/fuzz/trust.py matrix                      genuine captures x one wrong key file x what is missing
    tests/fuzz/trust.py perturbed --count 10000     captures and folders as they arrive, changed by one fixed seed
    tests/fuzz/trust.py write CELL --output DIR     one of them, as capture.pcap and keys/ (CELL as the tables print it)
    tests/fuzz/trust.py --match 02a --jobs 1 matrix only cells whose name holds this

Truth comes from `case.toml` of the genuine capture and from what was done to it, never from the analyzer. A verdict that is
wrong because a file in the folder is another's is not counted as wrong when ``verdict.premises`` names that file; such ones
have a row of their own ("under a premise"). Exit status 1 when something is wrongly proven, wrongly blamed or harmful.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, lru_cache
from multiprocessing import Pool
from pathlib import Path
from random import Random
from typing import Final
from zlib import crc32

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from analyzer.keys import KeyRing, load_keys  # noqa: E402 - the path must be set first
from analyzer.limits import Limits  # noqa: E402
from analyzer.model import CaptureReport, Session, Verdict  # noqa: E402
from analyzer.pipeline import Options, analyze_capture  # noqa: E402
from tests.fuzz import wires  # noqa: E402
from tests.fuzz.folders import Folder, foreign, public_half, role_of, stale  # noqa: E402
from tests.fuzz.frames import Pcap, Talk, parsed, written  # noqa: E402
from tests.fuzz.neighbours import healthy_beside  # noqa: E402

CAPTURES: Final = ROOT / "captures"
SEED: Final = 16
#: Verdicts that blame a key.
KEY_CODES: Final = frozenset(
    (
        "server-key-mismatch",
        "server-key-erased",
        "server-signature-mismatch",
        "device-key-mismatch",
        "device-unknown",
        "device-key-corrupt",
    )
)
#: Verdicts that blame somebody.
BLAMES: Final = KEY_CODES | {
    "server-fault",
    "session-displaced",
    "record-corrupt",
    "nonce-mismatch",
    "profile-mismatch",
}
#: What befalls a session that stands: before that moment it is a healthy one.
LATER: Final = frozenset(
    ("session-dropped", "session-displaced", "session-lost", "record-corrupt", "server-fault", "hello-unanswered")
)
#: What a command writes over, and the truths that justify it.
TARGETS: Final = (
    (re.compile(r"\bparticle keys server\b"), "server-slot"),
    (re.compile(r"\bparticle keys (load|doctor|new)\b"), "device"),
    (re.compile(r"\bparticle keys send\b|\bcp .*SERVER/(data/deviceKeys|core_keys)/"), "copy"),
    (re.compile(r"\bcp .*SERVER/"), "cloud"),
    (re.compile(r"\bdfu-util\b.* -D|\bdd\b.* of="), "flash"),
)
JUSTIFIED: Final = {
    "server-key-mismatch": {"server-slot"},
    "server-key-erased": {"server-slot"},
    "server-signature-mismatch": {"server-slot"},
    "device-key-mismatch": {"copy", "device"},
    "device-unknown": {"copy"},
    "device-key-corrupt": {"device", "copy"},
}
#: Worst first; those from FINE on are no violations.
KINDS: Final = (
    "crash",
    "wrongly proven",
    "wrong blame",
    "harmful repair",
    "unfounded repair",
    "other verdict",
    "truth missing",
    "counted again",
    "session gone",
    "under a premise",
    "left open",
    "right",
)
BAD: Final = frozenset(KINDS[:5])


@dataclass(frozen=True, slots=True)
class Truth:
    """What may be said of the sessions of a capture: codes; the fault itself; what a repair may write over."""

    allowed: frozenset[str]
    real: frozenset[str] = frozenset()
    repairs: frozenset[str] = frozenset()

    def also(self, *codes: str) -> Truth:
        """The same, with weaker words allowed."""
        return replace(self, allowed=self.allowed | set(codes))


#: Sessions that begin between two times (ns), and their truth.
Parts = tuple[tuple[tuple[int, int], Truth], ...]
HEALTHY: Final = Truth(frozenset(("healthy",)))
#: The message never arrived: the network's doing, whatever keys there are.
LOST_UP: Final = Truth(
    frozenset(("no-session-key", "session-dropped", "identity-rejected", "capture-incomplete")),
    frozenset(("session-dropped",)),
)
LOST_DOWN: Final = Truth(
    frozenset(("no-session-key", "session-dropped", "session-key-unusable", "capture-incomplete")),
    frozenset(("session-dropped",)),
)
LOST_FLIGHT: Final = Truth(frozenset(("handshake-stalled", "session-dropped", "capture-incomplete")))


@dataclass(frozen=True)
class Case:
    """A genuine capture: its packets, its folder, its truth."""

    name: str
    transport: str
    pcap: Pcap
    folder: Folder
    truth: Truth
    #: Both rows of case.toml: with keys, without.
    rows: tuple[frozenset[str], frozenset[str]]
    #: The device has lost its cloud's address.
    astray: bool = False

    @property
    def ids(self) -> list[str]:
        """Device ids of the folder."""
        return sorted({found[0] for name in self.folder if (found := re.search(r"[0-9a-f]{24}", name))})


@dataclass(frozen=True)
class Cell:
    """One attack: a capture, a folder, and what may be said."""

    name: str
    data: bytes
    folder: Folder
    truth: Truth
    #: Files that are not what they seem.
    lies: tuple[str, ...] = ()
    #: Sessions that begin between two times (ns) have another truth, and other files that are not what they seem.
    parts: tuple[tuple[tuple[int, int], Truth, tuple[str, ...]], ...] = ()
    #: How many sessions there are; None where it cannot be said.
    sessions: int | None = None


@dataclass
class Counts:
    """Results by (kind, what was done, expected, said), each with one example."""

    rows: Counter[tuple[str, ...]] = field(default_factory=Counter)
    examples: dict[tuple[str, ...], str] = field(default_factory=dict)
    cells: int = 0

    def add(self, row: tuple[str, ...], example: str, number: int = 1) -> None:
        self.rows[row] += number
        self.examples.setdefault(row, example)

    def join(self, other: Counts) -> None:
        """Add what another process found."""
        self.cells += other.cells
        for row, number in other.rows.items():
            self.add(row, other.examples[row], number)

    def kinds(self) -> Counter[str]:
        """Numbers by kind."""
        found: Counter[str] = Counter()
        for row, number in self.rows.items():
            found[row[0]] += number
        return found


#: Captures of many attempts that are alike, and how many packets of them are enough.
LOOPS: Final = ("retry-loop", "message2-split")
LOOP: Final = 90

# ---- the genuine captures -------------------------------------------------------------------------------------------


@cache
def cases() -> dict[str, Case]:
    """The genuine captures that hold a session, by name."""
    found = {}
    for folder in sorted(CAPTURES.iterdir()):
        transport = {"tcp": "tcp", "dtls": "udp"}.get(folder.name.split("-")[0])
        if transport is None or not (folder / "case.toml").exists():
            continue
        spec = tomllib.loads((folder / "case.toml").read_text())
        truth = spec["truth"]
        if truth.get("no_session"):
            continue
        rows = tuple(
            frozenset(code for row in truth.get(mode, ()) for code in row["verdicts"])
            for mode in ("with_keys", "without_keys")
        )
        keys = folder / "keys"
        files = {
            path.relative_to(keys).as_posix(): path.read_bytes()
            for path in sorted(keys.rglob("*"))
            if keys.is_dir() and path.is_file()
        }
        real = rows[0] & KEY_CODES
        repairs = {target for code in real for target in JUSTIFIED[code]}
        astray = truth.get("finding") == "server-address-lost"
        if astray:
            repairs.add("server-slot")
        told = Truth(rows[0] | rows[1] | {"capture-incomplete"}, real, frozenset(repairs))
        pcap = parsed((folder / "capture.pcap").read_bytes())
        if any(loop in folder.name for loop in LOOPS):
            pcap = wires.until_pause(pcap, LOOP)
        found[folder.name] = Case(folder.name, transport, pcap, files, told, (rows[0], rows[1]), astray)
    return found


def plain_cases() -> list[Case]:
    """Those with one truth for the whole capture."""
    return [case for case in cases().values() if case.rows[0]]


# ---- A: the matrix --------------------------------------------------------------------------------------------------


def folders(case: Case) -> Iterator[tuple[str, Folder, tuple[str, ...]]]:
    """The folder as it is, and with each file (and the cloud's pair) stale, foreign and removed."""
    yield "as-it-is", case.folder, ()
    others = [(one.name, one.folder) for one in cases().values() if one.transport == case.transport and one is not case]
    start = sorted(cases()).index(case.name)
    chosen = [(name,) for name in case.folder]
    pair = tuple(name for name in case.folder if role_of(name) in ("cloud", "cloud-public"))
    if len(pair) > 1:
        chosen.append(pair)
    for names in chosen:
        label = "+".join(names)
        left = {name: data for name, data in case.folder.items() if name not in names}
        yield f"removed:{label}", left, ()
        known = [name for name in names if role_of(name) not in (None, "session")]
        if len(known) == len(names):
            fresh = {name: stale(name, case.folder[name], "stale", case.transport == "udp") for name in names}
            yield f"stale:{label}", {**case.folder, **fresh}, names
        strange = {
            name: got[1] for name in names if (got := foreign(name, case.folder[name], others, start)) is not None
        }
        if len(strange) == len(names):
            yield f"foreign:{label}", {**case.folder, **strange}, names


def captures(case: Case, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[tuple[str, Pcap, Truth, Parts]]:
    """The capture as it is, and with what the matrix leaves out or adds; what costs much only where it is wanted."""
    truth = case.truth
    yield "whole", case.pcap, truth, ()
    found = wires.handshakes(case.pcap, case.transport)
    # Nothing was refused yet, or not seen to be: the fault need not be among the alternatives.
    cut = replace(truth.also("capture-incomplete", *(("healthy",) if truth.allowed & LATER else ())), real=frozenset())
    if found:
        talk = max(found, key=lambda talk: min(len(talk.flights()), 6))
        for name, pcap in wires.cuts(case.pcap, talk):
            yield name, pcap, cut.also(*_asked_again(pcap, case)), ()
        if "not-the-cloud" not in truth.allowed:
            yield from _lost(case, talk)
        for name, before in (("healthy-before", True), ("healthy-after", False)):
            beside = healthy_beside(case.pcap, talk, case.folder, before) if wanted(name) else None
            if beside is not None:
                # A device that lost its cloud's address is told so there as well.
                well = replace(HEALTHY, repairs=truth.repairs if case.astray else frozenset())
                yield name, beside[0], truth, ((beside[1], well),)
    for name, up in (("device-only", True), ("cloud-only", False)):
        made = wires.one_way(case.pcap, case.transport, up)
        if made.frames:
            yield name, made, cut.also(*_asked_again(made, case)), ()


def _lost(case: Case, talk: Talk) -> Iterator[tuple[str, Pcap, Truth, Parts]]:
    """This conversation alone, with a message that never arrives; what the flow held before it keeps its truth."""
    if case.transport == "tcp":
        found = (
            ("lost-up-cloud-ends", wires.withheld_up(case.pcap, talk, True), LOST_UP),
            ("lost-up-device-ends", wires.withheld_up(case.pcap, talk, False), LOST_UP),
            ("lost-down", wires.withheld_down(case.pcap, talk), LOST_DOWN),
        )
    else:
        found = (
            ("lost-up", wires.flights_lost(case.pcap, talk, True), LOST_FLIGHT),
            ("lost-down", wires.flights_lost(case.pcap, talk, False), LOST_FLIGHT),
        )
    for name, made, lost in found:
        if made is not None:
            pcap, since = made
            yield name, pcap, _with_wire_proof(lost, case), (((0, since - 1), case.truth),)


def _asked_again(pcap: Pcap, case: Case) -> tuple[str, ...]:
    """What may be said of a capture in which devices only ask, more than once, and nothing tells of an answer."""
    asked = 0
    for talk in wires.handshakes(pcap, case.transport):
        if all(talk.up(one) and wires.first_packet(one) for _, one in talk.packets):
            asked += len(talk.packets)
    return ("connect-unanswered",) if asked > 1 else ()


def _with_wire_proof(lost: Truth, case: Case) -> Truth:
    """What the bytes prove by themselves stays true, whatever else went wrong."""
    proof = case.rows[1] & (KEY_CODES | {"profile-mismatch"})
    repairs = case.truth.repairs if proof else frozenset()
    return Truth(lost.allowed | proof, lost.real and lost.real | proof, repairs)


def of_matrix(case: Case, match: str = "", every: int = 1, offset: int = 0) -> Iterator[Cell]:
    """The cells of one case, or one in ``every`` of them, chosen by their names."""
    found = list(folders(case))

    def chosen(wire: str, folder: str) -> bool:
        name = f"{case.name}/{wire}/{folder}"
        return match in name and crc32(name.encode()) % every == offset % every

    for wire, pcap, truth, parts in captures(case, lambda wire: any(chosen(wire, folder) for folder, _, _ in found)):
        data: bytes | None = None
        for folder, files, lies in found:
            if not chosen(wire, folder):
                continue
            data = data or written(pcap)
            told = tuple((span, other, lies) for span, other in parts)
            yield Cell(f"{case.name}/{wire}/{folder}", data, files, truth, lies, told)


# ---- B: as it arrives -----------------------------------------------------------------------------------------------

#: What is done to a capture, whether something may be missing afterwards, and whether sessions can be counted.
WIRES: Final[tuple[tuple[str, wires.Wire, bool, bool], ...]] = (
    ("nat-both-sides", wires.nat_both_sides, False, True),
    ("any-interface", wires.any_interface, False, True),
    ("forwarded", wires.forwarded, False, True),
    ("nat64", wires.nat64, False, True),
    ("proxied", wires.proxied, False, True),
    ("damaged-copies", wires.damaged_copies, False, True),
    ("duplicated", wires.duplicated, False, True),
    ("late-start", wires.late_start, True, False),
    ("early-end", wires.early_end, True, False),
    ("snapped", wires.snapped, True, False),
    ("coarse-clock", wires.coarse_clock, False, False),
)
Change = Callable[[Case, Random], "tuple[Folder, tuple[str, ...]] | None"]


def saved(case: Case, rng: Random) -> tuple[Folder, tuple[str, ...]] | None:
    """What `particle keys save ID.der` leaves, with the cloud's key (or its public half, or none) beside it."""
    made: dict[str, bytes] = {}
    for name, data in case.folder.items():
        half = public_half(data) if role_of(name) == "device" else None
        if half is not None:
            ident = name[:24]
            made |= {f"{ident}.der": data, f"{ident}.pub.pem": half}
    if not made:
        return None
    cloud = [name for name in case.folder if role_of(name) in ("cloud", "cloud-public")]
    kept = rng.choice((cloud, cloud[-1:], []))
    lies = tuple(name for name in made if name.endswith(".pub.pem"))
    return made | {name: case.folder[name] for name in kept}, lies


def ticketed(case: Case, rng: Random) -> tuple[Folder, tuple[str, ...]]:
    """The whole ticket as the key folder: the capture, logs and notes, keys/ in it, and what a Mac leaves."""
    made = {f"keys/{name}": data for name, data in case.folder.items()}
    made["capture.pcap"] = written(case.pcap)
    log = CAPTURES / case.name / "device.log"
    if log.exists():
        made["device.log"] = log.read_bytes()
    made["notes.txt"] = b"Device blinks cyan since Tuesday.\r\nfingerprint SHA256:q0Jl9x4eVb3mZk1T5r8w2YcP7uHn6sDa\r\n"
    made["__MACOSX/._capture.pcap"] = b"\0\5\26\7\0\2\0\0Mac OS X" + bytes(64)
    made[".DS_Store"] = b"\0\0\0\1Bud1" + rng.randbytes(64)
    return made, ()


def single(case: Case, rng: Random) -> tuple[Folder, tuple[str, ...]] | None:
    """Only one of its files."""
    if not case.folder:
        return None
    name = rng.choice(sorted(case.folder))
    return {name: case.folder[name]}, ()


def another(case: Case, rng: Random) -> tuple[Folder, tuple[str, ...]]:
    """Another case's folder, of either transport."""
    other = rng.choice([one for one in cases().values() if one.folder and one is not case])
    return other.folder, _strange(other.folder, case)


def another_too(case: Case, rng: Random) -> tuple[Folder, tuple[str, ...]]:
    """Its own folder and another case's beside it."""
    other = rng.choice([one for one in cases().values() if one.folder and one is not case])
    theirs = {f"other/{name}": data for name, data in other.folder.items()}
    return {**{f"own/{name}": data for name, data in case.folder.items()}, **theirs}, _strange(theirs, case)


def _strange(files: Folder, case: Case) -> tuple[str, ...]:
    """Those of the files that are not the case's own under another name (the laboratory's DTLS cases share keys)."""
    own = set(case.folder.values())
    return tuple(name for name, data in files.items() if data not in own)


def wrong_file(case: Case, rng: Random) -> tuple[Folder, tuple[str, ...]] | None:
    """One file stale, foreign or removed, as in the matrix."""
    found = list(folders(case))[1:]
    return rng.choice(found)[1:] if found else None


def _difference(before: Folder, after: Folder) -> str:
    """Which files are gone, and which are other ones."""
    gone = [name for name in before if name not in after]
    other = [name for name in after if after[name] != before.get(name)]
    return f"removed:{'+'.join(gone)}" if gone else f"wrong:{'+'.join(other)}"


def no_folder(case: Case, rng: Random) -> tuple[Folder, tuple[str, ...]]:
    """No key at all."""
    return {}, ()


FOLDERS: Final[tuple[tuple[str, Change], ...]] = (
    ("saved", saved),
    ("ticketed", ticketed),
    ("single", single),
    ("another", another),
    ("another-too", another_too),
    ("wrong-file", wrong_file),
    ("no-folder", no_folder),
)


def perturbed(number: int, seed: int = SEED) -> Cell | None:
    """The cell of this number: a case, one or two changes of its capture, of its folder, or of both; None where the
    change cannot be made of that case."""
    rng = Random(f"{seed}/{number}")
    case = rng.choice(plain_cases())
    what = rng.choice(("wire", "wire", "folder", "both", "joined"))
    if what == "joined":
        return _joined(case, rng, number)
    truth, pcap, names = case.truth, case.pcap, []
    files: Folder = case.folder
    lies: tuple[str, ...] = ()
    data: bytes | None = None
    countable = True
    if what in ("wire", "both"):
        chosen = rng.sample(WIRES, rng.choice((1, 1, 1, 2)))
        # Damage comes last: what is made after it would get a right checksum again.
        for name, change, lossy, counted in sorted(chosen, key=lambda one: one[0] == "damaged-copies"):
            if pcap.link not in (1, 101):
                break
            made = change(pcap, rng)
            if made is None:
                return None
            assert isinstance(made, Pcap)
            pcap = made
            names.append(name)
            countable = countable and counted
            if lossy:
                truth = replace(truth.also(*(("healthy",) if truth.allowed & LATER else ())), real=frozenset())
                truth = truth.also(*_asked_again(pcap, case))
    if what in ("folder", "both"):
        label, alter = rng.choice(FOLDERS)
        got = alter(case, rng)
        if got is None:
            return None
        files, lies = got
        names.append(label if label != "wrong-file" else _difference(case.folder, files))
    return Cell(
        f"#{number} {case.name}/{'+'.join(names)}",
        data or written(pcap),
        files,
        truth,
        lies,
        (),
        _sessions(case.name) if countable else None,
    )


def _joined(case: Case, rng: Random, number: int) -> Cell | None:
    """`cat a.pcap b.pcap`: another case's file behind it, or the same once more; one of both folders, or both."""
    other = case if rng.random() < 0.2 else rng.choice(plain_cases())
    return joined(case, other, other is not case and rng.random() < 0.5, f"#{number} ")


def joined(case: Case, other: Case, both: bool, label: str = "") -> Cell | None:
    """Two captures one behind the other, with the first one's folder or with both; None where one time would be both's."""
    data = written(case.pcap) + written(other.pcap)
    files: Folder = case.folder
    lies: tuple[str, ...] = ()
    theirs = _strange(case.folder, other)
    truth = other.truth if other is case else replace(other.truth, real=frozenset())
    if both:
        mine = {f"a/{name}": content for name, content in case.folder.items()}
        others = {f"b/{name}": content for name, content in other.folder.items()}
        files, lies, theirs, truth = {**mine, **others}, _strange(others, case), _strange(mine, other), other.truth
    spans = [(one.pcap.frames[0].time, one.pcap.frames[-1].time) for one in (case, other)]
    if other is not case and spans[0][0] <= spans[1][1] and spans[1][0] <= spans[0][1]:
        return None  # both at one time: nothing would tell whose session is whose
    parts = ((spans[0], case.truth, lies), (spans[1], truth, theirs))
    either = Truth(case.truth.allowed | other.truth.allowed, repairs=case.truth.repairs | other.truth.repairs)
    return Cell(f"{label}{case.name}/joined with {other.name}", data, files, either, lies, parts)


@cache
def _sessions(name: str) -> int:
    """How many sessions the unchanged capture has."""
    case = cases()[name]
    return len(analyzed(written(case.pcap), case.folder).sessions)


# ---- running and judging --------------------------------------------------------------------------------------------


def analyzed(data: bytes, folder: Folder) -> CaptureReport:
    """The report on these bytes with this folder."""
    ring = _ring(tuple(sorted(folder.items())))
    return analyze_capture(io.BytesIO(data), ring, Options(jobs=1, limits=Limits()), name="capture.pcap")


@lru_cache(maxsize=256)
def _ring(files: tuple[tuple[str, bytes], ...]) -> KeyRing:
    with tempfile.TemporaryDirectory() as place:
        store(dict(files), Path(place) / "keys")
        return load_keys([Path(place) / "keys"])


def store(folder: Folder, place: Path) -> None:
    """Write a folder to disk."""
    place.mkdir(parents=True, exist_ok=True)
    for name, data in folder.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)


def judged(cell: Cell) -> Iterator[tuple[str, str, str]]:
    """What is to be said of the report on a cell: kind, expected, said; one for each session at least."""
    try:
        report = analyzed(cell.data, cell.folder)
    except Exception as error:  # noqa: BLE001 - whatever comes out of it is a finding
        yield "crash", "a report", f"{type(error).__name__}: {error}"[:120]
        return
    if cell.sessions is not None and len(report.sessions) != cell.sessions:
        more = len(report.sessions) > cell.sessions
        yield "counted again" if more else "session gone", f"{cell.sessions} sessions", f"{len(report.sessions)}"
    for session in report.sessions:
        truth, lies = cell.truth, cell.lies
        for (begin, end), other, theirs in cell.parts:
            if begin <= _time(session) <= end:
                truth, lies = other, theirs
                break
        yield from _of_session(session, truth, lies)


def _time(session: Session) -> int:
    stamp = session.start_time.rstrip("Z")
    whole, _, part = stamp.partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 10**9 + int(part.ljust(9, "0")[:9] or 0)


def _of_session(session: Session, truth: Truth, lies: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    verdict = session.verdict
    said = f"{verdict.code.value} ({verdict.certainty.value})"
    known = verdict_kind(verdict, truth, lies)
    yield known, _expected(truth), said
    if known in ("wrongly proven", "wrong blame"):
        return  # its repair is wrong with it
    for target, source in overwritten(verdict):
        premise = names_a_lie(verdict, lies) or _doubts_a_lie(verdict, lies)
        if target not in truth.repairs:
            kind = "unfounded repair" if verdict.certainty.value == "undetermined" else "harmful repair"
            yield "under a premise" if premise else kind, f"no writing over {target}", f"{said}: {source}"
        elif (file := _written_lie(verdict, lies)) is not None:
            yield (
                "under a premise" if premise else "harmful repair",
                f"no writing of {role_of(file)}",
                f"{said}: {source}",
            )


def verdict_kind(verdict: Verdict, truth: Truth, lies: tuple[str, ...]) -> str:
    """Which of `KINDS` a verdict is."""
    code = verdict.code.value
    among = {code, *(other.value for other in verdict.alternatives)}
    if code not in truth.allowed:
        if names_a_lie(verdict, lies):
            return "under a premise"
        if verdict.certainty.value == "proven":
            return "wrongly proven"
        if verdict.certainty.value == "undetermined" and among & (truth.real or truth.allowed):
            return "left open"  # it accuses nobody: another cause stands first, and the truth beside it
        return "wrong blame" if code in BLAMES else "other verdict"
    if truth.real and code not in truth.real and code != "capture-incomplete" and not among & truth.real:
        return "truth missing"
    return "right"


def names_a_lie(verdict: Verdict, lies: tuple[str, ...]) -> bool:
    """Whether the verdict's premises name one of these files."""
    premises: tuple[str, ...] = getattr(verdict, "premises", ())
    return any(name in premise for premise in premises for name in lies)


def _doubts_a_lie(verdict: Verdict, lies: tuple[str, ...]) -> bool:
    """Whether the repair says, in a step of its own, that one of these files is not shown to be what it is taken for."""
    return any(name in remedy.text for remedy in verdict.remedy if not remedy.commands for name in lies)


def overwritten(verdict: Verdict) -> list[tuple[str, str]]:
    """What the commands of a verdict write over, each target once, with the command."""
    found: dict[str, str] = {}
    open_still = verdict.certainty.value == "undetermined"
    for remedy in verdict.remedy:
        for command in remedy.commands:
            if open_still and command == "particle keys server":
                continue  # Particle's own key, for Particle's devices: the same for all of them, so it harms none
            target = next((name for form, name in TARGETS if form.search(command)), None)
            if target is not None:
                found.setdefault(target, re.sub(r"[0-9a-f]{24}", "ID", command).split("--host")[0].strip())
    return list(found.items())


def _written_lie(verdict: Verdict, lies: tuple[str, ...]) -> str | None:
    """A file that is another's and that the commands of an overwriting repair read."""
    words: set[str] = set()
    for remedy in verdict.remedy:
        if not any(form.search(command) for command in remedy.commands for form, _ in TARGETS):
            continue
        for command in remedy.commands:
            read = re.sub(r" -out \S+|\S*SERVER/\S+| -U \S+", "", command)
            words |= {"/" + word.strip("'\"") for word in read.split()}
    return next((name for name in lies if any(word.endswith("/" + name) for word in words)), None)


def _expected(truth: Truth) -> str:
    if truth.real:
        return "/".join(sorted(truth.real))
    return "/".join(sorted(truth.allowed - {"capture-incomplete"}) or ["capture-incomplete"])


# ---- the command ----------------------------------------------------------------------------------------------------


def _what(name: str) -> str:
    """The kind of change in a cell's name: without case, numbers and file names."""
    change = re.sub(r" with .*", "", name.split("/", 1)[1])
    change = re.sub(r"cut-\d+", "cut", change)
    return re.sub(r"[\w.+-]+\.(der|pem|bin)", lambda found: _roles(found[0]), change)


def _roles(names: str) -> str:
    return "+".join(role_of(name) or "other" for name in names.split("+"))


#: A case of the matrix is done in so many parts, the first of all cases first.
PARTS: Final = 5


def _run_matrix(job: tuple[str, str, int, int]) -> Counts:
    name, match, every, offset = job
    return _counted(of_matrix(cases()[name], match, every, offset))


def _run_perturbed(job: tuple[int, int, int, int, str]) -> Counts:
    seed, first, count, step, match = job
    found = (perturbed(number, seed) for number in range(first, count, step))
    return _counted(cell for cell in found if cell is not None and match in cell.name)


def _counted(cells: Iterator[Cell]) -> Counts:
    counts = Counts()
    for cell in cells:
        counts.cells += 1
        for kind, expected, said in judged(cell):
            row = (kind,) if kind == "right" else (kind, _what(cell.name), expected, said)
            counts.add(row, cell.name)
    return counts


def table(counts: Counts, most: int = 400) -> Iterator[str]:
    """The findings as Markdown, worst first."""
    kinds = counts.kinds()
    yield f"{counts.cells:,} captures with folders; sessions by kind: " + ", ".join(
        f"{kind} {kinds[kind]:,}" for kind in KINDS if kinds[kind] or kind in BAD
    )
    yield ""
    yield "| kind | n | done | expected | said | example |"
    yield "|---|---:|---|---|---|---|"
    rows = [row for row in counts.rows if len(row) > 1]
    rows.sort(key=lambda row: (KINDS.index(row[0]), -counts.rows[row], row))
    for row in rows[:most]:
        kind, done, expected, said = row
        yield f"| {kind} | {counts.rows[row]} | {done} | {expected} | {said} | `{counts.examples[row]}` |"


def cell_named(name: str, seed: int = SEED) -> Cell:
    """The cell that the tables call so. Raises SystemExit when there is none."""
    found: Cell | None = None
    if name.startswith("#"):
        found = perturbed(int(name[1:].split()[0]), seed)
    else:
        case = cases().get(name.split("/")[0])
        found = next((cell for cell in of_matrix(case, name) if cell.name == name), None) if case else None
    if found is None:
        raise SystemExit(f"no such cell: {name}")
    return found


def main() -> int:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("matrix", "perturbed", "write"))
    parser.add_argument("cell", nargs="?", help="with write: which one")
    parser.add_argument("--count", type=int, default=10_000, help="perturbed: how many")
    parser.add_argument("--seed", type=int, default=SEED, help="perturbed: of which seed")
    parser.add_argument("--every", type=int, default=1, help="matrix: each n-th cell only")
    parser.add_argument("--match", default="", help="only cells whose name holds this")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long, with what is done by then")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    parser.add_argument("--output", type=Path, default=Path("cell"), help="write: into this folder")
    options = parser.parse_args()
    if options.what == "write":
        cell = cell_named(options.cell, options.seed)
        store(cell.folder, options.output / "keys")
        (options.output / "capture.pcap").write_bytes(cell.data)
        print(f"{cell.name}: expected {_expected(cell.truth)}; not what they seem: {', '.join(cell.lies) or 'none'}")
        return 0
    start = time.monotonic()
    counts = Counts()
    jobs: list[object]
    if options.what == "matrix":
        wanted = [
            case.name for case in plain_cases() if options.match.split("/")[0] in case.name or "/" in options.match
        ]
        jobs = [
            (name, options.match, options.every * PARTS, number + part * options.every)
            for part in range(PARTS)
            for number, name in enumerate(wanted)
        ]
        run: Callable[..., Counts] = _run_matrix
    else:
        parts = max(1, options.count // 100)
        jobs = [(options.seed, part, options.count, parts, options.match) for part in range(parts)]
        run = _run_perturbed
    done = 0
    with Pool(options.jobs) as pool:
        for part in pool.imap_unordered(run, jobs):
            counts.join(part)
            done += 1
            if time.monotonic() - start > options.seconds:
                break
    if done < len(jobs):
        print(f"stopped after {options.seconds:.0f} s: {done} of {len(jobs)} parts\n")
    print("\n".join(table(counts)))
    print(f"\n{time.monotonic() - start:.0f} s")
    if options.json:
        rows = [[*row, counts.rows[row], counts.examples[row]] for row in sorted(counts.rows)]
        options.json.write_text(json.dumps({"cells": counts.cells, "rows": rows}, indent=1))
    return 1 if any(counts.kinds()[kind] for kind in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
