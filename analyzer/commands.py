"""The commands of particle-cli and openssl that people are told to type, each written once.

What `analyze` says of a capture (firmware/remedies.toml) and what `analyze keys` says of a folder take them from here, so
that the two cannot contradict each other. File names come in quoted for a shell already.

Sources: particle-cli src/cli/keys.js, src/cmd/keys.js @ 1.9 to HEAD: `keys load` takes a file and no options (before 1.9,
commands/KeyCommands.js: `--force`, to write over an older backup); `keys server` is best given DER, because since 3.16 it
loses the name of the file it makes of a PEM (_getDERPublicKey). `-traditional`: openssl-rsa(1) @ 3.0; without it OpenSSL 3
writes PKCS#8, which no TCP device reads (reference/tcp.md S6).
"""

from __future__ import annotations

import re
import shlex
from typing import Final, Literal

from dissectors.handshakes import Algorithm, Transport, usual_port

#: What must be said beside every command with ``-traditional``.
OLD_OPENSSL: Final = "OpenSSL 1.x: leave out -traditional"
#: A name or address that may stand in a command.
HOST: Final = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.:_-]{0,252}[0-9A-Za-z])?")
ServerKind = Literal["brewskey", "spark-server"]
Form = Literal["DER", "PEM"]

#: Where the two open servers keep their copies of the devices' public keys.
STORES: Final[dict[ServerKind, str]] = {"brewskey": "data/deviceKeys", "spark-server": "core_keys"}
#: Stands where the cloud's public key is not in hand.
STAND_IN: Final = "default_key.pub.pem"


def server_kind(*files: str | None) -> ServerKind | None:
    """Which open server these files are of, when their folders tell."""
    names = " ".join(name for name in files if name)
    if "deviceKeys" in names:
        return "brewskey"
    return "spark-server" if "core_keys" in names else None


def port_option(port: int, transport: Transport) -> str:
    """The option for a port that is not the usual one."""
    return "" if port == usual_port(transport) else f" --port {port}"


def form_of(file: str) -> Form:
    """How a file of that name is written."""
    return "PEM" if file.strip("'").lower().endswith(".pem") else "DER"


def cloud_public(public: str | None, private: str | None, tool: Algorithm) -> tuple[str, str]:
    """The cloud's public key as a DER file, and the command that makes it (empty when it is one already)."""
    if public and public.strip("'").lower().endswith(".der"):
        return public, ""
    source, option = (public, "-pubin ") if public else (private, "") if private else (STAND_IN, "-pubin ")
    bare = source.strip("'").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    target = shlex.quote((bare if bare.endswith(".pub") else f"{bare}.pub") + ".der")
    form = " -inform DER" if source.strip("'").lower().endswith(".der") else ""
    return target, f"openssl {tool}{form} {option}-in {source} -pubout -outform DER -out {target}"


def out_of_slot(slot: str, tool: Algorithm, target: str) -> str:
    """Cut the public key out of the dump of a slot (openssl takes no notice of what follows it)."""
    return f"openssl {tool} -inform DER -pubin -in {slot} -pubout -outform DER -out {target}"


def load_server_key(der: str, host: str, port: int, transport: Transport) -> str:
    """Write a custom cloud's public key and address to the device."""
    return f"particle keys server {der} --host {host}{port_option(port, transport)}"


def new_pair(stem: str, tool: Algorithm) -> tuple[str, ...]:
    """Make a pair that the device reads (``stem`` .pem, .der and .pub.pem) and write it to the device."""
    make, form = f"openssl genrsa -out {stem}.pem 1024", "-traditional "
    if tool == "ec":
        make, form = f"openssl ecparam -name prime256v1 -genkey -noout -out {stem}.pem", ""
    return (
        make,
        f"openssl {tool} -in {stem}.pem {form}-outform DER -out {stem}.der",
        f"openssl {tool} -in {stem}.pem -pubout -out {stem}.pub.pem",
        load(f"{stem}.der"),
    )


def rewritten(file: str, form: Form, tool: Algorithm, target: str) -> tuple[str, ...]:
    """Write the key in ``file`` the way a device reads it (PKCS#1 or SEC1, in DER), and write that to the device."""
    option = "-traditional " if tool == "rsa" else ""
    return f"openssl {tool} -inform {form} -in {file} {option}-outform DER -out {target}", load(target)


def load(file: str) -> str:
    """Write a device's private key to the device."""
    return f"particle keys load {file}"


def public_half(file: str, form: Form, tool: Algorithm, target: str) -> str:
    """Make the public half of the private key in ``file``."""
    return f"openssl {tool} -inform {form} -in {file} -pubout -out {target}"


def send(device_id: str, public: str) -> str:
    """Give Particle's cloud a device's public key."""
    return f"particle keys send {device_id} {public}"


def put(device_id: str, public: str, server: ServerKind) -> str:
    """Give a custom cloud a device's public key."""
    return f"cp {public} SERVER/{STORES[server]}/{device_id}.pub.pem"
