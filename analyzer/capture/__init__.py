"""Capture files into packets. `open_capture` is the way in."""

from analyzer.capture.icmp import quoted
from analyzer.capture.reader import Capture, open_capture
from analyzer.capture.records import Limits, Record

__all__ = ["Capture", "Limits", "Record", "open_capture", "quoted"]
