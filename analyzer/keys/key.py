"""The types of a key folder: a key with what is wrong with it, a stored server address, a session's secrets.

Everything secret is kept out of ``repr``, so that no log line or assertion can show it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

from analyzer.keys.ec import POINT_SIZE, EcKey
from analyzer.keys.rsa import RsaKey
from analyzer.model import KeyRow, Role
from dissectors.dtls.persist import SessionPersist

Severity = Literal["error", "warning", "note"]
Algorithm = Literal["rsa", "ec", "session"]
Transport = Literal["tcp", "udp"]
#: What makes a public key the cloud's record of a device: "kept" (keys.toml, a server's folder or database, a name that
#: says so), "named" (`ID.pub.pem` and no more), "own-half" (no record at all: the pair of the private key beside it).
Record = Literal["kept", "named", "own-half"]
#: What would mend it; the folder it lies in gives the names for the commands (fixes.py).
Fix = Literal[
    "", "server-key", "address", "cloud-key", "new-rsa", "new-ec", "new-key", "pkcs1", "sec1", "save", "public", "mode"
]


@dataclass(frozen=True, slots=True)
class KeyFinding:
    """Something about a key file that a person should know. ``code`` is stable kebab-case.

    ``error``: the device or the cloud cannot work with this; ``warning``: it will bite; ``note``: a tolerance used.
    """

    code: str
    severity: Severity
    summary: str
    remedy: str = ""
    commands: tuple[str, ...] = ()
    fix: Fix = ""


@dataclass(frozen=True, slots=True)
class FileFinding:
    """A finding and the file (and device) it is about."""

    file: str
    finding: KeyFinding
    device_id: str | None = None


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a device goes, as stored behind its server key.

    ``kind``: "unset" is blank flash (type 255), "invalid" a record no firmware takes. ``port`` None is the default,
    5683 for TCP and 5684 for UDP. ``host`` is None unless the kind is "ip" or "domain".
    """

    kind: Literal["ip", "domain", "unset", "invalid"]
    host: str | None
    port: int | None
    transport: Transport
    #: The record's type byte.
    type_byte: int = 0xFF

    def __str__(self) -> str:
        if self.host is None:
            return self.kind
        return self.host if self.port is None else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SessionSecret:
    """The master secret of one DTLS session (48 bytes) and the client random that names it (32 bytes)."""

    client_random: bytes
    master_secret: bytes = field(repr=False)
    #: What a device kept of the session, when that is where the secret comes from.
    persisted: SessionPersist | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a folder: where it is, what it is, what is wrong with it, and the means to compute with it.

    A file can hold several (a flash image, a bundle); ``part`` then says which. ``rsa`` of a device's private slot is
    what the firmware reads there, by position; :func:`analyzer.keys.repair` tells what was meant.
    """

    #: Path relative to the folder given, or the name of the single file.
    file: str
    role: Role
    device_id: str | None
    kind: str
    algorithm: Algorithm | None
    bits: int | None
    #: SHA-256 of the SubjectPublicKeyInfo DER, in hex.
    fingerprint: str | None
    status: Literal["ok", "unusable"]
    problem: str | None = None
    findings: tuple[KeyFinding, ...] = ()
    part: str = ""
    #: Where in the file the slot begins, for one of several in a flash image.
    offset: int | None = None
    #: How the bytes are written down: "pem", "der", "hex", "base64", "log", "flash".
    encoding: str = "der"
    #: False for a piece that its container cut (a log line): no sign of damage in the device.
    whole: bool = True
    #: What such a piece shows of the public number: the first bytes of the modulus, or of the point behind its 04.
    public_prefix: bytes | None = field(default=None, repr=False)
    #: SubjectPublicKeyInfo DER of the public half; not shown, because a damaged slot can have private bytes there.
    spki: bytes | None = field(default=None, repr=False)
    server_address: ServerAddress | None = None
    #: A backup that the command-line tool took before it wrote another key.
    superseded: bool = False
    #: Of a cloud copy only; None for every other role.
    record: Record | None = None
    #: Where the file is, absolute, and as it is typed where the program was started (a worker of a cluster runs
    #: elsewhere); "" for what is in no file.
    path: str = field(default="", repr=False)
    typed: str = field(default="", repr=False)
    rsa: RsaKey | None = field(default=None, repr=False)
    ec: EcKey | None = field(default=None, repr=False)
    #: The raw bytes as stored in the device's slot, even when no key can be made of them; None for a PEM file and for
    #: a piece too short to hold what the device shows of it.
    slot: bytes | None = field(default=None, repr=False)
    secrets: tuple[SessionSecret, ...] = field(default=(), repr=False)

    @property
    def scrap(self) -> bool:
        """Whether these are bytes in a log or a note that read as no key: they show nothing of what is in a slot."""
        return self.status == "unusable" and self.encoding in ("log", "base64", "hex")

    @property
    def has_private(self) -> bool:
        """Whether a usable private half is in hand."""
        return (self.rsa is not None and self.rsa.has_private) or (self.ec is not None and self.ec.has_private)

    @property
    def reached(self) -> str:
        """How the file is named in a command that is typed where the program was started."""
        return self.typed or self.file

    @property
    def folder(self) -> str:
        """The folder it lies in, as an absolute path: two files given one by one may lie side by side."""
        return str(Path(self.path).parent) if self.path else ""

    @property
    def public_number(self) -> bytes | None:
        """Modulus or point (without its 04) as bytes: what ``public_prefix`` is the beginning of."""
        if self.rsa is not None:
            return self.rsa.n.to_bytes((self.rsa.bits + 7) // 8, "big")
        return None if self.ec is None else self.ec.spki[-POINT_SIZE + 1 :]

    def row(self) -> KeyRow:
        """The key as the report names it."""
        return KeyRow(
            self.file,
            self.role,
            self.device_id,
            self.kind,
            self.bits,
            self.fingerprint,
            self.status,
            self.problem,
            reached=self.reached,
        )


def fingerprint(spki: bytes) -> str:
    """SHA-256 of a SubjectPublicKeyInfo, in hex."""
    return sha256(spki).hexdigest()
