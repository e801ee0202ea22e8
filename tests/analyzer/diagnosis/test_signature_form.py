"""A server that signs with the right key through a library's usual padding: no key is wrong, and none is written."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key
from scapy.layers.inet import TCP
from scapy.packet import Raw
from scapy.utils import rdpcap, wrpcap

from analyzer.keys import load_keys
from analyzer.model import Certainty, Code
from analyzer.pipeline import analyze_capture

CASE = Path(__file__).resolve().parents[3] / "captures" / "tcp-06a-bad-signature-brewskey"


def with_digest_info(target: Path) -> int:
    """The capture with each signature made by the cloud's key over a DigestInfo of the right HMAC; how many there were."""
    cloud = load_pem_private_key((CASE / "keys" / "default_key.pem").read_bytes(), None)
    (slot,) = (path for path in (CASE / "keys").glob("*.der") if "server" not in path.name and ".pub" not in path.name)
    device = load_der_private_key(slot.read_bytes(), None)
    assert isinstance(cloud, RSAPrivateKey) and isinstance(device, RSAPrivateKey)
    packets, made = rdpcap(str(CASE / "capture.pcap")), 0
    for packet in packets:
        if TCP not in packet or Raw not in packet or len(packet[Raw].load) != 384:
            continue
        sealed = packet[Raw].load[:128]
        digest = hmac.new(device.decrypt(sealed, PKCS1v15()), sealed, hashlib.sha1).digest()
        packet[Raw].load = sealed + cloud.sign(digest, PKCS1v15(), Prehashed(SHA1()))
        del packet[TCP].chksum
        made += 1
    wrpcap(str(target), packets)
    return made


def test_the_right_key_in_the_wrong_form_is_the_servers_fault(tmp_path: Path) -> None:
    made = with_digest_info(tmp_path / "capture.pcap")
    report = analyze_capture(tmp_path / "capture.pcap", load_keys([CASE / "keys"]))
    assert made == len(report.sessions) > 0
    for session in report.sessions:
        verdict = session.verdict
        assert (verdict.code, verdict.certainty) == (Code.SERVER_SIGNATURE_MISMATCH, Certainty.INFERRED)
        assert [finding.code for finding in session.findings if finding.code == "signature-form"]
        assert not any(command.startswith("particle keys") for step in verdict.remedy for command in step.commands)


def test_without_the_devices_key_nothing_is_said_of_another_key(tmp_path: Path) -> None:
    with_digest_info(tmp_path / "capture.pcap")
    ring = load_keys([CASE / "keys" / "default_key.pem"])
    verdicts = [session.verdict for session in analyze_capture(tmp_path / "capture.pcap", ring).sessions]
    assert verdicts
    assert not [verdict for verdict in verdicts if verdict.certainty is Certainty.PROVEN]
