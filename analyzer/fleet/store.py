"""The store of a fleet: one SQLite file that remembers every result, and what it was the result of.

How it works. A result belongs to content (SHA-256), keys (the folder's fingerprint), options and program version; a
capture is a path that points at a result. Answers are written in short transactions by one connection; in WAL mode a
killed run leaves whole transactions only, and a second run waits its turn. Nothing secret is in the file, but addresses
and device ids are, so that it is the owner's alone.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from analyzer import __version__
from analyzer.errors import InputError
from analyzer.fleet.answer import FINDING_COLUMNS, SESSION_COLUMNS, Answer, Known, Unchanged, cells
from analyzer.fleet.uses import still_holds
from analyzer.fleet.work import Limits
from analyzer.keys import KeyRing
from analyzer.model import KeyRow, Role
from analyzer.pipeline import Options

#: "PHA" and a digit: how `file` and this module know the store again.
APPLICATION_ID = 0x50484131
_WAIT_S = 60.0
_BATCH, _BATCH_S = 200, 0.5

#: Step N brings a store of version N to N + 1. Steps are never changed once released; a new version is a new step.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE results (
            id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, keys TEXT NOT NULL, options TEXT NOT NULL, program TEXT NOT NULL,
            status TEXT NOT NULL, reason TEXT, format TEXT, packets INTEGER NOT NULL, bytes INTEGER NOT NULL,
            first_time TEXT, last_time TEXT, stopped TEXT, stop_limit REAL, uses BLOB NOT NULL, report BLOB NOT NULL,
            UNIQUE (sha256, keys, options, program))""",
        """CREATE TABLE captures (path TEXT PRIMARY KEY, result INTEGER NOT NULL REFERENCES results(id)) WITHOUT ROWID""",
        "CREATE INDEX captures_by_result ON captures(result)",
        """CREATE TABLE sessions (
            result INTEGER NOT NULL REFERENCES results(id) ON DELETE CASCADE, number INTEGER NOT NULL,
            device TEXT NOT NULL, device_id TEXT, id_source TEXT, device_address TEXT NOT NULL, network TEXT NOT NULL,
            transport TEXT NOT NULL, protocol TEXT NOT NULL, cloud_address TEXT NOT NULL, cloud_port INTEGER NOT NULL,
            cloud_host TEXT, stored_server TEXT, start_time TEXT NOT NULL, duration_s REAL NOT NULL,
            verdict TEXT NOT NULL, certainty TEXT NOT NULL, stage TEXT, summary TEXT NOT NULL, history TEXT NOT NULL,
            ended_by TEXT NOT NULL, ended_how TEXT NOT NULL, family TEXT,
            PRIMARY KEY (result, number)) WITHOUT ROWID""",
        "CREATE INDEX sessions_by_device ON sessions(device, start_time)",
        """CREATE TABLE findings (
            result INTEGER NOT NULL REFERENCES results(id) ON DELETE CASCADE, number INTEGER NOT NULL,
            code TEXT NOT NULL, certainty TEXT NOT NULL, summary TEXT NOT NULL)""",
        "CREATE INDEX findings_by_result ON findings(result, number)",
        """CREATE TABLE key_rows (
            keys TEXT NOT NULL, position INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (keys, position)) WITHOUT ROWID""",
    ),
)


