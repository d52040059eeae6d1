"""Text in units on its way out, and with times on its way back."""

from __future__ import annotations

import pytest

from agents.providers.protocol import Word
from agents.providers.tts.text import TextUnits, WordAligner

TOKENS = ["Hel", "lo", " there. We", " are open ", "from ni", "ne until Dr. Smith", " leaves. And", " then not"]


@pytest.mark.parametrize("unit", ["token", "word", "sentence"])
def test_units_are_the_text(unit: str) -> None:
    """Whatever the unit: nothing is lost, added or moved."""
    units = TextUnits(unit)  # type: ignore[arg-type]
    out = [text for token in TOKENS for text in units.push(token)] + units.flush()
    assert "".join(out) == "".join(TOKENS)
    assert units.flush() == []
    if unit == "token":
        assert out == TOKENS
    if unit == "word":
        assert all(text.endswith(" ") for text in out[:-1])
    if unit == "sentence":
        assert out[0].startswith("Hello there. We are") and "Dr. Smith leaves." in out[0]
        assert len(out) == 2


@pytest.mark.parametrize("unit", ["token", "word", "sentence"])
def test_an_emoji_in_two_halves_is_put_together_and_half_of_one_is_replaced(unit: str) -> None:
    units = TextUnits(unit)  # type: ignore[arg-type]
    out = "".join([text for token in ("Hi \ud83c", "\udf89 a\udf89b ", "\ud83c") for text in units.push(token)])
    assert out + "".join(units.flush()) == "Hi \U0001f389 a\ufffdb "


def test_scripts_without_spaces_are_not_held_back_for_ever() -> None:
    units = TextUnits("word")
    assert "".join(units.push("東" * 30) + units.push("京" * 20)) == "東" * 30 + "京" * 20


def timed(aligner: WordAligner, *words: tuple[str, float, float]) -> list[tuple[str, float, float]]:
    said = aligner.spoken([Word(text, start, end) for text, start, end in words])
    return [(str(word), word.start_time, word.end_time) for word in said]  # type: ignore[misc]  # always given


def test_signs_belong_to_the_word_they_touch() -> None:
    aligner = WordAligner()
    aligner.sent('He said: "Well-known, (really)!" ')
    assert timed(aligner, ("He", 0, 1), ("said", 1, 2), ("well", 2, 3), ("known", 3, 4), ("really", 4, 5)) == [
        ("He ", 0, 1),
        ("said: ", 1, 2),
        ('"Well-', 2, 3),
        ("known, ", 3, 4),
        ('(really)!" ', 4, 5),
    ]
    assert aligner.finish() == []


def test_a_word_is_not_found_inside_another() -> None:
    aligner = WordAligner()
    aligner.sent("nothing in the inn ")
    assert timed(aligner, ("in", 0, 1), ("inn", 1, 2)) == [("nothing in ", 0, 1), ("the inn ", 1, 2)]


def test_words_may_come_with_their_signs_and_spaces() -> None:
    aligner = WordAligner()
    aligner.sent("Yes, tomorrow. ")
    assert timed(aligner, (" Yes, ", 0, 1), ("tomorrow.", 1, 2)) == [("Yes, ", 0, 1), ("tomorrow. ", 1, 2)]


def test_what_is_not_in_the_text_lends_its_time() -> None:
    """Numbers that are read out, for example; what is left in the end comes with the last time."""
    aligner = WordAligner()
    aligner.sent("It costs 25 $, or 30 ")
    spoken = [("it", 0, 1), ("costs", 1, 2), ("twenty", 2, 3), ("five", 3, 4), ("or", 4, 5), ("thirty", 5, 6)]
    assert timed(aligner, *spoken) == [("It ", 0, 1), ("costs ", 1, 2), ("25 $, or ", 2, 5)]
    (rest,) = aligner.finish()
    assert (str(rest), rest.start_time, rest.end_time) == ("30 ", 5, 6)


def test_times_that_cannot_be_are_none() -> None:
    aligner = WordAligner()
    aligner.sent("We open at nine. ")
    spoken = [("We", -5.0, 0.5), ("open", 0.5, 1e300), ("at", float("nan"), 0.9), ("nine", 1.0, 1.5)]
    assert timed(aligner, *spoken) == [
        ("We ", 0, 0.5),
        ("open ", 0.5, 0.5),
        ("at ", 0.5, 0.9),
        ("nine. ", 1.0, 1.5),
    ]


def test_without_any_times_there_are_none() -> None:
    """LiveKit then shows the text itself."""
    aligner = WordAligner()
    aligner.sent("Yes.")
    assert aligner.finish() == []
