"""A device's own log: read it, judge it alone, lay it beside a capture."""

from analyzer.devicelog.alignment import Alignment, SessionLog, align, attach
from analyzer.devicelog.judge import judge_attempt, judge_log
from analyzer.devicelog.reader import LogLimits, read_log
from analyzer.devicelog.records import DeviceLog, LogAttempt, LogEvent
from analyzer.devicelog.spoken import Spoken, spoken

__all__ = [
    "Alignment",
    "DeviceLog",
    "LogAttempt",
    "LogEvent",
    "LogLimits",
    "SessionLog",
    "Spoken",
    "align",
    "attach",
    "judge_attempt",
    "judge_log",
    "read_log",
    "spoken",
]
