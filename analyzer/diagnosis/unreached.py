"""Rules for a name that led to no connection."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.case import Case
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.rule import Group, Page, Row
from analyzer.keys.faults import is_unparsable
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


@dataclass(frozen=True, slots=True)
class View:
    """A name that led to no connection, as the rules see it."""

    case: Case
    seen: Unreached
    context: Context

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames of the look-ups."""
        return tuple(sorted(frame for lookup in self.seen.lookups for frame in lookup.frames))

    @property
    def udp(self) -> bool:
        """Whether the device would have gone on over UDP."""
        return self.case.transport == "udp"

    @property
    def stage(self) -> str:
        """Where it should have gone on."""
        return "client-hello" if self.udp else "connect"

    @property
    def packet(self) -> str:
        """What it should have sent."""
        return "ClientHello" if self.udp else "SYN"

    def silence(self) -> list[Evidence]:
        """That the name has an address and the device makes nothing of it."""
        last = self.seen.lookups[-1]
        text = f"no {self.packet} to that address follows, although the capture goes on for {self.seen.watched_s:.0f} s"
        return [Evidence(summary(last), last.frames), Evidence(text)]


def no_address(view: View) -> Draft | None:
    """DNS does not answer, or has no address."""
    case, seen = view.case, view.seen
    if seen.answered:
        return None
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
        view.frames,
        text,
        tuple(evidence),
        would_settle=(f"the same question from a computer on that network: nslookup {case.host}",),
    )


def unusable_key(view: View) -> Draft | None:
    """A key of this UDP device in the folder is none its firmware can parse: it then sends nothing at all."""
    known = _unusable(view.case, view.context) if view.udp else None
    if known is None:
        return None
    code, text = known
    return Draft(
        code,
        Certainty.INFERRED,
        view.stage,
        view.frames,
        f"The device learns its cloud's address and then sends nothing: {text}, and with that the firmware gives up before its first packet.",
        (*view.silence(), Evidence(text)),
        would_settle=('the device\'s log: "setup_contex error", "handshake failed with code 16"',),
    )


def silent_device(view: View) -> Draft:
    """The name has an address, and no packet goes there."""
    settle = [
        "a capture without a port filter, taken where all of the device's traffic passes",
        "the device's log of the same time (--log)",
    ]
    causes: tuple[Code, ...] = (Code.CONNECT_UNANSWERED,)
    if view.udp:
        causes = (Code.DEVICE_KEY_CORRUPT, Code.SERVER_KEY_ERASED, *causes)
        settle.append(
            "the device's private key and server-key slot: does either fail to parse? Then it never sends anything"
        )
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.UNDETERMINED,
        view.stage,
        view.frames,
        f"The device learns the address of {view.case.host}, and no {view.packet} to it is in the capture: "
        + ("a key of its own does not parse, or " if view.udp else "")
        + "the capture does not see where it goes (a filter, another path).",
        tuple(view.silence()),
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
        if keys and (is_unparsable(keys[0]) if role is Role.DEVICE_PRIVATE else keys[0].status != "ok"):
            return code, f"{keys[0].file}: {keys[0].problem}"
    return None


# fmt: off
#: All that has a say in such a verdict, in its order.
PAGE: Page[View] = Page(
    "a name that led to no connection",
    (
        Group(
            "",
            (
                Row(no_address,    "does DNS give no address?",                                   (Code.CONNECT_UNANSWERED,)),
                Row(unusable_key,  "UDP: is a key of the device in the folder none that parses?", (Code.DEVICE_KEY_CORRUPT, Code.SERVER_KEY_ERASED)),
                Row(silent_device, "otherwise",                                                   (Code.CAPTURE_INCOMPLETE,)),
            ),
        ),
    ),
)
# fmt: on


def judge(case: Case, seen: Unreached, context: Context) -> Draft:
    """The verdict where DNS is all a capture shows of a device's attempt."""
    return PAGE.judge(View(case, seen, context), lambda need: not need)
