"""What Particle's CoAP messages mean: a name, a sentence and facts for each, over TCP and UDP alike.

Requests are named by :mod:`dissectors.requests`; responses by the request they answer, which :class:`Namer` remembers,
or by shape where it is not known.
"""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TypeVar

from dissectors import coap
from dissectors.coap import CHANGED, CONTENT, EMPTY, GET, Message, Type
from dissectors.description import summarise
from dissectors.detect import quote
from dissectors.errors import WireError
from dissectors.events import Direction, Fact
from dissectors.requests import NAME_SHOWN, REQUESTS, MessageSummary, size_of

__all__ = ["MessageSummary", "Namer", "describe", "describe_bytes"]

UP, DOWN = Direction.UP, Direction.DOWN
K = TypeVar("K")
V = TypeVar("V")


def _value(payload: bytes) -> tuple[str, dict[str, Fact]]:
    """A variable's value by its size; text is the user's and only measured."""
    if len(payload) == 1 and payload[0] < 2:
        return f"bool {bool(payload[0])}", {"kind": "bool", "value": bool(payload[0])}
    if len(payload) == 4:
        number = int.from_bytes(payload, "big", signed=True)
        return f"int {number}, or 4 characters", {"kind": "int", "value": number}
    if len(payload) == 8:
        double = struct.unpack("<d", payload)[0]
        if not math.isfinite(double):
            return f"double {double}, or 8 characters", {"kind": "double"}
        return f"double {double:.6g}, or 8 characters", {"kind": "double", "value": double}
    return f"{len(payload)} characters", {"kind": "string", "bytes": len(payload)}


def _time(payload: bytes) -> MessageSummary:
    seconds = int.from_bytes(payload, "big")
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return MessageSummary("time", f"tells the time: {text}", {"time": text})


def _response(message: Message, direction: Direction, asked: str | None) -> MessageSummary:
    """Name a response by what was asked (its request's type), or by shape when that is not known."""
    payload = message.payload
    if message.code >> 5 != 2:
        return MessageSummary(
            "error-response",
            f"answers {message.code_text} {message.code_name}" + (f" to {asked}" if asked else ""),
            {"code": message.code_text, "answers": asked},
        )
    if message.code == CONTENT and direction is DOWN and len(payload) == 4 and asked in (None, "time-request"):
        return _time(payload)
    if message.code == CONTENT and direction is UP:
        if asked == "describe-request" or (asked is None and payload.startswith((b'{"', b'{ "'))):
            return MessageSummary("describe", *summarise(payload))
        text, facts = _value(payload)
        return MessageSummary("variable-value", f"variable value: {text}", facts)
    if message.code == CHANGED and direction is UP:
        if asked == "update-begin":
            return MessageSummary("update-ready", "is ready for the update", {})
        if asked == "chunk":
            return MessageSummary("chunk-received", "has the chunk", {})
        if len(payload) == 4 and asked in (None, "function-call"):
            number = int.from_bytes(payload, "big", signed=True)
            return MessageSummary("function-return", f"function returned {number}", {"value": number})
        if payload == b"\x01" and asked is None:
            return MessageSummary("update-ready", "is ready for the update", {})
    return MessageSummary(
        "response",
        f"answers {message.code_text} {message.code_name}" + (f", {size_of(payload)}" if payload else ""),
        {"code": message.code_text, "bytes": len(payload), "answers": asked},
    )


def _swapped_ack(message: Message, direction: Direction) -> bool:
    """v0.4.0 and v0.4.1 shift an empty ACK's fields: ``60 | id high | id low | 00`` (tcp.md section 3)."""
    return (
        direction is UP
        and message.type is Type.ACK
        and not (message.token or message.options or message.payload)
        and message.code != EMPTY
        and not message.is_response
        and message.message_id & 0xFF == 0
    )


