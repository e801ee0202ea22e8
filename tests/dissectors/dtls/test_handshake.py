"""Flows to attempts: real sessions, and the same sessions out of order, repeated, fragmented, cut, damaged and mixed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dissectors.dtls import handshake, ledger
from dissectors.dtls.attempt import DtlsAttempt
from dissectors.dtls.crypto import verifies
from dissectors.dtls.handshake import Dtls
from dissectors.dtls.messages import Fragment
from dissectors.dtls.profile import Profile
from dissectors.dtls.record import ContentType, WireRecord, read_datagram
from dissectors.events import Direction, Mark, Status
from dissectors.wire import Cursor
from tests.dissectors.dtls.flows import Datagram, attempts, datagrams, feed
from tests.dissectors.dtls.test_profile import OPENSSL
from tests.dissectors.dtls.vectors import DEVICE_ID, FORK_2_1, FORK_2_22

UP, DOWN = Direction.UP, Direction.DOWN
FULL = [
    "client-hello", "hello-verify", "server-hello", "server-key-exchange", "certificate-request", "server-hello-done",
    "device-certificate", "client-key-exchange", "certificate-verify", "device-finished", "cloud-finished", "device-hello",
    "hello-ack", "session",
]  # fmt: skip


def rows(attempt: DtlsAttempt) -> dict[str, str]:
    return {step.stage: step.status.value for step in attempt.transcript.steps}


def missing(attempt: DtlsAttempt) -> list[str]:
    return [stage for stage, status in rows(attempt).items() if status == "absent"]


def sent(direction: Direction, *data: bytes, start: int = 1) -> list[Datagram]:
    """Datagrams a second apart, from frame ``start`` on."""
    return [
        Datagram(start + n, (start + n) * 10**9, ("device", 1), direction, payload) for n, payload in enumerate(data)
    ]


def renumbered(flow: list[Datagram]) -> list[Datagram]:
    return [Datagram(n, n * 10**7, d.device, d.direction, d.data) for n, d in enumerate(flow, 1)]


# -- real sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["01-good", "10a-loss-reorder-dup-by-rule", "30-engine-290", "30-engine-222e"])
def test_a_good_session_has_every_stage(case):
    (attempt,) = attempts(case)
    assert rows(attempt) == dict.fromkeys(FULL, "seen")
    assert (attempt.kind, attempt.profile) == ("handshake", Profile.PARTICLE)
    assert verifies(attempt.device_certificate.public_key, attempt.certificate_verify.signed, attempt.flight.signed)


def test_the_history_reads_as_the_session_went():
    (attempt,) = attempts("01-good")
    assert attempt.transcript.history.startswith("CvCskqdBEYXFxfRrRr")
    (lossy,) = attempts("10a-loss-reorder-dup-by-rule")
    assert lossy.transcript.history.startswith("CTvCqstdtkttBEYXFTTTTTxf")


def test_retransmissions_are_counted_and_timed():
    (attempt,) = attempts("10a-loss-reorder-dup-by-rule")
    hellos = [repeat for repeat in attempt.repeats if repeat.stage == "client-hello"]
    assert [(repeat.mark.frames, round(repeat.after_s, 2)) for repeat in hellos] == [((2,), 3.0)]
    cloud = [repeat.stage for repeat in attempt.repeats if repeat.direction is DOWN]
    assert cloud == ["certificate-request", "server-hello", "certificate-request", "server-hello-done"]


def test_each_retry_is_an_attempt_and_what_never_came_is_absent():
    found = attempts("03-wrong-server-key-on-device")
    assert len(found) == 8
    for attempt in found:
        assert missing(attempt) == [
            "device-certificate",
            "client-key-exchange",
            "certificate-verify",
            "device-finished",
        ]
    assert [attempt.superseded_ns for attempt in found[:-1]] == [attempt.start_ns for attempt in found[1:]]
    assert found[-1].superseded_ns is None


def test_an_alert_in_the_clear_has_side_name_and_frame():
    first = attempts("02a-unknown-device-key-alert")[0]
    (alert,) = first.alerts
    assert (alert.direction, alert.level, alert.name, alert.mark.frames) == (DOWN, 2, "bad_certificate", (9,))
    assert missing(first) == ["cloud-finished"]


def test_a_resumed_session_then_a_new_handshake():
    lost, new = attempts("11c-resumed-cloud-forgot")
    assert (lost.kind, lost.device_id, lost.hello_frames) == ("resumed", "0a10aced202194944a042f01", (1, 2, 3, 4))
    assert rows(lost) == {"resumed": "seen", "session": "absent"}
    assert (new.kind, rows(new)) == ("handshake", dict.fromkeys(FULL, "seen"))
    (answered,) = attempts("11a-resumed-and-moved")
    assert rows(answered) == {"resumed": "seen", "session": "seen"}


def test_a_flight_of_an_earlier_attempt_is_not_taken_for_an_answer():
    """GnuTLS repeats its old flight into the device's second attempt: its signature does not cover the new random."""
    first, second = attempts("17-gnutls-server-certificate-refused")
    assert len(first.flights) == 1
    assert rows(first)["server-certificate"] == "seen"
    assert second.flights == ()
    assert [(stale.attempt, stale.frames) for stale in second.stale] == [(0, (10, 11, 12, 13, 14, 16, 17, 18, 19, 20))]
    assert missing(second) == ["server-hello", "server-key-exchange", "server-hello-done"]


