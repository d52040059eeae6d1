"""sherpa-onnx's streaming server, the C++ one: float samples in, a result after every step, ``/sherpa-onnx``.

Source: k2-fsa/sherpa-onnx ``csrc/online-websocket-server-impl.cc`` and the client in sherpa-onnx-bin 2.0.1.
``segment`` counts the endpoints; ``start_time`` is where the segment begins, and ``timestamps`` are relative to
it; all are seconds. After ``Done`` come a last result with ``is_eof`` and the text ``Done!``; the client
closes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from ..recogniser import Final, Partial, Result
from .base import Services
from .self_hosted import SelfHosted, SelfHostedConversation, from_float32

__all__ = ["SherpaOnnx"]

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
