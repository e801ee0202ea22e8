"""One pseudonym for each thing, the same under the same salt, of the same form."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from analyzer.exports.redaction.pseudonyms import Pseudonyms
from dissectors.dtls import crypto

ONE, SAME, OTHER = Pseudonyms(b"salt"), Pseudonyms(b"salt"), Pseudonyms(b"pepper")


@given(thing=st.binary(min_size=6, max_size=6))
def test_macs(thing: bytes) -> None:
    mac = ONE.mac(thing)
    assert mac == SAME.mac(thing)
    assert len(mac) == 6
    if thing not in (b"\xff" * 6, bytes(6)):
        assert mac[0] & 2
        assert mac[0] & 1 == thing[0] & 1
    else:
        assert mac == thing


@given(thing=st.binary(min_size=12, max_size=12))
def test_device_ids(thing: bytes) -> None:
    assert ONE.device_id(thing) == SAME.device_id(thing) != OTHER.device_id(thing)
    assert len(ONE.device_id(thing)) == 12


@given(label=st.text("abcXYZ019-", min_size=1, max_size=63))
def test_labels(label: str) -> None:
    out = ONE.label(label.encode())
    assert len(out) == len(label)
    assert out.isalpha()
    assert out == SAME.label(label.upper().encode())


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 100])
def test_derived_bytes_have_the_length_and_depend_on_everything(length: int) -> None:
    out = ONE.derived("kind", b"thing", length)
    assert len(out) == length
    if length > 8:
        assert len({out, ONE.derived("other", b"thing", length), ONE.derived("kind", b"thin", length)}) == 3
        assert out == ONE.derived("kind", b"thing", length + 5)[:length]


def test_a_key_becomes_another_key_on_the_curve_and_a_broken_one_stays_broken() -> None:
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    spki = crypto.spki_of(b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big"))
    other = ONE.spki(spki)
    assert other != spki
    assert other == SAME.spki(spki)
    assert crypto.is_on_curve(other)
    broken = spki[:-1] + bytes((spki[-1] ^ 1,))
    assert not crypto.is_on_curve(broken)
    assert not crypto.is_on_curve(ONE.spki(broken))
    assert len(ONE.spki(b"\x30\x10")) == 2


def test_ports_are_a_permutation_that_leaves_services_alone() -> None:
    known = frozenset({5683, 5684})
    ports = [ONE.port(port, known) for port in range(1 << 16)]
    assert sorted(ports) == list(range(1 << 16))
    assert ports[:1024] == list(range(1024))
    assert ports[5683] == 5683
    assert sum(a == b for a, b in enumerate(ports[1024:], 1024)) < 20


def test_no_salt_is_refused() -> None:
    with pytest.raises(ValueError, match="hides nothing"):
        Pseudonyms(b"")
