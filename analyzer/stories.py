"""All attempts of one device as one story."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.case import Case
from analyzer.model import Session, Story


def tell(cases: Sequence[Case], sessions: Sequence[Session]) -> tuple[Story, ...]:
    """One story per device, in the order in which the devices appear."""
    groups: dict[str, list[tuple[Case, Session]]] = {}
    for case, session in zip(cases, sessions, strict=True):
        groups.setdefault(case.device_id or case.device.address, []).append((case, session))
    stories = []
    for device, members in groups.items():
        starts = [case.start_ns for case, _ in members]
        cadence = tuple(round((later - earlier) / 1e9, 3) for earlier, later in zip(starts, starts[1:], strict=False))
        codes = [session.verdict.code.value for _, session in members]
        alike = f"all {codes[0]}" if len(set(codes)) == 1 else ", ".join(dict.fromkeys(codes))
        many = "1 attempt" if len(members) == 1 else f"{len(members)} attempts"
        stories.append(
            Story(
                device,
                tuple(session.id for _, session in members),
                len(members),
                cadence,
                f"{many}, {alike}",
                all(case.device_id is None for case, _ in members),
            )
        )
    return tuple(stories)
