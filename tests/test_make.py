"""The synthetic captures: rebuilt byte for byte, and right by the judgement of others than ourselves."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path
from random import Random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key, load_pem_private_key

from analyzer.model import Certainty, Code
from captures.make import check
from captures.synth.case import RECIPES, Lab, build
from captures.synth.dtls import V216, Handshake, Secrets
from captures.synth.keys import EcKey, RsaKey
from captures.synth.lightssl import Channel, Credentials, Device, Server

H = bytes.fromhex


def test_what_is_committed_is_what_is_made() -> None:
    assert check([]) == []


def test_every_verdict_occurs_and_is_spelled_right(captures: Path) -> None:
    seen: set[str] = set()
    for name in RECIPES:
        truth = tomllib.loads((captures / name / "case.toml").read_text())["truth"]
        for entry in [*truth.get("with_keys", ()), *truth.get("without_keys", ())]:
            seen.update(entry["verdicts"], entry.get("alternatives", ()))
            assert entry.get("certainty", "proven") in set(Certainty)
    assert seen == set(Code)


@pytest.mark.parametrize("field", ["question", "provenance", "capture"])
def test_every_case_says_where_it_is_from(captures: Path, field: str) -> None:
    assert all(tomllib.loads((captures / name / "case.toml").read_text())[field] for name in RECIPES)


# ---- the protocols, against what was measured on the firmware -----------------------------------------------------


def test_records_of_the_connection_id_generation_are_the_firmware_s() -> None:
    # mbedTLS fork 2.22.0, built from particle-iot/mbedtls@7da406012 with device-os v5.9.0's configuration.
    secrets = Secrets(
        H("d12b5ed40f5890ad3a0bdf9590dda46cea167559e875e8411acba55b240532dbcacb18833018d6bab7217e2be98bd093"),
        H("93e25a94c8b5547c0f6fa4d46114e33e27844b12ef0ba63d25462ed537c08f16"),
        H("4d7972bb41cfe05b087f8c88dafac91d4c64079a553a132b91ad00fdc455295f"),
        H("c1d0010203040506"),
    )
    secrets.counters = [1, 1]
    hello = H("40020001b168ff000affff0000000a000c3d002a001047343530333430")
    assert secrets.seal(0, 23, hello) == H(
        "19fefd0001000000000001c1d001020304050600300001000000000001259a3fcb9d757e1ed1874d3761742b45fcd37700137bcbea9d"
        "b3a3c89a4ba7d79740cfa085928207"
    )
    assert secrets.seal(0, 23, H("40000002"), moved=True) == H(
        "fdfefd0001000000000002c1d00102030405060020000100000000000269076608a7ebe6f587ffd4bee21311b1a1d865cf914f77eb"
    )


def test_moved_records_of_the_older_generation_are_the_firmware_s() -> None:
    # mbedTLS 2.1.2 with the configuration of device-os v0.6.4.
    secrets = Secrets(
        H("160c7952973fe514c3981ba9eb5cf36d14419716729159ff60aa2b355fdfbd13744ae1b87cc68886ddeba133ba06af69"),
        H("95932993a22d28fcb65bdd8d4e3291f1465524f80f75fa03037dcf4f204bd671"),
        H("f052e5e595395258642eb7b2d768f5d7809658b6320725bd7cee3169d9d7bb8c"),
    )
    secrets.counters = [2, 1]
    assert secrets.seal(0, 23, H("40000002"), moved=True) == H(
        "fefefd00010000000000020014000100000000000273ebf328b43231421467f3d1"
    )
    assert secrets.seal(1, 23, H("60000001")) == H("17fefd000100000000000100140001000000000001e4a1d04ec139c6b991ae343b")


def test_the_iv_is_the_first_block_of_the_record_before() -> None:
    credentials = Credentials(H("7030021b2fda8abc56eb259e054dac1e6262b3fb7781608779b4c2e875b35174ceefbde03dcc3e46"))
    channel = Channel(credentials)
    assert channel.seal(0, H("5002cef0b168ff0006000100000006")) == H("0010c9fee40a4fcbc19f4d421279c2bc9b59")
    event = H("5002cef1b1450d0b737061726b2f6465766963652f6c6173745f726573657421ff706f7765725f646f776e")
    assert channel.seal(0, event).hex() == (
        "0030ce53a44a1d1fc6404a4261bea6f86f0a198e6d92bbcea251beaed0a3cec5f14b65a4d35791fc751cc38230b64af783b7"
    )


# ---- the keys, against OpenSSL -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_rsa_keys_satisfy_openssl(seed: int) -> None:
    key = RsaKey.generate(Random(seed), 1024)
    for encoded in (key.pkcs1, key.pkcs8):
        loaded = load_der_private_key(encoded, None)
        assert loaded.public_key().public_numbers().n == key.n
    assert load_pem_private_key(key.private_pem, None).private_numbers().d == key.d
    assert load_der_public_key(key.spki).public_numbers().n == key.n
    assert key.public(key.private(12345)) == 12345


@pytest.mark.parametrize("seed", range(4))
def test_curve_keys_satisfy_openssl(seed: int) -> None:
    key, peer = EcKey.generate(Random(seed)), EcKey.generate(Random(-seed - 1))
    loaded = load_der_private_key(key.sec1, None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    assert len(key.sec1) == 121
    assert len(key.spki) == 91
    public = load_der_public_key(key.spki)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(key.sign(b"message"), b"message", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(key.sign(b"message"), b"another", ec.ECDSA(hashes.SHA256()))
    other = load_der_public_key(peer.spki)
    assert isinstance(other, ec.EllipticCurvePublicKey)
    assert key.agree(peer.point) == loaded.exchange(ec.ECDH(), other)


def test_a_good_device_accepts_and_a_wrong_one_says_why() -> None:
    lab = Lab("a good device")
    key, cloud = lab.rsa(), RsaKey.generate(lab.rng, 2048)
    server = Server(cloud)
    device = Device.make(lab.id(), key, cloud.spki)
    message = server.session_key(key.n, lab.rng)
    assert device.accept(message) == server.sessions[-1]
    assert device.accept(server.session_key(lab.rsa("another").n, lab.rng)) == "decryption"
    server.signer = RsaKey.generate(lab.rng, 2048)
    assert device.accept(server.session_key(key.n, lab.rng)) == "signature"
    nonce = lab.rng.randbytes(40)
    assert server.open_identity(device.identity(nonce, lab.rng)) == nonce + device.id + device.tail
    assert load_der_public_key(device.tail).public_numbers().n == key.n


def test_a_handshake_s_signatures_hold() -> None:
    lab = Lab("a handshake")
    handshake = Handshake(lab.rng, lab.ec(), lab.ec("cloud"), V216)
    handshake.client_hello()
    handshake.verify_request()
    handshake.client_hello(cookie=True)
    flight = handshake.server_flight()
    exchange = flight[1][25:]
    public = load_der_public_key(lab.ec("cloud").spki)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signed = handshake.client_random + handshake.server_random + exchange[:69]
    public.verify(exchange[73:], signed, ec.ECDSA(hashes.SHA256()))
    before = handshake.transcript
    certificate, key_exchange, verify, *_ = handshake.device_flight()
    own = load_der_public_key(certificate[28:])
    assert isinstance(own, ec.EllipticCurvePublicKey)
    own.verify(verify[29:], before + certificate[13:] + key_exchange[13:], ec.ECDSA(hashes.SHA256()))


# ---- the captures, against tshark ----------------------------------------------------------------------------------


def fields(tshark: str, path: Path, *names: str, options: tuple[str, ...] = ()) -> list[list[str]]:
    """tshark's values of these fields, per packet."""
    command = [tshark, "-r", str(path), "-T", "fields", *(f"-e{name}" for name in names), *options]
    output = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return [line.split("\t") for line in output.stdout.splitlines()]


