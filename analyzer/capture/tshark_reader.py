"""The same packets by way of tshark and pyshark, for what only Wireshark reads: other file formats, 802.11 with keys, rare links.

How it works. One tshark per capture dissects every frame to JSON with raw bytes; a `Packet` is put together from the
IP layer and the TCP, UDP or ICMP header as captured. Where there is more than one IP layer, our own decoder goes on from the
outermost (tshark's JSON has one of each name). What our own reader can say of the file (its format, whether it is cut short,
what is encrypted) it says here too; for a format it does not know, tshark's word is all there is. What only our own
reader opens (archives, text, files one behind the other) tshark gets as a pcapng file of the records in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import shutil
import signal
import struct
import tempfile
import threading
import zlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Literal

from analyzer.capture import pcap, pcapng, unread
from analyzer.capture.decode import Decoder
from analyzer.capture.encapsulation import UDP_PORTS
from analyzer.capture.index import Flows
from analyzer.capture.reader import HEAD, open_capture
from analyzer.capture.records import NO_PACKET, Limits, Notes, Record
from analyzer.errors import InputError
from analyzer.packet import ICMP, ICMPV6, TCP, UDP, Packet, Problem

_TCP = Struct("!HHIIBBH").unpack_from
_UDP = Struct("!HHH").unpack_from
#: tcp.seq_raw and the JSON form used here came with Wireshark 3.2.
_OLDEST = (3, 2)
_CHUNK = 1 << 20
#: Seconds a tshark that has closed its output has to end.
_EXIT_S = 10
_NO_LIMITS = Limits()
#: LINKTYPE_USER0, for records that are no packets and only count.
_NOTHING = 147
#: Layers that carry others.
_TUNNELS = frozenset({"gre", "ah", "esp", "etherip", "mpls", "l2tp", "gtp", "erspan"})


def available() -> bool:
    """Whether tshark is installed and new enough."""
    try:
        TsharkCapture._check()
    except InputError:
        return False
    return True


class TsharkCapture:
    """A capture read by tshark: iterable once over its packets, the attributes (those of `Capture`) final afterwards."""

    def __init__(self, source: Path | BinaryIO, *, name: str, limits: Limits = _NO_LIMITS) -> None:
        """Raises InputError when tshark is missing or too old, or the input cannot be opened."""
        self.name = name
        self._check()
        self._limits = limits
        self._copy: Path | None = None
        if isinstance(source, Path):
            if not source.is_file():
                raise InputError(name, "is a folder" if source.is_dir() else "no such file")
            self._path = source
        else:
            self._path = self._copy = _kept(source, name)
        self.format: str | None = None
        self.problems: list[Problem] = []
        self.packets = self.bytes = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.digits = 6
        self.link_types: list[str] = []
        self.secrets: list[bytes] = []
        self.names: dict[bytes, str] = {}
        self.joints: list[int] = []
        #: What our own reader has against the file.
        self._refusal: InputError | None = None
        self._own_status: Literal["ok", "partial"] = "ok"
        self._encrypted: Problem | None = None
        self._inner = Decoder(Notes())
        self._read_any = False
        #: The link type of all frames that our own decoder reads, if there is one.
        self._link: int | None = None
        self.sha256: str | None = None

    @staticmethod
    def _check() -> None:
        if shutil.which("tshark") is None:
            raise InputError(
                "--engine tshark",
                "tshark is not installed",
                "install it (Debian, Ubuntu: apt install tshark) or leave the option out",
            )
        from pyshark.tshark.tshark import get_tshark_version

        try:
            version = get_tshark_version()
            found = tuple(int(part) for part in str(version).split(".")[:2])
        except Exception as error:  # pyshark raises its own and asyncio's errors here
            raise InputError("--engine tshark", f"tshark does not tell its version ({type(error).__name__})") from error
        if found < _OLDEST:
            raise InputError("--engine tshark", f"tshark {version} is too old", "version 3.2 or newer is needed")

    @property
    def status(self) -> Literal["ok", "partial"]:
        """Partial: something in the file was not used."""
        closed = any(problem.code in unread.CODES for problem in self.problems)
        return "partial" if closed and not self._read_any else self._own_status

    def screened(self, flows: Flows) -> Iterator[Packet]:
        """All packets: tshark has looked at every one of them already."""
        for packet in self:
            if self._inner.inexact:
                flows.lose()
            yield packet

    def __iter__(self) -> Iterator[Packet]:
        try:
            known = self._own_facts()
            if known and self.packets and not self._direct():
                self._rewrite()
            yield from self._dissected(known)
        finally:
            if self._copy is not None:
                self._copy.unlink(missing_ok=True)

    def _own_facts(self) -> bool:
        """What our own reader says of the file; False when it does not know the format."""
        try:
            own = open_capture(self._path, name=self.name, limits=self._limits, foreign=False)
        except InputError as error:
            self._refusal = error
            with self._path.open("rb") as stream:
                digest = hashlib.sha256()
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
            self.sha256 = digest.hexdigest()
            return False
        for _ in own:
            pass
        # What only our own reader cannot read is for tshark to read.
        self.problems = [problem for problem in own.problems if problem.code not in (unread.LINK, unread.WIRELESS)]
        self._encrypted = next((problem for problem in own.problems if problem.code == unread.WIRELESS), None)
        self._own_status = own.status if own.damaged else "ok"
        self.format = own.format
        self._link = own.only_link
        self.packets, self.bytes, self.first_ns, self.last_ns = own.packets, own.bytes, own.first_ns, own.last_ns
        self.joints = own.joints
        self.digits, self.link_types, self.secrets, self.names, self.sha256 = (
            own.digits,
            own.link_types,
            own.secrets,
            own.names,
            own.sha256,
        )
        return True

    def _direct(self) -> bool:
        """Whether tshark reads the file to its end as it is: one pcap or pcapng file, at most gzip'ed."""
        if self.format == "text" or any(problem.code == "joined-files" for problem in self.problems):
            return False
        with self._path.open("rb") as stream:
            head = stream.read(HEAD)
        if head.startswith(b"\x1f\x8b"):
            try:
                with gzip.open(self._path) as stream:
                    head = stream.read(HEAD)
            except (OSError, EOFError, zlib.error):
                return False
        return pcap.read_header(head) is not None or pcapng.looks_like(head)

    def _rewrite(self) -> None:
        """Give tshark the records instead of the file."""
        own = open_capture(self._path, name=self.name, limits=self._limits, foreign=False)
        with tempfile.NamedTemporaryFile(prefix="analyze-", suffix=".pcapng", delete=False) as kept:  # mode 0600
            before, self._copy = self._copy, Path(kept.name)
            if before is not None:
                before.unlink(missing_ok=True)
            try:
                kept.writelines(_pcapng(own.records()))
            except OSError as error:
                raise InputError(self.name, f"cannot be copied for tshark: {error.strerror or error}") from error
        self._path = self._copy

    def _dissected(self, known: bool) -> Iterator[Packet]:
        from pyshark.capture.capture import TSharkCrashException

        if known and not self.packets:
            return
        seen, deciphered, crash, before = 0, 0, None, _child_signals()
        capture = _patient()(
            str(self._path), keep_packets=False, use_json=True, include_raw=True,
            custom_parameters=["-n", "-o", "tcp.desegment_tcp_streams:FALSE", "-o", "udp.process_info:FALSE"],
        )  # fmt: skip
        try:
            for frame in _frames(capture):
                reason = self._limits.stop() if self._limits.stop is not None else None
                if reason is not None:
                    self._own_status = "partial"
                    self.problems.append(reason)
                    return
                if self._limits.packets is not None and seen >= self._limits.packets:
                    return  # said by our own reader
                seen += 1
                if not known:
                    self._count(frame)
                packets = self._packets(frame)
                self._read_any |= bool(packets)
                if packets and "wlan" in {layer.layer_name for layer in frame.layers} and _protected(frame):
                    deciphered += 1
                yield from packets
        except TSharkCrashException as error:
            if not known and not self.packets:
                raise self._unreadable(str(error).split("\n")[0][:160]) from error
            crash = error
        finally:
            with contextlib.suppress(Exception):  # a tshark that died already has nothing to close
                capture.close()
            capture._running_processes.clear()  # else pyshark's __del__ closes, and complains, once more
            _put_back(before)
        if self._encrypted is not None and (self._encrypted.packets or 0) > deciphered:
            count = (self._encrypted.packets or 0) - deciphered
            self.problems += unread.told(unread.WIRELESS, self._encrypted.frame or 0, count)
        # A file that is cut off ends tshark with an error too: with our own count at hand, that decides.
        if seen < self.packets if known else crash is not None:
            self._own_status = "partial"
            of = f" of {self.packets:,}" if known else ""
            self.problems.append(Problem("read-error", f"tshark stopped after {seen:,}{of} packets", None))

    def _unreadable(self, said: str) -> InputError:
        """tshark's refusal, with what our own reader knows of the file and what helps."""
        known = self._refusal
        if known is None or not known.hint or known.problem == "not a capture file":
            return InputError(self.name, "tshark cannot read it", said)
        return InputError(self.name, f"{known.problem}; tshark cannot read it either", known.hint)

    def _packets(self, frame: Any) -> list[Packet]:  # noqa: ANN401 - pyshark has no types
        """The packets of a frame: tshark's, or our own decoder's where something is inside something."""
        names = [layer.layer_name for layer in frame.layers]
        raw = {
            layer.layer_name: layer for layer in frame.layers if layer.layer_name in ("ip_raw", "ipv6_raw", "frame_raw")
        }
        if "frame_raw" in raw and ("ip_raw" in raw or "ipv6_raw" in raw) and _nested(names, frame):
            data = _raw(raw["frame_raw"])
            number, time_ns = int(frame.number), _time(frame)
            places = [data.find(_raw(layer)) for name, layer in raw.items() if name != "frame_raw"]
            at = min((place for place in places if place >= 0), default=-1)
            found = self._inner.ip_packets(number, time_ns, data[at:], int(frame.length) - at) if at >= 0 else []
            if found:
                return found
        try:
            packet = _packet(frame)
        except (ValueError, struct.error):  # headers so damaged that tshark gives no address or number
            packet = None
        wireless = "wlan" in names and not _protected(frame)
        if self._link is not None and "frame_raw" in raw and (packet is None or wireless):
            # Aggregates of 802.11 and pseudowires are several layers of one name, or none.
            data = _raw(raw["frame_raw"])
            first = self._inner.decode(int(frame.number), _time(frame), self._link, data, int(frame.length))
            return [] if first is None else [first, *self._inner.taken()]
        return [] if packet is None else [packet]

    def _count(self, frame: Any) -> None:  # noqa: ANN401 - pyshark has no types
        time_ns = int(Decimal(frame.sniff_timestamp) * 1_000_000_000)
        self.format = self.format or "other"
        self.packets += 1
        self.bytes += int(frame.length)
        self.first_ns = time_ns if self.first_ns is None else min(self.first_ns, time_ns)
        self.last_ns = time_ns if self.last_ns is None else max(self.last_ns, time_ns)


