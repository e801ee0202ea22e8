"""A golden case: a capture, the keys as a ticket would bring them, the question and the truth; and the list of all."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random

from captures.synth import capfile
from captures.synth.capfile import Frame
from captures.synth.keys import EcKey, RsaKey
from captures.synth.talk import SECOND, Host, Link, Trace

#: 2026-03-02T08:00:00Z; each case begins within the day that follows.
EPOCH = 1_772_438_400


@dataclass(frozen=True, slots=True)
class Expect:
    """What must be said of one session: any of ``verdicts`` (the best one first), how surely, what else."""

    verdicts: tuple[str, ...]
    certainty: str = ""
    alternatives: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def expect(verdicts: str, certainty: str = "", *, alternatives: str = "", findings: str = "") -> Expect:
    """An :class:`Expect` from blank-separated words."""
    return Expect(tuple(verdicts.split()), certainty, tuple(alternatives.split()), tuple(findings.split()))


#: One for every session, or a list in the order in which the sessions begin.
Expected = Expect | Sequence[Expect]


@dataclass
class Case:
    """What a recipe returns; :func:`case` adds name and question."""

    truth: str
    capture: bytes
    keys: dict[str, bytes]
    with_keys: Expected
    without_keys: Expected
    filename: str = "capture.pcap"
    #: Further files beside the capture (a device log ...).
    extra: dict[str, bytes] = field(default_factory=dict)
    name: str = ""
    question: str = ""

    def files(self) -> dict[str, bytes]:
        """Everything of this case's folder that is made here, by relative path."""
        files = {self.filename: self.capture, "case.toml": self._toml().encode()}
        files |= {f"keys/{name}": data for name, data in self.keys.items()}
        return files | self.extra

    def _toml(self) -> str:
        lines = [
            f"question = {_quote(self.question)}",
            f'provenance = "synthetic, captures/make.py, seed {self.name}"',
            f'capture = "{self.filename}"',
            "",
            "[truth]",
            f"what = {_quote(self.truth)}",
        ]
        expected = {"with_keys": self.with_keys, "without_keys": self.without_keys}
        if not any(isinstance(entries, Expect) or entries for entries in expected.values()):
            lines.append("no_session = true")
        for title, entries in expected.items():
            for entry in (entries,) if isinstance(entries, Expect) else entries:
                lines += ["", f"[[truth.{title}]]", f"verdicts = {_list(entry.verdicts)}"]
                if entry.certainty:
                    lines.append(f'certainty = "{entry.certainty}"')
                if entry.alternatives:
                    lines.append(f"alternatives = {_list(entry.alternatives)}")
                if entry.findings:
                    lines.append(f"findings = {_list(entry.findings)}")
        return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _list(words: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"


@cache
def cloud_key(name: str = "cloud") -> RsaKey:
    """A cloud's RSA-2048 key: the same in every case that names it (one costs a third of a second to find)."""
    return RsaKey.generate(Random(f"rsa/{name}"), 2048)


@cache
def cloud_ec(name: str = "cloud") -> EcKey:
    """A cloud's P-256 key."""
    return EcKey.generate(Random(f"ec/{name}"))


class Lab:
    """What a recipe works with: its own generator, hosts, keys and traces, all from the case's name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rng = Random(name)
        self.start = (EPOCH + self.rng.randrange(40_000)) * SECOND + self.rng.randrange(10**6) * 1000
        last = self.rng.randrange(20, 200)
        self.device = Host.of(f"192.168.1.{last}", f"e0:4f:43:00:01:{last:02x}", 128)
        self.gateway = Host.of("192.168.1.1", "02:00:5e:00:01:01")
        self.cloud = Host.of("203.0.113.10", "02:00:5e:00:01:01", 52)

    def trace(self, link: Link | None = None, *, at: float = 0.0) -> Trace:
        """An empty capture that begins ``at`` seconds after the case's start."""
        return Trace(self.start + round(at * SECOND), self.rng, link)

    def id(self) -> bytes:
        """A device id as they are: six machine bytes, six of text."""
        a, b = self.rng.choice((0x1E, 0x2B, 0x30, 0x3A, 0x45, 0x53)), self.rng.randrange(0x10, 0x60)
        return bytes((a, 0, b, 0, 0x11)) + b"G43" + f"{self.rng.randrange(10**4):04d}".encode()

    def rsa(self, name: str = "device") -> RsaKey:
        """A device's RSA-1024 key, this case's own; not one of the few that the firmware's reader stumbles over."""
        rng = Random(f"{self.name}/{name}")
        while not (key := RsaKey.generate(rng, 1024)).regular:
            pass
        return key

    def ec(self, name: str = "device") -> EcKey:
        """A device's P-256 key, this case's own."""
        return EcKey.generate(Random(f"{self.name}/{name}"))


Recipe = Callable[[Lab], Case]
RECIPES: dict[str, tuple[str, Recipe]] = {}


def case(name: str, question: str) -> Callable[[Recipe], Recipe]:
    """Registers a recipe under the name of its folder."""

    def register(recipe: Recipe) -> Recipe:
        assert name not in RECIPES, name
        RECIPES[name] = (question, recipe)
        return recipe

    return register


def build(name: str) -> Case:
    """Makes one case from its seed."""
    question, recipe = RECIPES[name]
    made = recipe(Lab(name))
    made.name, made.question = name, question
    return made


def in_order(frames: Sequence[Frame]) -> list[Frame]:
    """Frames by time, as a capture of several conversations holds them."""
    return sorted(frames, key=lambda frame: frame.time_ns)


def pcap(*traces: Trace, link: int = capfile.ETHERNET) -> bytes:
    """A pcap of one or more traces, in order of time."""
    return capfile.pcap(in_order([frame for trace in traces for frame in trace.frames]), link)


def digest(data: bytes) -> int:
    """CRC-32, for messages about differences."""
    return zlib.crc32(data)
