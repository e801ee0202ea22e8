"""A session as the rules see it: named facts, so that a rule reads like the sentence it stands for."""

from __future__ import annotations

from functools import cached_property

from analyzer.case import Case
from analyzer.conversations import Chunk, Close, TcpConversation
from analyzer.decrypt.lightssl import LightSslDecryption, server_keys
from analyzer.diagnosis.context import CloudKey, Context
from analyzer.keys import Key, ServerFolder
from analyzer.model import Evidence, Role
from dissectors.events import Direction, How, Status, Step

_SIZES = {"nonce": 40, "identity": 256, "session-key": 384}


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
    def stored_server_key(self) -> Key | None:
        """What the device has stored as the cloud's key, from the key folder."""
        return next(iter(self.own(Role.DEVICE_SERVER_KEY)), None)

    @cached_property
    def cloud_key(self) -> CloudKey | None:
        """The key that this cloud holds, as far as the capture or the folder shows it."""
        return self.context.cloud_key(self.case.cloud)

    @property
    def tail_fingerprint(self) -> str | None:
        """Fingerprint of the public key the device sends inside its identity."""
        opening = self.decryption.identity
        return opening.plaintext.tail.fingerprint if opening and opening.plaintext.tail else None

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

    @cached_property
    def healthy_siblings(self) -> list[Case]:
        """The first sessions of this device with this cloud that got through, when such clear the keys of this one.

        Keys change, on either side: only a success before and one after this session clear them.
        """
        attempts = self.context.same_cloud(self.case)
        before, after = attempts.around(self.case)
        if before is None or after is None:
            return []
        return [other for other in attempts.through()[:2] if other is not self.case]

    # -- the same elsewhere ------------------------------------------------------------------------------------------

    @cached_property
    def refuted_cloud_key(self) -> CloudKey | None:
        """The cloud's own key, when it is in hand and does not open the identity."""
        here = self.cloud_key
        return here if here is not None and _refutes(self.case, here.key) else None

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
