"""`analyze explain WORD`: a verdict, a finding, a number, an LED pattern, a log line or a history in plain words.

Everything comes from the tables of `analyzer.firmware` and, for histories, of the dissectors, the same the diagnosis
uses, so the two cannot disagree.
Nothing here raises, whatever the word; time is linear in its length, and only its first 600 characters count.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from analyzer.devicelog.prefix import hide_keys, learned, strip_prefix
from analyzer.firmware.case import RemedyContext
from analyzer.firmware.families import families
from analyzer.firmware.leds import Led, Reading, leds, leds_told, read_leds
from analyzer.firmware.lines import LONGEST, Line, LineKind, known_lines, match_line, number_of
from analyzer.firmware.numbers import Number, Space, meanings, number, spaces
from analyzer.firmware.remedies import remedy
from analyzer.firmware.serverlines import said as said_by_server
from analyzer.firmware.serverlines import server_lines
from analyzer.firmware.shows import device_shows
from analyzer.firmware.timers import Timer, timers_near
from analyzer.firmware.verdicts import Situation, answers, finding_texts, situations, verdict_texts
from analyzer.model import Code
from analyzer.serverlog.signs import sign_of
from dissectors.dtls.profile import GENERATIONS
from dissectors.events import MORE_SIGNS, Sign

Kind = Literal["verdict", "finding", "number", "led", "log-line", "wait", "situation", "history", "family"]

_NUMBER = re.compile(r"[-+]?\d{1,10}")
_HEX = re.compile(r"[-+]?0[xX][0-9a-fA-F]{1,8}|[-+]?[0-9a-fA-F]{2,5}|-[a-fA-F]")
_WORDY_NUMBER = re.compile(r"(?:code|error|errno|alert|status|number)\s*[:=#]?\s*([-+]?(?:0x)?[0-9a-f]{1,10})")
#: What makes a sentence a question, its longest, and what in it is a number that a device prints.
_ASKS = frozenset({"how", "what", "why", "fix", "mean", "means", "meaning", "explain", "solve", "repair", "help"})
_QUESTION = 14
_TOKEN = re.compile(r"-\d{1,5}|-?0x[0-9a-f]{2,8}|-[0-9a-f]{4}")
_WAIT = re.compile(r"(\d{1,5}(?:\.\d{1,6})?) ?(ms|s|sec|seconds|min|minutes)")
_UNITS = {"ms": 0.001, "min": 60.0, "minutes": 60.0}
#: How a command begins that people paste; whose it is does not make it another command.
_PARTICLE = re.compile(r"\b(?:particle|spark) {1,4}keys {1,4}")
#: How alike a word must be to be offered for the one that was meant (0 to 1).
_NEAR_MISS = 0.75
_NAME_PREFIX = re.compile(r"^(?:MBEDTLS_ERR_|SYSTEM_ERROR_|PROTOCOL_ERROR_|TLS_ALERT_)")
_MOST_SITUATIONS = 4
#: A description of a light has no more words.
_LED_WORDS = 24
#: That many characters of a server's own words are nobody else's.
_TELLING = 20
#: A word of fewer characters may be anybody's, even where a server uses it, too.
_SENTENCE = 9
_HISTORY = "A letter for each thing seen on the wire, in order; capitals are the device's, small letters the cloud's."
#: Marks a row of a detail as a line to type: it is shown as it is, never wrapped.
_COMMAND = "$ "


@dataclass(frozen=True, slots=True)
class Meaning:
    """One meaning of the word. ``details`` are (label, text) pairs: where it is seen, what tells it from others, the fix."""

    kind: Kind
    title: str
    text: str
    details: tuple[tuple[str, str], ...] = ()
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """All meanings of a word, likeliest first; ``see_also`` are words that lead further."""

    word: str
    meanings: tuple[Meaning, ...]
    see_also: tuple[str, ...] = ()


def explain(word: str) -> Explanation | None:
    """What ``word`` means; None when it is unknown (then `suggest` helps)."""
    shown = "".join(char if char.isprintable() else " " for char in word[:LONGEST])
    plain = " ".join(hide_keys(shown).strip().strip("\"'`“”").split())
    if not plain:
        return None
    found = _by_code(plain)
    if found:
        return found
    numbers = tuple(_by_number(plain))
    if numbers:
        return Explanation(plain, numbers, _other_sign(plain))
    waits = tuple(_by_wait(plain))
    if waits:
        return Explanation(plain, waits)
    asked = tuple(_by_question(plain))
    if asked:
        return Explanation(plain, asked)
    servers = tuple(_by_server(plain))
    if servers:
        return Explanation(plain, servers)
    said = _PARTICLE.sub("keys ", plain)
    collected: list[Meaning] = [
        *_by_name(plain),
        *_by_answer(said),
        *_by_family(plain),
        *_by_line(plain),
        *_by_led(plain),
        *_by_situation(said),
    ]
    unique = tuple(dict.fromkeys(collected)) or tuple(_by_history(plain))
    return Explanation(plain, unique) if unique else None


#: Starting points for a word that looks like nothing known.
EXAMPLES = ("identity-rejected", "-19", "-4e00", "3 orange", '"Unable to receive key -19"', '"keys doctor"')


def suggest(word: str) -> tuple[str, ...]:
    """Words that can be explained and look like this one, best first; none when it is no near miss."""
    plain = " ".join(word[:80].lower().split())
    return tuple(difflib.get_close_matches(plain, _vocabulary(), n=5, cutoff=_NEAR_MISS))


def _by_code(plain: str) -> Explanation | None:
    code = plain.lower().replace(" ", "-").replace("_", "-")
    if code in {item.value for item in Code}:
        return Explanation(plain, (_verdict(Code(code)),))
    finding = finding_texts().get(code)
    if finding:
        seen = [item for item in situations() if code in item.findings]
        details = (("What to do", finding.next), *_met_as(seen))
        return Explanation(plain, (Meaning("finding", code, finding.means, details),))
    return None


def _verdict(code: Code) -> Meaning:
    text = verdict_texts()[code]
    details = [("On the wire", text.wire), ("What settles it", text.proof), ("Fix", text.fix)]
    done = [remedy(code, RemedyContext(transport=transport)) for transport in text.transports]
    steps = dict.fromkeys(item for items in done for item in items)
    rows = [row for item in steps for row in (item.text, *(f"{_COMMAND}{command}" for command in item.commands))]
    details += [("What to do", "\n".join(rows))] if rows else []
    shows = [line for transport in text.transports for line in device_shows(code, transport)]
    details += [("The device shows", "\n".join(dict.fromkeys(shows)))] if shows else []
    met = _met_as(row for row in situations() if code in row.verdicts)
    return Meaning("verdict", code.value, text.means, (*details, *met))


def _met_as(rows: Iterable[Situation]) -> tuple[tuple[str, str], ...]:
    lines = [f"{row.symptom} Cause: {row.cause}" for row in rows][:_MOST_SITUATIONS]
    return (("Met as", "\n".join(lines)),) if lines else ()


def _by_number(plain: str) -> Iterator[Meaning]:
    wordy = _WORDY_NUMBER.fullmatch(plain.lower())
    token = wordy.group(1) if wordy else plain
    seen: set[tuple[str, int]] = set()
    for value, hexadecimal in _values(token):
        for space, item in meanings(value):
            if (space.name, item.value) not in seen and (space.hexadecimal or not hexadecimal):
                seen.add((space.name, item.value))
                yield _number(space, item)


def _by_question(plain: str) -> Iterator[Meaning]:
    """A question about a number, such as "how do I fix -19": the answer is the number's."""
    words = plain.lower().rstrip("?").split()
    if not _ASKS.intersection(words) and not plain.endswith("?"):
        return
    tokens = [word for word in words if _TOKEN.fullmatch(word)]
    if len(tokens) == 1 and len(words) <= _QUESTION:
        yield from _by_number(tokens[0])


