"""What an endpoint is asked in: chosen by name, or by its URL and the bytes of its answers."""

from __future__ import annotations

from typing import Literal, Union
from urllib.parse import urlsplit, urlunsplit

from ..base import ConfigurationError
from ..profiles.paths import Getter, compile_path
from ..protocol import ChatProtocol
from ..transport.checks import check_choice
from .framing import Frames, JsonBody, JsonLines, ServerSentEvents, sniffed
from .requests import ChatCompletions, OllamaChat

__all__ = ["PROTOCOLS", "Protocol", "chat_protocol", "full_url"]

Protocol = Union[Literal["auto", "openai", "json-lines", "json"], ChatProtocol]
"""How an endpoint is asked: see :func:`chat_protocol`."""

PROTOCOLS = ("auto", "openai", "json-lines", "json")


def chat_protocol(protocol: Protocol, url: str, *, text_path: str | None = None) -> ChatProtocol:
    """The way to ask the endpoint at *url*.

    ``"openai"`` is chat completions, streamed as server-sent events. ``"json-lines"`` is Ollama's ``/api/chat``,
    streamed as lines of JSON. ``"json"`` is either, by the URL, answered by one JSON body. ``"auto"`` asks in the
    way of ``/api/chat`` where the URL ends so, otherwise in that of chat completions, and reads whichever of the
    three comes.

    Args:
        text_path: JMESPath of the text in a line, event or body, where it is in another place.

    Raises:
        ConfigurationError: there is no such protocol, or *text_path* is no JMESPath.
    """
    if isinstance(protocol, ChatProtocol):
        if text_path is not None:
            raise ConfigurationError(
                "text_path is for the built-in protocols: a protocol object reads answers itself"
            )
        return protocol
    if isinstance(protocol, type):
        name = protocol.__name__
        raise ConfigurationError(f"protocol is the class {name}: give an object of it, {name}(…)")
    check_choice(protocol, PROTOCOLS, setting="protocol")
    text = _getter(text_path) if text_path is not None else None
    ollama = protocol == "json-lines" or (protocol != "openai" and _path(url).endswith("/api/chat"))
    frames = {"openai": _events, "json-lines": _lines, "json": _body, "auto": sniffed}[protocol]
    kind = OllamaChat if ollama else ChatCompletions
    return kind(streamed=protocol != "json", frames=frames, text=text)


def full_url(url: str, protocol: Protocol) -> str:
    """*url*; one that ends in ``/v1``, as clients of OpenAI's want it, with ``/chat/completions`` behind."""
    if protocol == "json-lines" or isinstance(protocol, ChatProtocol) or not _path(url).endswith("/v1"):
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/chat/completions"))


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def _getter(path: str) -> Getter:
    if not isinstance(path, str) or not path.strip():
        raise ConfigurationError("text_path must be a JMESPath expression, like 'choices[0].text'")
    try:
        return compile_path(path.strip())
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(
            f"text_path is no JMESPath expression ({reason}): see https://jmespath.org"
        ) from None


def _events(beginning: bytes) -> Frames:
    return ServerSentEvents()


def _lines(beginning: bytes) -> Frames:
    return JsonLines()


def _body(beginning: bytes) -> Frames:
    return JsonBody()