class Store:
    """An open store. Use it as a context manager; everything written is kept on leaving, whatever happened."""

    def __init__(self, path: Path | None) -> None:
        """Open the store at ``path``, made when it is not there; None for one in memory. Raises InputError."""
        self.name = str(path) if path is not None else "(memory)"
        self._pending: list[Answer | Unchanged] = []
        self._since = time.monotonic()
        self._identity: tuple[str, str, str] | None = None
        #: Fingerprints of the keys that single captures of this run had.
        self._own_keys: set[str] = set()
        with self._told("cannot be opened"):
            if path is not None:
                with suppress(FileExistsError):
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self.db = sqlite3.connect(path if path is not None else ":memory:", timeout=_WAIT_S, isolation_level=None)
            self._prepare()

    def _prepare(self) -> None:
        self.db.execute("PRAGMA foreign_keys = ON")
        self._check()
        self.db.execute("PRAGMA temp_store = MEMORY")
        self._write_ahead()
        self.db.execute("PRAGMA synchronous = NORMAL")
        if self._version() < len(MIGRATIONS):
            with self._writing():  # only now is it sure that nobody else is at the same step
                for step in MIGRATIONS[self._version() :]:
                    for statement in step:
                        self.db.execute(statement)
                self.db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self.db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        self.select(None)

    def _write_ahead(self) -> None:
        """Switch to WAL. SQLite does not wait for others when it changes the mode, so this does."""
        deadline = time.monotonic() + _WAIT_S
        while True:
            try:
                self.db.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def _check(self) -> None:
        # One snapshot for both: another run may be making the tables right now.
        self.db.execute("BEGIN")
        try:
            ours = self.db.execute("PRAGMA application_id").fetchone()[0]
            tables = self.db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        finally:
            self.db.execute("COMMIT")
        if ours != APPLICATION_ID and tables:
            raise InputError(self.name, "a database of another program", "give --store a new file or one of analyze's")
        if self._version() > len(MIGRATIONS):
            raise InputError(self.name, "written by a newer version of analyze", "use that version, or a new file")

    def _version(self) -> int:
        return int(self.db.execute("PRAGMA user_version").fetchone()[0])

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None or not issubclass(kind, InputError):
                self.flush()
        finally:
            self.close()

    def close(self) -> None:
        """Close without writing what waits."""
        self.db.close()

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """A failure of SQLite or the disk as one line for a person."""
        try:
            yield
        except sqlite3.Error as error:
            hint = "what was written before is intact; free some space and run the same command again"
            if "full" in str(error) or "I/O" in str(error):
                raise InputError(self.name, f"{what}: {error}", hint) from error
            if "not a database" in str(error):
                raise InputError(self.name, "not a store of analyze", "give --store a new file") from error
            raise InputError(self.name, f"{what}: {error}") from error
        except OSError as error:
            raise InputError(self.name, f"{what}: {error.strerror or error}") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: all of it, or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise

    # A run

    def begin(self, ring: KeyRing, options: Options, *, tickets: bool = False) -> None:
        """Results added from here on are those of these keys and options; earlier ones they do not touch are taken over.

        With ``tickets``, captures may have keys of their own besides, of which nothing is known before they are read:
        then nothing is taken over.
        """
        keys = ring.fingerprint_of_folder
        self._identity = keys, _options_text(options), __version__
        with self._told("cannot be written"), self._writing():
            self._put_keys(keys, ring.rows())
            if not tickets:
                self._take_over(ring)

    def _take_over(self, ring: KeyRing) -> None:
        keys, options, program = self._named()
        others = self.db.execute(
            "SELECT id, uses FROM results WHERE options = ? AND program = ? AND keys <> ? AND stopped IS NULL"
            " ORDER BY id",
            (options, program, keys),
        ).fetchall()
        for number, uses in others:
            if still_holds(uses, ring):
                # A result with these keys may be there already; then the capture is pointed at it when it comes by.
                self.db.execute("UPDATE OR IGNORE results SET keys = ? WHERE id = ?", (keys, number))

    def _named(self) -> tuple[str, str, str]:
        if self._identity is None:
            raise RuntimeError("begin() comes first")
        return self._identity

    def done(self, limits: Limits) -> frozenset[Known]:
        """What need not be analysed again; what was stopped at a lower limit than today's is not among it."""
        keys, options, program = self._named()
        rows = self.db.execute(
            "SELECT sha256, keys FROM results WHERE options = ? AND program = ? AND length(sha256) = 64"
            " AND (stopped IS NULL OR (stopped = 'time' AND stop_limit >= ?) OR (stopped = 'memory' AND stop_limit >= ?))",
            (options, program, limits.seconds, limits.megabytes),
        )
        return frozenset(
            Known(bytes.fromhex(content), b"" if used == keys else bytes.fromhex(used)) for content, used in rows
        )

    def add(self, answer: Answer | Unchanged) -> None:
        """Write ``answer``, with others in one transaction. Raises InputError when the disk is full."""
        self._pending.append(answer)
        if len(self._pending) >= _BATCH or time.monotonic() - self._since > _BATCH_S:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Raises InputError when it cannot be written; the store is then as before."""
        pending, self._pending = self._pending, []
        self._since = time.monotonic()
        if pending:
            with self._told("cannot be written"), self._writing():
                for answer in pending:
                    self._put(answer)

    def _put(self, answer: Answer | Unchanged) -> None:
        # What could not even be read is known by its path, and read again every time.
        sha256 = answer.sha256 or f"path:{answer.path}"
        keys, options, program = self._named()
        if answer.keys is not None:
            keys = answer.keys
            self._own_keys.add(keys)
        identity = printable_path(sha256), keys, options, program
        if isinstance(answer, Answer):
            self._put_result(answer, identity)
        self.db.execute(
            "INSERT OR REPLACE INTO captures SELECT ?, id FROM results"
            " WHERE sha256 = ? AND keys = ? AND options = ? AND program = ?",
            (printable_path(answer.path), *identity),
        )

    def _put_result(self, answer: Answer, identity: tuple[str, str, str, str]) -> None:
        old = self.db.execute(
            "SELECT id FROM results WHERE sha256 = ? AND keys = ? AND options = ? AND program = ?", identity
        ).fetchone()
        row = (
            *identity,
            answer.status,
            answer.reason,
            answer.format,
            answer.packets,
            answer.bytes,
            answer.first_time,
            answer.last_time,
            answer.stopped,
            answer.limit,
            answer.uses,
            answer.report,
        )
        columns = "sha256, keys, options, program, status, reason, format, packets, bytes, first_time, last_time, stopped, stop_limit, uses, report"
        marks = ", ".join("?" * len(row))
        if old is None:
            number = self.db.execute(f"INSERT INTO results ({columns}) VALUES ({marks})", row).lastrowid
        else:
            number = old[0]
            self.db.execute("DELETE FROM sessions WHERE result = ?", (number,))
            self.db.execute("DELETE FROM findings WHERE result = ?", (number,))
            self.db.execute(f"UPDATE results SET ({columns}) = ({marks}) WHERE id = ?", (*row, number))
        self._put_rows("sessions", number, SESSION_COLUMNS, [cells(item) for item in answer.sessions])
        self._put_rows("findings", number, FINDING_COLUMNS, [cells(item) for item in answer.findings])
        self._put_keys(identity[1], answer.key_rows)

    def _put_keys(self, keys: str, rows: Iterable[KeyRow]) -> None:
        told = [(keys, number, json.dumps(asdict(row))) for number, row in enumerate(rows)]
        self.db.executemany("INSERT OR IGNORE INTO key_rows VALUES (?, ?, ?)", told)

    def _put_rows(
        self, table: str, number: int | None, columns: Sequence[str], rows: Iterable[tuple[object, ...]]
    ) -> None:
        marks = ", ".join("?" * (len(columns) + 1))
        self.db.executemany(
            f"INSERT INTO {table} (result, {', '.join(columns)}) VALUES ({marks})", [(number, *row) for row in rows]
        )

    def tidy(self) -> None:
        """Forget results that no capture points at any more, and keys that no result rests on."""
        with self._told("cannot be written"), self._writing():
            self.db.execute("DELETE FROM results WHERE id NOT IN (SELECT result FROM captures)")
            self.db.execute("DELETE FROM key_rows WHERE keys NOT IN (SELECT keys FROM results)")

    def key_rows(self) -> tuple[KeyRow, ...]:
        """Every key that a result in the store rests on, each once."""
        rows = self.db.execute("SELECT row FROM key_rows ORDER BY keys, position")
        found = [json.loads(text) for text in dict.fromkeys(row[0] for row in rows)]
        return tuple(KeyRow(**{**row, "role": Role(row["role"])}) for row in found)

    def missing(self, paths: Iterable[str]) -> list[str]:
        """Those of ``paths`` without a result of this run's keys, options and program."""
        keys, options, program = self._named()
        rows = self.db.execute(
            "SELECT path, keys FROM captures JOIN results ON id = result WHERE options = ? AND program = ?",
            (options, program),
        )
        known = {path for path, used in rows if used == keys or used in self._own_keys}
        return [path for path in paths if printable_path(path) not in known]

    def select(self, paths: Iterable[str] | None) -> None:
        """From here on, questions are about these captures only; None: about all."""
        self.db.execute("DROP VIEW IF EXISTS temp.asked")
        self.db.execute("DROP TABLE IF EXISTS temp.chosen")
        if paths is None:
            self.db.execute("CREATE TEMP VIEW asked AS SELECT path, result FROM main.captures")
            return
        self.db.execute("CREATE TEMP TABLE chosen (path TEXT PRIMARY KEY) WITHOUT ROWID")
        self.db.executemany("INSERT OR IGNORE INTO chosen VALUES (?)", ((printable_path(path),) for path in paths))
        self.db.execute(
            "CREATE TEMP VIEW asked AS SELECT path, result FROM main.captures WHERE path IN (SELECT path FROM temp.chosen)"
        )


def printable_path(path: str) -> str:
    """A path as SQLite can hold it: bytes that are no UTF-8 in a file name are escaped."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _options_text(options: Options) -> str:
    """The options that change what a report says."""
    return json.dumps(
        {"ports": sorted(options.ports), "engine": options.engine, "logs": [str(log) for log in options.logs]}
    )
