"""What `analyze annotate` adds on request: the secrets and plaintexts of these sessions, as Wireshark itself finds them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.exports.extras import key_log, plaintexts
from analyzer.keys import load_keys
from analyzer.pipeline import examined

ROOT = Path(__file__).resolve().parents[3]
CAPTURES = ROOT / "captures"
DTLS, TCP = CAPTURES / "synth-dtls-healthy-v2", CAPTURES / "synth-healthy-photon"


def shown(tshark: str, path: Path, *names: str, options: tuple[str, ...] = ()) -> list[list[str]]:
    command = [tshark, *options, "-r", str(path), "-Y", "coap", "-T", "fields"]
    for name in names:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"})
    return [line.split("\t") for line in done.stdout.splitlines()]


def annotated(output: Path, case: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "analyzer", "annotate", case / "capture.pcap", "--keys", case / "keys"]
    return subprocess.run([*command, *words, "-o", output], capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.tshark
def test_secrets_are_those_of_the_handshake(tshark: str, tmp_path: Path) -> None:
    (log,) = (DTLS / "keys").glob("*.keylog")
    output = tmp_path / "a.pcapng"
    assert annotated(output, DTLS, "--secrets").returncode == 0
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    names = ("frame.number", "coap.mid", "coap.opt.uri_path")
    expected = shown(tshark, DTLS / "capture.pcap", *names, options=("-o", f"tls.keylog_file:{log}"))
    assert expected
    assert shown(tshark, output, *names) == expected


@pytest.mark.tshark
def test_decrypted_messages_are_those_wireshark_decrypts(tshark: str, tmp_path: Path) -> None:
    (log,) = (DTLS / "keys").glob("*.keylog")
    output = tmp_path / "a.pcapng"
    names = ("frame.time_epoch", "coap.mid", "coap.type", "coap.opt.uri_path", "coap.payload")
    expected = shown(tshark, DTLS / "capture.pcap", *names, options=("-o", f"tls.keylog_file:{log}"))
    done = annotated(output, DTLS, "--decrypted")
    assert f", {len(expected)} decrypted messages added" in done.stderr
    assert shown(tshark, output, *names) == expected
    assert any(payload for *_, payload in expected), "to the end: no fault of a dissector before the payload"


@pytest.mark.tshark
def test_decrypted_messages_of_the_tcp_handshake(tshark: str, tmp_path: Path) -> None:
    """No second implementation decrypts these: the report's own rows say how many there are, tshark that they are CoAP."""
    report, cases = examined(TCP / "capture.pcap", load_keys([TCP / "keys"]))
    told = [message for session in report.sessions for message in session.messages]
    found = plaintexts(cases)
    assert [item.frame for item in found] == [message.frames[-1] for message in told]
    output = tmp_path / "a.pcapng"
    done = annotated(output, TCP, "--decrypted")
    assert f", {len(told)} decrypted messages added" in done.stderr
    rows = shown(tshark, output, "exported_pdu.orig_fno", "_ws.malformed")
    assert [row for row in rows if row[0]] == [[str(item.frame), ""] for item in found]


@pytest.mark.tshark
@pytest.mark.parametrize("case", ["dtls-01-good", "synth-dtls-healthy-v4", "dtls-11a-resumed-and-moved"])
def test_secrets_and_messages_together_show_each_message_once(tshark: str, tmp_path: Path, case: str) -> None:
    """Among them: records with a connection id, and a session without its handshake, which Wireshark cannot decrypt."""
    folder = CAPTURES / case
    report, _ = examined(folder / "capture.pcap", load_keys([folder / "keys"]))
    told = sorted(frame for session in report.sessions for message in session.messages for frame in message.frames[-1:])
    output = tmp_path / "a.pcapng"
    annotated(output, folder, "--secrets", "--decrypted")
    rows = shown(tshark, output, "frame.number", "exported_pdu.orig_fno")
    assert sorted(int(original or number) for number, original in rows) == told


def test_the_key_log_is_that_of_the_tool_that_made_the_capture() -> None:
    (log,) = (DTLS / "keys").glob("*.keylog")
    _, cases = examined(DTLS / "capture.pcap", load_keys([DTLS / "keys"]))
    (made,) = key_log([*cases, *cases])
    assert made.lower().split() == log.read_bytes().lower().split()[-3:]


def test_without_keys_there_is_nothing_to_add(tmp_path: Path) -> None:
    for case in (DTLS, TCP):
        _, cases = examined(case / "capture.pcap", load_keys([]))
        assert key_log(cases) == []
        assert plaintexts(cases) == []
