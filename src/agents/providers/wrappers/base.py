"""What every wrapper shares: to everybody else it is the STT it wraps.

A wrapper has no event emitter of its own. Who subscribes to it subscribes to what it wraps, and what either emits
is heard once, through however many wrappers. It has no stream of its own either, unless it must look into one.
"""

from __future__ import annotations

import contextvars
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from livekit.agents import stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

from ..base import ConfigurationError

if TYPE_CHECKING:
    from livekit.agents.llm.chat_context import MetricsMetadata
    from livekit.agents.voice.events import ConversationItemAddedEvent

__all__ = ["STTWrapper", "answered_for_free", "in_recognize", "unwrapped"]


@dataclasses.dataclass(slots=True)
class _Call:
    """One ``recognize``, as far down as it reaches, through tasks it starts too."""

    free: bool = False


_call: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("voxport_recognize", default=None)


def answered_for_free() -> None:
    """Say, inside ``_recognize_impl``, that no vendor was asked: LiveKit's metrics count what is billed."""
    call = _call.get()
    if call is not None:
        call.free = True


def in_recognize() -> bool:
    """Whether what runs is part of a wrapper's ``recognize``, which emits an ``error`` for whatever it raises."""
    return _call.get() is not None


class STTWrapper(stt.STT[Any]):
    """Passes everything through to *wrapped*. A subclass overrides what it changes, and nothing else.

    A call goes this way: the outermost wrapper's ``recognize`` is LiveKit's, with its retries, its metrics and its
    error events; from there ``_recognize_impl`` calls ``_recognize_impl`` down to the vendor. So there is one loop
    of retries and one set of metrics however deep the wrappers nest.

    Args:
        wrapped: any STT. :meth:`aclose` closes it.

    Raises:
        ConfigurationError: *wrapped* is no STT.
    """

    retries_itself = False
    """Whether a wrapper makes all retries of ``recognize``, so that LiveKit must not make them again."""

    def __init__(self, wrapped: stt.STT[Any]) -> None:
        if not isinstance(wrapped, stt.STT):
            raise ConfigurationError(
                f"{type(self).__name__} wraps a livekit.agents.stt.STT, not {type(wrapped).__name__}"
            )
        self._wrapped = wrapped
        super().__init__(capabilities=wrapped.capabilities)
        self._label = wrapped.label
        self._recognize_metrics_needed = wrapped._recognize_metrics_needed
        if isinstance(wrapped, STTWrapper):
            self.retries_itself = self.retries_itself or wrapped.retries_itself

    @property
    def wrapped_stt(self) -> stt.STT[Any]:
        """What this wraps, which may be a wrapper too; :func:`unwrapped` finds the innermost."""
        return self._wrapped

    def __getattr__(self, name: str) -> Any:
        if name == "_wrapped":  # asked for before there is one
            raise AttributeError(name)
        return getattr(self._wrapped, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._wrapped!r})"

    # ------------------------------------------------------------------ what it is

    @property
    def label(self) -> str:
        return self._wrapped.label

    @property
    def model(self) -> str:
        return self._wrapped.model

    @property
    def provider(self) -> str:
        return self._wrapped.provider

    @property
    def metrics_metadata(self) -> MetricsMetadata:
        return self._wrapped.metrics_metadata

    @property
    def capabilities(self) -> stt.STTCapabilities:
        return self._wrapped.capabilities

    # ------------------------------------------------------------------ events

    def on(self, event: Any, callback: Callable[..., Any] | None = None) -> Callable[..., Any]:
        return self._wrapped.on(event, callback)

    def off(self, event: Any, callback: Callable[..., Any]) -> None:
        self._wrapped.off(event, callback)

    def emit(self, event: Any, *args: Any) -> None:
        self._wrapped.emit(event, *args)

    # ------------------------------------------------------------------ recordings

    async def recognize(
        self,
        buffer: Any,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions | None = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.SpeechEvent:
        """As LiveKit's: retries by *conn_options* unless a wrapper makes them, emits metrics and errors."""
        conn_options = conn_options or DEFAULT_API_CONNECT_OPTIONS
        if self._reports_itself:
            return await self._recognize_impl(buffer, language=language, conn_options=conn_options)
        if self.retries_itself:
            conn_options = dataclasses.replace(conn_options, max_retry=0)
        token = _call.set(_Call())
        try:
            return await super().recognize(buffer, language=language, conn_options=conn_options)
        finally:
            _call.reset(token)

    @property
    def _recognize_metrics_needed(self) -> bool:
        """What LiveKit's ``recognize`` asks before it emits metrics."""
        call = _call.get()
        return self._metrics_needed and not (call is not None and call.free)

    @_recognize_metrics_needed.setter
    def _recognize_metrics_needed(self, needed: bool) -> None:
        self._metrics_needed = needed

    async def _recognize_impl(
        self, buffer: Any, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: Any = None
    ) -> stt.SpeechEvent:
        return await self._ask(buffer, language=language, conn_options=conn_options)

    async def _ask(self, buffer: Any, *, language: Any, conn_options: Any) -> stt.SpeechEvent:
        """Have *buffer* recognised by what this wraps."""
        if self._reports_itself and not isinstance(self._wrapped, STTWrapper):
            options = conn_options or DEFAULT_API_CONNECT_OPTIONS
            return await self._wrapped.recognize(buffer, language=language, conn_options=options)
        return await self._wrapped._recognize_impl(buffer, language=language, conn_options=conn_options)

    @property
    def _reports_itself(self) -> bool:
        """Whether the STT at the bottom has a ``recognize`` of its own, which then does all LiveKit's does."""
        if isinstance(self._wrapped, STTWrapper):
            return self._wrapped._reports_itself
        return type(self._wrapped).recognize is not stt.STT.recognize

    # ------------------------------------------------------------------ streams

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions | None = DEFAULT_API_CONNECT_OPTIONS,
        **options: Any,
    ) -> stt.RecognizeStream:
        """The stream of what this wraps; *options* are whatever else that takes."""
        return self._wrapped.stream(
            language=language, conn_options=conn_options or DEFAULT_API_CONNECT_OPTIONS, **options
        )

    # ------------------------------------------------------------------ hooks of the framework

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        self._wrapped._update_session_keyterms(keyterms)

    def _push_conversation_item(self, ev: ConversationItemAddedEvent) -> None:
        self._wrapped._push_conversation_item(ev)

    def prewarm(self) -> None:
        self._wrapped.prewarm()

    async def aclose(self) -> None:
        """Close what this wraps."""
        await self._wrapped.aclose()


def unwrapped(recogniser: stt.STT[Any]) -> stt.STT[Any]:
    """The STT inside all the wrappers."""
    while isinstance(recogniser, STTWrapper):
        recogniser = recogniser.wrapped_stt
    return recogniser
