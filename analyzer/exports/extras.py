"""What an annotated capture may carry on request and no report ever holds: plaintexts and session secrets."""

from __future__ import annotations

from collections.abc import Iterable

from analyzer.case import Case
from analyzer.exports.upper_pdu import Plaintext


def plaintexts(cases: Iterable[Case]) -> list[Plaintext]:
    """The decrypted CoAP messages of these sessions, in time order. Secret."""
    found = []
    for case in cases:
        for opened in getattr(case.decryption, "records", ()):
            content, summary = getattr(opened, "content", None), opened.summary
            if content is None or summary is None:
                continue  # not opened, or no application message (a Finished)
            record = opened.record
            found.append(
                Plaintext(record.time_ns, record.direction, case.device, case.cloud, record.frames[-1], content)
            )
    return sorted(found, key=lambda item: (item.time_ns, item.frame))


def key_log(cases: Iterable[Case]) -> list[bytes]:
    """One TLS key log with the secrets of these DTLS sessions, for Wireshark; empty when there are none. Secret.

    Lines as in NSS's key log format: ``CLIENT_RANDOM <client random> <master secret>``.
    """
    lines = {
        f"CLIENT_RANDOM {held.secret.client_random.hex()} {held.secret.master.hex()}\n"
        for case in cases
        if (held := getattr(case.decryption, "held", None)) is not None
    }
    return ["".join(sorted(lines)).encode("ascii")] if lines else []