def _values(token: str) -> Iterator[tuple[int, bool]]:
    """The signed values a token may stand for, and whether only where numbers are printed in hexadecimal.

    As written first; without a sign also its negative; then as hexadecimal digits.
    """
    signed = token.startswith(("-", "+"))
    if _NUMBER.fullmatch(token):
        value = int(token)
        yield value, False
        if not signed:
            yield -value, False
    if _HEX.fullmatch(token):
        digits = token.lstrip("+-").lower()
        marked = digits.startswith("0x")
        value = int(digits, 16)
        # Two or three plain digits are hexadecimal only behind a minus.
        if signed or marked or not digits.isdecimal() or len(digits) >= 4:
            yield -value, not marked
        if marked and not signed:
            yield value, False


def _other_sign(plain: str) -> tuple[str, ...]:
    if plain.startswith("-") and _NUMBER.fullmatch(plain) and any(meanings(-int(plain))):
        return (plain[1:],)
    return ()


def _number(space: Space, item: Number) -> Meaning:
    details = [("Seen in", "; ".join(space.where)), ("Told from others by", space.tells)]
    details += [("Since", f"firmware {item.since}")] if item.since else []
    verdicts = tuple(code.value for code in item.verdicts)
    return Meaning(
        "number", f"{space.shown(item.value)}  {item.name}", f"{item.text}", (("Kind", space.title), *details), verdicts
    )


