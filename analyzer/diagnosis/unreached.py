"""Rules for a name that led to no connection."""

from __future__ import annotations

from analyzer.case import Case
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.draft import Draft
from analyzer.model import Certainty, Code, Evidence, Role
from analyzer.names import summary
from analyzer.unreached import Unreached

#: RFC 1035 4.1.1 in words.
_SAID = {
    "NXDOMAIN": "the name does not exist",
    "REFUSED": "the DNS server refuses to answer",
    "SERVFAIL": "the DNS server could not find out",
    "NOERROR": "the name has no address",
}


def judge(case: Case, seen: Unreached, context: Context) -> Draft:
    """The verdict where DNS is all a capture shows of a device's attempt."""
    return _silent_device(case, seen, context) if seen.answered else _no_address(case, seen)


def _frames(seen: Unreached) -> tuple[int, ...]:
    return tuple(sorted(frame for lookup in seen.lookups for frame in lookup.frames))


def _no_address(case: Case, seen: Unreached) -> Draft:
    codes = sorted({lookup.rcode for lookup in seen.lookups if lookup.rcode is not None})
    last = seen.lookups[-1].last_asked_ns or seen.lookups[-1].asked_ns
    span = (last - seen.lookups[0].asked_ns) / 1e9
    often = f"{seen.tries} times in {span:.0f} s" if seen.tries > 1 else "once"
    if codes:
        said = "; ".join(_SAID.get(code, f"DNS answers {code}") for code in codes)
        text = f"The device asks for {case.host} ({often}) and gets no address: {said}. It never learns where its cloud is."
    else:
        text = f"The device asks for {case.host} ({often}) and DNS does not answer. It never learns where its cloud is."
    evidence = [Evidence(summary(lookup), lookup.frames) for lookup in seen.lookups[:4]]
    evidence.append(
        Evidence("no packet to the cloud follows: without an address there is nowhere to go, and no key is involved")
    )
    return Draft(
        Code.CONNECT_UNANSWERED,
        Certainty.INFERRED,
        "name-resolution",
        _frames(seen),
        text,
        tuple(evidence),
        would_settle=(f"the same question from a computer on that network: nslookup {case.host}",),
    )


def _silent_device(case: Case, seen: Unreached, context: Context) -> Draft:
    udp = case.transport == "udp"
    what = "ClientHello" if udp else "SYN"
    evidence = [
        Evidence(summary(seen.lookups[-1]), seen.lookups[-1].frames),
        Evidence(f"no {what} to that address follows, although the capture goes on for {seen.watched_s:.0f} s"),
    ]
    stage = "client-hello" if udp else "connect"
    if udp:
        known = _unusable(case, context)
        if known is not None:
            code, text = known
            return Draft(
                code,
                Certainty.INFERRED,
                stage,
                _frames(seen),
                f"The device learns its cloud's address and then sends nothing: {text}, and with that the firmware gives up before its first packet.",
                (*evidence, Evidence(text)),
                would_settle=('the device\'s log: "setup_contex error", "handshake failed with code 16"',),
            )
    settle = [
        "a capture without a port filter, taken where all of the device's traffic passes",
        "the device's log of the same time (--log)",
    ]
    if udp:
        settle.append(
            "the device's private key and server-key slot: does either fail to parse? Then it never sends anything"
        )
    causes = (
        (Code.DEVICE_KEY_CORRUPT, Code.SERVER_KEY_ERASED, Code.CONNECT_UNANSWERED)
        if udp
        else (Code.CONNECT_UNANSWERED,)
    )
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.UNDETERMINED,
        stage,
        _frames(seen),
        f"The device learns the address of {case.host}, and no {what} to it is in the capture: "
        + ("a key of its own does not parse, or " if udp else "")
        + "the capture does not see where it goes (a filter, another path).",
        tuple(evidence),
        alternatives=causes,
        would_settle=tuple(settle),
    )


def _unusable(case: Case, context: Context) -> tuple[Code, str] | None:
    """A key of this device in the folder that its firmware cannot parse."""
    for role, code in (
        (Role.DEVICE_PRIVATE, Code.DEVICE_KEY_CORRUPT),
        (Role.DEVICE_SERVER_KEY, Code.SERVER_KEY_ERASED),
    ):
        keys = context.own_keys(case, role, "ec")
        if keys and keys[0].status != "ok":
            return code, f"{keys[0].file}: {keys[0].problem}"
    return None
