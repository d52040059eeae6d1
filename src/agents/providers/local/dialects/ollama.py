"""Ollama's ``POST /api/chat``, on the rule-based responder (https://docs.ollama.com/api/chat).

The answer is JSON in lines, or with ``"stream": false`` one JSON body.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

import orjson
from aiohttp import web

from .. import responder
from .base import Dialect, Handler, RequestFailed
from .openai_base import json_body
from .openai_chat import conversation, declared_tools, last_said, text_of, trailing_results

__all__ = ["Ollama"]

_JSON_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


class Ollama(Dialect):
    """``POST /api/chat``."""

    name = "ollama"

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [("POST", "/api/chat", self._chat)]

    def error(self, failure: RequestFailed) -> web.Response:
        return web.json_response({"error": failure.message}, status=failure.status)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        began = time.monotonic_ns()
        body = await json_body(request)
        model = body.get("model")
        if model != responder.MODEL:
            raise RequestFailed(404, f"model {model!r} not found; this server has {responder.MODEL!r}")
        if not body.get("messages"):  # how Ollama's clients load a model
            return web.json_response(_line(model, {"content": ""}, done=True, done_reason="load"))
        messages = conversation(body["messages"])
        _check_arguments(messages)
        answer = responder.reply(
            last_said(messages),
            results=trailing_results(messages),
            tools=declared_tools(body.get("tools")),
            schema=_schema(body.get("format")),
        )
        counts = _counts(messages, answer, began)
        if body.get("stream") is False:
            message: dict[str, Any] = {"content": answer.text}
            if answer.calls:
                message["tool_calls"] = [_call(call) for call in answer.calls]
            return web.json_response(_line(model, message, done=True, done_reason="stop", **counts))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for message in _messages(answer):
            await response.write(orjson.dumps(_line(model, message)) + b"\n")
        end = _line(model, {"content": ""}, done=True, done_reason="stop", **counts)
        await response.write(orjson.dumps(end) + b"\n")
        await response.write_eof()
        return response


def _messages(answer: responder.Reply) -> Iterator[dict[str, Any]]:
    for piece in responder.pieces(answer.text):
        yield {"content": piece}
    for call in answer.calls:
        yield {"content": "", "tool_calls": [_call(call)]}


def _call(call: responder.Call) -> dict[str, Any]:
    return {"function": {"name": call.name, "arguments": call.arguments}}


def _line(model: Any, message: dict[str, Any], *, done: bool = False, **end: Any) -> dict[str, Any]:
    now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    message = {"role": "assistant", **message}
    return {"model": model, "created_at": now, "message": message, "done": done, **end}


def _counts(messages: list[dict[str, Any]], answer: responder.Reply, began: int) -> dict[str, int]:
    """Tokens are counted as words; durations are nanoseconds."""
    prompt = sum(len(text_of(message.get("content")).split()) for message in messages)
    completion = len(answer.text.split()) + sum(1 + len(call.arguments) for call in answer.calls)
    total = time.monotonic_ns() - began
    return {
        "total_duration": total,
        "load_duration": 0,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": 0,
        "eval_count": completion,
        "eval_duration": total,
    }


def _schema(wanted: Any) -> dict[str, Any] | None:
    if wanted in (None, ""):
        return None
    if wanted == "json":
        return _JSON_OBJECT
    if not isinstance(wanted, dict):
        raise RequestFailed(400, "'format' must be \"json\" or a JSON schema")
    return wanted


def _check_arguments(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        for call in message.get("tool_calls") or []:
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict) or not isinstance(function.get("arguments"), dict):
                raise RequestFailed(400, "the arguments in 'tool_calls' must be an object")
