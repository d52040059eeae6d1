"""Cartesia's WebSocket: contexts, each a speech of its own, over one connection.

Inputs of a context are joined as they are, and spoken by the sentence, when ``max_buffer_delay_ms`` is over, at
``flush``, and when one says that no other follows. A ``cancel`` drops what has not begun; what is being spoken is
spoken to its end (use-the-api/tts-websocket/contexts, "Cancelling Requests").
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
import uuid
from typing import Any

from aiohttp import web

from ..speech import HeardWord, Sentences, Speech
from .base import RequestFailed, Services, failure_of
from .cartesia_voices import error_fields, raw_form, voice_for
from .speech_socket import SpeakingConversation, object_in

__all__ = ["CartesiaTalk"]

_STRUCTURED_SINCE = "2026-03-01"  # the version of the API from which on an error has a title and a message
_BUFFER_MS, _LONGEST_BUFFER_MS = 3000, 5000
_PARTIAL = 206


class CartesiaTalk(SpeakingConversation):
    """One connection. An error ends its context and not the connection."""

    def __init__(self, services: Services, request: web.Request, version: str) -> None:
        super().__init__(services, request)
        self._structured = version >= _STRUCTURED_SINCE
        self._contexts: dict[str, _Context] = {}

    async def receive_text(self, text: str) -> bool:
        context_id: str | None = None
        try:
            message = object_in(text)
            context_id = str(message.get("context_id") or "") or None
            await self._obey(message, context_id)
        except Exception as error:
            await self.tell(error, context_id)
        return False

    async def _obey(self, message: dict[str, Any], context_id: str | None) -> None:
        if message.get("cancel"):
            if context_id in self._contexts:
                self._contexts[context_id].cancel()
            return
        transcript = message.get("transcript")
        if not isinstance(transcript, str):
            raise RequestFailed(400, "transcript must be a string")
        goes_on = message.get("continue") is True
        name = context_id or str(uuid.uuid4())
        context = self._contexts.get(name)
        if context is None:
            if not transcript.strip() and not goes_on:
                raise RequestFailed(400, "Your initial transcript is empty or contains only punctuation.")
            context = self._contexts[name] = _Context(self, name, message)
        if context.ended:
            raise RequestFailed(400, f"The context {name} has ended.", "context_closed")
        context.take(transcript, flush=message.get("flush") is True)
        if not goes_on:
            context.finish()

    def forget(self, context_id: str) -> None:
        """A context is over."""
        self._contexts.pop(context_id, None)

    async def tell(self, error: Exception, context_id: str | None) -> None:
        """Send an error, which ends its context. Raises what is a fault of the server."""
        failure = failure_of(error)
        if failure is None:
            raise error
        if context_id in self._contexts:
            self._contexts.pop(context_id).abandon()
        message, _, _ = self.failed(failure)
        assert message is not None
        await self.send({**message, "context_id": context_id} if context_id else message)

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        status, fields = error_fields(failure)
        message: dict[str, Any] = {"type": "error", "done": True, "status_code": status}
        if self._structured:
            message |= {**fields, "request_id": str(uuid.uuid4())}
        else:
            message["error"] = f"{fields['title']}: {fields['message']}"
        return message, 1000 if failure.status == 408 else 1011, "connection idle" if failure.status == 408 else ""

    def close(self) -> None:
        for context in self._contexts.values():
            context.abandon()


class _Context:
    """One speech: its first input says with which voice, and in which form. *ended*: no input may follow."""

    def __init__(self, talk: CartesiaTalk, context_id: str, first: dict[str, Any]) -> None:
        self._talk = talk
        self._id = context_id
        self._timestamps = first.get("add_timestamps") is True
        self._buffer_seconds = _buffer_ms(first.get("max_buffer_delay_ms")) / 1000
        self._text = Sentences()
        self._flushes = 0
        self.ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._speech = Speech(voice_for(first), raw_form(first.get("output_format")))

    def take(self, text: str, *, flush: bool) -> None:
        """Join *text* to what waits, and have spoken what its time has come."""
        for sentence in self._text.add(text):
            self._say(sentence)
        if flush:
            self._say(self._text.take())
            self._flushes += 1
            self._later(self._flush_done)
        elif not self._buffer_seconds:
            self._say(self._text.take())
        elif len(self._text) and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._buffer_seconds, lambda: self._say(self._text.take()))

    def finish(self) -> None:
        """No input follows: speak what is left, and say that it is done."""
        self.ended = True
        self._say(self._text.take())
        self._later(self._done)

    def cancel(self) -> None:
        """Drop what has not begun; what has, goes on to its end."""
        self.ended = True
        self._text.take()
        self._stop_timer()
        self._talk.drop(self._id, running=False)
        self._later(self._done)

    def abandon(self) -> None:
        """Drop everything."""
        self._stop_timer()
        self._talk.drop(self._id)
        self._speech.close()

    def _later(self, job: Any) -> None:
        async def guarded() -> None:
            try:
                await job()
            except (ConnectionError, asyncio.TimeoutError):
                raise
            except Exception as error:
                self.abandon_later()
                await self._talk.tell(error, self._id)

        self._talk.later(guarded, self._id)

    def abandon_later(self) -> None:
        """Drop the jobs behind the one under way, which failed."""
        self._stop_timer()
        self._talk.drop(self._id, running=False)

    def _say(self, text: str) -> None:
        self._stop_timer()
        flush_id = self._flushes + 1

        async def job() -> None:
            words: list[HeardWord] = []
            async with contextlib.aclosing(self._speech.say(text)) as pieces:
                began = time.perf_counter()
                async for piece in pieces:
                    if isinstance(piece, bytes):
                        await self._chunk(piece, flush_id, began)
                        began = time.perf_counter()
                        if words and self._timestamps:
                            await self._words(words, flush_id)
                            words = []
                    else:
                        words.append(piece)
            if words and self._timestamps:
                await self._words(words, flush_id)

        if text.strip():
            self._later(job)

    async def _chunk(self, audio: bytes, flush_id: int, began: float) -> None:
        await self._send(
            "chunk",
            data=base64.b64encode(audio).decode(),
            step_time=(time.perf_counter() - began) * 1000,
            flush_id=flush_id,
        )

    async def _words(self, words: list[HeardWord], flush_id: int) -> None:
        times = {
            "words": [word.text for word in words],
            "start": [word.start for word in words],
            "end": [word.end for word in words],
        }
        await self._send("timestamps", word_timestamps=times, flush_id=flush_id)

    async def _flush_done(self) -> None:
        if rest := self._speech.flush():
            await self._chunk(rest, self._flushes, time.perf_counter())
        await self._send("flush_done", flush_done=True, flush_id=self._flushes)

    async def _done(self) -> None:
        if rest := self._speech.finish():
            await self._chunk(rest, self._flushes + 1, time.perf_counter())
        self._speech.close()
        self._talk.forget(self._id)
        await self._send("done", done=True)

    async def _send(self, kind: str, **fields: Any) -> None:
        message = {"type": kind, "done": False, "status_code": _PARTIAL, "context_id": self._id, **fields}
        await self._talk.send(message)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _buffer_ms(wanted: Any) -> float:
    if wanted is None:
        return _BUFFER_MS
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not 0 <= wanted <= _LONGEST_BUFFER_MS:
        raise RequestFailed(400, f"max_buffer_delay_ms must be between 0 and {_LONGEST_BUFFER_MS}")
    return wanted