def _frames(capture: Any) -> Iterator[Any]:  # noqa: ANN401 - pyshark has no types
    """pyshark's frames; what tshark shows of a file that is no capture (XML, JSON) has no time, which pyshark does not expect."""
    from pyshark.capture.capture import TSharkCrashException

    frames = iter(capture)
    while True:
        try:
            frame = next(frames)
        except StopIteration:
            return
        except KeyError as error:
            raise TSharkCrashException("no packets in it") from error
        yield frame


def _pcapng(records: Iterable[Record]) -> Iterator[bytes]:
    """A pcapng file (draft-ietf-opsawg-pcapng sections 4.1 to 4.3) of ``records``, times in ns; frames keep their numbers."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + size + body + size

    yield block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    interfaces: dict[int, int] = {}
    for _, time_ns, link_type, data, wire in records:
        link = link_type if link_type != NO_PACKET else _NOTHING
        if link not in interfaces:
            interfaces[link] = len(interfaces)
            yield block(1, struct.pack("<HHIHHB3xI", link, 0, 0, 9, 1, 9, 0))
        time_ns = min(max(time_ns, 0), (1 << 64) - 1)
        head = (interfaces[link], time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), wire & 0xFFFFFFFF)
        yield block(6, struct.pack("<IIIII", *head) + data)


def _kept(source: BinaryIO, name: str) -> Path:
    """A stream as a file, which tshark needs; readable by its owner only."""
    with tempfile.NamedTemporaryFile(prefix="analyze-", suffix=".pcap", delete=False) as kept:  # mode 0600
        try:
            shutil.copyfileobj(source, kept)
        except OSError as error:
            Path(kept.name).unlink(missing_ok=True)
            raise InputError(name, f"cannot be copied for tshark: {error.strerror or error}") from error
        except BaseException:
            Path(kept.name).unlink(missing_ok=True)
            raise
    return Path(kept.name)


@cache
def _child_signals() -> tuple[Any, int] | None:
    """What this process does when a child ends, and asyncio's way of being woken by it; None where that is not ours to set."""
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return None
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    return signal.getsignal(signal.SIGCHLD), wakeup


