"""The interface of a language model: what to ask over HTTP, and what the bytes of the answer mean. No I/O.

A :class:`ChatProtocol` makes the request and, for every answer, a :class:`ChatReader`: bytes go in as they come,
vendor-neutral events come out. Messages and tools are in the form of OpenAI's chat completions, which LiveKit and
most servers speak; a protocol for another one translates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from .batch import HttpRequest, HttpResponse, error_text
from .events import Failure
from .policy import judge_status
from .settings import Settings

__all__ = ["Chat", "ChatEvent", "ChatProtocol", "ChatReader", "Stopped", "TextDelta", "TokenUsage", "ToolCall"]


@dataclass(frozen=True)
class Chat:
    """One question to a model. It holds what people said, so it prints nothing of it.

    Attributes:
        messages: the conversation, as ``messages`` of chat completions.
        tools: as ``tools`` of chat completions.
        tool_choice: ``"auto"``, ``"required"``, ``"none"`` or ``{"type": "function", "function": {"name": …}}``.
        parallel_tool_calls: whether several tools may be called at once; ``None`` leaves it to the server.
        response_format: as ``response_format`` of chat completions: the JSON schema the answer must fit.
        extra: further fields of the request, stronger than the options of the settings.
        headers: further headers of this request.
    """

    messages: Sequence[Mapping[str, Any]] = field(repr=False)
    tools: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: Mapping[str, Any] | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class TextDelta:
    """More of the answer's text. *extra* is what the vendor wants back with it (Google's thought signatures)."""

    text: str = field(repr=False)
    extra: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(slots=True)
class ToolCall:
    """A whole call of a tool. *arguments* is JSON as the model wrote it, which need not be valid."""

    name: str
    arguments: str = field(repr=False)
    call_id: str
    extra: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(slots=True)
class TokenUsage:
    """The tokens of the whole answer. *cached* ones are among *prompt*, *reasoning* ones among *completion*."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_creation: int = 0
    reasoning: int = 0
    total: int = 0
    service_tier: str | None = None


@dataclass(slots=True)
class Stopped:
    """The answer is complete, and why: ``stop``, ``tool_calls``, ``length``, ``content_filter`` …

    The reason is the vendor's own word, in lower case; empty when the vendor gave none.
    """

    reason: str = ""


ChatEvent = Union[TextDelta, ToolCall, TokenUsage, Stopped, Failure]
"""After a :class:`Failure` nothing comes; without one, :class:`Stopped` is the last."""


class ChatReader(ABC):
    """Reads one answer.

    Attributes:
        answer_id: the vendor's name for the answer; empty until it is known.
        settled: text and tool calls are complete; only usage may still come, and is not worth much waiting.
        ended: the vendor has said that nothing more comes.
    """

    answer_id: str = ""
    settled: bool = False
    ended: bool = False

    @abstractmethod
    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        """What more of the body means. *data* may be cut anywhere."""

    @abstractmethod
    def finish(self) -> Sequence[ChatEvent]:
        """What is left to say at the end of the body: tool calls, usage and :class:`Stopped`, or a failure."""


class ChatProtocol(ABC):
    """One way to ask a model over HTTP. Immutable, shared by all calls."""

    name: str
    """The way of asking, as errors show it."""

    @abstractmethod
    def request(self, chat: Chat, settings: Settings) -> HttpRequest:
        """The request that has *chat* answered.

        Raises:
            ValueError, TypeError: it cannot be written, for example since an option is no JSON.
        """

    @abstractmethod
    def reader(self, response: HttpResponse, settings: Settings) -> ChatReader:
        """A reader for the body of a successful response. ``response.body`` is empty: only the head has come.

        Raises:
            ValueError: the answer is nothing this protocol can read; the message says what it is instead.
        """

    def failure(self, response: HttpResponse) -> Failure:
        """What an unsuccessful response means. The default reads the status and common error bodies."""
        return Failure(error_text(response), judge_status(response.status), status=response.status)

    def check(self, settings: Settings) -> None:
        """Refuse settings this protocol cannot serve, before any request is made.

        Raises:
            ConfigurationError: with what to change.
        """
