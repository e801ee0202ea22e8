"""Rules up to the cloud's answer: what is not in the capture, what did not answer, what answered wrongly."""

from __future__ import annotations

from itertools import islice

from analyzer.case import Case
from analyzer.conversations import IcmpNote
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.dtls.delivery import asked_again
from analyzer.diagnosis.dtls.view import View
from analyzer.diagnosis.icmp import icmp_text
from analyzer.diagnosis.patience import CONNECT_WATCH
from analyzer.firmware.timers import timer
from analyzer.model import Certainty, Code, Evidence, Finding
from dissectors.alerts import AlertCode
from dissectors.dtls.messages import Certificate
from dissectors.dtls.profile import SECP256R1, Profile, server_objections
from dissectors.events import Direction, Status

UP, DOWN = Direction.UP, Direction.DOWN
#: Alerts of a server to which the ClientHello offers nothing that it speaks.
_NOT_AGREED = frozenset(
    {
        AlertCode.HANDSHAKE_FAILURE,
        AlertCode.ILLEGAL_PARAMETER,
        AlertCode.PROTOCOL_VERSION,
        AlertCode.INSUFFICIENT_SECURITY,
    }
)
#: Other sessions looked at for comparison; a fleet's capture holds thousands.
_NEIGHBOURS = 200
#: Cookies that were returned and not taken: one may have grown old on the way.
_COOKIES = 3
#: Headers of a record and of the handshake message in it.
_RECORD = 25
MINUTE = "a capture that goes on for a minute after the device starts to connect"


def cut_short(view: View, stage: str, so_far: str) -> Draft:
    """The verdict for a capture that ends before the answer was due."""
    frames = view.attempt.frames
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        stage,
        frames,
        f"The capture ends {view.waited_s:.1f} s after {so_far}: too early to say what comes next.",
        (Evidence("nothing more of this device is in the capture", frames[1:]),),
        would_settle=(MINUTE,),
    )


def cut_off(view: View, stage: str, frames: tuple[int, ...], what: str) -> Draft:
    """The verdict for packets that are cut before what would tell."""
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        stage,
        frames,
        "The packets are cut before what would tell how this goes on.",
        (Evidence(what, frames),),
        would_settle=("a capture with whole packets (tcpdump -s 0)",),
    )


def too_short(view: View, limit: float = CONNECT_WATCH) -> bool:
    """Whether the capture ends too soon to call it silence, and no other attempt of this device shows the same."""
    if view.restarted or view.waited_s >= limit:
        return False
    return not any(_alike(view.case, other) for other in view.context.same_device(view.case)[:_NEIGHBOURS])


def _alike(case: Case, other: Case) -> bool:
    """Whether two cases reached the same stage of the handshake, and no alert answered the other."""

    def reached(item: Case) -> tuple[str, ...]:
        return tuple(step.stage for step in item.transcript.steps if step.status is not Status.ABSENT)

    if other.handshake != "dtls" or other.cloud != case.cloud or other.conversation.attempt.alerts:
        return False
    return reached(other) == reached(case)


def lost_flight(view: View, what: str, size: int, frames: tuple[int, ...]) -> Finding:
    """That a flight does not arrive, with the bytes of its longest datagram: what a narrow path would not let through."""
    text = f"the {what} (up to {size} bytes of IP in one packet) does not arrive while smaller packets do: a path that passes only small ones (MTU), or loss"
    return Finding("flight-undelivered", Certainty.INFERRED, text, frames[:12])


def longest(view: View, direction: Direction, *stages: str) -> int:
    """Bytes of IP that the messages of these stages take at most when they share a datagram (IPv4 and UDP headers: 28)."""
    steps = [view.step(stage) for stage in stages]
    sizes: dict[tuple[int, ...], int] = {}
    for step in steps:
        if step.status is not Status.ABSENT and step.direction is direction:
            sizes[step.frames] = sizes.get(step.frames, 28) + len(step.data) + _RECORD
    return max(sizes.values(), default=0)


def one_direction(view: View) -> Draft | None:
    """Only one side of the conversation is in the capture."""
    side = view.one_direction
    if side is None:
        return None
    who, other = ("device", "cloud") if side is UP else ("cloud", "device")
    frames = view.attempt.frames
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        None,
        frames,
        f"Only what the {who} sends is in the capture: what the {other} said decides, and it is not there.",
        (Evidence(f"every datagram is the {who}'s, and some of them answer the {other}", frames),),
        would_settle=(
            "a capture at a point where both directions pass (mirror port set to both, no asymmetric route)",
        ),
    )


