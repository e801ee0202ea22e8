"""Verdicts while packets arrive: the pipeline's steps, one ended conversation at a time.

How it works. dumpcap captures (it alone has the privilege to, we need none) and hands its pcapng through a pipe; a thread
reads packets from it, so that time passes for silent conversations too. Of what ended, the latest sessions of a device
are kept, because one session is evidence about another. Told to stop, dumpcap ends its file, what is still in the pipe
is read, and sessions in progress get the verdict that a capture ending there would give them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from queue import Empty, Queue
from typing import Any, BinaryIO, Protocol, cast

from analyzer import conversations
from analyzer.capture import Capture, open_capture
from analyzer.case import Case
from analyzer.conversations import TcpConversation, UdpConversation
from analyzer.conversations.copies import grouped, together
from analyzer.copies import once
from analyzer.errors import InputError
from analyzer.examine import examine_tcp, resolve
from analyzer.flows import dissect
from analyzer.judging import in_context, judged
from analyzer.keys import KeyRing
from analyzer.model import Session
from analyzer.names import NameLog
from analyzer.packet import Packet
from analyzer.pipeline import Options
from analyzer.unreached import stored_hosts

_SECOND = 1_000_000_000
#: Sessions of a device that later ones are judged beside, and devices remembered.
_KEPT, _DEVICES = 24, 5_000
#: Conversations that a copy may follow.
_ENDED = 64
#: Packets that may wait between the reader and the analysis; more wait in the pipe, and then in dumpcap.
_QUEUE = 20_000
_TICK_S = 1.0
#: dumpcap's own complaint, when it cannot start.
_COMPLAINT = 2_000


class Desk:
    """Takes packets, gives sessions as they end."""

    def __init__(self, ring: KeyRing, options: Options = Options(), *, end_after_s: float = 5.0) -> None:  # noqa: B008 - frozen
        """``end_after_s``: how long after both sides closed a session is held for stragglers."""
        self._ring = ring
        self._names = NameLog()
        ports = {kind: frozenset(port for of, port in options.ports if of == kind) for kind in ("tcp", "udp")}
        self._limits = conversations.Options(
            tcp_ports=ports["tcp"], udp_ports=ports["udp"], closed_ns=int(end_after_s * _SECOND)
        )
        self._table = conversations.Conversations(self._limits, on_other=self._names.observe)
        #: The latest cases by device address, the address used last at the end.
        self._recent: dict[str, deque[Case]] = defaultdict(lambda: deque(maxlen=_KEPT))
        #: What ended last: the same conversation may come again from another point of capture.
        self._ended: deque[TcpConversation | UdpConversation] = deque(maxlen=_ENDED)
        self._number = 0
        self._now = 0
        self.digits = 9

    def with_secrets(self, blocks: list[bytes]) -> None:
        """Session secrets that the capture itself brings."""
        self._ring = self._ring.with_secrets(blocks)

    def feed(self, packet: Packet) -> list[Session]:
        """The sessions that this packet ends."""
        self._now = max(self._now, packet.time_ns)
        return self._judged(self._table.feed(packet))

    def tell_time(self, time_ns: int) -> list[Session]:
        """The sessions that are over by now, when no packet says so."""
        self._now = max(self._now, time_ns)
        return self._judged(self._table.expire(time_ns))

    def finish(self) -> list[Session]:
        """The sessions still open when the capture ends."""
        return self._judged(self._table.finish())

    def _judged(self, ended: Iterable[TcpConversation | UdpConversation]) -> list[Session]:
        new: list[Case] = []
        flows: list[UdpConversation] = []
        for conversation in ended:
            if self._told(conversation):
                continue
            if isinstance(conversation, TcpConversation):
                case = examine_tcp(conversation, self._ring)
                new.extend(() if case is None else (case,))
            else:
                flows.append(conversation)
        new = once(new, self._ring)
        for flow in together(flows):
            new.extend(dissect(flow, self._limits.cloud_udp))
        if not new:
            return []
        new.sort(key=lambda case: (case.first_frame, case.last_frame))
        resolve(
            new,
            self._names.lookups({ip_address(case.device.address).packed for case in new}, stored_hosts(self._ring)),
        )
        for case in new:
            self._remember(case)
        addresses = dict.fromkeys(case.device.address for case in new)
        around = [case for address in addresses for case in self._recent.get(address, ())]
        around += [case for case in new if case not in around]
        context = in_context(around, self._ring, self._now, self._names.probes())
        sessions = judged(new, context, self.digits, self._number + 1)
        self._number += len(sessions)
        return list(sessions)

    def _told(self, conversation: TcpConversation | UdpConversation) -> bool:
        """It is a copy of one that ended before (the other side of a NAT); remembers it if not."""
        if any(len(group) > 1 and group[-1] is conversation for group in self._copies(conversation)):
            return True
        self._ended.append(conversation)
        return False

    def _copies(self, conversation: TcpConversation | UdpConversation) -> list[list[Any]]:
        alike = [item for item in self._ended if type(item) is type(conversation)]
        return grouped([*alike, conversation])

    def _remember(self, case: Case) -> None:
        cases = self._recent.pop(case.device.address, deque(maxlen=_KEPT))
        cases.append(case)
        self._recent[case.device.address] = cases
        while len(self._recent) > _DEVICES:
            del self._recent[next(iter(self._recent))]


class Sink(Protocol):
    """Where a copy of the stream goes."""

    def write(self, data: bytes, /) -> object:
        """Take bytes."""

    def close(self) -> object:
        """There are no more."""


class _Copy:
    """A stream that leaves a copy of what is read from it in a file."""

    def __init__(self, stream: BinaryIO, copy: Sink | None) -> None:
        self._stream, self._copy = stream, copy

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        if self._copy is not None and data:
            self._copy.write(data)
        return data

    def seekable(self) -> bool:
        return False


class Interface:
    """A running dumpcap."""

    def __init__(
        self, name: str, *, only: str = "", copy: Path | Sink | None = None, program: str | None = None
    ) -> None:
        """Start capturing on interface ``name``; ``only`` is a capture filter (pcap-filter(7)). Raises InputError.

        ``copy``: a new file, or something to write to, that gets the pcapng stream as it comes; it is closed at the end.
        """
        found = program or shutil.which("dumpcap")
        if found is None:
            raise InputError(name, "dumpcap is not installed", "it comes with Wireshark (tshark)")
        self.name = name
        self._copy: Sink | None = _private(copy) if isinstance(copy, Path) else copy
        words = [found, "-q", "-i", name, *(["-f", only] if only else []), "-w", "-"]
        # In a session of its own: Ctrl-C comes to us, and we end it in order.
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, start_new_session=True
        )  # fmt: skip
        self._packets: Queue[Packet | None] = Queue(_QUEUE)
        self.capture: Capture | None = None
        self._problem: InputError | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            stream = cast(BinaryIO, _Copy(cast(BinaryIO, self._process.stdout), self._copy))
            self.capture = open_capture(stream, name=self.name)
            for packet in self.capture:
                self._packets.put(packet)
        except InputError as error:
            self._problem = error
        finally:
            if self._copy is not None:
                self._copy.close()
            self._packets.put(None)

    def packets(self) -> Iterator[Packet | None]:
        """Packets as they come, None when there was none for a second; ends when dumpcap does. Raises InputError when it cannot capture."""
        while True:
            try:
                packet = self._packets.get(timeout=_TICK_S)
            except Empty:
                yield None
                continue
            if packet is None:
                break
            yield packet
        if self._problem is not None:
            raise InputError(
                self.name, self._complaint(), "see `dumpcap -D`; capturing needs dumpcap's capabilities, not root"
            )

    def _complaint(self) -> str:
        self._process.wait()
        assert self._process.stderr is not None
        text = self._process.stderr.read(_COMPLAINT).decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("Capturing on", "File:"))]
        return lines[0].removeprefix("dumpcap: ") if lines else "dumpcap ended without a packet"

    def stop(self) -> None:
        """Have dumpcap end its capture; what it caught before still comes out of :meth:`packets`."""
        with suppress(OSError):
            self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()


def _private(path: Path) -> BinaryIO:
    """A new file for the owner alone. Raises InputError."""
    try:
        return cast(BinaryIO, os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb", buffering=0))
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror or error}") from error


def sessions(interface: Interface, desk: Desk) -> Iterator[Session]:
    """Sessions as they end, until dumpcap does; a KeyboardInterrupt while waiting stops dumpcap and goes on to the end."""
    stream = interface.packets()
    stopped = False
    secrets = 0
    while True:
        try:
            packet = next(stream, _END)
            if packet is _END:
                break
            capture = interface.capture
            if capture is not None and len(capture.secrets) != secrets:
                secrets = len(capture.secrets)
                desk.with_secrets(capture.secrets)
            if capture is not None:
                desk.digits = capture.digits
            found = desk.feed(cast(Packet, packet)) if packet is not None else desk.tell_time(time.time_ns())
        except KeyboardInterrupt:
            if stopped:
                raise
            stopped = True
            interface.stop()
            stream = interface.packets()
            continue
        yield from found
    yield from desk.finish()


_END = object()
