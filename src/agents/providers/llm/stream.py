"""One answer of a custom language model, as LiveKit's ``LLMStream``."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import aclosing
from inspect import isawaitable, signature
from typing import TYPE_CHECKING, Any

import aiohttp
from livekit.agents import APIError, llm
from livekit.agents.llm import utils as llm_utils
from livekit.agents.types import APIConnectOptions
from livekit.agents.utils import shortuuid

from ..protocol import Chat, ChatEvent, Failure, Settings, Stopped, TextDelta, TokenUsage, ToolCall
from ..transport.failures import ConnectionFailed, api_error, failure_of_exception
from ..transport.patience import Patience
from ..transport.quoting import told

if TYPE_CHECKING:
    from .http import CustomHTTPLLMAdapter

__all__ = ["CustomHTTPLLMStream"]

logger = logging.getLogger("agents.providers.llm")

# What a subclass' own request can meet on the way, besides bugs.
_TRANSPORT_ERRORS = (aiohttp.ClientError, asyncio.TimeoutError, TimeoutError, ConnectionError, ssl.SSLError)

_USUAL_REASONS = frozenset({"", "stop", "tool_calls", "function_call"})
_REMEDIES = {
    "length": "the limit of tokens was reached",
    "content_filter": "the vendor's content filter stepped in",
}


class CustomHTTPLLMStream(llm.LLMStream):
    """Made by :meth:`.CustomHTTPLLMAdapter.chat`. LiveKit calls :meth:`_run` once for every attempt."""

    def __init__(
        self,
        adapter: CustomHTTPLLMAdapter,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
        ask: dict[str, Any],
        settings: Settings,
    ) -> None:
        super().__init__(adapter, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._retry_on_chunk_sent = False  # or a retry would say again what was said before
        self._adapter = adapter
        self._ask = ask
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._began = self._progress = self._loop.time()
        self._patience = Patience(adapter.request_timeout)
        self._attempts = 0

    async def _run(self) -> None:
        """One attempt.

        Raises:
            APIError: of LiveKit's types; ``retryable`` says whether another attempt can help.
        """
        await self._patience.wait()
        stats = self._adapter.stats
        stats.requests += 1
        stats.retries += bool(self._attempts)
        self._attempts += 1
        self._answer_id = f"chat_{shortuuid()}"
        self._visible = llm_utils.ThinkingTokenFilter(*self._adapter.thinking_tags)
        error: APIError
        try:
            if self._adapter.overridden:
                await self._attend_override()
            else:
                await self._attend()
            stats.answers += 1
            if not self._event_ch.output_sent:
                stats.empty_answers += 1
                logger.warning("%s gave an empty answer", self._adapter.label)
            return
        except APIError as typed:
            error = typed
        except ConnectionFailed as failed:
            error = self._api_error(failed.failure)
        except _TRANSPORT_ERRORS as raw:
            error = self._api_error(failure_of_exception(raw, self._settings, doing="waiting for the answer"))
        error = told(error, self._said(by_people=True), self._said(by_people=False))
        self._prepare_retry(error)
        try:
            raise error from None
        finally:
            # aiohttp's exceptions hold the request with its headers, and Python 3.10 remembers them here
            error.__context__ = None

    def _api_error(self, failure: Failure) -> APIError:
        return api_error(failure, vendor=self._adapter.asks_by, settings=self._settings)

    def _prepare_retry(self, error: APIError) -> None:
        """Count *error*, and have the next attempt wait as long as the vendor asks for."""
        self._patience.heed(error)
        if error.retryable:
            self._adapter.stats.transient_failures += 1
        else:
            self._adapter.stats.permanent_failures += 1

    async def _attend(self) -> None:
        """Ask by the protocol and pass the answer on as it comes."""
        chat = Chat(self._messages(), **self._ask)
        question = self._adapter.question(chat, self._settings, self._conn_options)
        async with aclosing(question.ask(self._adapter.session)) as events:
            async for event in events:
                self._answer_id = question.answer_id or self._answer_id
                self._deliver(event)
        if not question.complete:
            self._adapter.note_unfinished()

    def _messages(self) -> list[dict[str, Any]]:
        messages, _ = self._chat_ctx.to_provider_format("openai")
        return messages

    def _said(self, *, by_people: bool) -> Iterator[str]:
        """What is in the conversation, and no error may repeat: all but instructions, or these."""
        for item in self._chat_ctx.items:
            if item.type == "message" and by_people is (item.role in ("user", "assistant")):
                yield item.text_content or ""
            elif item.type == "function_call" and by_people:
                yield item.arguments
            elif item.type == "function_call_output" and by_people:
                yield item.output

    async def _attend_override(self) -> None:
        """Pass on what a subclass' own request gives, in time.

        It runs in a task of its own, as a whole: libraries mind when parts of a request run in different tasks.
        """
        self._progress = self._loop.time()
        deadline = self._progress + self._adapter.request_timeout
        pump = asyncio.create_task(self._pump(), name="voxport.llm.override")
        try:
            while not pump.done():
                left = min(deadline, self._progress + self._adapter.read_timeout) - self._loop.time()
                if left <= 0:
                    failure = Failure("timed out while waiting for the answer", detail={"timeout": True})
                    raise ConnectionFailed(failure)
                await asyncio.wait({pump}, timeout=left)
            pump.result()
        finally:
            if not pump.done():
                pump.cancel()
                await asyncio.wait({pump})
            if not pump.cancelled():
                pump.exception()  # is raised above, or of no interest any more

    async def _pump(self) -> None:
        asking: Callable[..., Any] = self._adapter._send_messages
        messages = self._messages()
        takes_all = "chat" in signature(asking).parameters
        if self._ask["tools"] and not takes_all:
            self._adapter.note_unused_tools()
        given = asking(messages, chat=Chat(messages, **self._ask)) if takes_all else asking(messages)
        if isawaitable(given):  # "async def" with a "return" in place of "yield"
            given = await given
        if isinstance(given, str):
            self._pass_on(given)
        elif not hasattr(given, "__aiter__"):
            raise TypeError(f"_send_messages must yield str, and returned {type(given).__name__}")
        elif hasattr(given, "aclose"):
            async with aclosing(given):
                await self._pump_pieces(given)
        else:
            await self._pump_pieces(given)
        self._deliver(Stopped())

    async def _pump_pieces(self, pieces: AsyncIterable[Any]) -> None:
        async for piece in pieces:
            self._progress = self._loop.time()
            self._pass_on(piece)

    def _pass_on(self, piece: Any) -> None:
        if isinstance(piece, (TextDelta, ToolCall, TokenUsage, Stopped)):
            self._deliver(piece)
            return
        if not isinstance(piece, str):
            raise TypeError(f"_send_messages must yield str, and gave {type(piece).__name__}")
        self._deliver(TextDelta(piece))

    def _deliver(self, event: ChatEvent) -> None:
        if isinstance(event, TextDelta):
            self._say(event.text, extra=event.extra)
        elif isinstance(event, ToolCall):
            self._say("", final=True)
            self._call(event)
        elif isinstance(event, TokenUsage):
            self._report(event)
        elif isinstance(event, Stopped):
            self._say("", final=True)
            self._stopped(event.reason)

    def _say(self, text: str, *, extra: dict[str, Any] | None = None, final: bool = False) -> None:
        """Send what of *text* is no hidden thought; the beginning of a tag is held back until it is known."""
        visible = llm_utils.strip_thinking_tokens(text, self._visible, final=final) or ""
        if visible or extra:
            self._send(llm.ChoiceDelta(role="assistant", content=visible or None, extra=extra))

    def _call(self, call: ToolCall) -> None:
        self._adapter.stats.tool_calls += 1
        called = llm.FunctionToolCall(
            name=call.name, arguments=call.arguments, call_id=call.call_id, extra=call.extra
        )
        self._send(llm.ChoiceDelta(role="assistant", tool_calls=[called]))

    def _report(self, usage: TokenUsage) -> None:
        self._adapter.stats.prompt_tokens += usage.prompt
        self._adapter.stats.completion_tokens += usage.completion
        counted = llm.CompletionUsage(
            completion_tokens=usage.completion,
            prompt_tokens=usage.prompt,
            prompt_cached_tokens=usage.cached,
            cache_creation_tokens=usage.cache_creation,
            reasoning_tokens=usage.reasoning,
            total_tokens=usage.total,
            service_tier=usage.service_tier,
        )
        self._event_ch.send_nowait(llm.ChatChunk(id=self._answer_id, usage=counted))

    def _stopped(self, reason: str) -> None:
        """LiveKit has no field for why an answer ended: what is out of the ordinary goes into ``extra``."""
        if reason in _USUAL_REASONS:
            return
        self._send(llm.ChoiceDelta(role="assistant", extra={"finish_reason": reason}))
        if reason in _REMEDIES:
            logger.warning("the answer of %s is cut short: %s", self._adapter.label, _REMEDIES[reason])

    def _send(self, delta: llm.ChoiceDelta) -> None:
        if (delta.content or delta.tool_calls) and not self._event_ch.output_sent:
            self._adapter.stats.time_to_first_token = self._loop.time() - self._began
        self._event_ch.send_nowait(llm.ChatChunk(id=self._answer_id, delta=delta))
