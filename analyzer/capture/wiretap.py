"""Capture files of other programs, by way of Wireshark's own reader where it is installed.

``editcap -F pcapng FILE -`` gives the same packets in the same order, so frame numbers stay Wireshark's; ``tshark -w -`` does
where there is no editcap. The output is read from a pipe and never kept.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, NamedTuple, cast

#: Seconds that the converter may take, and that its name for the format may.
_PATIENCE, _SHORT = 3600, 20
_CHUNK = 1 << 20

#: What other programs' files begin with, and what they are.
MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"snoop\x00\x00\x00", "a snoop capture"),
    (b"GMBU", "a Network Monitor capture"),
    (b"RTSS", "a Network Monitor capture"),
    (b"TRSNIFF data", "a Sniffer capture (DOS)"),
    (b"XCP\x00", "a Sniffer capture (Windows)"),
    (b"\xaa\xaa\xaa\xaa", "a 5View capture"),
    (b"\x05VNF", "a Visual Networks capture"),
    (b"TR\x00", "an HP-UX nettl trace"),
    (b"\x54\x52\x00\x64\x00", "an HP-UX nettl trace"),
    (b"iptrace ", "an AIX iptrace"),
    (b"btsnoop\x00", "a Bluetooth btsnoop capture"),
    (b"\x7fver", "a Peek (OmniPeek, AiroPeek) capture"),
    (b"\x00\x00\x02\x00\x12\x05\x00\x10", "a K12 capture"),
    (b"\x01\x10", "a LANalyzer capture"),
    (b"\x07\x10", "a LANalyzer capture"),
    (b"\xd4\xc3\xb2\xa2", "a damaged pcap capture"),
)


class Converted:
    """The converter's output, as a file that is read once; closing it ends the converter."""

    def __init__(self, command: list[str]) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._complaints
        )
        self._out = cast(IO[bytes], self._process.stdout)
        self._timer = threading.Timer(_PATIENCE, self._process.kill)
        self._timer.daemon = True
        self._timer.start()
        self.head = self._out.read(64)
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        if self.head:
            data, self.head = (self.head, b"") if size < 0 else (self.head[:size], self.head[size:])
            return data
        return self._out.read(size)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """`read` into a buffer."""
        view = memoryview(buffer)
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seekable(self) -> bool:
        """It is read once."""
        return False

    def complaint(self) -> str | None:
        """After its end: what it said when it did not read the file to its end."""
        status = self._process.wait()
        self._timer.cancel()
        if not status or self._complaints.closed:
            return None
        self._complaints.seek(0)
        lines = self._complaints.read(4096).decode("utf-8", "replace").splitlines()
        return next(
            (line.partition(": ")[2] or line for line in lines if not line.startswith("Running as")), f"status {status}"
        )[:160]

    def close(self) -> None:
        """Ends the converter."""
        self._timer.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._out.close()
        self._complaints.close()


def named(head: bytes) -> str | None:
    """What a file of another program is by its first bytes; None when they say nothing."""
    return next((name for magic, name in MAGICS if head.startswith(magic)), None)


def installed() -> bool:
    """Whether something of Wireshark's can convert files."""
    return shutil.which("editcap") is not None or shutil.which("tshark") is not None


class Facts(NamedTuple):
    """Wireshark's name for a file's format ("other" where it does not tell), and whether all its packets are Ethernet
    in a way that pcapng cannot say."""

    format: str = "other"
    plain_ethernet: bool = False


def facts(path: Path) -> Facts:
    """What Wireshark's capinfos says of a file."""
    capinfos = shutil.which("capinfos")
    if capinfos is None:
        return Facts()
    try:
        done = subprocess.run([capinfos, "-tE", str(path.resolve())], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SHORT, check=False)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return Facts()
    lines = [line.strip() for line in done.stdout.decode("utf-8", "replace").splitlines()]
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    kinds = [line.rpartition(" (")[0] for line in lines if line.endswith(")") and ":" not in line]
    encapsulation = said.get("File encapsulation", "").strip()
    odd = encapsulation.startswith("Ethernet with") or (
        encapsulation.startswith("Per packet") and set(kinds) == {"Ethernet"}
    )
    return Facts(said.get("File type", "other").strip()[:60], odd)


def converted(path: Path, what: Facts) -> Converted | None:
    """The file as pcapng; None when Wireshark is not installed, or does not read it either."""
    file = str(path.resolve())
    if (editcap := shutil.which("editcap")) is not None:
        command = [editcap, "-F", "pcapng", *(("-T", "ether") if what.plain_ethernet else ()), file, "-"]
    elif (tshark := shutil.which("tshark")) is not None:
        command = [tshark, "-n", "-r", file, "-F", "pcapng", "-w", "-"]
    else:
        return None
    try:
        found = Converted(command)
    except OSError:
        return None
    if not found.head:
        found.close()
        return None
    return found


def digest(path: Path) -> str | None:
    """SHA-256 of a file as it is stored; None when it cannot be read."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                found.update(chunk)
    except OSError:
        return None
    return found.hexdigest()
