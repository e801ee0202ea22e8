"""What is asked of a store: states, causes, filters; on sessions whose story is known."""

from __future__ import annotations

import csv
import io
import json

import pytest

from analyzer.fleet.answer import NOTHING_ASKED, Answer, FindingRow, SessionRow, family_of, network_of
from analyzer.fleet.causes import cause_of
from analyzer.fleet.questions import Filter, State, overview, sessions
from analyzer.fleet.store import Store
from analyzer.keys import KeyRing
from analyzer.pipeline import Options
from analyzer.reports.fleet.table import format_csv
from analyzer.reports.fleet.text import cluster_text, format_text, state_text
from analyzer.reports.writing import Style


def session(number, device, day, verdict, **more) -> SessionRow:
    values = {
        "number": number, "device": device, "device_id": device, "id_source": "identity", "device_address": "10.1.2.3",
        "network": "10.1.2.0/24", "transport": "tcp", "protocol": "lightssl", "cloud_address": "203.0.113.10",
        "cloud_port": 5683, "cloud_host": None, "stored_server": None, "start_time": f"2026-11-{day:02}T08:00:00.000000Z",
        "duration_s": 1.0, "verdict": verdict, "certainty": "proven", "stage": "identity",
        "summary": f"{device}.der is another key", "history": "nI", "ended_by": "cloud", "ended_how": "fin", "family": None,
    }  # fmt: skip
    return SessionRow(**{**values, **more})


def device(number: int) -> str:
    return f"{number:024x}"


@pytest.fixture
def store():
    """Four devices: never in, lost on the 5th, recovered on the 6th, well; and one whose captures end too early."""
    rows = [
        session(1, device(1), 1, "device-key-mismatch"),
        session(2, device(1), 2, "device-key-mismatch"),
        session(3, device(2), 3, "healthy"),
        session(4, device(2), 5, "server-key-mismatch", device_address="10.9.9.9", network="10.9.9.0/24"),
        session(5, device(2), 7, "server-key-mismatch"),
        session(6, device(3), 2, "connect-refused", cloud_address="203.0.113.99"),
        session(7, device(3), 6, "healthy"),
        session(8, device(4), 6, "healthy", certainty="inferred"),
        session(9, device(5), 6, "capture-incomplete", certainty="undetermined"),
        session(10, device(1), 3, "identity-rejected", cloud_host="device.spark.io", stored_server="203.0.113.10"),
        session(11, device(2), 8, "capture-incomplete", certainty="undetermined"),
    ]
    finding = FindingRow(
        10, "server-address-lost", "proven", f"asks for device.spark.io although {device(1)}.server.pub.der says ..."
    )
    with Store(None) as opened:
        opened.begin(KeyRing(), Options())
        opened.add(
            Answer(
                "/c/a.pcap",
                "a" * 64,
                "ok",
                None,
                "pcap",
                10,
                100,
                None,
                None,
                b"",
                tuple(rows),
                (finding,),
                uses=NOTHING_ASKED,
            )
        )
        opened.add(
            Answer("/c/b.pcap", "b" * 64, "failed", "no capture", None, 0, 0, None, None, b"", uses=NOTHING_ASKED)
        )
        opened.flush()
        yield opened


def test_states_and_since_when(store):
    found = {row.device: (row.state, row.since[:10]) for row in overview(store, Filter()).devices}
    assert found == {
        device(1): (State.NEVER, "2026-11-01"),
        device(2): (State.LOST, "2026-11-05"),
        device(3): (State.RECOVERED, "2026-11-06"),
        device(4): (State.WELL, "2026-11-06"),
        device(5): (State.UNCLEAR, "2026-11-06"),
    }


def test_counts_days_and_splits(store):
    view = overview(store, Filter())
    assert (view.captures, view.captures_failed, view.sessions) == (2, 1, 11)
    assert dict(view.verdicts)["server-key-mismatch"] == 2
    assert view.first_bad_day == "2026-11-01"
    assert ("2026-11-06", 3, 0) in view.days
    assert ("203.0.113.99", 1, 1) in view.by_cloud
    assert ("10.9.9.0/24", 1, 1) in view.by_network


def test_one_cause_of_many_devices_is_one_cluster():
    with Store(None) as store:
        store.begin(KeyRing(), Options())
        rows = [
            session(
                number,
                device(number),
                1,
                "identity-rejected",
                cloud_host="device.spark.io",
                stored_server="203.0.113.10",
            )
            for number in range(1, 42)
        ]
        findings = [
            FindingRow(number, "server-address-lost", "proven", f"{device(number)}.server.pub.der says so")
            for number in range(1, 42)
        ]
        store.add(Answer("/a", "a" * 64, "ok", None, "pcap", 1, 1, None, None, b"", tuple(rows), tuple(findings)))
        store.flush()
        clusters = {cluster.code: cluster for cluster in overview(store, Filter()).clusters}
    lost = clusters["server-address-lost"]
    assert cluster_text(lost) == "41 devices ask for device.spark.io although their stored server is 203.0.113.10"
    assert lost.networks == (("10.1.2.0/24", 41),)
    assert len(clusters["identity-rejected"].devices) == 41, "one sentence for all, whatever their files are called"


