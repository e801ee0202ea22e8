"""What to do about a verdict and what the device shows: the firmware tables, asked with this session's names."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

from analyzer.case import Case
from analyzer.conversations import Gap, TcpConversation
from analyzer.decrypt.dtls import DtlsDecryption
from analyzer.decrypt.lightssl import LightSslDecryption
from analyzer.diagnosis.context import Context, family_of, shown_by
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.premise import cloud_key, words
from analyzer.firmware import RemedyContext, device_shows, finding_remedy, missing_evidence, remedy
from analyzer.keys import Key, ServerAddress
from analyzer.keys.published import PARTICLE_EC_SPKI, PARTICLE_RSA_SPKI
from analyzer.keys.rsa import TAIL
from analyzer.model import Certainty, Code, Remedy, Role
from analyzer.names import particle_name
from dissectors.events import How
from dissectors.handshakes import HANDSHAKES

_PARTICLE_HOSTS = (".spark.io", ".particle.io")
_PUBLISHED = (PARTICLE_RSA_SPKI, PARTICLE_EC_SPKI)
#: A cloud at one of these addresses is not Particle's (RFC 1918, RFC 3927, RFC 4193).
_LOCAL = tuple(
    ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7")
)
#: Findings whose repair comes before the verdict's own.
_FIRST = ("server-address-lost", "middlebox-reset")
#: Findings that say all there is to repair: what a verdict's own steps would write does not help, or does harm.
_ALONE = (
    *(
        "two-devices-one-id",
        "name-led-elsewhere",
        "undelivered",
        "cloud-key-exponent",
        "cloud-key-size",
        "short-identity",
        "signature-form",
        "ended-by-cloud",
    ),
)
#: Verdicts whose repair writes over a key: not while something speaks against them.
_OVERWRITES = frozenset(
    {
        *(Code.SERVER_KEY_MISMATCH, Code.SERVER_SIGNATURE_MISMATCH, Code.DEVICE_KEY_MISMATCH),
        *(Code.DEVICE_KEY_CORRUPT, Code.DEVICE_UNKNOWN, Code.SERVER_KEY_ERASED),
    }
)
#: Verdicts about reaching an address: what helps is said of the address the device went to.
_REACHING = frozenset(
    {
        *(Code.CONNECT_REFUSED, Code.CONNECT_UNANSWERED, Code.NOT_THE_CLOUD),
        *(Code.NO_NONCE, Code.CLOSED_BEFORE_NONCE),
    }
)
#: Where the stage tells more than the verdict: refused before any key was shown or checked; dumb when every key had been.
_AT_STAGE: dict[tuple[Code, str | None], str] = {
    (Code.HANDSHAKE_REJECTED, "server-hello"): "refused-at-once",
    (Code.SERVER_FAULT, "session"): "server-dumb",
}
#: A byte changed on the way: replacing keys would make a fault of what is none.
_NO_KEY_TO_REPAIR = Remedy(
    "Leave the keys alone: they fit, and the device tries again by itself. If it happens again, look at the path: "
    "a router or access point that rewrites packets, failing memory, a modem or VPN in between (checksums recomputed there "
    "hide the damage)."
)
#: UDP: the device has accepted the cloud's key, and the cloud does not take the device.
_DEVICE_NOT_TAKEN = frozenset(
    {(Code.HANDSHAKE_REJECTED, "device-certificate"), (Code.HANDSHAKE_STALLED, "cloud-finished")}
)
#: Causes that a key written anew would repair.
_OF_KEYS = frozenset(
    {
        *(Code.SERVER_KEY_MISMATCH, Code.SERVER_KEY_ERASED, Code.DEVICE_KEY_MISMATCH),
        *(Code.DEVICE_UNKNOWN, Code.DEVICE_KEY_CORRUPT),
    }
)
#: What a finding says is missing (names of evidence.toml).
_MISSING = {"one-direction-only": "one-direction", "mid-session-start": "mid-session"}
#: The key that opens what an open verdict is about.
_OPENERS = {
    Code.IDENTITY_REJECTED: ("cloud-private", Role.CLOUD_PRIVATE),
    Code.NO_SESSION_KEY: ("cloud-private", Role.CLOUD_PRIVATE),
    Code.SESSION_KEY_UNUSABLE: ("device-private", Role.DEVICE_PRIVATE),
    Code.HANDSHAKE_STALLED: ("device-server-key", Role.DEVICE_SERVER_KEY),
    Code.HANDSHAKE_REJECTED: ("cloud-copy", Role.CLOUD_COPY),
}


def remedies(case: Case, draft: Draft, context: Context, findings: Collection[str] = ()) -> tuple[Remedy, ...]:
    """The repair for this verdict, with this session's ids and files in the commands; ``findings`` are codes found."""
    if any(finding.code == "corrupted-in-transit" for finding in draft.findings):
        return (_NO_KEY_TO_REPAIR,)
    facts = _facts(case, draft, context, findings)
    first = [item for code in _FIRST if code in findings for item in finding_remedy(code, facts)]
    if draft.code is Code.CAPTURE_INCOMPLETE and facts.missing:
        return tuple(missing_evidence(what, facts) for what in facts.missing)
    if draft.stage == "name-resolution":
        return finding_remedy("name-unresolved", facts)
    alone = next((code for code in _ALONE if code in findings), None)
    if alone is not None and draft.code is not Code.HEALTHY:
        return finding_remedy(alone, facts)
    if draft.code is Code.HEALTHY:
        return ()
    if case.handshake == "dtls" and (instead := _without_evidence(draft)) is not None:
        return finding_remedy(instead, facts)
    if (draft.code, draft.stage) in _AT_STAGE:
        return finding_remedy(_AT_STAGE[draft.code, draft.stage], facts)
    if draft.against and draft.certainty is Certainty.INFERRED and draft.code in _OVERWRITES:
        of_device = draft.code in (Code.DEVICE_KEY_MISMATCH, Code.DEVICE_KEY_CORRUPT, Code.DEVICE_UNKNOWN)
        steps = "device-key-not-settled" if of_device else "key-not-settled"
        return tuple(dict.fromkeys((*first, *finding_remedy(steps, facts))))
    if "server-address-lost" in findings and draft.code is Code.SERVER_KEY_MISMATCH:
        return tuple(dict.fromkeys(first))  # the same command puts back key and address
    open_record = draft.code is Code.DEVICE_KEY_MISMATCH and draft.certainty is Certainty.UNDETERMINED
    if (draft.code is Code.IDENTITY_REJECTED or open_record) and _opens(case):
        return tuple(dict.fromkeys((*first, *finding_remedy("record-not-in-hand", facts))))
    if open_record:
        return tuple(dict.fromkeys((*first, *finding_remedy("device-key-not-settled", facts))))
    found = [*first, *remedy(draft.code, facts)]
    by_name = case.host is not None and particle_name(case.host) is not None
    if draft.code is Code.IDENTITY_REJECTED and facts.is_particle_cloud and by_name:
        # It asked for Particle's name, which is also where a device of another cloud goes that lost its address.
        at = len(found) - len(facts.missing)
        found[at:at] = finding_remedy("server-address-lost", replace(facts, host=None, port=None))[:1]
    return tuple(dict.fromkeys(_with_doubt(found, case, draft, context)))


