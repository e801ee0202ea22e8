"""What a worker does with one capture: read it once, know its content, analyse it if that is new."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from analyzer.errors import InputError
from analyzer.fleet.answer import Answer, Known, Unchanged, answer_of, given_up
from analyzer.fleet.places import is_url, open_url
from analyzer.fleet.tickets import Tickets, contents, in_archive
from analyzer.fleet.uses import TracedRing
from analyzer.keys import KeyRing
from analyzer.pipeline import Options, analyze_capture
from analyzer.tickets import is_archive

#: Captures up to this size are read once into memory and hashed there; larger ones are read twice.
_SMALL = 32 << 20
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one capture may cost: seconds, and megabytes of memory of its worker."""

    seconds: float = 300.0
    megabytes: int = 2048


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker of a run is given once. The ring is secret, and shown as counts only."""

    ring: KeyRing
    options: Options = field(default_factory=Options)
    limits: Limits = field(default_factory=Limits)
    #: What has its result in the store.
    done: Collection[Known] = field(default=frozenset(), repr=False)
    #: Whence the keys that single captures have beside those of the run.
    tickets: Tickets | None = None


def analyze(path: str, setup: Setup, begun: Callable[[Known], None] = lambda known: None) -> Answer | Unchanged:
    """The answer for the capture at ``path`` (a file, or a URL fsspec knows).

    ``begun`` is told what the result is known by before the work on it begins. Raises MemoryError only.
    """
    known: Known | None = None
    try:
        with _opened(path) as stream:
            content, source = _digest(path, stream)
            known = Known(content)
            begun(known)
            given = setup.ring if setup.tickets is None else setup.tickets.ring(path)
            if given.fingerprint_of_folder != setup.ring.fingerprint_of_folder:
                known = Known(content, bytes.fromhex(given.fingerprint_of_folder))
                begun(known)
            if known in setup.done:
                return Unchanged(path, known.sha256, known.own_keys)
            ring = TracedRing.of(given)
            # One process each: the cores are busy with other captures, and the time limit is for this process.
            report = analyze_capture(source, ring, replace(setup.options, jobs=1), name=path)
        answer = ring.on(answer_of(report, ring, sha256=known.sha256))
        return replace(answer, keys=known.own_keys, key_rows=given.rows()) if known.keys else answer
    except InputError as error:
        problem = error.problem + (f" ({error.hint})" if error.hint else "")
        return given_up(path, "unreadable", problem, known=known, stopped=None if known else "unreadable")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return given_up(path, "unreadable", f"cannot be read: {reason}", stopped="unreadable")
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a defect of ours on one capture is that capture's row, never the end of the run
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return given_up(
            path,
            "internal-error",
            f"a defect of the analyzer: {type(error).__name__} at {where}; please report it with this capture, redacted",
            known=known,
            stopped="crash",  # no result: tried again by the next run
        )


def _opened(path: str) -> BinaryIO:
    if is_url(path):
        return open_url(path)
    file = Path(path)
    packed = None if file.exists() else in_archive(path)
    if packed is not None:
        archive, name = packed
        data = next((item.data for item in contents(str(archive)) if item.inside == name), None)
        if data is None:
            raise InputError(path, "is not in this archive any more")
        return BytesIO(data)
    if file.is_file() and is_archive(file):  # else its captures would stand here, each by its name
        contents(path)
        raise InputError(path, "no captures in it", "captures are .pcap or .pcapng files, also .gz")
    if file.is_dir():
        raise InputError(path, "is a folder")
    return cast(BinaryIO, file.open("rb"))


def _digest(path: str, stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """The content's SHA-256, and a stream at its beginning."""
    head = stream.read(_SMALL)
    if len(head) < _SMALL:
        return sha256(head).digest(), BytesIO(head)
    digest = sha256(head)
    while block := stream.read(_BLOCK):
        digest.update(block)
    if not stream.seekable():
        raise InputError(path, "cannot be read twice", "copy it to a file first")
    stream.seek(0)
    return digest.digest(), stream
