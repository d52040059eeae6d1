"""The clients that are compared, behind one small interface, so that one pacer drives them all.

- ``voxport``: ``CustomWebSocketSTTAdapter(vendor="deepgram")``.
- ``native``: LiveKit's own Deepgram plugin with its defaults.
- ``bare``: the least that does the job with aiohttp: a queue, a task that sends, a task that receives and decodes.
- ``floor``: the bare loop inside LiveKit's ``RecognizeStream``: what the contract alone costs.
- ``null``: takes frames and drops them; what it costs is the pacer's own cost.

All of them share one :class:`aiohttp.ClientSession` without a limit of connections (LiveKit's own default session
allows fewer than 200 to one host), and one STT object serves all streams of a run.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
from _streaming_floor import FloorSTT
from livekit import rtc

CLIENTS = ("voxport", "native", "floor", "bare", "null")


class ClientUnavailable(Exception):
    """This client cannot run here; the text says why."""


class Heard:
    """What one stream heard: delays from the wire to the event, and on which connections.

    Attributes:
        arrivals: moments of the events, seconds on CLOCK_MONOTONIC.
        delays: seconds from the server's sending to the event, one for each arrival.
        connections: numbers the server gave to the stream's connections, more than one after a reconnect.
        finals: how many final transcripts came.
    """

    __slots__ = ("arrivals", "connections", "delays", "finals", "text")

    def __init__(self) -> None:
        self.arrivals = array("d")
        self.delays = array("d")
        self.connections: dict[str, None] = {}
        self.finals = 0
        self.text = ""

    def note(self, text: str, final: bool) -> None:
        """Store a transcript whose first word is the server's ``c<connection>t<nanoseconds>``."""
        now = time.monotonic()
        token = text[: text.index(" ")]
        connection, _, sent = token.partition("t")
        self.arrivals.append(now)
        self.delays.append(now - int(sent) * 1e-9)
        self.connections[connection] = None
        self.finals += final
        self.text = text


class Stream(ABC):
    """One stream of a client: audio in, transcripts out.

    *push_frame* is an attribute, so that the pacer calls the client's own method with nothing in between.
    """

    heard: Heard
    push_frame: Callable[[rtc.AudioFrame], None]

    @abstractmethod
    async def finish(self, seconds: float) -> None:
        """End the input, wait up to *seconds* for what is still to come, and close."""


class Client(ABC):
    """Opens streams to the server at *base*, such as ``127.0.0.1:8080``."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self._base = base
        self._session = session

    @abstractmethod
    async def open(self, rate: int) -> Stream:
        """A new stream for audio at *rate* Hz."""

    async def aclose(self) -> None:
        """Give up what the streams shared."""


class LiveKitStream(Stream):
    """A stream of any LiveKit STT, with the task that takes its events."""

    def __init__(self, stt: Any) -> None:
        self.heard = Heard()
        self._stream = stt.stream()
        self.push_frame = self._stream.push_frame
        self._task = asyncio.create_task(self._consume())

    async def _consume(self) -> None:
        heard = self.heard
        async for event in self._stream:
            if event.type == "interim_transcript":
                heard.note(event.alternatives[0].text, False)
            elif event.type == "final_transcript":
                heard.note(event.alternatives[0].text, True)

    async def finish(self, seconds: float) -> None:
        self._stream.end_input()
        await asyncio.wait([self._task], timeout=seconds)
        await self._stream.aclose()
        await self._task


class VoxportClient(Client):
    """Voxport's engine with the Deepgram protocol."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        super().__init__(base, session)
        adapter = _voxport_adapter()
        try:
            self._stt = adapter(
                ws_url=f"ws://{base}/v1/listen", api_key="bench", vendor="deepgram", http_session=session
            )
        except Exception as error:
            raise ClientUnavailable(f"CustomWebSocketSTTAdapter(vendor='deepgram'): {error}") from error

    async def open(self, rate: int) -> Stream:
        return LiveKitStream(self._stt)

    async def aclose(self) -> None:
        await self._stt.aclose()


