"""The body of an answer, piece by piece: as it comes, and never so much at once that nobody else gets a turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from ..protocol import HttpResponse, Settings
from .failures import failure_of_exception, raise_bare

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Answer"]

_PIECE_BYTES = 64 * 1024


class Answer:
    """A successful answer whose body is still to come. Leaving its ``async with`` lets the connection go.

    A small body may unpack to a thousand times its size, and what is made of that takes the event loop's time. So
    it is given in pieces, and everybody else gets a turn between those that need not be waited for.

    Attributes:
        head: status and headers, with an empty body.
    """

    def __init__(self, reply: aiohttp.ClientResponse, head: HttpResponse, settings: Settings) -> None:
        self._reply = reply
        self._settings = settings
        self._held = self._received()  # a connection that breaks gives nothing any more of what it has
        self._given = 0
        self._more = False
        self.head = head

    async def read(self) -> bytes:
        """The next piece of the body, as it comes and of 64 KiB at most; empty at its end.

        Raises:
            ConnectionFailed: it breaks off, or pauses for longer than the timeout allows.
        """
        if self._given >= len(self._held):
            self._held, self._given = await self._receive(), 0
        if self._more:
            await asyncio.sleep(0)  # nothing was waited for: everybody else gets a turn
        piece = self._held[self._given : self._given + _PIECE_BYTES]
        self._given += len(piece)
        self._more = len(piece) == _PIECE_BYTES
        return piece

    def _received(self) -> bytes:
        """What has come already."""
        try:
            return self._reply.content.read_nowait()
        except Exception:  # reading on tells of it
            return b""

    async def _receive(self) -> bytes:
        try:
            return await self._reply.content.readany()
        except Exception as error:
            failure = failure_of_exception(error, self._settings, doing="receiving the answer")
        raise_bare(failure)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go. One that was read to the end is back in the pool already; the rest of any other
        is not worth waiting for."""
        self._reply.close()
