"""Words the ladders of all formats share: frames, offsets, sizes, the label of a row."""

from __future__ import annotations

from collections.abc import Iterable


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
