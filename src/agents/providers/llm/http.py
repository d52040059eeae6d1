"""A language model behind an HTTP endpoint, as LiveKit's ``llm.LLM``."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields
from inspect import iscoroutinefunction
from typing import Any

import aiohttp
from livekit.agents import llm
from livekit.agents.llm import utils as llm_utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.utils import is_given

from ..base import ConfigurationError
from ..profiles.hosts import host_of
from ..protocol import Chat, ChatEvent, Settings, TextDelta
from ..redaction import Secret, is_secret_name, secrets_in_url
from ..transport.checks import (
    MaskedHeaders,
    check_headers,
    check_mapping,
    check_name,
    check_url,
    environment_key,
    positive_count,
    positive_seconds,
    secret_key,
)
from ..transport.event_loops import PerLoop
from ..transport.failures import ConnectionFailed, api_error
from ..transport.sessions import SessionSource
from .asking import MAX_ANSWER_BYTES, Question
from .endpoint import Protocol, chat_protocol, full_url
from .stream import CustomHTTPLLMStream

__all__ = ["CustomHTTPLLMAdapter", "LLMStats"]

logger = logging.getLogger("agents.providers.llm")

_OPENAI = "api.openai.com"

_MAX_GREETING_BYTES = 64 * 1024


@dataclass(slots=True)
class LLMStats:
    """What an adapter has been through, counted since it was made.

    Attributes:
        requests: attempts, the first and every other.
        retries: those of them that followed a failure.
        unfinished_answers: they ended without ``[DONE]`` and without a finish reason, and count as complete.
        time_to_first_token: seconds from the question to the first text or tool call of the last answer, failed
            attempts included; ``None`` before there was one.
    """

    requests: int = 0
    retries: int = 0
    transient_failures: int = 0
    permanent_failures: int = 0
    answers: int = 0
    empty_answers: int = 0
    unfinished_answers: int = 0
    tool_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    time_to_first_token: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """The counters by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


