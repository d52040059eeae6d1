"""One connection to a vendor that speaks: the socket, the talk on it, and whose segment it carries."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import aiohttp

from ..protocol import (
    Failure,
    Ready,
    SegmentDone,
    Settings,
    StreamingSynthesisProtocol,
    SynthesisEvent,
    SynthesisForm,
    SynthesisTraits,
    Verdict,
    WireMessage,
)
from ..transport.failures import ConnectionFailed, failure_of_exception
from ..transport.sessions import SessionSource
from ..transport.sockets import Socket, close_within, cut, failure_of_end, made_within, open_socket

__all__ = ["Connection", "Listener", "connect"]

_MAX_MESSAGE_BYTES = 16 << 20
"""A sentence of audio in one message, in base64, and then some."""

_UNREADABLE_LIMIT = 100
"""So many messages in a row that no protocol knows: this is not the service it should be."""

_MESSAGES_A_TURN = 16
"""So many messages are read before everything else gets its turn."""

_MINUTE = 60.0


class Listener(Protocol):
    """Whoever has a segment spoken: what the connection tells it. None of it may raise."""

    def heard(self, event: SynthesisEvent) -> None:
        """An event of the segment."""

    def lost(self, failure: Failure) -> None:
        """The connection is gone; nothing more will come."""

    def ignored(self, error: Exception) -> None:
        """A message was not understood, and left out."""


class Connection:
    """An open WebSocket, and the conversation on it. It reads as long as it lives, also between segments.

    Attributes:
        settings: it was opened with.
        traits: of it.
        conversation: the protocol's memory.
        form: of the audio, as far as the vendor has said something about it between segments.
        opened_at: on the event loop's clock.
        ended: why it is of no use any more; ``None`` while it is.
        freed: called when a cancelled segment is over, with this connection.
    """

    def __init__(
        self,
        ws: Socket,
        protocol: StreamingSynthesisProtocol,
        settings: Settings,
    ) -> None:
        self._ws = ws
        self._loop = asyncio.get_running_loop()
        self.settings = settings
        self.traits: SynthesisTraits = protocol.traits(settings)
        self.conversation = protocol.converse(settings)
        self.form: SynthesisForm = self.traits.form
        self.opened_at = self.last_sent = self._loop.time()
        self.ended: Failure | None = None
        self.ready = self._loop.create_future()
        if not self.traits.waits_for_ready:
            self.ready.set_result(None)
        self.over = self._loop.create_future()
        """Set when nothing of a segment is under way on it."""
        self.over.set_result(None)
        self._early_flushes: deque[float] = deque()
        self._listener: Listener | None = None
        self._unreadable = 0
        self._keepalive: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading = self._loop.create_task(self._read(), name="voxport.voice")
        self._watch()

    @property
    def usable(self) -> bool:
        """Whether a segment may begin on it now."""
        return self.ended is None and not self._ws.closed and self.over.done()

    def begin(self, listener: Listener, segment_id: str) -> Sequence[WireMessage]:
        """Give the connection to *listener*; answers what to send for it."""
        self._listener = listener
        self.over = self._loop.create_future()
        return self.conversation.begin(segment_id)

    def leave(self) -> None:
        """The listener's segment is done: nothing more is told to it."""
        self._listener = None
        if not self.over.done():
            self.over.set_result(None)

    def cancel(self) -> bool:
        """Break the listener's segment off. ``False``: that can only be done by closing the connection.

        What is sent is on its way when this returns, or as soon as the socket takes it. The connection may be used
        again when :attr:`over` is set.
        """
        self._listener = None
        if not self.traits.cancels or self.ended is not None or self._ws.closed:
            return False
        messages = self.conversation.cancel()
        self.run(messages)
        if not self.traits.cancel_answered and not self.over.done():
            self.over.set_result(None)
        return True

    def may_flush_early(self) -> bool:
        """Whether a flush may be spent on a first sentence, which counts it."""
        allowed, now = self.traits.early_flushes, self._loop.time()
        while self._early_flushes and now - self._early_flushes[0] > _MINUTE:
            self._early_flushes.popleft()
        if len(self._early_flushes) >= allowed:
            return False
        self._early_flushes.append(now)
        return True

    # --- out ---

    async def send(self, messages: Sequence[WireMessage]) -> None:
        """Send *messages* in order.

        Raises:
            ConnectionFailed: the connection is lost.
        """
        if self.ended is not None:
            raise ConnectionFailed(self.ended)
        failure = None
        self.last_sent = self._loop.time()
        try:
            for message in messages:
                if isinstance(message, str):
                    await self._ws.send_str(message)
                else:
                    await self._ws.send_bytes(message)  # type: ignore[arg-type]  # aiohttp takes any buffer
        except (aiohttp.ClientError, ConnectionError) as error:
            failure = failure_of_exception(error, self.settings, doing="sending text")
        if failure is not None:
            raise ConnectionFailed(self.ended or failure) from None

    def run(self, messages: Sequence[WireMessage]) -> None:
        """Send *messages* without waiting for it; a failure of that is one of the connection."""

        async def sending() -> None:
            try:
                await self.send(messages)
            except ConnectionFailed as failed:
                self.fail(failed.failure)

        if messages:
            task = self._loop.create_task(sending(), name="voxport.voice.send")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # --- in ---

    async def _read(self) -> None:
        try:
            count, silent = 0, True
            while True:
                message = await self._ws.receive()
                kind = message.type
                if kind is aiohttp.WSMsgType.TEXT or kind is aiohttp.WSMsgType.BINARY:
                    silent = False
                    self._on_message(message.data)
                elif kind is aiohttp.WSMsgType.PING:
                    await self._ws.pong(message.data)
                elif kind is not aiohttp.WSMsgType.PONG:
                    codes = self.traits.close_codes
                    self.fail(failure_of_end(self._ws, message, self.settings, codes, silent=silent))
                    return
                count += 1
                if count % _MESSAGES_A_TURN == 0:
                    await asyncio.sleep(0)
        except (aiohttp.ClientError, ConnectionError) as error:
            self.fail(failure_of_exception(error, self.settings, doing="receiving"))
        except asyncio.CancelledError:  # by `aclose`, or because the event loop ends with nobody closing
            self.fail(Failure("nobody reads any more"))
            raise

    def _on_message(self, message: str | bytes) -> None:
        listener = self._listener
        try:
            events = self.conversation.receive(message)
        except Exception as error:  # whatever a protocol of somebody else raises
            self._unreadable += 1
            if listener is not None:
                listener.ignored(error)
            if self._unreadable >= _UNREADABLE_LIMIT:
                self.fail(
                    Failure(f"{self._unreadable} messages in a row are not understood; check vendor and URL")
                )
            return
        self._unreadable = 0
        for event in events:
            if isinstance(event, Ready):
                if not self.ready.done():
                    self.ready.set_result(None)
            elif isinstance(event, Failure):
                if event.verdict is not Verdict.IGNORE:
                    self.fail(event, said=True)
            elif listener is not None and listener is self._listener:
                listener.heard(event)
            elif isinstance(event, SynthesisForm):
                self.form = event
            elif isinstance(event, SegmentDone) and not self.over.done():
                self.over.set_result(None)  # the answer to a cancellation

    def fail(self, failure: Failure, *, said: bool = False) -> None:
        """Give the connection up, and tell the listener. *said*: the vendor told so in a message."""
        if self.ended is not None:
            return
        if said:
            failure.message = self.settings.redact(failure.message, limit=300)
            failure.detail["said"] = True
        self.ended = failure
        cut(self._ws)
        for future in (self.ready, self.over):
            if not future.done():
                future.set_result(None)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.lost(failure)

    # --- its life ---

    def _watch(self) -> None:
        seconds = self.traits.keepalive_seconds
        if seconds is None or self.ended is not None:
            return
        due = self.last_sent + seconds - self._loop.time()
        if due <= 0.001:
            self.run(self.conversation.keepalive())
            due = seconds
        self._keepalive = self._loop.call_later(due, self._watch)

    async def aclose(self) -> None:
        """Close the socket, and wait until nothing of it is left. One that failed is not waited for."""
        if self._keepalive is not None:
            self._keepalive.cancel()
        failed, self.ended = self.ended, self.ended or Failure("closed", Verdict.IGNORE)
        self._listener = None
        try:
            if failed is None and not self._ws.closed:
                await close_within(self._ws, self._say_goodbye())
        finally:
            tasks: list[asyncio.Task[Any]] = [self._reading, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._ws.closed:
                await close_within(self._ws)

    async def _say_goodbye(self) -> None:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            for message in self.conversation.close():
                if isinstance(message, str):
                    await self._ws.send_str(message)
                else:
                    await self._ws.send_bytes(message)  # type: ignore[arg-type]  # aiohttp takes any buffer
            await self._ws.close()


async def connect(
    source: SessionSource, protocol: StreamingSynthesisProtocol, settings: Settings, *, timeout: float
) -> Connection:
    """Open a connection: whatever HTTP requests come first, the handshake, the opening messages, and the wait
    until the vendor is ready where it says so.

    Args:
        timeout: seconds for all of it but the last.

    Raises:
        ConnectionFailed: with the verdict on why.
    """
    connection = await made_within(
        timeout, _open(source, protocol, settings, timeout), name="voxport.voice.connect"
    )
    try:
        await _until_ready(connection)
    except BaseException:
        await connection.aclose()
        raise
    return connection


async def _until_ready(connection: Connection) -> None:
    seconds = connection.traits.ready_seconds
    await asyncio.wait({connection.ready}, timeout=seconds)
    if not connection.ready.done():
        raise ConnectionFailed(Failure(f"not ready within {seconds:g} s", detail={"timeout": True}))
    if connection.ended is not None:
        raise ConnectionFailed(connection.ended)


async def _open(
    source: SessionSource, protocol: StreamingSynthesisProtocol, settings: Settings, timeout: float
) -> Connection:
    ws = await open_socket(
        source,
        protocol.prepare(settings),
        settings,
        timeout=timeout,
        max_message_bytes=_MAX_MESSAGE_BYTES,
        autoping=False,  # answered in _read: aiohttp would answer all that came without a turn for anybody else
        heartbeat=protocol.traits(settings).heartbeat_seconds,
    )
    connection = Connection(ws, protocol, settings)
    try:
        await connection.send(connection.conversation.opening())
    except BaseException:
        await connection.aclose()
        raise
    return connection