@pytest.mark.tshark
def test_tshark_finds_no_wrong_checksum(tshark: str, captures: Path, tmp_path: Path) -> None:
    mergecap = shutil.which("mergecap")
    if mergecap is None:
        pytest.skip("mergecap is not installed")
    # All in one: starting tshark takes longer than reading any of them. (The cut one is refused by mergecap.)
    paths = [path for name in sorted(RECIPES) for path in captures.joinpath(name).glob("capture.*")]
    paths = [path for path in paths if path.parent.name != "synth-file-cut"]
    assert len(paths) == len(RECIPES) - 1
    subprocess.run([mergecap, "-a", "-w", tmp_path / "all.pcapng", *paths], check=True, timeout=60)
    options = ("-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    names = ("ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status")
    rows = fields(tshark, tmp_path / "all.pcapng", *names, options=options)
    assert len(rows) > 1500
    # 1 is good, 2 not checked (a fragment, a packet cut short), empty not there.
    assert {value for row in rows for cell in row for value in cell.split(",")} <= {"", "1", "2"}


@pytest.mark.tshark
@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("synth-dtls-healthy-v064", 10),
        ("synth-dtls-healthy-v07", 10),
        ("synth-dtls-healthy-v2", 10),
        ("synth-dtls-disorder", 8),
    ],
)
def test_tshark_decrypts_with_the_key_log(tshark: str, captures: Path, name: str, messages: int) -> None:
    keylog = next(captures.joinpath(name, "keys").glob("*.keylog"))
    options = ("-o", f"tls.keylog_file:{keylog}", "-Y", "coap")
    rows = fields(tshark, captures / name / "capture.pcap", "coap.mid", "coap.type", options=options)
    assert len(rows) == messages
    # Each confirmable message is acknowledged under its own id before the next one in that direction.
    asked = [mid for mid, kind in rows if kind == "0"]
    answered = [mid for mid, kind in rows if kind == "2"]
    assert asked == answered


@pytest.mark.tshark
def test_tshark_sees_the_packets_of_the_first_seed(tshark: str, captures: Path) -> None:
    rows = fields(
        tshark,
        captures / "seed-001" / "capture.pcap",
        "tcp.len",
        "tcp.flags.fin",
        "tcp.analysis.keep_alive",
        "frame.time_relative",
    )
    assert len(rows) == 17
    tcp = rows[4:]
    assert [int(row[0]) for row in tcp if row[0] != "0"] == [40, 256, 384]
    assert float(tcp[9][3]) - float(tcp[8][3]) == pytest.approx(15, abs=0.01)
    assert tcp[9][2] == "1"
    assert float(tcp[11][3]) - float(tcp[8][3]) == pytest.approx(30, abs=0.01)
    assert tcp[11][1] == "1"


def test_a_case_made_twice_is_the_same() -> None:
    assert build("synth-gateway").files() == build("synth-gateway").files()
