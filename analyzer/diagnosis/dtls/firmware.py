"""Which firmware this is, as closely as the wire tells: ClientHello, packing, move markers, names, the Hello."""

from __future__ import annotations

from analyzer.diagnosis.dtls.view import View
from analyzer.firmware.timers import timer
from analyzer.model import Certainty, Finding
from analyzer.names import particle_name
from dissectors.dtls.record import ContentType
from dissectors.events import Direction


def firmware(view: View) -> Finding | None:
    """A ``firmware-family`` finding, or None when nothing tells."""
    told = [
        text for text in (_by_hello(view), _by_marker(view), _by_timer(view), _by_name(view), _by_word(view)) if text
    ]
    if not told:
        return None
    frames = view.frames("client-hello") or view.frames("resumed")
    return Finding("firmware-family", Certainty.INFERRED, "; ".join(told), frames[:1])


def _by_hello(view: View) -> str | None:
    made_by = view.attempt.generation
    if made_by is None:
        return None
    # The forks that send alerts and offer no connection id write the same ClientHello; they fill datagrams differently.
    several = made_by.alerts and not made_by.connection_id
    if not several or not view.seen("device-certificate", "client-key-exchange"):
        return f"mbedTLS {made_by.mbedtls}, device-os {made_by.firmware} (by its ClientHello)"
    packed = view.frames("client-key-exchange") == view.frames("device-certificate") != ()
    if packed:
        return "mbedTLS 2.16 or 2.22, device-os v1.4.0 to v3.0.x (by its ClientHello and several records in a datagram)"
    return "mbedTLS 2.9.0, device-os v0.8.0-rc.25-mesh, v0.9.0, v1.1.0 to v1.3.x (by its ClientHello, a datagram per record)"


def _by_marker(view: View) -> str | None:
    types = {record.header[0] for record in view.attempt.transcript.records if record.direction is Direction.UP}
    if ContentType.MOVED_CID in types:
        return "device-os v4.0.0 or later (record type 253)"
    if ContentType.MOVED in types:
        return "device-os v0.5.0 to v3.0.x (record type 254)"
    if ContentType.CID in types and view.attempt.kind == "resumed":
        return "device-os v3.1.0 or later (record type 25)"
    return None


def _by_timer(view: View) -> str | None:
    short, long = timer("dtls-retransmit-short"), timer("dtls-retransmit-long")
    most = len(short.seconds) - 1
    if view.repeats("client-hello") <= most and view.repeats("client-key-exchange") <= most:
        return None
    return f"device-os v1.4.1 or later (it repeats a flight more than once: its timer goes to {long.seconds[-1]:g} s)"


def _by_name(view: View) -> str | None:
    told = particle_name(view.case.host) if view.case.host else None
    if told is None or told.major is None:
        return None
    return f"system version {told.major}.x (by the name it looked up)"


def _by_word(view: View) -> str | None:
    hello = view.decryption.hello
    facts = hello.summary.facts if hello is not None and hello.summary is not None else {}
    parts = [str(facts[name]) for name in ("platform_name", "generation") if name in facts]
    if "system_version" in facts:
        parts.append(f"system version {facts['system_version']}")
    return f"{', '.join(parts)} (its Hello says)" if parts else None
