"""ElevenLabs' WebSockets: ``stream-input`` (one speech) and ``multi-stream-input`` (several contexts).

Text is buffered by ``chunk_length_schedule`` until ``flush``, the end, or ``auto_mode``. Audio comes a sentence a
message, with the time of each of its characters, in milliseconds from the beginning of that message's audio, as
the SDK documents it (``types/alignment.py``).
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ..speech import HeardWord, Sentences, Speech
from .base import RequestFailed
from .elevenlabs_voices import check_model, speech_form, voice_for
from .speech_socket import SpeakingConversation, object_in

if TYPE_CHECKING:
    from .elevenlabs import ElevenLabs

__all__ = ["MultiStreamInput", "StreamInput"]

_SCHEDULE = (120, 160, 250, 290)
_SCHEDULE_BOUNDS = (50, 500)
_TRIGGER_LENGTH = 50  # try_trigger_generation speaks a buffer that is at least so long
_INACTIVITY_SECONDS, _LONGEST_INACTIVITY = 20.0, 180.0
_ERRORS = {
    400: "invalid_input_message",
    401: "invalid_api_key",
    408: "input_timeout_exceeded",
    500: "internal_error",
}
_TIMEOUT = (
    "Have not received a new text input within the timeout of {seconds:g} seconds. Streaming input terminated. "
    "Please make sure to either feed the input in the timely manner, or to send the end of input text "
    '(empty string "") when done.'
)


class _Talk(SpeakingConversation):
    """What both have in common: the query, and how errors are told."""

    def __init__(self, dialect: ElevenLabs, request: web.Request) -> None:
        super().__init__(dialect.services, request)
        self.dialect = dialect
        self.auto_mode = request.query.get("auto_mode", "").lower() == "true"
        self.idle_seconds = min(self.services.options.idle_seconds, _inactivity(request))

    async def greet(self) -> None:
        """ElevenLabs upgrades first, and says on the socket what is wrong with the request."""
        query = self.request.query
        check_model(query.get("model_id"))
        speech_form(query)
        voice_for(self.request, query.get("language_code"), None)

    def open(self, message: dict[str, Any], context_id: str | None) -> _Context:
        """A context, as its first message wants it."""
        self.dialect.check_first_message(self.request, message)
        return _Context(self, message, context_id)

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        text = failure.message
        if failure.status == 408:
            text = _TIMEOUT.format(seconds=self.idle_seconds)
        error = _ERRORS.get(failure.status, failure.code)
        if failure.status == 400 and failure.code != "invalid_request":
            error = failure.code
        if error == "voice_not_found":
            error = "voice_id_does_not_exist"
        code = 1011 if failure.status >= 500 else 1008
        return {"message": text, "error": error, "code": code}, code, text


class StreamInput(_Talk):
    """One speech: text " ", text, …, text ""; then ``isFinal`` and the end."""

    def __init__(self, dialect: ElevenLabs, request: web.Request) -> None:
        super().__init__(dialect, request)
        self._context: _Context | None = None

    async def receive_text(self, text: str) -> bool:
        message = object_in(text)
        wanted = message.get("text")
        if not isinstance(wanted, str):
            raise RequestFailed(400, "text must be a string")
        if self._context is None:
            self._context = self.open(message, None)
        self._context.take(wanted, message)
        if wanted == "":
            self._context.finish()
            return True
        return False

    def close(self) -> None:
        if self._context is not None:
            self._context.close()


class MultiStreamInput(_Talk):
    """Several speeches, each in a context of its own, told apart by ``context_id``."""

    def __init__(self, dialect: ElevenLabs, request: web.Request) -> None:
        super().__init__(dialect, request)
        self._contexts: dict[str, _Context] = {}

    async def receive_text(self, text: str) -> bool:
        message = object_in(text)
        if message.get("close_socket"):
            for context in self._contexts.values():
                context.generate()
                context.finish()
            return True
        context_id = str(message.get("context_id") or message.get("contextId") or "default")
        wanted = message.get("text") or ""
        if not isinstance(wanted, str):
            raise RequestFailed(400, "text must be a string")
        known = self._contexts.get(context_id)
        if message.get("close_context"):
            if known is not None:
                del self._contexts[context_id]
                known.finish()
            return False
        if known is None:
            known = self._contexts[context_id] = self.open(message, context_id)
        known.take(wanted, message)
        return False

    def close(self) -> None:
        for context in self._contexts.values():
            context.close()


class _Context:
    """One speech: its buffer, its voice, and the messages that carry it."""

    def __init__(self, talk: _Talk, first: dict[str, Any], context_id: str | None) -> None:
        query = talk.request.query
        self._talk = talk
        self._id = context_id
        self._schedule = _schedule(first.get("generation_config"))
        self._generations = 0
        self._buffer = ""
        voice = voice_for(talk.request, query.get("language_code"), first.get("voice_settings"))
        self._speech = Speech(voice, speech_form(query))

    def take(self, text: str, message: dict[str, Any]) -> None:
        """Add *text*, and have spoken what its time has come."""
        self._buffer += text
        due = self._schedule[min(self._generations, len(self._schedule) - 1)]
        triggered = message.get("try_trigger_generation") and len(self._buffer) >= _TRIGGER_LENGTH
        if message.get("flush") or text == "" or self._talk.auto_mode or triggered or len(self._buffer) >= due:
            self.generate()

    def generate(self) -> None:
        """Have the buffer spoken."""
        text, self._buffer = self._buffer, ""
        if not text.strip():
            return
        self._generations += 1
        sentences = Sentences()
        for sentence in [*sentences.add(text), sentences.take()]:
            if sentence.strip():
                self._say(sentence)

    def finish(self) -> None:
        """Say that it is over, when it is."""
        self._talk.later(self._final, self._id or "")

    def close(self) -> None:
        """Free the encoder."""
        self._speech.close()

    def _say(self, text: str) -> None:
        async def job() -> None:
            began = self._speech.seconds
            audio, words = bytearray(), []
            async with contextlib.aclosing(self._speech.say(text)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, bytes):
                        audio += piece
                    else:
                        words.append(piece)
            audio += self._speech.flush()
            alignment = _alignment(text, words, began, self._speech.seconds)
            await self._send(bytes(audio), alignment)

        self._talk.later(job, self._id or "")

    async def _final(self) -> None:
        if rest := self._speech.finish():
            await self._send(rest, None)
        message: dict[str, Any] = {"audio": None, "isFinal": True}
        self._speech.close()
        await self._talk.send(message if self._id is None else {**message, "contextId": self._id})

    async def _send(self, audio: bytes, alignment: dict[str, Any] | None) -> None:
        message: dict[str, Any] = {
            "audio": base64.b64encode(audio).decode(),
            "isFinal": None,
            "normalizedAlignment": alignment,
            "alignment": alignment,
        }
        await self._talk.send(message if self._id is None else {**message, "contextId": self._id})


def _alignment(text: str, words: Sequence[HeardWord], began: float, ended: float) -> dict[str, Any]:
    """When each character of *text* is heard: a word's share its time evenly, what is between has what is left."""
    marks = [0.0]  # where each character begins, and in the end where the last one ends
    for word in words:
        start, end = max(word.start - began, marks[-1]), word.end - began
        _spread(marks, word.first, start)
        _spread(marks, word.first + len(word.text), max(end, start))
    _spread(marks, len(text), ended - began)
    times = [round(mark * 1000) for mark in marks]
    return {
        "chars": list(text),
        "charStartTimesMs": times[:-1],
        "charDurationsMs": [after - before for before, after in pairwise(times)],
    }


def _spread(marks: list[float], upto: int, end: float) -> None:
    """Extend *marks* evenly, so that the character *upto* begins at *end*."""
    begin, count = marks[-1], upto - (len(marks) - 1)
    if count <= 0:
        marks[-1] = max(begin, end)
        return
    marks += [begin + (end - begin) * (number + 1) / count for number in range(count)]


def _schedule(config: Any) -> Sequence[int]:
    wanted = config.get("chunk_length_schedule") if isinstance(config, dict) else None
    if wanted is None:
        return _SCHEDULE
    low, high = _SCHEDULE_BOUNDS
    if not isinstance(wanted, list) or not wanted or not all(_is_between(item, low, high) for item in wanted):
        raise RequestFailed(400, f"chunk_length_schedule must be a list of numbers from {low} to {high}")
    return [int(item) for item in wanted]


def _is_between(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _inactivity(request: web.Request) -> float:
    try:
        return min(float(request.query.get("inactivity_timeout", _INACTIVITY_SECONDS)), _LONGEST_INACTIVITY)
    except ValueError:
        return _INACTIVITY_SECONDS
