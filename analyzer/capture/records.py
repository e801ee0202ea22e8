"""What every file reader yields, and what it may note on the way.

How it works: the *raw* layer (`pcap`, `pcapng`) turns a file into records and knows nothing of networks; the *decode*
layer (`decode`) turns a record into a `Packet` and knows nothing of files. A record is a plain tuple, because one is
made for every packet of the file, wanted or not. An index that walks millions of headers at once takes the place of
the first layer only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.packet import Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

#: (frame number, time in ns since 1970, link type, captured bytes, length on the wire)
Record = tuple[int, int, int, bytes, int]
#: The link type of a record whose bytes are no packet or of an unknown kind; none are kept, though nothing was cut off.
NO_PACKET = -1

#: Bytes behind a block's records, so that a header may be looked at beyond a record's end.
SLACK = 64


class Rest(NamedTuple):
    """What a reader has not used because another file begins there: its bytes from the header on, the frames before it."""

    data: bytes
    number: int


class Block(NamedTuple):
    """Whole records that stand one behind the other in ``data``, their bytes found but not looked at.

    ``data`` is overwritten when the next block is asked for.
    """

    #: Records before the first.
    number: int
    link_type: int
    data: bytearray
    #: Offset of each record's captured bytes; their lengths, lengths on the wire and times (ns).
    starts: Array
    captured: Array
    wire: Array
    times: Array

    def first(self, count: int) -> Block:
        """Only its first ``count`` records."""
        return self._replace(
            starts=self.starts[:count], captured=self.captured[:count], wire=self.wire[:count], times=self.times[:count]
        )


#: Wireshark's limits (wiretap/wtap.h WTAP_MAX_PACKET_SIZE_*): a longer packet is a damaged header, not a packet.
MAX_PACKET = 262_144
MAX_PACKET_RARE = 128 * 1024 * 1024
#: Link types that may hold the rare, bigger ones: D-Bus, USBPcap, EBHSCR. None is ours, so they are skipped unread.
BIG_LINK_TYPES = frozenset({231, 249, 279})

#: Problem codes after which the file was not used to its end.
FATAL = frozenset(
    {"cut-short", "more-captures", "damaged-record", "read-error", "damaged-gzip", "limit-packets", "limit-bytes", "limit-time", "limit-memory"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an input is read at most. None: no limit.

    ``packets``: records. ``expanded``: bytes that come out of a compressed file. ``fragments``: IP datagrams under way.
    ``stop`` is asked now and then and gives the reason when reading has to end.
    """

    packets: int | None = None
    expanded: int | None = 64 * 1024**3
    fragments: int = 4096
    stop: Callable[[], Problem | None] | None = None


@dataclass(slots=True)
class Notes:
    """What the layers learn about the file while it streams by."""

    problems: list[Problem] = field(default_factory=list)
    link_types: list[int] = field(default_factory=list)
    #: Decimal digits of the finest time stamp: 6 or 9.
    digits: int = 6
    #: TLS key logs of pcapng secrets blocks; secret.
    secrets: list[bytes] = field(default_factory=list, repr=False)
    #: Address (4 or 16 bytes) -> host name, from pcapng name blocks.
    names: dict[bytes, str] = field(default_factory=dict)
    #: The first frame of each further file in this one (`joined`): each has a clock of its own.
    joints: list[int] = field(default_factory=list)
    #: Reading failed below: that the data ends is no news.
    stopped: bool = False

    def add(self, code: str, message: str, frame: int | None = None) -> None:
        """Note a problem."""
        self.problems.append(Problem(code, message, frame))

    def add_once(self, code: str, message: str, frame: int | None = None) -> None:
        """For what may happen at every packet: the first one is named."""
        if all(problem.code != code for problem in self.problems):
            self.add(code, message, frame)

    def add_link_type(self, link_type: int) -> None:
        """Note a link type, once."""
        if link_type not in self.link_types:
            self.link_types.append(link_type)

    def cut_short(self, frame: int | None, behind: bool = False) -> None:
        """The input ended inside ``frame`` (or ``behind`` it). A reason that is known already only learns the frame."""
        for index, problem in enumerate(self.problems):
            if problem.code in FATAL:
                self.problems[index] = problem._replace(frame=frame)
                return
        if behind:
            where = f"behind frame {frame}" if frame else "before its first frame"
            self.add("cut-short", f"the file is cut off {where}; everything before that was used", frame)
        else:
            self.add("cut-short", f"the file ends in the middle of frame {frame}; everything before it was used", frame)