def cut_packets(view: View) -> Draft | None:
    """The ClientHello is not whole in the capture, so nothing that follows can be checked."""
    hello = view.step("client-hello")
    if view.attempt.kind != "handshake" or view.attempt.profile is Profile.PARTICLE or hello.status is Status.ABSENT:
        return None
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        "client-hello",
        hello.frames,
        "The packets are cut: the capture holds only the beginning of each, and the handshake cannot be read.",
        (Evidence(f"{hello.missing} bytes of the ClientHello are not in the capture", hello.frames),),
        would_settle=("a capture without a snap length (tcpdump -s 0)",),
    )


def late_start(view: View) -> Draft | None:
    """The capture begins in the middle of a handshake that does not complete."""
    if view.attempt.kind != "handshake" or view.session_up:
        return None
    frames = view.attempt.frames
    hello, answer = view.frames("client-hello"), view.frames("server-key-exchange")
    if view.seen("client-hello") and not (hello and answer and min(answer) < min(hello)):
        return None
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        "client-hello",
        frames,
        "The capture starts in the middle of a handshake: what led to it is not there.",
        (Evidence("there is no ClientHello before these messages", frames[:1]),),
        would_settle=("a capture that starts before the device connects (reset the device after starting it)",),
    )


def refused(view: View) -> Draft | None:
    """ICMP says that the ClientHello could not be delivered."""
    errors = [note for note in view.flow.icmp if note.about is UP]
    if not errors or view.heard(DOWN) or not view.seen("client-hello"):
        return None
    hello, first = view.step("client-hello"), errors[0]
    return Draft(
        Code.CONNECT_REFUSED,
        Certainty.INFERRED,
        "client-hello",
        (*hello.frames[:1], first.frame),
        f"The network reports that {view.case.cloud} cannot be reached ({icmp_text(first)}).",
        (
            Evidence(f"ClientHello to {view.case.cloud}", hello.frames),
            _answered_by(errors, first),
            Evidence("the device does not look at ICMP: it goes on as if nothing had answered", ()),
        ),
        would_settle=("is the cloud's program running and listening on that UDP port?",),
    )


def _answered_by(errors: list[IcmpNote], first: IcmpNote) -> Evidence:
    frames = tuple(note.frame for note in errors)[:12]
    return Evidence(
        f"answered with ICMP {icmp_text(first)}" + (f", {len(errors)} times" if len(errors) > 1 else ""), frames
    )


def unanswered(view: View) -> Draft | None:
    """ClientHello, and nothing comes back at all."""
    if not view.seen("client-hello") or view.heard(DOWN):
        return None
    hello = view.step("client-hello")
    sent = 1 + view.repeats("client-hello")
    if too_short(view):
        return cut_short(view, "client-hello", "the ClientHello")
    clear = view.restarted or sent > 1 or view.waited_s >= timer("dtls-retransmit-short").first
    tries = f"{sent} ClientHellos" if sent > 1 else "one ClientHello"
    when = f" ({view.schedule('client-hello')})" if sent > 1 else ""
    evidence = [Evidence(f"{tries}{when}, no reply of any kind, no ICMP error", hello.frames), view.ending()]
    others = islice((other for other in view.context.cases if other.cloud == view.case.cloud), _NEIGHBOURS)
    heard = next((other for other in others if other is not view.case and _is_answered(other)), None)
    if heard is not None:
        evidence.append(Evidence(f"the same cloud answers {heard.device} in this capture", (heard.first_frame,)))
    return Draft(
        Code.CONNECT_UNANSWERED,
        Certainty.INFERRED if clear else Certainty.UNDETERMINED,
        "client-hello",
        hello.frames,
        f"Nothing answers at {view.case.cloud}: {tries}, and not one datagram back.",
        tuple(evidence),
        alternatives=() if clear else (Code.CAPTURE_INCOMPLETE,),
        would_settle=(
            "a capture on the cloud's side: does the ClientHello arrive there?",
            "is UDP to this port let through on the way (firewall, NAT, the carrier's APN)?",
        ),
    )


def _is_answered(case: Case) -> bool:
    step = case.transcript.step("server-hello")
    return step is not None and step.status is not Status.ABSENT