def test_fragmented_messages_are_put_together():
    (attempt,) = attempts("23b-gnutls-fragmented-altered-device")
    assert attempt.transcript.step("server-hello").frames == (4, 5)
    assert attempt.flight.certificate.public_key is not None
    assert verifies(attempt.device_certificate.public_key, attempt.certificate_verify.signed, attempt.flight.signed)


def test_a_connection_id_is_learnt_and_records_counted():
    (attempt,) = attempts("30-engine-222e")
    assert attempt.connection_id == bytes.fromhex("c1d0010203040506")
    assert len(attempt.keep_alives) == 1
    sequences = [
        WireRecord.from_parts(r.header, r.fragment).sequence for r in attempt.transcript.records if r.direction is UP
    ]
    assert sequences == [0, 1, 2]


# -- order, repetition, fragments ----------------------------------------------------------------------------------------

#: Datagrams of the flights of 01-good, by position.
FLIGHTS = ((0, 1), (1, 2), (2, 3), (3, 7), (7, 12), (12, 14), (14, 15), (15, 16))


def again(data: bytes, shift: int) -> bytes:
    """The datagram retransmitted: same messages, new record sequence numbers."""
    return b"".join(
        replace(record, sequence=record.sequence + shift).to_wire() for record in read_datagram(data).records
    )


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_flights_out_of_order_and_repeated_give_the_same_attempt(data):
    good = datagrams("01-good")[:16]
    flow: list[Datagram] = []
    for start, end in FLIGHTS:
        flight = data.draw(st.permutations(good[start:end]))
        protected = any(record.protected for d in flight for record in read_datagram(d.data).records)
        if not protected and data.draw(st.booleans()):
            flight = [*flight, *(d._replace(data=again(d.data, 20)) for d in data.draw(st.permutations(flight)))]
        flow += flight
    (attempt,) = feed(renumbered(flow))
    (expected,) = feed(good)
    assert rows(attempt) == rows(expected)
    assert attempt.flight.signed == expected.flight.signed
    assert attempt.flight.finished == expected.flight.finished


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_fragmentation_gives_the_same_messages(data):
    good = datagrams("01-good")[:12]
    flow: list[Datagram] = []
    for datagram in good:
        pieces = []
        for record in read_datagram(datagram.data).records:
            if record.protected or record.content_type is not ContentType.HANDSHAKE:
                pieces.append(record.to_wire())
                continue
            message = Fragment.from_wire(Cursor(record.fragment))
            # A hello is known by its random, so what is before the random stays in one piece.
            first = 34 if message.kind in (1, 2) else 0
            cuts = sorted(
                data.draw(st.sets(st.integers(min(first, message.length), message.length), max_size=4))
                | {0, message.length}
            )
            for start, end in zip(cuts, cuts[1:], strict=False):
                overlap = data.draw(st.integers(0, min(start, 5)))
                piece = replace(message, offset=start - overlap, data=message.data[start - overlap : end])
                pieces.append(replace(record, fragment=piece.to_wire()).to_wire())
            if message.length == 0:
                pieces.append(record.to_wire())
        order = pieces if datagram.frame in (1, 3) else data.draw(st.permutations(pieces))
        flow += [datagram._replace(data=piece) for piece in order]
    (attempt,) = feed(renumbered(flow))
    (expected,) = feed(good)
    assert attempt.flight.signed == expected.flight.signed
    assert not attempt.flight.disputed
    assert {k: v for k, v in rows(attempt).items() if v != "seen"} == {
        k: v for k, v in rows(expected).items() if v != "seen"
    }