def _with_doubt(found: list[Remedy], case: Case, draft: Draft, context: Context) -> Iterator[Remedy]:
    """The repair, and before a step that writes a cloud's key which only the folder calls this cloud's, that it is so."""
    shown = context.shown_prints.get(case.server, frozenset())
    if isinstance(case.decryption, DtlsDecryption) and case.decryption.signer is not None:
        shown |= {case.decryption.signer.fingerprint}
    cloud = str(case.cloud)
    doubtful = [
        key
        for role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC)
        for key in context.ring.by_role(role, case.algorithm)
        if key.path and key.fingerprint not in shown and words(cloud_key(key, cloud)) not in draft.premises
    ]
    for item in found:
        for key in doubtful:
            # To split a command takes time: only those are that may name the file (quoted, its name may look otherwise).
            quoted = shlex.quote(key.reached)
            if any(quoted in command and key.reached in shlex.split(command) for command in item.commands):
                yield Remedy(
                    f"Nothing in the capture shows that {key.file} is the key of the cloud at {cloud}: "
                    "compare it with the server's own first."
                )
        yield item


def _opens(case: Case) -> bool:
    """Whether a key in hand opens the device's identity: the server key on the device is then no suspect any more."""
    return _encrypted_with(case) is not None


def _without_evidence(draft: Draft) -> str | None:
    """The repair of a DTLS verdict that leaves keys alone, where the verdict's own would write one that nothing accuses."""
    if any(finding.code == "flight-undelivered" for finding in draft.findings):
        return "flight-undelivered"
    if draft.code is Code.DEVICE_KEY_MISMATCH and Code.SESSION_DISPLACED in draft.alternatives:
        return "two-devices-one-id"
    if draft.code is Code.HELLO_UNANSWERED and draft.certainty is Certainty.UNDETERMINED:
        return "hello-not-settled"
    accused = _OF_KEYS & {*draft.alternatives}
    if draft.code in (Code.HANDSHAKE_STALLED, Code.HANDSHAKE_REJECTED, Code.HELLO_UNANSWERED) and not accused:
        return "refused-at-once" if draft.stage == "server-hello" else "no-key-accused"
    if (draft.code, draft.stage) in _DEVICE_NOT_TAKEN:
        return "device-not-taken"
    return None


