"""What can be wrong with a key file, in words, with the commands that put it right: one function per finding.

Commands follow particle-cli (`keys new`, `load`, `send`, `server`) and openssl; `-traditional` is what OpenSSL 3 needs to
write PKCS#1, the only form a TCP device reads (OpenSSL 1.x writes it without being asked).
"""

from __future__ import annotations

import shlex
from typing import Final

from analyzer.keys.key import KeyFinding, Severity
from analyzer.safe import printable
from dissectors.handshakes import Transport, usual_port

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


def new_key(device_id: str | None, *, ec: bool | None) -> tuple[str, ...]:
    """The commands for a new device key; ``ec`` None when it is not known which kind the device needs."""
    name = device_id or _ID
    if ec is None:
        return (
            f"particle keys new {name}",
            f"particle keys load {name}.der --force",
            f"particle keys send {name} {name}.pub.pem",
        )
    return new_ec_key(device_id) if ec else new_rsa_key(device_id)


def device_key_unusable(code: str, summary: str, device_id: str | None, *, ec: bool | None) -> KeyFinding:
    """A device's private key that the device cannot use."""
    return _finding(code, "error", summary, _NEW_KEY, new_key(device_id, ec=ec))


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


def address_unset(transport: Transport) -> KeyFinding:
    """Type 255."""
    host, port = "device.spark.io" if transport == "tcp" else "udp.particle.io", usual_port(transport)
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


def port_default(transport: Transport) -> KeyFinding:
    """Port 0 or FFFF."""
    port = usual_port(transport)
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


def blank_device_key(device_id: str | None, *, zeroed: bool, ec: bool | None) -> KeyFinding:
    """A private slot of nothing but 0xFF or 0x00."""
    if zeroed:
        told = "the private key is all zeroes, which firmware takes for a key: it is never made anew"
        return device_key_unusable("zeroed-device-key", told, device_id, ec=ec)
    told = "the private key is blank flash: firmware makes a new key at its next start, or (without key generation) shows 0xFF"
    return device_key_unusable("blank-device-key", told, device_id, ec=ec)


def blank_server_key(*, zeroed: bool) -> KeyFinding:
    """A stored server key of nothing but 0xFF or 0x00."""
    if zeroed:
        told = "the stored server key is all zeroes: the device cannot encrypt with it and sends nothing"
        return server_key_unusable("zeroed-server-key", told)
    told = (
        "the stored server key is blank flash: firmware up to 0.6.4 encrypts with it all the same, 0.7.0 and later puts "
        "Particle's own key there"
    )
    return server_key_unusable("blank-server-key", told)


def server_key_header() -> KeyFinding:
    """The modulus is intact, the DER around it is not."""
    told = "the DER around the modulus is damaged; the device reads the modulus by position and works"
    return warning("server-key-header-damaged", told, _SERVER_KEY + _SERVER_CHOICE, _SERVER_COMMANDS)


def pkcs8_ec() -> KeyFinding:
    """An EC key in PKCS#8."""
    told = "PKCS#8: devices are given SEC1 (120 to 122 bytes)"
    return warning(
        "pkcs8-ec-key", told, "convert it", ("openssl ec -inform DER -in KEY -outform DER -out KEY.sec1.der",)
    )


def scalar_length(size: int) -> KeyFinding:
    """A scalar of 31 or 33 bytes."""
    told = (
        f"the private scalar has {size} bytes, as mbedTLS up to 2.16 writes it: devices take it, most libraries do not"
    )
    return note("scalar-length", told)


def would_shift(names: tuple[str, ...]) -> KeyFinding:
    """A sound key in PEM that a device could not read."""
    told = (
        f"a number shorter than usual: written to a device as DER, it would be misread ({', '.join(names).upper()}); about one "
        "key in 130 that openssl makes is like this"
    )
    return warning("device-key-shifted", told, "make another key for the device")


def read_again(problem: str) -> KeyFinding:
    """A read that ended too early."""
    where = (
        "private key: 612 bytes at 34 of the DCT, on a Spark Core 1024 at 0x2000 of the external flash, for UDP 192 at 3106; "
        "server key: 512 at 2082, Core 2048 at 0x1000, UDP 320 at 3298"
    )
    return error("cut-off", problem, f"read the whole slot again ({where})", ("particle keys save DEVICE_ID",))


def piece(which: str) -> KeyFinding:
    """A log line shows the beginning of a key only."""
    return note("piece", f"only the beginning of the {which} is there, as the device's log prints it")


def core_era() -> KeyFinding:
    """A Spark Core's slot."""
    told = (
        "a Spark Core's slot: with firmware before 0.4.0 it sends 52 bytes without its public key, which Brewskey's server "
        "refuses (particle-iot's takes them)"
    )
    return note("core-era-key", told, "update the Core's firmware, or use particle-iot/spark-server")


def quoted(file: str) -> str:
    """A file name as it can be pasted into a shell."""
    return shlex.quote(printable(file))


def world_readable(file: str) -> KeyFinding:
    """A private key that every user of the machine can read."""
    told = "every user of this machine can read this private key"
    return warning("world-readable", told, "keep it to yourself", (f"chmod 600 {quoted(file)}",))
