"""Key logs and saved sessions."""

from __future__ import annotations

from zlib import crc32

from captures.zoo import forms
from captures.zoo.base import (
    CLIENT,
    EC,
    EC_CLOUD,
    MASTER,
    SERVER,
    UDP_DEVICE,
    Row,
    add,
    private,
    stored,
)


def secrets() -> None:
    line = f"CLIENT_RANDOM {CLIENT.hex()} {MASTER.hex()}\n".encode()
    row = Row("session-secrets")
    add("secrets/keylog/sslkeys.log", b"# a comment\n" + line, row)
    add("secrets/keylog-any-name/notes.txt", line, row)
    add(
        "secrets/keylog-tls13/tls.keylog",
        f"CLIENT_TRAFFIC_SECRET_0 {CLIENT.hex()} {SERVER.hex()}\n".encode(),
        Row("session-secrets", problem="a key log without TLS 1.2 secrets"),
    )
    parts = crc32(EC_CLOUD.spki).to_bytes(4, "little") + crc32(EC.sec1).to_bytes(4, "little")
    for size in (208, 220, 228, 238, 262):
        for wide in (False, True):
            dump = forms.session(size, wide=wide, client=CLIENT, server=SERVER, master=MASTER, checksum=crc32(parts))
            add(f"secrets/persist-{size}{'-64bit' if wide else ''}/session.bin", dump, row)
    ram = forms.placed(4096, {1000: dump}, 0)
    add("secrets/persist-in-ram/backup_ram.bin", ram, row)
    add(f"secrets/persist-with-keys/{UDP_DEVICE}.session.bin", dump, Row("session-secrets", device=UDP_DEVICE))
    add(f"secrets/persist-with-keys/{UDP_DEVICE}.device.der", EC.sec1, private(EC, device=UDP_DEVICE))
    add(f"secrets/persist-with-keys/{UDP_DEVICE}.server.pub.der", EC_CLOUD.spki, stored(EC_CLOUD, device=UDP_DEVICE))
    add("secrets/persist-erased/session.bin", b"\xff" * 262, Row("session-secrets", problem="no saved session"))
