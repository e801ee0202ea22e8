"""Words the ladders of all formats share: frames, offsets, sizes, the label of a row."""

from __future__ import annotations

from collections.abc import Iterable

from analyzer.model import AlsoSeen, LogLine, Session


def frames_text(frames: Iterable[int], limit: int = 6) -> str:
    """Frame numbers with runs joined: ``3-5, 8``; at most ``limit`` runs, then an ellipsis."""
    runs: list[list[int]] = []
    for frame in sorted(set(frames)):
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:limit]]
    return ", ".join(shown) + (", ..." if len(runs) > limit else "")


def offset_text(seconds: float | None) -> str:
    """An offset from the session's start: ``+0.218``."""
    return "" if seconds is None else f"{seconds:+.3f}"


def log_clock(line: LogLine) -> str:
    """Whose log, and its clock: ``log 23.886`` (a device's, since its start), ``server log +0.218`` (since the session's)."""
    if line.witness == "server":
        return f"server log {line.offset_s:+.3f}" if line.offset_s is not None else "server log"
    return f"log {line.time_ms / 1000:.3f}" if line.time_ms is not None else "log"


def told_since(session: Session) -> str:
    """When a session without frames began: a server's time of day, or how long after the device's start."""
    return f"{session.begins} after the device's start" if session.begins.startswith("+") else session.begins


def told_by(session: Session) -> str:
    """Whose logs alone tell of a session without frames."""
    names = dict.fromkeys(line.witness for line in session.log) or {"device": None}
    return " and the ".join(f"{name}'s log" for name in names)


def span_text(session: Session | AlsoSeen) -> str:
    """The frames a session spans: ``frames 3-13``, ``frame 3``; ``no frames`` for one that only a log tells of."""
    first, last = session.first_frame, session.last_frame
    if not first:
        return "no frames"
    return f"frame {first}" if first == last else f"frames {first}-{last}"


def duration_text(seconds: float) -> str:
    """A length of time for people: ``87 ms``, ``2.1 s``, ``4 min 10 s``, ``3 h 5 min``, ``2 d 4 h``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.1f} s"