def _by_wait(plain: str) -> Iterator[Meaning]:
    """Who waits that long: "20 s", "500 ms"."""
    found = _WAIT.fullmatch(plain.lower())
    if found:
        seconds = float(found[1]) * _UNITS.get(found[2], 1.0)
        yield from map(_wait, timers_near(seconds))


def _wait(timer: Timer) -> Meaning:
    details = [("Waits", ", ".join(f"{value:g} s" for value in timer.seconds))]
    details += [("Transport", timer.transport.upper())] if timer.transport else []
    details += [("Firmware", timer.eras)] if timer.eras else []
    return Meaning("wait", timer.name, timer.text, (("Who", timer.who), *details, ("Source", timer.source)))


def _by_name(plain: str) -> Iterator[Meaning]:
    """Numbers by their names: DECRYPTION_ERROR, WICED_CONNECTION_CLOSED, decrypt_error."""
    wanted = _NAME_PREFIX.sub("", plain.upper().replace(" ", "_"))
    for space in spaces().values():
        for item in space.numbers.values():
            if item.name.upper().replace(" ", "_") == wanted:
                yield _number(space, item)


def _by_family(plain: str) -> Iterator[Meaning]:
    """Firmware families as reports name them: SparkProtocol, dtls-111."""
    for family in families().values():
        if plain.lower() not in (name.lower() for name in (family.name, *family.aliases)):
            continue
        rows = [("Also called", ", ".join(family.aliases))] if family.aliases else []
        made_by = [item for item in GENERATIONS if f"dtls-{item.hello_sizes[0]}" in (family.name, *family.aliases)]
        rows += [("Firmware", family.versions)] if family.versions else []
        rows += [("Firmware", f"{item.firmware}, mbedTLS {item.mbedtls}") for item in made_by]
        yield Meaning("family", f"firmware family {family.name}", f"{family.title}; {family.note}.", tuple(rows))


def _by_line(plain: str) -> Iterator[Meaning]:
    found = match_line(strip_prefix(plain, learned([plain], least=1)).message)
    if not found:
        return
    line, values = found
    shown = "device key: (private key, not shown)" if line.kind is LineKind.SECRET else line.example
    details = [("A line like", shown)]
    details += [("Stage", line.stage)] if line.stage else []
    details += [("Firmware", line.eras)] if line.eras else []
    yield Meaning("log-line", _line_title(line), line.text, tuple(details), tuple(code.value for code in line.verdicts))
    value = number_of(line, values)
    if value is not None:
        for name in line.spaces:
            item = number(name, value)
            if item:
                yield _number(spaces()[name], item)


