"""DTLS verdicts under attack: a stale or foreign file beside captures that end too early, lose a flight or are altered.

The harness in `tests/fuzz/trust.py` asks the same of many more; these are the few that every run can afford.
"""

from __future__ import annotations

import ast
import io
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from random import Random

import pytest

from analyzer.diagnosis import dtls
from analyzer.diagnosis.draft import Claim, Draft
from analyzer.diagnosis.trial import Standing, tried
from analyzer.keys import KeyRing, load_keys
from analyzer.model import Certainty, Code, Evidence, Session
from analyzer.pipeline import analyze_capture
from captures.synth.case import cloud_ec
from captures.synth.dtls import ALERT, V212, V216
from captures.synth.dtls_scene import DtlsScene
from captures.synth.keys import EcKey, server_slot
from captures.synth.talk import CLOUD, DEVICE
from dissectors.events import Direction
from tests.analyzer.dtls_lab import judged, scene
from tests.fuzz.frames import Pcap, parsed, written

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
KEY_CODES = {
    *(Code.SERVER_KEY_MISMATCH, Code.SERVER_KEY_ERASED, Code.DEVICE_KEY_MISMATCH),
    *(Code.DEVICE_UNKNOWN, Code.DEVICE_KEY_CORRUPT),
}
#: Commands that write over a key on the device or at the cloud.
WRITES = ("particle keys server", "particle keys load", "particle keys doctor", "particle keys send", "SERVER/")
ID = "0a10aced202194944a042f01"
HEALTHY = ("dtls-01-good", "dtls-10a-loss-reorder-dup-by-rule")
FAILING = (
    "dtls-02a-unknown-device-key-alert",
    "dtls-03-wrong-server-key-on-device",
    "dtls-19b-wrong-server-key-v0.7.0",
)
OTHER = EcKey(Random("another key").getrandbits(250))
#: One file that is another key than it was.
STALE = {
    "slot": (f"{ID}.server.pub.der", OTHER.spki),
    "copy": (f"{ID}.cloud.pub.der", OTHER.spki),
    "device": (f"{ID}.device.der", OTHER.sec1),
    "cloud": ("server.der", OTHER.sec1),
}


@cache
def genuine(name: str) -> Pcap:
    return parsed((CAPTURES / name / "capture.pcap").read_bytes())


def folder(name: str, into: Path, stale: str = "") -> KeyRing:
    """The long-term keys of a genuine capture, one of them replaced."""
    into.mkdir(parents=True)
    files = {path.name: path.read_bytes() for path in (CAPTURES / name / "keys").glob("*.der")}
    if stale:
        file, data = STALE[stale]
        assert file in files
        files[file] = data
    for file, data in files.items():
        (into / file).write_bytes(data)
    return load_keys([into])


def cut(name: str, frames: int, ring: KeyRing) -> tuple[Session, ...]:
    pcap = genuine(name)
    return analyze_capture(io.BytesIO(written(pcap.having(pcap.frames[:frames]))), ring, name="cut.pcap").sessions


def writes(session: Session) -> list[str]:
    lines = [line for item in session.verdict.remedy for line in item.commands]
    return [line for line in lines if any(word in line for word in WRITES)]


def found(session: Session) -> set[str]:
    return {finding.code for finding in session.findings}


@pytest.mark.parametrize("stale", STALE)
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_session_that_is_cut_blames_no_key_whatever_file_is_stale(name: str, stale: str, tmp_path: Path):
    ring = folder(name, tmp_path / "keys", stale)
    ends = range(1, 25, 2)
    judged_at = [(end, session) for end in ends for session in cut(name, end, ring)]
    assert len(judged_at) >= len(ends)
    for end, session in judged_at:
        assert session.verdict.code not in KEY_CODES, (end, session.verdict.summary)
        assert not writes(session), end


@pytest.mark.parametrize("name", FAILING)
def test_another_ticket_s_folder_proves_nothing_without_saying_what_it_takes_on_its_word(name: str, tmp_path: Path):
    ring = folder("dtls-01-good", tmp_path / "keys", "slot")
    sessions = cut(name, 200, ring)
    assert sessions
    for session in sessions:
        assert session.verdict.certainty is not Certainty.PROVEN or session.verdict.premises, session.verdict.summary


@pytest.mark.parametrize("name", FAILING)
def test_a_capture_that_ends_behind_the_flight_is_no_refusal(name: str, tmp_path: Path):
    """The first attempt alone, up to the flight that the other side goes on to refuse."""
    ring = folder(name, tmp_path / "keys") if name != FAILING[2] else load_keys([CAPTURES / name / "keys"])
    whole = cut(name, 200, ring)[0]
    assert whole.verdict.certainty is Certainty.PROVEN
    stage = "server-key-exchange" if whole.verdict.code is Code.SERVER_KEY_MISMATCH else "device-certificate"
    end = next(frame for row in whole.stages if row.stage == stage for frame in row.frames)
    (early,) = cut(name, end, ring)
    assert early.verdict.code is Code.CAPTURE_INCOMPLETE
    assert "key-file-differs" in found(early)


# -- the trial ---------------------------------------------------------------------------------------------------------

