"""What reached whom, and who refused what it had received: by copies, their times and alerts, before any key is asked.

How it works. A DTLS side repeats its flight until it has the next one (RFC 6347 section 4.2.4): so a flight that comes again
says that its sender still waits, and a side that stops repeating has been answered, or is gone. A refusal is what the software
does that refuses: alert 51 of a device (mbedTLS 2.9 and later), or a device that starts over before its own timer could have
run (the forks before that; `timers.toml`, dtls-retransmit-short); an alert of the cloud that a key explains, once it has seen
the device's; a Hello that a cloud leaves unanswered which completes the handshake, and does so in two attempts. The end of
the capture is no refusal, and one silence is none either: a host that hangs and a path that breaks are silent as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from analyzer.diagnosis.trial import Standing
from analyzer.firmware.timers import timer
from analyzer.model import Evidence
from dissectors.alerts import AlertCode
from dissectors.dtls.attempt import DtlsAttempt
from dissectors.events import Direction, Status, Step

if TYPE_CHECKING:
    from analyzer.diagnosis.dtls.view import View

UP, DOWN = Direction.UP, Direction.DOWN
ANSWER: Final = ("server-hello", "server-key-exchange", "certificate-request", "server-hello-done")
FLIGHT: Final = ("device-certificate", "client-key-exchange", "certificate-verify", "device-finished")
#: Alerts with which a server may say that it does not take a client's key (RFC 5246 section 7.2.2: of the certificate, of
#: access, of its signature); close_notify is how some policies end it. The others speak of bytes, versions and itself.
_OF_KEYS: Final = frozenset(
    {
        *(AlertCode.CLOSE_NOTIFY, AlertCode.HANDSHAKE_FAILURE, AlertCode.NO_CERTIFICATE, AlertCode.BAD_CERTIFICATE),
        *(AlertCode.UNSUPPORTED_CERTIFICATE, AlertCode.CERTIFICATE_REVOKED, AlertCode.CERTIFICATE_EXPIRED),
        *(AlertCode.CERTIFICATE_UNKNOWN, AlertCode.UNKNOWN_CA, AlertCode.ACCESS_DENIED, AlertCode.DECRYPT_ERROR),
        *(AlertCode.UNKNOWN_PSK_IDENTITY, AlertCode.CERTIFICATE_REQUIRED),
    }
)
#: A flight that crosses the answer to it on the way is sent again once, at most this long after it (ns).
_CROSSED_NS: Final = 500_000_000
#: Attempts of the same flow looked at for a device that starts over at once: the retry ladder begins with the quickest.
_FIRST: Final = 6
#: Other sessions of a device looked at; a retry loop has thousands.
_NEIGHBOURS: Final = 200
#: A Hello and two of its three repetitions without an answer: longer than a slow cloud takes.
_HELLOS: Final = 3


@dataclass(frozen=True, slots=True)
class Delivery:
    """Flights that their sender repeats although the other side had answered: frames of the copies, empty when none.

    ``answer``: the cloud's, behind the device's own flight, which it does not get. ``hello``: the device's ClientHello,
    behind the cloud's answer. ``flight``: the device's, behind the cloud's Finished.
    """

    answer: tuple[int, ...] = ()
    hello: tuple[int, ...] = ()
    flight: tuple[int, ...] = ()


def delivery(view: View) -> Delivery:
    """What of this attempt its sender says did not arrive."""
    went_on = min((ns for stage in FLIGHT if (ns := view.step(stage).start_ns) is not None), default=None)
    answered, finished = view.step("server-hello").start_ns, view.step("cloud-finished").start_ns
    answer = () if went_on is None or finished is not None else _copies(view, DOWN, ANSWER, went_on)
    hello = () if answered is None or went_on is not None else _copies(view, UP, ("client-hello",), answered)
    flight = () if finished is None else _copies(view, UP, FLIGHT, finished)
    last = view.attempt.flight
    if refusal(view.attempt) is not None or (last is not None and not last.belongs):
        hello = ()  # one answer was lost, the next one came and was refused; or none was an answer to this ClientHello
    return Delivery(answer, hello, flight)


def _copies(view: View, direction: Direction, stages: Iterable[str], after_ns: int) -> tuple[int, ...]:
    found = [
        repeat.mark.frames[0]
        for repeat in view.attempt.repeats
        if repeat.direction is direction
        and repeat.stage in stages
        and repeat.mark.time_ns - after_ns > _CROSSED_NS
        and repeat.mark.frames
    ]
    return tuple(dict.fromkeys(found))


def _step(attempt: DtlsAttempt, stage: str) -> Step | None:
    step = attempt.transcript.step(stage)
    return step if step is not None and step.status is not Status.ABSENT else None


def refusal(attempt: DtlsAttempt) -> float | None:
    """Seconds from the cloud's answer to a new ClientHello, when no timer of the device runs as short: it refused.

    None for firmware that would say so with an alert, and where the answer, or what follows, is not in the capture.
    """
    exchange, made_by = _step(attempt, "server-key-exchange"), attempt.generation
    if exchange is None or exchange.start_ns is None or attempt.superseded_ns is None:
        return None
    if made_by is None or made_by.alerts or any(_step(attempt, stage) for stage in FLIGHT):
        return None
    asked = [repeat.mark.time_ns for repeat in attempt.repeats if repeat.stage == "client-hello"]
    answers = [exchange.start_ns]
    answers += [repeat.mark.time_ns for repeat in attempt.repeats if repeat.stage == "server-key-exchange"]
    waits_since = max(asked, default=exchange.start_ns)
    if max(answers) < waits_since:
        return None
    after = (attempt.superseded_ns - min(time for time in answers if time >= waits_since)) / 1e9
    return after if after < timer("dtls-retransmit-short").first else None


def device_refusal(view: View) -> Evidence | None:
    """How the device refused the cloud's answer, having received it; None when it did not."""
    if not view.answered or view.device_proceeds:
        return None
    alert = view.alert(UP)
    if alert is not None and alert[2] == AlertCode.DECRYPT_ERROR:
        return Evidence(f"the device answers with {alert[0]}", alert[1])
    first = timer("dtls-retransmit-short").first
    after = refusal(view.attempt)
    if after is not None:
        text = f"the device starts over {after:.1f} s after the cloud's answer: it would repeat its ClientHello after {first:.0f} s if the answer had not come, so it came and was refused"
        return Evidence(text, view.next_frame)
    if view.restarted and not asked_again(view.attempt) and view.pattern:
        text = "the device starts over without having repeated its ClientHello, as it does at once in other attempts: the answer came and was refused"
        return Evidence(text, view.next_frame)
    return None


