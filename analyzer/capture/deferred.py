"""Records of a big capture that are looked at last: look-ups and internet tests, of which only some matter in the end.

How it works. DNS and NTP datagrams touch no session, but which of them tell something is known only when the sessions are.
So their bytes are put aside by the block, the last of the look-ups and the first of the tests, and once the file is read
those come out whose client is wanted, or that have a wanted word in them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from analyzer.capture.records import Block, Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

#: Look-ups that are kept, the last ones: packets and bytes (as many as `analyzer.names` keeps at least).
_LOOKUPS: Final = 50_000
_BYTES: Final = 8 << 20
#: Headers below a look-up's message at most (802.1Q, IPv6, UDP).
_HEADERS: Final = 66
#: Internet tests that are kept, the first ones.
_TESTS: Final = 50_000


class Aside(NamedTuple):
    """Rows of a block to put aside, with where their IP header is and whether it is IPv4's."""

    rows: Array
    ip: Array
    four: Array
    #: Whether source and destination may be a client: not the end with the service's port. Two columns.
    clients: Array
    #: Whether it is a look-up; else a test.
    lookup: Array


class _Part(NamedTuple):
    """Records of one block, one behind the other."""

    link_type: int
    data: bytes
    #: Where each ends in ``data``, where its IP header begins there, and what `Record` needs.
    ends: Array
    ip: Array
    four: Array
    clients: Array
    numbers: Array
    times: Array
    wire: Array


class Deferred:
    """Takes rows while the capture streams by, gives records at its end."""

    def __init__(self) -> None:
        self._lookups: deque[_Part] = deque()
        self._tests: list[_Part] = []
        self._count = self._bytes = self._tested = 0

    def take(self, block: Block, aside: Aside) -> None:
        """Keep these rows of ``block``."""
        if aside.lookup.any():
            part = _part(block, aside, aside.lookup)
            self._lookups.append(part)
            self._count += len(part.numbers)
            self._bytes += len(part.data)
            while self._more_than_enough(self._lookups[0]):
                dropped = self._lookups.popleft()
                self._count -= len(dropped.numbers)
                self._bytes -= len(dropped.data)
        if self._tested < _TESTS and not aside.lookup.all():
            self._tests.append(_part(block, aside, ~aside.lookup))
            self._tested += len(self._tests[-1].numbers)

    def _more_than_enough(self, oldest: _Part) -> bool:
        count = self._count - len(oldest.numbers)
        return count > _LOOKUPS or self._bytes - len(oldest.data) - _HEADERS * count > _BYTES

    def records(self, wanted: tuple[Collection[bytes], Sequence[bytes]] | None) -> Iterator[Record]:
        """The tests and look-ups of clients with these addresses, and look-ups with one of these words (lower case) in them; None: all.

        In file order each, the tests first.
        """
        addresses, words = wanted or ((), ())
        for part in self._tests:
            yield from _records(part, _chosen(part, addresses, ()) if wanted else range(len(part.numbers)))
        for part in self._lookups:
            yield from _records(part, _chosen(part, addresses, words) if wanted else range(len(part.numbers)))


def _part(block: Block, aside: Aside, which: Array) -> _Part:
    import numpy as np

    rows = aside.rows[which]
    starts, lengths = block.starts[rows].astype(np.int64), block.captured[rows].astype(np.int64)
    ends = np.cumsum(lengths)
    begins = ends - lengths
    place = np.repeat(starts - begins, lengths) + np.arange(int(ends[-1]))
    data = np.frombuffer(block.data, np.uint8)[place].tobytes()
    return _Part(
        block.link_type,
        data,
        ends,
        aside.ip[which] - starts + begins,
        aside.four[which],
        aside.clients[which],
        rows + (block.number + 1),
        block.times[rows],
        block.wire[rows],
    )


def _chosen(part: _Part, addresses: Collection[bytes], words: Sequence[bytes]) -> list[int]:
    """The records of ``part`` from or to a client with one of ``addresses``, or with one of ``words`` in them."""
    import numpy as np

    flat = np.frombuffer(part.data, np.uint8)
    found: set[int] = set()
    for size, at, kind in ((4, 12, part.four), (16, 8, ~part.four)):
        rows, known = np.flatnonzero(kind), [address for address in addresses if len(address) == size]
        if rows.size and known:
            spans = flat[part.ip[rows][:, None] + (at + np.arange(2 * size))]
            ends = np.ascontiguousarray(spans).view(f"V{size}").reshape(-1, 2)
            hit = (np.isin(ends.view(f"S{size}"), np.array(known, f"S{size}")) & part.clients[rows]).any(axis=1)
            found.update(rows[hit].tolist())
    text = part.data.lower()
    for word in words:
        at = text.find(word)
        while word and at >= 0:
            row = int(np.searchsorted(part.ends, at, side="right"))
            found.add(row)
            at = text.find(word, int(part.ends[row]))
    return sorted(found)


def _records(part: _Part, rows: Sequence[int]) -> Iterator[Record]:
    begins = [0, *part.ends.tolist()]
    for row in rows:
        data = part.data[begins[row] : begins[row + 1]]
        yield int(part.numbers[row]), int(part.times[row]), part.link_type, data, int(part.wire[row])
