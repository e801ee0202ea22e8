"""The store as a file: its version, its owner, other people's files, a full disk."""

from __future__ import annotations

import sqlite3

import pytest

from analyzer.errors import InputError
from analyzer.fleet import store as module
from analyzer.fleet.answer import Known, given_up
from analyzer.fleet.store import MIGRATIONS, Store
from analyzer.keys import KeyRing
from analyzer.pipeline import Options


def answer(number: int, size: int = 10):
    return given_up(f"/c/{number:05}.pcap", "unreadable", f"junk {'x' * size}", known=Known(number.to_bytes(32, "big")))


def filled(path, count=3):
    with Store(path) as store:
        store.begin(KeyRing(), Options())
        for number in range(count):
            store.add(answer(number))


def test_a_store_of_an_older_version_is_brought_up_to_date(tmp_path, monkeypatch):
    path = tmp_path / "f.sqlite"
    filled(path)
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, ("ALTER TABLE captures ADD COLUMN note TEXT",)))
    with Store(path) as store:
        assert store.db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert store.db.execute("SELECT count(note), count(*) FROM captures").fetchone() == (0, 3)


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "f.sqlite"
    filled(path)
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, ("ALTER TABLE captures ADD COLUMN note TEXT", "nonsense")))
    with pytest.raises(InputError):
        Store(path)
    monkeypatch.undo()
    with Store(path) as store:
        assert store.db.execute("SELECT count(*) FROM captures").fetchone() == (3,)


def test_a_newer_store_is_left_alone(tmp_path):
    path = tmp_path / "f.sqlite"
    filled(path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="newer version"):
        Store(path)


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 40, None])
def test_other_files_are_left_alone(tmp_path, content):
    path = tmp_path / "f.sqlite"
    if content is None:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE theirs (a)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(InputError):
        Store(path)
    assert path.read_bytes() == before


def test_a_full_disk_is_one_line_and_the_store_stays_as_it_was(tmp_path):
    """SQLite's own limit of pages gives the error of a full disk (SQLITE_FULL)."""
    path = tmp_path / "f.sqlite"
    filled(path, 50)
    store = Store(path)
    store.begin(KeyRing(), Options())
    pages = store.db.execute("PRAGMA page_count").fetchone()[0]
    store.db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(InputError, match="disk is full") as told:
        for number in range(50, 5000):
            store.add(answer(number, 400))
    assert "\n" not in str(told.value)
    store.close()
    with Store(path) as again:
        assert again.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = again.db.execute("SELECT count(*) FROM captures").fetchone()[0]
        assert kept >= 50
        assert kept == again.db.execute("SELECT count(*) FROM results").fetchone()[0]


def test_results_that_nothing_points_at_are_forgotten(tmp_path):
    with Store(tmp_path / "f.sqlite") as store:
        store.begin(KeyRing(), Options())
        store.add(given_up("/a.pcap", "unreadable", "one", known=Known(b"\x11" * 32)))
        store.flush()
        store.add(given_up("/a.pcap", "unreadable", "two", known=Known(b"\x22" * 32)))
        store.flush()
        store.tidy()
        assert store.db.execute("SELECT sha256 FROM results").fetchall() == [("2" * 64,)]
