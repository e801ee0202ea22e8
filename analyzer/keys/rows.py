"""The keys of one device on one transport, sorted by role: what the comparisons work on."""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.keys.key import Key
from analyzer.keys.report import RowTransport
from analyzer.model import Role


@dataclass(slots=True)
class Row:
    """The keys of one device on one transport, by role."""

    id: str
    transport: RowTransport
    keys: dict[Role, list[Key]] = field(default_factory=dict)

    def of(self, role: Role) -> tuple[Key, ...]:
        """Every key of this role, backups last."""
        return tuple(self.keys.get(role, ()))

    def first(self, role: Role) -> Key | None:
        """The key of this role that counts."""
        found = self.keys.get(role)
        return found[0] if found else None
