"""Which sessions are one device's: by its id, by the public key it shows, and last by its address, which is a guess."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from analyzer.stories.moments import Moment


@dataclass(slots=True)
class Group:
    """Sessions of one device, in order of time. ``guess``: nothing but an address says that they are one device's."""

    device: str
    members: list[Moment] = field(default_factory=list)
    guess: bool = True


def grouped(moments: Sequence[Moment]) -> list[Group]:
    """One group per device, in the order in which the devices appear.

    A session belongs to the device whose id it tells; without one, to the device that shows the same key elsewhere;
    without either, to the id it was given by a guess, or to its address.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    for moment in moments:
        if moment.id is not None and moment.key is not None:
            owners[moment.key].add(moment.id)
    groups: dict[str, Group] = {}
    for moment in moments:
        name, firm = _device(moment, owners)
        group = groups.setdefault(name, Group(name))
        group.members.append(moment)
        group.guess = group.guess and not firm
    return list(groups.values())


def _device(moment: Moment, owners: dict[str, set[str]]) -> tuple[str, bool]:
    if moment.id is not None:
        return moment.id, True
    if moment.key is not None:
        holders = owners.get(moment.key, set())
        if len(holders) == 1:
            return next(iter(holders)), True
        if moment.guessed_id is None:
            return f"SHA256:{moment.key[:16]}", True
    return moment.guessed_id or moment.session.device.address or "unknown device", False
