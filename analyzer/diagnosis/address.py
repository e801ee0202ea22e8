"""Is the device talking to the right cloud at all? The stored address, the name it asked for, the address it went to."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address, ip_network

from analyzer.case import FIRM_SOURCES, Case
from analyzer.decrypt.lightssl import LightSslDecryption
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.remedy import custom_server, stored_slot
from analyzer.keys import Key, ServerAddress
from analyzer.keys.published import PARTICLE_RSA_SPKI
from analyzer.model import Certainty, Code, Finding
from analyzer.names import particle_name
from dissectors.events import Status


def address_findings(case: Case, context: Context) -> list[Finding]:
    """``server-address-lost``, ``wrong-cloud`` and ``official-particle-cloud`` for one session."""
    found: list[Finding] = []
    official = case.host is not None and particle_name(case.host) is not None
    frames = next((step.frames for step in case.prelude if step.stage == "name-resolution"), (case.first_frame,))
    if official:
        text = f"the device asked for {case.host}, the name of Particle's own cloud"
        found.append(Finding("official-particle-cloud", Certainty.INFERRED, text, frames))
    slot = stored_slot(case, context)
    stored = slot.server_address if slot is not None else None
    lost = _lost_by_slot(case, slot, official=official) or (_lost_otherwise(case, context) if official else None)
    if lost is not None:
        certainty, text = lost
        found.append(Finding("server-address-lost", certainty, text, frames))
    elif slot is not None and stored is not None and _elsewhere(case, stored) and _translated(case, stored):
        text = f"the device has {stored} stored as its server ({slot.file}), and here it is {case.cloud}: the address is translated on the way (NAT, port forwarding), or the capture was taken behind that"
        found.append(Finding("translated-address", Certainty.INFERRED, text, (case.first_frame,)))
    elif slot is not None and stored is not None and _elsewhere(case, stored):
        text = f"the device has {stored} stored as its server ({slot.file}) and talks to {case.cloud}"
        found.append(Finding("wrong-cloud", Certainty.INFERRED, text, (case.first_frame,)))
    return found


def headline(case: Case, draft: Draft, findings: Collection[Finding]) -> str:
    """The verdict's sentence: a lost address is the cause of the mismatch behind it, and stands before it."""
    if draft.code is not Code.SERVER_KEY_MISMATCH or all(item.code != "server-address-lost" for item in findings):
        return draft.summary
    where = case.host or str(case.cloud)
    return f"The device has lost the address of its own server and goes to {where} instead, with its own server's key, which is not that cloud's."


def _lost_by_slot(case: Case, slot: Key | None, *, official: bool) -> tuple[Certainty, str] | None:
    """The folder holds what the device has stored: a custom cloud's, while it asks for Particle's name.

    Proven when the session itself tells which device it is, so that the slot is this device's.
    """
    if slot is None or slot.server_address is None or not custom_server(slot):
        return None
    stored = slot.server_address
    unset = stored.kind in ("unset", "invalid")
    if not official:
        if not unset or case.id_source not in FIRM_SOURCES:
            return None  # where it goes says the contrary of the slot, and only the folder calls the slot this device's
        text = f"{slot.file} holds a custom cloud's key and no server address (type {stored.type_byte}): the device falls back to Particle's cloud; here it goes to {case.cloud}"
        return Certainty.INFERRED, text
    certainty = Certainty.PROVEN if case.id_source in FIRM_SOURCES else Certainty.INFERRED
    if unset:
        text = f"{slot.file} holds a custom cloud's key and no server address (type {stored.type_byte}): the device falls back to {case.host}"
    else:
        text = f"the device asks for {case.host} although {slot.file} says its server is {stored}: what it holds now is not what that file says"
    return certainty, text


def _lost_otherwise(case: Case, context: Context) -> tuple[Certainty, str] | None:
    """No dump of the slot, and yet: it encrypts for a custom cloud, or it went to one before."""
    opening = case.decryption.identity if isinstance(case.decryption, LightSslDecryption) else None
    if opening is not None and opening.key is not None and opening.key.spki != PARTICLE_RSA_SPKI:
        text = f"the device encrypts for the cloud of {opening.key.file} and asks for {case.host}: it has that cloud's key and not its address"
        return Certainty.INFERRED, text
    before = [
        other
        for other in context.same_device(case)
        if other.start_ns < case.start_ns and other.cloud != case.cloud and _got_through(other) and not _official(other)
    ]
    if case.id_source in FIRM_SOURCES and before:
        text = f"the same device had a session with {before[-1].cloud} and now asks for {case.host}"
        return Certainty.INFERRED, text
    return None


#: Addresses that stand for another one: private and shared ones (RFC 1918, RFC 6598), NAT64 (RFC 6052, RFC 8215).
_INSIDE = tuple(
    ip_network(net)
    for net in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "fc00::/7",
    )
)


def _translated(case: Case, stored: ServerAddress) -> bool:
    """Whether a translated address explains it: the keys fit this cloud, and what was captured is an inner address."""
    if stored.kind != "ip" or stored.host is None or not case.cloud.address or not _right_key(case):
        return False
    return inner(case.cloud.address) and not inner(stored.host)


def inner(address: str) -> bool:
    """Whether an address is one that stands for another: private, shared, or NAT64's."""
    return bool(address) and any(ip_address(address) in net for net in _INSIDE)


def _right_key(case: Case) -> bool:
    """Whether a cloud key in hand opens what the device sent: it holds the key of a cloud that is known here (TCP)."""
    opening = case.decryption.identity if isinstance(case.decryption, LightSslDecryption) else None
    return opening is not None and opening.key is not None


def _official(case: Case) -> bool:
    return case.host is not None and particle_name(case.host) is not None


def _got_through(case: Case) -> bool:
    return any(
        step.status is Status.SEEN for step in case.transcript.steps if step.stage in ("cloud-hello", "hello-ack")
    )


def _elsewhere(case: Case, stored: ServerAddress) -> bool:
    if stored.kind == "ip":
        return stored.host not in (case.cloud.address, case.reached)
    return (
        stored.kind == "domain"
        and case.host is not None
        and stored.host is not None
        and not stored.host.startswith("$id")
        and stored.host.lower() != case.host.lower()
    )
