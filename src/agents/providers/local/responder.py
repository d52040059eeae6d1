"""A small talker for tests and the demo: rules, not a language model.

It looks for keywords in the last thing that was said to it and answers with a fixed sentence; where no rule
fits, it repeats what it heard. The rules are those of a restaurant's telephone, to go with
`caller.CALLER_LINES`. Tools it is given are called when what was heard names what they do and says what they
need; what they give back is spoken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .filling import DAYS, Heard, filled, stems

__all__ = ["MODEL", "RULES", "Call", "Reply", "Rule", "Tool", "pieces", "reply", "respond"]

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

_PARTIES = ("two", "three", "four", "five", "six", "seven", "eight")

_TOPICS = tuple(
    frozenset(stems(words))
    for words in (
        "book reserve reservation table",
        "open opening close closed hours",
        "located where address",
        "pay card cost price",
    )
)
"""Words that speak of one thing, by their stems: who asks whether it is open asks for the hours."""

_EMPTY = frozenset(
    stems(
        "get set find look up lookup check make do fetch query tool create list show tell ask call send add give "
        "the a an of for to by in on and or is are info information detail function this that when you it"
    )
)
_INSTEAD = frozenset(stems("cancel change"))  # said of a table, they mean another thing than booking one


@dataclass(frozen=True)
class Tool:
    """A tool that may be called; *parameters* is a JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A tool that is to be called."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What is answered: a text, or calls of tools."""

    text: str = ""
    calls: tuple[Call, ...] = ()


def reply(
    heard: str,
    *,
    results: Sequence[str] = (),
    tools: Sequence[Tool] = (),
    choice: str = "auto",
    parallel: bool = True,
    schema: Mapping[str, Any] | None = None,
) -> Reply:
    """The answer in a conversation with tools.

    Args:
        heard: the last thing that was said.
        results: what tools gave back since; they are spoken.
        tools: those that may be called.
        choice: ``auto``, ``none``, ``required``, or the name of the tool that must be called.
        parallel: whether several may be called at once.
        schema: of the JSON that the text must be.
    """
    said = Heard.of(heard)
    if not results and choice != "none":
        calls = _calls(said, tools, choice)
        if calls:
            return Reply(calls=tuple(calls if parallel else calls[:1]))
    text = " ".join(map(_spoken, results)) if results else respond(heard)
    if schema is not None:
        text = json.dumps(filled(schema, said, anyhow=True, answer=text), ensure_ascii=False)
    return Reply(text)


def respond(heard: str) -> str:
    """The answer to what was heard; the first rule that fits gives it."""
    words = re.findall(r"[a-z']+", heard.lower())
    if not words:
        return "Hello, what can I do for you?"
    for rule in RULES:
        if all(group & set(words) for group in rule.keywords):
            day = next((word.capitalize() for word in words if word in DAYS), "")
            party = next((f" for {word}" for word in words if word in _PARTIES), "")
            return rule.answer.format(day=day, party=party)
    return f"I heard: {' '.join(heard.split())}. I can help with opening hours and reservations."


def pieces(answer: str) -> Iterator[str]:
    """An answer in the pieces in which it is streamed: words, each with the space before it."""
    yield from re.findall(r"\s*\S+", answer)


def _calls(heard: Heard, tools: Sequence[Tool], choice: str) -> list[Call]:
    """The tools that fit what was heard; where one must be called, one is, with arguments that fit at least."""
    named = [tool for tool in tools if tool.name == choice]
    fitting = [] if named else [call for tool in tools if (call := _call(heard, tool)) is not None]
    if fitting or (choice != "required" and not named):
        return fitting
    forced = (named or list(tools))[:1]
    return [Call(tool.name, filled(_object(tool), heard, anyhow=True) or {}) for tool in forced]


def _call(heard: Heard, tool: Tool) -> Call | None:
    if not _is_meant(heard, tool):
        return None
    arguments = filled(_object(tool), heard)
    return None if arguments is None else Call(tool.name, arguments)


def _is_meant(heard: Heard, tool: Tool) -> bool:
    """Whether everything the tool's name speaks of was heard; if it speaks of nothing, two words about it."""
    name = set(stems(tool.name))
    if heard.stems & _INSTEAD - name:
        return False
    subject = name - _EMPTY
    if subject:
        return all(_was_heard(heard, word) for word in subject)
    return sum(_was_heard(heard, word) for word in set(stems(tool.description)) - _EMPTY) >= 2


def _was_heard(heard: Heard, word: str) -> bool:
    return word in heard.stems or any(word in topic and topic & heard.stems for topic in _TOPICS)


def _object(tool: Tool) -> Mapping[str, Any]:
    return {"type": "object", "properties": {}, **tool.parameters}


def _spoken(result: str) -> str:
    """The result of a tool as a sentence: a text as it is, the values of JSON by their names."""
    try:
        value = json.loads(result)
    except ValueError:
        return result.strip()
    if isinstance(value, Mapping):
        return ", ".join(f"{' '.join(str(name).split('_'))} {item}" for name, item in value.items()) + "."
    return ", ".join(map(str, value)) + "." if isinstance(value, list) else str(value)
