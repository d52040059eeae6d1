"""Tool calls put together from the pieces they are streamed in, as orderly or not as servers send them."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..protocol import ToolCall

__all__ = ["ToolCalls", "is_json", "object_text"]

_MAX_DEPTH = 64  # deeper arguments exhaust the recursion of what LiveKit parses and repairs them with
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)


@dataclass
class _Call:
    index: int | None
    call_id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    extra: dict[str, Any] | None = None

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    def is_whole(self) -> bool:
        """Whether the arguments are JSON; quick to say no, since it is asked with every piece."""
        return bool(self.pieces) and self.pieces[-1].rstrip().endswith("}") and is_json(self.arguments)


class ToolCalls:
    """The calls of one answer.

    OpenAI sends an index with every piece, and id and name with the first piece of a call. Other servers send
    whole calls, no index, the same index for all, no id, arguments as an object, or the name again and again.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, piece: Any) -> None:
        """Take in one entry of ``tool_calls``; what is no such entry is left out."""
        function = piece.get("function") if isinstance(piece, dict) else None
        if not isinstance(function, dict):
            return
        index = piece.get("index")
        index = index if isinstance(index, int) and not isinstance(index, bool) else None
        call_id, name, arguments = _text(piece.get("id")), _text(function.get("name")), function.get("arguments")
        text = arguments if isinstance(arguments, str) else "" if arguments is None else object_text(arguments)
        call = self._continued(index, call_id, name, text)
        if call is None:
            call = _Call(index)
            self._calls.append(call)
        call.call_id = call.call_id or call_id
        if name != call.name:  # a repetition, or the next part of a name
            call.name += name
        if text:
            call.pieces.append(text)
        if isinstance(piece.get("extra_content"), dict):
            call.extra = piece["extra_content"]

    def _continued(self, index: int | None, call_id: str, name: str, text: str) -> _Call | None:
        """The call that a piece goes on with; ``None`` when it begins one."""
        calls = self._calls if index is None else [call for call in self._calls if call.index == index]
        if index is None and call_id:
            calls = [call for call in calls if call.call_id in (call_id, "")]
        if not calls:
            # without a name it belongs to the last call: some servers give every piece another id
            return self._calls[-1] if self._calls and index is None and not name else None
        last = calls[-1]
        if not name or (call_id and call_id == last.call_id):
            return last
        if call_id and last.call_id:
            return None
        begins = bool(text) and last.is_whole()
        if index is None:
            begins = begins or (bool(last.pieces) and name != last.name)
        return None if begins else last

    def take(self) -> list[ToolCall]:
        """The calls so far, in their order. They are out of here then."""
        calls, self._calls = self._calls, []
        return [
            ToolCall(
                name=call.name,
                arguments=_bounded(call.arguments.strip() or "{}"),
                call_id=call.call_id or f"call_{uuid.uuid4().hex[:24]}",
                extra=call.extra,
            )
            for call in calls
        ]

    def whole(self) -> bool:
        """Whether the arguments of every call are valid JSON."""
        return all(is_json(call.arguments) for call in self._calls)

    def named(self) -> bool:
        """Whether every call says which tool it calls."""
        return all(call.name for call in self._calls)


def is_json(text: str) -> bool:
    """Whether *text* is one whole JSON value."""
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def object_text(value: Any) -> str:
    """*value*, which came from JSON, as JSON."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # half a surrogate pair
        return "{}"


def _bounded(arguments: str) -> str:
    """*arguments*, unless they nest so deeply that LiveKit's parser raises where its session cannot survive.

    What stands instead is valid JSON that is no object, so LiveKit tells the model what was wrong, as it does
    for other arguments that it can neither read nor repair.
    """
    if arguments.count("{") + arguments.count("[") <= _MAX_DEPTH:
        return arguments
    depth = 0
    for character in _STRINGS.sub("", arguments):
        if character in "{[":
            depth += 1
            if depth > _MAX_DEPTH:
                return '"the arguments are nested too deeply"'
        elif character in "}]":
            depth -= 1
    return arguments


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
