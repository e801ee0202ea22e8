"""Every request of Particle's protocol, one row of the table at a time."""

from __future__ import annotations

import pytest

from dissectors import coap
from dissectors.coap import Message
from dissectors.events import Direction
from dissectors.particle import describe_bytes
from dissectors.requests import REQUESTS, size_of

UP, DOWN = Direction.UP, Direction.DOWN


def text(value: str) -> str:
    return value.encode().hex()


#: (direction, wire, type, summary). Layouts: device-os communication/src/messages.cpp@v0.6.3 and @v2.0.0,
#: spark-protocol js/lib/Messages.js@2c797c1.
REQUEST_CASES = [
    (UP, "50020001b168ff0006000100000006", "hello", "Hello: Photon, product 6, firmware version 1"),
    (UP, "50020001b168ff0006", "hello", "Hello that does not parse: 2 bytes wanted at offset 2, 0 there"),
    (DOWN, "50020001b168", "hello", "Hello from the cloud"),
    (UP, "50020001b165" + "0474656d70" + "ff3231", "event", "publishes event temp, 2 bytes"),
    (UP, "50020001b145" + "0474656d70" + "33000e10" + "ff3231", "event", "publishes event temp, 2 bytes"),
    (DOWN, "50020001b165" + "0474656d70", "event", "delivers event temp, 0 bytes"),
    (DOWN, "50020001b145" + "036c6162" + "036d7367" + "ff31", "event", "delivers event lab/msg, 1 byte"),
    (UP, "40010001b165" + "05" + text("spark"), "subscribe", "subscribes to spark"),
    (UP, "40010001b145" + "0161" + "4175", "subscribe", "subscribes to a of its owner's devices"),
    (UP, "40010001b165" + "0161" + "ff" + text("0a10aced202194944a042f01"), "subscribe", "subscribes to a"),
    (DOWN, "41020001aab166" + "036c6564" + "426f6e", "function-call", "calls led, argument of 2 bytes"),
    (DOWN, "41010001aab176" + "0474656d70", "variable-request", "reads variable temp"),
    (DOWN, "41010001aab164", "describe-request", "asks what the device is"),
    (DOWN, "41010001aab164" + "4103", "describe-request", "asks what the device is (system, application)"),
    (UP, "40020001b164" + "4102" + "ff" + text('{"f":[],"v":{}}'), "describe", "describes itself: 0 functions, 0 variables"),
    (UP, "41010001aab174", "time-request", "asks for the time"),
    (DOWN, "41020001aab175" + "ff" + "01" + "0200" + "00001000" + "00" + "00000000", "update-begin",
     "starts an update of 4096 bytes in chunks of 512"),
    (DOWN, "41020001aab175", "update-begin", "starts an update"),
    (DOWN, "41020001aab163" + "4411223344" + "020007" + "ff" + "00" * 16, "chunk", "update chunk 7, 16 bytes"),
    (DOWN, "41020001aab163" + "4411223344" + "ff" + "00" * 16, "chunk", "update chunk, 16 bytes"),
    (UP, "40010001b163" + "ff" + "00030009", "chunk-missed", "missed update chunks 3, 9"),
    (DOWN, "41030001aab175", "update-done", "says the update is complete"),
    (UP, "40030001b175", "update-done", "reports the update done"),
    (DOWN, "41020001aab153" + "e206f1" + "1000", "ota-start", "starts an update of 4096 bytes (OTA v3)"),
    (DOWN, "41020001aab153", "ota-start", "starts an update (OTA v3)"),
    (DOWN, "41020001aab146", "ota-finish", "finishes the update (OTA v3)"),
    (DOWN, "41020001aab146" + "e006fd", "ota-finish", "discards the update (OTA v3)"),
    (DOWN, "41020001aab146" + "e00701", "ota-finish", "cancels the update (OTA v3)"),
    (DOWN, "41020001aab143" + "e006e9", "ota-chunk", "update chunk 0, 0 bytes (OTA v3)"),
    (DOWN, "41020001aab143" + "ff" + "00" * 5, "ota-chunk", "update chunk, 5 bytes (OTA v3)"),
    (UP, "50020001b141", "ota-ack", "acknowledges update chunks (OTA v3)"),
    (UP, "40020001b178" + "ff" + "0506" + "3c", "goodbye", "says goodbye: reason sleep, sleep s 60"),
    (UP, "40020001b178" + "ff" + "0206", "goodbye", "says goodbye: reset reason 6"),
    (UP, "40020001b178", "goodbye", "says goodbye"),
    (UP, "40020001b178" + "ff" + "01", "goodbye", "says goodbye: malformed True"),
    (UP, "40020001b178" + "ff" + "04" + "a09c01", "goodbye", "says goodbye: sleep s 20000"),
    (UP, "40020001b178" + "ff" + "04" + "ffffffff0f", "goodbye", "says goodbye: sleep s 4294967295"),
    (UP, "40020001b178" + "ff" + "0c" + "8080808080" + "03", "goodbye", "says goodbye: sleep s 0, network reason 3"),
    (DOWN, "41020001aab14d" + "ff" + "00" * 9, "server-moved", "tells the device to move to another server"),
    (DOWN, "40030001b16b" + "4101", "key-change", "changes a key, discarding the session"),
    (DOWN, "40030001b16b", "key-change", "changes a key"),
    (DOWN, "40030001b173" + "4101", "signal", "turns signalling on"),
    (DOWN, "40030001b173" + "ff00", "signal", "turns signalling off"),
    (DOWN, "41020001aab173", "save-begin", "starts a save"),
]  # fmt: skip


@pytest.mark.parametrize(("direction", "wire", "kind", "summary"), REQUEST_CASES)
def test_requests(direction: Direction, wire: str, kind: str, summary: str) -> None:
    found = describe_bytes(bytes.fromhex(wire), direction)
    assert (found.type, found.summary) == (kind, summary)


def test_every_row_of_the_table_is_tested() -> None:
    covered = set()
    for direction, wire, kind, _ in REQUEST_CASES:
        message = Message.from_wire(bytes.fromhex(wire))
        key = (message.code, message.path[0][:1], direction)
        assert key in REQUESTS, kind
        covered.add(key)
    # The cloud's subscription letters and both event letters differ only in case.
    assert covered >= {key for key in REQUESTS if key[:2] not in ((coap.GET, "E"), (coap.POST, "e"), (coap.POST, "E"))}


def test_sizes_in_words() -> None:
    assert [size_of(bytes(n)) for n in (0, 1, 2)] == ["0 bytes", "1 byte", "2 bytes"]


def test_a_subscription_to_one_device_names_it() -> None:
    wire = bytes.fromhex("40010001b1650161ff" + text("0a10aced202194944a042f01"))
    assert describe_bytes(wire, UP).facts["from_device"] == "0a10aced202194944a042f01"
