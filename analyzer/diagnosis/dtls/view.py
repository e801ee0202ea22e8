"""A DTLS attempt as the rules see it: named facts, so that a rule reads like the sentence it stands for."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from analyzer.case import Case
from analyzer.decrypt.dtls import DtlsDecryption, OpenedRecord
from analyzer.decrypt.signers import signed_by, signed_exchange
from analyzer.diagnosis.context import Context, name
from analyzer.diagnosis.dtls import delivery as delivered
from analyzer.diagnosis.dtls.delivery import Delivery
from analyzer.diagnosis.trial import Standing
from analyzer.flows import Flow
from analyzer.keys import Key, ServerFolder, fingerprint
from analyzer.keys.published import PARTICLE_EC_SPKI
from analyzer.model import Evidence, Role
from dissectors.dtls.attempt import DtlsAttempt
from dissectors.dtls.record import ContentType
from dissectors.events import Direction, Record, Status, Step

#: Ways of knowing a device that come from the device itself, not from where it sits.
OWN_WORD: Final = ("hello", "certificate", "moved-record", "session-dump", "connection-id")
#: Other sessions of a device looked at for comparison; a retry loop has thousands.
_NEIGHBOURS: Final = 200

_CLOUD: Final = (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC)

_UP, _DOWN = Direction.UP, Direction.DOWN


class View:
    """One attempt, its keys and its neighbours."""

    def __init__(self, case: Case, flow: Flow, decryption: DtlsDecryption, context: Context) -> None:
        self.case = case
        self.flow = flow
        self.attempt: DtlsAttempt = flow.attempt
        self.decryption = decryption
        self.context = context
        self.ring = context.ring

    # -- stages ----------------------------------------------------------------------------------------------------

    def step(self, stage: str) -> Step:
        """The row of that stage, absent or not."""
        found = self.case.transcript.step(stage)
        return found if found is not None else Step(stage, Status.ABSENT, _DOWN)

    def seen(self, *stages: str) -> bool:
        """Whether any of the stages went over the wire, whole or not."""
        return any(self.step(stage).status is not Status.ABSENT for stage in stages)

    def frames(self, *stages: str) -> tuple[int, ...]:
        """Frames of these stages."""
        return tuple(sorted({frame for stage in stages for frame in self.step(stage).frames}))

    def missing(self, *stages: str) -> list[str]:
        """Those of the stages that were due and did not come."""
        return [s for s in stages if (row := self.case.transcript.step(s)) is not None and row.status is Status.ABSENT]

    @cached_property
    def device_proceeds(self) -> bool:
        """Whether the device accepted the cloud's answer: it sent any part of its own flight."""
        return self.seen("device-certificate", "client-key-exchange", "certificate-verify", "device-finished")

    @cached_property
    def session_up(self) -> bool:
        """Whether the cloud answered the device on the session that the handshake made."""
        return established(self.case)

    @cached_property
    def answered(self) -> bool:
        """Whether the key exchange of the cloud is there."""
        return self.seen("server-key-exchange")

    @property
    def stale(self) -> DtlsAttempt | None:
        """The earlier attempt whose answer the cloud repeated into this one, when that is all it said."""
        if self.attempt.flights or not self.attempt.stale:
            return None
        number = self.attempt.stale[-1].attempt
        return next((other for other in self.flow.siblings if other.number == number), None)

    # -- what reached whom --------------------------------------------------------------------------------------------

    @cached_property
    def delivery(self) -> Delivery:
        """Flights that did not arrive, by their sender's repeating them."""
        return delivered.delivery(self)

    @cached_property
    def pattern(self) -> bool:
        """Whether the device refused the cloud's answer in another attempt of this flow."""
        return delivered.pattern(self)

    @cached_property
    def standing(self) -> Standing:
        """Who refused, and what speaks against any key being wrong."""
        return delivered.standing(self)

    # -- silence and time ------------------------------------------------------------------------------------------

    @cached_property
    def last_ns(self) -> int:
        """Time of the last datagram."""
        return max((time for time in self.attempt.last_ns if time is not None), default=self.attempt.start_ns)

    @property
    def watched_s(self) -> float:
        """Seconds between the last datagram and the end of what the capture shows of this attempt."""
        until = self.attempt.superseded_ns or self.context.end_ns
        return max(0.0, (until - self.last_ns) / 1e9)

    @cached_property
    def waited_s(self) -> float:
        """Seconds without anything new: copies of what was sent before do not count."""
        times = [step.time_ns for step in self.case.transcript.steps if step.time_ns is not None]
        times += [alert.mark.time_ns for alert in self.attempt.alerts]
        until = self.attempt.superseded_ns or self.context.end_ns
        return max(0.0, (until - max(times, default=self.attempt.start_ns)) / 1e9)

    def heard(self, direction: Direction) -> int:
        """Datagrams of one direction."""
        return self.attempt.datagrams[0 if direction is _UP else 1]

    @property
    def one_direction(self) -> Direction | None:
        """The only side that is in the capture although the other must have spoken."""
        up, down = self.heard(_UP), self.heard(_DOWN)
        if down and not up:
            return _DOWN
        hello = self.attempt.client_hello
        cookie = hello is not None and bool(hello.cookie)
        if up and not down and self.attempt.kind == "handshake" and (self.device_proceeds or cookie or self._deaf):
            return _UP
        return None

    @property
    def _deaf(self) -> bool:
        """Whether another attempt of this flow shows an answer by its cookie that is not in the capture either."""
        first = self.flow.siblings[:8]
        asked = (other.client_hello for other in first)
        return not any(down for _, down in (other.datagrams for other in first)) and any(
            hello is not None and hello.cookie for hello in asked
        )

    @cached_property
    def restarted(self) -> bool:
        """Whether the device began anew after this attempt."""
        return self.attempt.superseded_ns is not None

    def schedule(self, stage: str) -> str:
        """When a message was sent, first and again: "at 0, 3.0 and 9.0 s"."""
        first = self.step(stage).start_ns
        if first is None:
            return ""
        times = [(repeat.mark.time_ns - first) / 1e9 for repeat in self.attempt.repeats if repeat.stage == stage]
        shown = ["0", *(f"{time:.1f}" for time in times[:6])]
        return f"at {', '.join(shown[:-1])} and {shown[-1]} s" if times else ""

    @property
    def next_frame(self) -> tuple[int, ...]:
        """The first frame of the attempt that follows on this flow."""
        number = self.attempt.number + 1
        return next((other.frames[:1] for other in self.flow.siblings if other.number == number), ())

    def repeats(self, *stages: str) -> int:
        """How often messages of these stages were sent again."""
        return sum(repeat.stage in stages for repeat in self.attempt.repeats)

    def ending(self) -> Evidence:
        """What followed the last datagram."""
        if self.restarted:
            return Evidence(
                f"{self.watched_s:.1f} s later the device starts over with a new ClientHello", self.next_frame
            )
        return Evidence(f"the capture ends {self.watched_s:.1f} s after the last datagram", (self.attempt.frames[1],))

    # -- alerts ----------------------------------------------------------------------------------------------------

    def alert(self, direction: Direction) -> tuple[str, tuple[int, ...], int | None] | None:
        """The first alert of one side: its words, frames and number (None when it is protected and not opened)."""
        for alert in self.attempt.alerts:
            if alert.direction is direction:
                level = "fatal" if alert.level == 2 else "warning"
                return f"{level} alert {alert.code} ({alert.name})", alert.mark.frames, alert.code
        for item in self.decryption.records:
            if item.direction is direction and item.type == "alert" and item.summary is not None:
                code = item.summary.facts.get("code")
                return f"alert {item.summary.summary}", item.record.frames, code if isinstance(code, int) else None
        if self.decryption.held is None:
            for record in self.attempt.transcript.records:
                if record.direction is direction and record.header[0] == ContentType.ALERT:
                    return "an encrypted alert", record.frames, None
        return None

    # -- the session -----------------------------------------------------------------------------------------------

    @cached_property
    def applications(self) -> list[Record]:
        """Protected records that carry messages, in order: decryption tells which, else type and place."""
        if self.decryption.held is not None:
            return [item.record for item in self.decryption.records if item.type not in ("", "alert")]
        finished = {frame for stage in ("device-finished", "cloud-finished") for frame in self.step(stage).frames}
        return [
            record
            for record in self.attempt.transcript.records
            if record.header[0] not in (ContentType.HANDSHAKE, ContentType.ALERT) and not finished & set(record.frames)
        ]

    @property
    def marked(self) -> bool:
        """Whether the device marked a record as belonging to a session that it goes on with (254 or 253)."""
        marks = (ContentType.MOVED, ContentType.MOVED_CID)
        return any(record.header[0] in marks for record in self.attempt.transcript.records)

    @cached_property
    def opened(self) -> list[OpenedRecord]:
        """Records that decrypted."""
        return self.decryption.good

    @cached_property
    def unanswered_tail(self) -> list[Record]:
        """The device's records after the cloud's last one."""
        tail: list[Record] = []
        for record in reversed(self.applications):
            if record.direction is _DOWN:
                break
            tail.append(record)
        return tail[::-1]

    # -- keys --------------------------------------------------------------------------------------------------------

    @property
    def device_id(self) -> str | None:
        """The device's 24 hex digits, when they are known."""
        return self.case.device_id

    @property
    def knows_device(self) -> bool:
        """Whether the device itself said or showed who it is."""
        return self.device_id is not None and self.case.id_source in OWN_WORD

    def own(self, role: Role) -> list[Key]:
        """Keys of that role for this device, usable or not, current ones first."""
        return self.ring.for_device(self.device_id, role)

    @cached_property
    def device_files(self) -> list[Key]:
        """This device's own key files, private half first."""
        keys = [*self.own(Role.DEVICE_PRIVATE), *self.own(Role.DEVICE_PUBLIC)]
        return [key for key in keys if key.algorithm == "ec" and key.spki is not None]

    @cached_property
    def cloud_copies(self) -> list[Key]:
        """What this cloud has on file for this device. A copy beside another cloud's key is that cloud's."""
        if self.device_id is None:
            return []
        copies = self.context.own_keys(self.case, Role.CLOUD_COPY, "ec")
        cloud = fingerprint(self.signer_spki) if self.signer_spki is not None else None
        return [key for key in copies if key.spki is not None and self.ring.records.holds(key, cloud)]

    @cached_property
    def server_folder(self) -> ServerFolder | None:
        """The data folder of the server whose key signs the cloud's answer, when the key folder is or holds one."""
        spki = self.signer_spki
        return None if spki is None else self.ring.records.server_folder(fingerprint(spki), "ec")

    @cached_property
    def copy_differs(self) -> Key | None:
        """The cloud's copy, when it is another key than the device shows; None when one of them is it."""
        shown = self.decryption.shown_key
        if shown is None or self.device_id is None or any(key.spki == shown for key in self.cloud_copies):
            return None
        return next(iter(self.cloud_copies), None)

    @cached_property
    def cloud_keys(self) -> list[Key]:
        """The keys that the folder says are its cloud's."""
        return [key for role in _CLOUD for key in self.ring.by_role(role, "ec") if key.spki is not None]

    @cached_property
    def stored_server_key(self) -> Key | None:
        """The server key this device has stored: the dump of its slot."""
        return next(
            (
                key
                for key in self.own(Role.DEVICE_SERVER_KEY)
                if (key.algorithm == "ec" or key.status != "ok") and not key.scrap
            ),
            None,
        )

    @cached_property
    def stored_signs(self) -> bool | None:
        """Whether the server key the device has stored signed the cloud's answer; None when that cannot be checked."""
        key = self.stored_server_key
        return None if key is None else signed_exchange(self.attempt, key)

    @property
    def signer_name(self) -> str | None:
        """The key that signed the cloud's answer, in words."""
        if self.decryption.signer is not None:
            return name(self.decryption.signer)
        if self.decryption.recovered_server is not None:
            return f"a key that is in no file here (SHA256:{short(self.decryption.recovered_server)})"
        return None

    @property
    def official(self) -> bool:
        """Whether Particle's published key signed the cloud's answer."""
        return self.decryption.signer is not None and self.decryption.signer.spki == PARTICLE_EC_SPKI

    @cached_property
    def got_in(self) -> list[Case]:
        """Other sessions of this device with this cloud that were established, before or after."""
        others = self.context.same_device(self.case)[:_NEIGHBOURS]
        return [other for other in others if other.cloud == self.case.cloud and established(other)]

    @cached_property
    def surrounded(self) -> bool:
        """Whether this device got in before and after: then no key was changed in between."""
        starts = [case.start_ns for case in self.got_in]
        return bool(starts) and min(starts) < self.case.start_ns < max(starts)

    @cached_property
    def got_in_with_key(self) -> Case | None:
        """One of them in which it shows the key that it shows here, or none: the cloud takes that key."""
        shown = self.decryption.shown_key
        return next((c for c in self.got_in if shown is None or c.decryption.shown_key in (None, shown)), None)

    @cached_property
    def got_in_with_signer(self) -> Case | None:
        """One of them in which the cloud does not sign with another key than here: the device takes that key."""
        signer = self.signer_spki
        if signer is None:
            return next(iter(self.got_in), None)
        return next((c for c in self.got_in if signed_by(c.conversation.attempt, signer) is not False), None)

    @cached_property
    def signer_spki(self) -> bytes | None:
        """The public key that signed the cloud's answer, from a file or recovered from two attempts."""
        signer = self.decryption.signer
        return signer.spki if signer is not None else self.decryption.recovered_server

    @cached_property
    def other_ticket(self) -> tuple[Evidence, ...]:
        """What speaks against the folder being this device's: it says that its device goes to another address."""
        stored = self.stored_server_key
        address = stored.server_address if stored is not None else None
        if stored is None or address is None or address.host is None or "$id" in address.host:
            return ()
        went = self.case.reached if address.kind == "ip" else self.case.host
        if went is None or went.lower() == address.host.lower():
            return ()
        text = f"{stored.file} says that its device goes to {address}, and this one goes to {self.case.cloud}: the folder may be another ticket's"
        return (Evidence(text, (self.case.first_frame,)),)

    @property
    def silent_on_bad_signature(self) -> bool | None:
        """Whether this firmware stops without a word when the signature is wrong; None when it is not known."""
        made_by = self.attempt.generation
        return None if made_by is None else not made_by.alerts


#: Messages of the cloud that do not show that it took the device: an echo of the Hello, garbage, the end.
_NO_ANSWER: Final = frozenset({"", "hello", "malformed", "undecryptable", "alert"})


def established(case: Case) -> bool:
    """Whether the cloud answered the Hello, or anything else the device said: it accepted the keys of both sides.

    The acknowledgement itself may be missing from the capture.
    """
    step = case.transcript.step("hello-ack")
    if step is not None and step.status is Status.SEEN:
        return True
    found = case.decryption
    return isinstance(found, DtlsDecryption) and any(
        item.direction is _DOWN and item.type not in _NO_ANSWER for item in found.good
    )


def short(spki: bytes) -> str:
    """The first 16 hex digits of a public key's fingerprint."""
    return fingerprint(spki)[:16]
