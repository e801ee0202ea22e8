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
from analyzer.fleet.answer import Answer, Unchanged, answer_of, given_up
from analyzer.fleet.places import is_url, open_url
from analyzer.fleet.uses import TracedRing
from analyzer.keys import KeyRing
from analyzer.pipeline import Options, analyze_capture

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
    #: SHA-256 digests (32 bytes) of content whose result is in the store.
    done: Collection[bytes] = field(default=frozenset(), repr=False)


def analyze(path: str, setup: Setup, begun: Callable[[bytes], None] = lambda digest: None) -> Answer | Unchanged:
    """The answer for the capture at ``path`` (a file, or a URL fsspec knows).

    ``begun`` is told the content's digest before the work on it begins. Raises MemoryError only.
    """
    name: bytes | None = None
    try:
        with _opened(path) as stream:
            name, source = _digest(path, stream)
            begun(name)
            if name in setup.done:
                return Unchanged(path, name.hex())
            ring = TracedRing.of(setup.ring)
            # One process each: the cores are busy with other captures, and the time limit is for this process.
            report = analyze_capture(source, ring, replace(setup.options, jobs=1), name=path)
        answer = answer_of(report, ring, sha256=name.hex())
        return ring.on(answer)
    except InputError as error:
        problem = error.problem + (f" ({error.hint})" if error.hint else "")
        if name is None:
            return given_up(path, "unreadable", problem, stopped="unreadable")
        return given_up(path, "unreadable", problem, sha256=name.hex())
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
            sha256=name.hex() if name is not None else None,
            stopped="crash",  # no result: tried again by the next run
        )


def _opened(path: str) -> BinaryIO:
    if is_url(path):
        return open_url(path)
    file = Path(path)
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