def shown_by_device(case: Case, draft: Draft) -> tuple[str, ...]:
    """LED pattern and log lines that go with this verdict."""
    family = family_of(case)
    # What the device logs tells an end that the other side made from one that it made itself, by waiting or on purpose.
    # Once the session key is there, the device has its answer: who closes later, or how, is not what it logs.
    answered = draft.stage == "session-key" and draft.code in (Code.DEVICE_KEY_MISMATCH, Code.DEVICE_KEY_CORRUPT)
    how = How.TIMEOUT if answered or case.ending.by == "device" else case.ending.how
    return device_shows(draft.code, case.transport, family=family, how=how, stage=draft.stage)


def _facts(case: Case, draft: Draft, context: Context, findings: Collection[str]) -> RemedyContext:
    algorithm = case.algorithm

    shown = shown_by(case)

    def file(role: Role) -> str | None:
        # What is sound and not the key that the device sends is not what it holds now: of no use in a repair.
        held = [
            key
            for key in context.own_keys(case, role, algorithm)
            if role is Role.CLOUD_COPY or shown is None or key.status != "ok" or key.fingerprint in (None, shown)
        ]
        return next((key.reached for key in held), None)

    def cloud_file(role: Role) -> str | None:
        known = context.cloud_key(case.server) if case.handshake == "lightssl" else None
        if known is not None and known.key.role is role:
            return known.key.reached
        held = context.ring.by_role(role, algorithm)
        if isinstance(case.decryption, DtlsDecryption):
            # The signature in the clear tells which of them is this cloud's: no other is written to a device.
            signer = case.decryption.signer
            held = [key for key in held if key not in case.decryption.server_refuted]
            held.sort(key=lambda key: signer is None or key.spki != signer.spki)
        else:
            # Neither a key that the capture refutes, nor a public half that is not that of the private key beside it.
            refuted = {*context.refuted.get(case.server, ())}
            if draft.code is Code.SERVER_SIGNATURE_MISMATCH and isinstance(case.decryption, LightSslDecryption):
                refuted |= {key.fingerprint for key in case.decryption.signature_refuted}
            moved = draft.code is Code.SERVER_KEY_MISMATCH and "server-address-lost" not in findings
            if moved and (used := _encrypted_with(case)) is not None:
                refuted.add(used.fingerprint)  # the device has that one already
            halves = {key.fingerprint for key in context.ring.by_role(Role.CLOUD_PRIVATE, algorithm)} - refuted
            halves = {known.key.fingerprint} if known is not None else halves
            held = [key for key in held if key.fingerprint not in refuted]
            if role is Role.CLOUD_PUBLIC and halves:
                held = [key for key in held if key.fingerprint in halves]
            held = _of_one_cloud(held, context.own_keys(case, Role.DEVICE_PRIVATE, algorithm))
        return next((key.reached for key in held), None)

    slot = stored_slot(case, context)
    particle = is_particle_cloud(case, context, findings)
    host, port = _server(case, draft, slot.server_address if slot is not None else None, findings)
    return RemedyContext(
        transport=case.transport,
        device_id=case.device_id,
        device_private=file(Role.DEVICE_PRIVATE),
        device_public=file(Role.DEVICE_PUBLIC),
        cloud_copy=file(Role.CLOUD_COPY),
        cloud_private=cloud_file(Role.CLOUD_PRIVATE),
        cloud_public=cloud_file(Role.CLOUD_PUBLIC),
        device_server_key=slot.reached if slot is not None else None,
        host=host,
        port=port,
        stored_address=slot.server_address.host if slot is not None and slot.server_address is not None else None,
        device_address=case.device.address,
        is_particle_cloud=particle,
        family=family_of(case),
        stored_key="server-address-lost" in findings and _kept_in_slot(slot, context),
        pkcs8=_only_rewritten(case, context),
        missing=tuple(dict.fromkeys(_missing(case, draft, context, findings))),
    )


