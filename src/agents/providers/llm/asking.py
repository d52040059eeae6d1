"""One question to a model over HTTP: the request goes out, the events of the answer come back as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import aiohttp

from ..protocol import Chat, ChatEvent, ChatProtocol, ChatReader, Failure, HttpRequest, Settings, Verdict
from ..transport.exchange import Answer, open_answer
from ..transport.failures import ConnectionFailed, raise_bare

__all__ = ["MAX_ANSWER_BYTES", "Question"]

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""OpenAI spends some 300 bytes on a streamed token, those of hidden reasoning included on some servers."""

_TAIL_SECONDS = 1.0  # for the usage that follows text and tool calls; they are out already
_DRAIN_SECONDS = 0.05  # for the last bytes of the transfer, so that the connection can be used again

_WRONG_SHAPE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class Question:
    """One attempt to have a chat answered.

    Args:
        protocol: the way of asking.
        chat: what to ask.
        settings: where, with which key and options.
        timeout: of the whole attempt and of its parts.
        max_bytes: a longer answer is refused.

    Attributes:
        answer_id: the vendor's name of the answer; empty where it has none.
        complete: the vendor said that the answer was complete, before its body ended.
    """

    def __init__(
        self,
        protocol: ChatProtocol,
        chat: Chat,
        settings: Settings,
        *,
        timeout: aiohttp.ClientTimeout,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._protocol = protocol
        self._chat = chat
        self._settings = settings
        self._timeout = timeout
        self._max_bytes = max_bytes
        self.answer_id = ""
        self.complete = False

    async def ask(self, session: aiohttp.ClientSession) -> AsyncGenerator[ChatEvent, None]:
        """The events of the answer, none of them a failure. Close the iterator, and the connection is closed.

        Raises:
            ConnectionFailed: there is no answer, or no more of it.
        """
        answer = await open_answer(
            session,
            self._request(),
            settings=self._settings,
            timeout=self._timeout,
            judge=self._protocol.failure,
        )
        async with answer, aclosing(self._events(answer)) as events:
            async for event in events:
                if isinstance(event, Failure):
                    raise_bare(event)
                yield event

    def _request(self) -> HttpRequest:
        try:
            return self._protocol.request(self._chat, self._settings)
        except _WRONG_SHAPE as error:
            failure = Failure(f"the request cannot be written: {_reason(error)}", Verdict.PERMANENT)
        raise_bare(failure)

    async def _events(self, answer: Answer) -> AsyncGenerator[ChatEvent, None]:
        try:
            reader = self._protocol.reader(answer.head, self._settings)
        except ValueError as error:
            yield Failure(str(error), Verdict.PERMANENT, detail={"malformed": True})
            return
        request_id = answer.head.headers.get("x-request-id", "")
        size = 0
        while True:
            piece = await (_tail(answer, _TAIL_SECONDS) if reader.settled else answer.read())
            size += len(piece)
            if size > self._max_bytes:
                message = f"the answer is longer than {self._max_bytes} bytes: raise max_response_bytes"
                yield Failure(message, Verdict.PERMANENT, detail={"malformed": True})
                return
            events = _understood(reader, piece)
            self.answer_id = reader.answer_id or request_id
            self.complete = reader.settled or reader.ended
            for event in events:
                yield event
            if not piece or reader.ended:
                break
        if piece:
            await _tail(answer, _DRAIN_SECONDS)


def _understood(reader: ChatReader, piece: bytes) -> Sequence[ChatEvent]:
    """What *piece* means, and the end of the answer when that is empty or announces it."""
    try:
        events = reader.feed(piece) if piece else ()
        return [*events, *reader.finish()] if not piece or reader.ended else events
    except _WRONG_SHAPE as error:  # a protocol of somebody else's
        message = f"the answer cannot be understood: {_reason(error)}"
    return [Failure(message, Verdict.PERMANENT, detail={"malformed": True})]


def _reason(error: Exception) -> str:
    """What *error* says, if that was written for people; otherwise it may quote what people said."""
    return str(error) if isinstance(error, ValueError) else type(error).__name__


async def _tail(answer: Answer, seconds: float) -> bytes:
    """More of the body, which can be done without; empty when nothing comes in time, or the connection breaks."""
    reading = asyncio.ensure_future(answer.read())
    try:
        await asyncio.wait({reading}, timeout=seconds)
        return reading.result() if reading.done() else b""
    except ConnectionFailed:
        return b""
    finally:
        if not reading.done():
            reading.cancel()
            await asyncio.wait({reading})
