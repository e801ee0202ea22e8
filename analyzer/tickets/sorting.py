"""What each file of a ticket is: a capture, a key, a log of the device or of the server, or nothing for us."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from analyzer.keys.folder import MAX_FILE, KeyFile, load_files
from analyzer.keys.manifest import NAME as MANIFEST
from analyzer.keys.ring import KeyRing
from analyzer.model import TakenAs
from analyzer.tickets.files import TicketFile

if TYPE_CHECKING:
    from analyzer.witnesses import Log, Logs, Source

#: How keys and logs are called; anything else of a folder does not make a ticket of it.
_KEY_NAMES: Final = re.compile(
    r"\.(der|pem|key|pub|cer|crt|keylog|p8|pk8)$|(^|[._-])session[^/]*\.bin$|sslkeys?(log)?.*\.(log|txt)$|^keys\.toml$",
    re.IGNORECASE,
)
_LOG_NAMES: Final = re.compile(r"\.(log|txt|out)([.-]\d[\d-]{0,18})?(\.gz)?$", re.IGNORECASE)
#: Files that are never a log, though text.
_DATA: Final = frozenset({".json", ".toml", ".yaml", ".yml", ".csv", ".html", ".xml", ".js", ".py", ".sh", ".md"})
#: Larger texts are no serial log of a ticket.
_MAX_LOG: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Sorted:
    """The files of a ticket by what they are, and in ``taken`` what each was taken for, in their order."""

    captures: tuple[TicketFile, ...]
    ring: KeyRing
    logs: Logs
    taken: tuple[tuple[str, TakenAs], ...]


def may_be_key_or_log(item: TicketFile) -> bool:
    """Whether its name makes a file beside captures worth looking into."""
    return not item.leftover and bool(_KEY_NAMES.search(item.name) or _LOG_NAMES.search(item.name))


def is_key_by_name(item: TicketFile) -> bool:
    """Whether a file is called as keys are."""
    return bool(_KEY_NAMES.search(item.name))


def sort(files: tuple[TicketFile, ...], left: tuple[str, ...] = (), passphrases: tuple[bytes, ...] = ()) -> Sorted:
    """Look at every file once. A log is no key, whatever digits are in it; what is neither is left alone."""
    from analyzer.devicelog import DeviceLog

    taken: dict[str, TakenAs] = {}
    captures: list[TicketFile] = []
    keys: list[TicketFile] = []
    logs, read = _logs(files)
    for item in files:
        taken[item.inside] = TakenAs.LEFT
        if item.leftover:
            continue
        if item.is_capture:
            captures.append(item)
            taken[item.inside] = TakenAs.CAPTURE
        elif (log := read.get(item.inside)) is not None:
            taken[item.inside] = TakenAs.DEVICE_LOG if isinstance(log, DeviceLog) else TakenAs.SERVER_LOG
        elif item.size <= MAX_FILE:
            keys.append(item)
    ring = load_files([_key_file(item) for item in keys], passphrases=passphrases)
    held = {key.file for key in ring.keys}
    for item in keys:
        if item.inside in held or item.name == MANIFEST:
            taken[item.inside] = TakenAs.KEY
    for name in left:
        taken.setdefault(name, TakenAs.LEFT)
    return Sorted(tuple(captures), ring, logs, tuple(taken.items()))


def _key_file(item: TicketFile) -> KeyFile:
    # Out of an archive: as it is called where the archive is unpacked.
    return KeyFile(item.inside, item.path if item.data is None else item.inside, item.read, item.mode)


def _logs(files: tuple[TicketFile, ...]) -> tuple[Logs, dict[str, Log]]:
    """The logs among the files, of devices and servers, rotated ones together; and which file is part of which."""
    from analyzer.devicelog import DeviceLog
    from analyzer.witnesses import Logs, read_sources

    sources = [_source(item) for item in files if _may_be_log(item)]
    found = read_sources(sources, damaged=lambda _: None)
    # At least one line that firmware or an open server writes.
    kept = [
        (log, places)
        for log, places in zip(found.all, found.places, strict=True)
        if (log.events or log.attempts if isinstance(log, DeviceLog) else log.connections or log.about)
    ]
    logs = Logs(tuple(log for log, _ in kept), tuple(places for _, places in kept))
    return logs, {place: log for log, places in kept for place in places}


def is_log(item: TicketFile) -> bool:
    """Whether a file is a log of a device or a server."""
    return bool(_logs((item,))[1])


def _may_be_log(item: TicketFile) -> bool:
    suffix = PurePosixPath(item.name.lower().removesuffix(".gz")).suffix
    if item.leftover or item.is_capture or suffix in _DATA or _KEY_NAMES.search(item.name):
        return False
    if not 0 < item.size <= _MAX_LOG:
        return False
    return bool(_LOG_NAMES.search(item.name)) or b"\0" not in item.head(4096)


def _source(item: TicketFile) -> Source:
    from analyzer.witnesses import Source

    source = item.source()
    if isinstance(source, Path):
        return Source(item.name, item.inside, lambda: source.open("rb"), has_end=True)
    return Source(item.name, item.inside, lambda: source, has_end=True)
