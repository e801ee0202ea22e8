"""The PROXY protocol's header before the device's bytes: every genuine TCP session behind a balancer is what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.conversations.proxied import ProxyHeader, without_header
from analyzer.conversations.reassembly import Part
from analyzer.exports.redact import redact
from analyzer.model import Endpoint
from tests.fuzz.frames import Pcap, talks, written
from tests.fuzz.trust import Case, analyzed, plain_cases
from tests.fuzz.wires import proxied

V2 = b"\r\n\r\n\0\r\nQUIT\n"
CASES = [case for case in plain_cases() if case.transport == "tcp" and len(case.pcap.frames) < 80]


def verdicts(data: bytes, case: Case) -> list[tuple[str, str]]:
    sessions = analyzed(data, case.folder).sessions
    return [(session.verdict.code.value, session.verdict.certainty.value) for session in sessions]


def behind_balancer(case: Case, second: bool) -> Pcap | None:
    class Version:
        def random(self) -> float:
            return 0.0 if second else 1.0

    return proxied(case.pcap, Version())  # type: ignore[arg-type]


@pytest.mark.parametrize("second", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_session_behind_a_balancer_is_what_it_was(case: Case, second: bool) -> None:
    made = behind_balancer(case, second)
    if made is None:  # nobody sent anything, or no connection began in the capture
        pytest.skip("nothing to put a header before")
    assert verdicts(written(made), case) == verdicts(written(case.pcap), case)
    findings = [finding for session in analyzed(written(made), case.folder).sessions for finding in session.findings]
    named = [finding for finding in findings if finding.code == "proxy-header"]
    device = talks(case.pcap)[0].device
    assert named
    assert f"version {1 + second}" in named[0].summary
    assert ".".join(map(str, device[0])) in named[0].summary


def part(offset: int, data: bytes, frame: int, side: int = 0) -> Part:
    return Part(side, offset, data, len(data), False, None, frame, 0)


def test_a_header_ends_where_it_says_whatever_the_segments() -> None:
    header = V2 + b"\x21\x11\0\x0c" + bytes((10, 0, 0, 1, 10, 0, 0, 2)) + (40000).to_bytes(2, "big") + b"\x16\x33"
    for cut in range(1, len(header) + 4):
        whole = header + b"identity"
        parts, side, found = without_header([part(0, whole[:cut], 5), part(cut, whole[cut:], 7)])
        assert (side, found) == (0, ProxyHeader(2, 28, Endpoint("10.0.0.1", 40000), 5))
        assert b"".join(one.data or b"" for one in parts) == b"identity"
        assert [one.offset for one in parts][0] == 0


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n" + bytes(80),
        b"PROXY of something else entirely\r\n",
        V2 + b"\x31\x11\0\x0c" + bytes(12),
        V2 + b"\x21\x11\xff\xff" + bytes(300),
        V2 + b"\x21\x11\0\x0c" + bytes(11),
        bytes(40),
        b"",
    ],
)
def test_what_is_no_header_stays(data: bytes) -> None:
    parts = [part(0, data, 1)] if data else []
    assert without_header(parts) == (parts, None, None)


@pytest.mark.parametrize(
    ("data", "client"),
    [
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 4000 5683\r\n", Endpoint("2001:db8::1", 4000)),
        (b"PROXY TCP4 999.0.0.1 10.0.0.2 1 2\r\n", None),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 70000 2\r\n", None),
        (V2 + b"\x20\0\0\0", None),
        (V2 + b"\x21\x21\0\x24" + bytes(15) + b"\1" + bytes(16) + b"\0\7\0\2", Endpoint("::1", 7)),
    ],
)
def test_whom_a_header_names(data: bytes, client: Endpoint | None) -> None:
    _, side, found = without_header([part(0, b"nonce", 1, side=1), part(0, data + b"x", 2)])
    assert (side, found) == (0, ProxyHeader(1 if data.startswith(b"PROXY") else 2, len(data), client, 2))


@pytest.mark.parametrize("second", [False, True], ids=["v1", "v2"])
def test_a_redacted_capture_names_nobody(second: bool, tmp_path: Path) -> None:
    made = behind_balancer(CASES[0], second)
    assert made is not None
    capture, shared = tmp_path / "a.pcap", tmp_path / "b.pcapng"
    capture.write_bytes(written(made))
    address = talks(made)[0].device[0]
    named = address if second else ".".join(map(str, address)).encode()
    assert capture.read_bytes().count(b"QUIT" if second else b"PROXY TCP4") == 1
    redact(analyzed(capture.read_bytes(), {}), capture, shared, salt=bytes(16))
    assert named not in shared.read_bytes()
    assert verdicts(shared.read_bytes(), CASES[0])[0][0] == "healthy"
