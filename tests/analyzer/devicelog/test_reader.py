"""Reading logs: any encoding and line ending, bounded, restarts seen, secrets dropped."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from dataclasses import replace
from hashlib import sha256
from io import BytesIO, RawIOBase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.devicelog import DeviceLog, LogLimits, read_log
from analyzer.errors import InputError
from analyzer.firmware.lines import LineKind

LOGS = Path(__file__).resolve().parents[2] / "data" / "devicelogs"
#: Invented; shaped like what the virtual device prints (tcp.md S17). It is no key.
THROW_AWAY = "3082025C02010002818100" + "DEADBEEF" * 16

CASES = {
    # file: (device ids, family, boots, outcomes of the attempts)
    "seed-002.log": ((), "spark-protocol", 1, ["failed", "failed"]),
    "tcp-good-053.log": (("3a001e001147343330363635",), "lightssl", 1, ["connected"]),
    "tcp-good-063.log": (("450057001147343331353330",), "lightssl", 1, ["connected"]),
    "tcp-closed-after-identity.log": (("300047001147343332373737",), "lightssl", 1, ["failed", "failed"]),
    "tcp-refused.log": (("53001c001147343333343330",), "lightssl", 1, ["failed"] * 4),
    "tcp-bad-length.log": (("45002f001147343331373835",), "lightssl", 1, ["connected", "connected"]),
    "tcp-lost-address.log": (("2b003d001147343333393438",), "lightssl", 1, ["failed"] * 3),
    "dtls-device-key-broken.log": (("0a10aced202194944a042f01",), None, 1, ["failed"] * 8),
    "dtls-resumed-forgotten.log": (("0a10aced202194944a042f01",), None, 2, ["connected", "failed", "connected"]),
    "dtls-silent.log": (("0a10aced202194944a042f01",), None, 1, ["failed", "failed", "unfinished"]),
}


@pytest.mark.parametrize("name", CASES)
def test_genuine_logs(name):
    ids, family, boots, outcomes = CASES[name]
    log = read_log(LOGS / name)
    assert (log.device_ids, log.family, log.boots) == (ids, family, boots)
    assert [attempt.outcome for attempt in log.attempts] == outcomes
    assert {attempt.transport for attempt in log.attempts} == {"udp" if name.startswith("dtls") else "tcp"}


def test_several_devices_in_one_file_are_kept_apart():
    log = read_log(LOGS / "dtls-several-devices.log")
    assert log.device_id is None and len(log.device_ids) == 5 and log.boots == 5
    assert {attempt.device_id for attempt in log.attempts} == set(log.device_ids)


def test_an_address_that_an_unprintable_name_broke_over_two_lines():
    attempt = read_log(LOGS / "tcp-closed-after-identity.log").attempts[0]
    assert (attempt.address_type, attempt.address) == (0, "203.0.113.10")


def test_the_time_of_a_message_below_its_header_is_the_headers():
    events = read_log(LOGS / "tcp-good-053.log").events
    connected = next(event for event in events if event.text.startswith("connected to cloud"))
    assert connected.time_ms == 1165
    # What the application prints afterwards has no time of its own and is none of our business.
    assert not any("APP:" in event.text for event in events)


def test_private_keys_never_enter():
    lines = [
        f"0000001000 [hal] INFO: device key: {THROW_AWAY}~",
        "device key:",
        f"0000001000:INFO : f() (1):\ndevice key: {THROW_AWAY}",
    ]
    log = read_log(lines, name="x.log")
    shown = repr(log)
    assert "DEADBEEF" not in shown and "3082025C" not in shown
    assert [event.kind for event in log.events].count(LineKind.SECRET) >= 1
    assert "secret-in-log" in {finding.code for finding in log.findings}


@given(
    st.sampled_from(["", "  ", "0000001000 [hal] INFO: ", "> ", "x "]),
    st.sampled_from(["device key: ", "DEVICE device key:", "server key: ", ""]),
)
def test_a_key_wrapped_by_a_terminal_does_not_enter_either(prefix, label):
    text = f"{prefix}{label}{THROW_AWAY}"
    wrapped = [text[at : at + 80] for at in range(0, len(text), 80)]
    assert "DEADBEEF" * 3 not in repr(read_log(wrapped, name="x"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_encodings_and_line_endings(tmp_path, encoding, ending):
    text = (LOGS / "seed-002.log").read_text().replace("\n", ending)
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-bom" else text.encode(encoding)
    path = tmp_path / "device.log"
    path.write_bytes(data)
    assert read_log(path).attempts == read_log(LOGS / "seed-002.log").attempts


def decorated(text: str) -> str:
    return "".join(
        f"\x1b[32m[2024-01-02 03:04:05.678] {line}\x1b[0m\r\nAPP noise {line[:3]}\r\n" for line in text.splitlines()
    )


def test_terminal_decoration_and_application_output_change_nothing():
    plain = read_log(LOGS / "seed-002.log")
    fancy = read_log([decorated((LOGS / "seed-002.log").read_text())], name="fancy")
    assert [(e.time_ms, e.text, e.stage) for e in fancy.events] == [(e.time_ms, e.text, e.stage) for e in plain.events]


def test_a_line_printed_by_two_log_handlers_counts_once():
    once = (LOGS / "seed-002.log").read_text().splitlines()
    twice = [line for line in once for _ in range(2)]
    assert [e.text for e in read_log(twice).events] == [e.text for e in read_log(once).events]


def test_a_clock_that_goes_back_is_a_restart_and_49_days_are_not():
    restart = ["0000100000 INFO: Cloud: connecting", "0000001000 INFO: Cloud: connecting"]
    assert read_log(restart).boots == 2
    jitter = ["0000100000 INFO: Cloud: connecting", "0000099990 INFO: Cloud: disconnected"]
    assert read_log(jitter).boots == 1
    wrap = ["4294967000 INFO: Cloud: connecting", "0000000500 INFO: connected to cloud 1.2.3.4:5683"]
    log = read_log(wrap)
    assert log.boots == 1 and log.events[1].time_ms - log.events[0].time_ms == 500 + 296


def test_cloud_debug_tells_device_version_and_platform():
    lines = [
        "Serial monitor opened successfully:",
        "> 0000015205 [app] INFO: Starting Tests!",
        "0000015205 [app] INFO: Platform: Photon",
        "0000015205 [app] INFO: System version: 2.3.0",
        "0000015206 [app] INFO: Device ID: 290028001247373237373739",
    ]
    log = read_log(lines)
    assert (log.platform, log.version, log.device_id) == ("Photon", "2.3.0", "290028001247373237373739")


def test_limits_end_the_reading_and_say_so(tmp_path):
    path = tmp_path / "long.log"
    lines = "".join(f"{at:010d} INFO: Cloud: connecting\n" for at in range(1000))
    path.write_text(lines + "x" * 1_000_000 + "\n0000002000 INFO: Cloud connected\n")
    assert read_log(path, limits=LogLimits(lines=10)).cut
    few = read_log(path, limits=LogLimits(events=10))
    assert few.cut and len(few.events) == 10 and few.lines == 10
    whole = read_log(path)
    assert not whole.cut and whole.events[-1].text == "Cloud connected"


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_log(tmp_path / "absent.log")
    with pytest.raises(InputError):
        read_log(tmp_path)


@given(st.binary(max_size=3000))
def test_no_bytes_raise(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "device.log"
    path.write_bytes(data)
    read_log(path)


def test_time_grows_with_the_length_only():
    lines = (LOGS / "dtls-several-devices.log").read_text().splitlines()

    def needed(times: int) -> float:
        started = time.perf_counter()
        read_log(lines * times)
        return time.perf_counter() - started

    needed(1)
    assert needed(40) < 40 * max(needed(4) / 4, 0.002) * 3


# -- gzip, pipes, bounds ---------------------------------------------------------------------------------------------


def same(one: DeviceLog, other: DeviceLog) -> bool:
    return replace(one, sha256=None, bytes=0) == replace(other, sha256=None, bytes=0)


@pytest.mark.parametrize("name", ["seed-002.log", "dtls-silent.log"])
def test_a_gzipped_log_says_the_same(tmp_path, name):
    data = (LOGS / name).read_bytes()
    packed = tmp_path / name
    plain = read_log(LOGS / name)
    half = len(data) // 2
    # One member, several members (as `cat a.gz b.gz` makes), padding behind the last, another encoding.
    for content in (
        gzip.compress(data),
        gzip.compress(data[:half]) + gzip.compress(data[half:]),
        gzip.compress(data) + bytes(512),
        gzip.compress(data.decode().encode("utf-16")),
    ):
        packed.write_bytes(content)
        log = read_log(packed)
        assert same(log, plain) and log.cut is None
        assert (log.sha256, log.bytes) == (sha256(content).hexdigest(), len(content))
    assert (plain.sha256, plain.bytes) == (sha256(data).hexdigest(), len(data))


def test_an_open_file_says_the_same():
    data = (LOGS / "seed-002.log").read_bytes()
    for content in (data, gzip.compress(data)):
        log = read_log(BytesIO(content), name="seed-002.log")
        assert same(log, read_log(LOGS / "seed-002.log")) and log.sha256 == sha256(content).hexdigest()


class Dripping(RawIOBase):
    """A pipe that gives a byte at a time."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        taken, self.rest = self.rest[:1], self.rest[1:]
        buffer[: len(taken)] = taken
        return len(taken)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_may_give_single_bytes(pack):
    data = (LOGS / "seed-002.log").read_bytes()
    assert same(read_log(Dripping(pack(data)), name="seed-002.log"), read_log(LOGS / "seed-002.log"))


