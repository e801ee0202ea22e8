"""Session records: the first-block IV rule against openssl, loss, damage, and the firmware family told by a counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiocoap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dissectors.events import Direction, Record, Status
from dissectors.lightssl import LightSsl
from dissectors.lightssl.cipher import (
    Problem,
    RecordCipher,
    RecordFailure,
    counter_seeds,
    firmware_family,
    is_stray_ping,
    open_records,
)
from dissectors.lightssl.messages import Credentials
from tests.lightssl_play import DOWN, UP, genuine, noise

if TYPE_CHECKING:
    from conftest import Openssl, Vector

KEY, IV = noise(16, 100), noise(16, 101)
CREDENTIALS = Credentials(KEY, IV, noise(8, 102))
GENUINE = genuine()


def made(ciphertext: bytes, index: int = 0, status: Status = Status.SEEN, *, after_gap: bool = False) -> Record:
    header = len(ciphertext).to_bytes(2, "big")
    return Record(UP, index, (index,), index, header, ciphertext, status, after_gap)


def encrypted(*plaintexts: bytes) -> list[bytes]:
    cipher = RecordCipher(KEY, IV)
    return [cipher.encrypt(plain) for plain in plaintexts]


LONG = [bytes((number,)) * size for number, size in enumerate((13, 40, 5, 100, 31, 16), 1)]


def test_the_vectors_records(vector: Vector) -> None:
    """Both directions interleaved: each has its own IV, and one record is longer than a block."""
    ciphers = {side: RecordCipher(vector["aes_key"], vector["iv"]) for side in "DS"}
    again = {side: RecordCipher(vector["aes_key"], vector["iv"]) for side in "DS"}
    for side, plain, wire in vector.records:
        assert ciphers[side].decrypt(wire[2:]).data == plain
        assert again[side].encrypt(plain) == wire[2:]


def test_openssl_agrees_on_the_first_block_rule(openssl: Openssl) -> None:
    iv = IV
    for plain, ciphertext in zip(LONG, encrypted(*LONG), strict=True):
        found = openssl("enc", "-d", "-aes-128-cbc", "-K", KEY.hex(), "-iv", iv.hex(), data=ciphertext)
        assert found == plain
        iv = ciphertext[:16]


@pytest.mark.parametrize("name", [n for n, s in GENUINE.items() if s.credentials and not n.startswith(("14f", "20a"))])
def test_genuine_sessions_decrypt_and_parse(name: str) -> None:
    """Credentials as the server logged them; every plaintext is a message for aiocoap too."""
    session = GENUINE[name]
    assert session.credentials is not None
    told = session.play(LightSsl())
    opened = list(open_records(Credentials.from_wire(session.credentials), told.records))
    assert opened
    for item in opened:
        assert item.whole is not item.record.after_gap
        if item.whole:
            assert item.data is not None
            aiocoap.Message.decode(item.data)


def test_a_genuine_flipped_length_costs_nothing_but_itself() -> None:
    session = GENUINE["14f_corrupt_length_prefix"]
    assert session.credentials is not None
    told = session.play(LightSsl())
    opened = list(open_records(Credentials.from_wire(session.credentials), told.records))
    assert [item.problem for item in opened].count(Problem.LENGTH) == 1
    broken = next(item for item in opened if item.problem is Problem.LENGTH)
    assert broken.record.direction is DOWN
    assert broken.data is not None
    assert aiocoap.Message.decode(broken.data).code.is_successful() or broken.data[1] == 0
    assert all(item.whole for item in opened if item is not broken)


def test_genuine_cut_packets_give_what_is_there() -> None:
    session = GENUINE["20a_snaplen96_good"]
    assert session.credentials is not None
    told = session.play(LightSsl())
    opened = list(open_records(Credentials.from_wire(session.credentials), told.records))
    cut = [item for item in opened if item.problem is Problem.CUT]
    assert cut
    assert sum(item.whole for item in opened) >= 9
    texts = [item.data for item in cut if item.data]
    assert any(b"spark/ha" in text for text in texts)


# Loss


@pytest.mark.parametrize("lost", range(6))
def test_a_lost_record_costs_the_first_block_of_the_next(lost: int) -> None:
    records = [made(c, i) for i, c in enumerate(encrypted(*LONG))]
    kept = [made(r.fragment, r.index, after_gap=r.index == lost + 1) for r in records if r.index != lost]
    if lost == 0:
        kept[0] = made(kept[0].fragment, 1, after_gap=True)
    for item in open_records(CREDENTIALS, kept):
        plain = LONG[item.record.index]
        if item.record.index == lost + 1:
            assert (item.unknown, item.whole) == (16, False)
            assert item.data == plain[16:]
        else:
            assert item.data == plain
            assert item.whole


def test_a_lost_iv_hides_a_one_block_record_altogether() -> None:
    cipher = RecordCipher(KEY, None)
    assert not cipher.in_step
    opened = cipher.decrypt(encrypted(b"hello")[0])
    assert (opened.data, opened.unknown) == (b"", 16)
    assert cipher.in_step


@settings(deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=80))
def test_round_trip(first: bytes, second: bytes) -> None:
    one, two = encrypted(first, second)
    cipher = RecordCipher(KEY, IV)
    assert (cipher.decrypt(one).data, cipher.decrypt(two).data) == (first, second)
    late = RecordCipher(KEY, None)
    late.decrypt(one)
    assert late.decrypt(two).data == second


@pytest.mark.parametrize("there", range(0, 112, 7))
def test_the_beginning_of_a_record_opens(there: int) -> None:
    _, _, _, ciphertext, after, _ = encrypted(*LONG)
    cipher = RecordCipher(KEY, encrypted(*LONG[:3])[2][:16])
    opened = cipher.decrypt_head(ciphertext[:there])
    assert opened.data == LONG[3][: there - there % 16]
    assert cipher.in_step is (there >= 16)
    if cipher.in_step:
        assert cipher.decrypt(after).data == LONG[4]


# Damage


def test_every_flipped_byte_shows_or_stays_in_its_record() -> None:
    """CBC: a flip garbles its block; the next record is harmed only through this one's first block."""
    good = encrypted(*LONG)
    for at in range(len(good[3])):
        broken = bytearray(good[3])
        broken[at] ^= 0x40
        records = [made(bytes(broken) if i == 3 else c, i) for i, c in enumerate(good)]
        opened = list(open_records(CREDENTIALS, records))
        assert [item.data for item in opened[:3]] == LONG[:3]
        assert opened[3].data != LONG[3]
        assert opened[5].data == LONG[5]
        if at >= 16:
            assert opened[4].data == LONG[4]


