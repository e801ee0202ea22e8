"""Handshake messages: those of real sessions read and written back, every truncation, bytes that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dissectors.alerts import alert_name
from dissectors.dtls import messages as m
from dissectors.dtls.record import read_datagram
from dissectors.errors import Malformed, Truncated, WireError
from dissectors.wire import Cursor
from tests.dissectors.dtls.flows import datagrams
from tests.dissectors.dtls.vectors import VECTORS

READERS = {
    m.Kind.CLIENT_HELLO: m.ClientHello,
    m.Kind.SERVER_HELLO: m.ServerHello,
    m.Kind.HELLO_VERIFY_REQUEST: m.HelloVerifyRequest,
    m.Kind.CERTIFICATE: m.Certificate,
    m.Kind.SERVER_KEY_EXCHANGE: m.ServerKeyExchange,
    m.Kind.CERTIFICATE_REQUEST: m.CertificateRequest,
    m.Kind.CLIENT_KEY_EXCHANGE: m.ClientKeyExchange,
    m.Kind.CERTIFICATE_VERIFY: m.CertificateVerify,
}


def whole_messages(case: str) -> list[m.Fragment]:
    found = []
    for sent in datagrams(case):
        for record in read_datagram(sent.data).records:
            if record.epoch == 0 and record.content_type == 22:
                cursor = Cursor(record.fragment)
                while len(cursor):
                    fragment = m.Fragment.from_wire(cursor)
                    if len(fragment.data) == fragment.length:
                        found.append(fragment)
    return found


@pytest.mark.parametrize("case", ["01-good", "17-gnutls-server-certificate-refused", "30-engine-290", "30-engine-222e"])
def test_messages_of_real_sessions_are_read_and_written_back(case):
    """mbedTLS 2.1.2, 2.9.0 and 2.22.0 as clients; the same and GnuTLS as servers."""
    found = whole_messages(case)
    kinds = {m.Kind(fragment.kind) for fragment in found}
    assert {*READERS} - kinds <= {m.Kind.CERTIFICATE, m.Kind.CLIENT_KEY_EXCHANGE, m.Kind.CERTIFICATE_VERIFY}
    for fragment in found:
        assert m.Fragment.from_wire(Cursor(fragment.to_wire())) == fragment
        reader = READERS.get(m.Kind(fragment.kind))
        if reader is not None:
            assert reader.from_wire(fragment.data).to_wire() == fragment.data


@pytest.mark.parametrize("kind", READERS)
def test_every_truncation_is_an_error_of_the_wire(kind):
    reader = READERS[kind]
    body = next(fragment.data for fragment in whole_messages("30-engine-222e") if fragment.kind == kind)
    for length in range(len(body)):
        try:
            reader.from_wire(body[:length])
        except WireError:
            continue
        # A hello may end before its extensions (RFC 5246 7.4.1.2); nothing else may end early.
        assert kind in (m.Kind.CLIENT_HELLO, m.Kind.SERVER_HELLO)
        assert reader.from_wire(body[:length]).extensions == ()
    with pytest.raises(WireError):
        reader.from_wire(body + b"\0")


@given(st.sampled_from([*READERS]), st.integers(0, 200), st.binary(min_size=1, max_size=4))
def test_damaged_messages_are_read_or_refused_and_nothing_else(kind, at, noise):
    body = bytearray(next(fragment.data for fragment in whole_messages("30-engine-222e") if fragment.kind == kind))
    body[at : at + len(noise)] = noise
    try:
        message = READERS[kind].from_wire(bytes(body))
    except WireError:
        return
    assert READERS[kind].from_wire(message.to_wire()) == message


def test_the_certificate_is_a_bare_key_or_a_chain():
    spki = VECTORS[0].server_spki
    bare = m.Certificate.from_wire(b"\0\0\x5b" + spki)
    assert (bare.public_key, bare.chain) == (spki, ())
    chain = m.Certificate(chain=(b"\x30\x82first", b"\x30\x82second"))
    assert m.Certificate.from_wire(chain.to_wire()) == chain
    assert m.Certificate.from_wire(b"\0\0\0") == m.Certificate()


def test_the_key_exchange_signs_its_first_69_bytes():
    for vector in VECTORS:
        exchange = m.ServerKeyExchange.from_wire(vector.key_exchange)
        assert (exchange.group, exchange.parameters, exchange.signed.algorithm) == (
            23,
            vector.key_exchange[:69],
            0x0403,
        )


def test_an_explicit_curve_is_malformed():
    with pytest.raises(Malformed):
        m.ServerKeyExchange.from_wire(b"\1" + VECTORS[0].key_exchange[1:])


def test_connection_ids_of_the_draft_and_of_the_rfc():
    def hello(kind: int, data: bytes) -> m.ServerHello:
        return m.ServerHello(bytes(32), extensions=(m.Extension(kind, data),))

    assert hello(254, b"\x08" + bytes(range(8))).connection_id == bytes(range(8))
    assert hello(54, b"\x02ab").connection_id == b"ab"
    assert hello(254, b"\x00").connection_id == b""
    assert hello(254, b"\x09" + bytes(8)).connection_id is None
    assert hello(254, b"").connection_id is None
    assert hello(11, b"\x01\x00").connection_id is None


@pytest.mark.parametrize(
    ("length", "offset", "size", "held", "missing", "error"),
    [
        (10, 5, 6, 6, 0, Malformed),
        (10, 0, 10, 9, 0, Truncated),
        (10, 0, 10, 9, 1, None),
        (10, 2, 4, 4, 0, None),
        (0, 0, 0, 0, 0, None),
    ],
)
def test_fragments_stay_inside_their_message_and_their_record(length, offset, size, held, missing, error):
    wire = (
        b"\x0b"
        + length.to_bytes(3, "big")
        + b"\0\7"
        + offset.to_bytes(3, "big")
        + size.to_bytes(3, "big")
        + b"x" * held
    )
    if error is not None:
        with pytest.raises(error):
            m.Fragment.from_wire(Cursor(wire), missing)
        return
    fragment = m.Fragment.from_wire(Cursor(wire), missing)
    assert (fragment.message_seq, fragment.offset, len(fragment.data), fragment.missing) == (
        7,
        offset,
        held,
        size - held,
    )


def test_alerts_have_their_names():
    assert [alert_name(code) for code in (0, 40, 42, 51, 70, 213)] == [
        "close_notify",
        "handshake_failure",
        "bad_certificate",
        "decrypt_error",
        "protocol_version",
        "alert 213",
    ]


def test_finished_has_twelve_bytes():
    assert m.Finished.from_wire(bytes(12)).to_wire() == bytes(12)
    for wrong in (bytes(11), bytes(13)):
        with pytest.raises(WireError):
            m.Finished.from_wire(wrong)
