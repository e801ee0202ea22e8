"""Who and what a report names: addresses, devices, hosts, files; and the one pseudonym of each.

How it works. What has a shape of its own (addresses, ids, fingerprints, host names, paths) is known by it wherever it
stands. What has none (files, hosts without a dot) is collected from the report's own fields, and from the sentences that
name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from itertools import chain, count
from pathlib import PurePath

from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.model import LOG_FORMAT, SERVER_LOG_FORMAT, CaptureReport, Report
from analyzer.reports.redaction.search import Search, Shapes, Words

LEFT_OUT = "(left out)"
_ID = re.compile(r"(?<![0-9a-z])[0-9a-f]{24}(?![0-9a-z])", re.IGNORECASE)
_MAC = r"(?<![0-9a-z:-])[0-9a-f]{2}(?P<mark>[:-])(?:[0-9a-f]{2}(?P=mark)){4}[0-9a-f]{2}(?![0-9a-z])"
_IPV4 = r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\w|\.\w)"
_IPV6 = r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9a-f]{1,4}|(?<=::))(?!\w)"
_PRINT = r"SHA256:[0-9a-f]{16,64}(?![0-9a-f])|(?<![0-9a-z])[0-9a-f]{64}(?![0-9a-z])"
_PATH = r"(?<![\w.:/\\~-])(?:[a-z]:)?(?:~|\.{1,2})?[/\\](?:[^\s/\\'\"“”,;()]+[/\\])+[^\s/\\'\"“”,;:()]*(?<![.])"
_DOTTED = r"(?<![\w.-])(?:[^\W_](?:[\w-]*[^\W_])?\.)+[a-z][\w-]*[^\W_]"
_SHAPES = re.compile(
    f"(?P<path>{_PATH})|(?P<mac>{_MAC})|(?P<ip6>{_IPV6})|(?P<ip4>{_IPV4})|(?P<print>{_PRINT})|(?P<dotted>{_DOTTED})|{_ID.pattern}",
    re.IGNORECASE,
)
#: Words with dots that are ours: display filters, what applications call, versions.
_OURS = frozenset(
    {
        *("ip.addr", "ipv6.addr", "tcp.stream", "udp.stream", "tcp.port", "udp.port", "frame.number", "dns.qry.name"),
        *("particle.connect", "particle.keepalive", "system.set", "wifi.clearcredentials"),
    }
)
_VERSION = re.compile(r"v?[0-9]+(?:\.[0-9]+)*\.x+", re.IGNORECASE)
#: Endings of files; those of the first kind are a user's own when the report does not know the file otherwise.
_USERS_FILE = re.compile(r".*\.(?:log|txt|pcap|pcapng|cap|dmp|keylog|hex)(?:\.gz)?", re.IGNORECASE)
_FILE = re.compile(r".*\.(?:pem|der|pub|bin|js|c|cpp|h|py|gz)", re.IGNORECASE)
#: Files that our own advice and sources speak of.
_OUR_FILES = frozenset({"device.pcap", "device.log", "capture.pcap", "sslkeys.log"})
_ENDINGS = frozenset(
    {
        *(".pcap", ".pcapng", ".cap", ".dmp", ".ntar", ".gz", ".log", ".txt"),
        *(".pem", ".der", ".pub", ".bin", ".keylog", ".hex"),
    }
)
#: Particle's own names: what may stand before the domain.
_PARTICLE = re.compile(r"(?:[^.]+\.)*(?:spark|particle)\.io\.?", re.IGNORECASE)
_PARTICLE_LABEL = re.compile(r"device|tcp|udp|udp-mesh|api|www|docs|build|console|status|id|v[0-9]{1,2}", re.IGNORECASE)
#: Commands and sentences that name a server which no field of the report holds.
_IN_COMMAND = re.compile(r" --host (\S+)")
_SERVERS = (
    re.compile(r"the device has (\S+) stored as its server"),
    re.compile(r"says its server is (\S+): "),
    re.compile(r"the key of the cloud at (\S+) and talks"),
    re.compile(r"^its stored server \(.*\) is (\S+)$"),
)
#: What stands there when no name is known.
_NO_SERVER = frozenset({"host", "unset", "invalid"})
#: Findings and problems that name a log, and what may be nothing but its name in them.
_LOGS = (
    re.compile(r"^(.+?)(?: of [0-9a-f]{24})? fits no session here; by itself it says"),
    re.compile(r"^told by (.+) lines [0-9]+-[0-9]+ alone"),
    re.compile(r"^(.+) is the log of [0-9a-f]{24}"),
    re.compile(r"^no attempt in (.+) fits a session of the capture$"),
    re.compile(r"^(.+) prints a private key \(line [0-9]+\)"),
    re.compile(r"^[0-9]+ failed attempts in (.+)$"),
    re.compile(r"^(.+?): [0-9,]+ lines? read, no connection attempt in them"),
    re.compile(r"^(.+?): lines? [0-9., ]+ \("),
    re.compile(r"^the clock of (.+) is [0-9,.]+ (?:h|s) "),
    re.compile(r"^(.+?): [0-9]+ devices got the line of line"),
    re.compile(r"^(?!told by )(.+?) line [0-9]+: "),
    re.compile(r"^(.+) fits no session here \("),
    re.compile(r"^(.+?): [0-9,]+ lines? of a server's log read"),
    re.compile(r"^(.+): [^:]+; what was read until then was used$"),
)
_LOG_CODES = frozenset(
    {
        *("known-line", "log-alone", "log-cut", "log-disagrees", "log-unmatched", "log-without-attempt"),
        *("retry-loop", "secret-in-log", "log-clock", "log-long", "server-wide", "server-says"),
    }
)
#: Where nothing but a server's name can stand: there an ordinary word is one too.
_AT_SERVER = (
    r"(?:--host |nslookup |\bnc (?:-vz )?|keys server \S+ |asks for |asked for |address of |looked up |falls back to "
    r"|device has |server is |cloud at |\) is )'?({})(?=[\s:,;'()]|$)"
)
#: Words so ordinary that they name nobody: in a sentence such a word is ours.
_ORDINARY = frozenset(
    """
    all alert an and any as at attempt bad be before by bytes capture cloud connect core data debug device devices dump electron
    failed file files first firmware for frame frames from good handshake hello hex home host id identity if in input is it its
    key keys last lightssl line lines log logs message messages ms name names network new no nonce not of old on one only or out
    output packet packets particle pcap photon port private proof public raw record role rsa seen sent serial server session
    sessions signature so spark stage stored story tcp test that the this time to trace udp unknown up usb user verdict with
    """.split()  # noqa: SIM905 - a list of that many strings is no easier to read
)
_SHORTEST = 2


class Names:
    """All names of one report and their pseudonyms. ``searches`` finds them in a text."""

    def __init__(self, report: Report, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self._files: dict[str, str] = {}
        self._taken: set[str] = set()
        self._captures: dict[str, str] = {}
        self._logs: dict[str, str] = {}
        self._words = Words()
        self.searches: tuple[Search, ...] = (self._words, Shapes(_SHAPES, self._shape))
        self._collect(report)

    # -- what a field holds --------------------------------------------------------------------------------------------

    def file(self, name: str) -> str | None:
        """A key's file; None for one that the report does not list."""
        return self._files.get(name)

    def capture(self, path: str) -> str:
        """A capture's path."""
        return self._captures.get(path, LEFT_OUT)

    def session(self, name: str) -> str:
        """A session's id, with its capture's path before it or not."""
        path, mark, number = name.rpartition("#")
        return f"{self.capture(path)}#{number}" if mark else name

    def log(self, name: str) -> str:
        """A log's file."""
        return self._logs.get(name, LEFT_OUT)

    @property
    def logs(self) -> tuple[str, ...]:
        """The names of all logs, longest first."""
        return tuple(sorted(self._logs, key=len, reverse=True))

    def host(self, name: str) -> str:
        """A host's name: Particle's own stay, but for the id in them: which cloud it was is the finding."""
        with suppress(ValueError):
            return self._address(str(ip_address(name)))
        labels = name.split(".")
        if not _PARTICLE.fullmatch(name):
            return ".".join(map(self._label, labels))
        last = -3 if name.endswith(".") else -2
        before = [item if _PARTICLE_LABEL.fullmatch(item) else self._owned(item) for item in labels[:last]]
        return ".".join([*before, *labels[last:]]).lower()

    def connection_id(self, digits: str) -> str:
        """A DTLS connection id in hexadecimal."""
        try:
            return self._pseudonyms.connection_id(bytes.fromhex(digits)).hex()
        except ValueError:
            return LEFT_OUT

    # -- what a text holds ---------------------------------------------------------------------------------------------

    def _shape(self, match: re.Match[str]) -> str:
        found, kind = match[0], match.lastgroup
        if match["mac"]:
            digits = bytes.fromhex(re.sub("[:-]", "", found))
            return self._pseudonyms.mac(digits).hex(match["mark"])
        if kind == "path":
            return LEFT_OUT
        if kind in ("ip4", "ip6"):
            return self._address(found)
        if kind == "print":
            return self._fingerprint(found)
        return self._dotted(found) if kind == "dotted" else self._device(found)

    def _dotted(self, found: str) -> str:
        lower = found.lower()
        if lower in _OURS or lower in _OUR_FILES or _VERSION.fullmatch(found):
            return found
        if _USERS_FILE.fullmatch(found):
            return LEFT_OUT
        return _ID.sub(lambda match: self._device(match[0]), found) if _FILE.fullmatch(found) else self.host(found)

    def _address(self, text: str) -> str:
        try:
            return str(ip_address(self._pseudonyms.address(ip_address(text).packed)))
        except ValueError:
            return text  # a version, a time: no address

    def _label(self, label: str) -> str:
        return self._pseudonyms.label(label.encode("utf-8", "replace")).decode()

    def _owned(self, label: str) -> str:
        return self._device(label) if _ID.fullmatch(label) else self._label(label)

    def _device(self, digits: str) -> str:
        return self._pseudonyms.device_id(bytes.fromhex(digits)).hex()

    def _fingerprint(self, text: str) -> str:
        head, digits = (text[:7], text[7:]) if text[6:7] == ":" else ("", text)
        # By its first 16 digits: a short and a long form of one fingerprint stay the same thing.
        return head + self._pseudonyms.derived("fingerprint", digits[:16].lower().encode(), 32).hex()[: len(digits)]

    # -- collecting ----------------------------------------------------------------------------------------------------

    def _collect(self, report: Report) -> None:
        for row in report.keys:
            if row.file not in self._files:
                self._key_file(row.file, row.role.value, row.reached)
        for number, capture in enumerate(report.captures, 1):
            for name in _logs_of(capture):
                self._logs.setdefault(name, f"log-{len(self._logs) + 1}.log")
            base = PurePath(capture.path).name
            alone = capture.format in (LOG_FORMAT, SERVER_LOG_FORMAT)
            self._captures[capture.path] = (
                self._logs[base] if alone else f"capture-{number}{_endings(capture.path)[-12:]}"
            )
            for word in (capture.path, base):
                self._know(word, self._captures[capture.path])
        for name, instead in self._logs.items():
            self._know(name, instead)
        hosts = {host: None for capture in report.captures for host in _hosts_of(capture)}
        ordinary = [host for host in hosts if not self._know(host, self.host(host), fold=True)]
        if ordinary:
            place = re.compile(_AT_SERVER.format("|".join(map(re.escape, ordinary))), re.IGNORECASE)
            self.searches = (Shapes(place, lambda match: self.host(match[1])), *self.searches)

    def _key_file(self, name: str, role: str, reached: str) -> None:
        base = PurePath(name).name
        owner = _ID.search(base.replace("_", " "))
        who = (
            self._device(owner[0])
            if owner
            else self._pseudonyms.derived("file", name.encode("utf-8", "replace"), 3).hex()
        )
        end = _endings(name)[-8:]
        numbered = (f"{who}.{role}-{number}{end}" for number in count(2))
        if owner and role == "cloud-copy" and base == f"{owner[0]}.pub.pem":
            role = ""  # the name under which a server looks it up
        shown = next(
            new
            for new in chain((f"{who}.{role}{end}" if role else f"{who}.pub.pem",), numbered)
            if new not in self._taken
        )
        self._taken.add(shown)
        self._files[name] = shown
        self._know(name, shown)
        self._know(base, shown)
        self._know(reached, shown)
        self._know(_made_of(base), _made_of(shown))

    def _know(self, word: str, instead: str, *, fold: bool = False) -> bool:
        """Replace a name wherever it stands; False for an ordinary word and for one too short, which only its own place tells."""
        if len(word) < _SHORTEST or word.lower() in _ORDINARY:
            return False
        self._words.add(word, instead, exact=word.isalpha() and not fold)
        return True


