"""WhisperLive's server: float samples in, a window of segments out, again and again, ``/whisperlive``.

Source: whisper-live 0.10.0 (``server.py``, ``backend/base.py``, ``client.py``). The first message holds the
options and is answered with ``SERVER_READY``, or with a ``status``: ``WAIT`` when the server is full, ``ERROR``
for a model it cannot load. Times are texts of seconds. A segment is completed by the ones after it, or by being
heard again and again without a change, which audio that stops makes happen. ``END_OF_AUDIO`` ends everything at
once: what has not been sent by then never is.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import WSMsgType, web

from ...transport.bounded import bounded
from ..recogniser import Final, Partial, RecogniserSession, Result, SpeechStarted, Word
from .base import RequestFailed, Services
from .self_hosted import SelfHosted, from_float32, object_of
from .websocket import SocketConversation

__all__ = ["WhisperLive"]

_RATE = 16000
_END_OF_AUDIO = b"END_OF_AUDIO"
_SAME_SECONDS = 0.6
"""How long it takes until a text that does not change is taken for complete; about what ten repetitions take."""
_WAIT_MINUTES = 1.0
_SIZES = ("tiny", "base", "small", "medium")
_MODELS = frozenset(
    {*_SIZES, *(f"{size}.en" for size in _SIZES), "large-v1", "large-v2", "large-v3", "large", "turbo"}
)


class _Client(SocketConversation):
    """One client."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self._uid: Any = None
        self._last_segments = 10
        self._wants_words = False
        self._tells_language = False
        self._completed: list[dict[str, Any]] = []
        self._speaking = False
        self._stopped = False
        self._last_audio = 0.0
        self._watching: asyncio.Task[None] | None = None

    async def answer(self) -> web.WebSocketResponse:
        try:
            return await super().answer()
        finally:
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.gather(self._watching, return_exceptions=True)

    async def begin(self) -> RecogniserSession:
        message = await bounded(self.socket.receive(), self.idle_seconds)
        if message.type is not WSMsgType.TEXT:
            raise RequestFailed(400, "the first message must be the options, as JSON")
        options = object_of(message.data)
        self._uid = options.get("uid")
        if not isinstance(self._uid, str):
            raise RequestFailed(400, "the options hold no uid")
        self._read(options)
        session = await self.services.recogniser.open()
        session.configure(sample_rate=_RATE)
        self._session = session
        self._last_audio = asyncio.get_running_loop().time()
        self._watching = asyncio.ensure_future(self._complete_what_stays_the_same())
        await self.send({"uid": self._uid, "message": "SERVER_READY", "backend": "faster_whisper"})
        return session

    def _read(self, options: dict[str, Any]) -> None:
        model, language, count = options.get("model"), options.get("language"), options.get("send_last_n_segments")
        if not isinstance(model, str) or model not in _MODELS:
            raise RequestFailed(404, f"Failed to load model: {model}")
        if language is not None and not isinstance(language, str):
            raise RequestFailed(400, "language must be a code such as en")
        self.services.language(language)
        self._tells_language = language is None
        if isinstance(count, int) and count > 0:
            self._last_segments = count
        self._wants_words = options.get("word_timestamps") is True

    async def receive_text(self, text: str) -> bool:
        raise RequestFailed(400, "after the options only audio is understood")

    async def receive_audio(self, data: bytes) -> None:
        if data == _END_OF_AUDIO:
            self._stopped = True
            await self.socket.close()
            return
        self._last_audio = asyncio.get_running_loop().time()
        await self.session.accept(from_float32(data))

    async def _complete_what_stays_the_same(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(self._last_audio + _SAME_SECONDS - loop.time(), 0.05))
            if self._speaking and loop.time() - self._last_audio >= _SAME_SECONDS:
                self._speaking = False
                await self.session.flush()

    def messages(self, result: Result) -> list[dict[str, Any]]:
        if isinstance(result, SpeechStarted):
            self._speaking = True
        if self._stopped or not isinstance(result, (Partial, Final)):
            return []
        told: list[dict[str, Any]] = []
        if self._tells_language:
            self._tells_language = False
            told = [{"uid": self._uid, "language": self.services.language(None), "language_prob": 0.9}]
        segment = self._segment(result)
        if isinstance(result, Final):
            self._speaking = False
            self._completed.append(segment)
        window = self._completed[-self._last_segments :]
        if isinstance(result, Partial):
            window = [*window, segment]
        return [*told, {"uid": self._uid, "segments": window}]

    def _segment(self, result: Partial | Final) -> dict[str, Any]:
        completed = isinstance(result, Final)
        segment = {
            "start": f"{result.start:.3f}",
            "end": f"{result.end:.3f}",
            "text": f" {result.text}",
            "completed": completed,
        }
        if self._wants_words and isinstance(result, Final):
            segment["words"] = [_word(word) for word in result.words]
        return segment

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        if failure.status == 503:
            return {"uid": self._uid, "status": "WAIT", "message": _WAIT_MINUTES}, 1000, ""
        if self._session is None and failure.status == 404:
            return {"uid": self._uid, "status": "ERROR", "message": failure.message}, 1000, ""
        return None, 1000, ""  # it logs the reason, and closes


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": f" {word.text}",
        "start": f"{word.start:.3f}",
        "end": f"{word.end:.3f}",
        "probability": word.confidence,
    }


class WhisperLive(SelfHosted):
    """``/whisperlive``."""

    name = "whisperlive"
    path = "/whisperlive"
    conversation = _Client
