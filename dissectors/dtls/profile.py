"""Whose DTLS this is: the one profile Particle devices speak, and which mbedTLS of which releases wrote a ClientHello.

How it works. A device offers exactly one cipher suite and raw public keys, so a ClientHello is told from any other DTLS
client's by its content alone, wherever it goes. Its signature algorithms, its connection-id extension and so its size
differ from one mbedTLS fork to the next, and with them what the device does when a key is wrong.

Sources: ClientHello bytes measured with each fork and the device's own configuration files; releases by
`git ls-tree` of particle-iot/device-os per tag (submodule particle-iot/mbedtls); `decrypt_error` beside
`mbedtls_pk_verify` in `library/ssl_cli.c`; timers `mbedtls_ssl_conf_handshake_timeout` in
`communication/src/dtls_message_channel.cpp` (24000 ms from v1.4.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dissectors.dtls.messages import RAW_PUBLIC_KEY, ClientHello, ExtensionKind, ServerHello, SignatureAlgorithm
from dissectors.dtls.record import CID_LENGTH, DTLS_1_2

#: TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, and the signalling suite every hello of the fork ends with.
SUITE: Final = 0xC0AE
SUITES: Final = (SUITE, 0x00FF)
#: The only named group that the firmware is built with (MBEDTLS_ECP_DP_* of its config files, all tags; RFC 8422 section 5.1.1).
SECP256R1: Final = 23
_SUPPORTED_VERSIONS: Final = 43


class Profile(StrEnum):
    """Whether a flow is a Particle device's."""

    PARTICLE = "particle"
    OTHER = "other"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Generation:
    """An mbedTLS fork as its ClientHello shows it.

    ``alerts`` says what the device does about a bad ServerKeyExchange signature: True, alert 51; False, silence.
    ``hello_sizes`` are the UDP payload bytes of its ClientHello without a cookie. ``longest_wait_s`` is when its
    handshake gives up at the latest.
    """

    mbedtls: str
    firmware: str
    alerts: bool
    connection_id: bool
    hello_sizes: tuple[int, ...]
    longest_wait_s: int


_2_1: Final = Generation("2.1.2", "v0.4.8-rc.2 to v0.6.4", False, False, (107,), 9)
_2_4: Final = Generation("2.4.2", "v0.7.0 to v0.8.0-rc.12, v1.0.0, v1.0.1", False, False, (115,), 9)
_2_9: Final = Generation("2.9.0 to 2.22.0", "v0.8.0-rc.25-mesh, v0.9.0, v1.1.0 to v3.0.x", True, False, (111,), 45)
_2_22: Final = Generation("2.22.0", "v3.1.0 or later", True, True, (116,), 45)
_2_22_TRACKER: Final = Generation("2.22.0", "v3.1.0 or later (Tracker)", True, True, (112,), 45)
_EC: Final = (SignatureAlgorithm.ECDSA_SHA256, SignatureAlgorithm.ECDSA_SHA224)
_EC_RSA: Final = (_EC[0], SignatureAlgorithm.RSA_SHA256, _EC[1], SignatureAlgorithm.RSA_SHA224)
_EC_RSA_SHA1: Final = (*_EC_RSA, SignatureAlgorithm.ECDSA_SHA1, SignatureAlgorithm.RSA_SHA1)
#: Signature algorithms offered, and whether a connection id is.
_GENERATIONS: Final[Mapping[tuple[tuple[int, ...], bool], Generation]] = {
    (_EC, False): _2_1,
    (_EC_RSA_SHA1, False): _2_4,
    (_EC_RSA, False): _2_9,
    (_EC_RSA, True): _2_22,
    (_EC, True): _2_22_TRACKER,
}
#: All of them, oldest first.
GENERATIONS: Final = tuple(dict.fromkeys(_GENERATIONS.values()))
#: UDP payload sizes of a device's first ClientHello, any generation.
HELLO_SIZES: Final = frozenset(size for generation in _GENERATIONS.values() for size in generation.hello_sizes)


def generation(hello: ClientHello) -> Generation | None:
    """The mbedTLS fork that wrote this hello, or None when no fork looked at writes one like it."""
    return _GENERATIONS.get((hello.signature_algorithms, hello.offers_connection_id))


def client_profile(hello: ClientHello) -> tuple[Profile, str]:
    """Whether a device wrote this ClientHello, and the reason in words."""
    if hello.version != DTLS_1_2:
        return Profile.OTHER, f"the client offers version {hello.version:04x}, devices speak DTLS 1.2 only"
    if any(extension.kind == _SUPPORTED_VERSIONS for extension in hello.extensions):
        return Profile.OTHER, "the client offers DTLS 1.3"
    if hello.cipher_suites != SUITES:
        count = len(hello.cipher_suites)
        return Profile.OTHER, f"the client offers {count} cipher suites; devices offer c0ae and 00ff, nothing else"
    for kind in (ExtensionKind.CLIENT_CERTIFICATE_TYPE, ExtensionKind.SERVER_CERTIFICATE_TYPE):
        if hello.extension(kind) != bytes((1, RAW_PUBLIC_KEY)):
            return Profile.OTHER, f"the client does not insist on raw public keys (extension {int(kind)})"
    return Profile.PARTICLE, "ClientHello offers TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 alone, with raw public keys"


def server_profile(hello: ServerHello) -> tuple[Profile, str]:
    """Whether this ServerHello answers a device, when the ClientHello is not in the capture."""
    keys = (ExtensionKind.CLIENT_CERTIFICATE_TYPE, ExtensionKind.SERVER_CERTIFICATE_TYPE)
    if hello.version == DTLS_1_2 and hello.cipher_suite == SUITE:
        if any(hello.extension(kind) == bytes((RAW_PUBLIC_KEY,)) for kind in keys):
            return Profile.PARTICLE, "ServerHello chose TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 with raw public keys"
        return Profile.UNKNOWN, "ServerHello chose the devices' cipher suite, without raw public keys"
    return Profile.OTHER, f"ServerHello chose version {hello.version:04x}, suite {hello.cipher_suite:04x}"


def server_objections(client: ClientHello | None, server: ServerHello) -> tuple[str, ...]:
    """What a device cannot accept in this ServerHello, in words; empty when nothing."""
    found = []
    if server.version != DTLS_1_2:
        found.append(f"version {server.version:04x} instead of DTLS 1.2 (fefd)")
    if server.cipher_suite != SUITE:
        found.append(f"cipher suite {server.cipher_suite:04x} instead of c0ae, the only one the device offered")
    if server.compression:
        found.append(f"compression method {server.compression}")
    if server.extension(ExtensionKind.SERVER_CERTIFICATE_TYPE) != bytes((RAW_PUBLIC_KEY,)):
        found.append("no raw public key for the server (extension 20), so an X.509 certificate is meant")
    if client is not None and client.offers_connection_id and len(server.connection_id or b"") != CID_LENGTH:
        found.append("no 8-byte connection id (extension 254), which firmware v3.1.0 and later insist on")
    return tuple(found)
