"""Fills a JSON schema from what was heard: the arguments of a tool, or an answer of a given shape.

There is no model behind it. Days, times, numbers, names and the words of an enumeration are found by rules, and
go to the properties whose names and descriptions speak of such a thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["DAYS", "Heard", "filled", "stems"]

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_COUNT = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBERS = {word: number for number, word in enumerate(_COUNT.split())}
_NUMBERS["couple"] = 2

_CLOCK = re.compile(
    r"\b(?:at|around|by) (\d{1,2}(?::\d\d)?|" + "|".join(_NUMBERS) + r")\b(?! (?:people|guests|persons))"
)
_ANY = rf"(\d+|{'|'.join(_NUMBERS)})"
_PEOPLE = re.compile(rf"\b(?:for|party of|of us) {_ANY}\b|\b{_ANY} (?:people|guests|persons)\b")
_NAME = re.compile(r"\b(?:my name is|name of|this is|i am) ([a-z']+)")
_PLACE = re.compile(r"\bin ((?!the\b)[a-z']+)")
_SUFFIXES = ("ations", "ation", "ings", "ing", "ed", "es", "s", "e")

_MISSING: Any = object()
_DEPTH = 12  # of schemas that refer to themselves


def stems(text: str) -> list[str]:
    """The words of a text or of an identifier, in lower case and without endings: ``get_openingHours`` too."""
    parts = re.findall(r"[A-Z]?[a-z']+|[A-Z]+(?![a-z])|\d+", text)
    return [_stem(part.lower()) for part in parts]


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


@dataclass(frozen=True)
class Heard:
    """What was said, and what is found in it.

    Attributes:
        text: as it was said.
        words: in lower case.
        stems: of the words.
    """

    text: str
    words: tuple[str, ...]
    stems: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Heard:
        words = tuple(re.findall(r"[a-z']+|\d+", text.lower()))
        return cls(" ".join(text.split()), words, frozenset(map(_stem, words)))

    @property
    def day(self) -> str:
        """The day of the week, capitalised; empty when none was heard."""
        return next((word.capitalize() for word in self.words if word in DAYS), "")

    @property
    def time(self) -> str:
        """The time of the day as it was said: ``seven``, ``19:30``."""
        found = _CLOCK.search(" ".join(self.text.lower().split()))
        return found.group(1) if found else ""

    @property
    def number(self) -> int | None:
        """The number of people, or else the first number that is no time."""
        rest = _CLOCK.sub(" ", " ".join(self.text.lower().split()))
        counted = _PEOPLE.search(rest)
        words = [word for word in counted.groups() if word] if counted else re.findall(r"[a-z']+|\d+", rest)
        return next((_number(word) for word in words if word.isdigit() or word in _NUMBERS), None)

    def after(self, pattern: re.Pattern[str]) -> str:
        """The word *pattern* finds, capitalised as names are."""
        found = pattern.search(" ".join(self.text.lower().split()))
        return found.group(1).capitalize() if found else ""


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word]


def filled(schema: Mapping[str, Any], heard: Heard, *, anyhow: bool = False, answer: str = "") -> Any:
    """A value that fits *schema*; ``None`` when something required was not heard.

    Args:
        anyhow: put something that fits in the place of what was not heard.
        answer: the text for properties that ask for an answer.
    """
    value = _Filler(schema, heard, anyhow, answer).value("", schema, 0)
    return None if value is _MISSING else value


@dataclass
class _Filler:
    root: Mapping[str, Any]
    heard: Heard
    anyhow: bool
    answer: str

    def value(self, name: str, schema: Any, depth: int) -> Any:
        """What goes where *schema* stands, under *name*; ``_MISSING`` when nothing was heard for it."""
        nullable, schema = self._plain(schema)
        found = self._found(name, schema, depth)
        if found is not _MISSING:
            return found
        if nullable:
            return None
        return self._anything(schema, depth) if self.anyhow else _MISSING

    def _plain(self, schema: Any) -> tuple[bool, Mapping[str, Any]]:
        """Whether null fits, and the schema of what else does, with references looked up."""
        nullable = False
        for _ in range(_DEPTH):
            if not isinstance(schema, Mapping):
                return nullable, {}
            reference = schema.get("$ref")
            choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if isinstance(reference, str):
                schema = {**self._referred(reference), **{k: v for k, v in schema.items() if k != "$ref"}}
            elif isinstance(choices, list) and choices:
                others = [c for c in choices if not (isinstance(c, Mapping) and c.get("type") == "null")]
                nullable = nullable or len(others) < len(choices)
                outer = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf", "allOf")}
                schema = {**outer, **(others[0] if others and isinstance(others[0], Mapping) else {})}
            elif isinstance(schema.get("type"), list):
                kinds = [kind for kind in schema["type"] if kind != "null"]
                nullable = nullable or "null" in schema["type"]
                schema = {**schema, "type": kinds[0] if kinds else "null"}
            else:
                break
        return nullable or schema.get("type") == "null", schema

    def _referred(self, reference: str) -> Mapping[str, Any]:
        place: Any = self.root
        for step in reference.removeprefix("#").strip("/").split("/"):
            place = place.get(step, {}) if step and isinstance(place, Mapping) else place
        return place if isinstance(place, Mapping) else {}

    def _found(self, name: str, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list):
            return next((choice for choice in schema["enum"] if self._was_said(choice)), _MISSING)
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth)
        if kind == "array":
            item = _Filler(self.root, self.heard, False, self.answer).value(name, schema.get("items"), depth + 1)
            return _MISSING if item in (_MISSING, None) else [item]
        about = frozenset([*stems(name), *stems(str(schema.get("description", "")))])
        if kind in ("integer", "number"):
            return self._number(about)
        if kind == "boolean":
            return True if set(stems(name)) <= self.heard.stems else _MISSING
        return self._text(frozenset(stems(name)), about) if kind == "string" else _MISSING

    def _object(self, schema: Mapping[str, Any], depth: int) -> Any:
        properties = schema.get("properties")
        required = schema.get("required") or ()
        made = {}
        for name, inner in (properties or {}).items() if depth < _DEPTH else ():
            value = self.value(name, inner, depth + 1)
            if value is _MISSING and name in required:
                return _MISSING
            if value is not _MISSING and (name in required or value is not None):
                made[name] = value
        return made

    def _number(self, about: frozenset[str]) -> Any:
        if about & {"hour", "tim"} and self.heard.time:
            return _number(self.heard.time.partition(":")[0])
        return _MISSING if self.heard.number is None else self.heard.number

    def _text(self, name: frozenset[str], about: frozenset[str]) -> Any:
        number = self.heard.number
        finds: Iterable[tuple[set[str], str]] = (
            ({"answer", "reply", "respons", "spok"}, self.answer),
            ({"day", "dat", "weekday", "when"}, self.heard.day),
            ({"tim", "clock", "hour"}, self.heard.time),
            (
                {"party", "guest", "person", "peopl", "seat", "number", "count"},
                "" if number is None else str(number),
            ),
            ({"nam", "caller", "customer"}, self.heard.after(_NAME)),
            ({"city", "plac", "locat", "town"}, self.heard.after(_PLACE)),
            ({"text", "query", "question", "messag", "request", "sentenc", "topic", "said"}, self.heard.text),
        )
        # its name says what a property is; its description, only where the name says nothing
        known = frozenset().union(*(words for words, _ in finds))
        subject = name if name & known else about
        return next((value for words, value in finds if subject & words and value), _MISSING)

    def _was_said(self, choice: Any) -> bool:
        words = stems(str(choice))
        return bool(words) and set(words) <= self.heard.stems

    def _anything(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        if kind in ("integer", "number"):
            return max(schema.get("minimum", 0), 0)
        if kind == "array":
            count = schema.get("minItems", 0) if depth < _DEPTH else 0
            return [self.value("", schema.get("items"), depth + 1) for _ in range(count)]
        return {"boolean": False, "null": None, "object": {}}.get(str(kind), self.answer)