def test_a_lost_fragment_leaves_a_partial_stage():
    good = datagrams("23b-gnutls-fragmented-altered-device")
    (attempt,) = feed([d for d in good if d.frame != 9])
    step = attempt.transcript.step("server-key-exchange")
    assert (step.status, step.missing, step.frames) == (Status.PARTIAL, 59, (8,))
    assert attempt.flight.key_exchange is None
    assert attempt.flight.signed is None


def test_copies_that_differ_are_disputed_and_the_first_is_kept():
    good = datagrams("01-good")
    exchange = bytearray(good[4].data)
    exchange[60] ^= 1
    (attempt,) = feed(renumbered([*good[:5], good[4]._replace(data=bytes(exchange)), *good[5:]]))
    assert attempt.flight.disputed
    assert attempt.transcript.step("server-key-exchange").fields["copies_differ"] is True
    assert attempt.flight.signed == feed(good)[0].flight.signed
    assert not feed(good)[0].flight.disputed


# -- cut, lost, damaged ----------------------------------------------------------------------------------------------------


def test_pieces_that_contradict_each_other_are_disputed_before_the_message_is_whole():
    """Two overlapping fragments, the rest never came: what differs is noticed where they overlap, and only there."""

    def piece(offset: int, data: bytes) -> bytes:
        return WireRecord(
            ContentType.HANDSHAKE, 0xFEFD, 0, offset, Fragment(12, 100, 1, offset, data).to_wire()
        ).to_wire()

    hello = datagrams("01-good")[0].data
    for second, disputed in ((piece(20, b"b" * 20), True), (piece(20, b"a" * 20), False), (piece(30, b"b" * 9), False)):
        (attempt,) = feed([*sent(UP, hello), *sent(DOWN, piece(0, b"a" * 30), second, start=2)])
        assert rows(attempt)["server-key-exchange"] == "partial"
        assert attempt.flights[-1].disputed is disputed


def test_a_flow_that_stops_after_any_datagram():
    good = datagrams("01-good")
    due = {
        1: ["server-hello", "server-key-exchange", "server-hello-done"],
        2: [],
        3: ["server-hello", "server-key-exchange", "server-hello-done"],
        4: ["server-key-exchange", "server-hello-done"],
        5: ["server-hello-done"],
        6: ["server-hello-done"],
        7: ["device-certificate", "client-key-exchange", "certificate-verify", "device-finished"],
        8: ["client-key-exchange", "certificate-verify", "device-finished"],
        10: ["device-finished"],
        12: ["cloud-finished"],
        14: ["device-hello"],
        15: ["hello-ack"],
        16: [],
    }
    for length, expected in due.items():
        (attempt,) = feed(good[:length])
        assert missing(attempt) == expected, length


def test_one_direction_alone():
    good = datagrams("01-good")
    (device,) = feed([d for d in good if d.direction is UP])
    assert device.datagrams == (20, 0)
    assert missing(device) == [
        "server-hello",
        "server-key-exchange",
        "server-hello-done",
        "cloud-finished",
        "hello-ack",
    ]
    (cloud,) = feed([d for d in good if d.direction is DOWN])
    assert (cloud.profile, cloud.datagrams) == (Profile.PARTICLE, (0, 20))
    assert rows(cloud)["client-hello"] == "absent"


