"""How much of a report one page draws. A browser stays quick below some 50,000 elements; the JSON report has everything.

How it works. One :class:`Budget` goes through the whole page and hands out what is left of it, so that a capture of
5,000 sessions and 5,000 captures of one session are both bounded. What is left out is always counted on the page.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Rows of one overview or key table.
TABLE_ROWS = 1_000
#: Messages of one session: this many from its start and its end.
MESSAGES_HEAD, MESSAGES_TAIL = 120, 30
#: Sessions listed as "the same again" in one group.
ALIKE_ROWS = 100
STORIES = 40
PROBLEMS = 50
#: Captures of a small size whose sessions are all drawn, alike or not.
DRAW_ALL_BELOW = 6


@dataclass(slots=True)
class Budget:
    """What the page may still draw."""

    sessions: int = 60
    messages: int = 2_000
    rows: int = 3_000

    def take_sessions(self, wanted: int) -> int:
        """How many of ``wanted`` sessions may be drawn; they count as drawn."""
        taken = min(wanted, self.sessions)
        self.sessions -= taken
        return taken

    def take_messages(self, wanted: int) -> int:
        """How many of these messages may still be shown; they are counted."""
        taken = min(wanted, self.messages)
        self.messages -= taken
        return taken

    def take_rows(self, wanted: int) -> int:
        """How many of these rows may still be shown; they are counted."""
        taken = min(wanted, self.rows)
        self.rows -= taken
        return taken
