"""The exit status of a run over many captures, from its store."""

from __future__ import annotations

from analyzer.fleet.store import Store

HEALTHY, FAILING, UNREADABLE, EMPTY = 0, 1, 3, 4


def status_of(store: Store) -> int:
    """The contract's status for the captures asked about: 3 outranks 1, and 4 means that no session was found anywhere."""
    db = store.db
    if db.execute("SELECT 1 FROM temp.asked JOIN results ON id = asked.result WHERE status <> 'ok' LIMIT 1").fetchone():
        return UNREADABLE
    verdicts = "SELECT 1 FROM temp.asked JOIN sessions ON sessions.result = asked.result"
    if db.execute(f"{verdicts} WHERE verdict <> 'healthy' LIMIT 1").fetchone():
        return FAILING
    return HEALTHY if db.execute(f"{verdicts} LIMIT 1").fetchone() else EMPTY
