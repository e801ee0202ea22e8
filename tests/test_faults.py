"""What goes wrong around the program: full disks, broken reads, vanished files, set clocks, signals. Each has its outcome."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.keys import load_keys
from analyzer.pipeline import analyze_capture, analyze_paths
from analyzer.reports.writing import write_file

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT / "captures"
GOOD = CAPTURES / "tcp-01a-good-brewskey-fw063"
UDP = CAPTURES / "dtls-01-good"
COMMAND = [sys.executable, "-m", "analyzer"]
FULL = Path("/dev/full")
full_disk = pytest.mark.skipif(not FULL.is_char_device(), reason="this system has no /dev/full")


def run(*words: object, **more) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *map(str, words)], stderr=subprocess.PIPE, cwd=ROOT, timeout=120, check=False, **more
    )


def one_line(told: bytes) -> str:
    """The only thing said: one line of ours, no traceback."""
    # The golden captures have their keys beside them, which is said in a line of its own.
    (line,) = (
        line for line in told.decode().splitlines() if " lie beside " not in line and " lies beside " not in line
    )
    assert line.startswith("analyze: ")
    return line


# -- writing -------------------------------------------------------------------------------------------------------------


@full_disk
@pytest.mark.parametrize(
    "words",
    [
        (GOOD / "capture.pcap",),
        (GOOD / "capture.pcap", "--format", "html"),
        ("keys", GOOD / "keys"),
        ("schema",),
        ("explain", "-19"),
    ],
    ids=["text", "html", "keys", "schema", "explain"],
)
def test_standard_output_on_a_full_disk(words: tuple[object, ...]) -> None:
    with FULL.open("wb") as full:
        done = run(*words, stdout=full)
    assert done.returncode == 3
    assert "No space left on device" in one_line(done.stderr)


@full_disk
@pytest.mark.parametrize(
    "words", [("{capture}",), ("annotate", "{capture}"), ("redact", "{capture}")], ids=lambda words: words[0]
)
def test_output_file_on_a_full_disk_is_not_replaced(words: tuple[str, ...]) -> None:
    before = FULL.stat()
    done = run(
        *(word.format(capture=GOOD / "capture.pcap") for word in words), "--output", FULL, stdout=subprocess.PIPE
    )
    assert done.returncode == 3
    assert "/dev/full: cannot be written: No space left on device" in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    after = FULL.stat()
    assert (after.st_rdev, after.st_mode) == (before.st_rdev, before.st_mode)
    assert not list(Path("/dev").glob(".full*"))


def test_a_report_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")

    def pieces():
        yield "new"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        write_file(target, pieces())
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_new_reports_are_private_and_old_ones_keep_their_mode(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_file(target, ["x"])
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    target.chmod(0o644)
    write_file(target, ["y"])
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_a_broken_pipe_ends_quietly() -> None:
    with subprocess.Popen(
        [*COMMAND, str(CAPTURES / "tcp-01e-good-three-devices" / "capture.pcap"), "--format", "html", "--quiet"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) in (0, -signal.SIGPIPE)


# -- reading -------------------------------------------------------------------------------------------------------------


class Failing(io.BytesIO):
    """A file whose medium fails after ``good`` bytes."""

    def __init__(self, data: bytes, good: int, code: int) -> None:
        super().__init__(data)
        self.good, self.code = good, code

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self.good:
            raise OSError(self.code, os.strerror(self.code))
        return super().read(min(size if size and size > 0 else self.good, self.good - self.tell()))


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_read_error_in_the_middle(code: int) -> None:
    data = (GOOD / "capture.pcap").read_bytes()
    whole = analyze_capture(io.BytesIO(data), load_keys([GOOD / "keys"]), name="x")
    found = analyze_capture(Failing(data, 2000, code), load_keys([GOOD / "keys"]), name="x")
    assert found.status == "partial" and found.sha256 is None
    assert found.problems[0].code == "read-error" and os.strerror(code) in found.problems[0].message
    assert 0 < found.packets < whole.packets
    with pytest.raises(InputError, match=os.strerror(code)):
        analyze_capture(Failing(data, 0, code), load_keys([]), name="x")


def test_a_capture_still_being_written(tmp_path: Path) -> None:
    """Cut anywhere: everything before is used; complete once the writer is done."""
    data = (UDP / "capture.pcap").read_bytes()
    path = tmp_path / "growing.pcap"
    for size in (0, 10, 24, 30, 1000, 2500, len(data)):
        path.write_bytes(data[:size])
        done = run(path, "--format", "json", stdout=subprocess.PIPE)
        assert b"Traceback" not in done.stderr
        if size < 24:
            assert b'"failed"' in done.stdout and done.returncode == 3
        elif size in (24, len(data)):
            assert b'"status": "ok"' in done.stdout
        else:
            assert b'"partial"' in done.stdout and b"cut-short" in done.stdout and done.returncode == 3


def test_a_file_that_vanishes_between_listing_and_reading(tmp_path: Path) -> None:
    stays, goes = tmp_path / "a.pcap", tmp_path / "b.pcap"
    shutil.copy(GOOD / "capture.pcap", stays)
    report = analyze_paths([str(stays), str(goes)], load_keys([]))
    assert [capture.status for capture in report.captures] == ["ok", "failed"]
    assert report.captures[1].problems[0].code == "unreadable"
    assert "no such file" in report.captures[1].problems[0].message


def test_a_stale_network_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(Path, "open", stale)
    report = analyze_paths([str(GOOD / "capture.pcap")], load_keys([]))
    assert report.captures[0].status == "failed"
    assert os.strerror(errno.ESTALE).lower() in report.captures[0].problems[0].message


# -- clocks --------------------------------------------------------------------------------------------------------------


def with_times(data: bytes, seconds) -> bytes:  # noqa: ANN001
    """A pcap file whose packet times are ``seconds(number, old seconds)``."""
    found, at, number = bytearray(data), 24, 0
    while at + 16 <= len(found):
        old, _, size, _ = struct.unpack_from("<IIII", found, at)
        struct.pack_into("<I", found, at, seconds(number, old) & 0xFFFFFFFF)
        at, number = at + 16 + size, number + 1
    return bytes(found)


CLOCKS = {
    "backwards": lambda number, old: old - number * 7,
    "an hour back in the middle": lambda number, old: old - 3600 * (number >= 8),
    "a day on in the middle": lambda number, old: old + 86400 * (number >= 8),
    "all at once in 1970": lambda number, old: 0,
    "from 1970 to 2106": lambda number, old: 0 if number % 2 else 0xFFFFFFFF,
    "around the end of 2106": lambda number, old: 0xFFFFFFF0 + number,
}


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize(
    "folder", [GOOD, UDP, CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey"], ids=lambda path: path.name
)
def test_clocks_that_jump(folder: Path, clock: str, tmp_path: Path) -> None:
    ring = load_keys([folder / "keys"])
    data = (folder / "capture.pcap").read_bytes()
    intact = {
        s.verdict.code
        for s in analyze_capture(io.BytesIO(data), ring, name="x").sessions
        if s.verdict.certainty == "proven"
    }
    path = tmp_path / "x.pcap"
    path.write_bytes(with_times(data, CLOCKS[clock]))
    found = analyze_capture(path, ring, name="x")
    assert {session.verdict.code for session in found.sessions if session.verdict.certainty == "proven"} <= intact
    for form in ("text", "json", "html", "csv", "markdown") if folder == GOOD else ("json",):
        done = run(path, "--keys", folder / "keys", "--format", form, stdout=subprocess.PIPE)
        assert done.returncode in (0, 1, 3)  # 3: some time stamps were not used, which is said
        assert all(b"time stamp" in line for line in done.stderr.splitlines()), done.stderr


# -- signals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
    ids=["TERM", "INT", "HUP"],
)
def test_a_signal_ends_it_with_one_line(number: int, status: int, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    with subprocess.Popen(
        [*COMMAND, "-", "--format", "json", "--output", str(output)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write((GOOD / "capture.pcap").read_bytes()[:3000])
        process.stdin.flush()
        time.sleep(1.5)  # by now it waits for more
        process.send_signal(number)
        assert process.wait(30) == status
        assert one_line(process.stderr.read()) in ("analyze: terminated", "analyze: interrupted")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.tshark
def test_a_signal_leaves_no_copy_for_tshark_behind(tshark: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "-", "--engine", "tshark"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write((GOOD / "capture.pcap").read_bytes()[:3000])
        process.stdin.flush()
        until = time.monotonic() + 20
        while not list(tmp_path.iterdir()) and time.monotonic() < until:
            time.sleep(0.05)
        (copy,) = tmp_path.iterdir()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
        process.stderr.read()
    assert list(tmp_path.iterdir()) == []
