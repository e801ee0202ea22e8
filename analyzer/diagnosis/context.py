"""What one session can learn from the others of its capture, and from the key folder.

Everything in here is computed once, after all sessions are decrypted and before the first verdict.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from analyzer.case import Case
from analyzer.conversations import Close, TcpConversation
from analyzer.decrypt.dtls import DtlsDecryption
from analyzer.decrypt.lightssl import LightSslDecryption
from analyzer.keys import Key, KeyRing
from analyzer.model import Endpoint, Role
from analyzer.names import Probe
from dissectors.events import Direction, Status

#: Frames of a retry loop that are named.
SHOWN = 12
#: A cloud as `Case.server` tells it from others.
Server = tuple[Endpoint, int]


@dataclass(frozen=True, slots=True)
class CloudKey:
    """The key a cloud is known to hold, and why: "session" (it used it in this capture) or "folder" (the only one).

    ``time_ns`` is when the session began in which it used it.
    """

    key: Key
    why: str
    frames: tuple[int, ...] = ()
    time_ns: int = 0


@dataclass(slots=True)
class Outcomes:
    """How devices fare with one TCP cloud: the first frame of a session that came through, or was refused, by device."""

    through: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def name(case: Case) -> str:
        """What tells devices apart here: the id, else the address."""
        return case.device_id or case.device.address

    def take(self, case: Case) -> None:
        """Count a session in. A device that gets through once is no longer refused."""
        name = self.name(case)
        if _seen(case, "cloud-hello"):
            self.through.setdefault(name, case.first_frame)
            self.refused.pop(name, None)
        elif name not in self.through and _refused(case):
            self.refused.setdefault(name, case.first_frame)


def _seen(case: Case, stage: str) -> bool:
    step = case.transcript.step(stage)
    return step is not None and step.status is Status.SEEN


def _refused(case: Case) -> bool:
    """Whether the cloud ended it on the device's 256 bytes."""
    return case.ending.by == "cloud" and _seen(case, "identity") and not _seen(case, "session-key")


class Attempts:
    """Sessions of one device. A device that retries for a week has thousands, and each of them asks for the others: so
    what all of them ask is found once."""

    def __init__(self, cases: list[Case]) -> None:
        self.cases = cases
        self._place = {id(case): place for place, case in enumerate(cases)}
        self._established: list[Case] | None = None
        self._ended: dict[int, tuple[Case, float]] | None = None
        self._starts: list[int] = []
        self._frames = nsmallest(SHOWN, (case.first_frame for case in cases))
        self._span = (
            min((case.start_ns for case in cases), default=0),
            max((case.start_ns for case in cases), default=0),
        )

    def without(self, case: Case) -> list[Case]:
        """The others, in the capture's order."""
        place = self._place.get(id(case))
        return self.cases if place is None else self.cases[:place] + self.cases[place + 1 :]

    def loop(self, case: Case) -> tuple[int, int, tuple[int, ...]]:
        """With ``case``: how many, the nanoseconds they take, the first frames of the first of them."""
        if id(case) in self._place:
            return len(self.cases), self._span[1] - self._span[0], tuple(self._frames)
        first, last = self._span if self.cases else (case.start_ns, case.start_ns)
        frames = tuple(sorted((*self._frames, case.first_frame))[:SHOWN])
        return len(self.cases) + 1, max(last, case.start_ns) - min(first, case.start_ns), frames

    def through(self) -> list[Case]:
        """Those that got through both Hellos, by their start."""
        if self._established is None:
            self._established = sorted((case for case in self.cases if established(case)), key=_start)
            self._starts = [case.start_ns for case in self._established]
        return self._established

    def around(self, case: Case) -> tuple[Case | None, Case | None]:
        """The last that got through before ``case`` began, and the first that did after it."""
        through = self.through()
        before, after = bisect_left(self._starts, case.start_ns), bisect_right(self._starts, case.start_ns)
        earlier = through[bisect_left(self._starts, self._starts[before - 1])] if before else None
        return earlier, through[after] if after < len(through) else None

    def ended_by_cloud(self) -> dict[int, tuple[Case, float]]:
        """Those that got through and that the cloud ended soon after, with how long after the Hellos (s); by ``id(case)``."""
        if self._ended is None:
            found = ((case, ended_soon(case)) for case in self.through())
            self._ended = {id(case): (case, lived) for case, lived in found if lived is not None}
        return self._ended

    def within(self, first_ns: int, last_ns: int) -> list[Case]:
        """Those that got through and began between these times, in the capture's order."""
        through = self.through()
        found = through[bisect_left(self._starts, first_ns) : bisect_right(self._starts, last_ns)]
        return sorted(found, key=lambda case: self._place[id(case)])


