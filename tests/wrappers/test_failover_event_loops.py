"""One failover adapter used from several event loops: each has streams of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from other_loop import other_loop

from agents.providers.adapters import CustomWebSocketSTTAdapter, FailoverSTTAdapter
from agents.providers.testing import OracleServer


async def test_closing_on_one_loop_breaks_nothing_off_on_another() -> None:
    async with OracleServer() as server, other_loop() as elsewhere:
        member = CustomWebSocketSTTAdapter(server.url)
        voxport = FailoverSTTAdapter([member])
        streams: list[Any] = []

        async def begin() -> None:
            streams.append(voxport.stream())
            while not member.stats.connects:
                await asyncio.sleep(0.001)

        async def running() -> bool:
            return not streams[0]._task.done()

        await elsewhere(begin())
        await voxport.aclose()
        assert await elsewhere(running())
        await elsewhere(voxport.aclose())
        await elsewhere(member.aclose())
        assert not await elsewhere(running())
