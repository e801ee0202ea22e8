"""Facts about firmware, servers and tools, as tables; and what follows from them for a verdict."""

from analyzer.firmware.remedies import RemedyContext, remedy
from analyzer.firmware.shows import device_shows

__all__ = ["RemedyContext", "device_shows", "remedy"]
