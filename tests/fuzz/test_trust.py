"""A slice of `tests/fuzz/trust.py`: nothing is wrongly proven, nobody wrongly blamed, no repair writes over a key without cause."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random

import pytest

from tests.fuzz import wires
from tests.fuzz.frames import written
from tests.fuzz.trust import BAD, Cell, Truth, cases, joined, judged, of_matrix, perturbed, plain_cases

#: One cell of the matrix in so many, and so many perturbed captures, are enough for every day.
EVERY, PERTURBED = 120, 60
#: TCP holds with "a verdict on a key needs a refusal that the key explains"; the mark goes when that is here.
TRANSPORTS = ("tcp", "udp")


def matrix_slice(transport: str) -> Iterator[Cell]:
    for case in plain_cases():
        if case.transport == transport:
            yield from of_matrix(case, every=EVERY)


def perturbed_slice(transport: str) -> Iterator[Cell]:
    for number in range(PERTURBED):
        cell = perturbed(number)
        if cell is not None and (" tcp-" in cell.name) is (transport == "tcp"):
            yield cell


@cache
def results(transport: str) -> tuple[tuple[str, tuple[str, str, str]], ...]:
    """The name of each cell with each thing that is to be said of it."""
    cells = [*matrix_slice(transport), *perturbed_slice(transport)]
    return tuple((cell.name, row) for cell in cells for row in judged(cell))


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", sorted(BAD))
def test_none_of_a_slice_is(transport: str, kind: str) -> None:
    found = results(transport)
    assert len({name for name, _ in found}) > PERTURBED // 2
    assert [entry for entry in found if entry[1][0] == kind] == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_most_of_a_slice_is_judged_right(transport: str) -> None:
    rows = [row for _, row in results(transport)]
    assert sum(row[0] == "right" for row in rows) > 0.9 * len(rows)


#: Captures put one behind the other whose clouds are two at one address, with the folders of both or of the first.
PAIRS = (
    ("tcp-01h-good-core-style", "tcp-15c-message2-split-breaks-server"),
    ("tcp-02b-cloud-wrong-devkey-sparkprotocol", "tcp-04a-unknown-device-brewskey"),
    ("tcp-26a-blank-server-key-brewskey", "tcp-14c-corrupt-session-key-message"),
    ("tcp-13b-truncated-session-key-stall", "tcp-26a-blank-server-key-brewskey"),
    ("tcp-18a-lost-server-address", "tcp-12-syn-refused"),
    ("dtls-04a-private-key-not-matching-silent", "dtls-11c-resumed-cloud-forgot"),
    ("dtls-02c-unknown-device-key-at-hello-silent", "dtls-11e-reconnect-ping-instead-of-hello"),
    ("dtls-11c-resumed-cloud-forgot", "dtls-16b-app-record-corrupted-to-device"),
)


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("both", [True, False], ids=["both-folders", "one-folder"])
def test_what_one_file_shows_of_an_address_is_no_evidence_in_the_next(first: str, second: str, both: bool) -> None:
    cell = joined(cases()[first], cases()[second], both)
    assert cell is not None
    assert not (BAD | {"other verdict"}) & {kind for kind, _, _ in judged(cell)}


def two_devices(name: str, pcap: wires.Pcap) -> Cell:
    case = cases()["tcp-24-same-id-twice"]
    return Cell(f"{case.name}/{name}", written(pcap), case.folder, Truth(case.truth.allowed))


@pytest.mark.parametrize("seed", range(4))
def test_two_devices_of_one_id_are_told_by_the_order_where_the_clock_is_coarse(seed: int) -> None:
    pcap = wires.coarse_clock(cases()["tcp-24-same-id-twice"].pcap, Random(seed))
    said = [told for _, _, told in judged(two_devices("coarse", pcap))]
    assert any(told.startswith("session-displaced") for told in said)
    assert not any(told.startswith("server-fault") for told in said)


@pytest.mark.parametrize("frames", [289, 320, 345])
def test_a_capture_that_ends_before_the_other_device_tells_its_id_accuses_no_server(frames: int) -> None:
    pcap = cases()["tcp-24-same-id-twice"].pcap
    rows = [*judged(two_devices("early", pcap.having(pcap.frames[:frames])))]
    assert rows
    assert not BAD & {kind for kind, _, _ in rows}


def test_a_blank_key_file_of_another_ticket_is_not_what_this_device_holds() -> None:
    case, other = cases()["tcp-06a-bad-signature-brewskey"], cases()["tcp-05-ff-devkey-brewskey"]
    rows = [*judged(Cell("blank", written(case.pcap), other.folder, case.truth, tuple(other.folder)))]
    assert {told.split()[0] for _, _, told in rows} == {"session-key-unusable"}
