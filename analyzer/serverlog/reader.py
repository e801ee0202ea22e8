"""Read a server's log line by line into connections, in bounded memory and linear time; secrets never leave this module.

How it works. Most lines of a server are chatter and are known by a few words; only the others are taken apart. A line is
one bunyan record (JSON, also inside docker's own JSON), or a head line of text (console.log, or bunyan's pretty printer)
whose object or error goes on in the lines behind it. Its fields say to which connection it belongs: its key, else the
device, else the address, else what is open.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from analyzer.devicelog.prefix import hide_keys
from analyzer.firmware.serverlines import Says, ServerLine, said, server_line, server_lines
from analyzer.model import Certainty
from analyzer.serverlog.records import Clock, Connection, Run, ServerLog
from analyzer.serverlog.when import read_time

#: Connections kept, the last ones; devices counted in one run of the server; lines about the server itself.
_CONNECTIONS = 200_000
_PEERS = 20_000
_ABOUT = 50
_RUNS = 100
#: An object or an error goes on over no more lines than this.
_TAIL = 30
_TEXT = 200
#: Characters of a line that are looked at.
LONGEST_SERVER = 16_384
#: A day without a date: a clock that goes back by more than half a day begins the next.
_DAY = 86_400.0

_FIELD = re.compile(
    r"\b(cache_key|connectionKey|coreID|coreId|deviceID|ip|remoteIPAddress|duration|connectionID|connId|Connection ID|port|serverPort)\b"
    r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?([^\"',\s)}]{1,64})"
)
_FROM = re.compile(r"Connection from: ([0-9a-fA-F.:]{2,45})")
_SESSION_KEY = re.compile(r"Session ended for (?:core )?(_\d{1,12})\b|connectionKey: (_\d{1,12})")
_ID = re.compile(r"\b[0-9a-fA-F]{24}\b")
_PORT = re.compile(r"(?:on port: |[Ll]istening on )(\d{1,5})\b")
_ERROR = re.compile(r"\bError: \S")
_JSON_MSG = '"msg":"'
_TERMINAL = re.compile(r"\x1b\[[0-9;]{0,24}[A-Za-z]")
#: Where the server's own words begin behind any prefix.
_BEGINS = re.compile(
    r"Handshake (?:failed|decryption)|Handshake: |Connection from|Session ended|on ready|(?:Core|Device) online"
    r"|\d{1,6} ?: (?:Core|Device) disconnected|Device disconnected|Device startup failed|core startup failed|Caught exception|uncaughtException"
)
#: The object behind a line, which says whose it is.
_OBJECT = re.compile(r"\s{0,4}[({]\s{0,4}(?:ip|cache_key|coreID|deviceID|connectionKey)\b[^)}]{0,400}[)}]?")
_HEAD = 160
_SECRET = ("PRIVATE KEY-----", "device key:")
#: Words one of which stands in every text line that is no chatter: the first test, and the cheapest.
_WORDS = tuple(
    dict.fromkeys(group[0] for line in server_lines() if line.kind is not Says.CHATTER for group in line.words)
)
#: Without digits and hexadecimal letters, lines that differ in ids, addresses and times are one. Of longer lines nothing is kept.
_HEX = b"0123456789abcdef"
_SHAPES = 20_000
_LONGEST_SHAPE = 600
#: Each digit of an id, as one byte: so a run of them is found without a search by characters.
_DIGITS = bytes(120 if chr(byte) in "0123456789abcdefABCDEF" else 32 for byte in range(256))
_ID_LENGTH = 24
_ID_RUN = b"x" * _ID_LENGTH
_QUOTES = 4_096
_JSON_FIELDS = tuple(
    (name, f'"{name}":"') for name in ("cache_key", "connectionKey", "deviceID", "ip", "remoteIPAddress", "serverPort")
)
_decode = json.JSONDecoder().raw_decode
_NUMBERS = (int, float, str)
#: Characters of 2026-11-21T00:28:23.703Z.
_STAMP = 24
#: A member is looked up in its class at every use otherwise, and that costs more than what is done with it here.
_START, _OPENED, _FAILED, _UNNAMED, _UP = Says.START, Says.OPENED, Says.FAILED, Says.UNNAMED, Says.UP
_ENDED, _FAULT, _SERVER, _CHATTER = Says.ENDED, Says.FAULT, Says.SERVER, Says.CHATTER
_TAIL_WORDS = ("ID: ", "key: ", "key=", "Key: ", "ip: ", "rror", "}", "duration", "port: ", "routines")


class ServerReading:
    """The state while reading: what is open, what was said so far."""

    def __init__(self) -> None:
        self._lines = 0
        self._parts: list[tuple[str, int]] = []
        self._known = 0
        self._kept: deque[Connection] = deque(maxlen=_CONNECTIONS)
        self._made = 0
        self._by_key: dict[str, Connection] = {}
        self._unnamed: deque[tuple[int, float | None]] = deque(maxlen=4096)
        self._opened = 0
        self._shift: int | None = None
        self._runs: list[_Run] = [_Run()]
        self._about: list[tuple[int, str, ServerLine]] = []
        self._brewskey, self._spark = 0, 0
        self._ports: list[int] = []
        self._clocks: dict[str, int] = {}
        self._day = 0.0
        self._time: float | None = None
        self._stamp: str | None = None
        self._head: _Head | None = None
        self._texts: dict[str, str] = {}
        self._shown: dict[str, str] = {}
        self._secret: int | None = None
        self._reason: tuple[int, ServerLine, str, float | None] | None = None
        self._what: dict[bytes, ServerLine | None] = {}
        self._messages: dict[str, bool] = {}
        self._shapes: dict[bytes, _Shape] = {}
        self._quotes: dict[bytes, tuple[str | None, str]] = {}

    @property
    def lines(self) -> int:
        """How many lines were read."""
        return self._lines

    def begin(self, name: str) -> None:
        """The lines that follow are of this file: a rotated log has several."""
        if self._head is not None:
            self._close()
        self._parts.append((name, self._lines))

    def goes_on(self, first: float | None, overlap: float) -> bool:
        """Whether a file whose first time is ``first`` (s) may follow what was read, in the order of time."""
        return first is None or self._time is None or first >= self._time - overlap

    def take(self, line: str) -> None:
        """Look at one line."""
        self._lines += 1
        if "\x1b" in line:
            line = _TERMINAL.sub("", line)
        at = line.rfind(_JSON_MSG)
        if at >= 0:
            begin = at + len(_JSON_MSG)
            # Nearly all lines of a server that runs: a record that says nothing of interest, and no error.
            if self._messages.get(line[begin : line.find('"', begin)]) is False and '"err":' not in line:
                self._known += 1
                if self._head is not None:
                    self._close()
                return
        if at >= 0 or '"log":' in line:
            at = line.find('{"')
            if at >= 0 and self._json(line[at:] if at else line):
                return
        if len(line) > _LONGEST_SHAPE:
            shape = _shape_of(line)
        else:
            key = line.encode("utf-8", "replace").translate(None, _HEX)
            known = self._shapes.get(key)
            shape = known if known is not None else self._new_shape(key, line)
        head = self._head
        if head is not None and not shape.begins and head.left:
            head.left -= 1
            if shape.says is not None and shape.says.kind is _FAILED:
                if (
                    head.says.kind is _FAILED
                    and head.says is not shape.says
                    and "Error: " in line
                    and "Error: " in head.text
                ):
                    self._text(
                        line, shape.says, shape
                    )  # no other line of an entry names a second error: it is another's
                    return
                if head.says.kind is not _FAILED:
                    says = said(line, head.form) if head.form != shape.form else shape.says
                    head.says, head.text = says or shape.says, f"{head.text}: {line.strip()}"
                self._goes_on(head, line)
            elif shape.tells:
                self._goes_on(head, line)
        elif shape.says is not None:
            self._text(line, shape.says, shape)
        elif shape.secret and self._secret is None:
            self._secret = self._lines

    def _new_shape(self, key: bytes, line: str) -> _Shape:
        """What kind of line this is; lines that differ in digits and hexadecimal letters alone are of one kind."""
        if len(self._shapes) > _SHAPES:
            self._shapes.clear()
        shape = self._shapes[key] = _shape_of(line)
        return shape

    # -- forms of a line ---------------------------------------------------------------------------------------------

    def _json(self, record: str) -> bool:
        """One record of bunyan's, or one of docker's around a line; False when it is neither."""
        start = record.rfind(_JSON_MSG)
        if start < 0:
            return self._docker(record)
        if self._head is not None:
            self._close()
        start += len(_JSON_MSG)
        message = record[start : record.find('"', start)]
        self._known += 1
        told = self._messages.get(message)
        if told is None:
            told = message == "Connection" or _of_interest(said(message, "bunyan"))
            if len(self._messages) > _QUOTES:
                self._messages.clear()
            if len(message) <= _LONGEST_SHAPE:
                self._messages[message] = told
        if not told and '"err":' not in record:
            return True
        self._brewskey += 1
        if message == "New Connection":
            self._open(self._lines, self._clock(_after(record, '"time":"')), {})
            return True
        fields, time_text, reason = _parsed(record)
        time = self._clock(time_text)
        text = f"{message}: {reason}" if reason else message
        if reason and "deviceID" not in fields and (named := _ID.search(reason)):
            fields["deviceID"] = named[0]
        # "Connection" says that a device with that id is known now and an older session of it ends.
        says = server_line("up") if message == "Connection" and "remoteIPAddress" in fields else self._said(text)
        if says is not None:
            fields["scanned"] = "yes"
            self._event(self._lines, time, says, fields, text)
        return True

    def _docker(self, record: str) -> bool:
        try:
            fields = json.loads(record)
        except ValueError:
            return False
        if not isinstance(fields, dict) or not isinstance(fields.get("log"), str):
            return False
        inner = fields["log"].rstrip("\n")
        if not inner.startswith('{"') and not read_time(inner) and isinstance(fields.get("time"), str):
            inner = f"{fields['time'][:40]} {inner}"
        self._lines -= 1
        self.take(inner[:LONGEST_SERVER].replace('"log":', '"log" :'))
        return True

    def _text(self, line: str, says: ServerLine, shape: _Shape) -> None:
        if self._head is not None:
            self._close()
        self._known += 1
        if shape.brewskey:
            self._brewskey += 1
        else:
            self._spark += 1
        time, fields = self._clock(line), shape.fields(line)
        if shape.whole:
            self._event(self._lines, time, says, fields, line)
        else:
            self._head = _Head(self._lines, time, says, line, shape.form, fields)

    def _goes_on(self, head: _Head, line: str) -> None:
        for name, value in _FIELD.findall(line):
            head.fields.setdefault(name, value)
        if head.says.kind in (_UNNAMED, _ENDED) or head.says.name == "up":
            says = said(line, head.form) if _ERROR.search(line) else None
            if says is not None and says.kind in (_FAILED, _FAULT) and head.says.kind is _UNNAMED:
                head.says, head.text = says, f"{head.text}: {line.strip()}"
        if line.rstrip().endswith("}"):
            self._close()

    def _close(self) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._event(head.line, head.time, head.says, head.fields, head.text)

    def _said(self, text: str) -> ServerLine | None:
        """What a bunyan record's message and error say; the same but for an id is looked up once."""
        key = _without_hex(text)
        if key not in self._what:
            if len(self._what) > _SHAPES:
                self._what.clear()
            found = said(text, "bunyan")
            self._what[key] = found if _of_interest(found) else None
        return self._what[key]

    # -- what it means for a connection ------------------------------------------------------------------------------

    def _clock(self, text: str) -> float | None:
        """The time at the head of ``text``; lines of one moment stand together, so the last one is kept."""
        stamp = text[:_STAMP]
        if stamp == self._stamp:
            return self._time
        when = read_time(text)
        if when is None:
            return None
        seconds, clock = when
        # By its name: the hash of a member of an enumeration is taken in Python.
        name = clock._value_
        self._clocks[name] = self._clocks.get(name, 0) + 1
        if name == "dayless":
            seconds += self._day
            if self._time is not None and seconds < self._time - _DAY / 2:
                self._day += _DAY
                seconds += _DAY
        self._time = seconds
        # The form that nearly all logs have; of others the length is not known.
        self._stamp = stamp if stamp[-1:] == "Z" and stamp[10:11] == "T" and stamp[:2] == "20" else None
        return seconds

    def _event(self, line: int, time: float | None, says: ServerLine, fields: Mapping[str, Any], text: str) -> None:
        if says.kind is _CHATTER:
            return
        if says.kind is _START:
            self._start(fields, text)
            return
        if says.kind is _OPENED:
            self._open(line, time, fields)
            return
        # "startup failed" repeats, without a key, what the line before it has said.
        connection = self._whose(line, fields, text) if "startup failed" not in text else None
        if says.kind is _SERVER:
            self._concerns(line, text, says)
            return
        if connection is None and not self._keyless(line, time, says, text):
            return
        if connection is None:
            connection = self._current(says) or self._new("", line)
        connection.last_line = line
        self._fill(connection, fields, text)
        if says.kind is _UP:
            if not connection.up:
                connection.up, connection.up_at, connection.up_line = True, time, line
            self._displaced(connection, fields, line, time)
            return
        if says.kind is _ENDED:
            duration = _number(fields.get("duration"))
            # Only what stood has a length, and an end of its own in Brewskey's server.
            connection.up = (
                connection.up
                or duration is not None
                or "Session ended for Device" in text
                or "Session ended for device with" in text
            )
            if connection.ended is None or connection.ended.name == "ended":
                connection.ended, connection.ended_at, connection.ended_line = says, time, line
                if not connection.says:
                    connection.text = self._kept_text(text)
            connection.duration_s = duration if duration is not None else connection.duration_s
            return
        if says.kind is _UNNAMED:
            connection.at = connection.at if connection.at is not None else time
            return
        if self._reason is not None and says.name == "decryption-failed":
            line, says, text, _ = self._reason
            self._reason = None
        earlier = connection.says
        if earlier is None or (earlier.kind is _FAULT and says.kind is _FAILED) or _closer(says, earlier):
            connection.says, connection.says_line, connection.at = says, line, time
            connection.text = self._kept_text(text)

    def _concerns(self, line: int, text: str, says: ServerLine) -> None:
        if len(self._about) < _ABOUT:
            self._about.append((line, _quoted(text), says))

    def _keyless(self, line: int, time: float | None, says: ServerLine, text: str) -> bool:
        """Whether a line that names no connection tells of one all the same, and not of one that has said it already."""
        if says.kind is _FAILED and "startup failed" in text:
            return not any(item.says is not None and item.says.kind is _FAILED for item in self._last(4))
        if says.kind is _FAILED:
            # spark-protocol prints OpenSSL's words first and the connection's line after them.
            if self._reason is not None and self._reason[1].name != says.name:
                self._bare()
            self._reason = self._reason or (line, says, text, time)
            return False
        if says.kind is _UP:
            return not any(item.up and item.ended is None for item in self._last(4))
        if says.kind is _FAULT and self._current(says) is not None:
            return True
        if says.kind in (_FAULT, _UNNAMED):
            self._concerns(line, text, says)
        return False

    def _bare(self) -> None:
        """A log in which nothing names a connection (somebody kept the errors only): each kind of error is one of its own."""
        if self._reason is None or any(item.key for item in self._last(1)):
            return
        line, says, text, time = self._reason
        connection = self._new("", line)
        connection.says, connection.says_line, connection.at = says, line, time
        connection.text = self._kept_text(text)
        self._reason = None

    def _current(self, says: ServerLine) -> Connection | None:
        """The one connection that is open, when there is one alone."""
        opened = [item for item in self._last(64) if item.ended is None and item.says is None]
        return opened[-1] if opened and (len(opened) == 1 or says.kind is _UP) else None

    def _start(self, fields: Mapping[str, Any], text: str) -> None:
        port = _number(fields.get("serverPort") or fields.get("port")) or _number(
            (_PORT.search(text) or [None, None])[1]
        )
        if port and int(port) not in self._ports and len(self._ports) < 8:
            self._ports.append(int(port))
        if self._runs[-1].used:
            if len(self._runs) < _RUNS:
                self._settle()
                self._runs.append(_Run())
            self._by_key.clear()
            self._unnamed.clear()
        self._opened, self._shift = 0, 0

    def _open(self, line: int, time: float | None, fields: Mapping[str, Any]) -> None:
        self._opened += 1
        self._runs[-1].used = True
        number = _number(fields.get("connId") or fields.get("Connection ID")) if fields else None
        if number is None:
            # "New Connection" names nothing: the n-th one is connection _n, once it is known where the counting began.
            if self._shift is None:
                self._unnamed.append((line, time))
                return
            connection = self._new(f"_{self._opened + self._shift}", line)
        else:
            # spark-protocol says connId n and calls the connection _(n-1); Brewskey's says Connection ID n and calls it _n.
            connection = self._new(f"_{int(number) - 1 if 'connId' in fields else int(number)}", line)
        connection.opened_at = time
        self._called_from(connection, fields)

    def _whose(self, line: int, fields: Mapping[str, Any], text: str) -> Connection | None:
        key = fields.get("cache_key") or fields.get("connectionKey")
        if not key and (number := _number(fields.get("connectionID"))):
            key = f"_{number:.0f}"
        if not key and ("Session ended" in text or "connectionKey" in text):
            found = _SESSION_KEY.search(text)
            key = (found[1] or found[2]) if found else None
        if key and isinstance(key, str):
            key = key[:32]
            connection = self._by_key.get(key)
            if connection is None:
                connection = self._new(key, line)
                self._count(key, connection)
            return connection
        device = _device(fields, text)
        if device is None:
            return None
        found_by = [item for item in self._last(64) if item.device == device and item.ended is None]
        return found_by[-1] if found_by else None

    def _last(self, count: int) -> list[Connection]:
        return [self._kept[index] for index in range(max(0, len(self._kept) - count), len(self._kept))]

    def _count(self, key: str, connection: Connection) -> None:
        """A log that begins in the middle: the first key that is named says where the counting of connections stands."""
        if self._shift is not None or not key[1:].isdecimal() or not self._unnamed:
            return
        if len(self._unnamed) == 1 or self._opened == 1:
            line, time = self._unnamed[-1]
            self._shift = int(key[1:]) - self._opened
            connection.line, connection.opened_at = min(line, connection.line), time

    def _new(self, key: str, line: int) -> Connection:
        connection = Connection(key=key, line=line, last_line=line, run=len(self._runs) - 1)
        if len(self._kept) == _CONNECTIONS:
            self._tell(self._kept[0])
        self._kept.append(connection)
        self._made += 1
        self._runs[-1].used = True
        if key:
            self._by_key[key] = connection
            if len(self._by_key) > 2 * _PEERS:
                for old in list(self._by_key)[:_PEERS]:
                    del self._by_key[old]
        return connection

    def _fill(self, connection: Connection, fields: Mapping[str, Any], text: str) -> None:
        if connection.device is None:
            device = _device(fields, text)
            if device is not None:
                connection.device = self._texts.setdefault(device, device)
        if connection.address is None:
            self._called_from(connection, fields)

    def _called_from(self, connection: Connection, fields: Mapping[str, Any]) -> None:
        if fields:
            address = fields.get("ip") or fields.get("remoteIPAddress")
            if address and isinstance(address, str):
                plain = address.removeprefix("::ffff:")[:45]
                if plain not in ("unknown", "null", "undefined"):
                    connection.address = self._texts.setdefault(plain, plain)

    def _displaced(self, connection: Connection, fields: Mapping[str, Any], line: int, time: float | None) -> None:
        """The same id on a newer connection: an older one that still stands is closed by the server for its sake."""
        if connection.device is None:
            return
        for older in self._last(64):
            if (
                older is not connection
                and older.device == connection.device
                and older.up
                and older.ended is None
                and older.says is None
            ):
                older.says, older.says_line, older.at = server_line("displaced"), line, time
                older.text = self._kept_text(f"the same id connected again as {connection.key}")

    def _kept_text(self, text: str) -> str:
        """The line as it is shown, one object for all that look alike."""
        if len(text) > _LONGEST_SHAPE:
            return _quoted(text)
        # What is shown of a line without a digit is the same for all lines of its kind, and so is where it begins.
        key = _without_hex(text)
        known = self._quotes.get(key)
        if known is None:
            found = _BEGINS.search(text, 0, _HEAD)
            begins = found[0].lstrip("0123456789") if found else ""
            quoted = _quoted(text)
            known = (None if any(char.isdigit() for char in quoted) else quoted), begins
            if len(self._quotes) > _QUOTES:
                self._quotes.clear()
            self._quotes[key] = known
        shown, begins = known
        if shown is not None:
            return shown
        at = text.find(begins)
        behind = text[at:] if at > 0 and not text[at - 1].isdigit() else text
        shown = self._shown.get(behind)
        if shown is None:
            shown = _quoted(behind)
            if len(self._shown) > _QUOTES:
                self._shown.clear()
            self._shown[behind] = shown
        return shown

    # -- the whole ---------------------------------------------------------------------------------------------------

    def _tell(self, connection: Connection) -> None:
        self._runs[min(connection.run, len(self._runs) - 1)].tell(connection)

    def _settle(self) -> None:
        """Count what the connections of this run came to."""
        current = len(self._runs) - 1
        for connection in reversed(self._kept):
            if connection.run != current:
                break
            self._tell(connection)

    def log(self, name: str, *, cut: str | None = None, size: int = 0, sha256: str | None = None) -> ServerLog:
        """All that was read."""
        self._close()
        self._bare()
        if self._reason is not None and (not self._kept or self._kept[-1].says is None):
            line, says, text, _ = self._reason
            connection = self._kept[-1] if self._kept and not self._kept[-1].up else self._new("", line)
            connection.says, connection.says_line, connection.text = says, line, self._kept_text(text)
        for connection in self._kept:
            if connection.says is None and not connection.up and connection.ended is not None and connection.device:
                _gave_up(connection)
        self._settle()
        clock = Clock(max(self._clocks, key=lambda item: self._clocks[item])) if self._clocks else Clock.NONE
        return ServerLog(
            name=name,
            connections=tuple(self._kept),
            runs=tuple(run.counted() for run in self._runs),
            about=tuple(self._about),
            program=None
            if not self._brewskey + self._spark
            else "Brewskey"
            if self._brewskey >= self._spark
            else "spark-protocol",
            ports=tuple(self._ports),
            clock=clock,
            lines=self._lines,
            known=self._known,
            cut=cut,
            bytes=size,
            sha256=sha256,
            secret_line=self._secret,
            dropped=self._made - len(self._kept),
            parts=tuple(self._parts),
        )


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is known of every line that looks like this one: what it says, how it is printed, whether it begins an entry,
    whether it may hold a field of one that goes on, whether it is an entry by itself."""

    says: ServerLine | None
    form: str
    brewskey: bool
    begins: bool
    tells: bool
    secret: bool
    whole: bool
    #: Whether a device's id may stand in it outside of the fields.
    names: bool
    #: The fields in it: name, what stands before its value, the length of that, the character behind the value.
    marks: tuple[tuple[str, str, int, str], ...]

    def fields(self, line: str) -> dict[str, str]:
        """The fields of a line of this kind."""
        found: dict[str, str] = {} if self.names else {"scanned": "yes"}
        for name, mark, length, end in self.marks:
            at = line.find(mark)
            if at < 0:
                return _fields_of(line)
            at += length
            found[name] = line[at : line.find(end, at)] if end else line[at : at + 64]
        return found


class _Head:
    """A head line of text whose object or error may go on."""

    __slots__ = ("fields", "form", "left", "line", "says", "text", "time")

    def __init__(
        self, line: int, time: float | None, says: ServerLine, text: str, form: str, fields: dict[str, str]
    ) -> None:
        self.line, self.time, self.says, self.text, self.form = line, time, says, text, form
        self.fields = fields
        self.left = _TAIL


class _Run:
    """One run of the server while it is read: who got which line."""

    __slots__ = ("by_line", "up", "used")

    def __init__(self) -> None:
        self.by_line: dict[str, set[str]] = {}
        self.up: set[str] = set()
        self.used = False

    def tell(self, connection: Connection) -> None:
        """Count one connection."""
        peer = connection.device or connection.address
        if peer is None:
            return
        if connection.up:
            if len(self.up) < _PEERS:
                self.up.add(peer)
        elif connection.says is not None:
            peers = self.by_line.setdefault(connection.says.name, set())
            if len(peers) < _PEERS:
                peers.add(peer)

    def counted(self) -> Run:
        """The same as numbers."""
        return Run(Counter({name: len(peers) for name, peers in self.by_line.items()}), len(self.up))


def read_server_log(lines: Iterable[str], name: str) -> ServerLog:
    """A log from lines of text: for tests and notebooks."""
    reading = ServerReading()
    for line in lines:
        reading.take(line)
    return reading.log(name)


def with_storage(log: ServerLog, *, cut: str | None, size: int, sha256: str | None) -> ServerLog:
    """The log with what is known of how it is stored."""
    return replace(log, cut=cut, bytes=size, sha256=sha256)


def _shape_of(line: str) -> _Shape:
    plain = _TERMINAL.sub("", line)
    form = "bunyan" if ".js/" in plain or ".js:" in plain.split(": ", 2)[0] else "text"
    found = said(plain, form) if any(word in plain for word in _WORDS) else None
    says = found if _of_interest(found) else None
    return _Shape(
        says=says,
        form=form,
        brewskey=form == "bunyan" or "evice" in plain,
        begins=_has_head(plain),
        tells=any(word in plain for word in _TAIL_WORDS),
        secret=any(word in plain for word in _SECRET),
        whole=says is not None
        and (
            says.kind in (_OPENED, _START)
            or plain.rstrip().endswith("}")
            or (_SESSION_KEY.search(plain) is not None and "{" not in plain)
        ),
        names=_ID.search(plain) is not None or "for core" in plain or "for device" in plain,
        marks=tuple(_marks(plain)) if says is not None else (),
    )


def _marks(line: str) -> Iterator[tuple[str, str, int, str]]:
    """Each field once: the first of that name."""
    spans: dict[str, tuple[int, int, int]] = {}
    for found in _FIELD.finditer(line):
        spans.setdefault(found[1], (found.start(), found.start(2), found.end()))
    for name, pattern in (("ip", _FROM), ("cache_key", _SESSION_KEY)):
        called = pattern.search(line)
        if called and called[1]:
            spans.setdefault(name, (called.start(), called.start(1), called.end()))
    for name, (start, value, end) in spans.items():
        yield name, line[start:value], value - start, line[end : end + 1]


def _without_hex(text: str) -> bytes:
    return text.encode("utf-8", "replace").translate(None, _HEX)


def _of_interest(found: ServerLine | None) -> bool:
    return found is not None and found.kind is not _CHATTER


def _has_head(line: str) -> bool:
    """Whether a line that could go on an entry begins one itself: with a time, or with the server's own words."""
    return _BEGINS.search(line, 0, _HEAD) is not None or (read_time(line) is not None and not line.startswith("    "))