@pytest.mark.parametrize("kept", [1, 2, 9, 40, 200])
def test_a_gzip_file_that_is_cut_gives_what_came_before(tmp_path, kept):
    path = tmp_path / "cut.log.gz"
    noise = "".join(f"0000000001 [app] INFO: {sha256(bytes([at])).hexdigest()}\n" for at in range(99))
    path.write_bytes(gzip.compress(((LOGS / "seed-002.log").read_text() + noise).encode())[:kept])
    log = read_log(path)
    if kept >= 2:
        assert log.cut == "the gzip file ends in the middle of its compressed data"
    assert len(log.events) <= len(read_log(LOGS / "seed-002.log").events)


def test_damaged_gzip_data_ends_the_log_and_nothing_else(tmp_path):
    path = tmp_path / "bad.log.gz"
    data = (LOGS / "seed-002.log").read_bytes()
    path.write_bytes(gzip.compress(data) + b"\x1f\x8b\x08\x00" + bytes(range(200)))
    log = read_log(path)
    assert log.cut == "the gzip data is damaged" and len(log.attempts) == 2


def test_a_bomb_costs_a_bound_of_time_and_no_memory(tmp_path):
    path = tmp_path / "bomb.log.gz"
    path.write_bytes(gzip.compress(bytes(1 << 28)))  # 256 MiB of zeros, and no line end, in 256 KiB
    tracemalloc.start()
    log = read_log(path, limits=LogLimits(bytes=1 << 24))
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert log.cut is not None and "longer than the limit" in log.cut
    assert used < 4 << 20
    assert log.sha256 == sha256(path.read_bytes()).hexdigest()


def test_an_endless_input_ends_at_its_bound():
    class Endless(RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    log = read_log(Endless(), limits=LogLimits(bytes=1 << 20))
    assert log.cut is not None and log.sha256 is None and log.lines == 1


@given(st.binary(max_size=400), st.integers(0, 400))
def test_no_gzip_bytes_raise(data, damage):
    packed = bytearray(gzip.compress(data))
    packed[damage % len(packed)] ^= 0x5A
    read_log(BytesIO(bytes(packed)))
    read_log(BytesIO(b"\x1f\x8b" + data))


def test_another_programs_lines_hide_no_device_s():
    """Lines of one kind that were never a device's are not asked for ever; a device's among them still counts."""
    other = [f'10.0.0.{n % 200} - - "GET /{n} HTTP/1.1" 200 {n}' for n in range(5000)]
    device = (LOGS / "seed-002.log").read_text().splitlines()
    log = read_log([*other, *device, *other], name="x")
    assert len(log.attempts) == len(read_log(device, name="x").attempts) == 2
    assert log.lines == 10_000 + len(device)
