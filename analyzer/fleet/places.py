"""Where captures lie: paths, and URLs that fsspec opens."""

from __future__ import annotations

import re
from typing import BinaryIO, cast

from analyzer.errors import InputError

#: A scheme of two letters or more, so that `C:\\captures` stays a path.
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_url(word: str) -> bool:
    """Whether ``word`` is a URL."""
    return _URL.match(word) is not None


def open_url(url: str) -> BinaryIO:
    """The content behind a URL as a seekable stream. Raises InputError when it cannot be had."""
    try:
        import fsspec
    except ImportError as error:
        raise InputError(url, "URLs need fsspec", "install the extra, in the clone: pip install '.[remote]'") from error
    try:
        return cast(BinaryIO, fsspec.open(url, "rb").open())
    except Exception as error:  # noqa: BLE001 - every file system of fsspec has errors of its own
        raise InputError(url, _told(error)) from error


def expand_url(url: str) -> tuple[str, ...]:
    """The captures a URL means: itself, what a glob in it matches, or what is below it. Raises InputError for none."""
    from analyzer.inputs import NAMES

    try:
        import fsspec
    except ImportError as error:
        raise InputError(url, "URLs need fsspec", "install the extra, in the clone: pip install '.[remote]'") from error
    scheme = url.partition("://")[0]
    try:
        system, path = fsspec.core.url_to_fs(url)
        if any(char in path for char in "*?["):
            found = sorted(system.glob(path))
        elif scheme not in ("http", "https") and system.isdir(path):
            found = sorted(item for item in system.find(path) if item.lower().endswith(NAMES))
        else:
            return (url,)
    except Exception as error:  # noqa: BLE001 - every file system of fsspec has errors of its own
        raise InputError(url, _told(error)) from error
    if not found:
        raise InputError(url, "no captures there", "captures are .pcap or .pcapng files, also .gz")
    return tuple(str(system.unstrip_protocol(item)) for item in found)


def _told(error: Exception) -> str:
    """One line about a failure of a file system; credentials that a URL may carry are not in it."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "access denied"
    if isinstance(error, ImportError):
        return f"its file system is not installed: {error}"
    return f"cannot be read: {type(error).__name__}"
