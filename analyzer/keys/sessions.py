"""Session secrets: NSS key logs (files and pcapng secrets blocks) and what a device keeps of its DTLS session.

Source: NSS Key Log Format (`CLIENT_RANDOM <64 hex> <96 hex>`), RFC 9850 section 2.
"""

from __future__ import annotations

import re
from typing import Final

from analyzer.keys.key import SessionSecret
from dissectors.dtls import persist

_LINE: Final = re.compile(r"^[ \t]*CLIENT_RANDOM[ \t]+([0-9A-Fa-f]{64})[ \t]+([0-9A-Fa-f]{96})[ \t\r]*$", re.MULTILINE)
_LABELLED: Final = re.compile(
    r"^[ \t]*(CLIENT_RANDOM|RSA|CLIENT_(HANDSHAKE_|EARLY_)?TRAFFIC_SECRET(_0)?|SERVER_(HANDSHAKE_)?TRAFFIC_SECRET(_0)?"
    r"|EXPORTER_SECRET|EARLY_EXPORTER_SECRET)[ \t]+[0-9A-Fa-f]+[ \t]+[0-9A-Fa-f]+",
    re.MULTILINE,
)
#: Sessions taken from one file: far more than any capture holds.
_MAX_SECRETS: Final = 100_000


def looks_like_key_log(text: str) -> bool:
    """Whether a text has at least one line of an NSS key log."""
    return _LABELLED.search(text) is not None


def read_key_log(text: str) -> tuple[SessionSecret, ...]:
    """The TLS 1.2 master secrets of a key log; lines of other versions and damaged lines are passed over."""
    found: list[SessionSecret] = []
    for match in _LINE.finditer(text):
        if len(found) == _MAX_SECRETS:
            break
        found.append(SessionSecret(bytes.fromhex(match.group(1)), bytes.fromhex(match.group(2))))
    return tuple(found)


def read_persisted(data: bytes) -> tuple[SessionSecret, ...]:
    """The saved sessions anywhere in ``data`` (a SessionPersist dump, or a RAM dump that contains one)."""
    return tuple(
        SessionSecret(saved.client_random, saved.master_secret, saved) for _, saved in persist.find_sessions(data)
    )