def _used(use: CloudKey) -> int:
    return use.time_ns


def _used_keys(case: Case, decryption: LightSslDecryption) -> Iterator[tuple[Key, tuple[int, ...]]]:
    """Cloud keys that this session shows at work: it answered what only that key opens, or it signed with it."""
    step = case.transcript.step("session-key")
    if step is None or step.status is Status.ABSENT:
        return
    opening = decryption.identity
    if opening is not None and opening.key is not None:
        yield opening.key, (case.first_frame,)
    if decryption.signer is not None and (opening is None or opening.key is None):
        yield decryption.signer, step.frames


def _unused_keys(case: Case, decryption: LightSslDecryption) -> Iterator[tuple[Key, tuple[int, ...]]]:
    """Keys that this cloud does not hold: it answered what they do not open, or its signature is by none of them.

    A signature may have been changed on the way, so it counts only where the device took it and went on.
    """
    step = case.transcript.step("session-key")
    if step is None or step.status is not Status.SEEN or not established(case):
        return
    for key in decryption.signature_refuted:
        yield key, step.frames
    for key in decryption.identity_refuted:
        yield key, step.frames


def established(case: Case) -> bool:
    """Whether both Hellos went over the wire: the keys of both sides were accepted (TCP)."""
    return _seen(case, "device-hello") and _seen(case, "cloud-hello")


#: A session that lives longer than this (s) is not thrown out, whoever ends it.
SHORT_LIVED = 60.0


def lived(case: Case, end_ns: int) -> float | None:
    """Seconds from the cloud's Hello to ``end_ns``; None without one (TCP)."""
    hello = case.transcript.step("cloud-hello")
    return None if hello is None or hello.time_ns is None else (end_ns - hello.time_ns) / 1e9


def ended_soon(case: Case) -> float | None:
    """How long after its Hellos the cloud ended that session (s), when it was the cloud and soon (TCP)."""
    if case.ending.by != "cloud" or not isinstance(case.conversation, TcpConversation):
        return None
    end = next((piece for piece in case.conversation.pieces if isinstance(piece, Close)), None)
    found = lived(case, end.mark.time_ns) if end is not None else None
    return found if found is not None and found <= SHORT_LIVED else None


def _start(case: Case) -> int:
    return case.start_ns