def somebody_else(view: View) -> Draft | None:
    """Something answers that does not speak DTLS."""
    attempt = view.attempt
    if not attempt.unreadable or attempt.flights or attempt.alerts or view.seen("hello-verify") or attempt.stale:
        return None
    if not view.heard(DOWN) or not view.seen("client-hello"):
        return None
    return Draft(
        Code.NOT_THE_CLOUD,
        Certainty.INFERRED,
        "client-hello",
        (*view.frames("client-hello"), *attempt.unreadable[:4]),
        f"Something that does not speak DTLS answers at {view.case.cloud}.",
        (Evidence("what comes back is no DTLS record", attempt.unreadable[:12]), view.ending()),
    )


def repeated_certificate(view: View) -> Draft | None:
    """All the cloud says is an earlier attempt's answer, in which it sends a certificate."""
    earlier = view.stale
    flights = () if earlier is None or asked_again(earlier) else earlier.flights
    sent = next((flight for flight in flights if flight.certificate_frames), None)
    if sent is None:
        return None
    frames, repeated = _repeated(view)
    return _sends_certificate(view, sent.certificate, frames, (repeated,))


def repeated_answer(view: View) -> Draft | None:
    """All the cloud says belongs to an earlier attempt: it never took notice of this one."""
    if view.stale is None:
        return None
    frames, repeated = _repeated(view)
    return Draft(
        Code.HANDSHAKE_STALLED,
        Certainty.INFERRED,
        "server-hello",
        (*view.frames("client-hello"), *frames[:4]),
        "The cloud still waits in the device's earlier handshake and repeats that answer; to this attempt it says nothing.",
        (Evidence("a new ClientHello", view.frames("client-hello")), repeated, view.ending()),
        alternatives=(Code.SERVER_FAULT,),
        would_settle=("the first attempt of this device in the capture: what stopped it stops this one",),
    )


def _repeated(view: View) -> tuple[tuple[int, ...], Evidence]:
    frames = view.attempt.stale[-1].frames
    return frames, Evidence("the cloud only repeats its answer to the device's earlier attempt", frames[:12])


def wrong_profile(view: View) -> Draft | None:
    """The server does not speak what a device can accept."""
    attempt = view.attempt
    flight = attempt.flight
    if flight is None or (flight.hello is None and not flight.certificate_frames):
        return None
    # Of a message that is cut, its kind is still there.
    objections = [] if flight.hello is None else list(server_objections(attempt.client_hello, flight.hello))
    group = flight.key_exchange.group if flight.key_exchange is not None else SECP256R1
    if group != SECP256R1:
        objections.append(f"key exchange in group {group:04x}; devices are built with secp256r1 (0017) alone")
    late = [text for text in objections if "connection id" in text]
    if view.device_proceeds:
        # Only the missing connection id lets the handshake complete; the device then drops the session without a word.
        if not late or view.applications or not view.seen("cloud-finished"):
            return None
        objections = late
    if flight.certificate_frames and not view.device_proceeds:
        text = tuple(Evidence(f"ServerHello: {item}", view.frames("server-hello")) for item in objections)
        return _sends_certificate(view, flight.certificate, flight.certificate_frames, text)
    if not objections:
        return None
    frames = view.frames("server-hello")
    return Draft(
        Code.PROFILE_MISMATCH,
        Certainty.INFERRED,
        "server-hello",
        frames,
        f"The server at {view.case.cloud} does not speak the devices' profile: {objections[0]}.",
        (*(Evidence(f"ServerHello: {item}", frames) for item in objections), *_reaction(view)),
        would_settle=("is this address the right server for this device and its firmware?",),
    )


def _sends_certificate(
    view: View, certificate: Certificate | None, frames: tuple[int, ...], more: tuple[Evidence, ...]
) -> Draft:
    form = "an X.509 certificate" if certificate is not None and certificate.chain else "a Certificate message"
    return Draft(
        Code.PROFILE_MISMATCH,
        Certainty.INFERRED,
        "server-certificate",
        frames[:12],
        f"The server sends {form}, which the firmware is built not to receive: it stops there. No key is wrong.",
        (
            *more,
            Evidence("devices know the cloud's key beforehand and read no Certificate message from it", frames[:12]),
            *_reaction(view),
        ),
        would_settle=("is this address the right server for this device? A Particle cloud sends no Certificate",),
    )


