"""The time axis of the fleet report: to scale, and never more bars than it can hold."""

from __future__ import annotations

from datetime import date, timedelta

from analyzer.reports.fleet.charts import spans


def test_days_without_a_session_are_gaps():
    assert spans([("2026-02-27", 3, 1), ("2026-03-02", 2, 0)]) == [
        ("2026-02-27", 3, 1), ("2026-02-28", 0, 0), ("2026-03-01", 0, 0), ("2026-03-02", 2, 0),
    ]  # fmt: skip


def test_more_than_the_chart_holds_is_shown_by_month():
    assert spans([("2025-11-30", 1, 1), ("2026-02-01", 4, 2), ("2026-02-02", 1, 0), ("2026-06-01", 1, 0)]) == [
        ("2025-11", 1, 1), ("2025-12", 0, 0), ("2026-01", 0, 0), ("2026-02", 5, 2),
        ("2026-03", 0, 0), ("2026-04", 0, 0), ("2026-05", 0, 0), ("2026-06", 1, 0),
    ]  # fmt: skip


def test_one_capture_with_an_unset_clock_does_not_flatten_the_rest():
    days = [("1970-01-01", 1, 1), ("2026-03-01", 5, 0), ("2026-03-02", 4, 4)]
    assert spans(days) == days


def test_many_years_of_every_day_are_years():
    days = [(str(date(2000, 1, 1) + timedelta(number)), 1, 0) for number in range(9000)]
    found = spans(days)
    assert [name for name, _, _ in found] == [str(year) for year in range(2000, 2025)]
    assert sum(every for _, every, _ in found) == 9000


def test_nothing_is_nothing():
    assert spans([]) == []


def test_a_clock_beyond_the_calendar_is_no_reason_to_fail():
    days = [("2026-03-01", 1, 0), ("12026-03-0", 1, 1)]
    assert spans(days) == days
