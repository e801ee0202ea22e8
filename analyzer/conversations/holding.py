"""The flows that are held, in queues ordered by last activity, and who has to go when it is too long or too much."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from analyzer.conversations.flow import Flow
from analyzer.conversations.model import Ended
from analyzer.conversations.options import Options
from analyzer.packet import TCP

#: The clock takes no greater step at once: a capture clock that is set must not end every conversation.
_STEP_NS = 60 * 1_000_000_000

_Queue = OrderedDict[Flow, None]


class Holding:
    """Flows by kind and age. Its clock is the capture's, but never runs back and takes no step beyond a minute."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._tcp: _Queue = OrderedDict()
        self._udp: _Queue = OrderedDict()
        self._closing: _Queue = OrderedDict()
        self._bytes = 0
        self._clock = 0
        self._last_ns: int | None = None

    def __len__(self) -> int:
        return len(self._tcp) + len(self._udp) + len(self._closing)

    def touch(self, flow: Flow, cost: int) -> None:
        """``flow`` has a packet more, which takes ``cost`` bytes; new flows come in this way too."""
        flow.touched = self._clock
        self._bytes += cost
        if flow.closed:
            self._tcp.pop(flow, None)
            self._closing[flow] = None
            self._closing.move_to_end(flow)
        else:
            queue = self._tcp if flow.protocol == TCP else self._udp
            queue[flow] = None
            queue.move_to_end(flow)

    def drop(self, flow: Flow) -> None:
        """Forgets ``flow``."""
        for queue in (self._tcp, self._udp, self._closing):
            if flow in queue:
                del queue[flow]
                self._bytes -= flow.cost
                return

    def advance(self, time_ns: int) -> None:
        """Sets the clock."""
        last, self._last_ns = self._last_ns, time_ns
        if last is not None and time_ns > last:
            self._clock += min(time_ns - last, _STEP_NS)

    def overdue(self) -> Iterator[tuple[Flow, Ended]]:
        """Flows that were silent for too long. Each must be dropped before the next is asked for."""
        options = self._options
        for queue, limit, ended in (
            (self._closing, options.closed_ns, "closed"),
            (self._tcp, options.tcp_idle_ns, "idle"),
            (self._udp, options.udp_idle_ns, "idle"),
        ):
            while queue and limit is not None:
                flow = next(iter(queue))
                if self._clock - flow.touched < limit:
                    break
                yield flow, ended  # type: ignore[misc]  # the literals above are Ended

    def surplus(self) -> Flow | None:
        """The flow that has to go because there are too many or too large ones: closed ones first, then the oldest."""
        if len(self) <= self._options.conversations and self._bytes <= self._options.held:
            return None
        if self._closing:
            return next(iter(self._closing))
        oldest = [next(iter(queue)) for queue in (self._tcp, self._udp) if queue]
        # One flow alone is bounded by its own limits.
        return min(oldest, key=lambda flow: flow.last_frame) if len(self) > 1 else None

    def flows(self) -> tuple[Flow, ...]:
        """What is held now."""
        return (*self._closing, *self._tcp, *self._udp)

    def all(self) -> Iterator[tuple[Flow, Ended]]:
        """What is left at the end, by last activity. Each must be dropped before the next is asked for."""
        while self._closing:
            yield next(iter(self._closing)), "closed"
        for flow in sorted((*self._tcp, *self._udp), key=lambda flow: flow.last_frame):
            yield flow, "capture-end"
