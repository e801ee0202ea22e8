"""What can be wrong with a key file, in words: one function per finding.

A finding that is mended by commands names its ``fix``; the commands need the names of the folder's other files, so they
come later (fixes.py).
"""

from __future__ import annotations

import shlex
from typing import Final

from analyzer.keys.key import Fix, KeyFinding, ServerAddress, Severity
from analyzer.safe import printable
from dissectors.handshakes import Transport, usual_port

#: Gravest first.
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")


def _finding(code: str, severity: Severity, summary: str, remedy: str = "", fix: Fix = "") -> KeyFinding:
    return KeyFinding(code, severity, summary, remedy, (), fix)


def device_key_unusable(code: str, summary: str, *, ec: bool | None) -> KeyFinding:
    """A device's private key that the device cannot use; ``ec`` None when it is not known which kind it needs."""
    return _finding(code, "error", summary, fix="new-key" if ec is None else "new-ec" if ec else "new-rsa")


def server_key_unusable(code: str, summary: str) -> KeyFinding:
    """A stored server key that the device cannot use."""
    return _finding(code, "error", summary, fix="server-key")


def pkcs8_in_tcp_device() -> KeyFinding:
    """OpenSSL 3 wrote PKCS#8; a TCP device reads PKCS#1 by position."""
    return _finding(
        "pkcs8-in-tcp-device",
        "error",
        "PKCS#8, as OpenSSL 3 writes it: a TCP device reads PKCS#1 by position, so it computes with other bytes of this file "
        "and presents a meaningless public key",
        fix="pkcs1",
    )


def exponent_damaged() -> KeyFinding:
    """D does not belong to the key, and no device reads D."""
    return _finding(
        "private-exponent-damaged",
        "warning",
        "the private exponent D is damaged; the device computes with the CRT parts only and works, libraries refuse the file",
        "Nothing fails because of it; the flash has begun to lose bits, so write a new key when the device is at hand.",
    )


def address_unset(transport: Transport) -> KeyFinding:
    """Type 255."""
    host, port = "device.spark.io" if transport == "tcp" else "udp.particle.io", usual_port(transport)
    return _finding(
        "server-address-unset",
        "warning",
        f"the server address is blank (type 255): the device will go to {host}:{port}, wherever its server key belongs",
        fix="address",
    )


def address_invalid(type_byte: int) -> KeyFinding:
    """A record no firmware takes."""
    return _finding(
        "server-address-invalid",
        "error",
        f"the server address record is damaged (type {type_byte}): the device will go to its default host",
        fix="server-key",
    )


def port_default(transport: Transport) -> KeyFinding:
    """Port 0 or FFFF."""
    port = usual_port(transport)
    return _finding("server-port-default", "note", f"no port is stored (0000 or FFFF): the device uses {port}")


def note(code: str, summary: str, remedy: str = "", commands: tuple[str, ...] = (), fix: Fix = "") -> KeyFinding:
    """A tolerance used, or something worth knowing."""
    return KeyFinding(code, "note", summary, remedy, commands, fix)


def warning(code: str, summary: str, remedy: str = "", commands: tuple[str, ...] = (), fix: Fix = "") -> KeyFinding:
    """Something that will bite."""
    return KeyFinding(code, "warning", summary, remedy, commands, fix)


def error(code: str, summary: str, remedy: str = "", commands: tuple[str, ...] = (), fix: Fix = "") -> KeyFinding:
    """Something that cannot work."""
    return KeyFinding(code, "error", summary, remedy, commands, fix)


def blank_device_key(*, zeroed: bool, ec: bool | None) -> KeyFinding:
    """A private slot of nothing but 0xFF or 0x00."""
    if zeroed:
        told = "the private key is all zeroes, which firmware takes for a key: it is never made anew"
        return device_key_unusable("zeroed-device-key", told, ec=ec)
    told = "the private key is blank flash: firmware makes a new key at its next start, or (without key generation) shows 0xFF"
    return device_key_unusable("blank-device-key", told, ec=ec)


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
    return warning("server-key-header-damaged", told, fix="server-key")


def pkcs8_ec() -> KeyFinding:
    """An EC key in PKCS#8."""
    told = "PKCS#8: devices are given SEC1 (120 to 122 bytes)"
    return warning("pkcs8-ec-key", told, fix="sec1")


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
    return warning("device-key-shifted", told, "Make another key for the device.", fix="new-rsa")


def read_again(problem: str, *, private: bool) -> KeyFinding:
    """A read that ended too early."""
    where = (
        "private key: 612 bytes at 34 of the DCT, on a Spark Core 1024 at 0x2000 of the external flash, for UDP 192 at 3106; "
        "server key: 512 at 2082, Core 2048 at 0x1000, UDP 320 at 3298"
    )
    return error("cut-off", problem, f"Read the whole slot again ({where}).", fix="save" if private else "")


def piece(which: str) -> KeyFinding:
    """A log line shows the beginning of a key only."""
    return note("piece", f"only the beginning of the {which} is there, as the device's log prints it")


def address_part(where: ServerAddress) -> KeyFinding:
    """The 128 bytes behind a server key, read alone."""
    port = f", port {where.port}" if where.port else ""
    told = (
        f"the address part of a {where.transport.upper()} device's server key slot, without the key: {where.host}{port}"
    )
    return note(
        "address-part", told, "For the key read the whole slot (512 bytes at 2082 for TCP, 320 at 3298 for UDP)."
    )


def private_as_server_key() -> KeyFinding:
    """`keys server` was given a private key."""
    told = (
        "a server key file made from the cloud's private key: a device reads no public key in it (it sends what no server "
        "opens, or nothing), and every device it is written to carries parts of the private key"
    )
    return error(
        "private-key-as-server-key",
        told,
        "Make it from the public half, and write that to the device.",
        fix="server-key",
    )


def odd_length(size: int, file: str, device_id: str) -> KeyFinding:
    """A key that a Spark Core's bootloader does not take as it is."""
    told = f"{size} bytes, an odd length: a Spark Core takes even lengths only, so dfu-util stops at the last byte (whole chunk: -7)"
    even = f"{device_id}.even.der"
    return warning(
        "odd-length",
        told,
        "Put one byte behind it, which the device ignores, and load that (particle-cli 2 and later does so by itself).",
        (
            f"cp {quoted(file)} {even}",
            f"dd if=/dev/zero of={even} bs=1 seek={size} count=1 conv=notrunc",
            f"particle keys load {even}",
        ),
    )


def core_era() -> KeyFinding:
    """A Spark Core's slot."""
    told = (
        "a Spark Core's slot: with firmware before 0.4.0 it sends 52 bytes without its public key, which Brewskey's server "
        "refuses (particle-iot's takes them)"
    )
    return note("core-era-key", told, "Update the Core's firmware, or use particle-iot/spark-server.")


def quoted(file: str) -> str:
    """A file name as it can be pasted into a shell."""
    return shlex.quote(f"./{printable(file)}" if file.startswith("-") else printable(file))


def world_readable() -> KeyFinding:
    """A private key that every user of the machine can read."""
    return warning("world-readable", "every user of this machine can read this private key", fix="mode")
