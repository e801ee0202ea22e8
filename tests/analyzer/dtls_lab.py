"""Scenes on the wire, judged: the synthetic device and cloud of `captures/synth` play, the whole analyzer watches."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from analyzer.keys import KeyRing, load_keys
from analyzer.model import CaptureReport, Session
from analyzer.pipeline import analyze_capture
from captures.synth.case import Lab, pcap
from captures.synth.dtls_scene import DtlsScene
from captures.synth.talk import CLOUD, DEVICE, Trace

__all__ = ["CLOUD", "DEVICE", "Lab", "judged", "report", "ring_of", "scene"]


def scene(name: str, **options: object) -> DtlsScene:
    """A device and a cloud whose keys and randoms follow from ``name``."""
    return DtlsScene(Lab(name), **options)  # type: ignore[arg-type]


def ring_of(keys: Mapping[str, bytes], folder: Path) -> KeyRing:
    """The keys as a folder would bring them."""
    folder.mkdir(exist_ok=True)
    for name, data in keys.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return load_keys([folder]) if keys else KeyRing()


def report(traces: Trace | list[Trace] | bytes, ring: KeyRing) -> CaptureReport:
    """What the analyzer says of these packets."""
    if not isinstance(traces, bytes):
        traces = pcap(*(traces if isinstance(traces, list) else [traces]))
    return analyze_capture(io.BytesIO(traces), ring, name="scene.pcap")


def judged(traces: Trace | list[Trace] | bytes, keys: Mapping[str, bytes], folder: Path) -> tuple[Session, ...]:
    """The sessions of :func:`report` with a key folder."""
    return report(traces, ring_of(keys, folder)).sessions
