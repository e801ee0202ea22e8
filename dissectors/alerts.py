"""TLS and DTLS alerts by their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class AlertCode(IntEnum):
    """The numbers of alerts (RFC 5246 section 7.2, RFC 4279, RFC 6066, RFC 7301)."""

    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    BAD_RECORD_MAC = 20
    DECRYPTION_FAILED = 21
    RECORD_OVERFLOW = 22
    DECOMPRESSION_FAILURE = 30
    HANDSHAKE_FAILURE = 40
    NO_CERTIFICATE = 41
    BAD_CERTIFICATE = 42
    UNSUPPORTED_CERTIFICATE = 43
    CERTIFICATE_REVOKED = 44
    CERTIFICATE_EXPIRED = 45
    CERTIFICATE_UNKNOWN = 46
    ILLEGAL_PARAMETER = 47
    UNKNOWN_CA = 48
    ACCESS_DENIED = 49
    DECODE_ERROR = 50
    DECRYPT_ERROR = 51
    EXPORT_RESTRICTION = 60
    PROTOCOL_VERSION = 70
    INSUFFICIENT_SECURITY = 71
    INTERNAL_ERROR = 80
    INAPPROPRIATE_FALLBACK = 86
    USER_CANCELED = 90
    NO_RENEGOTIATION = 100
    MISSING_EXTENSION = 109
    UNSUPPORTED_EXTENSION = 110
    UNRECOGNIZED_NAME = 112
    UNKNOWN_PSK_IDENTITY = 115
    CERTIFICATE_REQUIRED = 116
    NO_APPLICATION_PROTOCOL = 120


#: Their names, as RFCs write them.
ALERTS: Final[Mapping[int, str]] = {code.value: code.name.lower() for code in AlertCode}
#: The level of an alert that ends the connection.
FATAL: Final = 2


def alert_name(code: int) -> str:
    """The alert's name, or ``alert 123``."""
    return ALERTS.get(code, f"alert {code}")