def test_an_answer_captured_before_its_question_is_one_attempt():
    good = datagrams("30-engine-290")
    (attempt,) = feed(renumbered([good[3], *good[:3], *good[4:]]))
    assert rows(attempt) == dict.fromkeys(FULL, "seen")


@pytest.mark.parametrize("snap", [0, 20, 54, 60, 90])
def test_packets_cut_by_the_snap_length_never_make_a_message(snap):
    machine = Dtls(hint_port=True)
    for d in datagrams("01-good"):
        machine.datagram(d.direction, d.data[:snap], Mark((d.frame,), d.time_ns), len(d.data))
    for attempt in machine.attempts():
        assert attempt.client_hello is None
        assert attempt.profile is Profile.UNKNOWN
        assert attempt.certificate_verify is None
        assert all(flight.signed is None for flight in attempt.flights)
    if snap == 54:
        (attempt,) = machine.attempts()
        assert rows(attempt)["client-hello"] == "partial"
        assert attempt.transcript.step("client-hello").missing > 0


@given(st.integers(0, 39), st.integers(0, 200), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_one_damaged_byte_never_raises_and_never_makes_a_signature_hold_that_did_not(at, offset, mask):
    flow = datagrams("01-good")
    data = bytearray(flow[at].data)
    data[offset % len(data)] ^= mask
    flow[at] = flow[at]._replace(data=bytes(data))
    for attempt in feed(flow):
        verify, certificate = attempt.certificate_verify, attempt.device_certificate
        if (
            verify is not None
            and certificate is not None
            and attempt.flight is not None
            and attempt.flight.signed is not None
        ):
            changed = attempt.flight.signed != feed(datagrams("01-good"))[0].flight.signed
            assert not (changed and verifies(certificate.public_key or b"", verify.signed, attempt.flight.signed))


_NOISE = st.lists(
    st.tuples(
        st.sampled_from([UP, DOWN]),
        st.binary(max_size=60)
        | st.builds(
            lambda kind, epoch, body: bytes((kind,)) + b"\xfe\xfd" + epoch.to_bytes(2, "big") + bytes(6) + len(body).to_bytes(2, "big") + body,
            st.sampled_from([20, 21, 22, 22, 22, 23, 25, 253, 254]),
            st.integers(0, 2),
            st.binary(min_size=1, max_size=50)
            | st.builds(
                lambda kind, total, seq, start, body: bytes((kind,)) + total.to_bytes(3, "big") + seq.to_bytes(2, "big")
                + start.to_bytes(3, "big") + len(body).to_bytes(3, "big") + body,
                st.sampled_from([0, 1, 1, 2, 2, 3, 11, 12, 13, 14, 15, 16, 20, 99]),
                st.integers(0, 90), st.integers(0, 3), st.integers(0, 60), st.binary(max_size=40)),
        ),
        st.none() | st.integers(0, 300),
    ),
    max_size=14,
)  # fmt: skip


@given(_NOISE, st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_it_raise(noise, hint):
    machine = Dtls(hint_port=hint)
    for number, (direction, data, length) in enumerate(noise, 1):
        machine.datagram(direction, data, Mark((number,), number), length)
        machine.icmp(direction, 3, 3, Mark((number,), number))
    for attempt in machine.attempts():
        assert attempt.profile in Profile
        assert attempt.transcript.protocol == "dtls"


# -- whose DTLS ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPENSSL)
def test_other_clients_are_never_devices_even_on_our_port(name):
    (attempt,) = feed(sent(UP, bytes.fromhex(OPENSSL[name])), hint_port=True)
    assert attempt.profile is Profile.OTHER


def test_protected_records_are_ours_by_marker_and_else_only_perhaps():
    assert feed(sent(UP, FORK_2_1.moved_ping[0]), hint_port=False)[0].profile is Profile.PARTICLE
    assert feed(sent(UP, FORK_2_22.moved_ping[0]), hint_port=False)[0].profile is Profile.PARTICLE
    (plain,) = feed(sent(UP, FORK_2_1.hello[0]), hint_port=True)
    assert (plain.kind, plain.profile) == ("resumed", Profile.UNKNOWN)
    assert "known port" in plain.profile_reason
    assert "known port" not in feed(sent(UP, FORK_2_1.hello[0]), hint_port=False)[0].profile_reason


def test_a_resumed_session_behind_a_failed_handshake_is_its_own_attempt():
    hello = datagrams("01-good")[0].data
    found = feed([*sent(UP, hello, hello), *sent(UP, FORK_2_1.moved_ping[0], start=5)])
    assert [attempt.kind for attempt in found] == ["handshake", "resumed"]
    assert found[1].device_id == DEVICE_ID


def test_a_session_goes_on_under_a_move_marker():
    """30-engine-290: the last record is a moved ping on the session just made."""
    (attempt,) = attempts("30-engine-290")
    assert attempt.device_id == DEVICE_ID
    assert attempt.transcript.history.endswith("RrrMP")


def test_records_of_the_old_session_stay_with_it_while_a_new_handshake_begins():
    good = datagrams("01-good")
    late = good[37]
    assert late.direction is DOWN
    new = datagrams("03-wrong-server-key-on-device")[:3]
    old, retry = feed(renumbered([*good[:37], new[0], late, *new[1:]]))
    assert len([r for r in old.transcript.records if r.direction is DOWN]) == 13
    assert retry.transcript.records == ()


def test_the_same_record_twice_is_counted_once():
    good = datagrams("01-good")
    (attempt,) = feed(renumbered([*good, good[38], good[38]]))
    assert len(attempt.transcript.records) == len(feed(good)[0].transcript.records)
    assert any("more than once" in note for note in attempt.transcript.notes)


def test_a_missing_record_shows_as_a_gap_in_its_direction():
    good = datagrams("01-good")
    (attempt,) = feed([d for d in good if d.frame != 19])
    gaps = [record.frames for record in attempt.transcript.records if record.after_gap]
    assert gaps == [(21,)]


def test_icmp_is_attached_to_the_attempt_it_answers():
    machine = Dtls()
    hello = datagrams("01-good")[0]
    machine.icmp(UP, 3, 3, Mark((1,), 0))
    machine.datagram(UP, hello.data, Mark((2,), 0))
    machine.icmp(UP, 3, 3, Mark((3,), 1))
    (attempt,) = machine.attempts()
    assert [(error.answers, error.kind, error.code, error.mark.frames) for error in attempt.icmp] == [(UP, 3, 3, (3,))]
    assert attempt.frames == (2, 3)
    assert attempt.transcript.history == "Ci"


# -- bounds ----------------------------------------------------------------------------------------------------------------


def test_attempts_are_bounded(monkeypatch):
    monkeypatch.setattr(handshake, "MAX_ATTEMPTS", 5)
    hello = datagrams("01-good")[0].data
    flow = [hello[:27] + number.to_bytes(4, "big") + hello[31:] for number in range(20)]
    found = feed(sent(UP, *flow))
    assert len(found) == 5
    assert any("not kept" in note for note in found[-1].transcript.notes)


def test_a_resumed_session_beyond_the_last_attempt_is_counted_and_not_kept(monkeypatch):
    monkeypatch.setattr(handshake, "MAX_ATTEMPTS", 1)
    hello = datagrams("01-good")[0].data
    (attempt,) = feed([*sent(UP, hello, hello), *sent(UP, FORK_2_1.moved_ping[0], start=5)])
    assert (attempt.kind, attempt.frames, attempt.transcript.records) == ("handshake", (1, 2), ())
    assert any("not kept" in note for note in attempt.transcript.notes)


@pytest.mark.parametrize("kept", [2, 5])
def test_what_is_kept_of_an_attempt_is_bounded(kept, monkeypatch):
    """Of everything a flood may consist of the first are kept; the attempt goes on to its end all the same."""
    monkeypatch.setattr(handshake, "MAX_KEPT", kept)
    monkeypatch.setattr(ledger, "MAX_KEPT", kept)
    machine, good = Dtls(hint_port=True), datagrams("01-good")
    alert = WireRecord(ContentType.ALERT, 0xFEFD, 0, 9, b"\x01\x00").to_wire()
    number = 0

    def say(direction: Direction, data: bytes) -> None:
        nonlocal number
        number += 1
        machine.datagram(direction, data, Mark((number,), number * 10**9))

    for _ in range(7):
        say(UP, good[0].data)
        say(UP, b"neither a record nor a keep-alive")
        say(UP, alert)
        say(UP, b"\0")
        number += 1
        machine.icmp(UP, 3, 3, Mark((number,), number * 10**9))
    for item in good[1:]:
        say(item.direction, item.data)
    (attempt,) = machine.attempts()
    assert len(attempt.alerts) == len(attempt.icmp) == len(attempt.keep_alives) == len(attempt.repeats) == kept
    assert len(attempt.transcript.records) == kept
    assert attempt.frames == (1, number)
    assert "more records than are kept" in attempt.transcript.notes
    assert attempt.alerts[0].mark.frames == (3,)
    assert rows(attempt)["cloud-finished"] == "seen"


def test_answers_to_one_question_are_bounded():
    """A cloud that answers the same ClientHello anew each time: the last answer stands for all that are not kept."""
    good = datagrams("01-good")
    (index,) = [n for n, d in enumerate(good) if d.direction is DOWN and d.data[13] == 2]
    hello = good[index].data
    answers = [hello[:27] + number.to_bytes(4, "big") + hello[31:] for number in range(100)]
    (attempt,) = feed([*good[:index], *sent(DOWN, *answers, start=100)])
    assert len(attempt.flights) == ledger.MAX_ANSWERS
    assert "more answers of the cloud than are kept" in attempt.transcript.notes


def test_fragments_of_one_record_are_bounded():
    """A record of nothing but empty fragments is read so far and no further."""
    pieces = [Fragment(1, 50, 0, n, b"x").to_wire() for n in range(50)]
    whole = WireRecord(ContentType.HANDSHAKE, 0xFEFD, 0, 1, b"".join(pieces)).to_wire()
    empty = Fragment(1, 50, 0, 0, b"").to_wire()
    flood = WireRecord(ContentType.HANDSHAKE, 0xFEFD, 0, 1, empty * 64 + b"".join(pieces)).to_wire()
    (read,) = feed(sent(UP, whole))
    (flooded,) = feed(sent(UP, flood))
    assert rows(read)["client-hello"] == "malformed", "put together, and no ClientHello"
    assert rows(flooded)["client-hello"] != "malformed"


def test_a_hostile_length_takes_no_memory_and_is_malformed():
    huge = Fragment(11, 2**24 - 1, 0, 0, b"x" * 100).to_wire()
    record = WireRecord(ContentType.HANDSHAKE, 0xFEFD, 0, 0, huge)
    (attempt,) = feed([*sent(UP, datagrams("01-good")[0].data), *sent(UP, record.to_wire(), start=3)])
    assert attempt.transcript.step("device-certificate").status is Status.MALFORMED


def test_messages_of_one_flight_are_bounded():
    flow = [
        WireRecord(ContentType.HANDSHAKE, 0xFEFD, 0, n, Fragment(99, 1, n, 0, b"x").to_wire()).to_wire()
        for n in range(200)
    ]
    (attempt,) = feed(sent(UP, *flow))
    assert attempt.datagrams == (200, 0)


def test_the_history_is_bounded():
    (attempt,) = feed(sent(UP, *[datagrams("01-good")[0].data] * 1000))
    assert len(attempt.transcript.history) < 300
    assert attempt.transcript.history.endswith("+")
    assert len(attempt.repeats) <= 1000
