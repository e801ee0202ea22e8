"""What `--show-secrets` shows: the one place where session secrets leave the analyzer, in forms other tools take."""

from __future__ import annotations

from analyzer.case import Case
from analyzer.decrypt.dtls import DtlsDecryption
from analyzer.decrypt.lightssl import LightSslDecryption
from analyzer.model import ShownSecret


def disclosed(case: Case) -> tuple[ShownSecret, ...]:
    """The secrets of a session, where they are known: AES key, IV and salt (TCP) or an NSS key-log line (DTLS).

    Long-term private keys are never among them.
    """
    found = case.decryption
    if isinstance(found, LightSslDecryption) and found.session is not None:
        credentials = found.session.credentials
        parts = (("aes-128-cbc-key", credentials.key), ("aes-128-cbc-iv", credentials.iv), ("salt", credentials.salt))
        return tuple(ShownSecret(name, value.hex()) for name, value in parts)
    if isinstance(found, DtlsDecryption) and found.held is not None:
        secret = found.held.secret
        return (ShownSecret("nss-key-log", f"CLIENT_RANDOM {secret.client_random.hex()} {secret.master.hex()}"),)
    return ()
