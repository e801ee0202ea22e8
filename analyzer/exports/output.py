"""A file that is there whole or not at all, and never in place of the one it was made from."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from analyzer.errors import InputError


@contextlib.contextmanager
def new_file(output: Path, source: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A file to write that becomes ``output`` when the block ends without an exception.

    It is written beside ``output`` and renamed at the end. ``private``: readable by its owner only (mode 0600), from the
    first byte on; so is what replaces a file that only its owner may read. Raises :class:`InputError` when ``output`` is ``source`` under any name, or cannot be written.
    """
    if _same(output, source):
        raise InputError(str(output), "is the capture that is read", "name another output file")
    if output.exists() and not output.is_file():
        # A device or a pipe is written to, not replaced.
        try:
            with output.open("wb") as file:
                yield file
        except OSError as error:
            raise InputError(str(output), f"cannot be written: {error.strerror or error}") from error
        return
    private = private or _private(output)
    temporary = output.with_name(f".{output.name}.{secrets.token_hex(4)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    except OSError as error:
        raise InputError(str(output), f"cannot be written: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        temporary.replace(output)
    except OSError as error:
        raise InputError(str(output), f"cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def make_private(file: BinaryIO) -> None:
    """From here on only its owner may read the file (where the system knows such modes)."""
    if hasattr(os, "fchmod") and S_ISREG(os.fstat(file.fileno()).st_mode):
        os.fchmod(file.fileno(), 0o600)


def _private(output: Path) -> bool:
    """It is there, and its owner's alone."""
    try:
        return os.name == "posix" and not output.stat().st_mode & 0o077
    except OSError:
        return False


def _same(output: Path, source: Path) -> bool:
    try:
        return output.samefile(source)
    except OSError:
        return output.absolute() == source.absolute()
