"""The voice AgentSession gets for a vendor that speaks over a WebSocket: text in as it is written, audio out."""

from __future__ import annotations

import asyncio
import dataclasses
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from livekit.agents import APIConnectOptions, APIError, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from ..protocol import Failure, Settings, StreamingSynthesisProtocol
from ..redaction import Secret
from ..transport.checks import positive_seconds
from ..transport.event_loops import PerLoop
from ..transport.failures import ConnectionFailed
from ..transport.quoting import told
from ..vendors import Vendor
from .adapter import Stats, TTSAdapter, failure_of_protocol, find_voice
from .connection import Connection
from .pool import Pool
from .segment import Segment, Step
from .text import TextUnits

__all__ = ["CustomWebSocketTTSAdapter", "StreamStats", "WebSocketSynthesizeStream"]

_LAST_WORDS_SECONDS = 0.2
"""How long a vendor's last message may take when it has stopped reading."""


@dataclasses.dataclass(slots=True)
class StreamStats(Stats):
    """With what concerns connections that carry one segment after another.

    Attributes:
        reuses: segments spoken on a connection that was there already.
        stale: connections that turned out to have died while nobody used them; nobody else noticed.
    """

    reuses: int = 0
    stale: int = 0


class CustomWebSocketTTSAdapter(TTSAdapter):
    """Any speech service with a WebSocket, as LiveKit's ``tts.TTS``.

    Text goes out while the language model writes it, audio and word times come back while it is made. A connection
    is opened ahead by :meth:`prewarm`, and carries one answer after another where the vendor lets it. An answer
    that is interrupted is cancelled at once, with the vendor's own message or by closing the socket.

    What happens when something breaks: as long as nothing of an answer has been heard, LiveKit tries again, with
    the whole text, as often as ``conn_options`` says. After that an error is raised, the rest is not said, and
    nothing is said twice. A connection that died between two answers is replaced without either.

    Args:
        ws_url: the service, ``wss://…`` (``ws://`` in clear text).
        api_key: the credential, or ``"${env:NAME}"``. By default the vendor's usual environment variable.
        voice, model: the vendor's names; by default the vendor's own choice.
        language: BCP-47 tag.
        headers: sent with the handshake, in addition to the vendor's own.
        sample_rate: Hz of the frames that come out; the vendor is asked for it, and what differs is resampled.
        vendor: a built-in name, a path to a profile file, a vendor or protocol object, or ``"auto"``: by the host
            of *ws_url*, else the generic protocol.
        options: the vendor's own parameters; an unknown one is an error that names the known ones.
        http_session: used instead of an own one; it stays open.
        connect_timeout: seconds a connection may take. A vendor that asks for a longer pause is not asked again.

    Raises:
        ConfigurationError: with what to change.
    """

    stats: StreamStats
    _protocol: StreamingSynthesisProtocol

    def __init__(
        self,
        ws_url: str,
        api_key: str | Secret | None = None,
        voice: str | None = None,
        model: str | None = None,
        language: str | None = None,
        headers: Mapping[str, str] | None = None,
        sample_rate: int = 24000,
        *,
        vendor: str | Path | Vendor | StreamingSynthesisProtocol = "auto",
        options: Mapping[str, Any] | None = None,
        http_session: aiohttp.ClientSession | None = None,
        connect_timeout: float = 10.0,
    ) -> None:
        self._connect_timeout = positive_seconds(connect_timeout, setting="connect_timeout")
        found, protocol = find_voice(vendor, "streaming_synthesis", url=ws_url)
        super().__init__(
            ws_url,
            setting="ws_url",
            schemes=("ws", "wss"),
            vendor=found,
            protocol=protocol,
            api_key=api_key,
            voice=voice,
            model=model,
            language=language,
            headers=headers,
            sample_rate=sample_rate,
            options=options,
            http_session=http_session,
            streaming=True,
            patience=self._connect_timeout,
        )
        self.stats = StreamStats()
        self._pools = PerLoop(lambda: Pool(self._sessions, protocol, self._count_connect))
        self._streams: PerLoop[weakref.WeakSet[WebSocketSynthesizeStream]] = PerLoop(weakref.WeakSet)
        self._texts: PerLoop[weakref.WeakSet[tts.ChunkedStream]] = PerLoop(weakref.WeakSet)

    def _count_connect(self) -> None:
        self.stats.connects += 1

    @property
    def _pool(self) -> Pool:
        """The connections of the running event loop."""
        return self._pools.here()

    @property
    def ws_url(self) -> str:
        """The service, as it was given."""
        return self._settings.url

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> WebSocketSynthesizeStream:
        """A stream for one answer: push text, end the input, iterate over the audio."""
        stream = WebSocketSynthesizeStream(tts=self, conn_options=conn_options)
        self._streams.here().add(stream)
        return stream

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Have *text* said, over a stream."""
        speech = self._synthesize_with_stream(text, conn_options=conn_options)
        self._texts.here().add(speech)
        return speech

    def _adopt(self, settings: Settings) -> None:
        super()._adopt(settings)
        self._capabilities.aligned_transcript = self._protocol.traits(settings).timed_words

    def prewarm(self) -> None:
        """Open a connection now, for the first answer."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # no event loop yet: the first stream connects by itself
        self._pool.prewarm(self._settings, timeout=self._connect_timeout)

    async def aclose(self) -> None:
        """Close every stream, every connection and the session, if it is an own one, of this event loop."""
        for text in list(self._texts.take() or ()):  # first, or they take the end of their streams for a failure
            await text.aclose()
        for stream in list(self._streams.take() or ()):
            await stream.aclose()
        if (pool := self._pools.take()) is not None:
            await pool.aclose()
        await super().aclose()


