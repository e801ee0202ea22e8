"""What other sessions say about this one's keys."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from analyzer.keys import KeyRing, load_keys
from analyzer.model import Certainty, Code, Session
from analyzer.pipeline import analyze_capture
from captures.synth.case import Lab, cloud_key, pcap
from captures.synth.keys import server_slot
from captures.synth.lightssl import Device
from captures.synth.scene import Scene, sound, ticket
from captures.synth.talk import Host, Trace


@pytest.fixture
def lab() -> Lab:
    return Lab("test-neighbours")


def sessions(trace: Trace, ring: KeyRing | None = None) -> tuple[Session, ...]:
    return analyze_capture(BytesIO(pcap(trace)), ring or KeyRing(), name="made.pcap").sessions


def texts(session: Session) -> str:
    return " | ".join(item.text for item in session.verdict.evidence)


class Stage:
    """Sessions of one or more devices with one cloud, one after the other."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.device, self.server, self.key = sound(lab)
        self.trace = lab.trace()

    def _scene(self, device: Device | None = None, host: Host | None = None) -> Scene:
        self.trace.wait(5)
        return Scene(self.lab, device or self.device, self.server, self.key.n, trace=self.trace, host=host)

    def good(self, host: Host | None = None) -> Stage:
        self._scene(host=host).whole()
        return self

    def refused(self, device: Device | None = None, host: Host | None = None) -> Stage:
        self._scene(device, host).connect().nonce().identity().rejected()
        return self


OTHER = Host.of("192.168.1.210", "e0:4f:43:00:01:d2", 128)
THIRD = Host.of("192.168.1.211", "e0:4f:43:00:01:d3", 128)


def test_a_success_before_and_after_clears_the_keys(lab: Lab):
    _, middle, _ = sessions(Stage(lab).good().refused().good().trace)
    assert middle.verdict.code is Code.IDENTITY_REJECTED
    assert middle.verdict.alternatives == (Code.SERVER_FAULT,)
    assert "got through with this cloud 21 s earlier" in texts(middle) and "6 s later" in texts(middle)


def test_a_success_before_says_when_something_changed_and_clears_nothing(lab: Lab):
    _, last = sessions(Stage(lab).good().refused().trace)
    assert set(last.verdict.alternatives) >= {Code.SERVER_KEY_MISMATCH, Code.DEVICE_KEY_MISMATCH, Code.SERVER_FAULT}
    assert "got through with this cloud 21 s earlier: since then a key changed" in texts(last)


def test_a_success_after_says_so(lab: Lab):
    first, _ = sessions(Stage(lab).refused().good().trace)
    assert set(first.verdict.alternatives) >= {Code.SERVER_KEY_MISMATCH, Code.DEVICE_KEY_MISMATCH}
    assert "gets through with this cloud 6 s later" in texts(first)


def test_another_devices_success_clears_the_cloud(lab: Lab):
    _, refused = sessions(Stage(lab).good(OTHER).refused().trace)
    assert "another device gets through with this cloud in the same capture" in texts(refused)
    assert refused.verdict.certainty is Certainty.UNDETERMINED


def test_devices_that_all_fail_accuse_the_cloud(lab: Lab):
    for session in sessions(Stage(lab).refused().refused(host=OTHER).refused(host=THIRD).trace):
        assert session.verdict.alternatives[:2] == (Code.SERVER_FAULT, Code.SERVER_KEY_MISMATCH)
        assert "3 devices meet the same at this cloud and none gets through" in texts(session)


def test_two_attempts_of_one_device_are_one_device(lab: Lab):
    for session in sessions(Stage(lab).refused().refused().trace):
        assert "devices" not in texts(session)


def strangers(lab: Lab, count: int) -> tuple[Stage, list[Device]]:
    """Devices that hold another cloud's key."""
    stage = Stage(lab)
    return stage, [
        Device(lab.id(), stage.device.slot, server_slot(cloud_key("other").spki, lab.cloud.ip)) for _ in range(count)
    ]


def test_a_wrong_server_key_on_every_device_may_be_a_changed_cloud(lab: Lab, tmp_path: Path):
    stage, (one, two) = strangers(lab, 2)
    stage.refused(one).refused(one).refused(two, OTHER).refused(two, OTHER)
    for name, data in ticket(one, stage.server.key, stage.key).items():
        (tmp_path / name).write_bytes(data)
    found = sessions(stage.trace, load_keys([tmp_path]))
    assert {session.verdict.code for session in found} == {Code.SERVER_KEY_MISMATCH}
    for session in found:
        assert [item.certainty for item in session.findings if item.code == "cloud-key-changed"] == [Certainty.INFERRED]


def test_a_wrong_server_key_beside_a_good_device_is_that_devices_own(lab: Lab, tmp_path: Path):
    stage, (one,) = strangers(lab, 1)
    stage.good(OTHER).refused(one).refused(one)
    for name, data in ticket(stage.device, stage.server.key, stage.key).items():
        (tmp_path / name).write_bytes(data)
    _, *bad = sessions(stage.trace, load_keys([tmp_path]))
    assert {session.verdict.code for session in bad} == {Code.SERVER_KEY_MISMATCH}
    for session in bad:
        assert "only this device holds another" in texts(session)
        assert all(item.code != "cloud-key-changed" for item in session.findings)
