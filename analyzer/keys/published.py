"""The public keys Particle ships in firmware and command-line tool: what an untouched device trusts.

Bytes: `backup_tcp_public_server_key` and `backup_udp_public_server_key`, particle-iot/device-os,
system/src/system_cloud_internal_constants.c / system_cloud_internal.h @ v0.7.0; the same keys as particle-iot/particle-cli
assets/keys/rsa.pub.der and ec.pub.der. A test holds them against their published SHA-256.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from analyzer.keys.key import Key, fingerprint
from analyzer.keys.structure import classify
from analyzer.model import Role

#: What stands where a key's file name does.
FILE: Final = "(published by Particle)"

#: Fingerprints of every key Particle publishes: SHA-256 of the SPKI.
PUBLISHED: Final = {
    "aa8aba3c973ed4b668999047a09597948f36eefde525352e705fe8ef98c1677e": "the TCP cloud, device.spark.io",
    "a22c78edbbefc04dec7333da227fc6f6904754d17d042099c765a02864555183": "the UDP cloud, udp.particle.io",
    "29a98e244bdbafc877d8a9fa134bc5458f354585fd44e89353580dbced0ef2dc": "the key that signs a move to another server",
}

#: TCP cloud (device.spark.io), RSA-2048 SPKI, 294 bytes.
PARTICLE_RSA_SPKI = bytes.fromhex(
    "30820122300d06092a864886f70d01010105000382010f003082010a0282010100beccbe43db8eea1527a6bb526de1512ba0abcca1647748ad"
    "7c66fc807ff699a525f2f2dae043cf3a26a49ba187030e9a8d239abcea99ea68d35a14b1260fbdaa6d6f0cacc4772cd1c5c8b1d17b68e02573"
    "7b52896820bd06c6f0e60030c0e0cff61b3a45e9c45b551706a3d34ac6d5b8d21702b5277d8de4d47dd3edc01d8a7c251e214a51ae5706dd60"
    "bca13490aacc099e3b3a414c3c9df3fdfdb727c159819854604a627aa49abfdf921b3efca7e4a4b33a9a5f57938eeb196495224a2cd560f5f9"
    "d003508369c06b53f0f0daf813821fccbb5fe2c1df3ae97f5de27db950803c5833ef8cf3803f1101d268865f3c5ee6c18e322b28cbb5cc1ba8"
    "505ea70d0203010001"
)

#: UDP cloud (udp.particle.io), P-256 SPKI, 91 bytes.
PARTICLE_EC_SPKI = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004509bfc185648c33f80907ae13260df33282115209e54a22f2b105984a463"
    "62c07c2679f6e4ce76ca002d3de4bf2e9e3a62151c48179bd809ddce9c5dc30f54b8"
)


@cache
def published_keys() -> tuple[Key, ...]:
    """Both keys as members of a ring: role cloud-public, file "(published by Particle)"."""
    rsa_key = classify(PARTICLE_RSA_SPKI)
    ec_key = classify(PARTICLE_EC_SPKI)
    return tuple(
        Key(FILE, Role.CLOUD_PUBLIC, None, found.kind, found.algorithm, found.bits, fingerprint(spki), "ok", part=host,
            spki=spki, rsa=found.rsa, ec=found.ec)
        for found, spki, host in ((rsa_key, PARTICLE_RSA_SPKI, "device.spark.io"), (ec_key, PARTICLE_EC_SPKI, "udp.particle.io"))
    )  # fmt: skip
