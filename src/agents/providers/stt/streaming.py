"""The adapter AgentSession gets for a streaming vendor: it holds the options and makes the streams."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import weakref
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from livekit.agents import APIConnectOptions, stt, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

from ..base import ConfigurationError
from ..protocol import Settings, StreamingProtocol
from ..redaction import Secret
from ..transport.checks import (
    check_choice,
    check_headers,
    check_mapping,
    check_name,
    check_url,
    environment_key,
    located,
    secret_key,
)
from ..transport.event_loops import PerLoop
from ..transport.sessions import SessionSource
from ..transport.sockets import throw_away
from ..vendors import Vendor, find_vendor
from .adapter import OnFailure, STTAdapter, given
from .link import Link, connect
from .websocket import WebSocketSpeechStream
from .whole import recognise_by_streaming

__all__ = ["CustomWebSocketSTTAdapter"]

logger = logging.getLogger("agents.providers.stt")

_ROOM_SAMPLE_RATE = 24000
"""What AgentSession sends from a room, unless told otherwise."""


class CustomWebSocketSTTAdapter(STTAdapter):
    """Any streaming speech service, as LiveKit's ``stt.STT``.

    Args:
        ws_url: the service, ``wss://…`` (``ws://`` in clear text).
        api_key: the credential, or ``"${env:NAME}"``. By default the vendor's usual environment variable.
        language: BCP-47 tag.
        sample_rate: Hz at which audio is sent when the vendor does not take the rate it comes in.
        vendor: a built-in name, a path to a profile file, a vendor or protocol object, or ``"auto"``: by the host
            of *ws_url*, else the generic protocol.
        model: the vendor's name of the model.
        headers: sent with the handshake, in addition to the vendor's own.
        options: the vendor's own parameters; an unknown one is an error that names the known ones.
        on_failure: ``"degrade"`` reconnects through outages of any length; ``"raise"`` gives up after the retries
            of ``conn_options``.
        replay_seconds: how much audio that is not final yet is kept to be sent again after a reconnect.
        http_session: used instead of an own one; it stays open.

    Raises:
        ConfigurationError: with what to change.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_send_audio_chunk" in vars(cls):
            raise TypeError(
                f"{cls.__name__}._send_audio_chunk would never be called: it belongs to CustomHTTPSTTAdapter; "
                "what goes over a WebSocket is a protocol's business (docs/add-your-vendor.md)"
            )

    def __init__(
        self,
        ws_url: str,
        api_key: str | Secret | None = None,
        language: str | None = "en-US",
        sample_rate: int = 16000,
        *,
        vendor: str | Path | Vendor | StreamingProtocol = "auto",
        model: str | None = None,
        headers: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        on_failure: OnFailure = "degrade",
        replay_seconds: float = 60.0,
        http_session: aiohttp.ClientSession | None = None,
    ) -> None:
        check_choice(on_failure, ("degrade", "raise"), setting="on_failure")
        if (
            isinstance(replay_seconds, bool)
            or not isinstance(replay_seconds, (int, float))
            or not replay_seconds > 0
        ):
            raise ConfigurationError(f"replay_seconds must be more than 0, not {replay_seconds!r}")
        found = find_vendor(vendor, url=ws_url if isinstance(ws_url, str) else "")
        if found.streaming is None:
            raise ConfigurationError(found.instead_of("streaming"))
        key = secret_key(api_key) or environment_key(found.key_environment)
        settings = Settings(
            url=check_url(
                ws_url, setting="ws_url", schemes=("ws", "wss"), has_key=key is not None, placeholders=True
            ),
            api_key=key,
            language=check_name(language, setting="language"),
            model=check_name(model, setting="model"),
            sample_rate=sample_rate,
            options=check_mapping(options, setting="options"),
            headers=check_headers(headers),
            key_variables=found.key_variables,
        )
        self._given_url = settings.url
        settings = located(found.streaming, settings, setting="ws_url")
        found.streaming.check(settings)
        traits = found.streaming.traits(settings)
        super().__init__(
            sample_rate=sample_rate,
            interim_results=traits.interim_results,
            diarization=traits.diarization,
            aligned_transcript=traits.aligned_transcript,
            keyterms=traits.keyterms,
            manual_flush=traits.flush,
        )
        self._protocol = found.streaming
        self._settings = settings
        self._on_failure: OnFailure = on_failure
        self._replay_seconds = replay_seconds
        self._source = SessionSource(http_session)
        self._streams: PerLoop[weakref.WeakSet[WebSocketSpeechStream]] = PerLoop(weakref.WeakSet)
        self._user_keyterms: tuple[str, ...] = ()
        self._session_keyterms: tuple[str, ...] = ()
        self._prewarmed: PerLoop[asyncio.Task[Link]] = PerLoop(self._connect_ahead)
        self._last_input_rate = _ROOM_SAMPLE_RATE
        self._answers_flush = False  # learnt from the vendor

    @property
    def model(self) -> str:
        return self._settings.model or "default"

    @property
    def provider(self) -> str:
        return self._protocol.name

    @property
    def ws_url(self) -> str:
        """The service: as it was given, with the region where it left one open."""
        return self._settings.url

    @property
    def on_failure(self) -> OnFailure:
        """What a transient failure leads to."""
        return self._on_failure

    @property
    def language(self) -> str | None:
        """BCP-47 tag of what is spoken."""
        return self._settings.language

    def stream(
        self,
        *,
        language: NotGivenOr[str] | None = NOT_GIVEN,
        conn_options: APIConnectOptions | None = None,
    ) -> WebSocketSpeechStream:
        """A stream for one caller's audio. ``conn_options=None`` means LiveKit's defaults."""
        stream = WebSocketSpeechStream(stt=self, language=given(language), conn_options=conn_options)
        self._streams.here().add(stream)
        return stream

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] | None = NOT_GIVEN,
        conn_options: APIConnectOptions | None = None,
    ) -> stt.SpeechEvent:
        """Recognise a whole recording by streaming it; one FINAL with all that was said."""
        return await recognise_by_streaming(self, buffer, language=given(language), conn_options=conn_options)

    def update_options(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        model: NotGivenOr[str] = NOT_GIVEN,
        keyterms: NotGivenOr[list[str]] = NOT_GIVEN,
        options: NotGivenOr[Mapping[str, Any]] = NOT_GIVEN,
    ) -> None:
        """Change options, of live streams too. *options* are merged into those given before.

        A live stream changes in band where the vendor can, else by a new connection at the end of the utterance.

        Raises:
            ConfigurationError: with what to change; nothing is changed then.
        """
        changes: dict[str, Any] = {}
        if utils.is_given(language):
            changes["language"] = check_name(language, setting="language")
        if utils.is_given(model):
            changes["model"] = check_name(model, setting="model")
        if utils.is_given(options):
            changes["options"] = {**self._settings.options, **check_mapping(options, setting="options")}
            given = dataclasses.replace(self._settings, url=self._given_url, options=changes["options"])
            url = located(self._protocol, given, setting="ws_url").url
            if url != self._settings.url:
                changes["url"] = url
        if utils.is_given(keyterms):
            _check_keyterms(keyterms)
            if keyterms and not self.capabilities.keyterms:
                raise ConfigurationError(f"{self._protocol.name} takes no keyterms: leave them out")
            changes["keyterms"] = _merged(keyterms, self._session_keyterms)
        self._protocol.check(dataclasses.replace(self._settings, **changes))
        if utils.is_given(keyterms):
            self._user_keyterms = tuple(keyterms)
        self._apply(changes)

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        super()._update_session_keyterms(keyterms)
        if self.capabilities.keyterms and tuple(keyterms) != self._session_keyterms:
            self._session_keyterms = tuple(keyterms)
            self._apply({"keyterms": _merged(self._user_keyterms, keyterms)})

    def _apply(self, changes: dict[str, Any]) -> None:
        self._settings = dataclasses.replace(self._settings, **changes)
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        for loop, streams in self._streams.all():
            if loop is here:
                _change(streams, changes)
            else:
                with contextlib.suppress(RuntimeError):  # it is over since
                    loop.call_soon_threadsafe(_change, streams, changes)

    def prewarm(self) -> None:
        """Open a connection now, for the first stream to use."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # no event loop yet: the first stream connects by itself
        self._prewarmed.here()

    def _connect_ahead(self) -> asyncio.Task[Link]:
        form = self._protocol.traits(self._settings).audio
        rate = form.wire_rate(self._last_input_rate, self.sample_rate)
        settings = dataclasses.replace(self._settings, sample_rate=rate)
        timeout = DEFAULT_API_CONNECT_OPTIONS.timeout
        task = asyncio.get_running_loop().create_task(
            connect(self._source, self._protocol, settings, timeout=timeout), name="voxport.prewarm"
        )
        task.add_done_callback(_retrieve)
        return task

    async def _take_prewarmed(self, settings: Settings, *, timeout: float) -> Link | None:
        """The connection opened ahead on this event loop, if there is one in *timeout* seconds, for *settings*."""
        task = self._prewarmed.take()
        if task is None:
            return None
        try:
            await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            await throw_away(task)
            raise
        if task.done() and not task.cancelled():
            if (error := task.exception()) is not None:
                logger.debug("prewarming failed, connecting anew: %s", settings.redact(str(error)))
                return None
            link = task.result()
            if not link.closed and link.settings == settings:
                return link
        await throw_away(task)
        return None

    async def aclose(self) -> None:
        """Close the streams, the prewarmed connection and the session, if it is an own one, of this event loop."""
        for stream in list(self._streams.take() or ()):
            await stream.aclose()
        task = self._prewarmed.take()
        if task is not None:
            await throw_away(task)
        await self._source.aclose()


def _check_keyterms(keyterms: Any) -> None:
    if isinstance(keyterms, str) or not (
        isinstance(keyterms, Collection) and all(isinstance(term, str) for term in keyterms)
    ):
        raise ConfigurationError('keyterms must be a list of texts, like ["Voxport", "LiveKit"]')


def _change(streams: Iterable[WebSocketSpeechStream], changes: dict[str, Any]) -> None:
    for stream in list(streams):
        stream._apply(changes)


def _merged(first: Any, second: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))


def _retrieve(task: asyncio.Task[Link]) -> None:
    if not task.cancelled():
        task.exception()  # looked at when the connection is taken
