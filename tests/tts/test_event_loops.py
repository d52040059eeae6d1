"""One voice used from several event loops: each has connections and streams of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from livekit.agents import APIConnectOptions
from other_loop import other_loop
from voice_server import RATE, Caller, VoiceServer, tone

from agents.providers.tts.http import CustomHTTPTTSAdapter
from agents.providers.tts.websocket import CustomWebSocketTTSAdapter

TEXT = "We open at nine."
ONCE = APIConnectOptions(max_retry=0, timeout=5)


async def answers(caller: Caller) -> None:
    while True:
        await caller.speak(tone(0.25))


async def until_left(caller: Caller) -> None:
    while not caller.ws.closed:
        await asyncio.sleep(0.001)


async def waits(caller: Caller) -> None:
    """Begin to speak, and never end."""
    await caller.until("end")
    await caller.ws.send_bytes(tone(0.5))
    await caller.next()


async def seconds_said(voice: CustomWebSocketTTSAdapter) -> float:
    async with voice.stream(conn_options=ONCE) as stream:
        stream.push_text(TEXT)
        stream.end_input()
        return sum([event.frame.duration async for event in stream])


async def test_a_connection_of_another_event_loop_is_not_touched() -> None:
    async with VoiceServer(answers) as server, other_loop() as elsewhere:
        voice = CustomWebSocketTTSAdapter(server.url)
        assert round(await elsewhere(seconds_said(voice)), 3) == 0.25
        assert round(await seconds_said(voice), 3) == 0.25
        assert (len(server.callers), voice.stats.reuses) == (2, 0), "each loop has its own"
        await voice.aclose()
        assert round(await elsewhere(seconds_said(voice)), 3) == 0.25
        assert (len(server.callers), voice.stats.reuses) == (2, 1), "closed is what belongs to the loop it runs on"
        await elsewhere(voice.aclose())


async def test_closing_on_one_loop_breaks_nothing_off_on_another() -> None:
    async with VoiceServer(waits) as server, other_loop() as elsewhere:
        voice = CustomWebSocketTTSAdapter(server.url)
        speaking: list[Any] = []

        async def begin() -> None:
            for made in (voice.stream(conn_options=ONCE), voice.synthesize(TEXT, conn_options=ONCE)):
                speaking.append(made)
                if hasattr(made, "push_text"):
                    made.push_text(TEXT)
                    made.end_input()
                await anext(made)

        async def still_there() -> list[bool]:
            return [not made._event_ch.closed for made in speaking]

        await elsewhere(begin())
        await voice.aclose()
        assert await elsewhere(still_there()) == [True, True]
        await elsewhere(voice.aclose())
        assert await elsewhere(still_there()) == [False, False]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # aiohttp's: nobody closed it
async def test_one_loop_after_the_other() -> None:
    """`asyncio.run` for each answer of a program that does not close its voice."""
    async with VoiceServer(answers) as server:
        voice = CustomWebSocketTTSAdapter(server.url)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            for count in (1, 2):
                assert round(await asyncio.to_thread(asyncio.run, seconds_said(voice)), 3) == 0.25
                assert (len(server.callers), voice.stats.stale) == (count, 0)
                await until_left(server.callers[-1])  # the vendor is not left with a caller who is gone
            assert round(await seconds_said(voice), 3) == 0.25
            await voice.aclose()
            gc.collect()


class Speaker:
    """Sound over HTTP that does not end."""

    async def speak(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": f"audio/pcm;rate={RATE}"})
        await response.prepare(request)
        await response.write(np.full(RATE, 999, "<i2").tobytes())
        await asyncio.Event().wait()
        return response


@contextlib.asynccontextmanager
async def speaker() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/speak", Speaker().speak)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}/speak".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


async def test_over_http_closing_on_one_loop_breaks_nothing_off_on_another() -> None:
    async with speaker() as url, other_loop() as elsewhere:
        voice = CustomHTTPTTSAdapter(url)
        speaking: list[Any] = []

        async def begin() -> None:
            voice.prewarm()
            speaking.append(voice.synthesize(TEXT, conn_options=ONCE))
            await anext(speaking[0])

        async def still_there() -> bool:
            return not speaking[0]._event_ch.closed

        await elsewhere(begin())
        voice.prewarm()
        await voice.aclose()
        assert await elsewhere(still_there())
        await elsewhere(voice.aclose())
        assert not await elsewhere(still_there())
