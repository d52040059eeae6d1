"""What the wrappers' tests talk to: the oracle in Deepgram's dialect, and an HTTP service of many answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit import rtc
from livekit.agents import stt
from livekit.agents.types import APIConnectOptions
from livekit.plugins import deepgram
from prometheus_client import CollectorRegistry

from agents.providers.stt.http import CustomHTTPSTTAdapter
from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.testing import Behaviour, OracleServer, Speech, speak

KEY = "key-4711-very-secret"
QUICK = APIConnectOptions(max_retry=2, retry_interval=0.01, timeout=2.0)


class Service:
    """A speech service over HTTP. An answer is a text, ``(status, headers)``, or a coroutine function.

    The last answer is repeated. Equal and different recordings are told apart by the caller, not here.
    """

    def __init__(self) -> None:
        self.answers: list[Any] = ["hello"]
        self.requests = 0
        self.arrived = asyncio.Event()
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.requests += 1
        self.arrived.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = await answer()
        if isinstance(answer, tuple):
            return web.json_response({"error": f"no {KEY}"}, status=answer[0], headers=answer[1])
        if request.path == "/v1/listen":  # as Deepgram answers
            words = [
                {"word": word, "start": 0.1 * n, "end": 0.1 * n + 0.1} for n, word in enumerate(answer.split())
            ]
            best = {"transcript": answer, "confidence": 0.9, "words": words}
            results = {"channels": [{"alternatives": [best]}]}
            return web.json_response({"results": results, "metadata": {"request_id": "r-1"}})
        return web.json_response({"text": answer})


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", made.handle)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.05)
    made.url = str(server.make_url("/stt"))
    yield made
    await server.close()


@pytest.fixture
async def http(service: Service) -> AsyncIterator[CustomHTTPSTTAdapter]:
    """Voxport's HTTP adapter, which says what fails."""
    async with CustomHTTPSTTAdapter(service.url, KEY, on_failure="raise") as adapter:
        yield adapter


@pytest.fixture
async def native_http(service: Service) -> AsyncIterator[deepgram.STT]:
    """LiveKit's Deepgram plugin on the same service."""
    async with aiohttp.ClientSession() as session:
        url = service.url.replace("/stt", "/v1/listen")
        yield deepgram.STT(api_key=KEY, base_url=url, http_session=session)


@pytest.fixture(scope="module")
def livekit_runtime() -> None:
    """LiveKit's native runtime starts with its first resampler, and keeps two sockets as long as the process."""
    rtc.AudioResampler(24000, 16000)


@pytest.fixture
async def oracle() -> AsyncIterator[OracleServer]:
    async with OracleServer(Behaviour(dialect="deepgram")) as server:
        yield server


Make = Callable[[], stt.STT[Any]]


@pytest.fixture(params=["voxport", "native"])
async def streaming(request: pytest.FixtureRequest, oracle: OracleServer) -> AsyncIterator[Make]:
    """Makes a recogniser on the oracle: Voxport's, or LiveKit's Deepgram plugin."""
    made: list[stt.STT[Any]] = []
    async with aiohttp.ClientSession() as session:

        def make() -> stt.STT[Any]:
            if request.param == "voxport":
                adapter: stt.STT[Any] = CustomWebSocketSTTAdapter(oracle.url, KEY, vendor="deepgram")
            else:
                url = oracle.url.replace("ws:", "http:")
                adapter = deepgram.STT(api_key=KEY, base_url=url, http_session=session)
            made.append(adapter)
            return adapter

        yield make
        for adapter in made:
            await adapter.aclose()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def frame(seconds: float = 0.1, sample_rate: int = 16000, value: int = 7) -> rtc.AudioFrame:
    samples = int(seconds * sample_rate)
    return rtc.AudioFrame(np.full(samples, value, dtype=np.int16).tobytes(), sample_rate, 1, samples)


def frames_of(speech: Speech, ms: int = 50) -> list[rtc.AudioFrame]:
    step = speech.sample_rate * ms // 1000 * 2
    pieces = [speech.pcm[i : i + step] for i in range(0, len(speech.pcm), step)]
    return [rtc.AudioFrame(piece, speech.sample_rate, 1, len(piece) // 2) for piece in pieces]


def collect(adapter: stt.STT[Any], event: Any) -> list[Any]:
    heard: list[Any] = []
    adapter.on(event, heard.append)
    return heard


async def transcribe(stream: stt.RecognizeStream, speech: Speech, *, pace: float = 20.0) -> list[stt.SpeechEvent]:
    """The events up to the last word of *speech*, pushed at *pace* times real time; then the stream is closed.

    LiveKit's plugin waits 5 s for a server that has closed already, so the end is not waited for.
    """

    async def push() -> None:
        for piece in frames_of(speech):
            stream.push_frame(piece)
            await asyncio.sleep(piece.duration / pace)

    async def read() -> list[stt.SpeechEvent]:
        events = []
        async for event in stream:
            events.append(event)
            if speech.words[-1].text in finals(events).split():
                break
        return events

    async with stream:
        _, events = await asyncio.wait_for(asyncio.gather(push(), read()), 20)
    return events


def finals(events: list[stt.SpeechEvent]) -> str:
    chosen = [e for e in events if e.type is stt.SpeechEventType.FINAL_TRANSCRIPT and e.alternatives]
    return " ".join(e.alternatives[0].text for e in chosen if e.alternatives[0].text)


def five_words() -> Speech:
    return speak([3, 2], 16000, tail_ms=600)
