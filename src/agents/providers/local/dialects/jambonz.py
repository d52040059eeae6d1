"""A custom speech server as jambonz calls them: ``start``, audio, ``stop``, and the server closes,
``/jambonz``.

Source: https://docs.jambonz.org/guides/features/adding-speech-providers. The vendor is the server here: whoever
wrote one for jambonz has one for Voxport.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..recogniser import Final, Partial, Result
from .base import RequestFailed, Services
from .self_hosted import SelfHosted, SelfHostedConversation, object_of

__all__ = ["Jambonz"]

_DEFAULT_RATE = 8000


class _Call(SelfHostedConversation):
    """One call's audio."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self._language = ""

    async def receive_text(self, text: str) -> bool:
        message = object_of(text)
        kind = message.get("type")
        if kind == "stop":
            await self.session.end()
            return True
        if kind != "start":
            raise RequestFailed(400, f"unknown message type {kind!r}")
        self._start(message)
        return False

    def _start(self, message: dict[str, Any]) -> None:
        form = (message.get("format", "raw"), message.get("encoding", "LINEAR16"))
        if form != ("raw", "LINEAR16"):
            raise RequestFailed(400, f"format and encoding are {form}: raw LINEAR16 is taken")
        rate = message.get("sampleRateHz", _DEFAULT_RATE)
        if type(rate) is not int:
            raise RequestFailed(400, f"sampleRateHz {rate!r} is not a whole number")
        wanted = message.get("language")
        self.services.language(wanted if isinstance(wanted, str) else None)
        self._language = wanted or "en-US"
        self.configure(rate, interim=message.get("interimResults") is True)

    async def receive_audio(self, data: bytes) -> None:
        if not self.configured:
            raise RequestFailed(400, "audio came before the start message")
        await self.session.accept(data)

    def messages(self, result: Result) -> list[dict[str, Any]]:
        if not isinstance(result, (Partial, Final)):
            return []
        final = isinstance(result, Final)
        alternative = {
            "confidence": result.confidence if isinstance(result, Final) else 0.5,
            "transcript": result.text,
        }
        return [
            {
                "type": "transcription",
                "is_final": final,
                "alternatives": [alternative],
                "language": self._language,
                "channel": 1,
            }
        ]

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        return {"type": "error", "error": failure.message}, 1011, ""


class Jambonz(SelfHosted):
    """``/jambonz``."""

    name = "jambonz"
    path = "/jambonz"
    conversation = _Call
