"""Capture files one behind the other in one file (``cat a.pcap b.pcap``): each is read by its own header.

How it works. A reader that meets another file's header where a record or block should begin stops and hands back what it
has not used. Wireshark reads no further there; the frame numbers behind it are those of the files taken together.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.capture import pcap, pcapng
from analyzer.capture.records import Block, Notes, Record, Rest
from analyzer.capture.source import Source


def read(source: Source, head: bytes, notes: Notes) -> Iterator[Record]:
    """The records of a file that begins with ``head``, and of those that follow in it."""
    rest: Rest | None = Rest(head, 0)
    while rest is not None:
        header = pcap.read_header(rest.data)
        if header is not None:
            rest = yield from pcap.read(source, rest.data, header, notes, number=rest.number)
        else:
            rest = yield from pcapng.read(source, rest.data, notes, number=rest.number)
        if rest is not None:
            _note(notes, rest)


def read_blocks(
    source: Source, head: bytes, notes: Notes, *, size: int, link_types: frozenset[int]
) -> Iterator[Record | Block]:
    """Like `read`, in blocks of about ``size`` bytes where packets of one of ``link_types`` stand in a row."""
    rest: Rest | None = Rest(head, 0)
    while rest is not None:
        header = pcap.read_header(rest.data)
        if header is not None and header.link_type in link_types:
            rest = yield from pcap.read_blocks(source, rest.data, header, notes, size=size, number=rest.number)
        elif header is not None:
            rest = yield from pcap.read(source, rest.data, header, notes, number=rest.number)
        else:
            rest = yield from pcapng.read_blocks(
                source, rest.data, notes, size=size, link_types=link_types, number=rest.number
            )
        if rest is not None:
            _note(notes, rest)


def _note(notes: Notes, rest: Rest) -> None:
    notes.joints.append(rest.number + 1)
    notes.add_once(
        "joined-files",
        f"another capture file begins behind frame {rest.number}: files were put one behind the other (cat). Both are "
        "used here, Wireshark stops there; join captures with: mergecap -a -w OUT.pcapng FIRST SECOND",
        rest.number + 1,
    )
