"""From a packet capture to the reason a Particle device cannot reach its cloud.

from analyzer import analyze_capture
report = analyze_capture("capture.pcap", keys="keys/")
report.captures[0].sessions[0].verdict
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyzer.library import Result, analyze_capture, analyze_captures, load_keys
    from analyzer.pipeline import Options

__version__ = "0.1.0"
__all__ = ["Options", "Result", "__version__", "analyze_capture", "analyze_captures", "load_keys"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the library calls by that name
    """The library's names, imported when first asked for: the command line starts without them."""
    if name in __all__:
        from analyzer import library

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What the library offers, for completion in a notebook."""
    return sorted({*globals(), *__all__})
