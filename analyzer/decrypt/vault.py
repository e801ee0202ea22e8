"""The DTLS session secrets of a run, and which of them opens what.

How it works. A key log names a session by its client random and lacks the server's, which the handshake in the capture
supplies. A dump of a device's saved session holds both. So all attempts are shown to the vault first; then a session
without its handshake (resumed, moved to another address) can be opened with the secret of one that is elsewhere in the
capture. Nothing is believed before a record's tag verifies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from analyzer.keys import Key, KeyRing, SessionSecret
from dissectors.dtls.attempt import DtlsAttempt
from dissectors.dtls.crypto import RecordKeys, Sealed, Secret, sealed
from dissectors.dtls.persist import SessionPersist
from dissectors.dtls.record import WireRecord
from dissectors.events import Record, Status

#: Records of a flow tried before a secret is given up: one may be damaged or belong to another session.
_TRIED_RECORDS = 4
#: Secrets tried on a flow that names none: the likely ones first, the newest of the rest next.
_TRIED_SECRETS = 2_000
#: Secrets tried on a record that its own session's does not open.
_TRIED_ELSEWHERE = 128


@dataclass(frozen=True, slots=True)
class Held:
    """One usable secret and where it comes from."""

    secret: Secret
    source: Key
    persisted: SessionPersist | None = None
    #: The connection id of the session, where it is known.
    connection_id: bytes | None = None
    keys: RecordKeys = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", RecordKeys(self.secret.key_block()))

    def opens(self, records: Iterable[Record]) -> bool:
        """Whether one of the first whole records verifies."""
        return self.fits(first_whole(records))

    def fits(self, records: Iterable[Sealed]) -> bool:
        """Whether one of these verifies."""
        return any(self.keys.unseal(record) is not None for record in records)


def first_whole(records: Iterable[Record]) -> tuple[Sealed, ...]:
    """The first records that are whole, ready to be tried with any number of secrets."""
    whole = (record for record in records if record.status is Status.SEEN)
    ready = (
        sealed(record.direction, WireRecord.from_parts(record.header, record.fragment))
        for record in islice(whole, _TRIED_RECORDS)
    )
    return tuple(record for record in ready if record is not None)


class Vault:
    """Every session secret in hand."""

    def __init__(self, ring: KeyRing) -> None:
        self._named: dict[bytes, list[tuple[SessionSecret, Key]]] = {}
        for key in ring.keys:
            for secret in key.secrets:
                self._named.setdefault(secret.client_random, []).append((secret, key))
        self._held: dict[tuple[bytes, bytes, bytes], Held] = {}
        for entries in self._named.values():
            for secret, key in entries:
                if secret.persisted is not None:
                    saved = secret.persisted
                    self._hold(
                        Secret(saved.client_random, saved.server_random, saved.master_secret),
                        key,
                        saved,
                        saved.connection_id,
                    )

    def _hold(self, secret: Secret, source: Key, persisted: SessionPersist | None, connection_id: bytes | None) -> Held:
        name = (secret.client_random, secret.server_random, secret.master)
        known = self._held.get(name)
        if known is None:
            known = self._held[name] = Held(secret, source, persisted, connection_id)
        return known

    def learn(self, attempt: DtlsAttempt) -> None:
        """Show the vault an attempt: its server random completes what a key log has of the session."""
        for _ in self.for_handshake(attempt):
            pass

    def for_handshake(self, attempt: DtlsAttempt) -> Iterator[Held]:
        """Secrets that name this very handshake; which of them is right, its records must tell."""
        if attempt.client_random is None:
            return
        for secret, key in self._named.get(attempt.client_random, ()):
            for flight in attempt.flights:
                if flight.hello is not None:
                    found = Secret(secret.client_random, flight.hello.random, secret.master_secret)
                    yield self._hold(found, key, secret.persisted, flight.hello.connection_id)

    def for_records(self, attempt: DtlsAttempt) -> Held | None:
        """The secret that opens the records of a flow without a handshake, or None."""
        records = attempt.transcript.records
        if not records:
            return None
        cid, device = attempt.connection_id, attempt.device_id

        def unlikely(held: Held) -> int:
            return (
                2
                - (cid is not None and held.connection_id == cid)
                - (device is not None and held.source.device_id == device)
            )

        likely = list(reversed(self._held.values()))
        likely.sort(key=unlikely)
        first = first_whole(records)
        return next((held for held in likely[:_TRIED_SECRETS] if held.fits(first)), None)

    def opens_elsewhere(self, record: Record, but: Held) -> Held | None:
        """Another session's secret that opens this record: it is a latecomer, not damaged."""
        others = (held for held in reversed(self._held.values()) if held is not but)
        first = first_whole((record,))
        return next((held for held in islice(others, _TRIED_ELSEWHERE) if held.fits(first)), None)
