"""Questions with what came of them, and which of them led to a session."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address

from analyzer.names.messages import Parsed
from dissectors.events import Direction, Status, Step

#: A look-up belongs to a connection that starts within this time of its answer (ns): firmware connects at once; the
#: resolver's own cache may repeat an answer for as long as its TTL, but the device asks again for each attempt.
BELONGS_NS = 120_000_000_000
#: A question that comes this long after the last of its kind is no repetition of it (ns): resolvers repeat within seconds.
_AGAIN_NS = 15_000_000_000
#: Two captures of one packet, on both sides of a gateway, are closer than this (ns).
_COPY_NS = 2_000_000


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question and what came of it. ``rcode`` None: no answer in the capture."""

    name: str
    client: bytes
    frames: tuple[int, ...]
    asked_ns: int
    answered_ns: int | None = None
    addresses: tuple[bytes, ...] = ()
    rcode: str | None = None
    tries: int = 1
    #: What was asked for: A or AAAA.
    kind: str = "A"
    #: Time of the last question, when it was asked more than once.
    last_asked_ns: int | None = None

    @property
    def failed(self) -> bool:
        """Whether it gave no address."""
        return not self.addresses


def pair(parsed: Iterable[Parsed]) -> list[Lookup]:
    """Questions with their answers, by client, name and kind; repeated questions are tries of one look-up."""
    found: list[Lookup] = []
    open_at: dict[tuple[bytes, str, str], int] = {}
    seen: dict[tuple[int, str, str, bytes, int, bool], int] = {}
    for item in parsed:
        raw = item.raw
        packet = (item.id, item.name, item.kind, raw.client, raw.port, raw.is_answer)
        before = seen.get(packet)
        seen[packet] = raw.time_ns
        if before is not None and abs(raw.time_ns - before) < _COPY_NS:
            continue  # the same packet captured twice
        key = (raw.client, item.name.lower(), item.kind)
        index = open_at.get(key)
        old = found[index] if index is not None else None
        if raw.is_answer:
            answer = {"answered_ns": raw.time_ns, "addresses": item.addresses, "rcode": item.rcode}
            if old is not None and index is not None:
                found[index] = replace(old, frames=(*old.frames, *raw.frames), **answer)  # type: ignore[arg-type]  # names and types are those of the fields
                del open_at[key]
            else:
                found.append(Lookup(item.name, raw.client, raw.frames, raw.time_ns, kind=item.kind, **answer))  # type: ignore[arg-type]  # as above
        elif old is not None and index is not None and raw.time_ns - (old.last_asked_ns or old.asked_ns) < _AGAIN_NS:
            frames = (*old.frames, *raw.frames)
            found[index] = replace(old, frames=frames, tries=old.tries + 1, last_asked_ns=raw.time_ns)
        else:
            open_at[key] = len(found)
            found.append(Lookup(item.name, raw.client, raw.frames, raw.time_ns, kind=item.kind))
    return sorted(found, key=lambda lookup: lookup.asked_ns)


def leading_to(lookups: Iterable[Lookup], client: bytes, address: bytes, start_ns: int) -> Lookup | None:
    """The last look-up by ``client`` that yields ``address`` and was answered shortly before ``start_ns``."""
    fitting = [
        lookup
        for lookup in lookups
        if lookup.client == client
        and address in lookup.addresses
        and lookup.answered_ns is not None
        and 0 <= start_ns - lookup.answered_ns <= BELONGS_NS
    ]
    return fitting[-1] if fitting else None


def as_step(lookup: Lookup) -> Step:
    """The ``name-resolution`` row of a session."""
    answers = tuple(str(ip_address(address)) for address in lookup.addresses)
    return Step(
        "name-resolution",
        Status.SEEN if answers else Status.PARTIAL,
        Direction.UP,
        lookup.frames,
        lookup.asked_ns,
        lookup.answered_ns if lookup.answered_ns is not None else lookup.asked_ns,
        fields={"name": lookup.name, "answers": answers, "rcode": lookup.rcode, "summary": summary(lookup)},
    )


def summary(lookup: Lookup) -> str:
    """What came of it, in a few words: ``device.spark.io = 203.0.113.10``, ``device.spark.io: NXDOMAIN``."""
    answers = [str(ip_address(address)) for address in lookup.addresses[:3]]
    if answers:
        return f"{lookup.name} = {', '.join(answers)}"
    tried = f", asked {lookup.tries} times" if lookup.tries > 1 else ""
    return f"{lookup.name}: {_failure(lookup)}{tried}"


def _failure(lookup: Lookup) -> str:
    if lookup.rcode is None:
        return "no answer"
    return "no address (NOERROR)" if lookup.rcode == "NOERROR" else lookup.rcode
