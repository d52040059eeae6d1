"""The oracle server: a speech vendor on loopback that transcribes exactly the audio it received.

It serves the :mod:`~.dialects` of a :class:`~.transcriber.Behaviour`, records every connection, and can be told
to close, refuse or talk nonsense. What happens below WebSocket is the business of :class:`~.proxy.FaultProxy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from aiohttp import WSMsgType, web

from .dialects import Dialect, dialect_for
from .outbox import Outbox
from .transcriber import Behaviour, FinalResult, Flushed, PartialResult, Result, Transcriber
from .wire import segments

__all__ = ["ConnectionRecord", "OracleServer", "Refusal"]

_LATE_SECONDS = 0.3
_NONSENSE: tuple[str | bytes, ...] = (
    '{"type": "transcr',
    "[]",
    "null",
    '"text"',
    "17",
    '{"type": null}',
    '{"type": "transcription", "text": 5, "is_final": "yes", "words": 3}',
    '{"type": "Results", "channel": []}',
    b"\x00\xff\xfe",
)
_UNKNOWN = (
    '{"type": "weather", "is_final": true, "degrees": 17}',
    '{"type": "Warning", "code": "X", "text": "w9"}',
)
_INVALID_UTF8 = b'{"type": "transcription", "text": "\xff\xfe"}'


@dataclass(slots=True)
class ConnectionRecord:
    """What one connection did.

    Attributes:
        request_id: the name the server gave it.
        audio_seconds: audio received.
        words: the numbers of the words heard, in order; a word that came twice is here twice.
        finals: the numbers of the words sent in finals (repeated finals are not counted).
        messages_sent: messages written, whether or not they arrived.
        flushes: flushes received.
        closed_by_client: the client said that its audio is over.
    """

    request_id: str
    audio_seconds: float = 0.0
    words: list[int] = field(default_factory=list)
    finals: list[int] = field(default_factory=list)
    messages_sent: int = 0
    flushes: int = 0
    closed_by_client: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """How handshakes are answered instead of being accepted."""

    status: int
    retry_after: str | None = None


class OracleServer:
    """Serves on 127.0.0.1.

    Attributes:
        connections: the record of every accepted connection.
        handshakes: how many there were, refused ones included.
        audio_seconds: audio received by all connections together.
        on_audio: called with *audio_seconds* after each message of audio, before it is transcribed.
        refusal: while set, handshakes get this answer.
    """

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.connections: list[ConnectionRecord] = []
        self.handshakes = 0
        self.audio_seconds = 0.0
        self.on_audio: Callable[[float], None] | None = None
        self.refusal: Refusal | None = None
        self.port = 0
        self._live: list[_Connection] = []
        self._runner: web.AppRunner | None = None

    @property
    def path(self) -> str:
        """Where to connect, as a path."""
        return "/v1/listen" if self.behaviour.dialect == "deepgram" else "/stt"

    @property
    def url(self) -> str:
        """Where to connect, without any proxy."""
        return f"ws://127.0.0.1:{self.port}{self.path}"

    async def start(self) -> None:
        """Serve on a free port."""
        app = web.Application()
        app.router.add_get(self.path, self._serve)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        """End everything."""
        for connection in list(self._live):
            connection.abort()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> OracleServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # what a vendor does to its clients

    def cut_off(self) -> None:
        """Hear nothing more on the connections there are, not even what has arrived already."""
        for connection in self._live:
            connection.deaf = True

    def close(self, code: int) -> None:
        """Close every connection with a close frame."""
        self.cut_off()
        for connection in list(self._live):
            connection.close(code)

    def say(self, messages: Sequence[str | bytes]) -> None:
        """Send messages of any content on every connection."""
        for connection in self._live:
            connection.send(messages)

    def talk_nonsense(self) -> None:
        """Send what is no JSON, no object, of the wrong shape, or not text."""
        self.say(_NONSENSE)

    def surprise(self) -> None:
        """Send message types nobody has heard of."""
        self.say(_UNKNOWN)

    def stammer(self) -> None:
        """Send a text message that is not UTF-8. Clients close such a connection with 1007."""
        self.say([_INVALID_UTF8])

    # serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.handshakes += 1
        dialect = dialect_for(self.behaviour, request.query, f"request-{self.handshakes}")
        refusal = self.refusal
        key = self.behaviour.api_key
        if refusal is None and key is not None and not dialect.authorised(request.headers, key):
            refusal = Refusal(401)
        if refusal is not None:
            headers = {"Retry-After": refusal.retry_after} if refusal.retry_after else {}
            body = dialect.refusal(refusal.status)
            return web.Response(status=refusal.status, headers=headers, text=body, content_type="application/json")

        websocket = web.WebSocketResponse(compress=False, max_msg_size=0, timeout=1.0)
        await websocket.prepare(request)
        connection = _Connection(self, dialect, websocket, request.transport)
        self.connections.append(connection.record)
        self._live.append(connection)
        try:
            await connection.serve()
        finally:
            connection.stop()
            self._live.remove(connection)
        return websocket

    def _received(self, seconds: float) -> None:
        self.audio_seconds += seconds
        if self.on_audio is not None:
            self.on_audio(self.audio_seconds)


class _Connection:
    """One client."""

    def __init__(
        self,
        server: OracleServer,
        dialect: Dialect,
        websocket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
    ) -> None:
        self._server = server
        self._dialect = dialect
        self._behaviour = server.behaviour
        self._websocket = websocket
        self._transport = transport
        self._transcriber: Transcriber | None = None
        self._outbox = Outbox(server.behaviour, self._write)
        self._held: list[Result] = []
        self._release: asyncio.TimerHandle | None = None
        self._finals = 0
        self._closing: asyncio.Task[bool] | None = None
        self.deaf = False
        self.record = ConnectionRecord(dialect.request_id)

    async def serve(self) -> None:
        """Hear the client until it or somebody else ends the connection."""
        if self._dialect.sample_rate is not None:
            self._begin()
        while True:
            try:
                message = await self._websocket.receive(timeout=self._behaviour.idle_seconds)
            except asyncio.TimeoutError:
                await self._websocket.close(code=1011, message=b"no audio")
                return
            if message.type is WSMsgType.BINARY:
                if not message.data or self._transcriber is None:
                    # an empty message confuses vendors, and audio before its format is known is no audio
                    await self._websocket.close(code=1011 if not message.data else 1008)
                    return
                self._hear(message.data)
            elif message.type is WSMsgType.TEXT:
                if not self.deaf and self._obey(message.data):
                    await self._outbox.drain()
                    await self._websocket.close()
                    return
            else:
                if self._closing is not None:
                    await self._closing
                return

    def _begin(self) -> None:
        assert self._dialect.sample_rate is not None
        self._transcriber = Transcriber(self._dialect.sample_rate, self._behaviour)
        self.send(self._dialect.opening())

    def _hear(self, audio: bytes) -> None:
        transcriber = self._transcriber
        assert transcriber is not None and self._dialect.sample_rate is not None
        if self.deaf:
            return
        seconds = len(audio) / (2 * self._dialect.sample_rate)
        self._server._received(seconds)
        if self.deaf:  # from this very message on
            return
        self.record.audio_seconds += seconds
        self._tell(transcriber.feed(audio))

    def _obey(self, text: str) -> bool:
        """Do what a text message asks; true when it was the last one."""
        command = self._dialect.read(text)
        if command == "start" and self._transcriber is None:
            self._begin()
        elif command == "flush" and self._transcriber is not None:
            self.record.flushes += 1
            self._tell(self._transcriber.flush())
        elif command == "close":
            self.record.closed_by_client = True
            if self._transcriber is not None:
                self._tell([r for r in self._transcriber.flush() if not isinstance(r, Flushed)])
                self._release_held()
                self.send(self._dialect.closing(self._transcriber.seconds))
            return True
        return False

    # results on their way out

    def _tell(self, results: Sequence[Result]) -> None:
        for result in results:
            late = self._behaviour.late_finals
            if late == "after_partials" and self._overtaken_by_partials(result):
                continue
            if late == "after_flushed" and self._overtaken_by_flushed(result):
                continue
            self._say(result)

    def _overtaken_by_partials(self, result: Result) -> bool:
        """Hold a final, and what follows it, until one partial has gone past."""
        if isinstance(result, PartialResult) and self._held:
            self._say(result)
            self._release_held()
            return True
        if isinstance(result, (FinalResult, Flushed)):
            self._release_held()
        if self._held or (isinstance(result, FinalResult) and result.words and not result.from_flush):
            self._hold(result)
            return True
        return False

    def _overtaken_by_flushed(self, result: Result) -> bool:
        """Hold what a flush finalises until its answer has gone past."""
        if isinstance(result, FinalResult) and result.from_flush:
            self._hold(result)
            return True
        if self._held and isinstance(result, Flushed):
            self._say(result)
            self._release_held()
            return True
        if self._held:
            self._hold(result)
            return True
        return False

    def _hold(self, result: Result) -> None:
        self._held.append(result)
        if self._release is None:
            self._release = asyncio.get_running_loop().call_later(_LATE_SECONDS, self._release_held)

    def _release_held(self) -> None:
        if self._release is not None:
            self._release.cancel()
            self._release = None
        held, self._held = self._held, []
        for result in held:
            self._say(result)

    def _say(self, result: Result) -> None:
        messages = self._dialect.write(result)
        self.send(messages)
        if isinstance(result, PartialResult):
            return
        if isinstance(result, FinalResult) and result.words:
            self.record.finals += [word.number for word in result.words]
            self._finals += 1
            if self._behaviour.duplicate_finals and self._finals % 2:
                self.send(messages)

    def send(self, messages: Sequence[str | bytes]) -> None:
        """Send after the behaviour's latency, in order."""
        for message in messages:
            self._outbox.put(message)

    def _write(self, messages: Sequence[str | bytes]) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._websocket.closed or self._closing is not None:
            return
        self.record.messages_sent += len(messages)
        for segment in segments(messages, self._behaviour.wire):
            transport.write(segment)

    # the end

    def close(self, code: int) -> None:
        """Close with a close frame, at once: results under way are not sent."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._websocket.close(code=code))

    def abort(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    def stop(self) -> None:
        """Write down what was heard and leave nothing running."""
        if self._transcriber is not None:
            self.record.words = self._transcriber.words
        if self._release is not None:
            self._release.cancel()
        self._outbox.stop()