@pytest.mark.parametrize(
    ("only", "numbers"),
    [
        (Filter(device=device(2)), {3, 4, 5, 11}),
        (Filter(device="10.9.9.9"), {4}),
        (Filter(verdict="healthy"), {3, 7, 8}),
        (Filter(certainty="undetermined"), {9, 11}),
        (Filter(since="2026-11-07"), {5, 11}),
        (Filter(until="2026-11-02"), {1}),
        (Filter(network="10.9.9.0/24"), {4}),
        (Filter(cloud="203.0.113.99"), {6}),
        (Filter(cloud="device.spark.io"), {10}),
        (Filter(verdict="healthy", since="2026-11-04", certainty="proven"), {7}),
        (Filter(device="'; DROP TABLE sessions; --"), set()),
    ],
)
def test_filters(store, only, numbers):
    assert {row.number for _, row in sessions(store, only)} == numbers


def test_the_text_says_the_states(store):
    text = "".join(format_text(overview(store, Filter()), Style()))
    assert "2 captures, 11 sessions, 5 devices, 1 not readable" in text
    assert "lost at 2026-11-05" in text
    assert "/c/b.pcap: no capture" in text
    one = "".join(format_text(overview(store, Filter(device=device(2))), Style()))
    assert "Timeline of" in one
    assert one.count("server-key-mismatch (proven)  /c/a.pcap") == 2


def test_csv_is_one_line_per_session_and_no_formula(store):
    store.db.execute("UPDATE sessions SET cloud_host = '=HYPERLINK(1)' WHERE number = 1")
    rows = list(csv.DictReader(io.StringIO("".join(format_csv(store, Filter())))))
    assert len(rows) == 11
    assert rows[0]["cloud_host"] == "'=HYPERLINK(1)"


def test_parquet_reads_back(store, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    from analyzer.reports.fleet.table import write_parquet

    write_parquet(store, Filter(), tmp_path / "f.parquet")
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.num_rows == 11
    assert table.column("verdict").to_pylist()[3] == "server-key-mismatch"
    assert table.column("start").to_pylist()[0].isoformat() == "2026-11-01T08:00:00+00:00"


def test_what_a_cause_leaves_out():
    row = session(1, device(1), 1, "device-unknown")
    assert cause_of(row, "no key for device 0102030405060708090A0B0C.") == "no key for the device."
    text = "default_key.pem opens 0102030405060708090a0b0c.pub.pem (SHA256:0123456789abcdef) after 0.25 s, 256 bytes"
    assert cause_of(row, text) == "default_key.pem opens its key file after 0.25 s, 256 bytes"
    assert cause_of(row, "again from 10.1.2.77, at 203.0.113.10") == "again from another address, at 203.0.113.10"
    near = session(1, device(1), 1, "connect-refused", cloud_address="10.1.2.9")
    assert cause_of(near, "10.1.2.9:5683 refuses 10.1.2.3") == "10.1.2.9:5683 refuses its address"


def test_a_cause_of_one_is_told_as_it_is_and_one_of_many_with_its_measures():
    def told(*summaries: str) -> list[str]:
        with Store(None) as store:
            store.begin(KeyRing(), Options())
            rows = tuple(
                session(number, device(number), 1, "no-nonce", summary=text) for number, text in enumerate(summaries, 1)
            )
            store.add(Answer("/a", "a" * 64, "ok", None, "pcap", 1, 1, None, None, b"", rows))
            store.flush()
            return [cluster_text(item) for item in overview(store, Filter()).clusters]

    assert told(f"silence of device {device(1)} for 20 s") == [f"1 device: silence of device {device(1)} for 20 s"]
    assert told(*(f"silence of device {device(number)} for {9 + number}.5 s" for number in (1, 2, 3))) == [
        "3 devices: silence of the device for 10.5 to 12.5 s"
    ]
    hostile = f"“\0 s” from {device(1)}.2 s, 3 s"
    assert told(hostile, hostile.replace("3 s", "4 s")) == ["2 devices: “\0 s” from its key file s, 3 to 4 s"]
    assert told("no word in 20 s", "no word in 20 s", "4 SYNs in 3 s") == [
        "2 devices: no word in 20 s",
        "1 device: 4 SYNs in 3 s",
    ]


def test_a_stored_server_that_is_where_the_device_went_is_no_contradiction():
    with Store(None) as store:
        store.begin(KeyRing(), Options())
        rows = tuple(
            session(number, device(number), 1, "healthy", cloud_host="device.spark.io", stored_server=stored)
            for number, stored in enumerate(("device.spark.io", "unset", "203.0.113.10"), 1)
        )
        findings = tuple(
            FindingRow(number, "server-address-lost", "inferred", "has no address") for number in (1, 2, 3)
        )
        store.add(Answer("/a", "a" * 64, "ok", None, "pcap", 1, 1, None, None, b"", rows, findings))
        store.flush()
        found = [cluster_text(item) for item in overview(store, Filter()).clusters]
    assert found == [
        "2 devices: has no address",
        "1 device asks for device.spark.io although its stored server is 203.0.113.10",
    ]


def test_devices_known_by_address_alone_come_in_the_order_of_their_numbers():
    with Store(None) as store:
        store.begin(KeyRing(), Options())
        names = ("10.1.2.100", "10.1.2.9", device(2), "2001:db8::9", device(1))
        rows = tuple(session(number, name, 1, "no-nonce") for number, name in enumerate(names, 1))
        store.add(Answer("/a", "a" * 64, "ok", None, "pcap", 1, 1, None, None, b"", rows))
        store.flush()
        found = [item.device for item in overview(store, Filter()).devices]
    assert found == [device(1), device(2), "10.1.2.9", "10.1.2.100", "2001:db8::9"]


def test_a_device_has_one_family_whichever_of_its_sessions_tells_it():
    with Store(None) as store:
        store.begin(KeyRing(), Options())
        rows = tuple(
            session(n, device(1), n, "no-nonce", family=name) for n, name in enumerate((None, "LightSSL", None), 1)
        )
        store.add(Answer("/a", "a" * 64, "ok", None, "pcap", 1, 1, None, None, b"", rows))
        store.flush()
        view = overview(store, Filter())
    assert view.by_family == (("LightSSL", 1, 1),)
    assert view.clusters[0].families == (("LightSSL", 1),)


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("SparkProtocol: message ids are seeded big-endian", "SparkProtocol"),
        (
            "mbedTLS 2.1.2, device-os v0.4.8-rc.2 to v0.6.4 (by its ClientHello); virtual device (gcc) (its Hello says)",
            "mbedTLS 2.1.2, device-os v0.4.8-rc.2 to v0.6.4",
        ),
        ("device-os v4.0.0 or later (record type 253)", "device-os v4.0.0 or later"),
    ],
)
def test_the_family_is_a_name_and_not_how_it_is_known(told, name):
    assert family_of(told) == name


