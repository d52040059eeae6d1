"""The requests: OpenAI's chat completions, and Ollama's ``/api/chat``."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..base import ConfigurationError
from ..profiles.paths import Getter
from ..protocol import Chat, ChatProtocol, Failure, HttpRequest, HttpResponse, Settings, Verdict
from .answers import AnswerReader
from .framing import Frames, sniffed

__all__ = ["ChatCompletions", "OllamaChat"]

_JSON_OBJECT = {"type": "json_object"}


class _JsonChat(ChatProtocol):
    """What both have in common: a JSON object is posted, and fields of the user's go on top of ours.

    Args:
        streamed: ask for an answer in pieces.
        frames: the framing of the answer, from its first bytes.
        text: finds the text in a value of the answer; ``None``: where the protocol has it.
    """

    def __init__(
        self,
        *,
        streamed: bool = True,
        frames: Callable[[bytes], Frames] = sniffed,
        text: Getter | None = None,
    ) -> None:
        self._streamed = streamed
        self._frames = frames
        self._text = text

    @abstractmethod
    def _body(self, chat: Chat) -> dict[str, Any]:
        """The fields of the request that *chat* gives; ``None`` stands for none."""

    @abstractmethod
    def _firm(self, chat: Chat) -> dict[str, Any]:
        """Those of them that are stronger than the user's fields, for they are about this answer alone."""

    def request(self, chat: Chat, settings: Settings) -> HttpRequest:
        ours, firm = self._body(chat), self._firm(chat)
        body = {"model": settings.model, **ours, **settings.options, **chat.extra, **firm}
        body = {name: value for name, value in body.items() if value is not None}
        # surrogates without their other half would be refused whole; NaN is no JSON
        data = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        return HttpRequest("POST", settings.url, self._headers(chat, settings), data)

    def reader(self, response: HttpResponse, settings: Settings) -> AnswerReader:
        if response.content_type in ("text/html", "application/xhtml+xml"):
            raise ValueError("a web page came (is the URL that of a web site, or of a proxy?)")
        return AnswerReader(self._frames, text=self._text, kind=response.content_type, whole=not self._streamed)

    def failure(self, response: HttpResponse) -> Failure:
        failure = super().failure(response)
        if response.status == 429 and "insufficient_quota" in response.text()[:2000]:
            failure.verdict = Verdict.PERMANENT  # OpenAI's word for an account without money
        return failure

    def check(self, settings: Settings) -> None:
        for name, instead in (
            ("messages", ""),
            ("tools", ""),
            ("stream", ": give protocol"),
            ("model", ": give model"),
        ):
            if name in settings.options:
                raise ConfigurationError(
                    f"options holds {name!r}, which the adapter sets itself{instead}", key=f"options.{name}"
                )
        try:
            json.dumps(dict(settings.options), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"options cannot be sent as JSON: {error}") from None

    @staticmethod
    def _headers(chat: Chat, settings: Settings) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if settings.api_key:
            headers["authorization"] = f"Bearer {settings.key}"
        for name, value in (*settings.headers.items(), *chat.headers.items()):
            headers[name.lower()] = value
        return headers


class ChatCompletions(_JsonChat):
    """OpenAI's ``POST …/chat/completions``, which vLLM, llama.cpp, Ollama, LiteLLM and many others answer."""

    name = "chat completions"

    def failure(self, response: HttpResponse) -> Failure:
        failure = super().failure(response)
        if response.status in (400, 422) and "stream_options" in response.text():
            failure.message += "; options={'stream_options': None} leaves it out, and with it the usage"
        return failure

    def _body(self, chat: Chat) -> dict[str, Any]:
        return {
            "messages": list(map(_readable, chat.messages)),
            "stream": self._streamed,
            "stream_options": {"include_usage": True} if self._streamed else None,
            "tools": list(chat.tools) or None,
        }

    def _firm(self, chat: Chat) -> dict[str, Any]:
        asked = {
            "tool_choice": chat.tool_choice,
            "parallel_tool_calls": chat.parallel_tool_calls,
            "response_format": chat.response_format,
        }
        firm = {name: value for name, value in asked.items() if value is not None}
        # OpenAI refuses both without tools
        return firm if chat.tools else {**firm, "tool_choice": None, "parallel_tool_calls": None}


class OllamaChat(_JsonChat):
    """Ollama's ``POST /api/chat`` (https://github.com/ollama/ollama/blob/main/docs/api.md).

    It has no ``tool_choice``: for ``"none"`` no tools are sent, for a named one only that; ``"required"`` cannot
    be said.
    """

    name = "Ollama's chat"

    def _body(self, chat: Chat) -> dict[str, Any]:
        choice = chat.tool_choice
        named = choice["function"]["name"] if choice is not None and not isinstance(choice, str) else None
        tools = [tool for tool in chat.tools if not named or tool["function"]["name"] == named]
        return {
            "messages": list(_ollama_messages(chat)),
            "stream": self._streamed,
            "tools": (tools or None) if choice != "none" else None,
        }

    def _firm(self, chat: Chat) -> dict[str, Any]:
        wanted = _ollama_format(chat.response_format)
        return {"format": wanted} if wanted is not None else {}


def _ollama_messages(chat: Chat) -> Iterator[dict[str, Any]]:
    names: dict[str, str] = {}  # of tools, by the id of the call
    for message in chat.messages:
        role = message["role"]
        said: dict[str, Any] = {"role": "system" if role == "developer" else role}
        said |= _ollama_content(message.get("content"))
        calls = message.get("tool_calls")
        if calls:
            names |= {call["id"]: call["function"]["name"] for call in calls}
            said["tool_calls"] = [
                {
                    "function": {
                        "name": call["function"]["name"],
                        "arguments": _arguments(call["function"]["arguments"]),
                    }
                }
                for call in calls
            ]
        if role == "tool":
            said["tool_name"] = names.get(message.get("tool_call_id", ""), "")
        yield said


def _ollama_content(content: Any) -> dict[str, Any]:
    """The text, and the pictures, which Ollama takes in base64 only."""
    parts: list[dict[str, Any]]
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    said: dict[str, Any] = {"content": "".join(part["text"] for part in parts if part["type"] == "text")}
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    if not all(url.startswith("data:") for url in urls):
        raise ValueError("Ollama takes pictures as data only, not by URL")
    if urls:
        said["images"] = [url.partition(",")[2] for url in urls]
    return said


def _ollama_format(response_format: Mapping[str, Any] | None) -> Any:
    if response_format is None or response_format == _JSON_OBJECT:
        return "json" if response_format else None
    return response_format.get("json_schema", {}).get("schema", "json")


def _readable(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """*message* with arguments that every server can read.

    What a model wrote as arguments need not be JSON. LiveKit tells the model so in the result of the call, but
    leaves the arguments in the history, and servers that parse the history refuse it for good.
    """
    calls = message.get("tool_calls")
    if not calls:
        return message
    readable = []
    for call in calls:
        function = call["function"]
        if not _is_object(function["arguments"]):
            call = {**call, "function": {**function, "arguments": "{}"}}
        readable.append(call)
    return {**message, "tool_calls": readable}


def _arguments(text: str) -> dict[str, Any]:
    """The arguments that *text* holds; none when it is no JSON object."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _is_object(text: str) -> bool:
    return bool(_arguments(text)) or text.strip() == "{}"
