"""What to do about a verdict: the steps of remedies.toml with this device's real names in them.

*How it works*: a verdict names steps, a step has variants (Particle or custom cloud, TCP or UDP, with or without a file
in hand), and every variant whose conditions hold becomes one Remedy. Names from a capture or a folder are data from
strangers that a person will paste into a shell: they are quoted, or replaced by a placeholder when they look wrong.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from analyzer.firmware.tables import strings, table
from analyzer.model import Code, Remedy

Transport = Literal["tcp", "udp"]
CloudKind = Literal["particle", "custom"]
ServerKind = Literal["brewskey", "spark-server"]

_ID = re.compile(r"[0-9a-fA-F]{24}")
_HOST = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.:_-]{0,252}[0-9A-Za-z])?")
#: A file name that may stand in a command: printable, nothing a shell or terminal could act on even inside quotes.
_FILE = re.compile(r"[\w .,@%+=:/()\[\]~<>-]{1,400}")
_KEY_FILES = ("device_private", "device_public", "cloud_copy", "cloud_private", "cloud_public", "device_server_key")
_DEFAULT_PORT: Mapping[str, int] = {"tcp": 5683, "udp": 5684}


@dataclass(frozen=True, slots=True)
class RemedyContext:
    """What is known about the case; every field may stay None.

    Key fields are file names as the report shows them (never key material). ``host`` and ``port`` are those of the
    server the device should reach; ``stored_address`` is what it has stored. ``is_particle_cloud`` None means not known:
    both ways are then given. ``missing`` names absent evidence (evidence.toml).
    """

    transport: Transport = "tcp"
    device_id: str | None = None
    device_private: str | None = None
    device_public: str | None = None
    cloud_copy: str | None = None
    cloud_private: str | None = None
    cloud_public: str | None = None
    device_server_key: str | None = None
    host: str | None = None
    port: int | None = None
    stored_address: str | None = None
    device_address: str | None = None
    is_particle_cloud: bool | None = None
    family: str | None = None
    platform: str | None = None
    missing: tuple[str, ...] = ()

    @property
    def server(self) -> ServerKind | None:
        """Which open server this is, when the key folder's layout tells."""
        names = " ".join(name for name in (self.cloud_copy, self.cloud_private) if name)
        if "deviceKeys" in names:
            return "brewskey"
        return "spark-server" if "core_keys" in names else None


@dataclass(frozen=True, slots=True)
class StepVariant:
    """One entry of ``[[steps.NAME]]`` in remedies.toml."""

    text: str
    commands: tuple[str, ...] = ()
    transport: str | None = None
    cloud: str | None = None
    server: str | None = None
    needs: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    older_text: str | None = None
    older_commands: tuple[str, ...] = ()

    def fits(self, context: RemedyContext, facts: Mapping[str, bool]) -> bool:
        """Whether this way applies to the case; a condition that cannot be decided holds."""
        if self.transport not in (None, context.transport):
            return False
        if self.cloud and context.is_particle_cloud is not None:
            kind: CloudKind = "particle" if context.is_particle_cloud else "custom"
            if self.cloud != kind:
                return False
        if self.server and context.server not in (None, self.server):
            return False
        return all(facts[name] for name in self.needs) and not any(facts[name] for name in self.lacks)


@cache
def steps() -> dict[str, tuple[StepVariant, ...]]:
    """All steps of remedies.toml by name."""
    return {name: tuple(_variant(entry) for entry in entries) for name, entries in table("remedies")["steps"].items()}


@cache
def plan(code: Code, transport: Transport) -> tuple[str, ...]:
    """The names of the steps for a verdict, in the order in which to try them."""
    return strings(table("remedies")["verdicts"][code.value], transport)


def _variant(entry: dict[str, Any]) -> StepVariant:
    lists: dict[str, Any] = {key: strings(entry, key) for key in ("commands", "needs", "lacks", "older_commands")}
    return StepVariant(**(entry | lists))