def _of_one_cloud(held: list[Key], own: list[Key]) -> list[Key]:
    """Those of ``held`` that may be written to a device: of several clouds, those beside the device's own files."""
    if len({key.fingerprint for key in held}) < 2:
        return held
    beside = {Path(key.file).parent for key in own}
    held = [key for key in held if Path(key.file).parent in beside]
    return held if len({key.fingerprint for key in held}) == 1 else []


def _only_rewritten(case: Case, context: Context) -> bool:
    """Whether the device's key needs only to be written another way: its file is all of a sound key, as PKCS#8.

    Nothing the device sends may speak against that file, and the cloud may have no other key on file.
    """
    private = next(iter(context.own_keys(case, Role.DEVICE_PRIVATE, case.algorithm)), None)
    if private is None or private.fingerprint is None or private.slot is None:
        return False
    if not any(finding.code == "pkcs8-in-tcp-device" for finding in private.findings) or "cut off" in str(
        private.problem
    ):
        return False
    opening = case.decryption.identity if isinstance(case.decryption, LightSslDecryption) else None
    tail = opening.plaintext.tail if opening is not None else None
    if tail is not None and tail.slot_bytes != private.slot[TAIL]:
        return False
    return all(
        copy.fingerprint == private.fingerprint for copy in context.own_keys(case, Role.CLOUD_COPY, case.algorithm)
    )


def _kept_in_slot(slot: Key | None, context: Context) -> bool:
    """Whether a custom cloud's key is whole in the dump of its slot and in no other file: it is the one to keep."""
    if slot is None or slot.spki is None or slot.slot is None or not custom_server(slot):
        return False
    others = [
        key for key in context.ring.by_fingerprint(slot.fingerprint or "") if key.role is not Role.DEVICE_SERVER_KEY
    ]
    return slot.encoding == "der" and slot.offset is None and slot.slot.startswith(slot.spki) and not others


def stored_slot(case: Case, context: Context) -> Key | None:
    """What the device has stored as its cloud's key, with the address behind it, when the folder has it.

    Not a file that the wire refutes: the device encrypted with another key.
    """
    held = context.own_keys(case, Role.DEVICE_SERVER_KEY, case.algorithm)
    key = _encrypted_with(case)
    used = key.rsa if key is not None else None
    return next((key for key in held if used is None or key.rsa is None or key.rsa.n == used.n), None)


