"""Lost server addresses, wrong clouds: proven by a slot dump and a name, inferred from less."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from analyzer.keys import KeyRing, load_keys
from analyzer.model import Certainty, Code, Session
from analyzer.pipeline import analyze_capture, analyze_paths
from captures.synth.case import Lab, cloud_key, pcap
from captures.synth.keys import server_slot
from captures.synth.lightssl import Server
from captures.synth.names import resolve
from captures.synth.scene import Scene, sound, ticket
from captures.synth.talk import Host, Trace


@pytest.fixture
def lab() -> Lab:
    return Lab("test-address")


def sessions(trace: Trace, ring: KeyRing | None = None) -> tuple[Session, ...]:
    return analyze_capture(BytesIO(pcap(trace)), ring or KeyRing(), name="made.pcap").sessions


def folder(path: Path, files: dict[str, bytes]) -> KeyRing:
    for name, data in files.items():
        (path / name).write_bytes(data)
    return load_keys([path])


def found(session: Session, code: str) -> Certainty | None:
    return next((finding.certainty for finding in session.findings if finding.code == code), None)


def asks_particle(lab: Lab, device: object, *, answered: str = "34.237.141.248") -> Trace:
    """The device looks Particle's name up, goes there, and is turned away."""
    lab.cloud = Host.of(answered, "02:00:5e:00:01:01", 230)
    trace = lab.trace()
    resolve(lab, trace, "device.spark.io", [answered])
    Scene(lab, device, Server(cloud_key("particle 2018")), 0, trace=trace).connect().nonce().identity().rejected()  # type: ignore[arg-type]  # the lab's own device
    return trace


def test_a_custom_slot_and_particles_name_prove_it(lab: Lab, tmp_path: Path):
    device, server, key = sound(lab)
    device.server = server_slot(server.key.spki, None)
    ring = folder(tmp_path, ticket(device, server.key, key))
    (session,) = sessions(asks_particle(lab, device), ring)
    assert found(session, "server-address-lost") is Certainty.PROVEN
    assert session.verdict.code is Code.SERVER_KEY_MISMATCH
    commands = [command for remedy in session.verdict.remedy for command in remedy.commands]
    # Never Particle's name, which is only where it fell back to; and never Particle's key.
    assert any(command.endswith("--host HOST") for command in commands)
    assert "particle keys server" not in commands and not any("device.spark.io" in command for command in commands)


def test_the_stored_address_of_an_older_dump_is_written_back(lab: Lab, tmp_path: Path):
    device, server, key = sound(lab)
    ring = folder(tmp_path, ticket(device, server.key, key))  # the dump still has 203.0.113.10
    (session,) = sessions(asks_particle(lab, device), ring)
    assert found(session, "server-address-lost") is Certainty.PROVEN
    assert any(
        command.endswith("--host 203.0.113.10") for remedy in session.verdict.remedy for command in remedy.commands
    )


def test_without_an_id_of_its_own_the_device_may_be_another(lab: Lab, tmp_path: Path):
    device, server, _ = sound(lab)
    device.server = server_slot(server.key.spki, None)
    ring = folder(tmp_path, {f"{device.hex}.server_key.der": device.server})
    (session,) = sessions(asks_particle(lab, device), ring)
    assert session.device.id_source == "only-device-in-keys"
    assert found(session, "server-address-lost") is Certainty.INFERRED


def test_the_cloud_it_encrypts_for_gives_it_away(lab: Lab, tmp_path: Path):
    device, server, key = sound(lab)
    files = {name: data for name, data in ticket(device, server.key, key).items() if "server_key" not in name}
    (session,) = sessions(asks_particle(lab, device), folder(tmp_path, files))
    assert found(session, "server-address-lost") is Certainty.INFERRED


def test_a_session_with_another_cloud_before_gives_it_away(lab: Lab, tmp_path: Path):
    device, server, key = sound(lab)
    home = Scene(lab, device, server, key.n).whole().trace
    home.wait(20)
    particle = Server(cloud_key("particle 2018"))
    lab.cloud = Host.of("34.237.141.248", "02:00:5e:00:01:01", 230)
    resolve(lab, home, "device.spark.io", ["34.237.141.248"])
    Scene(lab, device, particle, key.n, trace=home).connect().nonce().identity().session_key().given_up()
    ring = folder(tmp_path, {f"{device.hex}.der": device.slot})
    first, second = sessions(home, ring)
    assert found(first, "server-address-lost") is None
    assert found(second, "server-address-lost") is Certainty.INFERRED


def test_particles_own_device_has_lost_nothing(lab: Lab, tmp_path: Path):
    device, _, _ = sound(lab)
    (session,) = sessions(asks_particle(lab, device))
    assert found(session, "server-address-lost") is None
    assert found(session, "official-particle-cloud") is Certainty.INFERRED
    # But it may be: what to do if it belongs to another server is said, after what is likelier.
    told = [remedy.text.split(":")[0] for remedy in session.verdict.remedy]
    assert told[0] == "Particle cloud"
    assert any(text.startswith("If this device belongs to a custom server") for text in told[1:]), told


def test_seed_002_is_proven_without_a_word_of_the_log(captures: Path):
    case = captures / "seed-002"
    report = analyze_paths([str(case / "capture.pcap")], load_keys([case / "keys"]))
    assert [found(session, "server-address-lost") for session in report.captures[0].sessions] == [Certainty.PROVEN] * 2


def test_another_address_than_the_stored_one_is_the_wrong_cloud(lab: Lab, tmp_path: Path):
    device, server, key = sound(lab)
    ring = folder(tmp_path, ticket(device, server.key, key))
    lab.cloud = Host.of("198.51.100.77", "02:00:5e:00:01:01", 50)
    trace = Scene(lab, device, Server(cloud_key("other")), key.n).connect().nonce().identity().rejected().trace
    (session,) = sessions(trace, ring)
    assert found(session, "wrong-cloud") is Certainty.INFERRED
