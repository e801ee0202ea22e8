"""Which keys a result rests on, so that a changed folder redoes only what it touches.

How it works. An analysis is a function of the capture and of the answers the key ring gave it. A :class:`TracedRing`
writes down every question with a digest of its answer. When the folder has changed, the questions are asked again: if
every answer is what it was, the result would be what it was. Nobody has to know which rule looks at which key.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass, replace
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

from analyzer.fleet.answer import Answer
from analyzer.keys import Key, KeyRing, SessionSecret
from analyzer.model import Role

#: Digits of a digest that are kept: 128 bits.
_KEPT = 32


class _Memory:
    """Digests of one ring's keys and of answers it gave before; both cost too much to make for every capture."""

    def __init__(self) -> None:
        self.keys: dict[int, tuple[Key, bytes]] = {}
        self.answers: dict[str, str] = {}


_MEMORIES: WeakKeyDictionary[KeyRing, _Memory] = WeakKeyDictionary()


class TracedRing(KeyRing):
    """A ring that answers as the one it was made :meth:`of`, and remembers what it was asked."""

    _log: dict[str, str]
    _memory: _Memory

    @classmethod
    def of(cls, ring: KeyRing) -> TracedRing:
        """A ring with the keys of ``ring`` and nothing asked yet."""
        return cls._sharing(ring, {}, _MEMORIES.setdefault(ring, _Memory()))

    @classmethod
    def _sharing(cls, ring: KeyRing, log: dict[str, str], memory: _Memory) -> TracedRing:
        traced = cls.__new__(cls)
        traced.__dict__.update(ring.__dict__)
        traced.__dict__.pop("records", None)  # made of all keys: to be asked for here, so that it is noted
        traced.__dict__["_base"], traced.__dict__["_log"], traced.__dict__["_memory"] = ring, log, memory
        return traced

    def on(self, answer: Answer) -> Answer:
        """``answer`` with the questions asked so far."""
        return replace(answer, uses=zlib.compress(json.dumps(self._log, sort_keys=True).encode("ascii", "replace")))

    def _note(self, question: str, answer: Callable[[], Iterable[object]]) -> None:
        if question in self._log:
            return
        known = self._memory.answers.get(question)
        if known is None:
            digest = sha256()
            for item in answer():
                digest.update(self._digest(item) if isinstance(item, Key) else _canonical(item))
            known = self._memory.answers[question] = digest.hexdigest()[:_KEPT]
        self._log[question] = known

    def _digest(self, key: Key) -> bytes:
        known = self._memory.keys.get(id(key))
        if known is None:
            known = self._memory.keys[id(key)] = key, sha256(_canonical(key)).digest()
        return known[1]

    # Every way into a ring; what another method of the ring asks comes through here as well.

    @property
    def keys(self) -> tuple[Key, ...]:  # type: ignore[override]
        """All keys of the ring."""
        found: tuple[Key, ...] = self.__dict__["keys"]
        self._note("keys", lambda: found)
        return found

    def __len__(self) -> int:
        return len(self.keys)

    def by_role(self, role: Role, algorithm: str | None = None) -> list[Key]:
        """As the ring's; which keys there were is noted."""
        found = super().by_role(role, algorithm)
        self._note(f"role {role.value} {algorithm}", lambda: found)
        return found

    def for_device(self, device_id: str | None, role: Role | None = None, algorithm: str | None = None) -> list[Key]:
        """As the ring's; which keys there were is noted."""
        if device_id:
            self._note(f"device {device_id.lower()}", lambda: KeyRing.for_device(self, device_id))
        return super().for_device(device_id, role, algorithm)

    def by_fingerprint(self, fingerprint: str) -> list[Key]:
        """As the ring's; which keys there were is noted."""
        found = super().by_fingerprint(fingerprint)
        self._note(f"fingerprint {fingerprint}", lambda: found)
        return found

    def trial_order(self, role: Role, algorithm: str | None = None, *, likely: Iterable[str] = ()) -> list[Key]:
        """As the ring's; which keys there were is noted."""
        likely = tuple(likely)
        self.by_role(role, algorithm)
        for name in likely:
            self.for_device(name)
            self.by_fingerprint(name)
        return super().trial_order(role, algorithm, likely=likely)

    @property
    def session_secrets(self) -> dict[bytes, SessionSecret]:
        """As the ring's; which secrets there were is noted."""
        found: dict[bytes, SessionSecret] = self.__dict__["_base"].session_secrets
        self._note("secrets", lambda: (found[name] for name in sorted(found)))
        return found

    def with_secrets(self, blocks: Any, file: str = "capture (secrets block)") -> KeyRing:  # noqa: ANN401
        """As the ring's; what is added is not noted, because it comes from the capture itself."""
        base: KeyRing = self.__dict__["_base"]
        more = base.with_secrets(blocks, file)
        if blocks:
            _ = self.session_secrets
        # Answers of the larger ring are its own: they must not be taken for those of the folder's.
        return self if more is base else TracedRing._sharing(more, self._log, _Memory())


def still_holds(uses: bytes, ring: KeyRing) -> bool:
    """Whether ``ring`` gives every answer that was given when ``uses`` was written down. False when it cannot be told."""
    try:
        log = json.loads(zlib.decompress(uses))
    except (ValueError, zlib.error):
        return False
    traced = TracedRing.of(ring)
    for question, digest in log.items():
        kind, _, rest = question.partition(" ")
        if kind == "keys":
            _ = traced.keys
        elif kind == "secrets":
            _ = traced.session_secrets
        elif kind == "role":
            role, _, algorithm = rest.partition(" ")
            traced.by_role(Role(role), None if algorithm == "None" else algorithm)
        elif kind == "device":
            traced.for_device(rest)
        elif kind == "fingerprint":
            traced.by_fingerprint(rest)
        if traced._log.get(question) != digest:
            return False
    return True


def _canonical(value: object) -> bytes:
    """Bytes that are equal for equal values and differ for others, secrets included: for digests only."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = [_canonical(getattr(value, field.name)) for field in fields(value)]
        return type(value).__name__.encode() + b"(" + b"".join(parts) + b")"
    if isinstance(value, tuple | list):
        return b"[" + b"".join(map(_canonical, value)) + b"]"
    text = repr(value).encode("utf-8", "surrogateescape") if not isinstance(value, bytes) else value
    return f"{type(value).__name__}:{len(text)}:".encode() + text
