"""Read a device's log, whatever wrote it, in bounded memory and linear time; secrets never leave this module."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, cast

from analyzer.devicelog.attempts import attempts_of
from analyzer.devicelog.prefix import Before, hide_keys, learned, strip_prefix
from analyzer.devicelog.records import DeviceLog, LogAttempt, LogEvent
from analyzer.devicelog.spoken import may_speak
from analyzer.devicelog.stored import StoredLog
from analyzer.errors import InputError
from analyzer.firmware.lines import LONGEST, LineKind, match_line, number_of
from analyzer.model import Certainty, Finding

#: The device's clock is 32 bits of milliseconds: it starts anew after 49.7 days without a restart.
_WRAP = 1 << 32
#: Threads may log a little out of order; a clock that goes back further has been reset.
_JITTER_MS = 2000
_TEXT = 200
#: So many lines are looked at before the first is read.
_LEARN = 400
#: So many lines that are no log lines are kept.
_LOOSE = 200
#: A kind of line is known by so many characters, without digits; so many of a kind are asked; so many kinds are counted.
_KIND, _ASKED, _KINDS = 300, 50, 10_000
_OF_AN_ATTEMPT = frozenset(
    {
        *(LineKind.ATTEMPT, LineKind.ADDRESS, LineKind.WAITING, LineKind.REACHED),
        *(LineKind.FAILED, LineKind.RESULT, LineKind.CONNECTED),
    }
)
#: A line end that a modem's trace prints as it is written in a program: \r\n".
_ESCAPED = re.compile(r"(?:\\[rn])+\"?\s*$")
_SECRET = "device key: (private key removed)"


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much of a log is looked at: characters of a line, lines, known lines kept, bytes (of a gzip'ed one: expanded)."""

    line: int = 4096
    bytes: int = 1 << 30
    lines: int = 2_000_000
    events: int = 100_000


def read_log(
    source: Path | BinaryIO | Iterable[str], *, name: str | None = None, limits: LogLimits | None = None
) -> DeviceLog:
    """Read a log from a file or an open one, gzip'ed or not, or from lines of text.

    Any prefix, colour codes, either line ending, UTF-8 or UTF-16; application output between the lines is passed over.
    Raises InputError when the file cannot be opened or read; nothing in its content raises.
    """
    limits = limits or LogLimits()
    shown = name if name is not None else (source.name if isinstance(source, Path) else "log")
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return _read(file, shown, limits, has_end=source.is_file())
        except OSError as error:
            raise unreadable(str(source), error) from error
    if isinstance(source, io.IOBase):
        try:
            return _read(cast("BinaryIO", source), shown, limits, has_end=False)
        except OSError as error:
            raise unreadable(shown, error) from error
    reading = _Reading(limits)
    reading.take_all(_text_lines(cast("Iterable[str]", source), limits))
    return reading.log(shown)


def _read(file: BinaryIO, name: str, limits: LogLimits, *, has_end: bool) -> DeviceLog:
    stored = StoredLog(file, limits.bytes)
    return read_stored(stored, stored.lines(limits.line), name, limits, has_end=has_end)


def read_stored(stored: StoredLog, lines: Iterable[str], name: str, limits: LogLimits, *, has_end: bool) -> DeviceLog:
    """The log whose ``lines`` come from ``stored``, some of which may have been looked at already."""
    reading = _Reading(limits)
    reading.take_all(lines)
    if has_end:
        stored.drain()
    log = reading.log(name)
    return replace(log, cut=stored.problem or log.cut, sha256=stored.sha256(), bytes=stored.size)


def speaks_of_an_attempt(line: str) -> bool:
    """Whether a line is a device's that tells of its way to a cloud."""
    found = match_line(strip_prefix(line[:LONGEST]).message)
    return found is not None and found[0].kind in _OF_AN_ATTEMPT


def unreadable(name: str, error: OSError) -> InputError:
    """The one line for a log that cannot be opened or read."""
    reason = error.strerror or type(error).__name__
    return InputError(
        name, f"cannot be read: {reason}", "--log takes a text file, also gzip'ed, or - for standard input"
    )


