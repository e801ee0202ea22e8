"""Particle's CoAP requests, each named and described: the table is REQUESTS.

A request is known by code, first path letter and direction: the device itself looks at no more
(device-os communication/src/messages.cpp decodeType()@v0.4.9..v6.2.0). Letters that only the device sends are those of
the servers' route tables: spark-protocol js/lib/Messages.js@2c797c1 Spec, Brewskey/spark-protocol
src/lib/MessageSpecifications.js@f664ab3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dissectors import coap
from dissectors.coap import GET, POST, PUT, Message
from dissectors.description import summarise
from dissectors.detect import quote
from dissectors.errors import WireError
from dissectors.events import Direction, Fact
from dissectors.hello import Hello
from dissectors.wire import Cursor

UP, DOWN = Direction.UP, Direction.DOWN
#: Longest name (event, function, variable) repeated in a summary; Particle allows 64.
NAME_SHOWN = 64
#: Longest system event data repeated in a summary. Data of other events is the user's and only measured.
DATA_SHOWN = 64

_DESCRIBE_FLAGS = {1: "system", 2: "application", 4: "metrics"}
_CLOUD_REASONS = {
    1: "error", 2: "user", 3: "network disconnect", 4: "listening mode",
    5: "system reset", 6: "sleep", 7: "unknown", 8: "server moved",
}  # fmt: skip
#: Bits of the event spark/device/key/error (device-os v0.7.0+).
_KEY_ERRORS = {
    1: "server key was blank", 2: "server key was corrupt",
    4: "server address was blank", 8: "server address was corrupt",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """One message as a report shows it. ``type`` is stable kebab-case; ``facts`` hold no user data."""

    type: str
    summary: str
    facts: Mapping[str, Fact] = field(default_factory=dict)


def _shown(text: str, limit: int = NAME_SHOWN) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _name(message: Message) -> str:
    """What follows the first path letter, joined as the user wrote it."""
    return _shown("/".join(message.path[1:]))


def size_of(data: bytes) -> str:
    """ "1 byte", "2 bytes"."""
    return f"{len(data)} byte" + ("" if len(data) == 1 else "s")


# Requests, each described by one small function of (message, direction)


def _hello(message: Message, direction: Direction) -> MessageSummary:
    if direction is DOWN:
        return MessageSummary("hello", "Hello from the cloud")
    try:
        hello = Hello.from_wire(message.payload)
    except WireError as error:
        return MessageSummary("hello", f"Hello that does not parse: {error}", {"malformed": True})
    return MessageSummary("hello", f"Hello: {hello.summary}", hello.facts)


def _event(message: Message, direction: Direction) -> MessageSummary:
    name = _name(message)
    private = message.path[0].startswith("E")
    facts: dict[str, Fact] = {"name": name, "data_bytes": len(message.payload), "private": private}
    ages = message.values(coap.MAX_AGE)
    if ages and len(ages[0]) <= 4:
        facts["ttl"] = int.from_bytes(ages[0], "big")
    what = "publishes" if direction is UP else "delivers"
    summary = f"{what} event {name}, {size_of(message.payload)}"
    if _is_system_event(name):
        data = quote(message.payload, DATA_SHOWN)
        facts["data"] = data
        summary = f"{what} event {name}: {data}" if data else f"{what} event {name}"
        if name.endswith("device/key/error") and data.isdecimal():
            problems = tuple(text for bit, text in _KEY_ERRORS.items() if int(data) & bit)
            facts["key_errors"] = problems
            summary += f" ({', '.join(problems)})" if problems else ""
    return MessageSummary("event", summary, facts)


def _is_system_event(name: str) -> bool:
    """Events of the system itself say what happened to the device; the claim code is a secret of its owner."""
    return name.startswith(("spark/", "particle/")) and "claim" not in name


def _subscribe(message: Message, _: Direction) -> MessageSummary:
    name = _name(message)
    mine = b"u" in message.values(coap.URI_QUERY)
    facts: dict[str, Fact] = {"name": name, "my_devices": mine}
    if len(message.payload) == 24:
        facts["from_device"] = quote(message.payload)
    return MessageSummary("subscribe", f"subscribes to {name}" + (" of its owner's devices" if mine else ""), facts)


def _function_call(message: Message, _: Direction) -> MessageSummary:
    name = _name(message)
    argument = b"".join(message.values(coap.URI_QUERY))
    return MessageSummary(
        "function-call",
        f"calls {name}, argument of {size_of(argument)}",
        {"name": name, "argument_bytes": len(argument)},
    )


def _variable_request(message: Message, _: Direction) -> MessageSummary:
    return MessageSummary("variable-request", f"reads variable {_name(message)}", {"name": _name(message)})


def _describe_request(message: Message, _: Direction) -> MessageSummary:
    parts = _describe_parts(message)
    return MessageSummary(
        "describe-request", "asks what the device is" + (f" ({', '.join(parts)})" if parts else ""), {"parts": parts}
    )


def _describe_upload(message: Message, _: Direction) -> MessageSummary:
    parts = _describe_parts(message)
    summary, facts = summarise(message.payload)
    return MessageSummary("describe", summary, {**facts, "parts": parts, "by_itself": True})


def _describe_parts(message: Message) -> tuple[str, ...]:
    queries = message.values(coap.URI_QUERY)
    flags = queries[0][0] if queries and len(queries[0]) == 1 else 0
    return tuple(name for bit, name in _DESCRIBE_FLAGS.items() if flags & bit)


def _time_request(_: Message, __: Direction) -> MessageSummary:
    return MessageSummary("time-request", "asks for the time")


def _update_begin(message: Message, _: Direction) -> MessageSummary:
    facts: dict[str, Fact] = {}
    try:
        cursor = Cursor(message.payload)
        flags, facts["chunk_bytes"], facts["file_bytes"] = cursor.u8(), cursor.u16(), cursor.u32()
        facts["fast"], facts["store"] = bool(flags & 1), cursor.u8()
    except WireError:
        return MessageSummary("update-begin", "starts an update", facts)
    return MessageSummary(
        "update-begin", f"starts an update of {facts['file_bytes']} bytes in chunks of {facts['chunk_bytes']}", facts
    )


def _chunk(message: Message, _: Direction) -> MessageSummary:
    queries = message.values(coap.URI_QUERY)
    facts: dict[str, Fact] = {"bytes": len(message.payload)}
    if len(queries) > 1 and len(queries[1]) <= 2:
        facts["index"] = int.from_bytes(queries[1], "big")
    which = f" {facts['index']}" if "index" in facts else ""
    return MessageSummary("chunk", f"update chunk{which}, {size_of(message.payload)}", facts)


def _chunk_missed(message: Message, _: Direction) -> MessageSummary:
    whole = message.payload[: len(message.payload) & ~1]
    indexes = struct.unpack(f">{len(whole) // 2}H", whole)
    listed = ", ".join(map(str, indexes[:8])) + ("…" if len(indexes) > 8 else "")
    return MessageSummary("chunk-missed", f"missed update chunks {listed}", {"indexes": indexes[:64]})


def _update_done(message: Message, direction: Direction) -> MessageSummary:
    who = "reports the update done" if direction is UP else "says the update is complete"
    return MessageSummary("update-done", who, {"result_bytes": len(message.payload)})


def _ota_start(message: Message, _: Direction) -> MessageSummary:
    facts = _ota_numbers(message)
    size = f" of {facts['file_bytes']} bytes" if "file_bytes" in facts else ""
    return MessageSummary("ota-start", f"starts an update{size} (OTA v3)", facts)


def _ota_finish(message: Message, _: Direction) -> MessageSummary:
    facts = _ota_numbers(message)
    what = "cancels" if facts.get("cancel") else "discards" if facts.get("discard") else "finishes"
    return MessageSummary("ota-finish", f"{what} the update (OTA v3)", facts)


def _ota_chunk(message: Message, _: Direction) -> MessageSummary:
    facts = _ota_numbers(message)
    which = f" {facts['index']}" if "index" in facts else ""
    return MessageSummary("ota-chunk", f"update chunk{which}, {size_of(message.payload)} (OTA v3)", facts)


def _ota_ack(message: Message, _: Direction) -> MessageSummary:
    return MessageSummary("ota-ack", "acknowledges update chunks (OTA v3)", _ota_numbers(message))


#: Option numbers of OTA v3 (device-os communication/src/firmware_update.cpp@v3.0.0).
_OTA_OPTIONS = {2049: "index", 2053: "window", 2057: "file_bytes", 2065: "chunk_bytes", 2069: "discard", 2073: "cancel"}


def _ota_numbers(message: Message) -> dict[str, Fact]:
    found: dict[str, Fact] = {}
    for number, value in message.options:
        if number in _OTA_OPTIONS and len(value) <= 4:
            name = _OTA_OPTIONS[number]
            # Discard and cancel are there or not; an empty number is 0 (RFC 7252, 3.2).
            found[name] = True if name in ("discard", "cancel") else int.from_bytes(value, "big")
    return found


def _goodbye(message: Message, _: Direction) -> MessageSummary:
    """Varint flags, then one varint per flag (device-os messages.cpp goodbye()@v2.0.0)."""
    facts: dict[str, Fact] = {}
    try:
        cursor = Cursor(message.payload)
        flags = _varint(cursor) if len(cursor) else 0
        for bit, name in ((1, "reason"), (2, "reset_reason"), (4, "sleep_s"), (8, "network_reason")):
            if flags & bit:
                facts[name] = _varint(cursor)
    except WireError:
        facts["malformed"] = True
    code = facts.get("reason")
    if isinstance(code, int):
        facts["reason"] = _CLOUD_REASONS.get(code, str(code))
    details = [f"{name.replace('_', ' ')} {value}" for name, value in facts.items()]
    return MessageSummary("goodbye", "says goodbye" + (f": {', '.join(details)}" if details else ""), facts)


def _varint(cursor: Cursor) -> int:
    value = 0
    for shift in range(0, 35, 7):
        byte = cursor.u8()
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value


def _server_moved(message: Message, _: Direction) -> MessageSummary:
    return MessageSummary(
        "server-moved", "tells the device to move to another server", {"payload_bytes": len(message.payload)}
    )


def _key_change(message: Message, _: Direction) -> MessageSummary:
    queries = message.values(coap.URI_QUERY)
    discard = bool(queries and queries[0][:1] == b"\x01")
    return MessageSummary(
        "key-change", "changes a key" + (", discarding the session" if discard else ""), {"discard_session": discard}
    )


def _signal(message: Message, _: Direction) -> MessageSummary:
    queries = message.values(coap.URI_QUERY)
    state = (queries[0] if queries else message.payload)[:1]
    on = bool(state and state[0])
    return MessageSummary("signal", f"turns signalling {'on' if on else 'off'}", {"on": on})


def _save_begin(message: Message, _: Direction) -> MessageSummary:
    return MessageSummary("save-begin", "starts a save", {"payload_bytes": len(message.payload)})


_Describer = Callable[[Message, Direction], MessageSummary]
#: (code, first path letter, direction) of every request and what describes it.
REQUESTS: Mapping[tuple[int, str, Direction], _Describer] = {
    (POST, "h", UP): _hello,
    (POST, "h", DOWN): _hello,
    (POST, "e", UP): _event,
    (POST, "E", UP): _event,
    (POST, "e", DOWN): _event,
    (POST, "E", DOWN): _event,
    (GET, "e", UP): _subscribe,
    (GET, "E", UP): _subscribe,
    (POST, "f", DOWN): _function_call,
    (GET, "v", DOWN): _variable_request,
    (GET, "d", DOWN): _describe_request,
    (POST, "d", UP): _describe_upload,
    (GET, "t", UP): _time_request,
    (POST, "u", DOWN): _update_begin,
    (POST, "c", DOWN): _chunk,
    (GET, "c", UP): _chunk_missed,
    (PUT, "u", DOWN): _update_done,
    (PUT, "u", UP): _update_done,
    (POST, "S", DOWN): _ota_start,
    (POST, "F", DOWN): _ota_finish,
    (POST, "C", DOWN): _ota_chunk,
    (POST, "A", UP): _ota_ack,
    (POST, "x", UP): _goodbye,
    (POST, "M", DOWN): _server_moved,
    (PUT, "k", DOWN): _key_change,
    (PUT, "s", DOWN): _signal,
    (POST, "s", DOWN): _save_begin,
}