def _reaction(view: View) -> tuple[Evidence, ...]:
    alert = view.alert(UP)
    if alert is not None:
        return (Evidence(f"the device answers with {alert[0]}", alert[1]),)
    return (view.ending(),)


def rejected_at_once(view: View) -> Draft | None:
    """A fatal alert where the cloud's answer belongs."""
    alert = view.alert(DOWN)
    if alert is None or view.attempt.flights:
        return None
    text, frames, code = alert
    hello = view.frames("client-hello")
    alternatives = (Code.PROFILE_MISMATCH, Code.SERVER_FAULT) if code in _NOT_AGREED else (Code.SERVER_FAULT,)
    return Draft(
        Code.HANDSHAKE_REJECTED,
        Certainty.INFERRED,
        "server-hello",
        (*hello, *frames),
        f"The cloud refuses the handshake at once: {text} in answer to the ClientHello. No key has been used yet.",
        (
            Evidence("ClientHello", hello),
            Evidence(f"{text} by the cloud, before any key was shown or checked", frames),
            view.ending(),
        ),
        alternatives=alternatives,
        would_settle=(
            "the server's log at that moment",
            "is this server meant for devices (suite c0ae, raw public keys)?",
        ),
    )


def after_cookie(view: View) -> Draft | None:
    """The cookie was asked for, and the handshake goes no further."""
    if not view.seen("hello-verify") or view.seen("server-hello") or view.answered:
        return None
    verify, hello = view.step("hello-verify"), view.step("client-hello")
    returned = hello.fields.get("cookie_bytes") != 0
    sent = hello.fields.get("sent")
    cookies = sent - 1 - view.repeats("client-hello") if isinstance(sent, int) else 0
    if cookies >= _COOKIES:
        return _cookies_refused(view, cookies)
    if too_short(view):
        return cut_short(view, "hello-verify", "the cloud's HelloVerifyRequest")
    if returned:
        summary = "The device returns the cloud's cookie, and the cloud falls silent: no ServerHello."
        text = "ClientHello with the cookie, and no ServerHello"
    else:
        summary = "The cloud asks for a cookie, and the device never returns it: the request does not reach it."
        text = (
            "the device only repeats its first ClientHello"
            if view.repeats("client-hello")
            else "no ClientHello with the cookie follows"
        )
    return Draft(
        Code.HANDSHAKE_STALLED,
        Certainty.INFERRED,
        "server-hello" if returned else "hello-verify",
        (*hello.frames, *verify.frames),
        summary,
        (Evidence("HelloVerifyRequest", verify.frames), Evidence(text, hello.frames), view.ending()),
        alternatives=(Code.SERVER_FAULT,) if returned else (),
        would_settle=("a capture on the other side of the network: which datagram does not arrive?",),
    )


def _cookies_refused(view: View, cookies: int) -> Draft:
    """Every cookie that the device returns is answered with a new one, for ever: the device sets no limit.

    A cookie is an HMAC over the client's address and port and the time, under a key that the server makes at its start, good
    for 60 s (Mbed-TLS/mbedtls:library/ssl_cookie.c); the client returns whatever comes (ssl_cli.c, hello verify request).
    """
    frames = tuple(sorted({*view.frames("client-hello"), *view.frames("hello-verify")}))
    return Draft(
        Code.HANDSHAKE_STALLED,
        Certainty.INFERRED,
        "server-hello",
        frames,
        f"The cloud takes none of the {cookies} cookies that the device returns, and asks for a new one each time. No key has been used yet.",
        (
            Evidence(f"{cookies} ClientHellos, each with another cookie, and no ServerHello", frames[:12]),
            Evidence(
                "a cookie holds for the address and port it was sent to, and for the server that made it: a NAT changes the port with every datagram, or several servers answer by turns"
            ),
        ),
        alternatives=(Code.SERVER_FAULT,),
        would_settle=(
            "a capture on the cloud's side: does each ClientHello come from the same address and port?",
            "is there a load balancer before several servers, which must keep a client at one of them?",
        ),
    )


def untold(view: View) -> Draft:
    """The rule behind all others."""
    frames = view.attempt.frames
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        None,
        frames,
        "What is in the capture of this attempt does not allow a verdict.",
        (Evidence("messages are missing on both sides", frames), view.ending()),
        would_settle=(MINUTE,),
    )
