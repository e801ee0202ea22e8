"""What can be wrong with a key file, in words, with the commands that put it right: one function per finding.

Commands follow particle-cli (`keys new`, `load`, `send`, `server`) and openssl; `-traditional` is what OpenSSL 3 needs to
write PKCS#1, the only form a TCP device reads (OpenSSL 1.x writes it without being asked).
"""

from __future__ import annotations

import shlex
from typing import Final

from analyzer.keys.key import KeyFinding, Severity
from analyzer.reports.safe import printable

_ID = "DEVICE_ID"
#: Gravest first.
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")


def _finding(
    code: str, severity: Severity, summary: str, remedy: str = "", commands: tuple[str, ...] = ()
) -> KeyFinding:
    return KeyFinding(code, severity, summary, remedy, commands)


def new_rsa_key(device_id: str | None) -> tuple[str, ...]:
    """The commands that give a TCP device a new key and the cloud its public half."""
    name = device_id or _ID
    return (
        f"openssl genrsa -out {name}_new.pem 1024",
        f"openssl rsa -in {name}_new.pem -traditional -outform DER -out {name}_new.der",
        f"openssl rsa -in {name}_new.pem -pubout -out {name}_new.pub.pem",
        f"particle keys load {name}_new.der --force",
        f"particle keys send {name} {name}_new.pub.pem",
    )


def new_ec_key(device_id: str | None) -> tuple[str, ...]:
    """The commands that give a UDP device a new key and the cloud its public half."""
    name = device_id or _ID
    return (
        f"openssl ecparam -name prime256v1 -genkey -out {name}_new.pem",
        f"openssl ec -in {name}_new.pem -outform DER -out {name}_new.der",
        f"openssl ec -in {name}_new.pem -pubout -out {name}_new.pub.pem",
        f"particle keys load {name}_new.der --force",
        f"particle keys send {name} {name}_new.pub.pem",
    )


_NEW_KEY = (
    "write a new key without keeping a backup of this one (the backup is what stops `keys doctor`), then give the cloud its "
    "public half (custom cloud: copy the .pub.pem over the device's file in core_keys/ or data/deviceKeys/)"
)


def device_key_unusable(code: str, summary: str, device_id: str | None, *, ec: bool) -> KeyFinding:
    """A device's private key that the device cannot use."""
    return _finding(code, "error", summary, _NEW_KEY, new_ec_key(device_id) if ec else new_rsa_key(device_id))


_SERVER_KEY = "write the cloud's public key and address to the device"
_SERVER_COMMANDS = (
    "particle keys server",
    "particle keys server default_key.pub.pem --host HOST --port 5683",
)
_SERVER_CHOICE = ": the first command for Particle's cloud, the second for your own"


def server_key_unusable(code: str, summary: str) -> KeyFinding:
    """A stored server key that the device cannot use."""
    return _finding(code, "error", summary, _SERVER_KEY + _SERVER_CHOICE, _SERVER_COMMANDS)


def pkcs8_in_tcp_device(file: str, device_id: str | None) -> KeyFinding:
    """OpenSSL 3 wrote PKCS#8; a TCP device reads PKCS#1 by position."""
    out = f"{device_id or _ID}.pkcs1.der"
    return _finding(
        "pkcs8-in-tcp-device",
        "error",
        "PKCS#8, as OpenSSL 3 writes it: a TCP device reads PKCS#1 by position, so it computes with other bytes of this file "
        "and presents a meaningless public key",
        "convert it and load it again; the key itself is sound, so the cloud's copy need not change",
        (
            f"openssl rsa -inform DER -in {quoted(file)} -traditional -outform DER -out {out}",
            f"particle keys load {out} --force",
        ),
    )


def exponent_damaged() -> KeyFinding:
    """D does not belong to the key, and no device reads D."""
    return _finding(
        "private-exponent-damaged",
        "warning",
        "the private exponent D is damaged; the device computes with the CRT parts only and works, libraries refuse the file",
        "nothing fails because of it; the flash has begun to lose bits, so write a new key when the device is at hand",
    )


def address_unset(transport: str) -> KeyFinding:
    """Type 255."""
    host, port = ("device.spark.io", 5683) if transport == "tcp" else ("udp.particle.io", 5684)
    return _finding(
        "server-address-unset",
        "warning",
        f"the server address is blank (type 255): the device will go to {host}:{port}, wherever its server key belongs",
        "on a private cloud, write key and address together; on Particle's cloud nothing is missing",
        ("particle keys server default_key.pub.pem --host HOST --port " + str(port),),
    )


def address_invalid(type_byte: int) -> KeyFinding:
    """A record no firmware takes."""
    return _finding(
        "server-address-invalid",
        "error",
        f"the server address record is damaged (type {type_byte}): the device will go to its default host",
        "write key and address together",
        ("particle keys server default_key.pub.pem --host HOST --port PORT",),
    )


def port_default(transport: str) -> KeyFinding:
    """Port 0 or FFFF."""
    port = 5683 if transport == "tcp" else 5684
    return _finding("server-port-default", "note", f"no port is stored (0000 or FFFF): the device uses {port}")


def note(code: str, summary: str, remedy: str = "", commands: tuple[str, ...] = ()) -> KeyFinding:
    """A tolerance used, or something worth knowing."""
    return _finding(code, "note", summary, remedy, commands)


def warning(code: str, summary: str, remedy: str = "", commands: tuple[str, ...] = ()) -> KeyFinding:
    """Something that will bite."""
    return _finding(code, "warning", summary, remedy, commands)


def error(code: str, summary: str, remedy: str = "", commands: tuple[str, ...] = ()) -> KeyFinding:
    """Something that cannot work."""
    return _finding(code, "error", summary, remedy, commands)


def quoted(file: str) -> str:
    """A file name as it can be pasted into a shell."""
    return shlex.quote(printable(file))


def world_readable(file: str) -> KeyFinding:
    """A private key that every user of the machine can read."""
    told = "every user of this machine can read this private key"
    return warning("world-readable", told, "keep it to yourself", (f"chmod 600 {quoted(file)}",))
