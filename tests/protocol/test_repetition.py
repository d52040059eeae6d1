"""What was already said is taken off a transcript that was made again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.providers.protocol.repetition import repeated_prefix, tokens, without_overlap


def fresh(said: str, text: str) -> str:
    return repeated_prefix(tokens(said), text)[0]


class TestTokens:
    def test_case_and_punctuation_do_not_count(self) -> None:
        assert tokens("Hello, World! It's  5 o'clock.") == ["hello", "world", "its", "5", "oclock"]
        assert tokens("STRASSE straße") == ["strasse", "strasse"]

    def test_nothing_is_no_word(self) -> None:
        assert tokens("") == tokens("  \n") == []

    @pytest.mark.parametrize("text", ["-", "…", "? !", "。", "、"])
    def test_punctuation_by_itself_is_no_word(self, text: str) -> None:
        assert tokens(text) == []

    def test_scripts_without_blanks_count_by_character(self) -> None:
        assert tokens("你好world 再见") == ["你", "好", "world", "再", "见"]
        assert tokens("こんにちは") == list("こんにちは")


class TestRepeatedPrefix:
    @pytest.mark.parametrize(
        ("said", "text", "new"),
        [
            ("one two three", "one two three", ""),
            ("one two three", "one two three four five", "four five"),
            ("one two three", "One, two - three! Four five.", "Four five."),
            ("one two three", "one too three four", "four"),
            ("one two three", "one two tree four", "four"),
            ("i am gonna leave", "i am going to leave now", "now"),
            ("um one two three", "one two three four", "four"),
            ("one two three", "um one two three four", "four"),
            ("one two three four five", "one two", ""),
            ("one two three four five", "One, too.", ""),
            ("", "one two", "one two"),
            ("one", "", ""),
            ("one", "   ", ""),
            ("go go", "go go go", "go"),
            ("yes", "yes yes", "yes"),
        ],
    )
    def test_words(self, said: str, text: str, new: str) -> None:
        assert fresh(said, text) == new

    @pytest.mark.parametrize(
        ("said", "text", "new"),
        [
            ("你好", "你好我是小明", "我是小明"),
            ("你好。", "你好我是小明", "我是小明"),
            ("你好", "你好。我是小明。", "我是小明。"),
            ("こんにちは、", "こんにちは元気ですか", "元気ですか"),
            ("สวัสดี", "สวัสดีครับ", "ครับ"),
            ("Bonjour !", "Bonjour comment ça va", "comment ça va"),
            ("well -", "well then we go", "then we go"),
            ("안녕하세요", "안녕하세요 저는 민수입니다", "저는 민수입니다"),
        ],
    )
    def test_scripts_and_punctuation_that_stands_alone(self, said: str, text: str, new: str) -> None:
        """The second recognition often sets other marks than the first; no word may go with them."""
        # a mark of its own at the seam may stay with the new text
        assert fresh(said, text).lstrip("。、-! ") == new

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("three four", ("", 4)),
            ("ree four five", ("", 5)),
            ("six one seven", ("seven", 7)),
            ("one", ("", 1)),
            ("two three four five six one seven eight", ("seven eight", 7)),
            ("seven", ("seven", 0)),
        ],
    )
    def test_where_the_beginning_is_cut_off_the_rest_may_begin_anywhere(
        self, text: str, found: tuple[str, int]
    ) -> None:
        assert repeated_prefix(tokens("one two three four five six one"), text, cut=True) == found

    def test_says_how_many_words_were_met(self) -> None:
        assert repeated_prefix(tokens("one two three four"), "one two") == ("", 2)
        assert repeated_prefix(tokens("one two"), "one two three") == ("three", 2)
        assert repeated_prefix([], "one two") == ("one two", 0)
        assert repeated_prefix(["one"], "") == ("", 0)

    def test_keeps_the_text_as_the_vendor_wrote_it(self) -> None:
        assert fresh("one", "  One,  Two   THREE!  ") == "Two   THREE!"


WORDS = st.lists(st.text("abcdeABC1é", min_size=1, max_size=4), max_size=12)


@given(WORDS, WORDS)
def test_after_saying_a_only_b_is_new_in_a_and_b(a: list[str], b: list[str]) -> None:
    new, met = repeated_prefix(tokens(" ".join(a)), " ".join(a + b))
    assert new == " ".join(b)
    assert met == (len(a) if a or b else 0)


@given(WORDS, WORDS)
def test_a_beginning_of_what_was_said_is_not_new(a: list[str], b: list[str]) -> None:
    new, met = repeated_prefix(tokens(" ".join(a + b)), " ".join(a))
    assert (new, met) == ("", len(a))


@given(WORDS, st.lists(st.sampled_from(["x", "y", "z"]), max_size=8), st.data())
def test_one_word_heard_differently_takes_no_new_word_along(
    a: list[str], b: list[str], data: st.DataObject
) -> None:
    """The new words are others than those said, and it is not the last word that differs."""
    again = list(dict.fromkeys(word.casefold() for word in a))
    if len(again) < 2:
        return
    said = list(again)
    again[data.draw(st.integers(0, len(again) - 2))] = "different"
    assert repeated_prefix(tokens(" ".join(said)), " ".join(again + b))[0] == " ".join(b)


@given(WORDS, st.text("ab c.,!-。你ก", max_size=30))
def test_what_is_new_is_the_end_of_the_text(said: list[str], text: str) -> None:
    new, met = repeated_prefix(tokens(" ".join(said)), text)
    assert text.strip().endswith(new)
    assert 0 <= met <= len(said)


def test_an_interim_may_run_ahead_of_the_final_it_repeats() -> None:
    said = ["five", "six", "seven", "eight", "nine"]
    assert without_overlap(said, "eight") == ""
    assert without_overlap(said, "Eight nine, ten") == "ten"
    assert without_overlap(said, "eleven twelve") == "eleven twelve"
    assert without_overlap(said, "...") == "..."
    assert without_overlap([], "one") == "one"


@pytest.mark.timeout(20)
def test_a_text_without_end_does_not_hold_up_the_program() -> None:
    """Compared word by word with all that was said, a message of the largest size would take minutes."""
    said, text = ["word"] * 1000, "x " * 500_000
    assert repeated_prefix(said, text) == (text.strip(), 0)
    assert without_overlap(said, text) == text
    again = " ".join(said)
    assert repeated_prefix(said, f"{again} {text}") == (text.strip(), 1000)
