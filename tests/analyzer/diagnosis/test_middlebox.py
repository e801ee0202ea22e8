"""Resets that the cloud never sent."""

from __future__ import annotations

from io import BytesIO

import pytest

from analyzer.keys import KeyRing
from analyzer.model import Certainty, Code, Finding, Session
from analyzer.pipeline import analyze_capture
from captures.synth.case import Lab, pcap
from captures.synth.scene import Scene, sound
from captures.synth.talk import CLOUD, DEVICE, TcpTalk, Trace


@pytest.fixture
def scene() -> Scene:
    lab = Lab("test-middlebox")
    device, server, key = sound(lab)
    return Scene(lab, device, server, key.n)


def sessions(trace: Trace) -> tuple[Session, ...]:
    return analyze_capture(BytesIO(pcap(trace)), KeyRing(), name="made.pcap").sessions


def forged(session: Session) -> Finding | None:
    return next((finding for finding in session.findings if finding.code == "middlebox-reset"), None)


def test_a_reset_with_another_ttl_before_the_nonce(scene: Scene):
    scene.connect().talk.reset(CLOUD, ttl=63)
    (session,) = sessions(scene.trace)
    found = forged(session)
    assert found is not None and found.certainty is Certainty.INFERRED
    assert found.summary.startswith("the RST has TTL 63, the cloud's other packets have 52")
    assert found.frames == (session.ending.frame,)
    assert session.verdict.code is Code.CLOSED_BEFORE_NONCE
    assert session.verdict.summary.endswith("The RST bears the cloud's address and comes from something in between.")
    assert session.verdict.remedy[0].text.startswith("Something between the device and the cloud ends the connection")


@pytest.mark.parametrize("ttl", [51, 52, 53, None])
def test_a_hop_more_or_less_is_no_other_sender(scene: Scene, ttl: int | None):
    scene.connect().talk.reset(CLOUD, ttl=ttl)
    (session,) = sessions(scene.trace)
    assert forged(session) is None and "in between" not in session.verdict.summary


def test_a_forged_reset_after_the_identity_refuses_nothing(scene: Scene):
    scene.connect().nonce().identity().talk.reset(CLOUD, ttl=64)
    (session,) = sessions(scene.trace)
    assert (session.verdict.code, session.verdict.certainty) == (Code.IDENTITY_REJECTED, Certainty.UNDETERMINED)
    assert Code.SESSION_DROPPED in session.verdict.alternatives
    assert "may not have refused anything" in session.verdict.summary


def test_a_reset_of_the_clouds_own_is_no_refusal(scene: Scene):
    """Both open servers end what they refuse with a FIN: a reset is a process that died, or something in between."""
    scene.connect().nonce().identity().talk.reset(CLOUD)
    (session,) = sessions(scene.trace)
    assert session.verdict.code is Code.IDENTITY_REJECTED
    assert Code.SESSION_DROPPED in session.verdict.alternatives


def test_a_refused_connection_is_compared_with_the_clouds_other_sessions(scene: Scene):
    scene.connect().nonce().identity().rejected()
    scene.trace.wait(1)
    talk = TcpTalk(scene.trace, scene.lab.device, scene.lab.cloud)
    talk.segment(DEVICE, 0x02)
    scene.trace.wait(0.02)
    talk.reset(CLOUD, ttl=255)
    _, refused = sessions(scene.trace)
    assert refused.verdict.code is Code.CONNECT_REFUSED
    assert forged(refused) is not None and "in between" in refused.verdict.summary


def test_the_cloud_goes_on_after_its_reset(scene: Scene):
    scene.connect().talk.reset(CLOUD)
    scene.trace.wait(0.4)
    scene.nonce()
    (session,) = sessions(scene.trace)
    found = forged(session)
    assert found is not None and "still sends data 0.4 s after the RST" in found.summary