class WebSocketSynthesizeStream(tts.SynthesizeStream):
    """One answer of an agent. Made by :meth:`CustomWebSocketTTSAdapter.stream`."""

    def __init__(self, *, tts: CustomWebSocketTTSAdapter, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=tts, conn_options=conn_options)
        self._adapter = tts
        self._settings = tts._settings
        self._traits = tts._protocol.traits(self._settings)
        self._steps: list[Step] = []
        self._more = asyncio.Event()

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        """One attempt of LiveKit's. Raises `APIError`."""
        await self._adapter.patience.wait()
        self._steps, self._more = [], asyncio.Event()
        reading = asyncio.get_running_loop().create_task(self._read_input(), name="voxport.voice.input")
        # the connection is made while the language model thinks
        self._adapter._pool.prewarm(self._settings, timeout=self._timeout)
        segment = Segment(self._adapter.sample_rate, self._traits, self._settings, output_emitter)
        try:
            await self._more.wait()
            if self._steps[0].kind == "end":
                segment.begin_output()
                return
            self._adapter.stats.segments += 1
            await self._say(segment)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await segment.aclose()
            self._adapter.stats.audio_seconds += segment.audio_seconds
            self._adapter.stats.messages_ignored += segment.messages_ignored

    @property
    def _timeout(self) -> float:
        return min(self._adapter._connect_timeout, self._conn_options.timeout)

    async def _read_input(self) -> None:
        """From what LiveKit pushes to steps; the first ``Step`` is text, or the end of no text at all."""
        units = TextUnits("sentence" if self._traits.early_flushes else self._traits.text_unit)
        said = False

        def add(texts: Sequence[str]) -> None:
            nonlocal said
            for text in texts:
                said = said or bool(text.strip())
                self._steps.append(Step("text", text))
            if said:
                self._more.set()

        async for data in self._input_ch:
            if isinstance(data, str):
                add(units.push(data))
                continue
            add(units.flush())
            if said and not self._input_ended:  # otherwise the end follows, and says as much
                self._steps.append(Step("flush"))
                self._more.set()
        add(units.flush())
        if not said:
            self._steps.clear()
        self._steps.append(Step("end"))
        self._more.set()

    async def _say(self, segment: Segment) -> None:
        adapter, pool = self._adapter, self._adapter._pool
        loop = asyncio.get_running_loop()
        fresh = False
        while True:
            reused = False
            try:
                began = loop.time()
                connection, reused = await pool.take(self._settings, timeout=self._timeout, fresh=fresh)
                self._connection_reused = reused
                self._acquire_time = 0.0 if reused else loop.time() - began
                adapter.stats.reuses += reused
                await self._say_on(connection, segment)
                return
            except ConnectionFailed as failed:
                if segment.is_stale(failed.failure, reused=reused):
                    adapter.stats.stale += 1
                    fresh = True
                    continue
                failure = failed.failure
            except Exception as error:
                failure = failure_of_protocol(error)
            raise self._error(failure, heard=segment.audio_seconds > 0) from None

    def _error(self, failure: Failure, *, heard: bool) -> APIError:
        """LiveKit's error, counted. What a vendor quotes of the text is nobody else's business."""
        error = told(self._adapter._api_error(failure, self._settings), [self._pushed_text])
        self._adapter.patience.heed(error)
        self._adapter.stats.count_failure(retryable=error.retryable, after_audio=heard)
        if heard:
            error.retryable = False  # another attempt would say twice what was heard
        return error

    async def _say_on(self, connection: Connection, segment: Segment) -> None:
        """Have the segment spoken on *connection*, and give it back. Raises `ConnectionFailed`."""
        pool = self._adapter._pool
        segment.reset(connection)
        sending = asyncio.get_running_loop().create_task(
            self._send(connection, segment), name="voxport.voice.text"
        )
        try:
            await _until_said(sending, segment)
            await segment.finish(self._pushed_text)
        except BaseException as error:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            segment.stop()
            if not isinstance(error, asyncio.CancelledError):
                pool.close(connection)
            elif segment.begun:
                self._adapter.stats.cancelled += 1
                pool.cancel(connection)
            else:
                connection.leave()
                pool.give_back(connection)
            raise
        connection.leave()
        pool.give_back(connection)

    async def _send(self, connection: Connection, segment: Segment) -> None:
        """Send the steps, from the first one on, as they come, up to the end. Raises `ConnectionFailed`."""
        conversation = connection.conversation
        await connection.send(segment.begin(connection))
        sent = 0
        while True:
            self._more.clear()
            while sent < len(self._steps):
                step = self._steps[sent]
                sent += 1
                if step.kind == "text":
                    self._mark_started()
                    segment.sent(step.text)
                    self._adapter.stats.characters += len(step.text)
                    await connection.send(conversation.text(step.text))
                    if sent == 1 and self._steps[-1].kind == "text" and connection.may_flush_early():
                        await connection.send(conversation.flush())
                elif step.kind == "flush":
                    segment.flushed()
                    await connection.send(conversation.flush())
                else:
                    segment.ended()
                    await connection.send(conversation.end())
                    return
            await self._more.wait()


async def _until_said(sending: asyncio.Task[None], segment: Segment) -> None:
    """Wait until everything is sent and said. Raises `ConnectionFailed`."""
    await asyncio.wait({sending, segment.done}, return_when=asyncio.FIRST_COMPLETED)
    if sending.done() and isinstance(sending.exception(), ConnectionFailed):
        # why it broke is often in the message or the close frame that is still to be read
        await asyncio.wait({segment.done}, timeout=_LAST_WORDS_SECONDS)
        if not segment.done.done():
            sending.result()
    elif sending.done():
        sending.result()
        await asyncio.wait({segment.done})
    segment.done.result()
    segment.check_end()
    await sending