@dataclass(slots=True)
class Context:
    """The capture around one session."""

    ring: KeyRing
    #: Time of the capture's last packet: silence is only as long as the capture watches.
    end_ns: int
    #: The internet tests of the capture, in order of time.
    probes: Sequence[Probe] = ()
    cases: list[Case] = field(default_factory=list)
    #: Cloud keys shown at work, by cloud (`Case.server`), in order of time.
    shown: dict[Server, list[CloudKey]] = field(default_factory=dict)
    #: The fingerprints of those keys.
    shown_prints: dict[Server, frozenset[str | None]] = field(default_factory=dict)
    #: Which cloud was first seen using a key (by fingerprint), and the frames that show it.
    users: dict[str | None, tuple[Endpoint, tuple[int, ...]]] = field(default_factory=dict)
    #: Keys (fingerprints) that a cloud did not use where it used one, with the frames that show it.
    refuted: dict[Server, dict[str | None, tuple[int, ...]]] = field(default_factory=dict)
    by_device: dict[str, list[Case]] = field(default_factory=lambda: defaultdict(list))
    _probes: defaultdict[bytes, list[Probe]] | None = None
    _starts: dict[str, list[int]] = field(default_factory=dict)
    _outcomes: defaultdict[Server, Outcomes] | None = None
    _ttls: defaultdict[Server, set[int]] | None = None
    by_address: dict[str, list[Case]] = field(default_factory=lambda: defaultdict(list))
    #: What was asked before: every session of a capture asks the same few questions.
    _cloud_keys: dict[Server, CloudKey | None] = field(default_factory=dict)
    _known_devices: frozenset[str] | None = None
    _devices: dict[object, Attempts] = field(default_factory=dict)
    _loops: dict[object, Attempts] = field(default_factory=dict)

    @property
    def timeless(self) -> bool:
        """The capture has no clock: every packet has the same time, so that nothing is known to be soon or late."""
        return all(case.start_ns == case.end_ns == self.end_ns for case in self.cases)

    def cloud_key(self, cloud: Server, at_ns: int | None = None) -> CloudKey | None:
        """The RSA key that this cloud holds (at that time), when that is known without doubt.

        What the capture shows goes before what a file is called: a key that this cloud was seen using, else the folder's
        only one where no session of the capture refutes it. Between two uses of different keys nothing is known.
        """
        uses = self.shown.get(cloud, [])
        if not uses:
            return self._folder_key(cloud)
        if at_ns is None:
            return uses[0] if len(self.shown_prints[cloud]) == 1 else None
        place = bisect_right(uses, at_ns, key=_used)
        before, after = uses[place - 1] if place else None, uses[place] if place < len(uses) else None
        if before is None or after is None:
            return before or after
        return before if before.key.fingerprint == after.key.fingerprint else None

    def _folder_key(self, cloud: Server) -> CloudKey | None:
        if cloud not in self._cloud_keys:
            private = [
                key for key in self.ring.by_role(Role.CLOUD_PRIVATE, "rsa") if key.rsa is not None and key.bits == 2048
            ]
            prints = {key.fingerprint for key in private}
            alone = len(prints) == 1 and not prints & self.refuted.get(cloud, {}).keys()
            self._cloud_keys[cloud] = CloudKey(private[0], "folder") if alone else None
        return self._cloud_keys[cloud]

    def known_devices(self) -> frozenset[str]:
        """The devices that the folder has keys of."""
        if self._known_devices is None:
            self._known_devices = frozenset(
                key.device_id
                for role in (Role.DEVICE_PRIVATE, Role.CLOUD_COPY, Role.DEVICE_SERVER_KEY)
                for key in self.ring.by_role(role)
                if key.device_id
            )
        return self._known_devices

    def cloud_ttls(self, cloud: Server) -> set[int]:
        """TTLs of the packets other than resets that came from this cloud in the whole capture."""
        if self._ttls is None:
            self._ttls = defaultdict(set)
            for case in self.cases:
                if isinstance(case.conversation, TcpConversation):
                    facts = case.conversation.facts
                    resets = {reset.ttl for reset in facts.rsts if reset.direction is Direction.DOWN}
                    self._ttls[case.server] |= set(facts.down.ttls) - resets
        return self._ttls.get(cloud, set())

    def own_keys(self, case: Case, role: Role, algorithm: str) -> list[Key]:
        """`own_keys` for this session's device: the folder's only device is not it when it is seen elsewhere here.

        Of the cloud's copies only those that are this cloud's record, as far as the folder tells.
        """
        found = own_keys(self.ring, case.device_id, role, algorithm)
        if role is Role.CLOUD_COPY:
            cloud = shown_cloud(case)
            found = [key for key in found if self.ring.records.holds(key, cloud)]
        return [key for key in found if case.device_id is not None or not self.by_device.get(key.device_id or "")]

    def probes_of(self, client: bytes) -> list[Probe]:
        """The internet tests of one client, in order of time."""
        if self._probes is None:
            self._probes = defaultdict(list)
            for probe in self.probes:
                self._probes[probe.client].append(probe)
        return self._probes.get(client, [])

    def starts_at(self, address: str) -> list[int]:
        """When the sessions of one device address begin (ns), ascending."""
        if address not in self._starts:
            self._starts[address] = sorted(case.start_ns for case in self.by_address.get(address, ()))
        return self._starts[address]

    def outcomes(self, cloud: Server) -> Outcomes:
        """How the devices of this capture fare with this cloud (LightSSL)."""
        if self._outcomes is None:
            self._outcomes = defaultdict(Outcomes)
            for case in self.cases:
                if case.handshake == "lightssl":
                    self._outcomes[case.server].take(case)
        return self._outcomes[cloud]

    def same_device(self, case: Case) -> list[Case]:
        """Other sessions of the same device over the same handshake: by id where it is known, else by address."""
        return self._attempts(case).without(case)

    def same_cloud(self, case: Case) -> Attempts:
        """The sessions of the same device over the same handshake with the same cloud, this one among them."""
        self._attempts(case)
        return self._loops.get((self._device_key(case), case.cloud)) or Attempts([])

    def _attempts(self, case: Case) -> Attempts:
        key = self._device_key(case)
        if key not in self._devices:
            cases = (
                self.by_device[case.device_id] if case.device_id is not None else self.by_address[case.device.address]
            )
            found = [other for other in cases if other.decryption is not None and self._device_key(other) == key]
            self._devices[key] = Attempts(found)
            by_cloud: defaultdict[Endpoint, list[Case]] = defaultdict(list)
            for other in found:
                by_cloud[other.cloud].append(other)
            self._loops.update({(key, cloud): Attempts(others) for cloud, others in by_cloud.items()})
        return self._devices[key]

    @staticmethod
    def _device_key(case: Case) -> object:
        return case.device_id, None if case.device_id is not None else case.device.address, case.handshake

    def settle(self) -> None:
        """Once all sessions are registered: which cloud was seen using which key, and which it was seen not using."""
        self._cloud_keys.clear()
        shown: defaultdict[Server, list[CloudKey]] = defaultdict(list)
        refuted: defaultdict[Server, dict[str | None, tuple[int, ...]]] = defaultdict(dict)
        for case in self.cases:
            if isinstance(case.decryption, LightSslDecryption):
                for key, frames in _used_keys(case, case.decryption):
                    shown[case.server].append(CloudKey(key, "session", frames, case.start_ns))
                for key, frames in _unused_keys(case, case.decryption):
                    refuted[case.server].setdefault(key.fingerprint, frames)
        self.shown = {cloud: sorted(uses, key=_used) for cloud, uses in shown.items()}
        self.shown_prints = {cloud: frozenset(use.key.fingerprint for use in uses) for cloud, uses in shown.items()}
        self.refuted = dict(refuted)
        self.users = {}
        for cloud, uses in self.shown.items():
            for use in uses:
                self.users.setdefault(use.key.fingerprint, (cloud[0], use.frames))

    def register(self, case: Case) -> None:
        """Add a decrypted session."""
        self.cases.append(case)
        self._devices.clear()
        self._loops.clear()
        self.by_address[case.device.address].append(case)
        if case.device_id is not None:
            self.by_device[case.device_id].append(case)


