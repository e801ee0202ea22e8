"""What an annotated capture may carry on request and no report ever holds: plaintexts and session secrets."""

from __future__ import annotations

from collections.abc import Iterable

from analyzer.case import Case
from analyzer.exports.upper_pdu import Plaintext

#: Wireshark wants both hellos to decrypt, and knows neither this draft's connection ids nor Particle's own record types.
_OPENING = frozenset({"client-hello", "server-hello"})
_APPLICATION_DATA = b"\x17"


def plaintexts(cases: Iterable[Case], *, beside_secrets: bool = False) -> list[Plaintext]:
    """The decrypted CoAP messages of these sessions, in time order. Secret.

    ``beside_secrets``: the file carries the session secrets too; what Wireshark decrypts with them is left out.
    """
    found = []
    for case in cases:
        shown = beside_secrets and {step.stage for step in case.transcript.steps if step.frames} >= _OPENING
        for opened in getattr(case.decryption, "records", ()):
            content, summary = getattr(opened, "content", None), opened.summary
            if content is None or summary is None:
                continue  # not opened, or no application message (a Finished)
            record = opened.record
            if shown and record.header[:1] == _APPLICATION_DATA:
                continue
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
