"""A report as lines for the menu in Wireshark (dissectors/wireshark/particle_menu.lua): values, then the text for people.

Lines are cells between tabs. ``session``: id, first and last frame, the verdict's frame, device id (may be empty),
device address and port, cloud address and port, display filter, verdict, certainty. ``remark``: frame, text. Behind a line
``report`` comes the report as text, to the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analyzer.exports.remarks import remarks
from analyzer.model import CaptureReport
from analyzer.safe import printable

#: Remarks beyond these are left out: the menu keeps all of them in memory.
_MAX_REMARKS = 200_000


def menu_lines(report: CaptureReport, text: Iterable[str]) -> Iterator[str]:
    """The lines for one capture's report; ``text`` are the pieces of its text form."""
    for session in report.sessions:
        verdict = session.verdict
        yield _line(
            "session", session.id, session.first_frame, session.last_frame, (verdict.frames or (session.last_frame,))[-1],
            session.device.id or "", session.device.address, session.device.port, session.cloud.address, session.cloud.port,
            session.filter, verdict.code, verdict.certainty,
        )  # fmt: skip
    found = remarks(report)
    left = _MAX_REMARKS
    for frame in sorted(found.frames):
        for remark in found.of(frame)[:left]:
            left -= 1
            yield _line("remark", frame, remark)
    yield "\nreport\n"
    yield from text


def _line(*cells: object) -> str:
    return "\t".join(printable(str(cell)).replace("\t", " ") for cell in cells) + "\n"
