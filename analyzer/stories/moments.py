"""A session as a story sees it: when it began and was over, whose it is, and what it shows that may change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analyzer.case import FIRM_SOURCES
from analyzer.firmware.timers import timer
from analyzer.model import Code, Session
from analyzer.times import seconds_of
from dissectors.events import Fact, How, Status

#: The device shows its LED before it closes (`led-before-close`); what is this much shorter is still that.
_SHORT_OF = 0.02
_KEY_STAGES = ("identity", "device-certificate")
_SERVER_STAGES = ("session-key", "server-key-exchange")


@dataclass(frozen=True, slots=True)
class Moment:
    """One session in a story. ``name`` is its id, with the capture's path in front across captures."""

    session: Session
    name: str
    start_s: float
    end_s: float

    @property
    def id(self) -> str | None:
        """The device's id, when this session itself tells it."""
        return self.session.device.id if self.session.device.id_source in FIRM_SOURCES else None

    @property
    def guessed_id(self) -> str | None:
        """The device's id, however it came to be known."""
        return self.session.device.id

    @property
    def key(self) -> str | None:
        """Fingerprint of the public key the device shows, in hexadecimal."""
        return _fact(self.session, _KEY_STAGES, "fingerprint")

    @property
    def good(self) -> bool | None:
        """Whether it got through; None when the capture does not say."""
        code = self.session.verdict.code
        return None if code is Code.CAPTURE_INCOMPLETE else code is Code.HEALTHY

    @property
    def connected(self) -> bool:
        """Whether it came as far as a session: the firmware then counts failures from nought again."""
        return any(
            stage.status is Status.SEEN
            for stage in self.session.stages
            if stage.stage in ("cloud-hello", "hello-ack", "session", "resumed")
        )

    @property
    def begun_s(self) -> float:
        """When the device set out: with its question for the name, where that was asked just before."""
        return self.start_s + min((0.0, *(stage.offset_s or 0.0 for stage in self.session.stages)))

    @property
    def failed_s(self) -> tuple[float, ...]:
        """The instants at which the device may have noticed the failure, likeliest first."""
        session = self.session
        last = self.start_s + max((stage.offset_s or 0.0 for stage in session.stages), default=0.0)
        after = session.ending.after_s or 0.0
        if session.transport == "tcp":
            if session.verdict.code is Code.CONNECT_UNANSWERED:
                return self._after(timer("connect").first, timer("connect-core").first)
            shown = timer("led-before-close").first
            busy = shown if session.ending.by == "device" and after >= shown - _SHORT_OF else 0.0
            return (last + after - busy,)
        timers = self._after(timer("dtls-retransmit-short").total, timer("dtls-retransmit-long").total)
        if session.ending.how in (How.TIMEOUT, How.ICMP):
            return timers
        # What it did not like it gives up at once, with an alert or without a word.
        return (last + after if session.ending.how is How.ALERT else last, *timers)

    def _after(self, *seconds: float) -> tuple[float, ...]:
        return tuple(self.start_s + limit for limit in seconds)


def moments(sessions: Iterable[Session], prefix: str = "") -> list[Moment]:
    """The sessions in order of time; those of equal time keep theirs."""
    found = []
    for session in sessions:
        start = seconds_of(session.start_time)
        found.append(Moment(session, prefix + session.id, start, start + session.duration_s))
    return sorted(found, key=lambda moment: moment.start_s)


def facts(session: Session) -> Mapping[str, str]:
    """What may differ from one session of a device to the next, by the words a reader knows it by."""
    told: dict[str, str | None] = {
        "cloud": f"{session.cloud.address}:{session.cloud.port}",
        "name": session.cloud.host,
        "address": session.device.address or None,
        "transport": session.transport,
        "device key": _short(_fact(session, _KEY_STAGES, "fingerprint")),
        "cloud's signing key": _fact(session, _SERVER_STAGES, "signed_by"),
        "device's server key": _fact(session, ("identity",), "opened_with"),
        "firmware": _firmware(session),
    }
    return {name: value for name, value in told.items() if value}


def _firmware(session: Session) -> str | None:
    parts = []
    for stage, name, words in (
        ("device-hello", "system_version", "system"),
        ("device-hello", "firmware_version", "product version"),
        ("client-hello", "firmware", ""),
    ):
        value = _fact(session, (stage,), name)
        if value is not None and value != "65535":
            parts.append(f"{words} {value}".strip())
    return ", ".join(parts) or None


def _fact(session: Session, stages: tuple[str, ...], name: str) -> str | None:
    for stage in session.stages:
        value: Fact = stage.fields.get(name) if stage.stage in stages else None
        if value is not None:
            return str(value)
    return None


def _short(fingerprint: str | None) -> str | None:
    return f"SHA256:{fingerprint[:16]}" if fingerprint else None