def asked_again(attempt: DtlsAttempt) -> bool:
    """Whether the device repeats its ClientHello behind the cloud's answer: it has not got it."""
    hello = _step(attempt, "server-hello")
    after = hello.start_ns if hello is not None else None
    return after is not None and any(r.stage == "client-hello" and r.mark.time_ns > after for r in attempt.repeats)


def pattern(view: View) -> bool:
    """Whether this device refused the cloud's answer in another attempt of this flow."""
    near = view.flow.siblings[:_FIRST]
    return any(other is not view.attempt and (refusal(other) is not None or _alerted(other)) for other in near)


def _alerted(attempt: DtlsAttempt) -> bool:
    return any(a.direction is UP and a.code == AlertCode.DECRYPT_ERROR for a in attempt.alerts)


def dismissed(view: View) -> bool:
    """Whether the device stops behind an answer that it has got: refused, or silent although it would repeat itself.

    This is no proof that it refused (it may have lost its power): only that a wrong key would look like this.
    """
    if not view.answered or view.device_proceeds or view.delivery.hello:
        return False
    if device_refusal(view) is not None or view.pattern:
        return True
    made_by = view.attempt.generation
    if made_by is not None and made_by.alerts:
        return False
    return view.waited_s >= timer("dtls-retransmit-short").first


def cloud_refusal(view: View) -> Evidence | None:
    """How the cloud refused the device, having received its key; None when it did not, or for another reason."""
    shown = view.step("device-certificate").start_ns
    if shown is None or view.session_up:
        return None
    for alert in view.attempt.alerts:
        if alert.direction is DOWN and alert.mark.time_ns >= shown:
            text = f"the cloud answers with alert {alert.code} ({alert.name})"
            return Evidence(text, alert.mark.frames) if alert.code in _OF_KEYS else None
    told = view.alert(DOWN)
    if told is not None:
        return Evidence(f"the cloud answers with {told[0]}", told[1]) if told[2] in (None, *_OF_KEYS) else None
    return _ignored(view)


def _ignored(view: View) -> Evidence | None:
    """The cloud completes the handshake and leaves the Hello unanswered, here and in another attempt of this device.

    That it completed two excludes what one silence may be: a host that hangs, a path that breaks.
    """
    if not unanswered_hellos(view.case.conversation.attempt) or any(r.direction is DOWN for r in view.applications):
        return None
    for other in view.context.same_device(view.case)[:_NEIGHBOURS]:
        if other.cloud == view.case.cloud and unanswered_hellos(other.conversation.attempt):
            text = "the cloud completes the handshake and never answers the Hello, in two attempts: it is there, and does not take this device"
            return Evidence(text, (*view.attempt.hello_frames, other.first_frame))
    return None


def unanswered_hellos(attempt: DtlsAttempt) -> bool:
    """Whether the handshake completes, and the Hello is repeated without an answer."""
    if _step(attempt, "cloud-finished") is None or _step(attempt, "hello-ack") is not None:
        return False
    return len(attempt.hello_frames) >= _HELLOS


def ignored_flight(attempt: DtlsAttempt) -> bool:
    """Whether the device repeats its whole flight, and the cloud neither answers nor repeats its own: it may have refused."""
    if any(_step(attempt, stage) is None for stage in FLIGHT) or _step(attempt, "cloud-finished") is not None:
        return False
    shown = _step(attempt, "device-certificate")
    assert shown is not None
    late = [r for r in attempt.repeats if r.mark.time_ns - (shown.start_ns or 0) > _CROSSED_NS]
    return not attempt.alerts and any(r.direction is UP for r in late) and all(r.direction is UP for r in late)


def passed_over(view: View) -> bool:
    """Whether the cloud passed over the device's flight in this attempt and another, and answered a ClientHello in each."""
    if not ignored_flight(view.attempt):
        return False
    others = view.context.same_device(view.case)[:_NEIGHBOURS]
    return any(other.cloud == view.case.cloud and ignored_flight(other.conversation.attempt) for other in others)


def standing(view: View) -> Standing:
    """What the wire itself allows to be concluded about this attempt."""
    by_device = device_refusal(view)
    by_cloud = None if by_device is not None else cloud_refusal(view)
    refused_by = UP if by_device is not None else DOWN if by_cloud is not None else None
    against = [*view.other_ticket]
    if refused_by is not None:
        got_in = view.got_in_with_signer if refused_by is UP else view.got_in_with_key
        if got_in is not None:
            when = "before" if got_in.start_ns < view.case.start_ns else "later"
            text = f"the same device gets in {when} with the same keys"
            against.append(Evidence(text, (got_in.first_frame,)))
    return Standing(refused_by, (), tuple(against))
