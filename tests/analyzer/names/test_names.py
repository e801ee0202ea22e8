"""Names: who asked for what, in which packets, over which transport, and the internet test beside them."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.names import NameLog, leading_to, particle_name, summary
from analyzer.packet import ACK, RST, SYN, TCP, UDP, Packet
from captures.synth import wire

DEVICE, ROUTER, GOOGLE = (ip_address(text).packed for text in ("192.168.1.50", "192.168.1.1", "8.8.8.8"))
CLOUD = ip_address("203.0.113.10").packed
SECOND = 10**9


class Wire:
    """Packets one after the other, a millisecond apart, into a `NameLog`."""

    def __init__(self) -> None:
        self.log = NameLog()
        self.number, self.now = 0, 0

    def wait(self, seconds: float) -> Wire:
        self.now += round(seconds * SECOND)
        return self

    def put(
        self,
        source: bytes,
        destination: bytes,
        ports: tuple[int, int],
        payload: bytes = b"",
        *,
        protocol: int = UDP,
        flags: int = ACK,
        sequence: int = 0,
    ) -> Wire:
        self.number += 1
        self.now += 10**6
        self.log.observe(
            Packet(
                self.number, self.now, protocol, source, destination, *ports, payload, len(payload),
                sequence=sequence, flags=flags,
            )
        )  # fmt: skip
        return self

    def ask(self, name: str, ident: int = 1, *, client: bytes = DEVICE, kind: int = 1) -> Wire:
        return self.put(client, ROUTER, (50_000 + ident, 53), wire.dns_query(ident, name, kind))

    def answer(self, name: str, *addresses: str, ident: int = 1, rcode: int = 0, client: bytes = DEVICE) -> Wire:
        packed = [ip_address(text).packed for text in addresses]
        return self.put(ROUTER, client, (53, 50_000 + ident), wire.dns_answer(ident, name, packed, rcode=rcode))


def test_a_question_and_its_answer_are_one_lookup():
    (lookup,) = Wire().ask("device.spark.io").answer("device.spark.io", "203.0.113.10").log.lookups([DEVICE])
    assert (lookup.name, lookup.addresses, lookup.frames) == ("device.spark.io", (CLOUD,), (1, 2))
    assert summary(lookup) == "device.spark.io = 203.0.113.10"


@pytest.mark.parametrize(
    ("rcode", "said"), [(3, "NXDOMAIN"), (2, "SERVFAIL"), (5, "REFUSED"), (0, "no address (NOERROR)")]
)
def test_a_refusal_is_an_answer_without_address(rcode: int, said: str):
    (lookup,) = Wire().ask("device.spark.io").answer("device.spark.io", rcode=rcode).log.lookups([DEVICE])
    assert lookup.failed and summary(lookup) == f"device.spark.io: {said}"


@given(st.integers(0, 10 * 10**6))
def test_a_packet_seen_on_both_sides_of_a_gateway_is_one_try(begin: int):
    both = Wire()
    both.now = begin  # whatever the clock shows
    (lookup,) = both.ask("a.example").ask("a.example").log.lookups([DEVICE])
    assert lookup.tries == 1


def test_questions_without_answer_are_tries_until_they_are_far_apart():
    found = Wire().ask("a.example").wait(2).ask("a.example", 2).wait(60).ask("a.example", 3).log.lookups([DEVICE])
    assert [(lookup.tries, lookup.rcode) for lookup in found] == [(2, None), (1, None)]
    assert summary(found[0]) == "a.example: no answer, asked 2 times"


def test_a_and_aaaa_are_kept_apart():
    play = Wire().ask("a.example", 1).ask("a.example", 2, kind=28)
    play.answer("a.example", "203.0.113.10", ident=1)
    assert [(lookup.kind, lookup.failed) for lookup in play.log.lookups([DEVICE])] == [("A", False), ("AAAA", True)]


def test_others_lookups_count_only_for_names_of_a_cloud():
    play = Wire()
    for name in ("example.com", "device.spark.io", "my.cloud.example", "pool.ntp.org"):
        play.ask(name, client=ROUTER)
    names = [lookup.name for lookup in play.log.lookups([DEVICE], ["my.cloud.example"])]
    assert names == ["device.spark.io", "my.cloud.example", "pool.ntp.org"]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, (1 << 32) - 1), st.randoms())
def test_dns_over_tcp_in_any_segments_in_any_order(cuts: list[int], start: int, rng: Random):
    question = wire.dns_query(7, "device.spark.io")
    stream = len(question).to_bytes(2, "big") + question
    pieces, at = [], 0
    while at < len(stream):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append((at, stream[at : at + size]))
        at += size
    pieces.append(pieces[0])  # sent again
    first, *rest = pieces
    rng.shuffle(rest)
    play = Wire()
    for offset, data in (first, *rest):
        play.put(DEVICE, ROUTER, (50_001, 53), data, protocol=TCP, sequence=(start + offset) % (1 << 32))
    (lookup,) = play.log.lookups([DEVICE])
    assert lookup.name == "device.spark.io" and lookup.tries == 1


def test_dns_over_tcp_with_a_hole_is_no_message():
    question = wire.dns_query(7, "device.spark.io")
    stream = len(question).to_bytes(2, "big") + question
    play = Wire().put(DEVICE, ROUTER, (50_001, 53), stream[:10], protocol=TCP, sequence=100)
    play.put(DEVICE, ROUTER, (50_001, 53), stream[12:], protocol=TCP, sequence=112)
    assert play.log.lookups([DEVICE]) == []


def test_two_messages_on_one_tcp_connection():
    stream = b""
    for ident, name in ((1, "device.spark.io"), (2, "udp.particle.io")):
        question = wire.dns_query(ident, name)
        stream += len(question).to_bytes(2, "big") + question
    play = Wire().put(DEVICE, ROUTER, (50_001, 53), stream[:33], protocol=TCP, sequence=1)
    play.put(DEVICE, ROUTER, (50_001, 53), stream[33:], protocol=TCP, sequence=34)
    assert [lookup.name for lookup in play.log.lookups([DEVICE])] == ["device.spark.io", "udp.particle.io"]


@given(st.lists(st.tuples(st.binary(max_size=80), st.booleans(), st.integers(0, 5)), max_size=20))
def test_any_bytes_are_data(packets: list[tuple[bytes, bool, int]]):
    play = Wire()
    for payload, over_tcp, port in packets:
        play.put(DEVICE, ROUTER, (50_000 + port, 53), payload, protocol=TCP if over_tcp else UDP, sequence=port)
        play.put(ROUTER, DEVICE, (123, 50_000), payload)
    play.log.lookups([DEVICE])
    play.log.probes()


def test_a_lookup_leads_to_the_session_that_starts_soon_after():
    play = Wire().ask("device.spark.io").answer("device.spark.io", "203.0.113.10")
    found = play.log.lookups([DEVICE])
    assert leading_to(found, DEVICE, CLOUD, play.now + SECOND) is found[0]
    assert leading_to(found, DEVICE, CLOUD, play.now + 500 * SECOND) is None
    assert leading_to(found, ROUTER, CLOUD, play.now + SECOND) is None


def test_what_particles_names_tell():
    told = particle_name("300047001147343332373737.v2.UDP.particle.io.")
    assert told is not None and (told.device_id, told.major) == ("300047001147343332373737", 2)
    assert particle_name("device.spark.io") is not None
    assert particle_name("api.particle.io") is None and particle_name("evil-device.spark.io.example") is None


# -- the internet test -----------------------------------------------------------------------------------------------


def probe(*flags: int, data: bytes = b"") -> Wire:
    play = Wire().put(DEVICE, GOOGLE, (50_000, 53), protocol=TCP, flags=SYN)
    for flag in flags:
        play.put(GOOGLE, DEVICE, (53, 50_000), protocol=TCP, flags=flag)
    if data:
        play.put(DEVICE, GOOGLE, (50_000, 53), data, protocol=TCP)
    return play


@pytest.mark.parametrize(("flags", "answered"), [((SYN | ACK,), True), ((RST | ACK,), False), ((), None)])
def test_the_internet_test_and_its_outcome(flags: tuple[int, ...], answered: bool | None):
    (found,) = probe(*flags).log.probes()
    assert (found.kind, found.client, found.answered) == ("tcp", DEVICE, answered)


def test_a_lookup_over_tcp_at_8_8_8_8_is_no_test():
    assert probe(SYN | ACK, data=b"\0\x1dquestion").log.probes() == []


def test_syns_sent_again_are_one_test():
    play = probe().wait(1).put(DEVICE, GOOGLE, (50_000, 53), protocol=TCP, flags=SYN)
    (found,) = play.log.probes()
    assert found.frames == (1, 2)


def test_a_question_for_the_time_is_the_test_of_later_firmware():
    play = (
        Wire()
        .put(DEVICE, CLOUD, (50_000, 123), b"\x23" + bytes(47))
        .put(CLOUD, DEVICE, (123, 50_000), b"\x24" + bytes(47))
    )
    (found,) = play.log.probes()
    assert (found.kind, found.answered, found.frames) == ("ntp", True, (1, 2))
