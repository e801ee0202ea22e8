"""One session's packets as a capture of their own, with what was found written on them.

How it works. The capture is read twice: once to see which packets are between the session's ends (in a tunnel too) while it
lasts, then to copy them. To them come the packets that the report names for it: look-ups, ICMP errors, copies. Each keeps its
bytes and its time, and its first comment says which frame it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from analyzer.capture import open_capture
from analyzer.errors import InputError
from analyzer.exports.output import new_file
from analyzer.exports.pcapng_writer import PcapngWriter
from analyzer.exports.remarks import Remarks, host_names, remarks, summary
from analyzer.model import CaptureReport, Session
from analyzer.packet import TCP, UDP

_PROTOCOL = {"tcp": TCP, "udp": UDP}


@dataclass(frozen=True, slots=True)
class Extracted:
    """Packets of the session, and of the whole capture."""

    kept: int
    frames: int


def extract(report: CaptureReport, session: Session, source: Path, output: Path) -> Extracted:
    """Write the packets of ``session``, which is one of ``report`` on the capture at ``source``, to ``output``.

    Only its owner may read it where messages were decrypted. Raises InputError when ``source`` is no capture or cannot be
    read, when no packet of it is the session's (a log told it), or when it is the same file as ``output``.
    """
    alone = replace(report, sessions=(session,))
    notes = remarks(alone)
    wanted, frames = _wanted(report, session, source, notes)
    if not wanted:
        raise InputError(
            str(source), f"holds no packet of session {session.id}", "it is told by a log, or by a look-up"
        )
    with new_file(output, source, private=bool(session.messages)) as out:
        writer, interfaces = PcapngWriter(), dict[int, int]()
        capture = open_capture(source, name=str(source))
        out.write(writer.section((summary(alone),)))
        names = host_names(alone)
        if names:
            out.write(writer.names(names))
        for number, time_ns, link_type, data, length in capture.records():
            if number not in wanted:
                continue
            if link_type not in interfaces:
                interfaces[link_type] = len(interfaces)
                out.write(writer.interface(link_type))
            comments = (f"frame {number} of {source.name}", *notes.of(number))
            out.write(writer.packet(interfaces[link_type], time_ns, data, length, comments=comments))
    return Extracted(len(wanted), frames)


def _wanted(report: CaptureReport, session: Session, source: Path, notes: Remarks) -> tuple[set[int], int]:
    """The numbers of the session's packets; how many the capture has."""
    spans: dict[frozenset[tuple[bytes, int]], tuple[int, int]] = {}
    if session.cloud.address and session.device.address:
        spans[_ends(session.device, session.cloud)] = session.first_frame, session.last_frame
    for other in session.also_seen:
        if not other.capture:
            spans[_ends(other.device, other.cloud)] = (other.first_frame, other.last_frame)
    #: What the report names of other sessions is evidence here, and no packet of this one.
    others = {
        _ends(other.device, other.cloud) for other in report.sessions if other.cloud.address and other.device.address
    }
    protocol = _PROTOCOL[session.transport]
    capture = open_capture(source, name=str(source))
    wanted = {frame for stage in session.stages for frame in stage.frames} | notes.frames
    wanted |= {frame for incident in session.incidents for frame in incident.frames}
    for packet in capture:
        ends = frozenset(((packet.source, packet.source_port), (packet.destination, packet.destination_port)))
        first, last = spans.get(ends, (1, 0))
        if packet.protocol == protocol and first <= packet.number <= last:
            wanted.add(packet.number)
        elif ends in others:
            wanted.discard(packet.number)
    return {frame for frame in wanted if frame}, capture.packets


def _ends(device: object, cloud: object) -> frozenset[tuple[bytes, int]]:
    return frozenset((ip_address(end.address).packed, end.port) for end in (device, cloud))  # type: ignore[attr-defined]