def _by_server(plain: str) -> Iterator[Meaning]:
    """What an open server's log says: never what a device says, though both may use the same words."""
    found = said_by_server(plain)
    if found is None:
        return
    telling = any(len(word) >= _TELLING and word in plain for group in found.words for word in group)
    if not telling and not sign_of(plain) and match_line(strip_prefix(plain).message):
        return
    # Some words are of a server alone only in its own sentence.
    if len(plain) < _SENTENCE and not sign_of(plain) and plain not in found.example:
        return
    for line in (
        found,
        *(item for item in server_lines() if item.form and item.words == found.words and item is not found),
    ):
        printed = {"text": "printed as text", "bunyan": "printed by bunyan"}.get(line.form or "")
        details = [("A line like", line.example)]
        details += [("Printed", printed)] if printed else []
        details += [("Stage", line.stage)] if line.stage else []
        details += [("It cannot be", ", ".join(code.value for code in line.rules_out))] if line.rules_out else []
        codes = (line.code, *line.alternatives) if line.code else ()
        verdicts = tuple(code.value for code in codes if code is not None)
        yield Meaning("log-line", "server log line", line.text, (*details, ("Source", line.source)), verdicts)


def _line_title(line: Line) -> str:
    where = {LineKind.TOOL: "line of a tool"}.get(line.kind, "device log line")
    transport = {"tcp": ", TCP", "udp": ", UDP"}.get(line.transport or "", "")
    return f"{where}{transport}"


def _by_led(plain: str) -> Iterator[Meaning]:
    # A colour inside a long pasted text is no LED pattern by itself.
    reading = read_leds(plain) if len(plain.split()) <= _LED_WORDS else Reading()
    if reading.leds:
        yield from (_led(led, reading) for led in reading.leds)
        return
    yield from (_led(led, reading) for _, led in leds_told(plain))


def _led(led: Led, reading: Reading) -> Meaning:
    first, *rest = led.meanings
    details = [("Passed before", "; ".join(reading.passed))] if reading.passed else []
    details += [("Colour", f"taken for {real}, which many see as {seen}") for seen, real in reading.seen_as]
    details += [(item.eras, item.text) for item in rest]
    verdicts = dict.fromkeys(code.value for item in led.meanings for code in item.verdicts)
    text = first.text if first.eras == "all" else f"{first.text} ({first.eras})"
    return Meaning("led", f"LED: {led.pattern}", text, tuple(details), tuple(verdicts))


def _by_situation(plain: str) -> Iterator[Meaning]:
    said = plain.lower()
    scored = []
    for row in situations():
        best = max((_overlap(said, word.lower()) for word in row.words), default=0.0)
        if best:
            scored.append((-best, row.row, row))
    for _, _, row in sorted(scored, key=lambda item: item[:2])[:_MOST_SITUATIONS]:
        verdicts = (*(code.value for code in row.verdicts), *row.findings)
        yield Meaning("situation", row.symptom, row.cause, (("Fix", row.fix),), verdicts)


def _by_history(plain: str) -> Iterator[Meaning]:
    """The letters that CSV, HTML and the fleet call history: all of them, or those of one session ("nIfF")."""
    asked, letters = plain.lower() == "history", plain.removesuffix(MORE_SIGNS)
    # Small letters alone are rather a word of another kind: a cloud does not talk to itself.
    if not asked and len(letters) > 2 and letters.islower():
        return
    for title, signs in histories().items():
        known = {letter: sign for sign in signs for letter in sign.written}
        if asked:
            rows = [(", ".join(sign.written), f"{sign.means}{_by(sign)}") for sign in signs]
        elif letters and set(letters) <= set(known):
            rows = [(letter, _read(letter, known[letter], letters.count(letter))) for letter in dict.fromkeys(letters)]
        else:
            continue
        rows += [(MORE_SIGNS, "there were more")] if asked or plain != letters else []
        yield Meaning("history", f"history of a session, {title}", _HISTORY, tuple(rows))


