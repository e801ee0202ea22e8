"""What a report quotes: answers of strangers, messages, log lines. None of it stays.

How it works. A stage's facts stay when they are numbers or by their name one of our own words; whatever else is text comes
from the other side. All that is left out is remembered, and goes from every sentence of the session that repeats it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from analyzer.model import LogLine, Message, Session, Stage
from analyzer.reports.redaction.names import LEFT_OUT, Names
from analyzer.reports.redaction.search import Piece, Search, Shapes, Words, replaced
from dissectors.events import Fact

#: Facts whose text is one of our own words, a protocol's name for something, or a number written as text.
_OUR_WORDS = frozenset(
    {
        *(
            "alert",
            "cipher_suite",
            "cipher_suites",
            "firmware",
            "flag_names",
            "form",
            "generation",
            "looks_like",
            "marker",
        ),
        *("mbedtls", "message", "odd_size", "platform_name", "rcode", "record", "signature", "signature_algorithm"),
        "version",
    }
)
#: Facts that name a device, a key or a cloud, which have pseudonyms.
_FILES = frozenset({"key_of", "opened_with", "signed_by"})
_NAMING = frozenset({"device_id", "fingerprint"})
#: What `answer` can say in our own words, once what it quotes is gone.
_ANSWER = re.compile(
    r"(?:HTTP (?:[0-9]{3}|response)|an HTML page)(?:, redirect to \(left out\))?(?:, title “\(left out\)”)?"
    r"|HTTP request \(left out\)|[A-Z0-9]{2,5} (?:banner|response) \(left out\)|not random"
    r"|(?:TLS|DTLS) [A-Za-z0-9_ ]+|MQTT CONNECT|MQTT CONNACK, return code [0-9]+|Telnet option negotiation|SMB"
    r"|SOCKS5 method selection|DNS (?:response|query)"
    r"|CoAP over TCP \(RFC 8323 capabilities message\)|CoAP response [0-9]\.[0-9]{2}"
)
_ANSWER_HEAD = re.compile(r"text: |MySQL greeting |not random: ")
#: Messages told in our own words and numbers.
_OUR_MESSAGES = frozenset(
    {"ack", "alert", "describe-request", "hello", "ping", "time", "time-request", "undecryptable"}
)
#: Sentences that end with what a message says.
_SAID = re.compile(r"^(?:it decrypts|the device's first message): ")
#: What follows a log's line where it does not end the sentence.
_AFTER_LINE = "): the device goes to Particle's cloud"
_REASON = re.compile(r"(?:(?<=did not come \()|(?<=logs a failure \()).+?(?=\), the capture shows)")
#: The name of the number that a log's line ends with.
_MEANING = re.compile(r" \([A-Za-z][\w .,:/'-]{0,80}\)")
#: What may follow a log's name where nothing but a name can stand.
_AFTER_LOG = (
    r" lines? [0-9]| \(with [0-9]+ older files?\)| prints a private key| is the log of | holds no attempt| ends before its| of [0-9a-f]{24} fits"
    r"| fits no session|: [0-9,]+ lines? (?:read|of a server)|: lines? [0-9]| is the server's log|: [0-9]+ devices got"
    r"| is [0-9,.]+ (?:h|s) (?:[0-9]+ min )?(?:ahead of|behind) the capture"
)
#: What `known-line` quotes, between the lines' numbers and what they mean. A meaning with the like in it is lost too.
_KNOWN_LINE = re.compile(r"^(?:.+?: )?lines? [0-9., ]+ \((.+)\): ", re.DOTALL)
#: A quotation of one word, or shorter than this, goes only where it cannot be our own word.
_SHORT = 4
_ONE_WORD = re.compile(r"[\w-]+")


class Quotes:
    """What one session quotes, and its parts without it."""

    def __init__(self, session: Session, names: Names) -> None:
        self._names = names
        ours = {item.summary for item in session.messages if item.type in _OUR_MESSAGES}
        texts = sorted({line.text for line in session.log}, key=len, reverse=True)
        words, lines = Words(), Words()
        for stage in session.stages:
            for text, instead in self._not_ours(stage):
                _remember(words, text, instead)
        for item in session.messages:
            if item.type not in _OUR_MESSAGES:
                _remember(words, item.summary, LEFT_OUT)
        for text in texts:
            _remember(lines, text, LEFT_OUT)
        #: For advice: it is ours, with names in it.
        self.advice: tuple[Search, ...] = (words, *names.searches)
        #: For what is told of the session.
        self.telling: tuple[Search, ...] = (*of_logs(names, texts), _Said(ours), words, lines, *names.searches)

    def stage(self, stage: Stage) -> Stage:
        """A stage with the facts that are ours."""
        return replace(stage, fields={name: self._fact(stage, name, value) for name, value in stage.fields.items()})

    def message(self, message: Message) -> Message:
        """A message without what it says, unless that is ours."""
        ours = message.type in _OUR_MESSAGES
        return replace(message, summary=replaced(message.summary, self._names.searches) if ours else "")

    def log_line(self, line: LogLine) -> LogLine:
        """Where a line stands and whether it agrees; not what it says."""
        return replace(line, file=self._names.log(line.file), text=LEFT_OUT)

    def _fact(self, stage: Stage, name: str, value: Fact) -> Fact:
        if isinstance(value, str):
            return self._text(stage, name, value)
        if isinstance(value, tuple):
            texts = tuple(self._text(stage, name, item) for item in value if isinstance(item, str))
            return texts or value
        return value

    def _text(self, stage: Stage, name: str, value: str) -> str:
        looked_up = stage.stage == "name-resolution"
        if name in _OUR_WORDS:
            return value
        if name in _FILES:
            return self._names.file(value) or replaced(value, self._names.searches)
        if name == "connection_id":
            return self._names.connection_id(value)
        if name in _NAMING or (looked_up and name in ("answers", "summary")):
            return replaced(value, self._names.searches)
        if looked_up and name == "name":
            return self._names.host(value)
        return _answer(value, stage) if name == "answer" else LEFT_OUT

    def _not_ours(self, stage: Stage) -> Iterator[tuple[str, str]]:
        """The texts of a stage that are left out, with what stands in their place."""
        for name, value in stage.fields.items():
            for text in value if isinstance(value, tuple) else (value,):
                if isinstance(text, str) and LEFT_OUT in (instead := self._text(stage, name, text)):
                    yield text, instead


def of_logs(names: Names, lines: Sequence[str] = ()) -> tuple[Search, ...]:
    """What finds a log's name and its lines in a sentence; ``lines`` are those known. Nothing where there is no log."""
    if not names.logs:
        return ()
    any_log = "|".join(map(re.escape, names.logs))
    places = rf"(?<!\w)(?:{any_log})(?={_AFTER_LOG})|(?:(?<=attempts in )|(?<=attempt in ))(?:{any_log})(?=:|$| fits)"
    return (
        _Lines(re.compile(rf"(?<!\w)({any_log})( line [0-9]+: )"), names, lines),
        Shapes(_REASON, lambda _: LEFT_OUT),
        Shapes(_KNOWN_LINE, lambda _: LEFT_OUT),
        Shapes(re.compile(places), lambda match: names.log(match[0])),
    )


