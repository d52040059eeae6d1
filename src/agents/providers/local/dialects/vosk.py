"""Vosk's server: every message is answered by one, ``/vosk``.

Source: alphacep/vosk-server ``websocket/asr_server.py``, and the client in vosk 0.3.45
(``vosk/transcriber/transcriber.py``). The commands are compared as strings, spaces included. Times are seconds.
The ``phrase_list`` is taken and not obeyed: this recogniser's grammar is fixed.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..recogniser import Final, Flushed, Heard, Partial, Result
from .base import RequestFailed, Services
from .self_hosted import SelfHosted, SelfHostedConversation, object_of

__all__ = ["Vosk"]

_EOF = '{"eof" : 1}'
_RESET = '{"reset" : 1}'
_DEFAULT_RATE = 8000.0


class _Recognition(SelfHostedConversation):
    """One client: what it sent and has not been answered yet is answered when it has been listened to."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self._rate = _DEFAULT_RATE
        self._words = True
        self._alternatives = 0
        self._partial = ""
        self._finals: list[Final] = []

    async def receive_text(self, text: str) -> bool:
        if text == _EOF:
            await self.session.end()
            return True
        if text == _RESET:
            self.configure(round(self._rate))
            await self.session.flush()
        elif "config" in text:
            self._read(object_of(text).get("config"))
        else:
            raise RequestFailed(400, f"the recogniser takes audio, {_EOF}, {_RESET} and a config")
        return False

    def _read(self, config: Any) -> None:
        try:
            self._rate = float(config.get("sample_rate", self._rate))
            self._words = bool(config.get("words", self._words))
            self._alternatives = int(config.get("max_alternatives", self._alternatives))
        except (AttributeError, TypeError, ValueError, OverflowError):
            raise RequestFailed(400, "the config is not as documented") from None

    async def receive_audio(self, data: bytes) -> None:
        self.configure(round(self._rate))
        await self.session.accept(data)
        await self.session.mark()

    def messages(self, result: Result) -> list[dict[str, Any]]:
        if isinstance(result, Partial):
            self._partial = result.text
        elif isinstance(result, Final):
            self._finals.append(result)
            self._partial = ""
        elif isinstance(result, Flushed) or (isinstance(result, Heard) and self._finals):
            return [self._final()]
        elif isinstance(result, Heard):
            return [{"partial": self._partial}]
        return []

    async def finish(self) -> None:
        await self.send(self._final())

    def _final(self) -> dict[str, Any]:
        finals, self._finals, self._partial = self._finals, [], ""
        text = " ".join(final.text for final in finals)
        words = [word for final in finals for word in final.words]
        if self._alternatives > 0:
            timed: list[dict[str, Any]] = [{"end": w.end, "start": w.start, "word": w.text} for w in words]
            scored = {"confidence": 100.0 * len(words), "text": text}  # a score of the decoder, not a probability
            return {"alternatives": [{**scored, "result": timed} if self._words and timed else scored]}
        if not self._words or not words:
            return {"text": text}
        return {
            "result": [{"conf": w.confidence, "end": w.end, "start": w.start, "word": w.text} for w in words],
            "text": text,
        }


class Vosk(SelfHosted):
    """``/vosk``."""

    name = "vosk"
    path = "/vosk"
    conversation = _Recognition
