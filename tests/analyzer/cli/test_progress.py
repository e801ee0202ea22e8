"""The progress of a run as a person sees it: a bar on a terminal, lines elsewhere, never more than is useful."""

from __future__ import annotations

from io import StringIO

import pytest

from analyzer.cli import progress
from analyzer.cli.progress import Meter
from analyzer.fleet.batch import Progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_a_line_a_minute_where_there_is_no_terminal(clock: Clock) -> None:
    out = StringIO()
    meter = Meter(out)
    for second in range(1, 125):
        clock.now = 1000.0 + second
        meter(Progress(total=3000, done=second * 10))
    assert out.getvalue().splitlines() == [
        "analyze: 600/3,000  10.0/s  0:04:00 left",
        "analyze: 1,200/3,000  10.0/s  0:03:00 left",
    ]


def test_a_bar_on_a_terminal_is_drawn_over_itself(clock: Clock) -> None:
    out = Terminal()
    meter = Meter(out)
    for tenth in range(1, 11):
        clock.now = 1000.0 + tenth / 10
        meter(Progress(total=40, done=tenth * 2, failed=3))
    drawn = out.getvalue().split("\r\x1b[K")[1:]
    assert 4 <= len(drawn) <= 5, "five times a second at most"
    assert drawn[-1] == "[##############..............] 20/40  20.0/s  0:00:01 left  3 not readable"
    assert "\n" not in out.getvalue()


def test_the_rate_is_that_of_the_last_seconds(clock: Clock) -> None:
    """Large captures come first: what was slow at the beginning says nothing about the rest."""
    out = StringIO()
    meter = Meter(out, every_s=5.0)
    done = 0
    for second in range(5, 205, 5):
        done += 5 if second <= 100 else 500
        clock.now = 1000.0 + second
        meter(Progress(total=20_000, done=done))
    assert out.getvalue().splitlines()[-1] == "analyze: 10,100/20,000  100.0/s  0:01:39 left"


def test_nothing_done_yet_tells_no_time(clock: Clock) -> None:
    out = StringIO()
    meter = Meter(out)
    clock.now += 60
    meter(Progress(total=10, done=0))
    assert out.getvalue() == "analyze: 0/10  0.0/s  time left not known\n"


def test_the_last_line_stands_alone(clock: Clock) -> None:
    out = Terminal()
    meter = Meter(out)
    clock.now += 3725
    meter.end(Progress(total=7450, done=7450, known=1200, failed=2))
    assert out.getvalue() == (
        "\r\x1b[Kanalyze: 7,450 captures in 1:02:05 (2.0/s), 1,200 known already, 2 not readable\n"
    )


def test_a_run_that_took_no_time_has_no_rate(clock: Clock) -> None:
    out = StringIO()
    Meter(out).end(Progress(total=0, done=0))
    assert out.getvalue() == "analyze: 0 captures in 0:00:00 (0.0/s)\n"
