"""Genuine captures x wrappings x file formats x engines: the verdict is the original's, whatever it arrives in.

Every wrapping once, every format several times, in turns (a Latin walk, not the whole product). The manual's table of what is
read is made from the same names (`tests/readme.py`). What is not read is in `test_tunnels.CLOSED`, with what is said of it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from analyzer.keys import load_keys
from analyzer.model import CaptureReport
from analyzer.pipeline import Options, analyze_capture
from captures.synth import capfile
from tests.analyzer.capture.wrappings import CAPTURES, OUTER, WRAPPINGS, frames, wrapped

CASES = ("tcp-02a-cloud-wrong-devkey-brewskey", "dtls-09-icmp-port-unreachable", "dtls-03-wrong-server-key-on-device")


def _zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c.pcap", data)
    return out.getvalue()


def _tar(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("c.pcap")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _cat(data: bytes) -> bytes:
    """Two files one behind the other."""
    at = 40 + int.from_bytes(data[32:36], "little")
    return data[:at] + data[:24] + data[at:]


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "pcap": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zip": _zip, "tar.gz": _tar, "cat": _cat,
}  # fmt: skip
#: Formats that editcap writes; those of other programs hold Ethernet only.
OWN = ("pcapng", "nsecpcap", "modpcap")
FOREIGN = ("snoop", "netmon2", "ngwsniffer_2_0", "5views", "visual", "k12text")
#: What has to be said of a format.
SAID = {"cat": {"joined-files"}, "k12text": {"no-date"}} | {form: {"read-by-wireshark"} for form in FOREIGN[:-1]}


def _rows() -> list[tuple[str, str, str, str]]:
    rows = []
    for at, (name, wrapping) in enumerate(WRAPPINGS.items()):
        packed = [*PACKED, *OWN]
        rows.append((name, CASES[at % 3], packed[at % len(packed)], "auto"))
        if at % 11 == 3 and wrapping.oracle:
            rows.append((name, CASES[0], "pcap", "tshark"))
    carried = [name for name, wrapping in WRAPPINGS.items() if wrapping.link == 1]
    rows += [(carried[7 * at], CASES[0], form, "auto") for at, form in enumerate(FOREIGN)]
    return rows


@cache
def _plain(case: str) -> CaptureReport:
    return _report(
        io.BytesIO(capfile.pcap([capfile.Frame(t, d, len(d)) for t, d in frames(_file(case))])), case, "auto"
    )


def _file(case: str) -> Path:
    return next((CAPTURES / case).glob("capture*.pcap"))


def _report(source: Path | io.BytesIO, case: str, engine: str) -> CaptureReport:
    return analyze_capture(source, load_keys([CAPTURES / case / "keys"]), Options(jobs=1, engine=engine), name="c")


def _facts(report: CaptureReport) -> list[tuple[object, ...]]:
    return [
        (s.verdict.code, s.verdict.certainty, s.device, s.cloud, s.history, [stage.status for stage in s.stages])
        for s in report.sessions
    ]


def _written(data: bytes, form: str, folder: Path) -> Path:
    path = folder / "c.bin"
    if form in PACKED:
        path.write_bytes(PACKED[form](data))
        return path
    if shutil.which("editcap") is None or shutil.which("tshark") is None:
        pytest.skip("editcap is not installed")
    (folder / "c.pcap").write_bytes(data)
    made = subprocess.run(["editcap", "-F", form, str(folder / "c.pcap"), str(path)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(made.stderr.decode())
    return path


@pytest.mark.parametrize(("name", "case", "form", "engine"), _rows())
def test_the_verdict_is_the_original_s(name: str, case: str, form: str, engine: str, tmp_path: Path) -> None:
    if engine == "tshark" and shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    wrapping, plainly = WRAPPINGS[name], _plain(case)
    report = _report(_written(wrapped(_file(case), wrapping), form, tmp_path), case, engine)
    assert plainly.sessions
    assert _facts(report) == _facts(plainly)
    said = {problem.code for problem in plainly.problems} | SAID.get(form, set())
    assert {problem.code for problem in report.problems} == said
    told = [f.summary for s in report.sessions for f in s.findings if f.code == "in-tunnel"]
    if wrapping.carrier is None:
        assert told == []
    else:
        assert len(told) == len(report.sessions)
        assert all(f"{wrapping.carrier} (" in text for text in told)
        assert name == "AH" or all(address in text for address in OUTER for text in told)


def test_each_wrapping_and_each_format_is_in_it() -> None:
    rows = _rows()
    assert {row[0] for row in rows} == set(WRAPPINGS)
    assert {row[2] for row in rows} == {*PACKED, *OWN, *FOREIGN}
    assert {row[3] for row in rows} == {"auto", "tshark"} and {row[1] for row in rows} == set(CASES)
