"""keys.toml in its forms; a bad one is reported and stops nothing."""

from __future__ import annotations

from random import Random

import pytest

from analyzer.keys import load_keys
from analyzer.model import Role
from captures.synth.keys import RsaKey

ID = "300047001147343332373737"
KEY = RsaKey.generate(Random("manifest"), 1024)


def load(tmp_path, manifest: str, **files: bytes):
    (tmp_path / "keys.toml").write_text(manifest)
    for name, data in files.items():
        path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)
    return load_keys([tmp_path])


@pytest.mark.parametrize(
    "manifest",
    [
        f'[files]\n"a.pem" = {{ role = "cloud-copy", device = "{ID}" }}',
        f'["a.pem"]\nrole = "cloud-copy"\ndevice_id = "{ID}"',
        f'[[key]]\nfile = "a.pem"\nrole = "cloud-copy"\nid = "{ID.upper()}"',
        f'[[keys]]\nfile = "*.pem"\nrole = "cloud-copy"\ndevice = "{ID}"',
        f'[roles]\ncloud-copy = ["a.pem"]\n[files]\n"a.pem" = {{ device = "{ID}" }}',
        f'cloud-copy = "a.pem"\n[files]\n"a.pem" = {{ device = "{ID}" }}',
    ],
    ids=["table", "by name", "array", "glob", "roles", "top level"],
)
def test_every_form_states_role_and_device(tmp_path, manifest):
    ring = load(tmp_path, manifest, a_dot_pem=KEY.public_pem)
    (key,) = ring.keys
    assert (key.role, key.device_id) == (Role.CLOUD_COPY, ID)


def test_nearer_manifest_has_the_last_word(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "keys.toml").write_text('"a.pem" = "cloud-copy"')
    ring = load(
        tmp_path,
        '"inner/a.pem" = "cloud-public"\n"b.pem" = "cloud-public"',
        inner__a_dot_pem=KEY.public_pem,
        b_dot_pem=KEY.public_pem,
    )
    assert {key.file: key.role for key in ring.keys} == {"inner/a.pem": Role.CLOUD_COPY, "b.pem": Role.CLOUD_PUBLIC}


def test_manifest_against_the_content_is_reported_not_believed(tmp_path):
    ring = load(tmp_path, '"a.pem" = "device-public"', a_dot_pem=KEY.private_pem)
    (key,) = ring.keys
    assert key.role is Role.DEVICE_PRIVATE
    assert "role-contradicted" in {found.code for found in key.findings}


@pytest.mark.parametrize(
    "manifest",
    [
        "not toml at all [",
        '"a.pem" = "president"',
        "[[key]]\nrole = 'cloud-copy'",
        '"a.pem" = { device = "12" }',
        "a = " + "[" * 5000,
        "a = " + "9" * 5000,
    ],
    ids=["syntax", "role", "no file", "id", "deep", "long number"],
)
def test_bad_manifest_is_a_finding_and_stops_nothing(tmp_path, manifest):
    ring = load(tmp_path, manifest, a_dot_pem=KEY.public_pem)
    assert len(ring.keys) == 1
    (found,) = ring.findings
    assert (found.file, found.finding.code, found.finding.severity) == ("keys.toml", "manifest-unreadable", "error")
