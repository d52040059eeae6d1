"""One dialect of a server at the root of a port of its own: where clients of self-hosted servers look for it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

from conformance import API_KEY, Address, Server

_HEAD_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024


@contextlib.asynccontextmanager
async def at_root(server: Server, path: str) -> AsyncIterator[Address]:
    """What a reverse proxy does: every request goes to *path* of *server*, and with its key."""
    upstream = int(server.url.rpartition(":")[2])
    talks: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(_PIECE_BYTES):
                writer.write(piece)
                await writer.drain()
            writer.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, rest = head.split("\r\n", 1)
        request = re.sub(r" \S+ ", f" {path} ", request, count=1)
        there, here = await asyncio.open_connection("127.0.0.1", upstream)
        here.write(f"{request}\r\nAuthorization: Bearer {API_KEY}\r\n{rest}".encode("latin-1"))
        try:
            await asyncio.gather(relay(reader, here), relay(there, writer))
        finally:
            for end in (writer, here):
                end.close()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0, limit=_HEAD_BYTES)
    try:
        yield Address(proxy.sockets[0].getsockname()[1])
    finally:
        proxy.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
