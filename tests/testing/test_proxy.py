"""The proxy does to connections what networks do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agents.providers.testing import FaultProxy


@pytest.fixture
async def echo() -> AsyncIterator[FaultProxy]:
    """A proxy in front of a server that sends everything back."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FaultProxy("127.0.0.1", port) as proxy:
        yield proxy
    server.close()
    for writer in writers:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def _connect(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_it_forwards_in_both_directions(echo: FaultProxy) -> None:
    reader, writer = await _connect(echo)
    data = bytes(range(256)) * 4000
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    await _closed(writer)


async def test_a_drop_is_a_reset(echo: FaultProxy) -> None:
    reader, writer = await _connect(echo)
    writer.write(b"x")
    await reader.readexactly(1)
    echo.drop()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    await _closed(writer)


async def test_a_drop_without_reset_is_an_end_of_file(echo: FaultProxy) -> None:
    reader, writer = await _connect(echo)
    writer.write(b"x")
    await reader.readexactly(1)
    echo.drop(reset=False)
    assert await reader.read() == b""
    await _closed(writer)


async def test_refusal_holds_until_accept_and_keeps_the_port(echo: FaultProxy) -> None:
    reader, writer = await _connect(echo)
    port = echo.port
    echo.refuse()
    with pytest.raises(ConnectionRefusedError):
        await _connect(echo)
    writer.write(b"still here")
    assert await reader.readexactly(10) == b"still here"
    await echo.accept()
    again_reader, again_writer = await _connect(echo)
    again_writer.write(b"x")
    assert await again_reader.readexactly(1) == b"x"
    assert echo.port == port
    await _closed(writer)
    await _closed(again_writer)


async def test_half_open_connections_stay_and_say_nothing(echo: FaultProxy) -> None:
    reader, writer = await _connect(echo)
    writer.write(b"x")
    await reader.readexactly(1)
    echo.half_open()
    writer.write(b"y")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    assert echo.connections == 1
    new_reader, new_writer = await _connect(echo)
    new_writer.write(b"z")
    assert await new_reader.readexactly(1) == b"z"
    await _closed(writer)
    await _closed(new_writer)


async def test_a_hanging_server_accepts_and_says_nothing(echo: FaultProxy) -> None:
    echo.hang()
    reader, writer = await _connect(echo)
    writer.write(b"x")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    await _closed(writer)
    await echo.accept()
    reader, writer = await _connect(echo)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    await _closed(writer)


async def test_delay_is_added_in_each_direction(echo: FaultProxy) -> None:
    echo.delay(0.1)
    reader, writer = await _connect(echo)
    began = asyncio.get_running_loop().time()
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    assert 0.19 <= asyncio.get_running_loop().time() - began < 1.0
    await _closed(writer)


async def test_throttling_slows_the_client_down(echo: FaultProxy) -> None:
    echo.throttle(1_000_000)
    reader, writer = await _connect(echo)
    began = asyncio.get_running_loop().time()
    writer.write(bytes(300_000))
    await reader.readexactly(300_000)
    assert asyncio.get_running_loop().time() - began >= 0.15
    await _closed(writer)


async def test_an_unreachable_upstream_is_a_reset() -> None:
    async with FaultProxy("127.0.0.1", 1) as proxy:
        reader, writer = await _connect(proxy)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await _closed(writer)