DOUBT = (Evidence("the same device gets in", (9,)),)


@pytest.mark.parametrize("needs", [None, Direction.UP, Direction.DOWN])
@pytest.mark.parametrize("refused", [None, Direction.UP, Direction.DOWN])
@pytest.mark.parametrize(("own", "unsound", "against"), list(product([(), DOUBT], repeat=3)))
def test_proven_is_only_what_was_refused_by_its_side_with_nothing_against_it(
    needs: Direction | None,
    refused: Direction | None,
    own: tuple[Evidence, ...],
    unsound: tuple[Evidence, ...],
    against: tuple[Evidence, ...],
):
    draft = Draft(Code.SERVER_KEY_MISMATCH, Certainty.INFERRED, None, (), "", claim=Claim(needs, (), own))
    verdict = tried(draft, Standing(refused, unsound, against))
    holds = not own and not unsound and (needs is None or (refused is needs and not against))
    assert (verdict.certainty is Certainty.PROVEN) is holds
    assert tried(replace(draft, claim=None), Standing(refused, unsound, against)).certainty is Certainty.INFERRED


def test_no_rule_gives_proven_itself():
    """Findings may: they state what bytes show. A verdict's proof is tried in one place."""
    pages = [
        path for path in Path(dtls.__file__).parent.glob("*.py") if path.name not in ("findings.py", "firmware.py")
    ]
    assert len(pages) > 5
    named = {
        path.name
        for path in pages
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "PROVEN"
    }
    assert named == set()


# -- what reached whom -------------------------------------------------------------------------------------------------


def test_a_flight_that_does_not_arrive_is_the_path_s_whatever_the_copy_says(tmp_path: Path):
    play = scene("mtu up", library=V216).hello()
    flight = play.hs.server_flight()
    play.send(CLOUD, *flight)
    play.trace.wait(0.2)
    play.send(DEVICE, *play.hs.device_flight())
    for pause in (1, 2, 4):
        play.trace.wait(pause)
        play.send(CLOUD, *play.hs.again(CLOUD, flight))
    for number, on_file in enumerate((play.key.spki, OTHER.spki)):
        (session,) = judged(play.trace, play.ticket(on_file=on_file), tmp_path / f"{number}")
        assert (session.verdict.code, session.verdict.certainty) == (Code.HANDSHAKE_STALLED, Certainty.INFERRED)
        assert session.verdict.alternatives == ()
        assert "flight-undelivered" in found(session)
        assert session.verdict.remedy[0].commands[-1].startswith("ping -c 3 -s ")
        assert not writes(session)
        assert not any("says nothing" in item.text for item in session.verdict.evidence)


def test_a_cloud_that_takes_no_cookie_is_told_without_a_key(tmp_path: Path):
    play = scene("new cookies", library=V216)
    play.send(DEVICE, play.hs.client_hello())
    for _ in range(4):
        play.reply()
        play.hs.cookie = play.lab.rng.randbytes(32)
        play.send(CLOUD, play.hs.verify_request())
        play.send(DEVICE, play.hs.client_hello(cookie=True))
    slot = server_slot(OTHER.spki, "$id.udp.particle.io", size=320)
    (session,) = judged(play.trace, play.ticket(stored=slot), tmp_path)
    assert (session.verdict.code, session.verdict.certainty) == (Code.HANDSHAKE_STALLED, Certainty.INFERRED)
    assert "4 cookies" in session.verdict.summary
    assert not writes(session)


def test_a_device_that_loses_its_power_has_refused_nothing(tmp_path: Path):
    """It falls silent behind the cloud's answer, boots, and gets in: the stale file is a finding."""
    play = scene("power", library=V212).hello().server_flight()
    play.trace.wait(12)
    play.fresh()
    play.handshake().greet()
    slot = server_slot(OTHER.spki, "$id.udp.particle.io", size=320)
    first, second = judged(play.trace, play.ticket(stored=slot), tmp_path)
    assert first.verdict.code is Code.HANDSHAKE_STALLED
    assert "key-file-differs" in found(first)
    assert second.verdict.code is Code.HEALTHY


# -- bytes changed on the way ------------------------------------------------------------------------------------------


def refused_once(name: str) -> DtlsScene:
    """A device with alerts that refuses the answer."""
    play = scene(name, library=V216).hello().server_flight()
    play.send(DEVICE, play.hs.alert(DEVICE, 2, 51))
    return play


def altered(play: DtlsScene, at: int, mask: int) -> None:
    """Change a byte of the signed part of the ServerKeyExchange, ``at`` bytes behind its start, without a UDP checksum."""
    start = b"\x03\x00\x17\x41\x04"
    number, frame = next((n, f) for n, f in enumerate(play.trace.frames) if start in f.data)
    data = bytearray(frame.data)
    data[frame.data.find(start) + at] ^= mask
    data[14 + 20 + 6 : 14 + 20 + 8] = bytes(2)
    play.trace.frames[number] = replace(frame, data=bytes(data))


