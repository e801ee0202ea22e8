"""Is the device talking to the right cloud at all? The stored address, the name it asked for, the address it went to."""

from __future__ import annotations

from analyzer.case import Case
from analyzer.diagnosis.context import Context, own_keys
from analyzer.keys import Key, ServerAddress
from analyzer.keys.published import PARTICLE_EC_SPKI, PARTICLE_RSA_SPKI
from analyzer.model import Certainty, Finding, Role
from analyzer.names import particle_name


def address_findings(case: Case, context: Context) -> list[Finding]:
    """``server-address-lost``, ``wrong-cloud`` and ``official-particle-cloud`` for one session."""
    found: list[Finding] = []
    official = case.host is not None and particle_name(case.host) is not None
    frames = next((step.frames for step in case.prelude if step.stage == "name-resolution"), (case.first_frame,))
    if official:
        found.append(
            Finding(
                "official-particle-cloud",
                Certainty.INFERRED,
                f"the device asked for {case.host}: Particle's own cloud",
                frames,
            )
        )
    slot = next(
        iter(
            own_keys(context.ring, case.device_id, Role.DEVICE_SERVER_KEY, "rsa" if case.transport == "tcp" else "ec")
        ),
        None,
    )
    stored = slot.server_address if slot is not None else None
    if slot is None or stored is None:
        return found
    custom_key = slot.spki is not None and slot.spki not in (PARTICLE_RSA_SPKI, PARTICLE_EC_SPKI)
    lost = _lost(stored, official=official, custom_key=custom_key)
    if lost:
        found.append(
            Finding(
                "server-address-lost",
                Certainty.PROVEN if official else Certainty.INFERRED,
                _lost_text(case, stored, slot),
                frames,
            )
        )
    elif _elsewhere(case, stored):
        found.append(
            Finding(
                "wrong-cloud",
                Certainty.INFERRED,
                f"the device has {stored} stored as its server ({slot.file}) and talks to {case.cloud}",
                (case.first_frame,),
            )
        )
    return found


def _lost(stored: ServerAddress, *, official: bool, custom_key: bool) -> bool:
    if stored.kind in ("unset", "invalid"):
        return custom_key
    return official and stored.host is not None and particle_name(stored.host.replace("$id.", "")) is None


def _lost_text(case: Case, stored: ServerAddress, slot: Key) -> str:
    went = case.host or str(case.cloud)
    if stored.kind in ("unset", "invalid"):
        return f"{slot.file} holds a custom cloud's key and no server address (type {stored.type_byte}): the device falls back to {went}"
    return f"the device asks for {went} although {slot.file} says its server is {stored}: what it holds now is not what that file says"


def _elsewhere(case: Case, stored: ServerAddress) -> bool:
    if stored.kind == "ip":
        return stored.host != case.cloud.address
    return (
        stored.kind == "domain"
        and case.host is not None
        and stored.host is not None
        and not stored.host.startswith("$id")
        and stored.host.lower() != case.host.lower()
    )
