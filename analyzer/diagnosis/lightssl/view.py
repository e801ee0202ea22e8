"""A session as the rules see it: named facts, so that a rule reads like the sentence it stands for."""

from __future__ import annotations

from enum import Enum
from functools import cached_property

from analyzer.case import Case
from analyzer.conversations import Chunk, Close, TcpConversation
from analyzer.decrypt.lightssl import LightSslDecryption, server_keys
from analyzer.diagnosis import middlebox, premise
from analyzer.diagnosis.context import CloudKey, Context, established, shown_by
from analyzer.diagnosis.patience import ANSWER_WATCH, NEAR_TIMER, REFUSED_WITHIN
from analyzer.diagnosis.premise import Premise
from analyzer.diagnosis.trial import CHECKSUM, Standing
from analyzer.firmware.timers import timer
from analyzer.keys import Key, ServerFolder
from analyzer.model import Evidence, Role
from dissectors.events import Direction, How, Status, Step

_SIZES = {"nonce": 40, "identity": 256, "session-key": 384}
#: Where the message of a stage ends in its direction's stream (the 384 bytes follow the 40-byte nonce).
_ENDS = {"nonce": 40, "identity": 256, "session-key": 424}


#: A nonce that took less than this (s) tells nothing about who is near; a close this many times quicker is not by who sent it.
_FAR, _NEARER = 0.02, 40


class Delivery(Enum):
    """Whether a message reached the other side, by its acknowledgements (RFC 9293 3.4: they count what was received)."""

    ARRIVED = "arrived"
    #: The other side closed in order when it had acknowledged the first part only: it decided on that part.
    PARTLY = "partly"
    LOST = "lost"
    UNKNOWN = "unknown"


def reached(step: Step | None, size: int) -> bool:
    """Whether all ``size`` bytes went over the wire, captured or not."""
    return step is not None and step.status is not Status.ABSENT and len(step.data) + step.missing >= size


