"""Words the ladders of all formats share: frames, offsets, sizes, the label of a row."""

from __future__ import annotations

from collections.abc import Iterable

from analyzer.model import AlsoSeen, Session


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
