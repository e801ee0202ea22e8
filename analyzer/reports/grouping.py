"""Sessions that say the same, told once; and what a verdict is in one word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from analyzer.model import LOG_FORMAT, CaptureReport, Certainty, Code, Evidence, Session, Verdict


class Tone(StrEnum):
    """What a verdict is at first sight. The value is the word shown beside its sign."""

    OK = "healthy"
    BAD = "failing"
    UNSURE = "not settled"

    @classmethod
    def of(cls, verdict: Verdict) -> Tone:
        """The tone of ``verdict``: what the capture cannot tell is neither good nor bad."""
        if verdict.code is Code.HEALTHY:
            return cls.OK
        if verdict.code is Code.CAPTURE_INCOMPLETE or verdict.certainty is Certainty.UNDETERMINED:
            return cls.UNSURE
        return cls.BAD


#: What a reader needs first.
BY_WEIGHT = (Tone.BAD, Tone.UNSURE, Tone.OK)


@dataclass(frozen=True, slots=True)
class Group:
    """Sessions of one device with one cloud and one verdict, in time order; ``numbers`` count from 1 in the capture."""

    sessions: tuple[Session, ...]
    numbers: tuple[int, ...]

    @property
    def first(self) -> Session:
        """The session that is shown in full."""
        return self.sessions[0]

    @property
    def others(self) -> tuple[Session, ...]:
        """The sessions of which only time and frames are shown."""
        return self.sessions[1:]


def alike(sessions: Iterable[Session]) -> list[Group]:
    """Groups in the order in which their first session appears."""
    groups: dict[tuple[str, str, int, str, str], list[tuple[int, Session]]] = {}
    for number, session in enumerate(sessions, 1):
        groups.setdefault(_key(session), []).append((number, session))
    return [
        Group(tuple(session for _, session in members), tuple(number for number, _ in members))
        for members in groups.values()
    ]


def by_weight(groups: Iterable[Group]) -> list[Group]:
    """What fails first, then what is not settled; otherwise as in the capture."""
    return sorted(groups, key=lambda group: BY_WEIGHT.index(Tone.of(group.first.verdict)))


def _key(session: Session) -> tuple[str, str, int, str, str]:
    verdict = session.verdict
    device = session.device.id or session.device.address
    return device, session.cloud.address, session.cloud.port, verdict.code.value, verdict.certainty.value


def assumed(session: Session) -> str:
    """Behind a device's id: that the device did not say it, where it is a conclusion from the folder."""
    return " (by the key folder)" if session.device.id_source in ("only-device-in-keys", "stored-address") else ""


def taken(verdict: Verdict) -> str:
    """What stands before the premises of a verdict."""
    return f"{verdict.certainty.value.capitalize()}, if"


def weighed(verdict: Verdict) -> tuple[tuple[Evidence, ...], tuple[tuple[Code, str, Evidence], ...]]:
    """What speaks against the verdict; and of each other cause what speaks for (``+``) and against it (``-``)."""
    own = [cause for cause in verdict.causes if cause.code is verdict.code]
    others = [cause for cause in verdict.causes if cause.code is not verdict.code]
    told = [(cause.code, "+", item) for cause in others for item in cause.pro]
    told += [(cause.code, "-", item) for cause in others for item in cause.con]
    order = [cause.code for cause in others]
    return (
        tuple(item for cause in own for item in cause.con),
        tuple(sorted(told, key=lambda row: order.index(row[0]))),
    )


#: Codes of what could not be looked into.
_CLOSED = frozenset({"encrypted-tunnel", "unread-encapsulation", "encrypted-wireless", "unsupported-link-type", "nested-too-deep", "bad-fcs", "cut-packets"})  # fmt: skip


def nothing_found(capture: CaptureReport) -> str:
    """What to think of a capture or a log that was read and holds no device session; empty when its problems say all."""
    if capture.format == LOG_FORMAT:
        return ""
    read = f"{counted(capture.packets, 'packet')} read ({', '.join(capture.link_types) or 'no packets'})"
    codes = {problem.code for problem in capture.problems}
    if capture.status == "partial" and codes & _CLOSED:
        return f"{read}, and none of them could be looked into: the notes say what they are and what helps."
    if "internet-test-alone" in codes:  # a device is seen: causes for seeing none would only contradict
        return f"{read}; the note says what is known."
    if "device-key-damaged" in codes:
        return (
            f"{read}. If this is a capture of that device, its key is the reason. Otherwise, the usual causes: the capture was taken "
            "where the device's traffic does not pass, or it was filtered."
        )
    return (
        f"{read}. A device talks to its cloud over TCP port 5683 or UDP port 5684; "
        "on other ports its handshake is recognised by content, and --port tcp/N or udp/N adds a port. "
        "Usual causes: the capture was taken where the device's traffic does not pass, it was filtered, or the device sent nothing at all "
        "(a private key that does not parse keeps a UDP device silent: analyze keys shows that)."
    )


def counted(number: int, noun: str) -> str:
    """``1 session``, ``3 sessions``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