def remedy(code: Code, context: RemedyContext) -> tuple[Remedy, ...]:
    """What to do about ``code`` in this case, in order; empty for a healthy session.

    Commands carry the real id and file names where they are known and placeholders in capitals where they are not.
    What differs with an older particle-cli comes last, once.
    """
    filled = _Filler(context)
    result: list[Remedy] = []
    older: list[Remedy] = []
    for step in plan(code, context.transport):
        for variant in steps()[step]:
            if not variant.fits(context, filled.known):
                continue
            result.append(Remedy(filled.text(variant.text), filled.commands(variant.commands)))
            if variant.older_text:
                older.append(Remedy(filled.text(variant.older_text), filled.commands(variant.older_commands)))
    for note in dict.fromkeys(older):
        result.append(Remedy(f"With an older particle-cli: {note.text}.", note.commands))
    return tuple(dict.fromkeys(result))


class _Filler:
    """Puts the case's names into the templates; ``known`` says which facts are in hand."""

    def __init__(self, context: RemedyContext) -> None:
        files = {
            name: _file(getattr(context, name))
            for name in (
                "device_private",
                "device_public",
                "cloud_copy",
                "cloud_private",
                "cloud_public",
                "device_server_key",
            )
        }
        device_id = context.device_id if context.device_id and _ID.fullmatch(context.device_id) else None
        host = context.host if context.host and _HOST.fullmatch(context.host) else None
        address = context.device_address if context.device_address and _HOST.fullmatch(context.device_address) else None
        electron = "electron" in f"{context.platform} {context.family}".lower() and context.transport == "tcp"
        self.known: dict[str, bool] = {name: value is not None for name, value in files.items()} | {
            "id": device_id is not None,
            "host": host is not None,
            "port": context.port is not None,
            "stored_address": context.stored_address is not None,
            "device_address": address is not None,
            "electron": electron,
        }
        key_word = "rsa" if context.transport == "tcp" else "ec"
        port = context.port or _DEFAULT_PORT[context.transport]
        values: dict[str, str] = {name: value or name.upper() for name, value in files.items()}
        shown_id = (device_id or "ID").lower() if device_id else "ID"
        public_der, make_public = _cloud_public(files["cloud_public"], files["cloud_private"], key_word)
        values |= {
            "id": shown_id,
            "host": host or "HOST",
            "port": str(port),
            "cloud_port": str(port),
            "port_option": "" if port == _DEFAULT_PORT[context.transport] else f" --port {port}",
            "stored_address": context.stored_address or "unknown",
            "device_address": address or "DEVICE_ADDRESS",
            "key_tool": key_word,
            "key_word": key_word,
            "form": _form(context.device_private),
            "public_source": files["device_public"]
            if files["device_public"] and not files["device_private"]
            else f"{shown_id}.device.pub.pem",
            "cloud_public_der": public_der,
            "make_cloud_public_der": make_public,
            "store": "core_keys" if context.server == "spark-server" else "data/deviceKeys",
            "capture_filter": capture_filter(context),
        }
        self._values = values

    def text(self, template: str) -> str:
        return template.format_map(self._values)

    def commands(self, templates: Iterable[str]) -> tuple[str, ...]:
        return tuple(line for line in (template.format_map(self._values) for template in templates) if line)


def capture_filter(context: RemedyContext) -> str:
    """A capture filter (tcpdump and Wireshark alike) that keeps what matters for this device: cloud, names, ICMP."""
    port = context.port or _DEFAULT_PORT[context.transport]
    wanted = f"port {port} or port 53 or icmp"
    if context.device_address and _HOST.fullmatch(context.device_address):
        return f"host {context.device_address} and ({wanted})"
    return wanted


def _file(name: str | None) -> str | None:
    """The name as it may stand in a command, or None when it is unknown or holds what a terminal could act on."""
    if not name or name.startswith("-") or not _FILE.fullmatch(name):
        return None
    return shlex.quote(name)


def _form(name: str | None) -> str:
    return "PEM" if name and name.lower().endswith(".pem") else "DER"


def _cloud_public(public: str | None, private: str | None, tool: str) -> tuple[str, str]:
    """The cloud's public key as a DER file, and the command that makes it (empty when it is one already)."""
    if public and public.strip("'").lower().endswith(".der"):
        return public, ""
    source, option = (public, "-pubin ") if public else (private, "") if private else ("default_key.pub.pem", "-pubin ")
    bare = source.strip("'").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    target = shlex.quote((bare if bare.endswith(".pub") else f"{bare}.pub") + ".der")
    form = " -inform DER" if source.strip("'").lower().endswith(".der") else ""
    return target, f"openssl {tool}{form} {option}-in {source} -pubout -outform DER -out {target}"
