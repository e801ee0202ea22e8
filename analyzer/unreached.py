"""Names that led to no connection: a device asked for its cloud, and no packet to that cloud follows.

Only names that nobody but a device asks for count: Particle's own, and those that the key folder's server-key slots hold.
A forwarder that repeats a device's question towards the internet is not a second device.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from analyzer.case import Case
from analyzer.firmware.case import RemedyContext
from analyzer.firmware.families import known_host
from analyzer.firmware.remedies import finding_remedy, remedy
from analyzer.keys import Key, KeyRing
from analyzer.keys.faults import is_unparsable
from analyzer.model import Code, Ending, Endpoint, InputProblem, Remedy, Role
from analyzer.names import BELONGS_NS, Lookup, Probe, as_step, particle_name
from dissectors.events import Direction, How, Status, Step, Transcript
from dissectors.handshakes import usual_port

#: How long a capture must watch after a question before its silence counts, and after an answer before the device's (ns).
_ANSWER_WATCH_NS, _DEVICE_WATCH_NS = 5_000_000_000, 10_000_000_000
#: A session of the same client that begins this long after a question came of it, whatever DNS said (ns).
_SOON_NS = 60_000_000_000
#: A forwarder repeats a question within this time (ns).
_FORWARDED_NS = 2_000_000_000
#: A and AAAA are asked together: one answer with an address is enough (ns).
_TOGETHER_NS = 5_000_000_000
_MOST_CASES = 1000
_MOST_LOOKUPS = 64
_MOST_NOTES = 8

#: A question: time, frame, client, whether it failed.
_Asked = tuple[int, int, bytes, bool]


@dataclass(frozen=True, slots=True)
class Unreached:
    """What the rules see: all look-ups of one name by one client that led nowhere, all failed or all answered."""

    lookups: tuple[Lookup, ...]
    #: Seconds the capture goes on after the last question or answer.
    watched_s: float

    @property
    def answered(self) -> bool:
        """Whether the last look-up got an address."""
        return not self.lookups[-1].failed

    @property
    def tries(self) -> int:
        """How often the name was asked for."""
        return sum(lookup.tries for lookup in self.lookups)


def stored_hosts(ring: KeyRing) -> dict[str, set[str]]:
    """Server names that the folder's devices have stored, in lower case, with the ids of those devices."""
    found: dict[str, set[str]] = defaultdict(set)
    for key in ring.by_role(Role.DEVICE_SERVER_KEY):
        address = key.server_address
        if address is not None and address.kind == "domain" and address.host:
            device = (key.device_id or "").lower()
            name = address.host.lower().replace("$id", device or "$id")
            if "$" not in name:
                found[name].add(device)
    return found


def unreached(cases: Sequence[Case], lookups: Sequence[Lookup], ring: KeyRing, end_ns: int) -> list[Case]:
    """A case for each client and name that led to no connection, one for failed look-ups and one for answered ones."""
    hosts = stored_hosts(ring)
    groups: dict[tuple[bytes, str, bool], list[Lookup]] = defaultdict(list)
    for lookup in _leading_nowhere(cases, [item for item in lookups if _is_a_clouds(item.name, hosts)]):
        groups[lookup.client, lookup.name.lower(), lookup.failed].append(lookup)
    found = []
    for (_, name, failed), members in list(groups.items())[:_MOST_CASES]:
        last = max(item.answered_ns or item.last_asked_ns or item.asked_ns for item in members)
        said_no = any(item.rcode is not None for item in members)
        if failed and not said_no:
            last = min(item.asked_ns for item in members)  # the first question has waited longest
        watched = end_ns - last
        if watched < (_ANSWER_WATCH_NS if failed else _DEVICE_WATCH_NS) and not (failed and said_no):
            continue
        found.append(_case(name, members, hosts.get(name, set()), watched / 1e9))
    return found


def lonely_tests(cases: Sequence[Case], probes: Iterable[Probe]) -> list[InputProblem]:
    """A note for each client that runs the firmware's internet test (8.8.8.8:53) and tries no cloud in this capture."""
    known = {end.address for case in cases for end in (case.device, *(other.device for other in case.also))}
    found: dict[str, list[Probe]] = defaultdict(list)
    for probe in probes:
        if probe.kind == "tcp" and _text(probe.client) not in known:
            found[_text(probe.client)].append(probe)
    return [
        InputProblem(
            "internet-test-alone",
            f"{client} runs the internet test of Particle firmware (8.8.8.8:53, {_times(len(tests))}) and tries to reach no cloud: "
            "the server address in its flash is unusable, or the capture does not see where it goes; its log (--log) tells",
            tests[0].frames[0],
        )
        for client, tests in list(found.items())[:_MOST_NOTES]
    ]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def silent_devices(ring: KeyRing) -> list[InputProblem]:
    """A note for each device of the folder whose key keeps it silent: for a capture in which no session is."""
    return [
        InputProblem(
            "device-key-damaged",
            f"{key.file}: the private key of {f'device {key.device_id}' if key.device_id else 'a device'} is unusable: {key.problem}. "
            "A UDP device whose key does not parse sends nothing to its cloud, so no capture shows a session of it",
        )
        for key in _silent(ring)
    ]


