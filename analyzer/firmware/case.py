"""The case at hand, and its names put into the templates of the tables.

Names from a capture or a folder are data from strangers that a person will paste into a shell: they are quoted, or
replaced by a placeholder in capitals when they look wrong.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from analyzer import commands
from dissectors.handshakes import Algorithm, usual_port

Transport = Literal["tcp", "udp"]

_ID = re.compile(r"[0-9a-fA-F]{24}")
#: A file name that may stand in a command: printable, nothing a terminal could act on; the shell is kept off by quotes.
_FILE = re.compile(r"[\w .,@%+=:/()\[\]~-]{1,400}")
_KEY_FILES = ("device_private", "device_public", "cloud_copy", "cloud_private", "cloud_public", "device_server_key")


@dataclass(frozen=True, slots=True)
class RemedyContext:
    """What is known about the case; every field but ``transport`` may stay None.

    Key fields are file names as the report shows them (never key material). ``host`` and ``port`` are those of the
    server the device should reach; ``stored_address`` is what it has stored. ``is_particle_cloud`` None means not
    known: both ways are then given. ``pkcs8``: the file of the device's own key is all of a sound key, in an encoding that
    the device cannot read. ``stored_key``: the key to write back is the one in ``device_server_key``, and in no other file.
    ``missing`` names absent evidence (the names of evidence.toml).
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
    pkcs8: bool = False
    stored_key: bool = False
    missing: tuple[str, ...] = ()

    @property
    def server(self) -> commands.ServerKind | None:
        """Which open server this is, when the key folder's layout tells."""
        return commands.server_kind(self.cloud_copy, self.cloud_private)


def capture_filter(context: RemedyContext) -> str:
    """A capture filter (tcpdump and Wireshark alike) that keeps what matters for this device: cloud, names, ICMP."""
    wanted = f"port {_port(context)} or port 53 or icmp"
    address = _matching(commands.HOST, context.device_address)
    return f"host {address} and ({wanted})" if address else wanted


class Filler:
    """Puts the case's names into templates; ``known`` says which facts are in hand (the names of remedies.toml)."""

    def __init__(self, context: RemedyContext) -> None:
        files = {name: _file(getattr(context, name)) for name in _KEY_FILES}
        device_id = _matching(_ID, context.device_id)
        host = _matching(commands.HOST, context.host)
        self.known: dict[str, bool] = {name: value is not None for name, value in files.items()} | {
            "id": device_id is not None,
            "host": host is not None,
            "port": context.port is not None,
            "stored_address": context.stored_address is not None,
            "device_address": context.device_address is not None,
            "pkcs8": context.pkcs8 and files["device_private"] is not None,
            "electron": context.transport == "tcp" and "electron" in f"{context.platform} {context.family}".lower(),
        }
        shown_id = device_id.lower() if device_id else "ID"
        tool: Algorithm = "rsa" if context.transport == "tcp" else "ec"
        port = _port(context)
        public_der, make_public = commands.cloud_public(files["cloud_public"], files["cloud_private"], tool)
        if context.stored_key and files["device_server_key"]:
            public_der = f"{shown_id}.stored_key.der"
            make_public = commands.out_of_slot(files["device_server_key"], tool, public_der)
        own_public = files["device_public"] if not files["device_private"] else None
        self._values: dict[str, str] = {name: value or name.upper() for name, value in files.items()} | {
            "id": shown_id,
            "host": host or "HOST",
            "port": str(port),
            "port_option": commands.port_option(port, context.transport),
            "stored_address": _matching(commands.HOST, context.stored_address) or "another address",
            "device_address": _matching(commands.HOST, context.device_address) or "DEVICE_ADDRESS",
            "key_tool": tool,
            "form": commands.form_of(context.device_private or ""),
            "public_source": own_public or f"{shown_id}.device.pub.pem",
            "cloud_public_der": public_der,
            "store": commands.STORES[context.server or "brewskey"],
            "capture_filter": capture_filter(context),
        }
        private, form = self._values["device_private"], commands.form_of(context.device_private or "")
        new = f"{shown_id}_{tool}_new"
        several = {
            "load_server_key": (
                make_public,
                commands.load_server_key(public_der, host or "HOST", port, context.transport),
            ),
            "new_pair": commands.new_pair(new, tool),
            "same_pair": commands.rewritten(private, form, tool, f"{shown_id}.pkcs1.der"),
            "public_half": (commands.public_half(private, form, tool, f"{shown_id}.device.pub.pem"),),
        }
        self._values |= {name: "\n".join(line for line in lines if line) for name, lines in several.items()}

    def text(self, template: str) -> str:
        """The template with this case's names. Raises KeyError for a name no case has: a mistake in the tables."""
        return template.format_map(self._values)

    def commands(self, templates: Iterable[str]) -> tuple[str, ...]:
        """As `text`, line by line: a template may stand for several commands, or for none in this case."""
        return tuple(line for template in templates for line in self.text(template).splitlines())


def _port(context: RemedyContext) -> int:
    return context.port if context.port and 0 < context.port < 65536 else usual_port(context.transport)


def _matching(pattern: re.Pattern[str], value: str | None) -> str | None:
    return value if value and pattern.fullmatch(value) else None


def _file(name: str | None) -> str | None:
    """The name, quoted for a shell; None when it is unknown or holds what a terminal could act on."""
    if not name or name.startswith("-") or not _FILE.fullmatch(name):
        return None
    return shlex.quote(name)
