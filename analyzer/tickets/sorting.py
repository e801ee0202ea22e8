"""What each file of a ticket is: a capture, a key, a log of the device or of the server, or nothing for us."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from analyzer.errors import InputError
from analyzer.keys.folder import MAX_FILE, KeyFile, load_files
from analyzer.keys.manifest import NAME as MANIFEST
from analyzer.keys.ring import KeyRing
from analyzer.model import TakenAs
from analyzer.tickets.files import TicketFile

if TYPE_CHECKING:
    from analyzer.witnesses import Log

#: How keys and logs are called; anything else of a folder does not make a ticket of it.
_KEY_NAMES: Final = re.compile(
    r"\.(der|pem|key|pub|cer|crt|keylog|p8|pk8)$|(^|[._-])session[^/]*\.bin$|sslkeys?(log)?.*\.(log|txt)$|^keys\.toml$",
    re.IGNORECASE,
)
_LOG_NAMES: Final = re.compile(r"\.(log|txt|out)(\.gz)?$", re.IGNORECASE)
#: Files that are never a log, though text.
_DATA: Final = frozenset({".json", ".toml", ".yaml", ".yml", ".csv", ".html", ".xml", ".js", ".py", ".sh", ".md"})
#: Larger texts are no serial log of a ticket.
_MAX_LOG: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Sorted:
    """The files of a ticket by what they are, and in ``taken`` what each was taken for, in their order."""

    captures: tuple[TicketFile, ...]
    ring: KeyRing
    logs: tuple[Log, ...]
    taken: tuple[tuple[str, TakenAs], ...]


def may_be_key_or_log(item: TicketFile) -> bool:
    """Whether its name makes a file beside captures worth looking into."""
    return not item.leftover and bool(_KEY_NAMES.search(item.name) or _LOG_NAMES.search(item.name))


def sort(files: tuple[TicketFile, ...], left: tuple[str, ...] = (), passphrases: tuple[bytes, ...] = ()) -> Sorted:
    """Look at every file once. A log is no key, whatever digits are in it; what is neither is left alone."""
    from analyzer.devicelog import DeviceLog

    taken: dict[str, TakenAs] = {}
    captures: list[TicketFile] = []
    logs: list[Log] = []
    keys: list[TicketFile] = []
    for item in files:
        taken[item.inside] = TakenAs.LEFT
        if item.leftover:
            continue
        if item.is_capture:
            captures.append(item)
            taken[item.inside] = TakenAs.CAPTURE
        elif (log := _log(item)) is not None:
            logs.append(log)
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
    return Sorted(tuple(captures), ring, tuple(logs), tuple(taken.items()))


def _key_file(item: TicketFile) -> KeyFile:
    # Out of an archive: as it is called where the archive is unpacked.
    return KeyFile(item.inside, item.path if item.data is None else item.inside, item.read, item.mode)


def _log(item: TicketFile) -> Log | None:
    """The log a file is, of a device or a server, or None: at least one line in it that firmware or an open server writes."""
    from analyzer.devicelog import DeviceLog
    from analyzer.witnesses import read_log

    suffix = PurePosixPath(item.name.lower().removesuffix(".gz")).suffix
    if suffix in _DATA or _KEY_NAMES.search(item.name) or not 0 < item.size <= _MAX_LOG:
        return None
    if not _LOG_NAMES.search(item.name) and b"\0" in item.head(4096):
        return None
    try:
        log = read_log(item.source(), name=item.name)
    except InputError:
        return None
    if isinstance(log, DeviceLog):
        return log if log.events or log.attempts else None
    return log if log.connections or log.about else None
