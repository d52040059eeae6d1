"""FunASR's two-pass server: pieces at once, and the whole text of each stretch of speech again, ``/funasr``.

Sources: modelscope/FunASR ``runtime/python/websocket`` (server and client) and ``runtime/onnxruntime`` (times),
and funasr-client 0.1.6. ``2pass-online`` pieces follow each other; a ``2pass-offline`` text replaces them.
``timestamp`` is JSON in a text: milliseconds from the first sample after the last end of input, of each word.
``is_speaking: false`` ends the input and brings what is left, marked ``is_final``, be it empty; with ``is_end``
an acknowledgement follows. The connection stays open, for more. Without a ``chunk_size`` the real one drops all
audio.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from ..recogniser import Final, Flushed, Heard, Partial, Result
from .base import RequestFailed, Services
from .self_hosted import SelfHosted, SelfHostedConversation, object_of

__all__ = ["FunASR"]

_DEFAULT_RATE = 16000
_MODES = ("2pass", "offline")


class _Recognition(SelfHostedConversation):
    """One client."""

    def __init__(self, services: Services, request: web.Request) -> None:
        super().__init__(services, request)
        self.socket = web.WebSocketResponse(max_msg_size=self.max_message_bytes, protocols=("binary",))
        self._mode = "2pass"
        self._wav_name: Any = "microphone"
        self._rate = _DEFAULT_RATE
        self._chunked = False
        self._ending = False  # what is heard now comes of an end of input
        self._tells_ends: list[bool] = []  # for each end of input on its way, whether it wants to be told
        self._held: list[Final] = []
        self._words_sent = 0
        self._samples = 0  # fed so far
        self._ends: list[float] = []  # where the inputs end, in seconds
        self._zero = 0.0  # where the present input began

    async def receive_text(self, text: str) -> bool:
        message = object_of(text)
        self._read(message)
        if message.get("is_speaking") is False:
            self.configure(self._rate, interim=self._mode == "2pass")
            self._tells_ends.append(message.get("is_end") is True)
            self._ends.append(self._samples / self._rate)
            await self.session.mark()
            await self.session.flush()
        return False

    def _read(self, message: dict[str, Any]) -> None:
        mode, rate, form = message.get("mode"), message.get("audio_fs"), message.get("wav_format")
        if mode is not None and mode not in _MODES:
            raise RequestFailed(400, f"mode {mode!r}: this server knows {', '.join(_MODES)}")
        if form not in (None, "pcm", "PCM"):
            raise RequestFailed(400, f"wav_format {form!r}: only pcm can be streamed")
        if rate is not None and type(rate) is not int:
            raise RequestFailed(400, f"audio_fs {rate!r} is not a whole number")
        self._mode = mode or self._mode
        self._rate = rate or self._rate
        self._chunked = self._chunked or _is_chunk_size(message.get("chunk_size"))
        self._wav_name = message.get("wav_name") or self._wav_name

    async def receive_audio(self, data: bytes) -> None:
        if not self._chunked:
            return
        self.configure(self._rate, interim=self._mode == "2pass")
        self._samples += len(data) // 2
        await self.session.accept(data)

    def messages(self, result: Result) -> list[dict[str, Any]]:
        if isinstance(result, Partial):
            return self._piece(result)
        if isinstance(result, Final):
            self._words_sent = 0
            if self._ending or self._mode == "offline":
                self._held.append(result)
                return []
            return [self._text([result], is_final=False)]
        if isinstance(result, Heard):
            self._ending = True
        return self._end() if isinstance(result, Flushed) else []

    def _piece(self, partial: Partial) -> list[dict[str, Any]]:
        """What is new: a piece that was sent is not taken back."""
        new = partial.text.split()[self._words_sent :]
        if not new:
            return []
        self._words_sent += len(new)
        return [self._message("2pass-online", "".join(f" {word}" for word in new), is_final=False)]

    def _end(self) -> list[dict[str, Any]]:
        wants_telling, finals, self._held = self._tells_ends.pop(0), self._held, []
        self._ending = False
        told = [self._text(finals, is_final=True)]
        if wants_telling:
            told.append({"mode": self._mode, "wav_name": self._wav_name, "is_final": True, "is_end": True})
        self._zero = self._ends.pop(0)
        return told

    def _text(self, finals: list[Final], *, is_final: bool) -> dict[str, Any]:
        mode = "2pass-offline" if self._mode == "2pass" else self._mode
        message = self._message(mode, " ".join(final.text for final in finals), is_final=is_final)
        times = [
            [round(1000 * (word.start - self._zero)), round(1000 * (word.end - self._zero))]
            for final in finals
            for word in final.words
        ]
        if times:
            message["timestamp"] = json.dumps(times, separators=(",", ":"))
        return message

    def _message(self, mode: str, text: str, *, is_final: bool) -> dict[str, Any]:
        return {"mode": mode, "text": text, "wav_name": self._wav_name, "is_final": is_final}


def _is_chunk_size(value: Any) -> bool:
    parts = value.split(",") if isinstance(value, str) else value
    return isinstance(parts, list) and len(parts) == 3 and all(str(part).strip().isdigit() for part in parts)


class FunASR(SelfHosted):
    """``/funasr``."""

    name = "funasr"
    path = "/funasr"
    conversation = _Recognition
