"""A device's own log: read it, judge it alone, lay it beside a capture."""

from analyzer.devicelog.judge import judge_attempt, judge_log
from analyzer.devicelog.reader import LogLimits, read_log
from analyzer.devicelog.records import DeviceLog, LogAttempt, LogEvent

__all__ = ["DeviceLog", "LogAttempt", "LogEvent", "LogLimits", "judge_attempt", "judge_log", "read_log"]
