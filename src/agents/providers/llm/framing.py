"""From the bytes of an answer to the JSON values in it: server-sent events, JSON lines, or one JSON body.

Bytes may be cut anywhere. Each way of framing is a generator of values, so that what came before something
malformed is not lost.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import orjson

__all__ = ["Frames", "JsonBody", "JsonLines", "Malformed", "ServerSentEvents", "sniffed"]

_LINE_END = re.compile(rb"\r\n|\n|\r")

_NOT_STRICT = (b"\\u", b"NaN", b"Infinity")
"""What orjson refuses and servers send: halves of surrogate pairs, where text is cut by UTF-16 units, and numbers
that are none, as Python writes them into logprobs."""


class Malformed(ValueError):
    """The body is not what it should be. The message says how, and quotes nothing of it.

    Attributes:
        permanent: the endpoint is another than was thought; asking again cannot help.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class Frames(ABC):
    """One way of framing, for one answer.

    Attributes:
        ended: the end was announced (``[DONE]``); what comes after it means nothing.
        plausible: what came looks like this framing, even where it holds no value.
    """

    ended: bool = False
    plausible: bool = False

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[Any]:
        """The values that *data* completes. Raises :class:`Malformed`."""

    @abstractmethod
    def finish(self) -> Iterator[Any]:
        """The values that the end of the body completes. Raises :class:`Malformed`."""


class ServerSentEvents(Frames):
    """The data of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    A ``data`` line that is JSON by itself counts at once, without the blank line behind it, which some servers
    leave out. So does a line that is a bare JSON object: servers send errors so. The data of an event called
    ``error`` becomes the ``error`` of an object.
    """

    def __init__(self) -> None:
        self._lines = _Lines(_LINE_END)
        self._event = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Any]:
        for line in self._lines.feed(data):
            if self.ended:
                return
            yield from self._line(line)

    def finish(self) -> Iterator[Any]:
        rest = self._lines.rest()
        if self.ended:
            return
        if rest:
            yield from self._line(rest)
        try:
            yield from self._dispatch()
        except Malformed:
            raise Malformed("the answer breaks off in the middle of an event") from None

    def _line(self, line: bytes) -> Iterator[Any]:
        if not line:
            yield from self._dispatch()
            return
        name, _, value = (b"data", b":", line) if line.startswith(b"{") else line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value.strip()
        elif name == b"data":
            yield from self._datum(value)
        elif name not in (b"", b"id", b"retry"):  # an empty name is a comment
            return
        self.plausible = True

    def _datum(self, value: bytes) -> Iterator[Any]:
        if not self._data:
            if value.startswith(b"[DONE]"):
                self.ended = True
                return
            try:
                decoded = _decoded(value)
            except Malformed:
                pass  # the first of several lines
            else:
                yield self._named(decoded)
                return
        self._data.append(value)

    def _dispatch(self) -> Iterator[Any]:
        data, self._data = b"\n".join(self._data), []
        try:
            if data.strip():
                yield self._named(self._decoded(data))
        finally:
            self._event = b""

    def _decoded(self, data: bytes) -> Any:
        try:
            return _decoded(data)
        except Malformed:
            if self._event == b"error":
                return data.decode(errors="replace")
            raise Malformed("the data of an event is no JSON") from None

    def _named(self, value: Any) -> Any:
        if self._event == b"error" and not (isinstance(value, dict) and value.get("error")):
            return {"error": value or "an error without a text"}
        return value


class JsonLines(Frames):
    """One JSON value in each line (https://jsonlines.org).

    Args:
        strict: otherwise a body whose first line is no whole value is taken as one value over many lines.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self._lines = _Lines(re.compile(rb"\n"))
        self._strict = strict
        self._whole: bytearray | None = None

    def feed(self, data: bytes) -> Iterator[Any]:
        if self._whole is not None:
            self._whole += data
            return
        lines = self._lines.feed(data)
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            try:
                value = _decoded(line)
            except Malformed:
                if self._strict or self.plausible:
                    raise Malformed("a line is no JSON") from None
                self._whole = bytearray(b"\n".join([*lines[number:], self._lines.rest()]))
                return
            self.plausible = True
            yield value

    def finish(self) -> Iterator[Any]:
        rest = bytes(self._whole) if self._whole is not None else self._lines.rest()
        if not rest.strip():
            return
        try:
            value = _decoded(rest)
        except Malformed:
            raise Malformed(
                "the answer is no JSON, or breaks off in the middle of it", permanent=rest[:1] not in b'{["'
            ) from None
        self.plausible = True
        yield value


class JsonBody(Frames):
    """The whole body is one JSON value."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        self._body += data
        return iter(())

    def finish(self) -> Iterator[Any]:
        if not self._body.strip():
            return
        try:
            value = _decoded(bytes(self._body))
        except Malformed:
            raise Malformed(
                "the answer is no JSON, or breaks off in the middle of it", permanent=self._body[:1] not in b'{["'
            ) from None
        self.plausible = True
        yield value


def sniffed(beginning: bytes) -> Frames:
    """The framing of a body by its *beginning*, which is not blank: servers are less sure of their content types.

    Raises:
        Malformed: it is a web page.
    """
    if beginning.startswith(b"<"):
        raise Malformed("the answer is a web page (is the URL that of a web site, or of a proxy?)", permanent=True)
    return JsonLines(strict=False) if beginning[:1] in b'{["' else ServerSentEvents()


class _Lines:
    """Cuts bytes into lines; the costs are those of the bytes, however small the pieces they come in."""

    def __init__(self, end: re.Pattern[bytes]) -> None:
        self._end = end
        self._pending = bytearray()
        self._after_return = False

    def feed(self, data: bytes) -> list[bytes]:
        if not data:
            return []
        if self._after_return and data.startswith(b"\n"):  # the other half of a line end
            data = data[1:]
            if not data:
                self._after_return = False
                return []
        lines = self._end.split(data)
        self._after_return = lines[-1] == b"" and data.endswith(b"\r")
        rest = lines.pop()
        if lines:
            lines[0] = bytes(self._pending) + lines[0]
            self._pending.clear()
        self._pending += rest
        return lines

    def rest(self) -> bytes:
        """What stands behind the last line end, which is taken out."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest


def _decoded(data: bytes) -> Any:
    """The value of JSON *data*. Raises :class:`Malformed`."""
    try:
        return orjson.loads(data)
    except ValueError:
        pass
    if not any(sign in data for sign in _NOT_STRICT):
        raise Malformed("no JSON")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed("no JSON") from None