class CustomHTTPLLMAdapter(llm.LLM[Any]):
    """Any language model behind an HTTP endpoint.

    By default it is asked as OpenAI's chat completions, which most servers answer. One with a format of its own
    needs ``text_path``, or a subclass that overrides :meth:`_send_messages`.

    Args:
        endpoint_url: ``https://…``; ``http://…`` for services that get no credentials, and on this machine. One
            that ends in ``/v1`` stands for ``/v1/chat/completions``; any other is used as it is.
        api_key: the credential, or ``"${env:NAME}"``. By default ``OPENAI_API_KEY``, for api.openai.com only.
        model: the server's name of the model; ``None`` leaves it out of the request.
        headers: additional HTTP headers; values may hold ``${env:NAME}``.
        request_timeout: seconds for one attempt, from connecting to the last byte.
        protocol: ``"openai"``, ``"json-lines"`` (Ollama's ``/api/chat``), ``"json"`` (one body, not streamed),
            ``"auto"``, or a :class:`~..protocol.ChatProtocol`.
        options: further fields of the request (``temperature`` …). ``None`` as a value leaves a field out, as in
            ``{"stream_options": None}`` for a server that does not know it.
        text_path: JMESPath of the text in an event, line or body, where it is in a place of its own.
        strict_tools: send the schemas of tools in OpenAI's strict form; by default to api.openai.com only.
        thinking_tags: what stands between them is a thought, and not said.
        http_session: is used instead of an own session, and never closed.
        connect_timeout, read_timeout: seconds for the connection, and between two pieces of the answer.
        max_response_bytes: a longer answer is refused.

    Raises:
        ConfigurationError: something above cannot work; the message says what to change.
    """

    def __init__(
        self,
        endpoint_url: str,
        api_key: str | Secret | None = None,
        model: str | None = None,
        headers: Mapping[str, str] | None = None,
        request_timeout: float = 60,
        *,
        protocol: Protocol = "auto",
        options: Mapping[str, Any] | None = None,
        text_path: str | None = None,
        strict_tools: bool | None = None,
        thinking_tags: Sequence[str] = (llm_utils.THINK_TAG_START, llm_utils.THINK_TAG_END),
        http_session: aiohttp.ClientSession | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        max_response_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        super().__init__()
        schemes = ("http", "https")
        url = check_url(endpoint_url, setting="endpoint_url", schemes=schemes, has_key=False)
        self._protocol = chat_protocol(protocol, url, text_path=text_path)
        self.endpoint_url = full_url(url, protocol)
        self._host = host_of(url)
        self._key_variables = ("OPENAI_API_KEY",) if self._host == _OPENAI else ()
        self._key = secret_key(api_key) or environment_key(self._key_variables)
        self.headers = MaskedHeaders(check_headers(headers))
        check_url(url, setting="endpoint_url", schemes=schemes, has_key=self._carries_credentials())
        self._bearer = Secret(f"Bearer {self._key.reveal()}") if self._key else None
        if self._bearer and not any(name.lower() == "authorization" for name in self.headers):
            self.headers["Authorization"] = self._bearer.reveal()  # for an override's own request
        self._model = check_name(model, setting="model")
        self._options = check_mapping(options, setting="options")
        if not isinstance(strict_tools, (bool, type(None))):
            raise ConfigurationError(f"strict_tools must be true or false, not {strict_tools!r}")
        self._strict_tools = self._host == _OPENAI if strict_tools is None else strict_tools
        self.thinking_tags = _checked_tags(thinking_tags)
        self.request_timeout = positive_seconds(request_timeout, setting="request_timeout")
        self.read_timeout = positive_seconds(read_timeout, setting="read_timeout")
        self._connect_timeout = positive_seconds(connect_timeout, setting="connect_timeout")
        self._max_response_bytes = positive_count(max_response_bytes, setting="max_response_bytes")
        self._sessions = SessionSource(http_session)
        self._streams: PerLoop[weakref.WeakSet[CustomHTTPLLMStream]] = PerLoop(weakref.WeakSet)
        self._told_of: set[str] = set()
        self.stats = LLMStats()
        self._protocol.check(self._settings())

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if iscoroutinefunction(cls.__dict__.get("chat")):
            raise TypeError(
                f"{cls.__name__}.chat is a coroutine, but AgentSession wants LiveKit's chat(*, chat_ctx, …) that "
                "returns a stream: override _send_messages(messages) instead"
            )

    @property
    def model(self) -> str:
        """The server's name of the model; "unknown" when that is the server's choice."""
        return self._model or "unknown"

    @property
    def provider(self) -> str:
        """The host of the endpoint."""
        return self._host

    @property
    def key(self) -> str | None:
        """The key in plain, for a request of a subclass' own that wants it elsewhere than in :attr:`headers`."""
        return self._key.reveal() if self._key else None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session to make requests on, for a subclass. Take it anew for each, and leave it open."""
        return self._sessions.get()

    def update_options(
        self,
        *,
        model: NotGivenOr[str | None] = NOT_GIVEN,
        options: NotGivenOr[Mapping[str, Any]] = NOT_GIVEN,
    ) -> None:
        """Change what is given, from the next answer on; answers under way keep what they began with.

        Args:
            options: fields of the request to set, on top of those set already.

        Raises:
            ConfigurationError: they cannot be sent. Nothing has changed then.
        """
        before = self._model, self._options
        try:
            if is_given(model):
                self._model = check_name(model, setting="model")
            if is_given(options):
                self._options = {**self._options, **check_mapping(options, setting="options")}
            self._protocol.check(self._settings())
        except ConfigurationError:
            self._model, self._options = before
            raise

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        response_format: NotGivenOr[Any] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> CustomHTTPLLMStream:
        """Ask the model; what it answers comes out of the stream that is returned.

        Args:
            response_format: a pydantic model or other type the answer must fit, or ``response_format`` of chat
                completions as it is.
            extra_kwargs: further fields of the request; ``extra_headers`` and ``extra_body`` are what OpenAI's
                client takes them for.
        """
        extra = dict(extra_kwargs) if is_given(extra_kwargs) else {}
        if "extra_query" in extra:
            raise ConfigurationError("extra_query is not sent: put the query into endpoint_url")
        headers = check_headers(extra.pop("extra_headers", None))
        extra |= extra.pop("extra_body", None) or {}
        ask: dict[str, Any] = {
            "tools": llm.ToolContext(tools or []).parse_function_tools("openai", strict=self._strict_tools),
            "tool_choice": tool_choice if is_given(tool_choice) else None,
            "parallel_tool_calls": parallel_tool_calls if is_given(parallel_tool_calls) else None,
            "response_format": _response_format(response_format) if is_given(response_format) else None,
            "extra": extra,
            "headers": headers,
        }
        stream = CustomHTTPLLMStream(
            self,
            chat_ctx=chat_ctx,
            tools=tools or [],
            conn_options=conn_options,
            ask=ask,
            settings=self._settings(headers),
        )
        self._streams.here().add(stream)
        return stream

    async def _send_messages(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
        """Ask the model; override this as an async generator for a format of your own.

        Attempts, times and cancellation are seen to. An override may raise what aiohttp raises: that is retried
        and reported like the adapter's own failures, as long as nothing was yielded.

        An override with a second argument, ``chat: Chat | None = None``, is given the whole question, tools and
        all. It may yield a whole :class:`~..protocol.ToolCall` then, :class:`~..protocol.TokenUsage` and
        :class:`~..protocol.Stopped`, or all that :meth:`ask` yields.

        Args:
            messages: the conversation, as ``messages`` of OpenAI's chat completions.

        Yields:
            The text of the answer, in pieces as they come. Thoughts in :attr:`thinking_tags` are taken out.

        Raises:
            APIError: of LiveKit's types; ``retryable`` says whether another try can help.
        """
        async with aclosing(self.ask(Chat(messages))) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    yield event.text

    async def ask(self, chat: Chat) -> AsyncGenerator[ChatEvent, None]:
        """Ask *chat* by the adapter's protocol, once: for an override that changes a part of the question.

        Yields:
            Texts, tool calls, usage, and why the answer ended.

        Raises:
            APIError: of LiveKit's types; ``retryable`` says whether another try can help.
        """
        settings = self._settings()
        question = self.question(chat, settings, DEFAULT_API_CONNECT_OPTIONS)
        try:
            async with aclosing(question.ask(self.session)) as events:
                async for event in events:
                    yield event
            return
        except ConnectionFailed as failed:
            failure = failed.failure
        raise api_error(failure, vendor=self.asks_by, settings=settings) from None

    async def _prewarm_impl(self) -> None:
        """Open a connection, by a request that costs nothing; whatever it is answered, the connection is there.

        It is a GET since aiohttp does not use a connection again after a HEAD whose answer has no length.
        """
        if self.overridden:  # where it connects to is its own affair
            return
        timeout = aiohttp.ClientTimeout(total=self._connect_timeout)
        async with self.session.get(self.endpoint_url, allow_redirects=False, timeout=timeout) as reply:
            size = 0
            async for piece in reply.content.iter_any():
                size += len(piece)
                if size > _MAX_GREETING_BYTES:  # not worth reading; the name is resolved, at least
                    break

    async def aclose(self) -> None:
        """Break off what is being answered on this event loop, and close its connections, unless the session was
        given."""
        if self._prewarm_task is not None and self._prewarm_task.get_loop() is asyncio.get_running_loop():
            await super().aclose()  # which waits for the task, and can only do that on its loop
        for stream in list(self._streams.take() or ()):
            await stream.aclose()
        await self._sessions.aclose()

    @property
    def overridden(self) -> bool:
        """Whether a subclass, or a test that replaces it on the object, has a request of its own."""
        return getattr(self._send_messages, "__func__", None) is not CustomHTTPLLMAdapter._send_messages

    @property
    def asks_by(self) -> str:
        """Who asks, for errors."""
        return type(self).__name__ if self.overridden else self._protocol.name

    def question(self, chat: Chat, settings: Settings, conn_options: APIConnectOptions) -> Question:
        """One attempt to have *chat* answered. LiveKit's timeout is about connecting."""
        connect = min(self._connect_timeout, conn_options.timeout or self._connect_timeout)
        timeout = aiohttp.ClientTimeout(total=self.request_timeout, connect=connect, sock_read=self.read_timeout)
        return Question(self._protocol, chat, settings, timeout=timeout, max_bytes=self._max_response_bytes)

    def note_unfinished(self) -> None:
        """Count an answer that ended without saying so; the first of them is told of."""
        self.stats.unfinished_answers += 1
        self._tell_once("an answer ended without [DONE] and finish reason; it counts as complete")

    def note_unused_tools(self) -> None:
        """Tell, once, that an override leaves out the tools of the agent."""
        self._tell_once("there are tools, which _send_messages does not get: give it an argument named chat")

    def _tell_once(self, message: str) -> None:
        if message not in self._told_of:
            self._told_of.add(message)
            logger.warning("%s: %s", self.label, message)

    def _settings(self, headers: Mapping[str, str] | None = None) -> Settings:
        """What the protocol needs for one answer: a copy, so that a change does not reach answers under way."""
        return Settings(
            url=self.endpoint_url,
            api_key=self._key,
            model=self._model,
            options=dict(self._options),
            # the protocol knows itself how the key is sent
            headers={
                **{k: v for k, v in self.headers.items() if k != "Authorization" or Secret(v) != self._bearer},
                **(headers or {}),
            },
            key_variables=self._key_variables,
        )

    def _carries_credentials(self) -> bool:
        """Whether a request holds anything that may not go over the network in clear text."""
        return bool(self._key or secrets_in_url(self.endpoint_url) or any(map(is_secret_name, self.headers)))


def _response_format(response_format: Any) -> dict[str, Any]:
    if isinstance(response_format, Mapping):
        return dict(response_format)
    return llm_utils.to_openai_response_format(response_format)


def _checked_tags(tags: Sequence[str]) -> tuple[str, str]:
    if isinstance(tags, str) or len(tags) != 2 or not all(isinstance(tag, str) and tag for tag in tags):
        raise ConfigurationError(
            'thinking_tags must be the tag before a thought and the one behind it, like ("<think>", "</think>")'
        )
    return tags[0], tags[1]
