"""Silence is judged by firmware/timers.toml: another number there is another verdict here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.firmware import timers
from analyzer.model import Certainty, Code, Session
from captures.synth.talk import CLOUD, DEVICE
from tests.analyzer.diagnosis.scenes import Made, Tcp, dtls, late_answer, later, no_hello, secret
from tests.analyzer.dtls_lab import judged


def hello_without_answer() -> Made:
    tcp = Tcp("timer hello")
    play = tcp.play.connect().nonce().identity().session_key()
    play.talk.say(DEVICE, play.begin().device_hello(15, platform=6, product=6))
    later(tcp.lab, play.trace, 2.5)
    return play.trace, {}


def closed_after_ten_seconds() -> Made:
    tcp = Tcp("timer brewskey")
    play = tcp.play.connect().nonce().identity().session_key()
    play.trace.wait(10)
    play.talk.close(CLOUD)
    return play.trace, {}


def one_client_hello() -> Made:
    play = dtls("timer client hello")
    play.send(DEVICE, play.hs.client_hello())
    later(play.lab, play.trace, 2)
    return play.trace, {}


def three_client_hellos() -> Made:
    play = dtls("timer flights")
    play.send(DEVICE, play.hs.client_hello())
    play.repeat(DEVICE, 3, 6)
    return play.trace, {}


def gone_silent() -> Made:
    play = dtls("timer silence").handshake().greet().ping()
    play.trace.wait(30)
    for pause in (4.2, 8.2, 0):
        play.data(DEVICE, play.coap.ping(DEVICE))
        play.trace.wait(pause)
    return play.trace, secret(play)


def verdict(session: Session) -> object:
    return session.verdict.code, session.verdict.certainty


def code(session: Session) -> object:
    return session.verdict.code


def evidence(session: Session) -> object:
    return [item.text for item in session.verdict.evidence if "the cloud closes after" in item.text]


def family(session: Session) -> object:
    return any("its timer goes to" in finding.summary for finding in session.findings)


@pytest.mark.parametrize(
    ("made", "seen", "now", "changes", "then"),
    [
        (hello_without_answer, code, Code.HELLO_UNANSWERED, {"hello-wait": (3,)}, Code.CAPTURE_INCOMPLETE),
        (late_answer, code, Code.CONNECT_UNANSWERED, {"connect": (9,)}, Code.SESSION_DROPPED),
        (
            closed_after_ten_seconds,
            evidence,
            ["the cloud closes after 10 s: Brewskey's handshake limit of 10 s"],
            {"brewskey-handshake": (20,), "spark-server-hello": (11,)},
            ["the cloud closes after 10 s: spark-protocol's 11 s limit for the device's Hello"],
        ),
        (
            one_client_hello,
            verdict,
            (Code.CONNECT_UNANSWERED, Certainty.UNDETERMINED),
            {"dtls-retransmit-short": (1.5, 3)},
            (Code.CONNECT_UNANSWERED, Certainty.INFERRED),
        ),
        (three_client_hellos, family, True, {"dtls-retransmit-short": (3, 6, 12)}, False),
        (no_hello, code, Code.HANDSHAKE_STALLED, {"coap-retransmit": (10, 20)}, Code.HEALTHY),
        (gone_silent, code, Code.SESSION_DROPPED, {"coap-retransmit": (4, 9)}, Code.HEALTHY),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_another_timer_is_another_verdict(
    made: Callable[[], Made],
    seen: Callable[[Session], object],
    now: object,
    changes: Mapping[str, tuple[float, ...]],
    then: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    trace, keys = made()
    assert seen(judged(trace, keys, tmp_path)[0]) == now
    table = timers.timers()
    changed = {name: replace(table[name], seconds=seconds) for name, seconds in changes.items()}
    monkeypatch.setattr(timers, "timers", lambda: table | changed)
    assert seen(judged(trace, keys, tmp_path)[0]) == then
