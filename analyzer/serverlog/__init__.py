"""An open server's log: read it, judge its connections, lay them beside a capture."""

from analyzer.serverlog.beside import Beside, beside
from analyzer.serverlog.judge import Judged, judge
from analyzer.serverlog.reader import ServerReading
from analyzer.serverlog.records import Clock, Connection, ServerLog
from analyzer.serverlog.signs import Sign, sign_of

__all__ = [
    "Beside",
    "Clock",
    "Connection",
    "Judged",
    "ServerLog",
    "ServerReading",
    "Sign",
    "beside",
    "judge",
    "sign_of",
]