def advice(notes: Iterable[InputProblem], ring: KeyRing) -> tuple[Remedy, ...]:
    """What to do about notes that say why there is no session."""
    codes = {note.code for note in notes}
    # Only UDP firmware without an address sends nothing but this test; TCP firmware asks for Particle's name.
    found = list(finding_remedy("internet-test-alone", RemedyContext("udp"))) if "internet-test-alone" in codes else []
    for key in _silent(ring) if "device-key-damaged" in codes else ():
        found += remedy(Code.DEVICE_KEY_CORRUPT, RemedyContext("udp", device_id=key.device_id))
    return tuple(dict.fromkeys(found))


def _silent(ring: KeyRing) -> list[Key]:
    return [key for key in ring.by_role(Role.DEVICE_PRIVATE) if is_unparsable(key)][:_MOST_NOTES]


def _is_a_clouds(name: str, hosts: dict[str, set[str]]) -> bool:
    return particle_name(name) is not None or name.lower() in hosts


def _leading_nowhere(cases: Sequence[Case], lookups: Sequence[Lookup]) -> Iterator[Lookup]:
    """Look-ups that no session follows: neither to an address they gave, nor by the client that asked."""
    starts: dict[str, list[int]] = defaultdict(list)
    for case in cases:
        starts[case.device.address].append(case.start_ns)
        starts[case.cloud.address].append(case.start_ns)
    for times in starts.values():
        times.sort()
    # What the other side of a NAT asks is what the device asks.
    outside = {other.device.address for case in cases for other in case.also} - {case.device.address for case in cases}
    lookups = [lookup for lookup in lookups if _text(lookup.client) not in outside]
    asked: dict[str, list[_Asked]] = defaultdict(list)
    for lookup in lookups:
        asked[lookup.name.lower()].append((lookup.asked_ns, lookup.frames[0], lookup.client, lookup.failed))
    for lookup in lookups:
        since = lookup.asked_ns - 1_000_000_000
        if _any_within(starts[_text(lookup.client)], since, lookup.asked_ns + _SOON_NS):
            continue
        given = [_text(address) for address in lookup.addresses]
        if any(_any_within(starts[address], since, lookup.asked_ns + BELONGS_NS) for address in given):
            continue
        near = _near(asked[lookup.name.lower()], lookup.asked_ns)
        if lookup.failed and any(client == lookup.client and not failed for _, _, client, failed in near):
            continue  # asked for A and AAAA: one answer with an address is enough
        if not any(
            client != lookup.client
            and (at, frame) < (lookup.asked_ns, lookup.frames[0])
            and lookup.asked_ns - at <= _FORWARDED_NS
            for at, frame, client, _ in near
        ):
            yield lookup


def _any_within(times: Sequence[int], since: int, until: int) -> bool:
    """Whether one of these times, ascending, lies in between."""
    place = bisect_left(times, since)
    return place < len(times) and times[place] <= until


def _near(asked: list[_Asked], at_ns: int) -> list[_Asked]:
    """The questions around this time, of a list in order of time."""
    first = bisect_left(asked, (at_ns - _TOGETHER_NS, 0, b"", False))
    last = bisect_left(asked, (at_ns + _TOGETHER_NS, 0, b"", False))
    return asked[first:last][:_MOST_LOOKUPS]


def _case(name: str, lookups: list[Lookup], devices: set[str], watched_s: float) -> Case:
    first, last = lookups[0], lookups[-1]
    transport = _transport(name)
    frames = sorted(frame for lookup in lookups for frame in lookup.frames)
    client = _text(first.client)
    end_ns = max(item.answered_ns or item.last_asked_ns or item.asked_ns for item in lookups)
    stage, port = "connect" if transport == "tcp" else "client-hello", usual_port(transport)
    case = Case(
        transport=transport,
        protocol="unknown",
        stream=None,
        filter=f'dns.qry.name == "{_plain(name)}" and ip{"v6" * (len(first.client) == 16)}.addr == {client}',
        device=Endpoint(client, 0),
        cloud=Endpoint(_text(last.addresses[0]) if last.addresses else "", port),
        role_source="content",
        first_frame=frames[0],
        last_frame=frames[-1],
        start_ns=first.asked_ns,
        end_ns=end_ns,
        transcript=Transcript("unknown", (Step(stage, Status.ABSENT, Direction.UP),), (), ""),
        ending=Ending("device", How.SILENCE) if last.addresses else Ending("network", How.TIMEOUT),
        prelude=[as_step(lookup) for lookup in lookups[:1]],
        host=first.name,
    )
    case.conversation = Unreached(tuple(lookups[:_MOST_LOOKUPS]), watched_s)
    told = particle_name(name)
    if told is not None and told.device_id is not None:
        case.device_id, case.id_source = told.device_id, "name"
    elif len(devices) == 1 and "" not in devices:
        case.device_id, case.id_source = next(iter(devices)), "stored-address"
    return case


def _transport(name: str) -> Literal["tcp", "udp"]:
    known = known_host(name)
    return "udp" if known is not None and known.transport == "udp" else "tcp"


def _plain(name: str) -> str:
    """The name as a display filter may hold it: what is quoted there ends at a quote."""
    return "".join(letter for letter in name if letter.isalnum() or letter in ".-_")


def _text(address: bytes) -> str:
    return str(ip_address(address))