def _encrypted_with(case: Case) -> Key | None:
    """The cloud's key that the device encrypts its identity with, where one in hand opens it (LightSSL)."""
    opening = case.decryption.identity if isinstance(case.decryption, LightSslDecryption) else None
    return opening.key if opening is not None and opening.nonce_echoed else None


def custom_server(slot: Key | None) -> bool:
    """Whether a server-key slot is one of a custom cloud: its key is not Particle's, or its address is not."""
    if slot is None:
        return False
    address = slot.server_address
    if address is not None and address.host is not None and address.kind in ("ip", "domain"):
        return particle_name(address.host.replace("$id.", "")) is None
    return slot.spki is not None and slot.spki not in _PUBLISHED


def is_particle_cloud(case: Case, context: Context, findings: Collection[str] = ()) -> bool | None:
    """Whether the device belongs to Particle's cloud; None when nothing in hand says.

    True only for what goes by Particle's name or is signed with its key, when nothing shows another owner: a device that
    has lost its address asks for Particle's name too. Nobody but Particle holds Particle's private key.
    """
    if "server-address-lost" in findings or custom_server(stored_slot(case, context)):
        return False
    algorithm = case.algorithm
    if context.ring.by_role(Role.CLOUD_PRIVATE, algorithm):
        return False
    signer = case.decryption.signer if case.decryption is not None else None
    if signer is not None and signer.spki in _PUBLISHED:
        return True
    if case.cloud.address and any(ip_address(case.cloud.address) in net for net in _LOCAL):
        return False
    if case.host is None:
        return None
    return f".{case.host.rstrip('.').lower()}".endswith(_PARTICLE_HOSTS)


def _server(
    case: Case, draft: Draft, stored: ServerAddress | None, findings: Collection[str]
) -> tuple[str | None, int | None]:
    """The server the device should reach: its stored address where it has one, never a name it fell back to."""
    here = (case.host or case.cloud.address, case.cloud.port)
    if draft.code in _REACHING:
        return here
    if stored is not None and stored.host is not None and particle_name(stored.host.replace("$id.", "")) is None:
        return stored.host, stored.port or HANDSHAKES[case.handshake].port
    if "server-address-lost" not in findings and case.host is not None and particle_name(case.host) is not None:
        # The name was led to a server of somebody's own: that server's address, never Particle's name with another's key.
        return case.cloud.address, case.cloud.port
    # Particle's own name is none that a custom cloud's key and address are written back with.
    fallen_back = "server-address-lost" in findings or (case.host is not None and particle_name(case.host) is not None)
    return (None, None) if fallen_back else here


def _missing(case: Case, draft: Draft, context: Context, findings: Collection[str]) -> Iterator[str]:
    """The evidence whose absence keeps this verdict open, worst first (names of evidence.toml)."""
    if draft.certainty is not Certainty.UNDETERMINED and draft.code is not Code.CAPTURE_INCOMPLETE:
        return
    hidden = [what for finding, what in _MISSING.items() if finding in findings]
    yield from hidden
    if "packet-loss" in findings and not hidden:
        pieces = case.conversation.pieces if isinstance(case.conversation, TcpConversation) else ()
        gaps = [piece for piece in pieces if isinstance(piece, Gap)]
        yield "packets-cut" if gaps and all(gap.cut for gap in gaps) else "packets-lost"
    if draft.code is Code.CAPTURE_INCOMPLETE:
        if case.ending.by == "capture" and not hidden:
            yield "capture-ended"
        return
    opener = _OPENERS.get(draft.code)
    if opener is None:
        return
    what, role = opener
    algorithm = case.algorithm
    own = role not in (Role.CLOUD_PRIVATE,)
    there = context.own_keys(case, role, algorithm) if own else context.ring.by_role(role, algorithm)
    if not there and not (case.handshake == "dtls" and what == "cloud-private"):
        yield what
