"""What a file holds: keys to be built, session secrets, or nothing (with the reason)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from analyzer.keys import findings as lint
from analyzer.keys import images, sessions, texts
from analyzer.keys.blob import Blob
from analyzer.keys.key import Key, SessionSecret
from analyzer.keys.reading import PRIVATE_DUMPS, SERVER_DUMPS
from analyzer.keys.roles import Claim
from analyzer.model import Role

#: Files that are never keys but often lie beside them.
_CAPTURE_MAGICS: Final = (
    b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1", b"\x0a\x0d\x0d\x0a", b"\x1f\x8b",
)  # fmt: skip
#: Extensions under which a file without any key is worth a complaint instead of silence.
_KEY_SUFFIXES: Final = frozenset({".der", ".pem", ".key", ".cer", ".crt", ".pub", ".p8", ".pk8", ".keylog"})


#: Extensions of what lies beside keys under a device's name (server records, logs, notes).
_OTHER: Final = frozenset({".json", ".txt", ".md", ".log", ".csv", ".db", ".html", ".toml", ".yaml", ".yml", ".js"})


@dataclass(frozen=True, slots=True)
class Contents:
    """The blobs of a file and its secrets; ``reason`` says why a file was passed over and is None otherwise."""

    blobs: tuple[Blob, ...] = ()
    secrets: Key | None = None
    reason: str | None = None


def read_contents(data: bytes, claim: Claim) -> Contents:
    """Look into a file. Never raises on content."""
    expected = claim.role or claim.hint.role
    suffix = PurePosixPath(claim.file.lower()).suffix
    in_a_slot = len(data) in PRIVATE_DUMPS | SERVER_DUMPS
    if suffix == ".bin" and not in_a_slot and not claim.hint.secrets:
        expected = claim.role  # firmware has this ending as well
    named = claim.role is not None or suffix in _KEY_SUFFIXES or (expected is not None and suffix not in _OTHER)
    should_be_key = named or (suffix == ".bin" and in_a_slot)
    if data.startswith(_CAPTURE_MAGICS):
        return Contents(reason="a capture or archive, not a key")
    text = texts.as_text(data)
    if text is not None and len(data) > texts.MAX_TEXT:
        return Contents(reason=f"a text of {len(data)} bytes: too long to be a key or a device's log")
    if text is not None:
        return _from_text(text, claim, should_be_key=should_be_key)
    persisted = sessions.read_persisted(data)
    if persisted:
        return Contents(images.blobs(data) if len(data) > images.MIN_SIZE else (), _saved(claim, persisted))
    if expected is Role.SESSION_SECRETS and not data.startswith(b"\x30"):
        return Contents((), _unusable_secrets(claim, "no saved session in it"))
    in_image = images.blobs(data)
    if in_image:
        return Contents(in_image)
    if should_be_key or data.startswith(b"\x30"):
        return Contents((Blob(data),))
    return Contents(reason="no key in it" if data else "empty")


def _from_text(text: str, claim: Claim, *, should_be_key: bool) -> Contents:
    if sessions.looks_like_key_log(text):
        return Contents((), _key_log(claim, sessions.read_key_log(text)))
    found = tuple(texts.blobs(text))
    if found:
        return Contents(found)
    if claim.hint.secrets or claim.role is Role.SESSION_SECRETS:
        return Contents((), _unusable_secrets(claim, "no secrets in it"))
    if should_be_key:
        return Contents((Blob(b"", "text", problem="a text that holds no key"),))
    return Contents(reason="text without a key")


def _key_log(claim: Claim, secrets: tuple[SessionSecret, ...]) -> Key:
    problem = None if secrets else "a key log without TLS 1.2 secrets (CLIENT_RANDOM lines)"
    status: Literal["ok", "unusable"] = "ok" if secrets else "unusable"
    return Key(
        claim.file,
        Role.SESSION_SECRETS,
        _owner(claim),
        "TLS key log",
        "session",
        None,
        None,
        status,
        problem,
        secrets=secrets,
    )


def _saved(claim: Claim, secrets: tuple[SessionSecret, ...]) -> Key:
    saved = secrets[0].persisted
    assert saved is not None
    build = ", 64-bit build" if saved.wide else ""
    kind = f"saved DTLS session (SessionPersist, {saved.layout + 4 * saved.wide} bytes{build})"
    notes = (
        ()
        if saved.valid
        else (
            lint.note(
                "session-discarded",
                "the device has marked this session as discarded (size 0); its secret still opens what was sent",
            ),
        )
    )
    return Key(
        claim.file, Role.SESSION_SECRETS, _owner(claim), kind, "session", None, None, "ok", None, notes, secrets=secrets
    )


def _unusable_secrets(claim: Claim, problem: str) -> Key:
    return Key(
        claim.file, Role.SESSION_SECRETS, _owner(claim), "session secrets", "session", None, None, "unusable", problem
    )


def _owner(claim: Claim) -> str | None:
    return claim.device_id or claim.hint.device_id