def _voxport_adapter() -> Any:
    """The adapter class, from its public place or from where it is defined."""
    reasons: list[str] = []
    for module in ("agents.providers.adapters", "agents.providers.stt.websocket"):
        try:
            return importlib.import_module(module).CustomWebSocketSTTAdapter
        except (ImportError, AttributeError) as error:
            reasons.append(f"{module}: {error}")
    raise ClientUnavailable("CustomWebSocketSTTAdapter cannot be imported (" + "; ".join(reasons) + ")")


class NativeClient(Client):
    """LiveKit's Deepgram plugin, with its defaults."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        super().__init__(base, session)
        try:
            from livekit.plugins import deepgram
        except ImportError as error:
            raise ClientUnavailable(f"livekit-plugins-deepgram: {error}") from error
        self._stt = deepgram.STT(api_key="bench", base_url=f"http://{base}/v1/listen", http_session=session)

    async def open(self, rate: int) -> Stream:
        return LiveKitStream(self._stt)

    async def aclose(self) -> None:
        await self._stt.aclose()


class BareStream(Stream):
    """A queue, a sender and a receiver on one WebSocket; audio goes out at the rate at which it came."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool], chunk_bytes: int) -> None:
        self.heard = Heard()
        self._socket = socket
        self._chunk_bytes = chunk_bytes
        self._queue: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue()
        self.push_frame = self._queue.put_nowait
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._receive())]

    async def _send(self) -> None:
        parts: list[memoryview] = []
        held = 0
        while (frame := await self._queue.get()) is not None:
            data = frame.data.cast("B")
            if not parts and len(data) >= self._chunk_bytes:
                await self._socket.send_bytes(data)  # type: ignore[arg-type]  # it takes any buffer
                continue
            parts.append(data)
            held += len(data)
            if held >= self._chunk_bytes:
                await self._socket.send_bytes(b"".join(parts))
                parts.clear()
                held = 0
        if parts:
            await self._socket.send_bytes(b"".join(parts))
        await self._socket.send_str('{"type":"CloseStream"}')

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            data = orjson.loads(message.data)
            if data["type"] == "Results":
                transcript = data["channel"]["alternatives"][0]["transcript"]
                if transcript:
                    self.heard.note(transcript, data["is_final"])

    async def finish(self, seconds: float) -> None:
        self._queue.put_nowait(None)
        await asyncio.wait(self._tasks, timeout=seconds)
        await self._socket.close()
        await asyncio.gather(*self._tasks)


class FloorClient(Client):
    """LiveKit's base class around the bare loop."""

    def __init__(self, base: str, session: aiohttp.ClientSession, chunk_ms: int) -> None:
        super().__init__(base, session)
        self._chunk_ms = chunk_ms

    async def open(self, rate: int) -> Stream:
        url = f"ws://{self._base}/v1/listen?model=nova-3&encoding=linear16&channels=1&sample_rate={rate}"
        return LiveKitStream(FloorSTT(url, rate * 2 * self._chunk_ms // 1000, self._session))


class BareClient(Client):
    """The bare aiohttp loop."""

    def __init__(self, base: str, session: aiohttp.ClientSession, chunk_ms: int) -> None:
        super().__init__(base, session)
        self._chunk_ms = chunk_ms

    async def open(self, rate: int) -> Stream:
        socket = await self._session.ws_connect(
            f"ws://{self._base}/v1/listen?model=nova-3&encoding=linear16&channels=1&sample_rate={rate}",
            headers={"Authorization": "Token bench"},
        )
        return BareStream(socket, rate * 2 * self._chunk_ms // 1000)


class NullStream(Stream):
    """Takes frames and drops them."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.push_frame = lambda frame: None

    async def finish(self, seconds: float) -> None:
        pass


class NullClient(Client):
    """No client at all: the pacer alone."""

    async def open(self, rate: int) -> Stream:
        return NullStream()


def make_client(name: str, base: str, session: aiohttp.ClientSession, chunk_ms: int) -> Client:
    """The client called *name*; *chunk_ms* is what the bare loops join frames to.

    Raises:
        ClientUnavailable: it cannot run here.
    """
    if name == "voxport":
        return VoxportClient(base, session)
    if name == "native":
        return NativeClient(base, session)
    if name == "floor":
        return FloorClient(base, session, chunk_ms)
    if name == "bare":
        return BareClient(base, session, chunk_ms)
    return NullClient(base, session)
