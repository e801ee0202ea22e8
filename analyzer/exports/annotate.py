"""The same capture with what was found written on its packets, as pcapng for Wireshark.

How it works. A pcapng file is copied block by block: only the packets that are remarked on, and the section header, get
comments behind those they have; nothing else of them changes. A pcap file becomes pcapng, every packet with its bytes,
its length and its time in the file's own precision. Names and (on request) secrets go in front of the first packet,
where Wireshark wants them. Decrypted messages are packets of one more interface, at the end, so that all frame numbers
stay what the report says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from analyzer.capture import joined, pcap, pcapng
from analyzer.capture.records import Limits, Notes
from analyzer.capture.source import Source
from analyzer.errors import InputError
from analyzer.exports.blocks import Block, Blocks
from analyzer.exports.output import make_private, new_file
from analyzer.exports.pcapng_writer import ENHANCED, INTERFACE, OLD_PACKET, SECRETS, SECTION, UPPER_PDU, PcapngWriter
from analyzer.exports.remarks import Remarks, host_names, remarks, summary
from analyzer.exports.upper_pdu import Plaintext, exported
from analyzer.model import CaptureReport

_HEAD = 32
_COMMENTABLE = frozenset({ENHANCED, OLD_PACKET})
_DISSECTOR = "coap"


@dataclass(frozen=True, slots=True)
class Annotated:
    """What came of it: frames that carry remarks, frames copied, decrypted messages added, why it ends early (or None)."""

    remarked: int
    frames: int
    plaintexts: int
    problem: str | None


def annotate(
    report: CaptureReport,
    source: Path,
    output: Path,
    *,
    secrets: Sequence[bytes] = (),
    plaintexts: Sequence[Plaintext] = (),
    streamed: bool = False,
) -> Annotated:
    """Write ``source`` with the remarks of ``report`` (a report on that capture) to ``output``.

    ``secrets`` are TLS key logs for Wireshark to decrypt DTLS with; ``plaintexts`` are decrypted CoAP messages to add.
    With either, or with decrypted messages among the remarks, only the owner may read the file. ``streamed``: for dumpcap,
    whose buffer for a section header is small (4.0.17 writes beyond it): no summary in front. Raises :class:`InputError` when ``source`` is no capture, cannot be
    read, or is the same file as ``output``.
    """
    try:
        file = source.open("rb", buffering=0)
    except OSError as error:
        raise InputError(str(source), f"cannot be read: {error.strerror or error}") from error
    decrypted = any(session.messages for session in report.sessions)
    with file, new_file(output, source, private=bool(secrets or plaintexts or decrypted)) as out:
        notes = Notes()
        stream = Source(file, notes, Limits())
        head = stream.more(_HEAD)
        copy = _Copy(report, out, secrets, plaintexts, () if streamed else (summary(report),))
        if pcapng.looks_like(head):
            blocks = Blocks(stream, head)
            copy.pcapng(blocks)
            problem = blocks.problem
        elif (header := pcap.read_header(head)) is not None:
            copy.pcap(stream, head, header, notes)
            problem = None
        else:
            raise InputError(str(source), "is no pcap or pcapng capture")
        # A note of the source (a damaged gzip stream, a cut file) tells more than where the copy ends.
        problem = notes.problems[0].message if notes.problems else problem
        return Annotated(copy.remarked, copy.frames, len(plaintexts), problem)


class _Copy:
    """One capture being copied."""

    def __init__(
        self,
        report: CaptureReport,
        out: BinaryIO,
        secrets: Sequence[bytes],
        plaintexts: Sequence[Plaintext],
        opening: Sequence[str],
    ) -> None:
        self._report = report
        self._remarks: Remarks = remarks(report)
        self._out = out
        self._secrets = secrets
        self._opening = opening
        self._plaintexts = sorted(plaintexts, key=lambda plaintext: (plaintext.time_ns, plaintext.frame))
        self.remarked = 0
        self.frames = 0

    def pcapng(self, blocks: Blocks) -> None:
        """Copy the blocks of a pcapng file."""
        writer, interfaces = PcapngWriter(), 0
        first = True
        for block in blocks:
            if block.kind == SECTION:
                writer, interfaces = PcapngWriter(block.order), 0
            interfaces += block.kind == INTERFACE
            if block.kind == SECRETS:
                make_private(self._out)
            self._out.write(self._copied(writer, block, first))
            if first:
                self._front(writer)
                first = False
        self._back(writer, interfaces)

    def _copied(self, writer: PcapngWriter, block: Block, first: bool) -> bytes:
        if block.frame is not None:
            self.frames = block.frame
            comments = self._remarks.of(block.frame)
            if comments and block.kind in _COMMENTABLE:
                self.remarked += 1
                return writer.commented(block.kind, block.body, comments)
        elif first and self._opening and len(block.body) >= 16:
            return writer.commented(SECTION, block.body, self._opening)
        return block.stored

    def pcap(self, stream: Source, head: bytes, header: pcap.Header, notes: Notes) -> None:
        """Turn a pcap file into pcapng."""
        writer = PcapngWriter()
        digits = 9 if header.nanoseconds else 6
        self._out.write(writer.section(self._opening))
        self._front(writer)
        interfaces: dict[int, int] = {}
        for number, time_ns, link_type, data, length in joined.read(stream, head, notes):
            if link_type not in interfaces:
                interfaces[link_type] = len(interfaces)
                self._out.write(writer.interface(link_type, digits=digits))
            comments = self._remarks.of(number)
            self.remarked += bool(comments)
            self.frames = number
            self._out.write(
                writer.packet(interfaces[link_type], time_ns, data, length, digits=digits, comments=comments)
            )
        self._back(writer, len(interfaces))

    def _front(self, writer: PcapngWriter) -> None:
        for key_log in self._secrets:
            self._out.write(writer.secrets(key_log))
        names = host_names(self._report)
        if names:
            self._out.write(writer.names(names))

    def _back(self, writer: PcapngWriter, interfaces: int) -> None:
        if not self._plaintexts:
            return
        self._out.write(writer.interface(UPPER_PDU, name="decrypted"))
        for data in self._decrypted(writer, interfaces):
            self._out.write(data)

    def _decrypted(self, writer: PcapngWriter, interface: int) -> Iterator[bytes]:
        for plaintext in self._plaintexts:
            data = exported(plaintext, _DISSECTOR)
            comment = f"decrypted from frame {plaintext.frame}"
            yield writer.packet(interface, plaintext.time_ns, data, len(data), comments=(comment,))
