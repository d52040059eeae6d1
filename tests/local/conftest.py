"""One server process and a handful of recordings for all tests of the embedded server."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
import pytest_asyncio

from agents.providers.local import ServerOptions, ServerProcess
from agents.providers.local.caller import speak_line
from agents.providers.local.synthesiser import SAMPLE_RATE

Record = Callable[..., bytes]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server() -> AsyncIterator[ServerProcess]:
    """A server process that all tests of a run share; its limits are small where tests reach them."""
    options = ServerOptions(streams=4, max_body_bytes=4_000_000, max_audio_seconds=30.0, queue_seconds=30.0)
    async with ServerProcess(options) as process:
        yield process


@pytest.fixture(scope="session")
def line() -> str:
    """What the recordings say. It is short, for recognition is what these tests take their time for."""
    return "are you open on sunday"


@pytest.fixture(scope="session")
def pcm(line: str) -> Callable[[int, int], bytes]:
    """The line as 16-bit PCM, by rate and number of channels."""
    spoken = speak_line(line)
    made: dict[tuple[int, int], bytes] = {}

    def at(rate: int, channels: int = 1) -> bytes:
        if (rate, channels) not in made:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
            frame = av.AudioFrame.from_ndarray(np.frombuffer(spoken, "<i2")[np.newaxis], "s16", "mono")
            frame.sample_rate = SAMPLE_RATE
            frames = resampler.resample(frame) + resampler.resample(None)
            samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
            made[rate, channels] = np.repeat(samples, channels).astype("<i2").tobytes()
        return made[rate, channels]

    return at


@pytest.fixture(scope="session")
def recording(pcm: Callable[[int, int], bytes]) -> Record:
    """The line as an audio file: ``recording(rate, channels, container, codec)``."""

    def make(rate: int = 16000, channels: int = 1, container: str = "wav", codec: str = "pcm_s16le") -> bytes:
        target = io.BytesIO()
        layout = "mono" if channels == 1 else "stereo"
        with av.open(target, "w", format=container) as output:
            stream = output.add_stream(codec, rate=rate, layout=layout)
            samples = np.frombuffer(pcm(rate, channels), "<i2")[np.newaxis]
            frame = av.AudioFrame.from_ndarray(samples, "s16", layout)
            frame.sample_rate = rate
            context = stream.codec_context
            fit = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or None)
            for piece in [*fit.resample(frame), *fit.resample(None)]:
                output.mux(stream.encode(piece))
            output.mux(stream.encode(None))
        return target.getvalue()

    return make


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client session that is closed with its connections."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


@pytest.fixture
def hear(server: ServerProcess, client: aiohttp.ClientSession) -> Callable[..., Any]:
    """Stream PCM to the generic WebSocket and answer every message that came back."""

    async def run(
        pcm: bytes, rate: int = 16000, *, chunk_bytes: int = 3200, **config: Any
    ) -> list[dict[str, Any]]:
        async with client.ws_connect(f"{server.ws_url}/v1/stt/stream") as socket:
            await socket.send_json({"type": "config", "sample_rate": rate, **config})
            for at in range(0, len(pcm), chunk_bytes):
                await socket.send_bytes(pcm[at : at + chunk_bytes])
            await socket.send_json({"type": "end_of_stream"})
            return [json.loads(message.data) async for message in socket]

    return run
