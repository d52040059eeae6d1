"""OpenAI's ``POST /v1/audio/speech``, on espeak-ng.

The audio is sent as it is made, in mp3, opus (Ogg), aac, flac, wav or pcm (24 kHz), bare or as server-sent
events. OpenAI's voices are mapped to espeak-ng's; any espeak-ng voice can be asked for by its own name.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

from aiohttp import web

from ..encoding import FORMATS, Encoder
from ..synthesiser import SAMPLE_RATE, Voice, synthesise_stream
from .base import Handler, RequestFailed
from .openai_base import OpenAIDialect, json_body, sse, start_sse
from .speech_body import check_text, send_body

__all__ = ["SPEECH_MODELS", "VOICES", "OpenAISpeech"]

SPEECH_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "espeak-ng")

VOICES = {
    "alloy": Voice("en-us+f3"),
    "ash": Voice("en-us+m3", pitch=40),
    "ballad": Voice("en-gb+m1"),
    "cedar": Voice("en-us+m7"),
    "coral": Voice("en-us+f2"),
    "echo": Voice("en-us+m1"),
    "fable": Voice("en-gb+m3"),
    "marin": Voice("en-us+f4"),
    "nova": Voice("en-us+f4", pitch=60),
    "onyx": Voice("en-us", pitch=30),
    "sage": Voice("en-gb+f2"),
    "shimmer": Voice("en-us+f1"),
    "verse": Voice("en-us+klatt3"),
}

_BASE_RATE = 160  # words per minute at speed 1.0
_SLOWEST, _FASTEST = 80, 450


class OpenAISpeech(OpenAIDialect):
    """``POST /v1/audio/speech``."""

    name = "openai-speech"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("POST", "/v1/audio/speech", self._speak)]

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        text = self._text(body)
        wanted = body.get("response_format") or "mp3"
        if wanted not in FORMATS:
            raise RequestFailed(400, f"response_format {wanted!r}: this server writes {', '.join(FORMATS)}")
        encoded = _encoded(text, _voice(body), wanted)
        try:
            first = await anext(encoded)  # an unknown voice fails here, while there still is a status to send
            if body.get("stream_format") == "sse":
                return await _send_events(request, first, encoded, len(text))
            return await send_body(request, first, encoded, {"Content-Type": FORMATS[wanted].media_type})
        finally:
            await encoded.aclose()

    def _text(self, body: dict[str, Any]) -> str:
        model = body.get("model")
        if model not in SPEECH_MODELS:
            raise RequestFailed(
                404,
                f"there is no model {model!r}; this server speaks with: {', '.join(SPEECH_MODELS)}",
                "model_not_found",
            )
        return check_text(body.get("input"), self.services.options, name="input")


def _voice(body: dict[str, Any]) -> Voice:
    name, speed = body.get("voice"), body.get("speed", 1.0)
    if not isinstance(name, str) or not name:
        raise RequestFailed(
            400, f"'voice' must be one of {', '.join(VOICES)}, or an espeak-ng voice such as en-us+f3"
        )
    if not isinstance(speed, int | float) or not 0.25 <= speed <= 4.0:
        raise RequestFailed(400, f"'speed' is {speed!r}: it must be a number from 0.25 to 4.0")
    base = VOICES.get(name, Voice(name))
    rate = min(
        _FASTEST, max(_SLOWEST, round(_BASE_RATE * speed))
    )  # the limits of espeak-ng, narrower than OpenAI's
    return Voice(base.name, rate, base.pitch, base.pitch_range, base.word_gap)


async def _encoded(text: str, voice: Voice, wanted: str) -> AsyncGenerator[bytes, None]:
    """What is said, in the format that was asked for, as it is made."""
    encoder = Encoder(wanted, SAMPLE_RATE)
    speech = synthesise_stream(text, voice)
    try:
        async for block in speech:
            piece = encoder.feed(block)
            if piece:
                yield piece
        yield encoder.finish()
    finally:
        encoder.close()
        await speech.aclose()


async def _send_events(
    request: web.Request, first: bytes, rest: AsyncIterator[bytes], characters: int
) -> web.StreamResponse:
    response = await start_sse(request)
    await sse(response, _delta(first))
    async for piece in rest:
        await sse(response, _delta(piece))
    usage = {"input_tokens": characters, "output_tokens": 0, "total_tokens": characters}
    await sse(response, {"type": "speech.audio.done", "usage": usage})
    await response.write_eof()
    return response


def _delta(audio: bytes) -> dict[str, Any]:
    return {"type": "speech.audio.delta", "audio": base64.b64encode(audio).decode()}
