"""sherpa-onnx's streaming servers: float samples in, results after every step, ``/sherpa-onnx`` and
``…-python``.

Sources: k2-fsa/sherpa-onnx ``csrc/online-websocket-server-impl.cc`` and
``python-api-examples/streaming_server.py``, and the client in sherpa-onnx-bin 2.0.1. Of the C++ server,
``segment`` counts the endpoints; ``start_time`` is where the segment begins, and ``timestamps`` are relative to
it; all are seconds. After ``Done`` come a last result with ``is_eof`` and the text ``Done!``; the client
closes. The Python server sends text and segment only, and closes after the last text.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from ..recogniser import Final, Heard, Partial, Result
from .base import RequestFailed, Services
from .self_hosted import SelfHosted, SelfHostedConversation, from_float32

__all__ = ["SherpaOnnx", "SherpaOnnxPython"]

_RATE = 16000  # --input-sample-rate of the real one
_GOODBYE_SECONDS = 5.0


class _Stream(SelfHostedConversation):
    """One stream."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self._segment = 0
        self._start = 0.0

    async def receive_text(self, text: str) -> bool:
        if text != "Done":  # the real one ignores other texts too
            return False
        await self.session.end()
        return True

    async def receive_audio(self, data: bytes) -> None:
        self.configure(_RATE)
        await self.session.accept(from_float32(data))

    def messages(self, result: Result) -> list[dict[str, Any]]:
        if isinstance(result, Partial):
            return [self._result(result.text)]
        if not isinstance(result, Final):
            return []
        message = self._result(result.text, is_final=True)
        message["tokens"] = [f" {word.text}" for word in result.words]
        message["timestamps"] = [round(word.start - self._start, 2) for word in result.words]
        self._segment += 1
        self._start = round(result.end, 2)
        return [message]

    async def finish(self) -> None:
        await self.send({**self._result("", is_final=True), "is_eof": True})
        await self.socket.send_str("Done!")
        await asyncio.wait_for(self.socket.receive(), _GOODBYE_SECONDS)

    def _result(self, text: str, *, is_final: bool = False) -> dict[str, Any]:
        return {
            "text": text,
            "tokens": [],
            "timestamps": [],
            "ys_probs": [],
            "lm_probs": [],
            "context_scores": [],
            "segment": self._segment,
            "words": [],
            "start_time": self._start,
            "is_final": is_final,
            "is_eof": False,
        }


class SherpaOnnx(SelfHosted):
    """``/sherpa-onnx``."""

    name = "sherpa-onnx"
    path = "/sherpa-onnx"
    conversation = _Stream


class _PlainStream(SelfHostedConversation):
    """One stream of the Python server, which never says that a text is final."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self._segment = 0
        self._text = ""
        self._unheard = 0  # messages of audio
        self._done = False

    async def receive_text(self, text: str) -> bool:
        if text != "Done":
            raise RequestFailed(400, "audio or Done is taken")
        self._done = True
        await self.session.end()
        return True

    async def receive_audio(self, data: bytes) -> None:
        self.configure(_RATE)
        self._unheard += 1
        await self.session.accept(from_float32(data))
        await self.session.mark()

    def messages(self, result: Result) -> list[dict[str, Any]]:
        if isinstance(result, Heard):
            self._unheard -= 1
        elif isinstance(result, (Partial, Final)):
            self._text = result.text
        else:
            return []
        message = {"text": self._text, "segment": self._segment}
        if isinstance(result, Final):
            if self._done and not self._unheard:
                return []  # no endpoint made it final: it is the last text
            self._segment += 1
            self._text = ""
        return [message]

    async def finish(self) -> None:
        await self.send({"text": self._text, "segment": self._segment})


class SherpaOnnxPython(SelfHosted):
    """``/sherpa-onnx-python``."""

    name = "sherpa-onnx-python"
    path = "/sherpa-onnx-python"
    conversation = _PlainStream
