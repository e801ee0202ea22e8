"""Families, platforms and names."""

from __future__ import annotations

import pytest

from analyzer.explain import explain
from analyzer.firmware.families import (
    families,
    families_named,
    known_host,
)
from dissectors.dtls.profile import GENERATIONS

ID = "0a10aced202194944a042f01"


@pytest.mark.parametrize(
    ("name", "device", "major", "particle"),
    [
        ("device.spark.io", None, None, True),
        ("Device.Spark.IO.", None, None, True),
        ("device.tcp.particle.io", None, None, True),
        ("udp.particle.io", None, None, True),
        (f"{ID}.udp.particle.io", ID, None, True),
        (f"{ID}.v3.udp.particle.io", ID, 3, True),
        (f"{ID}.v1.udp-mesh.particle.io", ID, 1, True),
        ("pool.ntp.org", None, None, False),
    ],
)
def test_a_known_name_tells_device_and_major(name, device, major, particle):
    host = known_host(name)
    assert (host.device, host.major, host.particle) == (device, major, particle)


@pytest.mark.parametrize(
    "name", ["", "device.mycloud.example", "device.spark.io.evil.example", "xdevice.spark.io", "a" * 5000]
)
def test_other_names_are_not_particles(name):
    assert known_host(name) is None


def test_what_the_dissectors_tell_apart_has_a_family():
    for made_by in GENERATIONS:
        (name,) = families_named(f"dtls-{made_by.hello_sizes[0]}")
        assert families()[name].versions is None, "its firmware stands in dissectors/dtls/profile.py"
    for name, family in families().items():
        assert family.versions or name.startswith("dtls-")


def test_the_names_the_dissectors_use_are_understood():
    # dissectors/lightssl/cipher.py tells the seed's byte order only; dissectors/dtls by the ClientHello's size.
    assert families_named("SparkProtocol") == {"core", "spark-protocol"}
    assert families_named("LightSSL") == {"lightssl", "lightssl-v3"}
    assert families_named("dtls-112") == families_named("dtls-116") == {"dtls-116"}
    assert families_named("unheard of") == frozenset()


def test_a_family_is_explained_by_every_name_it_goes_by():
    for family in families().values():
        for name in (family.name, *family.aliases):
            found = explain(name)
            assert found is not None
            assert f"firmware family {family.name}" in {meaning.title for meaning in found.meanings}
    (meaning,) = explain("dtls-111").meanings
    assert meaning.details == (("Firmware", "v0.8.0-rc.25-mesh, v0.9.0, v1.1.0 to v3.0.x, mbedTLS 2.9.0 to 2.22.0"),)