def own_keys(ring: KeyRing, device_id: str | None, role: Role, algorithm: str) -> list[Key]:
    """Keys of one role that belong to this device; for an unknown device, those of the folder's only device.

    Unusable files are included: that a slot is damaged or blank is evidence of its own. Scraps of text are not.
    """
    found = (
        ring.for_device(device_id, role, algorithm) if device_id is not None else ring.of_only_owner(role, algorithm)
    )
    return [key for key in found if not key.scrap]


def shown_cloud(case: Case) -> str | None:
    """Fingerprint of the key that this session shows its cloud to have: it opens the identity, or it signed."""
    decryption: LightSslDecryption | DtlsDecryption | None = case.decryption
    if isinstance(decryption, LightSslDecryption) and decryption.identity is not None and decryption.identity.key:
        return decryption.identity.key.fingerprint
    signer = decryption.signer if decryption is not None else None
    return signer.fingerprint if signer is not None else None


def family_of(case: Case) -> str | None:
    """The firmware family by what the session's messages show."""
    decryption: LightSslDecryption | DtlsDecryption | None = case.decryption
    return decryption.family if decryption is not None else None


def shown_by(case: Case) -> str | None:
    """Fingerprint of the public key that the device itself sends, where it can be read."""
    decryption: LightSslDecryption | DtlsDecryption | None = case.decryption
    if isinstance(decryption, DtlsDecryption):
        return decryption.shown_fingerprint
    opening = decryption.identity if decryption is not None else None
    return opening.plaintext.tail.fingerprint if opening is not None and opening.plaintext.tail is not None else None


def stale_file(case: Case, context: Context) -> Key | None:
    """The device's own key file, when it is sound and another key than the device sends: not what it holds now."""
    shown = shown_by(case)
    if shown is None:
        return None
    roles = (Role.DEVICE_PRIVATE, Role.DEVICE_PUBLIC)
    files = [key for role in roles for key in context.own_keys(case, role, case.algorithm) if key.status == "ok"]
    stale = [key for key in files if key.fingerprint is not None and key.fingerprint != shown]
    return stale[0] if len(stale) == len(files) and stale else None


def name(key: Key) -> str:
    """A key as evidence names it: file and short fingerprint."""
    return f"{key.file} (SHA256:{key.fingerprint[:16]})" if key.fingerprint else key.file
