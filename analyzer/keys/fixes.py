"""What to do about a finding, with the names that the files of this folder have.

How it works. A finding says which kind of thing would mend it; here it gets its words and commands. The lines themselves
are those of `analyze` (analyzer/commands.py); what fills them in comes from the folder: the cloud's key file, the address
in the device's slot, and names for new files that no file here has yet. A folder seldom says whether a device belongs to
Particle's cloud or to another: then both ways are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import PurePosixPath
from typing import Final

from analyzer import commands
from analyzer.keys import address
from analyzer.keys.findings import quoted
from analyzer.keys.key import FileFinding, Key, KeyFinding
from analyzer.keys.published import PUBLISHED
from analyzer.keys.ring import KeyRing
from analyzer.keys.rsa import SERVER_BITS
from analyzer.model import Role
from dissectors.handshakes import Algorithm, Transport, usual_port

_ID: Final = "ID"
_TOOL: Final[dict[Transport, Algorithm]] = {"tcp": "rsa", "udp": "ec"}
#: What particle-cli calls the old key when it writes another one (before 1.9; since).
_BACKUPS: Final = ("pre_", "backup_rsa_", "backup_ec_")
#: The DCT's place for a TCP device's private key; a key slot dump holds 612 bytes of it (dct.h, reference/tcp.md 4.2).
_DCT_PRIVATE: Final = 1216
#: Files in one command; for more, one that takes the whole folder.
_MOST_FILES: Final = 40

_CUSTOM: Final = "Write this server's public key and its address to the device (over USB)."
_EITHER: Final = (
    "Write the cloud's public key and address to the device (over USB). Particle's cloud: the first command, no file needed. "
    "Your own cloud: what follows it."
)
_PARTICLE: Final = "Put Particle's public key and address back on the device (over USB; no file needed)."
_NO_HOST: Final = " HOST is that server's own name or address; nothing here tells it."
_NO_FILE: Final = f" {commands.STAND_IN} is that server's public key; it is not in this folder."
_NEW_KEY: Final = (
    "Give the device a new pair (over USB) and the cloud its public half. particle-cli before 1.9, if saving the old key "
    "stops it: `keys load` with --force."
)
_WHEREVER: Final = (
    " Your own cloud: copy the .pub.pem over the device's file in its data/deviceKeys/ or core_keys/ instead."
)
_FLASH: Final = "A Core that answers with ERASE_PAGE errors has a defective flash: replace it."
_PART: Final = "Only a part of the key is here. Convert the file that was loaded, where it is at hand. If not:"
_KEPT: Final = "It stays the same key, so what the cloud has on file for it stays right: nothing to send."


class Fixes:
    """The words and commands for the findings of one folder."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        names = [key.file for key in ring.keys] + [item.file for item in ring.skipped]
        self._taken = {PurePosixPath(name).name.lower() for name in names}

    def of(self, key: Key, finding: KeyFinding) -> KeyFinding:
        """The finding about ``key`` with what to do about it; unchanged when it says that itself."""
        if not finding.fix:
            return finding
        text, lines = self._carried_out(key, finding)
        said = " ".join(part for part in (finding.remedy, text) if part)
        return replace(finding, remedy=said, commands=tuple(lines))

    def _carried_out(self, key: Key, finding: KeyFinding) -> tuple[str, Sequence[str]]:
        if finding.fix in ("server-key", "address", "cloud-key"):
            return self._server_key(key, finding)
        if finding.fix in ("pkcs1", "sec1"):
            return self._rewritten(key, "rsa" if finding.fix == "pkcs1" else "ec")
        if finding.fix == "save":
            stem = self._free(f"{key.device_id or _ID}.device", ".der", ".pub.pem")
            return "", (f"particle keys save {stem}.der",)
        if finding.fix == "mode":
            return "Keep it to yourself.", (f"chmod 600 {quoted(key.file)}",)
        if finding.fix == "public":
            cut, file, form = self._file_of(key)
            target = self._free("public", ".pem") + ".pem"
            return "", (*cut, f"openssl pkey -inform {form} -in {file} -pubout -out {target}")
        loaded = self._at_hand(key)
        if loaded is not None:
            return self._load(loaded)
        if finding.fix == "new-key":
            return self._new_key(key.device_id)
        return self._new_pair(key.device_id, "ec" if finding.fix == "new-ec" else "rsa")

    # --- the cloud's key and address on the device --------------------------------------------------------------------

    def _server_key(self, key: Key, finding: KeyFinding) -> tuple[str, Sequence[str]]:
        where = key.server_address
        transport: Transport = where.transport if where is not None else "udp" if key.algorithm == "ec" else "tcp"
        public, private = (self._cloud_file(role, _TOOL[transport]) for role in (Role.CLOUD_PUBLIC, Role.CLOUD_PRIVATE))
        if finding.fix == "cloud-key":  # the server is to make itself a new one
            public, private = None, quoted(key.file)
        elif finding.fix == "address" and key.fingerprint in PUBLISHED:
            return "Nothing is missing: the key is Particle's as well.", ()
        elif where is not None and where.kind == "unset" and self._is_foreign(key):
            return self._written_back(key, transport, public or private)
        host = where.host if where is not None and not address.is_particle(where.host) else None
        told = host if host is not None and commands.HOST.fullmatch(host) else None
        port = where.port if where is not None and where.port and told else usual_port(transport)
        # What a device cannot hold is not written to it again: the server needs another key first.
        small = transport == "tcp" and finding.fix == "server-key" and self._too_small()
        renew = ("The cloud's own key has to be 2048 bits first: let the server make a new one. ") if small else ""
        der, make = commands.cloud_public(public, private, _TOOL[transport])
        own = commands.load_server_key(der, told or "HOST", port, transport)
        lines = [line for line in (make, own) if line]
        missing = ("" if told else _NO_HOST) + ("" if public or private else _NO_FILE)
        # What is wrong may be the address itself: then it does not tell whose device this is.
        address_counts = finding.code != "server-key-and-address-differ"
        if public or private or (host is not None and address_counts):
            return renew + _CUSTOM + missing, lines
        if finding.fix == "address":
            return f"If this device belongs to a custom cloud: {_lower(_CUSTOM)}{missing}", lines
        if where is not None and address.is_particle(where.host) and address_counts:
            return _PARTICLE, ("particle keys server",)
        return _EITHER + missing, ("particle keys server", *lines)

    def _too_small(self) -> bool:
        """Whether the folder's only cloud keys are ones that no device can hold."""
        sizes = [
            key.bits for role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC) for key in self._ring.by_role(role, "rsa")
        ]
        return bool(sizes) and all(bits is not None and bits != SERVER_BITS for bits in sizes)

    def _is_foreign(self, key: Key) -> bool:
        """Whether a stored server key is neither Particle's nor of a cloud in the folder."""
        clouds = (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC)
        known = self._ring.by_fingerprint(key.fingerprint or "")
        return key.fingerprint is not None and not any(other.role in clouds for other in known)

    def _written_back(self, key: Key, transport: Transport, here: str | None) -> tuple[str, Sequence[str]]:
        """A key that only the device has, beside an address that is gone: the key is right, as far as anything here tells."""
        text = "Write the stored key back with the address of the cloud it is of (over USB; they share one slot)."
        text += (
            _NO_HOST
            if here is None
            else f"{_NO_HOST} If the device belongs to the cloud of {here}, give it that key instead."
        )
        if key.slot is None or key.spki is None or not key.slot.startswith(key.spki):
            return text, ()
        target = self._free(f"{key.device_id or _ID}.stored_key", ".der") + ".der"
        tool: Algorithm = "rsa" if transport == "tcp" else "ec"
        cut = commands.out_of_slot(quoted(key.file), tool, target)
        if key.offset is not None:
            cut = f"dd if={quoted(key.file)} bs=1 skip={key.offset} count={len(key.spki)} of={target}"
        return text, (cut, commands.load_server_key(target, "HOST", usual_port(transport), transport))

    def _cloud_file(self, role: Role, tool: Algorithm) -> str | None:
        """The folder's key of a cloud that is not Particle's."""
        found = (key for key in self._ring.by_role(role, tool) if key.status == "ok" and not key.part)
        return next((quoted(key.file) for key in found if key.fingerprint not in PUBLISHED), None)

    # --- the device's key ---------------------------------------------------------------------------------------------

    def _rewritten(self, key: Key, tool: Algorithm) -> tuple[str, Sequence[str]]:
        """The same key, written as a device reads it: from this file, or from another that has all of it."""
        own = self._ring.for_device(key.device_id, Role.DEVICE_PRIVATE)
        alike = (other for other in (key, *own) if other.fingerprint == key.fingerprint and not _cut(other))
        source = next(alike, None) if key.fingerprint is not None else None
        if source is None:
            told, lines = self._new_pair(key.device_id, tool)
            return f"{_PART} {_lower(told)}", lines
        name, kind = ("pkcs1", "PKCS#1") if tool == "rsa" else ("sec1", "SEC1")
        target = self._free(f"{key.device_id or _ID}.{name}", ".der") + ".der"
        cut, file, form = self._file_of(source)
        lines = (*cut, *commands.rewritten(file, form, tool, target))
        text = f"Write the same key as {kind} and load that (over USB)."
        old = f" {commands.OLD_OPENSSL}." if tool == "rsa" else ""
        if self._is_on_file(key) or not any(other.superseded for other in own):
            return f"{text} {_KEPT}{old}", lines
        # It was to replace another key, which lies here as well: the cloud may still have that one.
        told, given = self.give_cloud(source)
        return f"{text}{old} {told}", (*lines, *given)

    def _is_on_file(self, key: Key) -> bool:
        """Whether a copy of the cloud's shows that it has the public half of ``key``."""
        copies = self._ring.for_device(key.device_id, Role.CLOUD_COPY)
        return key.fingerprint is not None and any(copy.fingerprint == key.fingerprint for copy in copies)

    def _at_hand(self, key: Key) -> Key | None:
        """The key that was to replace ``key``, a damaged read-out, when it lies beside it in one piece."""
        if not key.superseded:
            return None
        beside = self._ring.for_device(key.device_id, Role.DEVICE_PRIVATE, key.algorithm)
        ready = (other for other in beside if not other.superseded and other.encoding == "der" and not other.part)
        return next((other for other in ready if other.status == "ok" or (_is_pkcs8(other) and not _cut(other))), None)

    def _load(self, key: Key) -> tuple[str, Sequence[str]]:
        """Write to the device the key that lies here for it."""
        if _is_pkcs8(key):
            return self._rewritten(key, _tool_of(key))
        load = commands.load(quoted(key.file))
        if self._is_on_file(key):
            return f"Load the pair that is at hand (over USB); the cloud has its public half. {_FLASH}", (load,)
        public, made, told = self._public(key)
        given, lines = self._given(key.device_id, _tool_of(key), public)
        text = f"Load the pair that is at hand (over USB) and give the cloud its public half.{told}{given} {_FLASH}"
        return text, (load, *made, *lines)

    def _new_pair(self, device_id: str | None, tool: Algorithm) -> tuple[str, Sequence[str]]:
        name = device_id or _ID
        stem = self._free(f"{name}_{tool}_new", ".pem", ".der", ".pub.pem")
        told, given = self._given(device_id, tool, f"{stem}.pub.pem")
        old = f" {commands.OLD_OPENSSL}." if tool == "rsa" else ""
        return f"{_NEW_KEY}{old}{told}", (*commands.new_pair(stem, tool), *given)

    def _new_key(self, device_id: str | None) -> tuple[str, Sequence[str]]:
        """Of the kind that particle-cli finds the device to need."""
        stem = self._free(f"{device_id or _ID}_new", ".pem", ".der", ".pub.pem")
        lines = (f"particle keys new {stem}", commands.load(f"{stem}.der"))
        return _NEW_KEY + _WHEREVER, (*lines, commands.send(device_id or _ID, f"{stem}.pub.pem"))

    def give_cloud(self, key: Key) -> tuple[str, Sequence[str]]:
        """Give the cloud the public half of ``key``, a device's own key (either half of it)."""
        public, made, told = self._public(key)
        given, lines = self._given(key.device_id, _tool_of(key), public)
        text = f"Give the cloud the public half of the key the device holds ({quoted(key.file)})."
        return text + told + given, (*made, *lines)

    def _public(self, key: Key) -> tuple[str, tuple[str, ...], str]:
        """A PEM file of the public half of ``key``, the commands that make it where there is none, and words on these."""
        for half in self._ring.for_device(key.device_id, Role.DEVICE_PUBLIC):
            if half.fingerprint == key.fingerprint and half.encoding == "pem" and not half.part:
                return quoted(half.file), (), ""
        stem = f"{key.device_id or _ID}.device"
        if key.encoding not in ("pem", "der", "flash"):
            stem = self._free(stem, ".der", ".pub.pem")
            read = " Reading the key out of the device (over USB) also writes it."
            return f"{stem}.pub.pem", (f"particle keys save {stem}.der",), read
        target = self._free(stem, ".pub.pem") + ".pub.pem"
        cut, file, form = self._file_of(key)
        if key.role is Role.DEVICE_PUBLIC:
            return target, (*cut, f"openssl pkey -pubin -inform {form} -in {file} -out {target}"), ""
        return target, (*cut, commands.public_half(file, form, _tool_of(key), target)), ""

    def _given(self, device_id: str | None, tool: Algorithm, public: str) -> tuple[str, tuple[str, ...]]:
        """How the cloud gets the public half ``public``: what is to be said besides, and the command."""
        name = device_id or _ID
        custom = self._custom(device_id, tool)
        if custom and tool == "ec":
            return f" Your own cloud: replace the key it has on file for {name} with {public}.", ()
        if custom:
            files = [
                key.file for role in (Role.CLOUD_COPY, Role.CLOUD_PRIVATE) for key in self._ring.by_role(role, tool)
            ]
            kind = commands.server_kind(*files)
            other = (
                ""
                if kind
                else f" The path is that of Brewskey's spark-server; in spark-server it is {commands.STORES['spark-server']}/."
            )
            return other, (commands.put(name, public, kind or "brewskey"),)
        return ("" if custom is False else _WHEREVER), (commands.send(name, public),)

    def _custom(self, device_id: str | None, tool: Algorithm) -> bool | None:
        """Whether the device belongs to a cloud of its owner's; None when nothing here tells."""
        if any(self._cloud_file(role, tool) for role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC)):
            return True
        for slot in self._ring.for_device(device_id, Role.DEVICE_SERVER_KEY, tool):
            where = slot.server_address
            if where is not None and where.host is not None:
                return not address.is_particle(where.host)
            if slot.fingerprint in PUBLISHED:
                return False
        return None

    def _file_of(self, key: Key) -> tuple[tuple[str, ...], str, commands.Form]:
        """The file to read a key from, with the command that cuts it out of an image first, and how it is written."""
        if key.offset is None or key.slot is None:
            return (), quoted(key.file), "PEM" if key.encoding == "pem" else "DER"
        target = self._free("slot", ".der") + ".der"
        size = _DCT_PRIVATE if "cut off" in (key.problem or "") else len(key.slot)
        return (f"dd if={quoted(key.file)} bs=1 skip={key.offset} count={size} of={target}",), target, "DER"

    def _free(self, stem: str, *endings: str) -> str:
        """``stem``, numbered if need be: no file here has its name with one of these endings, nor is a backup of it."""
        backups = [f"{before}{{}}.der" for before in _BACKUPS] if ".der" in endings else []
        forms = [f"{{}}{ending}" for ending in endings] + backups
        for number in count(1):
            name = stem if number == 1 else f"{stem}{number}"
            if not any(form.format(name).lower() in self._taken for form in forms):
                return name
        raise AssertionError("numbers do not end")