def _put_back(before: tuple[Any, int] | None) -> None:
    """Undo what pyshark leaves behind: a loop that nobody runs any more is woken by every child, until its pipe is full."""
    if before is not None:
        signal.signal(signal.SIGCHLD, before[0])
        signal.set_wakeup_fd(before[1], warn_on_full_buffer=False)


def _patient() -> Any:  # noqa: ANN401 - pyshark has no types
    """pyshark's file reader, waiting for tshark's exit status.

    pyshark kills a tshark that has closed its output and not ended yet, and takes one that a signal ended for a success:
    either way a file that was read by half would look like a whole one.
    """
    import pyshark
    from pyshark.capture.capture import TSharkCrashException

    class Patient(pyshark.FileCapture):  # type: ignore[misc]  # untyped base
        async def _cleanup_subprocess(self, process: Any) -> None:  # noqa: ANN401
            if self._eof_reached and process.returncode is None:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(process.wait(), _EXIT_S)
            if process.returncode is None:
                await super()._cleanup_subprocess(process)
            elif process.returncode and self._eof_reached:
                raise TSharkCrashException(self._last_error_line or f"tshark ended with status {process.returncode}")

    return Patient


def _packet(frame: Any) -> Packet | None:  # noqa: ANN401
    """The innermost TCP, UDP or ICMP packet of a frame; None when there is none or its headers are cut."""
    layers = {}
    for layer in frame.layers:
        layers[layer.layer_name] = layer  # the last of a name is the innermost
    ip, v6 = layers.get("ip"), layers.get("ipv6")
    if v6 is not None and (ip is None or _last(frame, "ipv6") > _last(frame, "ip")):
        ip, ttl, ident = v6, _number(v6, "hlim"), 0
    elif ip is not None:
        ttl, ident = _number(ip, "ttl"), _number(ip, "id")
    else:
        return None
    number, time_ns = int(frame.number), int(Decimal(frame.sniff_timestamp) * 1_000_000_000)
    source, target = ip_address(_text(ip, "src")).packed, ip_address(_text(ip, "dst")).packed
    if "tcp" in layers and "tcp_raw" in layers:
        header = _raw(layers["tcp_raw"])
        if len(header) < 16:
            return None
        source_port, target_port, sequence, acknowledgement, _, flags, window = _TCP(header)
        size = (header[12] >> 4) << 2
        payload = _bytes(layers["tcp"], "payload")
        return Packet(number, time_ns, TCP, source, target, source_port, target_port, payload, _number(layers["tcp"], "len") or len(payload),
                      ttl, ident, sequence, acknowledgement, flags, window, header[:size])  # fmt: skip
    if "udp" in layers and "udp_raw" in layers:
        header = _raw(layers["udp_raw"])
        if len(header) < 8:
            return None
        source_port, target_port, length = _UDP(header)
        payload = _bytes(layers["udp"], "payload")
        return Packet(
            number,
            time_ns,
            UDP,
            source,
            target,
            source_port,
            target_port,
            payload,
            max(length - 8, len(payload)),
            ttl,
            ident,
            header=header[:8],
        )
    for name, protocol in (("icmp", ICMP), ("icmpv6", ICMPV6)):
        if name in layers and f"{name}_raw" in layers:
            body = _raw(layers[f"{name}_raw"])
            return Packet(number, time_ns, protocol, source, target, 0, 0, body, len(body), ttl, ident)
    return None


