"""What a vendor quotes of a text does not get into errors."""

from __future__ import annotations

import time

import pytest

from agents.providers.transport.quoting import without_quotes

SAID = "My secret phrase is cardamom, and the account is 88121."


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f"cannot say: {SAID}", "cannot say: …"),
        ('no voice for "secret phrase is cardamom" here', 'no voice for "…" here'),
        ("MY SECRET\n phrase - is: no", "…: no"),
        ("bad input (and the acc", "bad input (…"),
        ("not a number: 88121", "not a number: …"),
        ("HTTP 400 (the phrase is not allowed)", "HTTP 400 (the phrase is not allowed)"),
        ("the account is blocked", "… blocked"),
    ],
)
def test_three_words_in_a_row_are_a_quotation(message: str, shown: str) -> None:
    assert without_quotes(message, [SAID]) == shown


def test_no_run_of_words_goes_from_one_text_into_the_next() -> None:
    assert without_quotes("is not there", ["this is", "not there yet"]) == "is not there"


def test_a_short_text_is_one_as_a_whole() -> None:
    said = ["Anna Schmidt", "a", "no", "Schmetterling"]
    assert without_quotes("no voice for a Schmetterling", said) == "no voice for a …"
    assert without_quotes("anna schmidt is unknown, Anna is not", said) == "… is unknown, Anna is not"


def test_scripts_without_spaces_have_no_words_to_count() -> None:
    assert without_quotes("error: 密码是小豆蔻 (1)", ["我的密码是小豆蔻和其他"]) == "error: … (1)"


def test_nothing_said_leaves_the_message_alone() -> None:
    assert without_quotes("a b c d", []) == without_quotes("a b c d", ["", " "]) == "a b c d"


def test_long_conversations_take_no_time() -> None:
    said = [f"word{number} and some more of it" for number in range(20_000)]
    began = time.perf_counter()
    assert without_quotes("no such thing " * 50, said) == "no such thing " * 50
    assert time.perf_counter() - began < 2
