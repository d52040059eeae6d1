"""A small talker for tests and the demo: rules, not a language model.

It looks for keywords in the last thing that was said to it and answers with a fixed sentence; where no rule
fits, it repeats what it heard. The rules are those of a restaurant's telephone, to go with
`caller.CALLER_LINES`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["MODEL", "RULES", "Rule", "pieces", "respond"]

MODEL = "voxport-rules"


@dataclass(frozen=True)
class Rule:
    """``answer`` is given when every group of ``keywords`` has a word among those heard.

    ``{day}`` and ``{party}`` in it stand for the day and the number of guests that were heard.
    """

    keywords: tuple[frozenset[str], ...]
    answer: str


def _any(words: str) -> frozenset[str]:
    return frozenset(words.split())


RULES: Sequence[Rule] = (
    Rule(
        (_any("parking park"),), "Yes, there is a car park behind the restaurant, and it is free for our guests."
    ),
    Rule((_any("cancel"),), "I have cancelled it. We hope to see you another time."),
    Rule((_any("change"), _any("reservation table booking")), "Of course. Which day would suit you better?"),
    Rule(
        (_any("book reserve reservation table"), _any("monday tuesday wednesday thursday friday saturday sunday")),
        "A table{party} on {day}, with pleasure. It is reserved for you at seven in the evening.",
    ),
    Rule(
        (_any("book reserve reservation table"),),
        "With pleasure, a table{party}. For which day would you like it?",
    ),
    Rule(
        (_any("open opening close closed hours"), _any("sunday")),
        "On Sundays we are open from ten in the morning until nine in the evening.",
    ),
    Rule((_any("open opening close closed hours"),), "We are open every day from ten in the morning until nine."),
    Rule((_any("located where address"),), "We are at twelve Market Street, next to the station."),
    Rule((_any("card cards cost pay"),), "You can pay by card or in cash. A meal is about twenty euros."),
    Rule((_any("thank thanks goodbye bye"),), "You are welcome. Goodbye!"),
    Rule((_any("hello hi morning evening"),), "Hello, this is the restaurant. What can I do for you?"),
)

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PARTIES = ("two", "three", "four", "five", "six", "seven", "eight")


def respond(heard: str) -> str:
    """The answer to what was heard; the first rule that fits gives it."""
    words = re.findall(r"[a-z']+", heard.lower())
    if not words:
        return "Hello, what can I do for you?"
    for rule in RULES:
        if all(group & set(words) for group in rule.keywords):
            day = next((word.capitalize() for word in words if word in _DAYS), "")
            party = next((f" for {word}" for word in words if word in _PARTIES), "")
            return rule.answer.format(day=day, party=party)
    return f"I heard: {' '.join(heard.split())}. I can help with opening hours and reservations."


def pieces(answer: str) -> Iterator[str]:
    """An answer in the pieces in which it is streamed: words, each with the space before it."""
    yield from re.findall(r"\s*\S+", answer)