def _closer(says: ServerLine, earlier: ServerLine) -> bool:
    """Whether a second line of the same kind names the cause more closely: no other cause beside it."""
    if says.kind is earlier.kind is _FAULT:
        return earlier.certainty is Certainty.UNDETERMINED and says.certainty is Certainty.INFERRED
    return (
        says.kind is earlier.kind is _FAILED
        and earlier.name == "decryption-failed"
        and says.name != earlier.name
        and says.stage == earlier.stage
    )


def _gave_up(connection: Connection) -> None:
    """spark-protocol: a device known by its id that never said Hello was sent the session key and closed the connection."""
    if connection.ended is None or connection.ended.name != "device-closed":
        return
    connection.says = server_line("hello-did-not-come")
    connection.says_line, connection.at = connection.ended_line, connection.ended_at


def _device(fields: Mapping[str, Any], text: str) -> str | None:
    value = fields.get("coreID") or fields.get("deviceID") or fields.get("coreId")
    if value and isinstance(value, str) and len(value) == _ID_LENGTH and _ID.fullmatch(value):
        return value.lower()
    if "scanned" in fields or _ID_RUN not in text.encode("utf-8", "replace").translate(_DIGITS):
        return None
    found = _ID.search(text)
    return found[0].lower() if found else None


def _fields_of(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(text):
        fields.setdefault(name, value)
    called = _FROM.search(text)
    if called:
        fields.setdefault("ip", called[1])
    return fields


def _number(value: object) -> float | None:
    if value is None:
        return None
    try:
        found = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None
    return found if found is not None and math.isfinite(found) else None


def _parsed(record: str) -> tuple[dict[str, Any], str, str]:
    """A record's fields, its time and its error's message. A record that is no JSON (it is cut) by what stands in it."""
    try:
        fields = _decode(record)[0]
    except (ValueError, RecursionError):
        fields = None
    if isinstance(fields, dict):
        error = fields.get("err")
        reason = error.get("message") if isinstance(error, dict) else error
        if "logInfo" in fields and isinstance(fields["logInfo"], dict):
            # Servers of before March 2019 have the connection's key in an object of its own.
            fields = fields["logInfo"] | fields
        time = fields.get("time")
        return fields, time[:40] if isinstance(time, str) else "", reason[:_TEXT] if isinstance(reason, str) else ""
    at = record.find('"err":')
    reason = (_after(record, '"message":"', at) or _after(record, '"err":"', at)) if at >= 0 else ""
    fields = {name: value for name, word in _JSON_FIELDS if (value := _after(record, word))}
    for name in ("duration", "connectionID"):
        at = record.find(f'"{name}":')
        if at >= 0:
            fields[name] = record[at + len(name) + 3 :][:20].partition(",")[0].rstrip("}")
    return fields, _after(record, '"time":"'), reason


def _after(record: str, word: str, start: int = 0) -> str:
    """The string behind ``word``, up to its closing quote."""
    at = record.find(word, start)
    if at < 0:
        return ""
    at += len(word)
    return record[at : record.find('"', at)][:_TEXT]


def _quoted(text: str) -> str:
    """The line for a reader: without its time and prefix where it is plain, without secrets, short."""
    text = _TERMINAL.sub("", text)
    shown = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    found = _BEGINS.search(shown, 0, _HEAD)
    shown = shown[found.start() :] if found else shown
    return hide_keys(" ".join(_OBJECT.sub("", shown).split()))[:_TEXT]