class View:
    """One lightssl session, its keys and its neighbours."""

    def __init__(
        self, case: Case, conversation: TcpConversation, decryption: LightSslDecryption, context: Context
    ) -> None:
        self.case = case
        self.conversation = conversation
        self.decryption = decryption
        self.context = context
        self.ring = context.ring

    # -- stages ------------------------------------------------------------------------------------------------------

    def step(self, stage: str) -> Step:
        """The row of that stage, absent or not."""
        found = self.case.transcript.step(stage)
        return found if found is not None else Step(stage, Status.ABSENT, Direction.DOWN)

    def seen(self, stage: str) -> bool:
        """Whether the stage went over the wire completely (its bytes may be cut in the capture)."""
        step = self.step(stage)
        size = _SIZES.get(stage)
        return reached(step, size) if size else step.status in (Status.SEEN, Status.PARTIAL)

    def whole(self, stage: str) -> bool:
        """Whether every byte of the stage is in the capture."""
        step = self.step(stage)
        return step.status is Status.SEEN and step.missing == 0

    def captured(self, stage: str, size: int) -> bool:
        """Whether the first ``size`` bytes of the stage are in the capture."""
        step = self.step(stage)
        hole = step.fields.get("missing_at")
        first = hole[0] if isinstance(hole, tuple) and hole else len(step.data)
        return isinstance(first, int) and first >= size

    def frames(self, *stages: str) -> tuple[int, ...]:
        """Frames of these stages."""
        return tuple(sorted({frame for stage in stages for frame in self.step(stage).frames}))

    # -- how it ended --------------------------------------------------------------------------------------------------

    @cached_property
    def closes(self) -> tuple[Close, ...]:
        """Every FIN and RST, in order of time."""
        return tuple(piece for piece in self.conversation.pieces if isinstance(piece, Close))

    @property
    def first_close(self) -> Close | None:
        """The first FIN or RST, or None."""
        return self.closes[0] if self.closes else None

    @property
    def closer(self) -> Direction | None:
        """Who closed first."""
        return self.closes[0].direction if self.closes else None

    @property
    def reset(self) -> Close | None:
        """The reset that ended the session, if one came before both sides had closed."""
        before: set[Direction] = set()
        for close in self.closes:
            if close.how is How.RST:
                return close if len(before) < 2 and Direction.UP not in before else None
            before.add(close.direction)
        return None

    @property
    def data_seen(self) -> bool:
        """Whether any payload went over the wire."""
        return any(not isinstance(piece, Close) for piece in self.conversation.pieces)

    @cached_property
    def last_payload_ns(self) -> int:
        """When the last data came; the start when none did."""
        times = [piece.mark.time_ns for piece in self.conversation.pieces if not isinstance(piece, Close)]
        return max(times, default=self.conversation.start_ns)

    @property
    def watched_s(self) -> float:
        """Seconds between the last payload and the end of what the capture shows of this session."""
        until = self.first_close.mark.time_ns if self.first_close else self.context.end_ns
        return max(0.0, (until - self.last_payload_ns) / 1e9)

    def close_evidence(self) -> Evidence:
        """Who closed, how, how long after the last payload."""
        close = self.first_close
        if close is None:
            return Evidence(
                f"the capture ends {self.watched_s:.1f} s later with the connection still open",
                (self.conversation.last_frame,),
            )
        who = "the device" if close.direction is Direction.UP else "the cloud"
        how = "reset the connection" if close.how is How.RST else "closed the connection"
        return Evidence(f"{who} {how} {self.watched_s:.3f} s after the last data", close.mark.frames)

    def aftermath(self) -> list[Evidence]:
        """What came in place of the device's Hello (a Core that took no session key says it itself), and who closed."""
        step = self.step("device-hello")
        if not step.fields.get("stray_ping"):
            return [self.close_evidence()]
        text = "in place of its Hello the device sends a ping under a key of zeros: a Spark Core that could not take the session key does that"
        return [Evidence(text, step.frames), self.close_evidence()]

    # -- what reached whom, and who refused it -----------------------------------------------------------------------

    def delivery(self, stage: str) -> Delivery:
        """Whether the message of that stage reached the other side.

        Lost: the other side closed in order without ever acknowledging it, or it was sent again and never acknowledged.
        An acknowledgement that is merely not in the capture yet is no loss.
        """
        facts, direction = self.conversation.facts, self.step(stage).direction
        sent = facts.of(direction)
        if facts.mid_stream or facts.one_direction_only:
            return Delivery.UNKNOWN
        if sent.acked >= _ENDS[stage]:
            return Delivery.ARRIVED
        orderly = any(close.direction is not direction and close.how is How.FIN for close in self.closes)
        begun = sent.acked > _ENDS[stage] - _SIZES[stage]
        # Part of it arrived, and the capture ends while the rest is being sent again: it may still arrive.
        going_on = begun and self.open_end
        if (sent.retransmitted_unacked and not going_on) or (orderly and not begun):
            return Delivery.LOST
        return Delivery.PARTLY if orderly else Delivery.UNKNOWN

    def not_acknowledged(self, stage: str) -> list[Evidence]:
        """That the message of that stage was not received, as acknowledgements and repetitions show it."""
        step, facts = self.step(stage), self.conversation.facts
        again = tuple(frame for frame, sender in facts.retransmissions if sender is step.direction)
        other = "cloud" if step.direction is Direction.UP else "device"
        found = []
        if again:
            times = "once" if len(again) == 1 else f"{len(again)} times"
            found.append(Evidence(f"sent again {times}, and never acknowledged", (*step.frames, *again)[:12]))
        close = next((item for item in self.closes if item.direction is not step.direction), None)
        if close is not None:
            acked = facts.of(step.direction).acked
            before = "nothing" if not acked else f"{acked} bytes"
            text = (
                f"when the {other} closes it has acknowledged {before} of this direction, which is less than these need"
            )
            found.append(Evidence(text, close.mark.frames))
        return found

    @cached_property
    def forged(self) -> bool:
        """Whether the reset that ended it was not sent by the side whose address it bears."""
        return bool(middlebox.forged_end(self.case, self.context))

    @property
    def nearer(self) -> Evidence | None:
        """The end came from much nearer than the nonce: whoever closed is not who sent that (a proxy, a firewall)."""
        close, accepted, nonce = self.first_close, self.conversation.facts.established, self.step("nonce")
        if close is None or close.direction is not Direction.DOWN or accepted is None or nonce.time_ns is None:
            return None
        waited = (nonce.time_ns - accepted.time_ns) / 1e9
        if waited < _FAR or self.watched_s > waited / _NEARER:
            return None
        text = f"the end comes {self.watched_s * 1000:.1f} ms after the device's bytes, where the nonce took {waited * 1000:.0f} ms: whoever closes is much nearer than who sent the nonce (a proxy or a firewall in between)"
        return Evidence(text, (*nonce.frames, *close.mark.frames))

    @cached_property
    def timed_out(self) -> str | None:
        """The time limit of the cloud's software that the end comes at, in words; None when it comes at none."""
        close, started = self.first_close, self.conversation.facts.established
        if close is None or close.direction is not Direction.DOWN:
            return None
        brewskey, spark = timer("brewskey-handshake").first, timer("spark-server-hello").first
        since = (close.mark.time_ns - started.time_ns) / 1e9 if started is not None else self.watched_s
        if abs(since - brewskey) < NEAR_TIMER and self.watched_s > REFUSED_WITHIN:
            return f"Brewskey's handshake limit of {brewskey:g} s"
        if abs(self.watched_s - spark) < NEAR_TIMER:
            return f"spark-protocol's {spark:g} s limit"
        return None

    @cached_property
    def refused_by(self) -> Direction | None:
        """Who refused the last message: it received it (nothing speaks against that) and closed in order soon after.

        Both open servers end a failed handshake with a FIN within milliseconds, a device within 250 ms of LED
        (particle-iot/spark-protocol and Brewskey/spark-protocol Handshake.js; device-os system_task.cpp). A reset, a time
        limit or a silence is no refusal: a process that died, a server that hangs and a firewall make these.
        """
        close, session_key = self.first_close, self.seen("session-key")
        stage = "session-key" if session_key else "identity"
        judge = Direction.UP if session_key else Direction.DOWN
        if not self.seen(stage) or self.delivery(stage) in (Delivery.LOST, Delivery.PARTLY):
            return None
        if session_key and self.step("device-hello").fields.get("stray_ping"):
            return judge  # a Spark Core that could not take the session key keeps the connection
        if session_key and self.lives_on:
            return judge
        if close is None or close.direction is not judge or close.how is not How.FIN:
            return None
        quick = self.watched_s < REFUSED_WITHIN and self.timed_out is None and self.nearer is None
        return judge if quick else None

    @property
    def lives_on(self) -> bool:
        """The device has all of the session key, is there until the cloud closes, and says nothing: a Core of before 0.4.0
        that could not take it (particle-iot/core-communication-lib spark_11 keeps the socket and waits for a nonce)."""
        facts, close = self.conversation.facts, self.first_close
        probed = any(alive.direction is Direction.DOWN for alive in facts.keepalives)
        arrived = self.delivery("session-key") is Delivery.ARRIVED
        return arrived and probed and facts.down.fin_acked and close is not None and close.direction is Direction.DOWN

    @property
    def open_end(self) -> bool:
        """Whether the capture ends before anybody can have refused anything."""
        return self.first_close is None and self.watched_s < ANSWER_WATCH

    @cached_property
    def standing(self) -> Standing:
        """What the wire allows to be concluded (`trial`)."""
        used = {*self.frames("nonce", "identity", "session-key")}
        bad = tuple(sorted(used & set(self.conversation.facts.checksum_bad)))
        unsound = (Evidence(CHECKSUM, bad),) if bad else ()
        against = list(self.gets_in)
        if not self.seen("session-key") and len(self.identity_segments) > 1:
            text = f"the 256 bytes arrive in {len(self.identity_segments)} segments: a server that reads only once (spark-protocol and Brewskey) refuses that, whatever the keys"
            against.append(Evidence(text, self.identity_segments))
        return Standing(self.refused_by, unsound, tuple(against), frozenset(self.conversation.facts.checksum_bad))

    @cached_property
    def gets_in(self) -> list[Evidence]:
        """The same device with the same keys gets through with this cloud before or after: they are accepted."""
        found = []
        for other, when in zip(self.through, ("earlier", "later"), strict=True):
            if other is not None:
                apart = abs(other.start_ns - self.case.start_ns) / 1e9
                text = f"the same device with the same key gets through with this cloud {apart:.1f} s {when}"
                found.append(Evidence(text, (other.first_frame,)))
        return found

    @cached_property
    def through(self) -> tuple[Case | None, Case | None]:
        """The last session of this device with this cloud that got through before this one, and the first behind it;
        those that show another key of the device do not count."""
        around = self.context.same_cloud(self.case).around(self.case)
        before, after = (other if other is not None and self._same_key(other) else None for other in around)
        return before, after

    def _same_key(self, other: Case) -> bool:
        mine, its = self.tail_fingerprint, shown_by(other)
        return other is not self.case and established(other) and (mine is None or its is None or mine == its)

    # -- keys ----------------------------------------------------------------------------------------------------------

    @property
    def device_id(self) -> str | None:
        """The device's 24 hex digits, when they are known."""
        return self.case.device_id

    def own(self, role: Role) -> list[Key]:
        """This device's keys of that role (usable or not)."""
        return self.context.own_keys(self.case, role, "rsa")

    @cached_property
    def device_private(self) -> Key | None:
        """The device's private key, from the key folder."""
        return next(iter(self.own(Role.DEVICE_PRIVATE)), None)

    @cached_property
    def cloud_copy(self) -> Key | None:
        """The device public key that the cloud has on file, from the key folder."""
        return next((key for key in self.own(Role.CLOUD_COPY) if key.fingerprint), None)

    @cached_property
    def own_half(self) -> Key | None:
        """A file named as the cloud's copy that is no more than the device's own half."""
        if self.device_id is None:
            return None
        copies = self.ring.for_device(self.device_id, Role.CLOUD_COPY, "rsa")
        return next((key for key in copies if key.record == "own-half"), None)

    @cached_property
    def server_folder(self) -> ServerFolder | None:
        """The data folder of the server whose key opens the identity, when the key folder is or holds one."""
        opening = self.decryption.identity
        key = opening.key if opening is not None else None
        return (
            None if key is None or key.fingerprint is None else self.ring.records.server_folder(key.fingerprint, "rsa")
        )

    @cached_property
    def unusable_cloud_key(self) -> Key | None:
        """The folder's cloud key, when it is one that no device can use: firmware reads 2048 bits at a fixed place."""
        keys = [key for key in self.ring.by_role(Role.CLOUD_PRIVATE, "rsa") if key.rsa is not None]
        return keys[0] if keys and all(key.bits != 2048 for key in keys) else None

    @cached_property
    def wrong_kind_of_copy(self) -> Key | None:
        """What the folder has as the cloud's record of this device, when it is an EC key: no TCP device has one."""
        if self.cloud_copy is not None or self.device_id is None:
            return None
        copies = self.ring.for_device(self.device_id, Role.CLOUD_COPY, "ec")
        return next((key for key in copies if key.fingerprint), None)

    @cached_property
    def stored_server_key(self) -> Key | None:
        """What the device has stored as the cloud's key, from the key folder."""
        return next(iter(self.own(Role.DEVICE_SERVER_KEY)), None)

    @cached_property
    def cloud_key(self) -> CloudKey | None:
        """The key that this cloud holds, as far as the capture or the folder shows it."""
        return self.context.cloud_key(self.case.server, self.case.start_ns)

    def of_this_cloud(self, key: Key) -> tuple[Premise, ...]:
        """That ``key`` is this cloud's: nothing where the capture shows it, else a premise."""
        here = self.cloud_key
        shown = here is not None and here.why == "session" and here.key.fingerprint == key.fingerprint
        return () if shown else (premise.cloud_key(key, self.case.cloud),)

    def on_file(self, copy: Key) -> tuple[Premise, ...]:
        """That ``copy`` is what the cloud has on file: a capture never shows that."""
        return (premise.cloud_copy(copy, self.device_id),)

    @property
    def tail_fingerprint(self) -> str | None:
        """Fingerprint of the public key the device sends inside its identity."""
        opening = self.decryption.identity
        return opening.plaintext.tail.fingerprint if opening and opening.plaintext.tail else None

    @staticmethod
    def same_modulus(one: Key, other: Key) -> bool:
        """Whether two RSA keys are one to a device, which reads the modulus alone."""
        return one.rsa is not None and other.rsa is not None and one.rsa.n == other.rsa.n

    def same_pair(self, copy: Key, fingerprint: str) -> bool:
        """Whether ``copy`` is the key with that fingerprint, or has its modulus: the device always sends 65537 with it."""
        if copy.fingerprint == fingerprint:
            return True
        opening = self.decryption.identity
        tail = opening.plaintext.tail if opening is not None else None
        return copy.rsa is not None and tail is not None and copy.rsa.n == int.from_bytes(tail.slot_bytes, "big")

    @cached_property
    def accepted(self) -> Case | None:
        """A session of this id that gets through with this cloud showing another key than this one: what it has on file."""
        mine = self.tail_fingerprint
        if mine is None or any(self.through):
            return None
        others = self.context.same_cloud(self.case).through()
        return next((case for case in reversed(others) if shown_by(case) not in (None, mine)), None)

    @property
    def twin(self) -> Evidence | None:
        """That `accepted` is another device: it is up beside or after this one, or sits at another address."""
        other = self.accepted
        if other is None:
            return None
        beside = other.end_ns > self.case.start_ns
        if not beside and other.device.address == self.case.device.address:
            return None
        text = f"{other.device} gets through as {self.device_id} with another key (SHA256:{(shown_by(other) or '')[:16]}): two devices present one id"
        return Evidence(text, (other.first_frame,))

    def tail_is_slot(self, key: Key) -> bool:
        """Whether the device derives what it sends from exactly this private-key slot: the file is what it holds."""
        opening = self.decryption.identity
        if opening is None or opening.plaintext.tail is None or key.slot is None:
            return False
        return key.slot[11:139] == opening.plaintext.tail.slot_bytes

    def modulus_damaged(self, key: Key) -> bool:
        """Whether the modulus in this slot is not the product of its primes (or there is no key in it at all)."""
        return key.rsa is None or (key.rsa.has_private and "n" in key.rsa.faults)

    @cached_property
    def identity_segments(self) -> tuple[int, ...]:
        """Frames of the TCP segments that carried the identity, one for each."""
        chunks = (
            piece for piece in self.conversation.pieces if isinstance(piece, Chunk) and piece.direction is Direction.UP
        )
        return tuple(chunk.mark.frames[0] for chunk in chunks if chunk.offset < 256)

    @cached_property
    def server_keys(self) -> list[Key]:
        """Every server public key at hand."""
        return list(server_keys(self.ring))

    # -- the same elsewhere ------------------------------------------------------------------------------------------

    @cached_property
    def refuted_cloud_key(self) -> CloudKey | None:
        """The cloud's own key, when it is in hand and does not open the identity."""
        here = self.cloud_key
        return here if here is not None and _refutes(self.case, here.key) else None

    @cached_property
    def foreign_cloud_key(self) -> Key | None:
        """The folder's cloud key, when this cloud answered what it does not open, or signed with another: another cloud's."""
        here = self.refuted_cloud_key
        if here is not None and here.why == "folder" and self.seen("session-key"):
            return here.key
        prints = self.context.refuted.get(self.case.server, {})
        keys = [key for key in self.ring.by_role(Role.CLOUD_PRIVATE, "rsa") if key.bits == 2048]
        return keys[0] if keys and all(key.fingerprint in prints for key in keys) else None

    @cached_property
    def refuted_alike(self) -> list[Case]:
        """Other sessions of this device with this cloud whose identity its key does not open either."""
        here = self.refuted_cloud_key
        if here is None:
            return []
        others = self.context.same_device(self.case)
        return [other for other in others if other.cloud == self.case.cloud and _refutes(other, here.key)]

    @cached_property
    def refuted_device_key(self) -> Key | None:
        """The device's private key, when it is in hand and does not open the session key."""
        private = self.device_private
        return private if private is not None and private in self.decryption.session_refuted else None

    @cached_property
    def fails_again(self) -> bool:
        """Whether that key does not open the session key of another session of this device either."""
        private, others = self.refuted_device_key, self.context.same_device(self.case)
        return private is not None and any(private in other.decryption.session_refuted for other in others)


def _refutes(case: Case, key: Key) -> bool:
    """Whether that key was tried on the identity and does not open it."""
    return any(other.fingerprint == key.fingerprint for other in case.decryption.identity_refuted)
