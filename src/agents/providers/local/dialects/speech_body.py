"""Speech as the body of an HTTP answer: sent while it is made."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

from aiohttp import web

from ..options import ServerOptions
from ..speech import Speech, SpeechForm
from ..synthesiser import Voice
from .base import RequestFailed

__all__ = ["check_text", "send_body", "send_speech"]


def check_text(value: object, options: ServerOptions, *, name: str = "text", limit: int | None = None) -> str:
    """The text to say. Raises `RequestFailed` for none, and for one that is too long."""
    if not isinstance(value, str) or not value.strip():
        raise RequestFailed(400, f"'{name}' must be the text to say")
    most = min(limit or options.max_text_chars, options.max_text_chars)
    if len(value) > most:
        raise RequestFailed(413, f"'{name}' has {len(value)} characters; this server says at most {most} at once")
    return value


async def send_speech(
    request: web.Request, text: str, voice: Voice, form: SpeechForm, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer *request* with the speech. An unknown voice fails while there still is a status to send."""
    speech = Speech(voice, form)
    try:
        async with contextlib.aclosing(_coded(speech, text)) as pieces:
            first = await anext(pieces)
            return await send_body(request, first, pieces, {"Content-Type": speech.media_type, **headers})
    finally:
        speech.close()


async def send_body(
    request: web.Request, first: bytes, rest: AsyncIterator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer *request* with pieces as they are made."""
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(first)
    async for piece in rest:
        await response.write(piece)
    await response.write_eof()
    return response


async def _coded(speech: Speech, text: str) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(speech.say(text)) as pieces:
        async for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
    yield speech.finish()