@pytest.mark.parametrize("seed", range(4))
def test_one_bit_of_the_answer_is_put_back_and_no_key_is_blamed(seed: int, tmp_path: Path):
    rng = Random(seed)
    play = refused_once(f"one bit {seed}")
    altered(play, rng.choice((*range(5, 69), *range(80, 100))), 1 << rng.randrange(8))
    (session,) = judged(play.trace, play.ticket(), tmp_path)
    assert (session.verdict.code, session.verdict.certainty) == (Code.HANDSHAKE_REJECTED, Certainty.INFERRED)
    assert "corrupted-in-transit" in found(session)
    assert not writes(session)


def test_more_changed_bytes_than_one_are_no_wrong_key_either(tmp_path: Path):
    play = refused_once("four bytes")
    for at in (20, 31, 40, 52):
        altered(play, at, 0x5A)
    (session,) = judged(play.trace, play.ticket(), tmp_path)
    assert (session.verdict.code, session.verdict.certainty) == (Code.HANDSHAKE_REJECTED, Certainty.UNDETERMINED)
    assert Code.SERVER_KEY_MISMATCH not in session.verdict.alternatives


def test_a_copy_that_arrives_whole_names_the_signer(tmp_path: Path):
    """The first ServerKeyExchange is changed in four bytes, its repetition is not: the stored key signed that one."""
    play = scene("repeated whole", library=V216).hello()
    flight = play.hs.server_flight()
    play.send(CLOUD, *flight)
    play.trace.wait(0.1)
    play.send(DEVICE, play.hs.alert(DEVICE, 2, 51))
    play.trace.wait(1)
    play.send(CLOUD, *play.hs.again(CLOUD, flight))
    for at in (20, 31, 40, 52):
        altered(play, at, 0x5A)
    (session,) = judged(play.trace, play.ticket(), tmp_path)
    assert session.verdict.code is Code.HANDSHAKE_REJECTED
    assert "corrupted-in-transit" in found(session)
    proved = [a.key for a in session.attempts if a.stage == "server-key-exchange" and a.outcome.value == "proved"]
    assert proved, "the copy that arrived whole is held against the keys"


def test_the_cloud_s_new_key_is_told_with_its_time(tmp_path: Path):
    play = scene("rotated").handshake().greet()
    play.trace.wait(60)
    play.cloud = cloud_ec("the new one")
    for _ in range(2):
        play.fresh()
        play.hello().server_flight()
        play.trace.wait(1)
    old = server_slot(cloud_ec().spki, "$id.udp.particle.io", size=320)
    _, first, _ = judged(play.trace, play.ticket(stored=old), tmp_path)
    # Only its address says that it is the same device: inferred.
    assert (first.verdict.code, first.verdict.certainty) == (Code.SERVER_KEY_MISMATCH, Certainty.INFERRED)
    assert any("the cloud's key was changed" in item.text for item in first.verdict.evidence)


def test_a_client_hello_that_was_changed_is_still_a_device_s(tmp_path: Path):
    """Its suite reads c0af: the cloud refuses the changed one, or the repetition is whole and the session is healthy."""

    def other_suite(play: DtlsScene, number: int) -> None:
        frame = play.trace.frames[number]
        data = bytearray(frame.data)
        data[frame.data.index(b"\xc0\xae") + 1] ^= 1
        data[14 + 20 + 6 : 14 + 20 + 8] = bytes(2)
        play.trace.frames[number] = replace(frame, data=bytes(data))

    play = scene("suite refused", library=V216).hello()
    changed = len(play.trace.frames) - 1
    play.send(CLOUD, play.hs.alert(CLOUD, 2, 40))
    other_suite(play, changed)
    (refused,) = judged(play.trace, play.ticket(), tmp_path / "refused")
    assert refused.verdict.code is Code.HANDSHAKE_REJECTED
    assert not writes(refused)

    play = scene("suite repeated", library=V216, cookie=False)
    play.send(DEVICE, play.hs.client_hello())
    asked = play.last
    other_suite(play, 0)
    play.trace.wait(3)
    play.send(DEVICE, *play.hs.again(DEVICE, asked))
    play.reply()
    play.server_flight().device_flight().finish().greet()
    (healthy,) = judged(play.trace, play.ticket(), tmp_path / "repeated")
    assert healthy.verdict.code is Code.HEALTHY


def test_a_clone_s_key_is_not_put_on_file_over_the_original_s(tmp_path: Path):
    first = scene("clone").handshake().greet()
    second = DtlsScene(first.lab, ident=first.ident, device=OTHER, trace=first.trace, device_port=50222)
    second.handshake()
    second.data(DEVICE, second.coap.hello())
    second.udp.say(CLOUD, second.secrets.seal(CLOUD, ALERT, b"\x02\x31"))
    secrets = {"a.keylog": first.secrets.keylog, "b.keylog": second.secrets.keylog}
    original, clone = judged(first.trace, first.ticket() | secrets, tmp_path)
    assert original.verdict.code is Code.HEALTHY
    assert (clone.verdict.code, clone.verdict.certainty) == (Code.DEVICE_KEY_MISMATCH, Certainty.INFERRED)
    assert Code.SESSION_DISPLACED in clone.verdict.alternatives
    assert not writes(clone)