def together(findings: Sequence[FileFinding], most: int) -> tuple[str, tuple[str, ...], int]:
    """One remedy for findings that say the same of several files: its words, its commands, and of how many files they are.

    Commands that can take all files do; of others those for the first ``most`` files are given.
    """
    first = findings[0].finding
    if first.fix == "mode" and len(findings) > 1:
        files = list(dict.fromkeys(quoted(found.file) for found in findings))
        line = f"chmod 600 {' '.join(files)}" if len(files) <= _MOST_FILES else "chmod -R go= ."
        return "Keep them to yourself." if len(files) > 1 else first.remedy, (line,), len(findings)
    lines: dict[str, None] = {}
    for found in findings[:most]:
        lines.update(dict.fromkeys(found.finding.commands))
    return first.remedy, tuple(lines), min(most, len(findings)) if first.commands else len(findings)


def _is_pkcs8(key: Key) -> bool:
    """Whether this is a sound key that a device cannot read as it is written."""
    return any(finding.fix in ("pkcs1", "sec1") for finding in key.findings)


def _tool_of(key: Key) -> Algorithm:
    return "ec" if key.algorithm == "ec" else "rsa"


def _cut(key: Key) -> bool:
    """Whether openssl cannot read the key out of its file (of a flash image it is given as much as it needs)."""
    return key.encoding != "flash" and (key.encoding not in ("pem", "der") or "cut off" in (key.problem or ""))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
