"""A verdict from a log alone: right where the device knows, open where only the wire does, never proven."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.devicelog import judge_log, read_log
from analyzer.firmware.judgements import judgements
from analyzer.firmware.lines import known_lines
from analyzer.model import Certainty, Code

LOGS = Path(__file__).resolve().parents[2] / "data" / "devicelogs"

#: What was really wrong (the capture's own truth), and how sure a log alone may be.
TRUTH = {
    "tcp-good-063.log": (Code.HEALTHY, True),
    "tcp-good-053.log": (Code.HEALTHY, True),
    "tcp-closed-after-identity.log": (Code.DEVICE_KEY_MISMATCH, False),
    "tcp-key-does-not-open.log": (Code.DEVICE_KEY_MISMATCH, False),
    "tcp-bad-signature.log": (Code.SERVER_SIGNATURE_MISMATCH, True),
    "tcp-silent-server.log": (Code.NO_NONCE, True),
    "tcp-silent-after-identity.log": (Code.NO_SESSION_KEY, False),
    "tcp-closed-at-once.log": (Code.CLOSED_BEFORE_NONCE, True),
    "tcp-refused.log": (Code.CONNECT_REFUSED, True),
    "tcp-lost-address.log": (Code.SERVER_KEY_MISMATCH, False),
    "dtls-alert.log": (Code.DEVICE_KEY_MISMATCH, False),
    "dtls-wrong-server-key.log": (Code.SERVER_KEY_MISMATCH, True),
    "dtls-silent.log": (Code.DEVICE_KEY_CORRUPT, False),
    "dtls-device-key-broken.log": (Code.DEVICE_KEY_CORRUPT, True),
    "dtls-certificate.log": (Code.PROFILE_MISMATCH, True),
}


@pytest.mark.parametrize("name", TRUTH)
def test_the_truth_is_the_verdict_or_among_its_alternatives(name):
    truth, sure = TRUTH[name]
    verdict = judge_log(read_log(LOGS / name))
    if sure:
        assert (verdict.code, verdict.certainty) == (truth, Certainty.INFERRED)
    else:
        assert verdict.certainty is Certainty.UNDETERMINED
        assert truth in (verdict.code, *verdict.alternatives)
        assert verdict.would_settle


def test_the_golden_case_seed_002():
    log = read_log(LOGS / "seed-002.log")
    verdict = judge_log(log)
    assert (verdict.code, verdict.certainty, verdict.stage) == (
        Code.IDENTITY_REJECTED,
        Certainty.UNDETERMINED,
        "session-key",
    )
    assert "-19: the peer closed the connection while the device waited for the session key" in verdict.summary
    assert "not a decryption error" in verdict.summary
    assert verdict.alternatives[0] is Code.SERVER_KEY_MISMATCH
    assert any("the device had waited 127 ms for the session key" in item.text for item in verdict.evidence)
    assert any("type:255" in item.text for item in verdict.evidence)
    (lost,) = [finding for finding in log.findings if finding.code == "server-address-lost"]
    assert lost.certainty is Certainty.INFERRED and "seed-002.log line 1" in lost.summary
    # The address must be written back; which server's, the log cannot know.
    assert any("--host HOST" in line for line in verdict.remedy[0].commands)
    assert any("-19" in line for line in verdict.device_shows)


def told(*lines: str) -> tuple[Code, Certainty]:
    verdict = judge_log(read_log(lines))
    return verdict.code, verdict.certainty


def test_orange_and_magenta_in_the_old_firmwares_numbers():
    # Photon 0.6.3: the number after "Could not set key" is garbage (tcp.md S11); code= decides.
    start = [
        "Started: Receive nonce",
        "Encrypting handshake nonce",
        "Sending encrypted nonce",
        "Receive key",
        "Setting key",
    ]
    key = told(*start, "Could not set key, 536887520", "Cloud handshake failed, code=6")
    sign = told(*start, "Could not set key, 536887520", "Cloud handshake failed, code=8")
    assert key == (Code.SESSION_KEY_UNUSABLE, Certainty.UNDETERMINED)
    assert sign == (Code.SERVER_SIGNATURE_MISMATCH, Certainty.INFERRED)
    # 2.0 and later converts the numbers.
    assert (
        told(*start, "Could not set key, 8", "Cloud handshake failed, code=-130")[0] is Code.SERVER_SIGNATURE_MISMATCH
    )


def test_dns_address_and_port_faults_need_no_key():
    assert (
        told("Cloud: connecting", "unable to resolve IP for device.spark.io", "Cloud socket connection failed: -1")[0]
        is Code.CONNECT_UNANSWERED
    )
    assert told("Cloud: connecting", "Cloud socket connection failed: -1")[1] is Certainty.UNDETERMINED
    assert told("connection failed to 1.2.3.4:5683, code=110") == (Code.CONNECT_UNANSWERED, Certainty.INFERRED)


def test_a_damaged_server_key_and_a_damaged_device_key():
    assert told("Started, receive nonce", "Encrypting nonce", "RSA encrypt error -4")[0] is Code.NO_IDENTITY
    start = ["Receive key", "Setting key"]
    pkcs8 = told(*start, "decryption failed with code -1024", "Could not set key, 6", "handshake failed with code 6")
    assert pkcs8 == (Code.DEVICE_KEY_CORRUPT, Certainty.INFERRED)


def test_a_resumed_session_that_is_not_answered():
    lines = (LOGS / "dtls-resumed-forgotten.log").read_text().splitlines()
    until = next(i for i, line in enumerate(lines) if "code=10" in line)
    assert told(*lines[: until + 1]) == (Code.SESSION_LOST, Certainty.INFERRED)


def test_only_a_result_line_is_left():
    assert told("Cloud handshake failed, code=-19") == (Code.IDENTITY_REJECTED, Certainty.UNDETERMINED)
    verdict = judge_log(read_log(["Cloud handshake failed, code=-19"]))
    assert Code.CLOSED_BEFORE_NONCE in verdict.alternatives
    assert told("Cloud handshake failed, code=-220")[1] is Certainty.UNDETERMINED


@pytest.mark.parametrize("lines", [[], ["hello"], ["Cloud: connecting", "Started, receive nonce"]])
def test_a_log_without_a_finished_attempt_says_so(lines):
    verdict = judge_log(read_log(lines, name="short.log"))
    assert (verdict.code, verdict.certainty) == (Code.CAPTURE_INCOMPLETE, Certainty.UNDETERMINED)
    assert "short.log" in verdict.summary and verdict.would_settle


def test_no_rule_claims_proof_and_the_last_one_takes_all():
    assert all(rule.certainty is not Certainty.PROVEN for rule in judgements())
    for rule in judgements():
        assert rule.certainty is Certainty.INFERRED or (rule.alternatives and rule.settle)


EXAMPLES = [line.example for line in known_lines()]


@given(st.lists(st.sampled_from(EXAMPLES), max_size=30))
def test_any_lines_in_any_order_have_a_verdict_that_is_not_proven(lines):
    verdict = judge_log(read_log(lines))
    assert verdict.certainty is not Certainty.PROVEN
    assert verdict.certainty is Certainty.INFERRED or verdict.would_settle


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_a_log_cut_anywhere_never_names_another_key(name):
    lines = (LOGS / name).read_text().splitlines()
    whole = judge_log(read_log(lines))
    harmless = {Code.HEALTHY, Code.CAPTURE_INCOMPLETE}
    for end in range(len(lines)):
        part = judge_log(read_log(lines[:end]))
        if part.certainty is Certainty.INFERRED and part.code not in harmless:
            assert part.code is whole.code
        if part.certainty is Certainty.UNDETERMINED and part.code not in harmless:
            assert whole.code in (part.code, *part.alternatives)
