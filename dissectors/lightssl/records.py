"""Record framing: ``length[2] | ciphertext[length]``, and finding it again after damage.

How it works: in step, a record is read by its length. When a length cannot be one, or bytes are missing, the stream is
out of step and a record boundary is looked for by content alone: the first offset from which three lengths in a row are
possible, or from which records end exactly where the bytes end. A random offset passes with odds of 1.5e-9 (three
lengths), so ciphertext is not taken for a header; chunk boundaries play no part, so any segmentation gives one answer.

Length rule: a multiple of 16, at least 16 (AES-CBC with PKCS#7); devices drop more than 640..1152 bytes
(device-os communication/src/lightssl_message_channel.cpp@v1.5.2, MBEDTLS_SSL_MAX_CONTENT_LEN@v3.x).
"""

from __future__ import annotations

from dissectors.events import Direction, Mark, Record, Status
from dissectors.lightssl.stream import Marked, Piece, join_frames

BLOCK = 16
HEADER = 2
#: Largest ciphertext taken for a record; the largest any device accepts is 1152 + padding.
MAX_LENGTH = 1200
#: Bytes of damage kept in one MALFORMED record, and bytes searched for the next boundary before giving up for good.
JUNK_KEPT = 2048
SEARCHED = 65536
#: Frame numbers kept for one stretch of damage.
JUNK_FRAMES = 64
#: Records kept per direction; later ones are only counted.
MAX_RECORDS = 100_000
_SURE = 3


def plausible(length: int) -> bool:
    """True when a record may have this ciphertext length."""
    return BLOCK <= length <= MAX_LENGTH and length % BLOCK == 0


def records_at(data: bytes | bytearray, start: int, *, ended: bool) -> bool | None:
    """Do records begin at ``start``? None: more bytes are needed to tell (never when ``ended``)."""
    headers = 0
    at = start
    while True:
        left = len(data) - at
        if left == 0:
            return headers >= 1 if ended else None
        if left == 1:
            if data[at] > MAX_LENGTH >> 8:
                return False
            return headers >= _SURE - 1 if ended else None
        length = int.from_bytes(data[at : at + HEADER], "big")
        if not plausible(length):
            return False
        headers += 1
        if headers >= _SURE:
            return True
        if left < HEADER + length:
            return headers >= _SURE - 1 if ended else None
        at += HEADER + length


def frame(ciphertext: bytes) -> bytes:
    """The record that carries ``ciphertext`` (a plausible length), as it goes on the wire."""
    return len(ciphertext).to_bytes(HEADER, "big") + ciphertext


