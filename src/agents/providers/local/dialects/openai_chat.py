"""OpenAI's ``POST /v1/chat/completions`` and ``GET /v1/models``, on the rule-based responder."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from .. import responder
from .base import Handler, RequestFailed
from .openai_base import OpenAIDialect, json_body, sse, start_sse
from .openai_speech import SPEECH_MODELS
from .openai_transcriptions import TRANSCRIPTION_MODELS

__all__ = ["CHAT_MODELS", "OpenAIChat"]

CHAT_MODELS = (responder.MODEL, "gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini")
"""OpenAI's names are there for clients that insist on one; the rules answer them all."""


class OpenAIChat(OpenAIDialect):
    """Chat completions, and the list of all models."""

    name = "openai-chat"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [
            ("POST", "/v1/chat/completions", self._complete),
            ("GET", "/v1/models", self._models),
            ("GET", "/v1/models/{model}", self._model),
        ]

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request)
        model = body.get("model")
        if model not in CHAT_MODELS:
            known = ", ".join(CHAT_MODELS)
            raise RequestFailed(404, f"there is no model {model!r}; this server has: {known}", "model_not_found")
        messages = body.get("messages")
        heard = _last_said(messages)
        answer = responder.respond(heard)
        usage = _usage(messages, answer)
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        if not body.get("stream"):
            message = {"role": "assistant", "content": answer, "refusal": None}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return await _stream(request, head, answer, usage if wants_usage else None)

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [_model_row(name) for name in self._names()]})

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if name not in self._names():
            raise RequestFailed(404, f"there is no model {name!r}; GET /v1/models lists them", "model_not_found")
        return web.json_response(_model_row(name))

    def _names(self) -> tuple[str, ...]:
        return (self.services.recogniser.name, *TRANSCRIPTION_MODELS, *SPEECH_MODELS, *CHAT_MODELS)


def _model_row(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "voxport"}


def _last_said(messages: Any) -> str:
    """The text of the last message of the user; empty where the assistant is to speak first."""
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise RequestFailed(400, "'messages' must be a list of at least one message")
    said = [_text(message.get("content")) for message in messages if message.get("role") == "user"]
    return said[-1] if said else ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def _usage(messages: Any, answer: str) -> dict[str, int]:
    """Tokens are counted as words: there is no tokeniser."""
    prompt = sum(len(_text(message.get("content")).split()) for message in messages)
    completion = len(answer.split())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def _stream(
    request: web.Request, head: dict[str, Any], answer: str, usage: dict[str, int] | None
) -> web.StreamResponse:
    response = await start_sse(request)
    head = {**head, "object": "chat.completion.chunk"}

    async def chunk(delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        await sse(response, {**head, "choices": [choice]})

    await chunk({"role": "assistant", "content": ""})
    for piece in responder.pieces(answer):
        await chunk({"content": piece})
    await chunk({}, "stop")
    if usage is not None:
        await sse(response, {**head, "choices": [], "usage": usage})
    await sse(response, "[DONE]")
    await response.write_eof()
    return response