def _endings(name: str) -> str:
    """The endings of a file's name that tell what it is, and nothing of its name."""
    kept: list[str] = []
    for ending in reversed(PurePath(name).suffixes[-2:]):
        if ending.lower() not in _ENDINGS:
            break
        kept.insert(0, ending.lower())
    return "".join(kept)


def _made_of(file: str) -> str:
    """How our advice calls the public half that it makes of a key's file."""
    bare = file.rsplit(".", 1)[0]
    return f"{bare if bare.endswith('.pub') else f'{bare}.pub'}.der"


def _hosts_of(capture: CaptureReport) -> Iterator[str]:
    for session in capture.sessions:
        if session.cloud.host:
            yield session.cloud.host
        for stage in session.stages:
            name = stage.fields.get("name")
            if isinstance(name, str) and stage.stage == "name-resolution":
                yield name
        told = [session.verdict.summary, *session.verdict.premises, *(item.text for item in session.verdict.evidence)]
        told += (item.text for cause in session.verdict.causes for item in (*cause.pro, *cause.con))
        told += (item.summary for item in session.findings)
        named = [found for text in told for pattern in _SERVERS for found in pattern.findall(text)]
        for remedy in session.verdict.remedy:
            named += (found for command in remedy.commands for found in _IN_COMMAND.findall(command))
        yield from filter(None, map(_server, named))


def _server(found: str) -> str | None:
    name = re.sub(r":[0-9]{1,5}$", "", found.strip("'\"[](),;"))
    with suppress(ValueError):
        return None if ip_address(name) else None  # addresses are known by their shape
    return None if name.lower() in _NO_SERVER or not name else name


def _logs_of(capture: CaptureReport) -> Iterator[str]:
    if capture.format in (LOG_FORMAT, SERVER_LOG_FORMAT):
        yield PurePath(capture.path).name
    told = [(problem.code, problem.message) for problem in capture.problems]
    for session in capture.sessions:
        yield from (line.file for line in session.log)
        told += ((finding.code, finding.summary) for finding in session.findings)
    for code, text in told:
        if code in _LOG_CODES:
            yield from (match[1] for pattern in _LOGS if (match := pattern.match(text)))
