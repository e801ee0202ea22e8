"""Key folders as they arrive: every format, flash dump and server folder, read tolerantly and named by fingerprint."""

from analyzer.keys.ec import EcKey
from analyzer.keys.folder import load_keys
from analyzer.keys.key import Key, KeyFinding, ServerAddress, SessionSecret, fingerprint
from analyzer.keys.records import ServerFolder
from analyzer.keys.repair import damaged_parts, repair
from analyzer.keys.ring import KeyRing, Skipped
from analyzer.keys.rsa import RsaKey, device_spki
from analyzer.keys.trials import may_open

__all__ = [
    "EcKey",
    "Key",
    "KeyFinding",
    "KeyRing",
    "RsaKey",
    "ServerAddress",
    "ServerFolder",
    "SessionSecret",
    "Skipped",
    "damaged_parts",
    "device_spki",
    "fingerprint",
    "load_keys",
    "may_open",
    "repair",
]
