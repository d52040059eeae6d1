"""One connection to a vendor: the socket, the talk on it, and how it ended."""

from __future__ import annotations

import asyncio
import functools
import traceback
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from time import monotonic
from typing import Any, Literal

import aiohttp

from ..protocol import Conversation, Failure, Settings, StreamingProtocol, Traits, Verdict, WireMessage
from ..transport.failures import ConnectionFailed, failure_of_exception
from ..transport.sessions import SessionSource
from ..transport.sockets import Socket, close_within, cut, failure_of_end, made_within, open_socket

__all__ = ["Link", "connect", "late", "mistake"]

MAX_MESSAGE_BYTES = 1 << 20
"""No vendor's message comes near this; a larger one ends the connection."""

_SENT: Any = object()

_LOUD_SECONDS = 1.0
"""So much loud audio without an answer is more than a cough."""

Work = Coroutine[Any, Any, None]

Question = Literal["opening", "audio", "flush", "keepalive", "close", "update"]
"""What a conversation is asked for: the methods of :class:`~agents.providers.protocol.Conversation` that send."""


class Link:
    """An open WebSocket and the conversation on it.

    Attributes:
        conversation: the protocol's memory of this connection.
        live: audio may be sent.
        opened_at: when the handshake was over, as ``monotonic`` has it, like all times here.
        live_at: since when audio may be sent.
        origin: the position in the stream, in samples, of the connection's first sample.
        samples: how many were sent on it.
        sending: somebody sends audio; there is one writer at a time.
        closing: the closing message was sent.
        drained: and the vendor has given all that was left.
        last_heard: when anything came, a pong too.
        suspicious_after: seconds of silence of the vendor from which on loud audio is counted.
        loud_since_received: samples of loud audio sent while the vendor said nothing for suspiciously long.
        silent: no message came over it yet.
        unreadable: messages in a row that were not understood.
        useful: it brought some text.
        plain_audio: audio is sent as it is.
    """

    def __init__(
        self,
        ws: Socket,
        conversation: Conversation,
        settings: Settings,
        traits: Traits,
    ) -> None:
        self._ws = ws
        self._loop = asyncio.get_running_loop()
        self._ended: Failure | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.conversation = conversation
        self.settings = settings
        self.traits = traits
        self.opened_at = self.live_at = self.last_sent = self.last_received = self.last_heard = monotonic()
        self._pinged_at = 0.0
        self.send_began: float | None = None
        self.live = False
        self.origin = 0
        self.samples = 0
        self.sending = False
        self.closing = False
        self.drained = False
        self.suspicious_after = traits.stall_seconds / 2
        self.loud_since_received = 0
        self._loud_from = 0.0
        self.silent = True
        self.unreadable = 0
        self.useful = False
        self.plain_audio = conversation.plain_audio

    def go_live(self, origin: int) -> None:
        """Audio may be sent from now on; it begins with sample *origin* of the stream."""
        self.live = True
        self.origin = origin
        # nobody owed an answer before
        self.live_at = self.last_sent = self.last_received = monotonic()

    def ask(self, question: Question, *about: Any) -> Any:
        """What the conversation wants to send.

        Raises:
            ConnectionFailed: for good, where the protocol makes a mistake: any other exception would leave the
                stream deaf without a word.
        """
        try:
            return getattr(self.conversation, question)(*about)
        except Exception as error:
            raise ConnectionFailed(mistake(error, self.settings)) from None

    async def send(self, messages: Sequence[WireMessage]) -> None:
        """Send *messages* in order.

        Raises:
            ConnectionFailed: the connection is lost.
        """
        ws, waiting_since = self._ws, self.send_began
        self.last_sent = monotonic()
        if waiting_since is None:  # else audio waits, and a keepalive beside it is no sign that it will go
            self.send_began = self.last_sent
        try:
            for message in messages:
                if isinstance(message, str):
                    await ws.send_str(message)
                else:
                    await ws.send_bytes(message)  # type: ignore[arg-type]  # aiohttp takes any buffer
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ConnectionFailed(failure_of_exception(error, self.settings, doing="sending audio")) from None
        finally:
            if waiting_since is None:
                self.send_began = None

    def send_now(self, messages: Sequence[WireMessage], now: float, then: Callable[[Link], Work]) -> None:
        """Send *messages* without waiting: what the socket takes is on its way when this returns.

        When the socket is full, the rest is sent as soon as it can be, and until then the link is ``sending``.
        *then* sends what came meanwhile. This is how nearly all audio goes, so it costs no task and no turn of the
        event loop.
        """
        self.last_sent = now
        ws, sent = self._ws, 0
        for message in messages:
            sending: Work = ws.send_str(message) if type(message) is str else ws.send_bytes(message)  # type: ignore[arg-type]
            sent += 1
            try:
                waits_for = next(sending.__await__(), _SENT)  # send(None) would make an exception to say the same
            except (aiohttp.ClientError, ConnectionError) as error:
                self.fail(failure_of_exception(error, self.settings, doing="sending audio"))
                return
            if waits_for is _SENT:
                continue
            self.sending = True
            self.send_began = now
            self.run(functools.partial(self._go_on_sending, _rest_of(sending, waits_for), messages[sent:], then))
            return

    async def _go_on_sending(
        self,
        begun: Awaitable[None],
        rest: Sequence[WireMessage],
        then: Callable[[Link], Work],
    ) -> None:
        try:
            await begun
            self.send_began = None
            await self.send(rest)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ConnectionFailed(failure_of_exception(error, self.settings, doing="sending audio")) from None
        finally:
            self.send_began = None
            self.sending = False
        await then(self)

    def run(self, work: Callable[[], Work]) -> None:
        """Run *work* beside everything else; a failure of it is a failure of the connection."""
        task = self._loop.create_task(self._run(work), name="voxport.link")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Callable[[], Work]) -> None:
        try:
            await work()
        except ConnectionFailed as failed:
            self.fail(failed.failure)

    async def receive(self) -> str | bytes | None:
        """The next message; ``None`` when the connection ended as planned.

        Raises:
            ConnectionFailed: it ended otherwise.
        """
        answered = 0
        while self._ended is None:
            message = await self._ws.receive()
            self.last_heard = monotonic()
            kind = message.type
            if kind is aiohttp.WSMsgType.TEXT or kind is aiohttp.WSMsgType.BINARY:
                self.last_received = self.last_heard
                self.silent = False
                self.loud_since_received = 0
                data: str | bytes = message.data
                return data
            if kind is aiohttp.WSMsgType.PING:
                await self._send_pong(message.data)
            elif kind is not aiohttp.WSMsgType.PONG:
                break
            answered += 1
            if answered % 32 == 0:  # whoever only pings must not keep the loop from everything else
                await asyncio.sleep(0)
        if self._ended is not None:
            if self._ended.verdict is Verdict.IGNORE:
                return None
            raise ConnectionFailed(self._ended)
        codes = self.traits.close_codes
        raise ConnectionFailed(failure_of_end(self._ws, message, self.settings, codes, silent=self.silent))

    async def _send_pong(self, data: bytes) -> None:
        try:
            await self._ws.pong(data)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ConnectionFailed(failure_of_exception(error, self.settings, doing="answering a ping")) from None

    def keep_heart_beating(self, now: float) -> None:
        """Ask for a sign of life when there was none for a while. aiohttp would do it with a timer per message."""
        seconds = self.traits.heartbeat_seconds
        if seconds is not None and now - self.last_heard >= seconds and self._pinged_at < self.last_heard:
            self._pinged_at = now
            self.run(self._send_ping)

    async def _send_ping(self) -> None:
        try:
            await self._ws.ping()
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ConnectionFailed(failure_of_exception(error, self.settings, doing="sending a ping")) from None

    @property
    def closed(self) -> bool:
        """Whether the socket is known to be closed."""
        return self._ws.closed or self._ended is not None

    def trouble(self, now: float) -> Failure | None:
        """What is wrong with a connection that looks open; ``None`` when nothing is.

        Args:
            now: the present, as ``monotonic`` has it, like all times here.
        """
        traits = self.traits
        if not self.live and now - self.opened_at > traits.ready_seconds:
            return late(f"not ready within {traits.ready_seconds:g} s")
        stall = traits.stall_seconds
        if self.send_began is not None and now - self.send_began > stall:
            return late(f"it takes no audio since {stall:g} s")
        heartbeat = traits.heartbeat_seconds or 0.0
        if self._pinged_at > self.last_heard and now - self._pinged_at > heartbeat / 2:
            return late(f"it does not answer a ping since {heartbeat / 2:g} s")
        return None

    def sent_speech(self, samples: int, now: float) -> None:
        """So many loud *samples* were sent while the vendor said nothing for suspiciously long."""
        if not self.loud_since_received:
            self._loud_from = now
        self.loud_since_received += samples

    @property
    def sends_speech(self) -> bool:
        """Whether more loud audio than a cough was sent since the vendor said anything, not counting the first."""
        return self.loud_since_received > _LOUD_SECONDS * self.settings.sample_rate

    def unanswered(self, now: float, *, speaking: bool, last_audio_at: float) -> Failure | None:
        """The failure of a vendor that does not say what it should; ``None`` where its silence is right.

        Args:
            now: the present.
            speaking: an utterance waits for its text, so the vendor has something to say.
            last_audio_at: when the caller's last frame came.
        """
        stall = self.traits.stall_seconds
        since = self.last_received
        if now - since <= stall or now - last_audio_at >= stall or self.closing or not self.live:
            return None
        if not speaking:
            if not self.sends_speech:
                return None
            # nobody looked for speech at first: what was found as soon as somebody did began before
            if self._loud_from - since > 1.25 * self.suspicious_after:
                since = self._loud_from
        return late(f"it answers nothing since {stall:g} s") if now - since > stall else None

    def excuse(self, now: float) -> None:
        """The vendor's silence until *now* was right."""
        self.last_received = now
        self.loud_since_received = 0

    def fail(self, failure: Failure) -> None:
        """Give the connection up: :meth:`receive` raises *failure*. The socket is cut, for it may be dead."""
        if self._ended is None:
            self._ended = failure
            self.live = False
            cut(self._ws)

    def finish(self) -> None:
        """End the connection as planned: :meth:`receive` returns ``None``."""
        if self._ended is None:
            self._ended = Failure("", Verdict.IGNORE)
            self.live = False
            self.run(lambda: close_within(self._ws))

    async def aclose(self) -> None:
        """Close the socket and wait until nothing of it is left. One given up is not waited for."""
        self.live = False
        if self._ended is not None and self._ended.verdict is not Verdict.IGNORE:
            cut(self._ws)
        try:
            await close_within(self._ws)
        finally:
            if not self._ws.closed:  # cancelled in the middle of it
                cut(self._ws)
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.gather(*self._tasks, return_exceptions=True)