class _Lines:
    """A log's line in a sentence, behind the log's name and the line's number."""

    def __init__(self, place: re.Pattern[str], names: Names, lines: Sequence[str]) -> None:
        self._place, self._names, self._known = place, names, lines

    def pieces(self, text: str) -> Iterator[Piece]:
        """The text without the line; what its number means stays."""
        place = self._place.search(text)
        if place is None:
            yield Piece(text, done=False)
            return
        end = text.rfind(_AFTER_LINE)
        end = end if end >= place.end() else len(text)
        quoted = text[place.end() : end]
        behind = next((quoted[len(line) :] for line in self._known if quoted.startswith(line)), "")
        meaning = behind if _MEANING.fullmatch(behind) else ""
        yield Piece(text[: place.start()], done=False)
        yield Piece(f"{self._names.log(place[1])}{place[2]}{LEFT_OUT}{meaning}", done=True)
        yield Piece(text[end:], done=False)


class _Said:
    """What a sentence repeats of a message."""

    def __init__(self, ours: Collection[str]) -> None:
        self._ours = ours

    def pieces(self, text: str) -> Iterator[Piece]:
        """The text without what the message says, unless that is ours."""
        head = _SAID.match(text)
        said = text[head.end() :] if head else ""
        if head is None or any(item == said or item.startswith(f"{said}, ") for item in self._ours):
            yield Piece(text, done=False)
        else:
            yield Piece(head[0] + LEFT_OUT, done=True)


def _remember(words: Words, text: str, instead: str) -> None:
    if text != instead:
        words.add(text, instead, exact=True, quoted=len(text) < _SHORT or bool(_ONE_WORD.fullmatch(text)))


def _answer(answer: str, stage: Stage) -> str:
    """What a stranger answered, in our own words; left out as far as it is in its own."""
    quoted = {value for name, value in stage.fields.items() if isinstance(value, str) and name not in _OUR_WORDS}
    for text in sorted(quoted - {answer, ""}, key=len, reverse=True):
        answer = answer.replace(text, LEFT_OUT)
    if _ANSWER.fullmatch(answer):
        return answer
    head = _ANSWER_HEAD.match(answer)
    return f"{head[0] if head else ''}{LEFT_OUT}"