class RecordStream:
    """The records of one direction. Feed it in order; :attr:`records` grows; :meth:`finish` settles what is left.

    ``aligned`` False: the first byte may be anywhere in a record (a capture that starts in mid-session).
    """

    def __init__(self, direction: Direction, *, aligned: bool = True) -> None:
        self.direction = direction
        self.records: list[Record] = []
        #: For each record the turn its last byte came in (orders both directions).
        self.turns: list[int] = []
        #: Records seen beyond MAX_RECORDS, bytes that were given up on, bytes missing before anything was seen.
        self.dropped = 0
        self.unread = 0
        self.missing_first = 0
        self.bytes = 0
        self._buffer = Marked()
        self._in_step = aligned
        self._given_up = False
        #: The next record's predecessor is unknown.
        self._after_gap = not aligned
        #: Rest of a record whose middle is missing: swallowed, because its end is known.
        self._swallow = 0
        #: Out of step: whether the damage began with a bad length (else with missing bytes); bytes passed over.
        self._bad_length = False
        self._junk = b""
        self._junk_size = 0
        self._junk_from: Piece | None = None
        self._junk_frames: tuple[int, ...] = ()

    def feed(self, data: bytes, mark: Mark, turn: int) -> None:
        """The next bytes of this direction."""
        self.bytes += len(data)
        if self._given_up:
            self.unread += len(data)
            return
        swallowed = min(self._swallow, len(data))
        self._swallow -= swallowed
        self._buffer.push(data[swallowed:], mark, turn)
        self._advance(ended=False)

    def gap(self, length: int) -> None:
        """``length`` bytes of this direction are not in the capture."""
        if self._given_up or length <= 0:
            return
        if not self.bytes:
            self.missing_first += length
        if self._swallow >= length:
            self._swallow -= length
            return
        if self._swallow:
            self._swallow = 0
            self._lose_step()
            return
        if not self._in_step:
            self._settle()
            self._lose_step()
            return
        self._gap_in_step(length)

    def finish(self) -> None:
        """No more bytes will come: what is left becomes records too."""
        if self._given_up:
            return
        if not self._in_step:
            self._settle()
        self._emit_partial()

    def _gap_in_step(self, length: int) -> None:
        have = len(self._buffer)
        whole = HEADER + int.from_bytes(self._buffer.data[:HEADER], "big") if have >= HEADER else 0
        self._emit_partial()
        if whole and length <= whole - have:
            self._swallow = whole - have - length
            # The next IV is this record's first block: known when it came before the gap.
            self._after_gap = have < HEADER + BLOCK
        else:
            self._lose_step()

    def _lose_step(self) -> None:
        """Bytes are missing and no length says where the next record begins."""
        self._in_step = False
        self._bad_length = False
        self._after_gap = True

    def _advance(self, *, ended: bool) -> None:
        while True:
            moved = self._read_record() if self._in_step else self._search(ended=ended)
            if not moved:
                return

    def _read_record(self) -> bool:
        """Take one record; False when more bytes are needed."""
        data = self._buffer.data
        if len(data) < HEADER:
            return False
        length = int.from_bytes(data[:HEADER], "big")
        if not plausible(length):
            self._in_step, self._bad_length = False, True
            self._pass_over(1)
            return True
        if len(data) < HEADER + length:
            return False
        self._emit(self._buffer.take(HEADER + length), Status.SEEN)
        return True

    def _search(self, *, ended: bool) -> bool:
        """Look for the next record boundary; True when it was found."""
        data = self._buffer.data
        at = 0
        found: bool | None = False
        while at < len(data):
            found = records_at(data, at, ended=ended)
            if found is not False:
                break
            at += 1
            if self._junk_size + at >= SEARCHED:
                self._give_up(at)
                return False
        self._pass_over(at)
        if not found:
            return False
        self._emit_junk()
        self._in_step = True
        return True

    def _settle(self) -> None:
        """The stretch being searched ends here: decide with what there is."""
        self._advance(ended=True)
        if self._in_step:
            self._emit_partial()
        else:
            self._pass_over(len(self._buffer))
            self._emit_junk()

    def _pass_over(self, length: int) -> None:
        if not length:
            return
        piece = self._buffer.take(length)
        self._junk_size += length
        self._junk = (self._junk + piece.data)[:JUNK_KEPT]
        self._junk_frames = join_frames(self._junk_frames, piece.frames)[:JUNK_FRAMES]
        self._junk_from = piece

    def _emit_junk(self) -> None:
        """What was passed over becomes one record: MALFORMED by its length, or the PARTIAL rest of a lost one."""
        last = self._junk_from
        if last is None:
            return
        piece = Piece(self._junk, self._junk_frames, last.start_ns, last.time_ns, last.turn)
        self.unread += self._junk_size - len(self._junk)
        self._junk, self._junk_size, self._junk_frames, self._junk_from = b"", 0, (), None
        if self._bad_length:
            self._emit(piece, Status.MALFORMED)
        else:
            self._emit(piece, Status.PARTIAL, headless=True)
        self._after_gap = True

    def _emit_partial(self) -> None:
        """The beginning of a record, all there is of it."""
        if len(self._buffer):
            self._emit(self._buffer.take(len(self._buffer)), Status.PARTIAL)

    def _emit(self, piece: Piece, status: Status, *, headless: bool = False) -> None:
        after_gap, self._after_gap = self._after_gap, False
        if len(self.records) >= MAX_RECORDS:
            self.dropped += 1
            return
        head = 0 if headless else HEADER
        self.records.append(
            Record(
                direction=self.direction,
                index=len(self.records),
                frames=piece.frames,
                time_ns=piece.time_ns,
                header=piece.data[:head],
                fragment=piece.data[head:],
                status=status,
                after_gap=after_gap,
            )
        )
        self.turns.append(piece.turn)

    def _give_up(self, searched: int) -> None:
        """Nothing like a record for a long time: sticky, later bytes are only counted."""
        self._pass_over(searched)
        self._emit_junk()
        self.unread += len(self._buffer)
        self._buffer = Marked()
        self._given_up = True
