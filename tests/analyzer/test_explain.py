"""`explain`: every word people have in hand leads to its meanings, and no text breaks it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from analyzer.cli.app import app
from analyzer.explain import EXAMPLES, as_json, explain, render_explanation, suggest
from analyzer.firmware.leds import leds
from analyzer.firmware.lines import LineKind, known_lines
from analyzer.firmware.numbers import spaces
from analyzer.firmware.verdicts import answers, finding_texts, situations
from analyzer.model import Code


def titles(word: str) -> list[str]:
    found = explain(word)
    assert found is not None, word
    return [meaning.title for meaning in found.meanings]


@pytest.mark.parametrize("code", [*(code.value for code in Code), *finding_texts()])
def test_verdicts_and_findings(code):
    assert titles(code) == titles(code.upper()) == titles(code.replace("-", " ")) == [code]


def test_minus_19_is_the_peers_close_and_nothing_else():
    found = explain("-19")
    (meaning,) = found.meanings
    assert "WICED_CONNECTION_CLOSED" in meaning.title
    assert "not a decryption error" in meaning.text and "identity-rejected" in meaning.verdicts
    assert found.see_also == ("19",)


def test_without_a_sign_both_are_listed_with_what_tells_them_apart():
    found = explain("19")
    assert {meaning.title.split()[1] for meaning in found.meanings} == {
        "IO_ERROR_GENERIC_SEND",
        "WICED_CONNECTION_CLOSED",
    }
    for meaning in found.meanings:
        assert {"Kind", "Seen in", "Told from others by"} <= {label for label, _ in meaning.details}


@pytest.mark.parametrize(
    "word", ["-4e00", "0x4e00", "-0x4E00", "4e00", "-19968", "handshake failed -4e00", "ECP_VERIFY_FAILED"]
)
def test_one_mbedtls_number_in_all_its_spellings(word):
    assert any("ECP_VERIFY_FAILED" in title for title in titles(word))


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("-7780", "FATAL_ALERT"),
        ("-0x7780", "FATAL_ALERT"),
        ("-6800", "SSL_TIMEOUT"),
        ("-17028", "RSA_PUBLIC_FAILED + MPI_BAD_INPUT_DATA"),
        ("-1040", "RSA invalid padding"),
        ("1040", "RSA invalid padding"),
        ("26", "HANDSHAKE_RECV_KEY"),
        ("code=26", "HANDSHAKE_RECV_KEY"),
        ("code 17", "GENERIC_ESTABLISH"),
        ("-220", "IO"),
        ("1300", "IO"),
        ("alert 40", "handshake_failure"),
        ("DECRYPTION_ERROR", "DECRYPTION_ERROR"),
        ("MBEDTLS_ERR_SSL_TIMEOUT", "SSL_TIMEOUT"),
        ("524287", "UNKNOWN"),
        ("0x7FFFF", "UNKNOWN"),
        ("-18", "CONNECTION_RESET"),
    ],
)
def test_numbers_of_every_era(word, name):
    assert any(name in title for title in titles(word))


def test_every_number_of_every_space_can_be_looked_up_as_printed():
    for space in spaces().values():
        for item in space.numbers.values():
            printed = space.shown(item.value).split(" ")[0]
            assert any(item.name in title for title in titles(printed)), (space.name, printed)


@pytest.mark.parametrize("led", leds(), ids=lambda led: led.pattern)
def test_led_patterns(led):
    assert f"LED: {led.pattern}" in titles(led.pattern)


def test_led_patterns_in_free_words():
    assert titles("fast cyan, one red") == ["LED: fast cyan, one red flash"]
    assert titles("3 orange")[0] == "LED: cyan, three orange blinks"


@pytest.mark.parametrize("line", known_lines(), ids=lambda line: line.example[:50])
def test_a_pasted_log_line_is_explained_whatever_its_prefix(line):
    for prefix in (
        "",
        "0000304866 ERROR: ",
        "0000001306 [comm.lightssl.handshake] WARN: ",
        "Dec 17 01:36:22 [system] INFO: ",
    ):
        found = explain(f'"{prefix}{line.example}"')
        assert found is not None
        assert any(
            meaning.kind == "log-line" and meaning.text == line.text for meaning in found.meanings
        ) or line.kind in (
            LineKind.FACT,
            LineKind.BOOT,
        )


def test_a_pasted_line_with_a_number_explains_the_number_too():
    found = titles("0000304866 ERROR: Unable to receive key -19")
    assert found[0] == "device log line, TCP" and any("WICED_CONNECTION_CLOSED" in title for title in found)


@pytest.mark.parametrize("row", situations(), ids=lambda row: f"row-{row.row}")
def test_each_failure_met_in_the_wild_is_found_by_each_of_its_words(row):
    for word in row.words:
        found = explain(word)
        assert found is not None, word
        named = {verdict for meaning in found.meanings for verdict in meaning.verdicts}
        wanted = {code.value for code in row.verdicts} | set(row.findings)
        about = any(meaning.title == row.symptom for meaning in found.meanings)
        assert about or named & wanted, word


def test_a_private_key_pasted_is_not_echoed():
    secret = "3082025C02010002818100" + "AB" * 60
    found = explain(f"0000001000 [hal] INFO: device key: {secret}")
    assert "AB" * 20 not in render_explanation(found)
    assert "AB" * 20 not in json.dumps(as_json(found))


@pytest.mark.parametrize("word", ["no-such-thing-at-all", "", "   ", '""', "\x1b[31m"])
def test_an_unknown_word_has_no_explanation(word):
    assert explain(word) is None


@pytest.mark.parametrize("word", ["flux capacitor", "it is all broken", "no-such-thing-at-all"])
def test_only_a_near_miss_is_offered_as_what_was_meant(word):
    assert suggest(word) == ()
    done = CliRunner().invoke(app, ["explain", word])
    assert done.exit_code == 2 and not done.stdout
    assert "did you mean" not in done.stderr and "examples of what is known: identity-rejected" in done.stderr
    assert all(explain(example) for example in EXAMPLES)


def test_a_misspelt_word_is_guessed():
    done = CliRunner().invoke(app, ["explain", "identity-rejcted"])
    assert done.exit_code == 2 and "did you mean identity-rejected" in done.stderr
    assert suggest("identity-rejcted")[0] == "identity-rejected"
    assert suggest("three orange blinks cyan")[0] == "cyan, three orange blinks" or suggest("cyan three orange blink")


EXPLAINED = ["identity-rejected", "26", "3 orange", "-4e00", "log-disagrees", "Unable to receive key -19", "faulty SIM"]


@pytest.mark.parametrize("word", EXPLAINED)
def test_the_text_fits_80_columns_but_for_commands(word):
    text = render_explanation(explain(word))
    assert text.endswith("\n") and not text.endswith("\n\n")
    for line in text.splitlines():
        assert len(line) <= 80 or line.startswith("        ")
        assert line.isprintable()


@pytest.mark.parametrize("word", EXPLAINED)
def test_json_says_what_the_text_says(word):
    found = explain(word)
    plain = as_json(found)
    assert plain["schema"] == "explanation/1"
    assert [item["title"] for item in plain["meanings"]] == [meaning.title for meaning in found.meanings]
    assert json.loads(json.dumps(plain)) == plain


@given(st.text(max_size=3000))
def test_no_text_raises_and_what_is_found_can_be_shown(text):
    found = explain(text)
    suggest(text)
    if found is not None:
        assert render_explanation(found) and json.dumps(as_json(found))


@pytest.mark.parametrize("filler", ["a", "1", "-", "orange ", "a-", "0x", " ", "code=", "\x1b["])
def test_time_is_linear(filler):
    def needed(size: int) -> float:
        started = time.perf_counter()
        explain(filler * size)
        return time.perf_counter() - started

    needed(10)
    assert needed(200_000) < 0.5


@pytest.mark.parametrize("word", ["20 s", "20s", "20.4 s", "20 seconds", "20000 ms"])
def test_a_silence_is_explained_by_who_waits_that_long(word):
    found = explain(word)
    assert found is not None and "device-receive" in [meaning.title for meaning in found.meanings]
    assert "who" in render_explanation(found).lower() and "20 s" in render_explanation(found)


def test_a_silence_nobody_keeps_is_not_explained():
    assert explain("7777 s") is None


@pytest.mark.parametrize(
    "said",
    [
        "Determining device status: state = dfuERROR, status = 10",
        "dfuERROR, clearing status",
        "dfuERROR status 10",
        "Determining device status: state = dfuIDLE, status = 0",
    ],
)
def test_the_state_dfu_util_finds_at_its_start_condemns_no_device(said):
    """Thread 000; the same lines open runs that end in "File downloaded successfully" (dfu-util 0.5-0.9 on STM32 parts)."""
    found = explain(said)
    text = render_explanation(found)
    assert "means nothing for the flash" in " ".join(text.split())
    assert "eplace the device" not in text and not any(meaning.verdicts for meaning in found.meanings)


@pytest.mark.parametrize("said", ['dfu-util: Error during special command "ERASE_PAGE" get_status', "ERASE_PAGE"])
def test_an_erase_that_fails_does(said):
    found = explain(said)
    assert "cannot be erased" in found.meanings[0].text and "device-key-corrupt" in found.meanings[0].verdicts


#: What people in the five support threads and the article wrote or pasted, and a word that its answer must hold.
SAID = [
    ("unable to load Private Key", "blank, damaged"),
    ("Error saving key from device... Error: Command failed: unable to load Private Key", "blank, damaged"),
    ("blink Red once or Orange three times", "cyan, three orange blinks"),
    ("it will blink Red once or Orange three times", "fast cyan, one red flash"),
    ("particle keys doctor", "sends the public half to the cloud"),
    ("spark keys doctor 54ff73066672524813250167 --force", "sends the public half to the cloud"),
    ("particle keys load mykey.der", "writes a private key"),
    ("particle keys load core_id.der", "It does not tell the cloud"),
    ("particle keys save mykey.der", "reads the private key"),
    ("particle keys server command", "address"),
    ("undervolt", "Without its server address"),
    ("When you undervolt the photon you can run the risk of corrupting the flash", "Without its server address"),
    ("power loss", "makes itself a new pair"),
    ("pulling out the plug", "Without its server address"),
    ("factory reset", "it does not touch"),
    ("If I reset to factory, does that scrap the new keys I just put in?", "it does not touch"),
    ("failed to process the upload in time", "not connected"),
    ('error is sparkio "the server has failed to process the upload in time"', "not connected"),
    ("TypeError: Object #<Object> has no method 'writeKeyToCore'", "broken in itself"),
    ("dfu-util: Invalid DFU suffix signature", "harmless"),
]


@pytest.mark.parametrize(("said", "told"), SAID)
def test_what_people_wrote_in_the_threads_is_answered(said, told):
    assert told in " ".join(render_explanation(explain(said), width=1000).split())


def test_whose_command_it_is_makes_no_difference():
    assert (
        explain("particle keys doctor").meanings
        == explain("keys doctor").meanings
        == explain("spark keys doctor").meanings
    )


@pytest.mark.parametrize("row", answers(), ids=lambda row: row.words[0])
def test_each_question_is_found_by_each_of_its_words(row):
    assert set(row.findings) <= set(finding_texts())
    for word in row.words:
        assert any(meaning.title == row.question for meaning in explain(f"a {word} today").meanings), word


@pytest.mark.parametrize("said", ["fast cyan", "I get the fast flashing cyan for ever", "fast cyan forever"])
def test_an_early_core_shows_fast_cyan_for_ever_with_a_wrong_key(said):
    """Thread 001 (2014): the cloud had another public key for this Core, which went on in fast cyan (tcp.md S15, 2.8)."""
    found = explain(said)
    assert {"device-key-mismatch", "device-key-corrupt"} <= {v for meaning in found.meanings for v in meaning.verdicts}
    assert "Spark Core of 2013-2014" in str(found)
