"""From a YAML file to a checked profile.

Everything that can be known to be wrong without a vendor is refused here, with file, line and remedy.
"""

from __future__ import annotations

import difflib
import pathlib
import re
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from ..base import ConfigurationError
from .lint import lint
from .schema import Profile
from .yaml_lines import Located, parse_yaml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["Problem", "find_problems", "load_profile", "parse_profile"]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a profile."""

    source: str
    line: int
    where: str
    message: str

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{self.source}:{self.line}: {place}{self.message}"


def load_profile(path: str | pathlib.Path) -> Profile:
    """The profile in the file at *path*.

    Raises:
        ConfigurationError: the file cannot be read, or is not a sound profile; one line for each problem.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"cannot read the profile {path}: {reason}") from None
    return parse_profile(text, source=str(path))


def parse_profile(text: str, *, source: str = "profile") -> Profile:
    """The profile in *text*; *source* is what errors call it.

    Raises:
        ConfigurationError: see :func:`load_profile`.
    """
    profile, problems = _read(text, source)
    if problems or profile is None:
        raise ConfigurationError("\n".join(map(str, problems)))
    return profile


def find_problems(text: str, *, source: str = "profile") -> list[Problem]:
    """All that is wrong with the profile in *text*, in the order of its lines; empty when it is sound."""
    return _read(text, source)[1]


def _read(text: str, source: str) -> tuple[Profile | None, list[Problem]]:
    try:
        located = parse_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "cannot be read"
        line = mark.line + 1 if mark else 1
        return None, [Problem(source, line, "", f"not valid YAML: {reason}{_remedy(text, line)}")]
    if not isinstance(located.data, dict):
        return None, [Problem(source, 1, "", "a profile is a mapping: begin with name: and title:")]
    try:
        profile = Profile.model_validate(located.data)
    except ValidationError as error:
        return None, sorted(_schema_problems(error, located, source), key=lambda problem: problem.line)
    problems = [
        Problem(source, located.line(location), _dotted(location), message) for location, message in lint(profile)
    ]
    return profile, sorted(problems, key=lambda problem: problem.line)


def _schema_problems(error: ValidationError, located: Located, source: str) -> Iterator[Problem]:
    seen = set()
    for item in error.errors():
        location = _without_types(item["loc"], located.data)
        line = located.line(location)
        message = _unknown_key(location) if item["type"] == "extra_forbidden" else _plain_words(item)
        if location not in seen:  # of the members of a union that do not fit, the first is the plain case
            seen.add(location)
            yield Problem(source, line, _dotted(location), message)


def _plain_words(item: ErrorDetails) -> str:
    """What pydantic found, for people who write YAML."""
    kind = item["type"]
    if kind in ("literal_error", "enum"):
        expected = item["ctx"]["expected"]
        near = difflib.get_close_matches(str(item["input"]), re.findall(r"'([^']+)'", expected), n=1)
        return f"did you mean {near[0]!r}? It is one of {expected}" if near else f"it is one of {expected}"
    words = {
        "missing": "is missing",
        "list_type": "takes a list, [a, b]",
        "dict_type": "takes a mapping, {key: value, …}",
        "model_type": "takes a mapping, {key: value, …}",
        "string_pattern_mismatch": "takes lower-case letters, digits, - and _, a letter first",
        "string_type": "takes a text; put it in quotes if it is one",
        "bool_type": "takes true or false",
        "bool_parsing": "takes true or false",
        "int_type": "takes a whole number",
        "int_parsing": "takes a whole number",
        "int_from_float": "takes a whole number",
        "float_type": "takes a number",
        "float_parsing": "takes a number",
        "too_short": "must not be empty",
    }
    if kind in _LIMITS:
        words_before, limit = _LIMITS[kind]
        return f"{words_before} {item['ctx'][limit]:g}"
    return words.get(kind, item["msg"].removeprefix("Value error, "))


_LIMITS = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than_equal": ("must be at most", "le"),
}


def _remedy(text: str, line: int) -> str:
    """What to do about *line*, on which YAML stumbled: most often over a reference inside braces."""
    found = text.splitlines()[line - 1 : line]
    bare = bool(found) and re.search(r"""[\[{,:]\s*\$\{""", found[0]) is not None
    return ': inside braces and brackets put "${…}" in quotes' if bare else ""


def _unknown_key(location: Sequence[Any]) -> str:
    known = _keys_at(Profile, location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"unknown key, did you mean {near[0]!r}?"
    return f"unknown key: known here are {', '.join(known)}" if known else "unknown key: remove it"


def _keys_at(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """The keys the schema knows at *location*."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in current.model_fields.items()}
            current = fields.get(str(part))
            if not _holds_items(current):
                current = _model_in(current)
        else:
            current = _model_in(current)  # the part is an index, or the key of a mapping
    if isinstance(current, type) and issubclass(current, BaseModel):
        return sorted(field.alias or name for name, field in current.model_fields.items())
    return []


def _holds_items(annotation: Any) -> bool:
    return any(typing.get_origin(inner) in (list, dict) for inner in (annotation, *typing.get_args(annotation)))


def _model_in(annotation: Any) -> Any:
    """The model somewhere inside a type such as ``list[Rule] | None``."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    found = (_model_in(inner) for inner in typing.get_args(annotation))
    return next((model for model in found if model is not None), None)


def _without_types(location: Sequence[Any], data: Any) -> tuple[Any, ...]:
    """*location* without the names of union members that pydantic puts into it."""
    kept: list[Any] = []
    for position, part in enumerate(location):
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data))
        if inside:
            kept.append(part)
            data = data[part]
        elif (
            position == len(location) - 1
            and isinstance(data, dict)
            and isinstance(part, str)
            and part.isidentifier()
        ):
            kept.append(part)  # a missing key
    return tuple(kept)


def _dotted(location: Sequence[Any]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
