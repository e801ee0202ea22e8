"""Packets in text: made by tshark and text tools of genuine captures, the verdict is the original's."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture import open_capture
from analyzer.errors import InputError
from analyzer.keys import load_keys
from analyzer.pipeline import Options, analyze_capture
from tests.analyzer.capture.wrappings import CAPTURES, frames

CASES = ("tcp-02a-cloud-wrong-devkey-brewskey", "dtls-03-wrong-server-key-on-device")


def _source(case: str) -> Path:
    return next((CAPTURES / case).glob("capture*.pcap"))


def _verdicts(source: Path | io.BytesIO, case: str) -> list[tuple[object, ...]]:
    report = analyze_capture(source, load_keys([CAPTURES / case / "keys"]), Options(jobs=1), name="c")
    return [
        (s.verdict.code, s.verdict.certainty, s.device, s.cloud, s.first_frame, s.last_frame) for s in report.sessions
    ]


def tcpdump(case: str, *, link: bool = True, text: bool = False, date: bool = False) -> bytes:
    """As tcpdump's hex_and_ascii_print_with_offset writes it (print-ascii.c): two bytes a group, eight groups a line."""
    lines = []
    for time_ns, frame in frames(_source(case)):
        seconds, rest = divmod(time_ns, 1_000_000_000)
        of_day = seconds % 86_400
        day = "2026-11-21 " if date else ""
        lines.append(
            f"{day}{of_day // 3600:02}:{of_day // 60 % 60:02}:{of_day % 60:02}.{rest // 1000:06} IP 192.0.2.1.5 > 192.0.2.2.6: Flags [S]"
        )
        data = frame if link else frame[14:]
        for at in range(0, len(data), 16):
            part = data[at : at + 16]
            groups = " ".join(part[two : two + 2].hex() for two in range(0, len(part), 2))
            letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
            lines.append(f"\t0x{at:04x}:  {groups:<39}" + (f"  {letters}" if text else ""))
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "options", [{}, {"link": False}, {"text": True}, {"date": True}, {"text": True, "link": False}]
)
def test_tcpdump(case: str, options: dict[str, bool]) -> None:
    kept = [data for _, data in frames(_source(case))]
    got = [data for *_, data, _ in open_capture(io.BytesIO(tcpdump(case, **options)), name="c").records()]
    if options.get("link", True):
        assert got == kept
    else:
        assert [data[14:] for data in got] == [data[14:] for data in kept]


@pytest.mark.parametrize("case", CASES)
def test_times_of_day_are_enough_for_the_verdict(case: str) -> None:
    found = _verdicts(io.BytesIO(tcpdump(case, date=True)), case)
    assert [row[:4] for row in found] == [row[:4] for row in _verdicts(_source(case), case)]
    assert found


def test_text_of_powershell_is_utf_16() -> None:
    text = tcpdump(CASES[0]).decode().replace("\n", "\r\n")
    for encoding in ("utf-16-le", "utf-16-be"):
        data = "\ufeff".encode(encoding) + text.encode(encoding)
        assert _verdicts(io.BytesIO(data), CASES[0]) == _verdicts(io.BytesIO(tcpdump(CASES[0])), CASES[0])


@pytest.mark.tshark
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("options", ["-x -V", "-T json -x", "-T ek -x", "-T pdml", "-P -x -t e", "-P -x"])
def test_tshark_s_text(options: str, case: str, tshark: str) -> None:
    text = subprocess.run([tshark, "-r", str(_source(case)), *options.split()], check=True, capture_output=True).stdout
    assert _verdicts(io.BytesIO(text), case) == _verdicts(_source(case), case)


@pytest.mark.tshark
@pytest.mark.parametrize("options", ["", "-V", "-T json", "-T ek"])
def test_text_without_the_bytes_says_what_to_do(options: str, tshark: str, tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_bytes(
        subprocess.run([tshark, "-r", str(_source(CASES[0])), *options.split()], check=True, capture_output=True).stdout
    )
    with pytest.raises(InputError) as raised:
        open_capture(path, name="c")
    assert "without their bytes" in raised.value.problem or "text" in raised.value.problem
    assert "bytes" in raised.value.hint


@pytest.mark.tshark
@pytest.mark.parametrize("kind", ["netmon1", "ngsniffer", "lanalyzer", "nettl", "commview-ncf"])
def test_formats_that_wireshark_reads(kind: str, tshark: str, tmp_path: Path) -> None:
    """Those that are not in `test_matrix`."""
    for case in CASES[:1]:
        path = tmp_path / "c.bin"
        made = subprocess.run(["editcap", "-F", kind, str(_source(case)), str(path)], capture_output=True, check=False)
        if made.returncode:
            pytest.skip(made.stderr.decode())
        assert [row[:4] for row in _verdicts(path, case)] == [row[:4] for row in _verdicts(_source(case), case)]
        report = analyze_capture(path, load_keys([]), Options(jobs=1))
        assert report.sha256 is not None
        assert report.format not in ("pcap", "pcapng", None)


def test_without_wireshark_the_line_says_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.snoop"
    path.write_bytes(b"snoop\0\0\0" + bytes(60))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="a snoop capture .*install Wireshark.*editcap"):
        open_capture(path, name="c")


@pytest.mark.parametrize("tool", ["xxd", "hexdump -C"])
def test_a_hex_dump_of_the_file_itself_is_named(tool: str) -> None:
    data = _source(CASES[0]).read_bytes()[:400]
    lines = []
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        if tool == "xxd":
            lines.append(
                f"{at:08x}: " + " ".join(part[two : two + 2].hex() for two in range(0, 16, 2)) + "  ................"
            )
        else:
            lines.append(f"{at:08x}  {part[:8].hex(' ')}  {part[8:].hex(' ')}  |................|")
    with pytest.raises(InputError, match="hex dump of a capture file"):
        open_capture(io.BytesIO("\n".join(lines).encode()), name="c")


def test_what_a_windows_shell_did_to_a_capture_is_named(tmp_path: Path) -> None:
    data = _source(CASES[0]).read_bytes()
    path = tmp_path / "c.pcap"
    path.write_bytes(b"\xff\xfe" + data.decode("cp437").encode("utf-16-le"))
    with pytest.raises(InputError, match="PowerShell"):
        open_capture(path, name="c")
    path.write_bytes(data.replace(b"\n", b"\r\n"))
    report = analyze_capture(path, load_keys([]), Options(jobs=1))
    assert "transferred-as-text" in [problem.code for problem in report.problems]
    assert report.status == "partial"


def test_a_log_is_no_dump(tmp_path: Path) -> None:
    path = tmp_path / "device.log"
    path.write_text(
        "0000012345 [system] INFO: Cloud: connecting\n0000012999 [system] ERROR: handshake failed -19\n" * 30
    )
    with pytest.raises(InputError, match="text, not a capture file"):
        open_capture(path, name="c")


@settings(max_examples=200)
@given(st.data())
def test_any_text_never_raises_but_an_input_error(data: st.DataObject) -> None:
    text = bytearray(tcpdump(CASES[0])[:4000])
    for _ in range(data.draw(st.integers(1, 20))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(9, 126))
    with contextlib.suppress(InputError):
        list(open_capture(io.BytesIO(bytes(text)), name="c"))
