"""Where something is in a message: JMESPath, compiled once.

Every path in a profile is JMESPath (https://jmespath.org). One that is only names and indexes, such as
``channel.alternatives[0].transcript``, becomes plain subscripts; the rest runs on the ``jmespath`` package.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jmespath
import jmespath.exceptions
import jmespath.functions
import orjson
from pydantic import AfterValidator

from ..protocol import ProtocolError

__all__ = ["Getter", "Path", "compile_first", "compile_optional", "compile_path", "plain_steps", "single_name"]

Getter = Callable[[Any], Any]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[-?\d+\])*(\.[A-Za-z_][A-Za-z0-9_]*(\[-?\d+\])*)*")
_STEP = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|-?\d+")
_ABSENT = (KeyError, IndexError, TypeError)


class _Functions(jmespath.functions.Functions):  # type: ignore[misc, unused-ignore]
    """What vendors' messages need and JMESPath lacks."""

    @jmespath.functions.signature({"types": ["string", "null"]})  # type: ignore[untyped-decorator, unused-ignore]
    def _func_from_json(self, text: str | None) -> Any:
        """JSON inside a string, as FunASR sends its word times."""
        try:
            return None if text is None else orjson.loads(text)
        except orjson.JSONDecodeError:
            return None

    @jmespath.functions.signature({"types": ["number", "null"]})  # type: ignore[untyped-decorator, unused-ignore]
    def _func_exp(self, value: float | None) -> float | None:
        """A log probability as a probability."""
        return None if value is None else math.exp(min(value, 0.0))

    @jmespath.functions.signature({"types": ["number", "null"]})  # type: ignore[untyped-decorator, unused-ignore]
    def _func_percent(self, value: float | None) -> float | None:
        """A percentage as a fraction."""
        return None if value is None else value / 100


_OPTIONS = jmespath.Options(custom_functions=_Functions())


def _checked(path: str) -> str:
    if _PLAIN.fullmatch(path):
        return path
    try:
        parsed = jmespath.compile(path).parsed
    except jmespath.exceptions.JMESPathError as error:
        reason = str(error).partition("\n")[0]
        remedy = "see https://jmespath.org"
        if re.fullmatch(r"[\w.]*[\w]-[\w.-]+", path):
            quoted = ".".join(f'"{name}"' if "-" in name else name for name in path.split("."))
            remedy = f"write '{quoted}'"
        raise ValueError(f"{path!r} is not a JMESPath expression ({reason}): {remedy}") from None
    _check_functions(path, parsed)
    return path


def _check_functions(path: str, node: Any) -> None:
    """Refuse functions that are none, and calls of others than they take: JMESPath looks when a message comes."""
    if not isinstance(node, dict):
        return
    children = node["children"]
    if node["type"] == "function_expression":
        known, name = _Functions.FUNCTION_TABLE, node["value"]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise ValueError(f"{path!r}: there is no function {name!r}; {hint}")
        signature = known[name]["signature"]
        more = bool(signature) and bool(signature[-1].get("variadic"))
        if len(children) < len(signature) or (len(children) > len(signature) and not more):
            count = f"{len(signature)} value{'' if len(signature) == 1 else 's'}{' or more' if more else ''}"
            raise ValueError(f"{path!r}: {name} takes {count}, not {len(children)}")
    for child in children:
        _check_functions(path, child)


Path = Annotated[str, AfterValidator(_checked)]
"""A JMESPath expression."""


def plain_steps(path: str) -> tuple[str | int, ...] | None:
    """The names and indexes *path* consists of, or ``None`` when it is more than that."""
    if not _PLAIN.fullmatch(path):
        return None
    return tuple(int(s) if s.lstrip("-").isdigit() else s for s in _STEP.findall(path))


def single_name(paths: str | Sequence[str] | None) -> str | None:
    """The name that *paths* are, when they are no more than that."""
    steps = plain_steps(paths) if isinstance(paths, str) else None
    return str(steps[0]) if steps is not None and len(steps) == 1 else None


def compile_path(path: str) -> Getter:
    """A function from a message to what is at *path*; ``None`` where there is nothing.

    Raises (the function):
        ProtocolError: a JMESPath function met a value it does not take.
    """
    return _compile(path)


def _compile(path: str, *, optional: bool = False) -> Getter:
    steps = plain_steps(path)
    return _compile_steps(steps) if steps is not None else _compile_expression(path, optional)


def compile_optional(paths: str | Sequence[str] | None) -> Getter:
    """Like :func:`compile_first`, for what a message may do without: values of other types count as absent."""
    if paths is None:
        return _nothing
    return _first_of([_compile(path, optional=True) for path in ([paths] if isinstance(paths, str) else paths)])


def _nothing(message: Any) -> Any:
    return None


def compile_first(paths: str | Sequence[str]) -> Getter:
    """Like :func:`compile_path`; of several paths the first with something there."""
    return _first_of([compile_path(path) for path in ([paths] if isinstance(paths, str) else paths)])


def _first_of(getters: Sequence[Getter]) -> Getter:
    if len(getters) == 1:
        return getters[0]

    def first(message: Any) -> Any:
        for get in getters:
            value = get(message)
            if value is not None:
                return value
        return None

    return first


def _compile_expression(path: str, optional: bool) -> Getter:
    search = jmespath.compile(path).search

    def get(message: Any) -> Any:
        try:
            return search(message, options=_OPTIONS)
        except (jmespath.exceptions.JMESPathError, TypeError, ValueError, AttributeError) as error:
            if optional:
                return None
            raise ProtocolError(f"unexpected types at {path}") from error

    return get


def _compile_item(get: Getter, index: int) -> Getter:
    """What is at *index* of a list; a text has no items, though in Python it has."""

    def item(message: Any) -> Any:
        items = get(message)
        try:
            return items[index] if type(items) is list else None
        except IndexError:
            return None

    return item


def _compile_steps(steps: tuple[str | int, ...]) -> Getter:
    if isinstance(steps[-1], int):
        return _compile_item(_compile_steps(steps[:-1]), steps[-1])
    # Subscripts written out for the usual lengths: a loop over the steps costs twice as much.
    if len(steps) == 1:
        (a,) = steps

        def one(message: Any) -> Any:
            try:
                return message[a]
            except _ABSENT:
                return None

        return one
    if len(steps) == 2:
        a, b = steps

        def two(message: Any) -> Any:
            try:
                return message[a][b]
            except _ABSENT:
                return None

        return two
    if len(steps) == 4:
        a, b, c, d = steps

        def four(message: Any) -> Any:
            try:
                return message[a][b][c][d]
            except _ABSENT:
                return None

        return four

    def many(message: Any) -> Any:
        try:
            for step in steps:
                message = message[step]
        except _ABSENT:
            return None
        return message

    return many