def _time(frame: Any) -> int:  # noqa: ANN401
    return int(Decimal(frame.sniff_timestamp) * 1_000_000_000)


def _nested(names: list[str], frame: Any) -> bool:  # noqa: ANN401
    """Whether there is more than one IP layer, or a tunnel."""
    if "ip_raw" in names and "ipv6_raw" in names:
        return True
    if not _TUNNELS.isdisjoint(names):
        return True
    for layer in frame.layers:
        # pyshark gives the place of a layer only where there are several of its name.
        if layer.layer_name in ("ip_raw", "ipv6_raw") and isinstance(layer.value, list):
            return True
        if layer.layer_name == "udp_raw":
            header = _raw(layer)
            if len(header) >= 6 and not {*_UDP(header)[:2]}.isdisjoint(UDP_PORTS):
                return True
    return False


def _protected(frame: Any) -> bool:  # noqa: ANN401
    """An 802.11 frame marked as encrypted."""
    raw = next((layer for layer in frame.layers if layer.layer_name == "wlan_raw"), None)
    header = _raw(raw) if raw is not None else b""
    return len(header) >= 2 and bool(header[1] & 0x40)


def _last(frame: Any, name: str) -> int:  # noqa: ANN401
    return max(index for index, layer in enumerate(frame.layers) if layer.layer_name == name)


def _field(layer: Any, name: str) -> Any:  # noqa: ANN401
    try:
        return layer.get_field(name)
    except AttributeError:
        return None


def _text(layer: Any, name: str) -> str:  # noqa: ANN401
    found = _field(layer, name)
    return str(found[-1] if isinstance(found, list) else found)


def _number(layer: Any, name: str) -> int:  # noqa: ANN401
    found = _field(layer, name)
    return int(str(found), 0) if found is not None else 0


def _bytes(layer: Any, name: str) -> bytes:  # noqa: ANN401
    found = _field(layer, name)
    return bytes.fromhex(str(found).replace(":", "")) if found is not None else b""


def _raw(layer: Any) -> bytes:  # noqa: ANN401
    value = layer.value
    return bytes.fromhex(value[0] if isinstance(value, list) else str(value))
