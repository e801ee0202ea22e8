"""What the device shows: complete, in words the log table knows, and what genuine firmware printed."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from analyzer.firmware.families import families
from analyzer.firmware.lines import match_line
from analyzer.firmware.shows import device_shows, picture_of, pictures
from analyzer.model import Code
from dissectors.events import How

LOGS = Path(__file__).resolve().parents[2] / "data" / "devicelogs"


def test_every_verdict_ending_and_family_has_a_picture_that_is_used():
    used = set()
    for code, transport, how in itertools.product(Code, ("tcp", "udp"), (None, *How)):
        used.add(picture_of(code, transport, how).name)
        for family in (None, *families(), "no such family"):
            assert len(device_shows(code, transport, family=family, how=how)) <= 7
    assert used == set(pictures())


def test_families_named_exist():
    for picture in pictures().values():
        for sight in (*picture.lights, *picture.logs):
            assert set(sight.families) <= set(families())


def quoted_lines():
    for picture in pictures().values():
        for sight in picture.logs:
            for line in re.findall(r'"([^"]+)"', sight.text):
                yield re.sub(r"\bN\b", "1", line).replace("ADDRESS", "203.0.113.10")


@pytest.mark.parametrize("line", sorted(set(quoted_lines())))
def test_a_line_shown_is_a_line_that_is_known(line):
    assert match_line(line) is not None


#: A genuine log, the verdict its capture has, how the session ended, the family: all lines shown must stand in the log.
GENUINE = [
    ("tcp-closed-after-identity.log", Code.IDENTITY_REJECTED, "tcp", How.FIN, "lightssl", "code=26"),
    ("tcp-key-does-not-open.log", Code.DEVICE_KEY_MISMATCH, "tcp", How.TIMEOUT, "lightssl", "Could not set key, 6"),
    ("tcp-bad-signature.log", Code.SERVER_SIGNATURE_MISMATCH, "tcp", How.FIN, "lightssl", "Could not set key, 8"),
    ("tcp-silent-server.log", Code.NO_NONCE, "tcp", How.TIMEOUT, "lightssl", "Could not receive nonce: -1"),
    ("tcp-silent-after-identity.log", Code.NO_SESSION_KEY, "tcp", How.TIMEOUT, "lightssl", "Unable to receive key -1"),
    ("tcp-closed-at-once.log", Code.CLOSED_BEFORE_NONCE, "tcp", How.FIN, "lightssl", "Could not receive nonce: -19"),
    ("tcp-good-063.log", Code.HEALTHY, "tcp", How.FIN, "lightssl", "Cloud connected"),
    ("dtls-alert.log", Code.HANDSHAKE_REJECTED, "udp", How.ALERT, "dtls-107", "-7780"),
    ("dtls-wrong-server-key.log", Code.SERVER_KEY_MISMATCH, "udp", How.SILENCE, "dtls-107", "-4e00"),
    ("dtls-silent.log", Code.HANDSHAKE_STALLED, "udp", How.SILENCE, "dtls-107", "-6800"),
]


@pytest.mark.parametrize(
    ("log", "code", "transport", "how", "family", "telling"), GENUINE, ids=lambda value: str(value)
)
def test_genuine_firmware_printed_what_is_shown(log, code, transport, how, family, telling):
    text = (LOGS / log).read_text()
    shown = [line for line in device_shows(code, transport, family=family, how=how) if line.startswith("log ")]
    runs = [re.findall(r'"([^"]+)"', line) for line in shown]
    assert any(telling in line for run in runs for line in run)
    assert any(all(line in text for line in run) for run in runs)


def test_a_family_narrows_the_answer_and_an_unknown_one_does_not_empty_it():
    everything = device_shows(Code.IDENTITY_REJECTED, "tcp", how=How.FIN)
    photon = device_shows(Code.IDENTITY_REJECTED, "tcp", how=How.FIN, family="spark-protocol")
    assert len(photon) < len(everything)
    assert any("code=-19" in line for line in photon) and not any("code=-220" in line for line in photon)
    assert not any("code=-220" in line for line in device_shows(Code.IDENTITY_REJECTED, "tcp", family="SparkProtocol"))
    assert device_shows(Code.IDENTITY_REJECTED, "tcp", how=How.FIN, family="unheard of") == everything


def test_the_ending_chooses_between_closed_reset_and_silent():
    def numbers(how: How) -> set[str]:
        return set(re.findall(r"receive key (-\d+)", " ".join(device_shows(Code.IDENTITY_REJECTED, "tcp", how=how))))

    assert (numbers(How.FIN), numbers(How.RST), numbers(How.TIMEOUT)) == ({"-19"}, {"-18"}, {"-1"})


@pytest.mark.parametrize(
    "code",
    [Code.DEVICE_KEY_MISMATCH, Code.DEVICE_KEY_CORRUPT, Code.SESSION_KEY_UNUSABLE, Code.SERVER_SIGNATURE_MISMATCH],
)
def test_a_core_of_2014_goes_on_in_fast_cyan_when_the_session_key_is_of_no_use(code):
    """Thread 001; tcp.md S15: spark_11 does not close after a failed set_key, it only sets a colour."""
    shown = device_shows(code, "tcp", family="core", how=How.TIMEOUT)
    assert shown[0].startswith("LED fast cyan for ever") and "Spark Core of 2013-2014" in shown[0]
    later = device_shows(code, "tcp", family="lightssl", how=How.TIMEOUT)
    assert not any("for ever" in line for line in later)


def test_a_udp_device_whose_key_does_not_parse_shows_what_it_logs():
    """captures/dtls-05b-device-key-broken-der, genuine firmware v0.6.4."""
    shown = " ".join(device_shows(Code.DEVICE_KEY_CORRUPT, "udp", stage="client-hello"))
    assert "-3d60" in shown and "code=16" in shown and "-6800" not in shown
    assert "-6800" in " ".join(device_shows(Code.DEVICE_KEY_CORRUPT, "udp", stage="certificate-verify"))
