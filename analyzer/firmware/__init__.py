"""Facts about firmware, servers and tools, as tables; and what follows from them for a verdict."""

from analyzer.firmware.case import RemedyContext, capture_filter
from analyzer.firmware.evidence import kinds_of_missing_evidence, missing_evidence
from analyzer.firmware.remedies import finding_remedy, remedy
from analyzer.firmware.shows import device_shows

__all__ = [
    "RemedyContext",
    "capture_filter",
    "device_shows",
    "finding_remedy",
    "kinds_of_missing_evidence",
    "missing_evidence",
    "remedy",
]