def test_an_id_guessed_from_the_key_folder_does_not_make_one_device_of_several():
    with Store(None) as store:
        store.begin(KeyRing(), Options())
        told = (
            (1, "10.1.2.3", "only-device-in-keys"),
            (2, "10.1.2.4", "only-device-in-keys"),
            (3, "10.1.2.3", "identity"),
        )
        rows = tuple(
            session(number, device(1), number, "no-nonce", device_address=address, id_source=source)
            for number, address, source in told
        )
        store.add(Answer("/a", "a" * 64, "ok", None, "pcap", 1, 1, None, None, b"", rows))
        store.flush()
        everyone = [(item.device, item.sessions) for item in overview(store, Filter()).devices]
        one = [item.device for item in overview(store, Filter(until="2026-11-02")).devices]
    assert everyone == [(device(1), 1), ("10.1.2.3", 1), ("10.1.2.4", 1)]
    assert one == [device(1)], "one address: the guess may well be right"


def test_a_filter_counts_only_the_captures_it_leaves(store):
    view = overview(store, Filter(verdict="connect-refused"))
    assert (view.captures, view.captures_failed, view.sessions) == (1, 0, 1)
    assert overview(store, Filter(verdict="record-corrupt")).captures == 0


@pytest.mark.parametrize(
    ("address", "network"), [("10.1.2.3", "10.1.2.0/24"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("junk", "junk")]
)
def test_networks(address, network):
    assert network_of(address) == network


def test_a_store_that_is_not_there_is_exit_3_and_a_word_that_is_no_verdict_exit_2(analyze, tmp_path):
    assert analyze("fleet", tmp_path / "no.sqlite").returncode == 3
    with Store(tmp_path / "f.sqlite"):
        pass
    assert analyze("fleet", tmp_path / "f.sqlite", "--verdict", "nonsense").returncode == 2
    assert json.loads(analyze("fleet", tmp_path / "f.sqlite", "--format", "json").stdout)["captures"] == []


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_text_keeps_to_the_width(store, width):
    lines = "".join(format_text(overview(store, Filter()), Style(width=width))).splitlines()
    assert [line for line in lines if len(line) > width] == []
    assert any("device-key-mismatch (proven)" in line for line in lines)


def test_state_text_has_the_day(store):
    lost = next(row for row in overview(store, Filter()).devices if row.state is State.LOST)
    assert state_text(lost) == "lost at 2026-11-05"