def describe(message: Message, direction: Direction, asked: str | None = None) -> MessageSummary:
    """Name one message. ``asked`` is the type of the request it answers, when known (see :class:`Namer`)."""
    if message.code == EMPTY:
        name = {Type.CON: "ping", Type.NON: "ping", Type.ACK: "ack", Type.RST: "reset"}[message.type]
        what = {"ping": "ping", "ack": "acknowledges", "reset": "rejects"}[name]
        return MessageSummary(name, what if name == "ping" else f"{what} message {message.message_id}", {})
    if _swapped_ack(message, direction):
        number = message.code << 8 | message.message_id >> 8
        return MessageSummary("ack", f"acknowledges message {number} (v0.4.0 form)", {"shifted": True})
    if message.is_response:
        return _response(message, direction, asked)
    letter = message.path[0][:1] if message.path else ""
    describer = REQUESTS.get((message.code, letter, direction))
    if describer is not None:
        return describer(message, direction)
    if message.type is Type.ACK and message.code == GET:
        # A macro with || for | made 4.00 into 0.01 until v0.4.7.
        return MessageSummary("error-response", "answers 4.00 (sent as 0.01 by firmware before v0.4.7)", {})
    path = quote("/".join(message.path).encode("utf-8"), NAME_SHOWN)
    return MessageSummary("unknown", f"{message.code_name} /{path}, {size_of(message.payload)}", {"path": path})


def describe_bytes(data: bytes, direction: Direction) -> MessageSummary:
    """Name the message in ``data``; type ``malformed`` when it is no CoAP. Never raises."""
    message = coap.parse(data)
    if isinstance(message, WireError):
        return MessageSummary("malformed", f"no CoAP message: {message}", {"bytes": len(data)})
    return describe(message, direction)


class Namer:
    """Names the messages of one session in order: responses by their requests, repeats and counter jumps as facts.

    Facts it adds: ``id``; ``retransmission`` (same sender, id and bytes: UDP repeats, RFC 7252 4.2);
    ``answers`` (what an ACK or response answers); ``counter_jump`` (ids over TCP go up by one, servers drop others:
    spark-protocol js/clients/SparkCore.js "Bad Counter"); ``block1``/``block2`` (RFC 7959). Remembers 256 ids a side.
    """

    REMEMBERED = 256

    def __init__(self) -> None:
        self._seen: dict[Direction, OrderedDict[int, tuple[bytes, str]]] = {UP: OrderedDict(), DOWN: OrderedDict()}
        self._asked: dict[Direction, OrderedDict[bytes, str]] = {UP: OrderedDict(), DOWN: OrderedDict()}
        self._last_id: dict[Direction, int] = {}

    def name(self, data: bytes, direction: Direction) -> MessageSummary:
        """Name the next message of ``direction``. Never raises."""
        message = coap.parse(data)
        if isinstance(message, WireError):
            return MessageSummary("malformed", f"no CoAP message: {message}", {"bytes": len(data)})
        asked = self._answered(message, direction)
        summary = describe(message, direction, asked)
        facts: dict[str, Fact] = {"id": message.message_id, **summary.facts}
        if asked is not None:
            facts["answers"] = asked
        for key, number in (("block1", coap.BLOCK1), ("block2", coap.BLOCK2)):
            block = message.block(number)
            if block is not None:
                facts[key] = f"{block.number} of {block.size} bytes" + (", more to come" if block.more else "")
        if message.type in (Type.CON, Type.NON):
            facts |= self._count(message, direction, data, summary.type)
        return MessageSummary(summary.type, summary.summary, facts)

    def _answered(self, message: Message, direction: Direction) -> str | None:
        other = direction.other
        if message.is_response and message.token in self._asked[other]:
            return self._asked[other][message.token]
        if message.type in (Type.ACK, Type.RST):
            seen = self._seen[other].get(message.message_id)
            return seen[1] if seen else None
        return None

    def _count(self, message: Message, direction: Direction, data: bytes, name: str) -> dict[str, Fact]:
        facts: dict[str, Fact] = {}
        seen = self._seen[direction]
        before = seen.get(message.message_id)
        if before is not None and before[0] == data:
            return {"retransmission": True}
        last = self._last_id.get(direction)
        if last is not None and message.message_id != (last + 1) & 0xFFFF:
            facts["counter_jump"] = (message.message_id - last) & 0xFFFF
        self._last_id[direction] = message.message_id
        _remember(seen, message.message_id, (data, name), self.REMEMBERED)
        if message.is_request and message.token:
            _remember(self._asked[direction], message.token, name, self.REMEMBERED)
        return facts


def _remember(memory: OrderedDict[K, V], key: K, value: V, limit: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > limit:
        memory.popitem(last=False)
