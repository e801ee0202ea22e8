"""A capture read through the index and record by record, all that came of it as one value to compare."""

from __future__ import annotations

import io
from typing import Any

from analyzer.capture import open_capture
from analyzer.capture.records import Limits
from analyzer.conversations import Conversations, Options
from analyzer.packet import Packet


def read(data: bytes, *, screened: bool, limits: Limits = Limits(), options: Options = Options()) -> dict[str, Any]:  # noqa: B008
    """What reading ``data`` gives; raises InputError for what is no capture."""
    capture = open_capture(io.BytesIO(data), name="test", limits=limits)
    other: list[Packet] = []
    table = Conversations(options, on_other=other.append)
    found: list[object] = []
    for packet in capture.screened(table) if screened else capture.unscreened(table):
        found.extend(table.feed(packet))
    found.extend(table.finish())
    return {
        "conversations": found, "other": sorted(other, key=lambda packet: packet.number), "problems": capture.problems, "status": capture.status, "packets": capture.packets,
        "bytes": capture.bytes, "first": capture.first_ns, "last": capture.last_ns, "sha256": capture.sha256,
        "link types": capture.link_types, "digits": capture.digits, "secrets": capture.secrets, "names": capture.names,
    }  # fmt: skip
