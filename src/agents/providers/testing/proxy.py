"""A TCP proxy that breaks connections, to put in front of any server.

It knows nothing about WebSocket or HTTP: what it does to a connection is what networks do.

    async with FaultProxy("127.0.0.1", 8080) as proxy:
        stt = MySTT(f"ws://127.0.0.1:{proxy.port}/listen")
        ...
        proxy.drop()          # every connection is reset
        proxy.refuse()        # new ones are refused ...
        proxy.accept()        # ... until now
"""

from __future__ import annotations

import asyncio
import socket
import struct
from types import TracebackType

__all__ = ["FaultProxy"]

_HIGH_WATER = 64 * 1024


class FaultProxy:
    """Forwards bytes between clients and one upstream server, and misbehaves on demand.

    Attributes:
        port: where it listens, on 127.0.0.1; it stays the same, also while connections are refused.
        accepted: connections accepted so far.
    """

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._server: asyncio.Server | None = None
        self._reservation: socket.socket | None = None
        self._links: set[_Link] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._latency = 0.0
        self._bytes_per_second: float | None = None
        self._hanging = False
        self._refusing = False
        self.port = 0
        self.accepted = 0

    @property
    def connections(self) -> int:
        """Connections that are open now, half-open ones included."""
        return len(self._links)

    async def start(self) -> None:
        """Listen on a free port."""
        # A socket that is bound and never listens keeps the port ours while connections to it are refused.
        self._reservation = _bound_socket(0)
        self.port = self._reservation.getsockname()[1]
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._client, sock=_bound_socket(self.port))

    def _client(self) -> _Side:
        self.accepted += 1
        link = _Link(self)
        self._links.add(link)
        self._idle.clear()
        return link.client

    # what networks do

    def drop(self, *, reset: bool = True) -> None:
        """End every connection now: with a reset, or with an orderly end of TCP that no protocol announced."""
        for link in list(self._links):
            link.end(reset=reset)

    def half_open(self) -> None:
        """Every connection stays open, and nothing passes any more in either direction. New ones work."""
        for link in self._links:
            link.freeze()

    def refuse(self) -> None:
        """Refuse new connections; those that are open go on."""
        self._refusing = True
        if self._server is not None:
            self._server.close()
            self._server = None

    async def accept(self) -> None:
        """Accept connections again, and serve those that hang in the handshake no more than before."""
        self._hanging = False
        if self._refusing:
            self._refusing = False
            await self._listen()

    def hang(self) -> None:
        """Accept new connections and never answer them."""
        self._hanging = True

    def delay(self, seconds: float) -> None:
        """Hold everything back for so long, in both directions."""
        self._latency = seconds

    def throttle(self, bytes_per_second: float | None) -> None:
        """Read no faster than this from each client: a slow reader, that makes the client's buffers fill up."""
        self._bytes_per_second = bytes_per_second

    # its own life

    async def aclose(self) -> None:
        """End everything."""
        self.refuse()
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        self.drop()
        await self._idle.wait()
        if self._reservation is not None:
            self._reservation.close()

    async def __aenter__(self) -> FaultProxy:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _connect_upstream(self, link: _Link) -> None:
        if self._hanging:
            return

        async def connect() -> None:
            try:
                await asyncio.get_running_loop().create_connection(lambda: link.server, *self._upstream)
            except OSError:
                link.end(reset=True)

        task = asyncio.get_running_loop().create_task(connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _forget(self, link: _Link) -> None:
        self._links.discard(link)
        if not self._links:
            self._idle.set()


class _Link:
    """A client's connection and the one to the server behind it."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.client = _Side(self, is_client=True)
        self.server = _Side(self, is_client=False)
        self.client.peer, self.server.peer = self.server, self.client
        self.frozen = False
        self.ended = False

    def freeze(self) -> None:
        self.frozen = True
        for side in (self.client, self.server):
            side.pause()

    def end(self, *, reset: bool) -> None:
        self.ended = True
        for side in (self.client, self.server):
            side.end(reset=reset)
        self.lost()

    def lost(self) -> None:
        if not self.client.connected and not self.server.connected:
            self.proxy._forget(self)


class _Side(asyncio.Protocol):
    """One end of a link; what it receives goes to its peer."""

    peer: _Side

    def __init__(self, link: _Link, *, is_client: bool) -> None:
        self._link = link
        self._is_client = is_client
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()
        self._reading_paused = False
        self.connected = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.connected = True
        transport.set_write_buffer_limits(_HIGH_WATER)
        if self._link.ended:
            self.end(reset=True)
        elif self._link.frozen:
            self.pause()
        elif self._is_client:
            self._link.proxy._connect_upstream(self._link)
        elif self._early:
            transport.write(bytes(self._early))
            self._early.clear()

    def data_received(self, data: bytes) -> None:
        proxy, loop = self._link.proxy, asyncio.get_running_loop()
        if proxy._latency:
            loop.call_later(proxy._latency, self._pass_on, data)
        else:
            self._pass_on(data)
        if proxy._bytes_per_second and self._is_client:
            self.pause()
            loop.call_later(len(data) / proxy._bytes_per_second, self.resume)

    def _pass_on(self, data: bytes) -> None:
        if not self._link.frozen:
            self.peer.send(data)

    def send(self, data: bytes) -> None:
        if self._transport is None:
            self._early += data
        elif not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        self.peer.pause()

    def resume_writing(self) -> None:
        self.peer.resume()

    def pause(self) -> None:
        if self._transport is not None and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        transport = self._transport
        if transport is not None and self._reading_paused and not self._link.frozen and not transport.is_closing():
            self._reading_paused = False
            transport.resume_reading()

    def end(self, *, reset: bool) -> None:
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if reset and sock is not None and sock.fileno() >= 0:
            # an abort with a linger time of 0 is a TCP reset: what is under way, in both directions, is gone
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reset:
            self._transport.abort()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connected = False
        if not self._link.frozen:
            self.peer.end(reset=exc is not None)
        self._link.lost()


def _bound_socket(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    sock.setblocking(False)
    return sock
