"""What is worth knowing beside the verdict. Each function answers one finding code or none."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.case import FIRM_SOURCES, Case
from analyzer.conversations import Chunk, Gap, TcpConversation
from analyzer.conversations.model import Carried
from analyzer.diagnosis.address import address_findings
from analyzer.diagnosis.context import Context, family_of, shown_by, stale_file
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.internet import internet_test
from analyzer.diagnosis.middlebox import middlebox_reset
from analyzer.model import Certainty, Code, Finding
from dissectors.events import Direction

_LOOP = 3
#: Tunnels named of one session.
_WAYS = 3


def findings_for(case: Case, draft: Draft, context: Context) -> tuple[Finding, ...]:
    """All findings of one session, without those its verdict brings itself."""
    found = address_findings(case, context)
    for rule in RULES:
        finding = rule(case, draft, context)
        if finding is not None:
            found.append(finding)
    return tuple(found)


def retry_loop(case: Case, draft: Draft, context: Context) -> Finding | None:
    """The same device tries again and again."""
    if draft.code is Code.HEALTHY:
        return None
    attempts, span_ns, frames = context.same_cloud(case).loop(case)
    if attempts < _LOOP:
        return None
    return Finding(
        "retry-loop",
        Certainty.INFERRED,
        f"{attempts} attempts in {span_ns / 1e9:.0f} s to reach this cloud",
        frames,
    )


def packet_loss(case: Case, draft: Draft, context: Context) -> Finding | None:
    """Bytes that went over the wire and are not in the capture."""
    conversation = case.conversation
    if not isinstance(conversation, TcpConversation):
        return None
    gaps = [piece for piece in conversation.pieces if isinstance(piece, Gap)]
    if not gaps:
        return None
    cut = all(gap.cut for gap in gaps)
    total = sum(gap.length for gap in gaps)
    why = "packets are cut by the capture's snap length" if cut else "packets are missing from the capture"
    frames = tuple(frame for gap in gaps for frame in gap.mark.frames)[:12]
    return Finding(
        "packet-loss", Certainty.PROVEN, f"{total} bytes in {len(gaps)} places are not in the capture: {why}", frames
    )


def one_direction(case: Case, draft: Draft, context: Context) -> Finding | None:
    """Only one side was captured."""
    if isinstance(case.conversation, TcpConversation) and case.conversation.facts.one_direction_only:
        return Finding(
            "one-direction-only", Certainty.INFERRED, "only one side's packets are in the capture", (case.first_frame,)
        )
    return None


def _carried(case: Case) -> tuple[Carried, ...]:
    """How the packets of the session were carried."""
    if isinstance(case.conversation, TcpConversation):
        return case.conversation.carried
    from analyzer.flows import Flow  # only where there is a datagram

    return case.conversation.carried if isinstance(case.conversation, Flow) else ()


def in_tunnel(case: Case, draft: Draft, context: Context) -> Finding | None:
    """The session was captured inside a tunnel or a mirror: whose addresses are whose."""
    carried_in = _carried(case)
    if not carried_in:
        return None
    ways = [
        " in ".join(f"{name} ({one} and {other})" for name, one, other in reversed(carried.tunnels))
        for carried in carried_in
    ]
    # Both directions of one tunnel are one way.
    pairs = {
        frozenset((name, *sorted((one, other))) for name, one, other in carried.tunnels): way
        for carried, way in zip(carried_in, ways, strict=True)
    }
    told = list(dict.fromkeys(pairs.values()))[:_WAYS]
    return Finding(
        "in-tunnel",
        Certainty.PROVEN,
        f"the session was captured inside {'; also inside '.join(told)}: the addresses of device and cloud are the inner ones",
        tuple(carried.frame for carried in carried_in)[:_WAYS],
    )


def behind_balancer(case: Case, draft: Draft, context: Context) -> Finding | None:
    """A balancer's header stands before the device's bytes."""
    header = case.conversation.proxy if isinstance(case.conversation, TcpConversation) else None
    if header is None:
        return None
    whom = f" for {header.client}" if header.client is not None else ""
    return Finding(
        "proxy-header",
        Certainty.PROVEN,
        f"{header.length} bytes of the PROXY protocol, version {header.version}, stand before the device's: a balancer sends "
        f"them{whom} to the server, which must be told to expect them",
        (header.frame,),
    )


def mid_session(case: Case, draft: Draft, context: Context) -> Finding | None:
    """The capture starts after the handshake."""
    if "mid-session-start" in case.transcript.notes:
        return Finding(
            "mid-session-start",
            Certainty.INFERRED,
            "the session was up before the capture started",
            (case.first_frame,),
        )
    return None


def other_keys(case: Case, draft: Draft, context: Context) -> Finding | None:
    """The folder knows devices, but not this one."""
    if case.device_id is None or case.id_source not in ("identity", "hello", "certificate", "moved-record", "name"):
        return None
    known = context.known_devices()
    if not known or case.device_id in known:
        return None
    return Finding(
        "keys-for-another-device",
        Certainty.PROVEN,
        f"the device is {case.device_id}; the key folder holds keys of {len(known)} other device{'s' * (len(known) > 1)}",
        (case.first_frame,),
    )


def family(case: Case, draft: Draft, context: Context) -> Finding | None:
    """Which firmware family this is, from what it sends."""
    found = family_of(case)
    if not found or case.handshake != "lightssl":  # DTLS says more of itself: see dtls/firmware.py
        return None
    text = {
        "SparkProtocol": "message ids are seeded big-endian: Core, or Photon/P1 up to 1.4.x",
        "LightSSL": "message ids are seeded little-endian: Photon/P1 from 1.5.0, Electron on TCP, or the virtual device",
    }
    return Finding("firmware-family", Certainty.PROVEN, f"{found}: {text.get(found, '')}".rstrip(": "), ())


def split_identity(case: Case, draft: Draft, context: Context) -> Finding | None:
    """The 256 bytes in more than one segment: some servers read only once."""
    step = case.transcript.step("identity")
    if not isinstance(case.conversation, TcpConversation) or step is None or draft.code is Code.SERVER_FAULT:
        return None
    pieces = [
        piece
        for piece in case.conversation.pieces
        if isinstance(piece, Chunk) and piece.direction is Direction.UP and piece.offset < 256
    ]
    if len(pieces) < 2 or len(step.data) < 256:
        return None
    return Finding(
        "split-identity",
        Certainty.PROVEN,
        f"the 256 bytes arrive in {len(pieces)} segments; spark-protocol and Brewskey servers read only once and fail on that",
        step.frames,
    )


def stale_key(case: Case, draft: Draft, context: Context) -> Finding | None:
    """The device sends another public key than its file in the folder has."""
    key = stale_file(case, context)
    if key is None or case.id_source not in FIRM_SOURCES:
        return None
    if any(shown_by(other) == key.fingerprint for other in context.same_device(case)):
        return None  # another device of the same id sends it: two devices, and the file is one of them's
    return Finding(
        "stale-key-file",
        Certainty.PROVEN,
        f"{key.file} is not the key that the device sends (SHA256:{(shown_by(case) or '')[:16]}): it holds another one now",
        draft.frames[:1],
    )


RULES: tuple[Callable[[Case, Draft, Context], Finding | None], ...] = (
    retry_loop,
    packet_loss,
    one_direction,
    in_tunnel,
    behind_balancer,
    mid_session,
    other_keys,
    family,
    split_identity,
    stale_key,
    internet_test,
    middlebox_reset,
)