def test_a_padding_failure_is_typed_and_the_next_record_is_in_step() -> None:
    one, two = encrypted(b"a" * 20, b"b")
    cipher = RecordCipher(KEY, IV)
    with pytest.raises(RecordFailure) as failure:
        cipher.decrypt(one[:-1] + bytes((one[-1] ^ 0xFF,)))
    assert failure.value.reason == "padding"
    assert cipher.decrypt(two).data == b"b"


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(RecordFailure) as failure:
        RecordCipher(KEY, IV).decrypt(bytes(size))
    assert failure.value.reason == "size"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(Direction), st.binary(max_size=70), st.sampled_from(Status), st.booleans()),
        max_size=10,
    )
)
def test_any_records_give_results(entries: list[tuple[Direction, bytes, Status, bool]]) -> None:
    records = [Record(d, i, (), 0, f[:2], f[2:], status, gap) for i, (d, f, status, gap) in enumerate(entries)]
    opened = list(open_records(CREDENTIALS, records))
    assert [item.record for item in opened] == records
    for item in opened:
        if item.whole:
            assert item.record.status is Status.SEEN
            assert len(item.data or b"") < len(item.record.fragment)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64))
def test_padding_is_pkcs7_and_nothing_else(tail: bytes) -> None:
    """An independent reading of RFC 5652 section 6.3 over blocks encrypted without padding."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    block = tail.rjust(16 * ((len(tail) + 15) // 16) or 16, b"\x55")
    encryptor = Cipher(algorithms.AES128(KEY), modes.CBC(IV)).encryptor()
    ciphertext = encryptor.update(block) + encryptor.finalize()
    count = block[-1]
    if 1 <= count <= 16 and all(byte == count for byte in block[-count:]):
        assert RecordCipher(KEY, IV).decrypt(ciphertext).data == block[:-count]
    else:
        with pytest.raises(RecordFailure):
            RecordCipher(KEY, IV).decrypt(ciphertext)


def test_encrypting_out_of_step_is_refused() -> None:
    with pytest.raises(ValueError, match="not known"):
        RecordCipher(KEY, None).encrypt(b"x")


# Counters and stray pings


def test_the_vectors_hello_is_of_the_spark_protocol_family(vector: Vector) -> None:
    hello_id = int.from_bytes(vector.records[0][1][2:4], "big")
    assert firmware_family(vector["salt"], hello_id) == "SparkProtocol"


@pytest.mark.parametrize("name", ["01c_good_sparkprotocol_fw063", "01h_good_core_style"])
def test_the_genuine_virtual_device_is_of_the_lightssl_family(name: str) -> None:
    session = GENUINE[name]
    assert session.credentials is not None
    credentials = Credentials.from_wire(session.credentials)
    hello = next(iter(open_records(credentials, session.play(LightSsl()).records)))
    assert hello.data is not None
    assert firmware_family(credentials.salt, int.from_bytes(hello.data[2:4], "big")) == "LightSSL"


@pytest.mark.parametrize(
    ("salt", "hello_id", "family"),
    [
        ("1234", 0x1235, "SparkProtocol"),
        ("1234", 0x3413, "LightSSL"),
        ("ffff", 0x0000, None),
        ("1212", 0x1213, None),
        ("feff", 0xFF00, "SparkProtocol"),
        ("1234", 0x1234, None),
    ],
)
def test_families(salt: str, hello_id: int, family: str | None) -> None:
    assert firmware_family(bytes.fromhex(salt) + bytes(6), hello_id) == family
    assert counter_seeds(bytes.fromhex(salt))["SparkProtocol"] == int(salt, 16)


def test_a_stray_ping_is_proved_by_openssl(openssl: Openssl) -> None:
    zeros = "0" * 32
    for plain, expected in (
        (b"\x40\x00\x12\x34", True),
        (b"\x60\x00\x12\x34", False),
        (b"\x40\x00\x12\x34\xff", False),
    ):
        ciphertext = openssl("enc", "-aes-128-cbc", "-K", zeros, "-iv", zeros, data=plain)
        assert is_stray_ping(ciphertext) is expected
    assert not is_stray_ping(noise(16))
    assert not is_stray_ping(noise(32))
    assert not is_stray_ping(b"")


def test_secrets_are_not_shown() -> None:
    item = next(open_records(CREDENTIALS, [made(encrypted(b"private matter")[0])]))
    assert "private" not in repr(item)
    assert KEY.hex() not in repr(RecordCipher(KEY, IV))


def test_a_bad_length_with_bytes_that_do_not_open_either() -> None:
    """Then nothing is known of it, and the next record lacks its first block."""
    good = encrypted(*LONG)
    records = [
        made(good[0], 0),
        made(noise(48, 3), 1, Status.MALFORMED),
        made(good[2], 2, after_gap=True),
        made(good[3], 3),
    ]
    opened = list(open_records(CREDENTIALS, records))
    assert [(item.problem, item.unknown) for item in opened] == [
        (Problem.NONE, 0),
        (Problem.LENGTH, 0),
        (Problem.NONE, 16),
        (Problem.NONE, 0),
    ]
    assert opened[1].data is None
    assert opened[3].data == LONG[3]


def test_a_bad_length_whose_bytes_are_a_message_is_mended() -> None:
    cipher = RecordCipher(KEY, IV)
    one, two = cipher.encrypt(b"\x40\x00\x00\x01"), cipher.encrypt(LONG[1])
    opened = list(open_records(CREDENTIALS, [made(one, 0, Status.MALFORMED), made(two, 1, after_gap=True)]))
    assert (opened[0].data, opened[0].problem, opened[0].whole) == (b"\x40\x00\x00\x01", Problem.LENGTH, False)
    assert (opened[1].data, opened[1].whole) == (LONG[1], True)
