"""Sessions recorded while running the device's own mbedTLS forks (throw-away keys), byte for byte.

Client and server of the fork built from source with the firmware's configuration: 2.1.2 with device-os v0.6.4's,
2.22.0 with v5.9.0's (Gen 3, connection id). The plaintexts are what the client handed to `mbedtls_ssl_write`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dissectors.dtls.crypto import RecordKeys, Secret


@dataclass(frozen=True)
class Vector:
    name: str
    secret: Secret
    key_block: bytes
    server_spki: bytes
    key_exchange: bytes
    #: (datagram, plaintext)
    hello: tuple[bytes, bytes]
    acknowledgement: tuple[bytes, bytes]
    moved_ping: tuple[bytes, bytes]

    @property
    def keys(self) -> RecordKeys:
        return RecordKeys(self.key_block)


def _vector(name: str, *words: str) -> Vector:
    b = [bytes.fromhex(word) for word in words]
    return Vector(name, Secret(b[0], b[1], b[2]), b[3], b[4], b[5], (b[6], b[7]), (b[8], b[9]), (b[10], b[11]))


DEVICE_ID = "3d002a001047343530333430"
_HELLO = "40020001b168ff000affff0000000a000c" + DEVICE_ID

FORK_2_1 = _vector(
    "2.1.2",
    "95932993a22d28fcb65bdd8d4e3291f1465524f80f75fa03037dcf4f204bd671",
    "f052e5e595395258642eb7b2d768f5d7809658b6320725bd7cee3169d9d7bb8c",
    "160c7952973fe514c3981ba9eb5cf36d14419716729159ff60aa2b355fdfbd13744ae1b87cc68886ddeba133ba06af69",
    "9fa6922403db0fe632adc01b99253bbf65e94e431d9fa9aca16bd0e23c406848f05f141767b6bb8f",
    "3059301306072a8648ce3d020106082a8648ce3d030107034200047e1bb4fc4e214f3902f22ced038854244910f2fd6ca4d924f01c1d0ae588ebc6"
    "81fc66522b92d9f8cca320f4a0dea3d1eb2a94504df3da09c9098474e5c782be",
    "0300174104cf004325c66832fd5c41fbe618e09a1d4ec4e4a91dd7195d071630a06535cb3edd9d18e6f5776b16f032203f8a43ca2d7030e9bc0e29"
    "719ec23f60056b70605604030048304602210080904af32d71e1c27913b48ebce33db522bd4528870b4be4cddf6efeed3bde7b022100fd36e4c1b4"
    "013ad61a0c0d86070908854d3a3f17af3e2318acd505de09f3201d",
    "17fefd0001000000000001002d00010000000000010f310a6aa69eed37e3a42a199f4f4b5c374735628c1427992e0790d5bbb744bb340c590720",
    _HELLO,
    "17fefd000100000000000100140001000000000001e4a1d04ec139c6b991ae343b",
    "60000001",
    "fefefd00010000000000020014000100000000000273ebf328b43231421467f3d13d002a0010473435303334300c",
    "40000002",
)
FORK_2_22 = _vector(
    "2.22.0",
    "93e25a94c8b5547c0f6fa4d46114e33e27844b12ef0ba63d25462ed537c08f16",
    "4d7972bb41cfe05b087f8c88dafac91d4c64079a553a132b91ad00fdc455295f",
    "d12b5ed40f5890ad3a0bdf9590dda46cea167559e875e8411acba55b240532dbcacb18833018d6bab7217e2be98bd093",
    "046d979d97c4f9b2aaef5ec06b94c5180f8a9b98139accb99a1dd9033495df92c7dcdeeded3c73c4",
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004178ce8c614a334e137996622fd385fea5b9d1b3ddb17f64c3992b8dcd9204bf1"
    "04ed844beb7277fbcde67344d9ffffe376f733f30b5ef55ddcc50c1161dc5788",
    "03001741045156bcc7d7def68c2ec996f64be8f43ec7fafea46f61aa9935ba8f44c4a2571dd5fd9b86ebb99643499d73bf010e84aeab60f12cec07"
    "1cc4275edc8aaf797ab4040300473045022033fd4a0c4e323553ca6c4559946674ad8662dbf520acf2c653d87220746f3d3e022100c0512be94151"
    "b61e2f5e4a020cc3d3f97bfa54f067d04472ace78834345dff58",
    "19fefd0001000000000001c1d001020304050600300001000000000001259a3fcb9d757e1ed1874d3761742b45fcd37700137bcbea9db3a3c89a4b"
    "a7d79740cfa085928207",
    _HELLO,
    "17fefd0001000000000001001400010000000000010785f46a330854665a955c28",
    "60000001",
    "fdfefd0001000000000002c1d00102030405060020000100000000000269076608a7ebe6f587ffd4bee21311b1a1d865cf914f77eb",
    "40000002",
)
VECTORS = (FORK_2_1, FORK_2_22)