class _Reading:
    """The state while reading: the clock, the boot counted, the events so far."""

    def __init__(self, limits: LogLimits) -> None:
        self._limits = limits
        self._events: list[LogEvent] = []
        self._lines = 0
        self._boot = 0
        self._clock: int | None = None
        self._base = 0
        self._header_ms: int | None = None
        self._secrets: list[int] = []
        self._loose: list[tuple[int, str]] = []
        self._cut: str | None = None
        self._before: Before | None = None
        self._dull: Counter[bytes] = Counter()

    def take_all(self, lines: Iterable[str]) -> None:
        """Look at all lines, or as many as the limits allow; what stands before them all is learned from the first."""
        rest = iter(lines)
        head = list(islice(rest, _LEARN))
        self._before = learned(head)
        for line in chain(head, rest):
            if not self.take(line):
                break

    def take(self, raw: str) -> bool:
        """Look at one line; False when a limit is reached."""
        if self._lines >= self._limits.lines or len(self._events) >= self._limits.events:
            self._cut = "it has more lines than the limit, and the rest was not read"
            return False
        self._lines += 1
        if not raw.strip():
            return True
        # Another program's log has its lines a hundred thousand times; those of a kind that was never a device's are not asked again.
        kind = raw[:_KIND].encode("utf-8", "replace").translate(None, b"0123456789")
        if self._dull[kind] >= _ASKED:
            return True
        parts = strip_prefix(raw[:LONGEST], self._before)
        time_ms = parts.time_ms if parts.time_ms is not None else self._header_ms
        self._header_ms = parts.time_ms if parts.header_only else (self._header_ms if parts.time_ms is None else None)
        if parts.time_ms is not None:
            self._follow(parts.time_ms)
        found = match_line(parts.message) if parts.message else None
        if found is None:
            known = kind in self._dull or len(self._dull) < _KINDS
            if known and parts.time_ms is None and not parts.header_only:
                self._dull[kind] += 1
            if len(self._loose) < _LOOSE and may_speak(parts.message):
                self._loose.append((self._lines, _clean(parts.message)))
            return True
        line, values = found
        if line.kind is LineKind.BOOT and (self._clock or 0) > _JITTER_MS:
            self._restart()
        if line.kind is LineKind.SECRET:
            self._secrets.append(self._lines)
            self._add(LogEvent(self._lines, self._at(time_ms), self._boot, line.kind, None, _SECRET))
            return True
        self._add(
            LogEvent(
                self._lines,
                self._at(time_ms),
                self._boot,
                line.kind,
                line.stage,
                _clean(parts.message),
                number_of(line, values),
                {key: _clean(value) for key, value in values.items() if key != "hex"},
                line.spaces,
                line.family,
                line.transport,
            )
        )
        return True

    def _follow(self, time_ms: int) -> None:
        if self._clock is not None and time_ms < self._clock - _JITTER_MS:
            if self._clock > _WRAP - 3_600_000 and time_ms < 3_600_000:
                self._base += _WRAP
            else:
                self._restart()
        self._clock = time_ms

    def _restart(self) -> None:
        if self._events:
            self._boot += 1
        self._clock, self._base, self._header_ms = None, 0, None

    def _at(self, time_ms: int | None) -> int | None:
        return None if time_ms is None else time_ms + self._base

    def _add(self, event: LogEvent) -> None:
        # cloud-debug prints every line twice: once for each of its two log handlers.
        last = self._events[-1] if self._events else None
        if (
            last
            and event.time_ms is not None
            and (last.time_ms, last.boot, last.text) == (event.time_ms, event.boot, event.text)
        ):
            return
        self._events.append(event)

    def log(self, name: str) -> DeviceLog:
        events = tuple(self._events)
        attempts = attempts_of(events)
        facts = [event.values for event in events if event.kind in (LineKind.BOOT, LineKind.FACT)]
        families = Counter(attempt.family for attempt in attempts if attempt.family)
        return DeviceLog(
            name=name,
            events=events,
            attempts=attempts,
            device_ids=tuple(dict.fromkeys(item["device"].lower() for item in facts if "device" in item)),
            family=families.most_common(1)[0][0] if families else None,
            version=_first(facts, "version"),
            platform=_first(facts, "platform"),
            boots=self._boot + 1,
            lines=self._lines,
            cut=self._cut,
            findings=tuple(_findings(name, events, attempts, self._secrets)),
            loose=() if attempts else tuple(self._loose),
        )


def _first(facts: Iterable[Mapping[str, str]], name: str) -> str | None:
    return next((item[name] for item in facts if name in item), None)


def _findings(
    name: str, events: tuple[LogEvent, ...], attempts: tuple[LogAttempt, ...], secrets: list[int]
) -> Iterator[Finding]:
    lost = [event for event in events if event.kind is LineKind.ADDRESS and event.number not in (None, 0, 1)]
    if lost:
        summary = (
            f"the stored server address is erased ({name} line {lost[0].line}: {lost[0].text}): "
            "the device goes to Particle's cloud, whatever server it belongs to"
        )
        yield Finding("server-address-lost", Certainty.INFERRED, summary)
    repaired = next((event for event in events if event.kind is LineKind.REPAIR), None)
    if repaired:
        where = f"{name} line {repaired.line}: {repaired.text}"
        if "Address" in repaired.text:
            yield Finding("server-address-lost", Certainty.INFERRED, where)
        else:
            yield Finding("server-key-restored", Certainty.INFERRED, where)
    failed = [attempt for attempt in attempts if attempt.outcome == "failed"]
    if len(failed) > 2:
        yield Finding("retry-loop", Certainty.INFERRED, f"{len(failed)} failed attempts in {name}")
    reset = next((e for e in events if e.kind is LineKind.NETWORK and e.text.startswith("Resetting")), None)
    if reset:
        yield Finding("network-reset", Certainty.INFERRED, f"{name} line {reset.line}: {reset.text}")
    if secrets:
        summary = f"{name} prints a private key (line {secrets[0]}): remove that line before the log goes to anybody"
        yield Finding("secret-in-log", Certainty.PROVEN, summary)


def _clean(text: str) -> str:
    return hide_keys(_ESCAPED.sub("", text))[:_TEXT]


def _text_lines(source: Iterable[str], limits: LogLimits) -> Iterator[str]:
    for text in source:
        yield from (line[: limits.line] for line in text.splitlines() or [""])