def late(text: str) -> Failure:
    """The failure of a vendor that lets too much time go by."""
    return Failure(text, detail={"timeout": True})


def mistake(error: Exception, settings: Settings) -> Failure:
    """The failure a protocol's own *error* is, with where it happened."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"the protocol fails with {type(error).__name__}: {error} ({where.name}, line {where.lineno})"
    return Failure(settings.redact(text), Verdict.PERMANENT)


@types.coroutine
def _rest_of(coroutine: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """What is left of a coroutine that was begun by hand and *waits_for* something."""
    while True:
        try:
            value = yield waits_for
        except BaseException as error:  # a cancellation, say: it is the coroutine's to handle
            step = functools.partial(coroutine.throw, error)
        else:
            step = functools.partial(coroutine.send, value)
        try:
            waits_for = step()
        except StopIteration:
            return


async def connect(
    source: SessionSource, protocol: StreamingProtocol, settings: Settings, *, timeout: float
) -> Link:
    """Open a connection: whatever HTTP requests come first, the handshake, the opening messages.

    Args:
        timeout: seconds for all of it.

    Raises:
        ConnectionFailed: with the verdict on why.
    """
    return await made_within(timeout, _connect(source, protocol, settings, timeout), name="voxport.connect")


async def _connect(source: SessionSource, protocol: StreamingProtocol, settings: Settings, timeout: float) -> Link:
    ws = await open_socket(
        source,
        protocol.prepare(settings),
        settings,
        timeout=timeout,
        max_message_bytes=MAX_MESSAGE_BYTES,
        autoping=False,  # pings are answered in receive, and sent by keep_heart_beating
    )
    try:
        link = Link(ws, protocol.converse(settings), settings, protocol.traits(settings))
    except Exception as error:
        cut(ws)
        await close_within(ws)
        raise ConnectionFailed(mistake(error, settings)) from None
    try:
        await link.send(link.ask("opening"))
    except BaseException:
        await link.aclose()
        raise
    return link