def _by(sign: Sign) -> str:
    return f" (by the {_side(sign.written[0])})" if len(sign.written) == 1 else ""


def _read(letter: str, sign: Sign, count: int) -> str:
    return f"{sign.means} (by the {_side(letter)})" + (f", {count} times" if count > 1 else "")


def _side(letter: str) -> str:
    return "device" if letter.isupper() else "cloud"


def histories() -> dict[str, tuple[Sign, ...]]:
    """What the letters of a history stand for, by the protocol they are of."""
    from dissectors.dtls.ledger import SIGNS as DTLS
    from dissectors.lightssl.stages import SIGNS as LIGHTSSL

    return {"TCP": LIGHTSSL, "DTLS": DTLS}


def _by_answer(said: str) -> Iterator[Meaning]:
    """Questions and commands: a phrase of the table anywhere in what is said."""
    for row in answers():
        if any(len(word) <= len(said) and _overlap(said.lower(), word) for word in row.words):
            details = (("Fix", row.fix),) if row.fix else ()
            verdicts = (*(code.value for code in row.verdicts), *row.findings)
            yield Meaning("situation", row.question, row.answer, details, verdicts)


def _overlap(said: str, phrase: str) -> float:
    """How well a phrase of the table and what was said agree: 1 for equal, less for one inside the other, 0 for none."""
    if said == phrase:
        return 1.0
    short, long = sorted((said, phrase), key=len)
    if len(short) < 3 or not re.search(rf"(?<!\w){re.escape(short)}(?!\w)", long):
        return 0.0
    return len(short) / len(long)


@cache
def _vocabulary() -> tuple[str, ...]:
    words: list[str] = [*(code.value for code in Code), "history", *families()]
    words += finding_texts()
    words += [led.pattern for led in leds()]
    words += [word for row in situations() for word in row.words]
    words += [word for row in answers() for word in row.words]
    words += [item.name for space in spaces().values() for item in space.numbers.values()]
    words += [line.example[:80] for line in known_lines() if line.kind is not LineKind.SECRET]
    words += [line.example[:80] for line in server_lines()]
    return tuple(dict.fromkeys(word.lower() for word in words))


def render_explanation(explanation: Explanation, *, width: int = 80) -> str:
    """The explanation as plain text, ``width`` columns wide, ending in a newline. Commands are never broken."""
    lines: list[str] = []
    many = len(explanation.meanings) > 1
    if many:
        lines += [f"{explanation.word}: {len(explanation.meanings)} meanings", ""]
    for index, meaning in enumerate(explanation.meanings, 1):
        lines += _wrapped(f"{index}. {meaning.title}" if many else meaning.title, width, "")
        lines += _wrapped(meaning.text, width, "  ")
        for label, text in meaning.details:
            rows = text.split("\n")
            if len(rows) == 1:
                lines += _wrapped(f"{label}: {text}", width, "  ", hang="    ")
                continue
            lines.append(f"  {label}:")
            for row in rows:
                command = row.startswith(_COMMAND)
                lines += (
                    [f"        {row.removeprefix(_COMMAND)}"]
                    if command
                    else _wrapped(row, width, "    - ", hang="      ")
                )
        if meaning.verdicts:
            lines += _wrapped(f"Speaks for: {', '.join(meaning.verdicts)}", width, "  ", hang="    ")
        lines.append("")
    if explanation.see_also:
        lines += [f"See also: {', '.join(explanation.see_also)}", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _wrapped(text: str, width: int, indent: str, *, hang: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent if hang is None else hang,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The explanation as plain data for JSON: schema ``explanation/1``."""
    return {
        "schema": "explanation/1",
        "word": explanation.word,
        "meanings": [
            {
                "kind": meaning.kind,
                "title": meaning.title,
                "text": meaning.text,
                "details": [{"label": label, "text": text} for label, text in meaning.details],
                "verdicts": list(meaning.verdicts),
            }
            for meaning in explanation.meanings
        ],
        "see_also": list(explanation.see_also),
    }
