"""A change that no checksum sees, before a record is called corrupt for sure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from analyzer.decrypt.dtls import OpenedRecord
from analyzer.diagnosis.dtls import session
from dissectors.dtls.crypto import RecordKeys
from dissectors.dtls.record import ContentType, WireRecord
from dissectors.events import Direction, Record

KEYS = RecordKeys(bytes(range(40)))
VIEW: Any = SimpleNamespace(decryption=SimpleNamespace(held=SimpleNamespace(keys=KEYS)))


def _sealed(sequence: int, content: bytes) -> WireRecord:
    empty = WireRecord(ContentType.APPLICATION_DATA, 0xFEFD, 1, sequence, b"")
    fragment = KEYS.seal(Direction.UP, empty, content)
    return WireRecord(ContentType.APPLICATION_DATA, 0xFEFD, 1, sequence, fragment)


def _bad(record: WireRecord, fragment: bytes) -> OpenedRecord:
    return OpenedRecord(Record(Direction.UP, 0, (1,), 0, record.header, fragment))


def _with_zeros_late() -> tuple[WireRecord, int]:
    """A sound record whose ciphertext has two zero bytes in a row beyond its first 300."""
    for sequence in range(1, 1000):
        record = _sealed(sequence, bytes(2000))
        at = record.fragment.find(bytes(2), 300)
        if at > 0:
            return record, at
    raise AssertionError("no such record")


def test_a_change_anywhere_in_the_record_is_found() -> None:
    record, at = _with_zeros_late()
    assert KEYS.open(Direction.UP, record) is not None
    changed = record.fragment[:at] + b"\xff\xff" + record.fragment[at + 2 :]
    assert session._changed_unseen(VIEW, _bad(record, changed)) is True


def test_any_other_change_is_none() -> None:
    record = _sealed(1, bytes(40))
    flipped = record.fragment[:20] + bytes((record.fragment[20] ^ 4,)) + record.fragment[21:]
    assert session._changed_unseen(VIEW, _bad(record, flipped)) is False


def test_too_many_places_are_undecided() -> None:
    record = _sealed(1, bytes(2000))
    assert session._changed_unseen(VIEW, _bad(record, bytes(len(record.fragment)))) is None
