"""OpenAI's ``POST /v1/chat/completions`` and ``GET /v1/models``, on the rule-based responder.

Tools are called and structured output is given as https://platform.openai.com/docs/api-reference/chat describes;
a conversation in which calls and results of tools do not belong together is refused, as OpenAI does.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web

from .. import responder
from .base import Handler, RequestFailed
from .openai_base import OpenAIDialect, json_body, sse, start_sse
from .openai_speech import SPEECH_MODELS
from .openai_transcriptions import TRANSCRIPTION_MODELS

__all__ = [
    "CHAT_MODELS",
    "OpenAIChat",
    "conversation",
    "declared_tools",
    "last_said",
    "text_of",
    "trailing_results",
]

CHAT_MODELS = (responder.MODEL, "gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini")
"""OpenAI's names are there for clients that insist on one; the rules answer them all."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ARGUMENT_PIECE = 12  # characters, so that arguments come in several deltas


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
        messages = conversation(body.get("messages"))
        _check_calls(messages)
        tools = declared_tools(body.get("tools"))
        answer = responder.reply(
            last_said(messages),
            results=trailing_results(messages),
            tools=tools,
            choice=_choice(body.get("tool_choice"), tools),
            parallel=body.get("parallel_tool_calls") is not False,
            schema=_schema(body.get("response_format")),
        )
        usage = _usage(messages, answer)
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        finish = "tool_calls" if answer.calls else "stop"
        if not body.get("stream"):
            message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
            if answer.calls:
                message["tool_calls"] = [_call(call) for call in answer.calls]
            choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
            return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return await _stream(request, head, answer, finish, usage if wants_usage else None)

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [_model_row(name) for name in self._names()]})

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if name not in self._names():
            raise RequestFailed(404, f"there is no model {name!r}; GET /v1/models lists them", "model_not_found")
        return web.json_response(_model_row(name))

    def _names(self) -> tuple[str, ...]:
        return (self.services.recogniser.name, *TRANSCRIPTION_MODELS, *SPEECH_MODELS, *CHAT_MODELS)


def conversation(messages: Any) -> list[dict[str, Any]]:
    """The messages of a request. Raises `RequestFailed`."""
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise RequestFailed(400, "'messages' must be a list of at least one message")
    return messages


def last_said(messages: list[dict[str, Any]]) -> str:
    """The text of the last message of the user; empty where the assistant is to speak first."""
    said = [text_of(message.get("content")) for message in messages if message.get("role") == "user"]
    return said[-1] if said else ""


def text_of(content: Any) -> str:
    """The text of a message's ``content``: a text, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def trailing_results(messages: list[dict[str, Any]]) -> list[str]:
    """What tools gave back since the user spoke, or the assistant; it may call one after another."""
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") == "tool":
            results.insert(0, text_of(message.get("content")))
        elif not message.get("tool_calls") or message.get("content"):
            break
    return results


def declared_tools(tools: Any) -> list[responder.Tool]:
    """The tools of a request, which OpenAI and Ollama declare alike."""
    declared = []
    for entry in tools if isinstance(tools, list) else [tools] if tools else []:
        function = entry.get("function") if isinstance(entry, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RequestFailed(400, "'tools' must be a list of {type: function, function: {name, …}}")
        parameters = function.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise RequestFailed(400, f"the parameters of {name!r} must be a JSON schema")
        declared.append(responder.Tool(name, str(function.get("description") or ""), parameters))
    return declared


def _choice(choice: Any, tools: list[responder.Tool]) -> str:
    if choice is None:
        return "auto"
    if not tools:
        raise RequestFailed(400, "'tool_choice' is only allowed when 'tools' are specified")
    if choice in ("auto", "none", "required"):
        return str(choice)
    name = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else None
    if name not in {tool.name for tool in tools}:
        raise RequestFailed(400, f"'tool_choice' names {name!r}, which is not among 'tools'")
    return str(name)


def _schema(wanted: Any) -> dict[str, Any] | None:
    """The JSON schema of a ``response_format``; ``None`` where a text is wanted."""
    if wanted is None:
        return None
    fields: dict[str, Any] = wanted if isinstance(wanted, dict) else {}
    kind = fields.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
    named = fields.get("json_schema") if kind == "json_schema" else None
    if not isinstance(named, dict) or not named.get("name") or not isinstance(named.get("schema"), dict):
        raise RequestFailed(
            400, "'response_format' must be text, json_object, or json_schema with name and schema"
        )
    schema: dict[str, Any] = named["schema"]
    return schema


def _check_calls(messages: list[dict[str, Any]]) -> None:
    """Every result of a tool follows the message that called it, and every call has its result."""
    waiting: list[str] = []
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in waiting:
                raise RequestFailed(
                    400, "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
                )
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            break
        waiting = list(_called(message))
    if waiting:
        raise RequestFailed(
            400,
            "an assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'; these have no response: {', '.join(waiting)}",
        )


def _called(message: dict[str, Any]) -> Iterator[str]:
    for call in message.get("tool_calls") or []:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("arguments"), str) or not call.get("id"):
            raise RequestFailed(
                400, "'tool_calls' must have an id, and a function with name and arguments as a text"
            )
        yield str(call["id"])


def _call(call: responder.Call) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {
        "id": f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _model_row(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "voxport"}


def _usage(messages: list[dict[str, Any]], answer: responder.Reply) -> dict[str, Any]:
    """Tokens are counted as words: there is no tokeniser."""
    prompt = sum(len(text_of(message.get("content")).split()) for message in messages)
    completion = len(answer.text.split()) + sum(1 + len(call.arguments) for call in answer.calls)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


async def _stream(
    request: web.Request,
    head: dict[str, Any],
    answer: responder.Reply,
    finish: str,
    usage: dict[str, Any] | None,
) -> web.StreamResponse:
    response = await start_sse(request)
    head = {**head, "object": "chat.completion.chunk"}

    async def chunk(delta: dict[str, Any], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        await sse(response, {**head, "choices": [choice]})

    await chunk({"role": "assistant", "content": None if answer.calls else ""})
    for piece in responder.pieces(answer.text):
        await chunk({"content": piece})
    for index, call in enumerate(answer.calls):
        for delta in _deltas(index, _call(call)):
            await chunk({"tool_calls": [delta]})
    await chunk({}, finish)
    if usage is not None:
        await sse(response, {**head, "choices": [], "usage": usage})
    await sse(response, "[DONE]")
    await response.write_eof()
    return response


def _deltas(index: int, call: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A call as it is streamed: id and name first, then the arguments in pieces."""
    function = call["function"]
    yield {"index": index, **call, "function": {"name": function["name"], "arguments": ""}}
    for at in range(0, len(function["arguments"]), _ARGUMENT_PIECE):
        yield {"index": index, "function": {"arguments": function["arguments"][at : at + _ARGUMENT_PIECE]}}
