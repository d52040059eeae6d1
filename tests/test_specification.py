"""The specification's own examples, as they are written there, against real servers on this machine.

Hosts and keys are all that is changed: nothing outside this machine can be reached.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web
from livekit import rtc
from livekit.agents import Agent, AgentSession, inference, stt
from livekit.agents.stt import SpeechEventType
from livekit.agents.voice import io

from agents.providers import ProviderFactory, ProviderType
from agents.providers.adapters import (
    CustomHTTPSTTAdapter,
    CustomWebSocketSTTAdapter,
    STTAdapter,
    WebSocketSpeechStream,
)
from agents.providers.base import ConfigurationError, LLMConfig, STTConfig, TTSConfig
from agents.providers.custom_provider import (
    AssemblyAIProviderFactory,
    CustomProviderFactory,
    DeepgramProviderFactory,
    GoogleCloudProviderFactory,
)
from agents.providers.local.caller import CALLER_LINES, speak_line
from agents.providers.local.process import ServerProcess
from agents.providers.local.synthesiser import SAMPLE_RATE

LINE = CALLER_LINES[0]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server() -> AsyncIterator[ServerProcess]:
    async with ServerProcess() as process:
        yield process


def spoken(text: str = LINE) -> rtc.AudioFrame:
    pcm = speak_line(text)
    return rtc.AudioFrame(pcm, SAMPLE_RATE, 1, len(pcm) // 2)


class AudioBuffer:
    """What the specification's test calls an AudioBuffer."""

    def __init__(self, data: bytes, sample_rate: int) -> None:
        self.data = data
        self.sample_rate = sample_rate


# ------------------------------------------------------------------ implementation details, 1 to 5


def test_the_base_adapter_inherits_from_livekits_stt_and_tells_its_capabilities() -> None:
    class Mine(STTAdapter):
        async def _recognize_impl(self, buffer: Any, *, language: Any = None, conn_options: Any = None) -> Any:
            return stt.SpeechEvent(
                type=SpeechEventType.FINAL_TRANSCRIPT,
                alternatives=[stt.SpeechData(text="mine", language=language)],
            )

    adapter = Mine(sample_rate=16000, streaming=False, interim_results=False)
    assert isinstance(adapter, stt.STT)
    assert adapter.sample_rate == 16000
    assert adapter.capabilities.streaming is False
    assert asyncio.run(adapter.recognize(spoken(), language="en")).alternatives[0].text == "mine"


def test_the_websocket_adapter_makes_the_specifications_stream() -> None:
    async def make() -> None:
        adapter = CustomWebSocketSTTAdapter("ws://127.0.0.1:9/")
        stream = adapter.stream(language=None, conn_options=None)
        assert isinstance(stream, WebSocketSpeechStream)
        assert isinstance(stream, stt.SpeechStream)
        await stream.aclose()
        await adapter.aclose()

    asyncio.run(make())


async def test_the_factories_take_their_endpoint_from_the_metadata() -> None:
    http = CustomProviderFactory.create_http_stt(
        STTConfig(
            provider=ProviderType.CUSTOM_HTTP,
            language="en-US",
            metadata={"endpoint_url": "https://stt.example.com/v1", "api_key": "key-of-the-company"},
        )
    )
    websocket = CustomProviderFactory.create_websocket_stt(
        STTConfig(
            provider=ProviderType.CUSTOM_WS,
            language="en-US",
            metadata={"ws_url": "wss://stt.example.com/v1", "api_key": "key-of-the-company"},
        )
    )
    assert isinstance(http, CustomHTTPSTTAdapter)
    assert isinstance(websocket, CustomWebSocketSTTAdapter)
    assert "key-of-the-company" not in repr(vars(http)) + repr(vars(websocket))


async def test_the_vendor_factories_build_their_vendors_or_say_what_to_do() -> None:
    deepgram = DeepgramProviderFactory.create_stt(STTConfig("deepgram", api_key="a-deepgram-key"))
    assert deepgram.provider == "deepgram"
    for factory, name in ((AssemblyAIProviderFactory, "assemblyai"), (GoogleCloudProviderFactory, "google")):
        try:
            built = factory.create_stt(STTConfig(name, api_key="some-key-of-theirs"))
        except ConfigurationError as error:
            assert name in str(error).lower()  # not built yet, and it says what to use instead
        else:
            assert isinstance(built, stt.STT)


# ------------------------------------------------------------------ usage example 1


async def test_example_1_custom_and_native_providers_mix_in_one_session(server: ServerProcess) -> None:
    # Custom STT: the specification's example with the embedded server in Deepgram's place
    stt_config = STTConfig(
        provider=ProviderType.CUSTOM_WS,
        language="en-US",
        metadata={"ws_url": f"{server.ws_url}/v1/stt/stream", "api_key": "deepgram-key"},
    )
    # Native OpenAI LLM
    llm_config = LLMConfig(
        provider=ProviderType.OPENAI,
        model="gpt-4",
        api_key="openai-key",
        metadata={"base_url": f"{server.url}/v1"},
    )
    # Native OpenAI TTS
    tts_config = TTSConfig(
        provider=ProviderType.OPENAI,
        voice="alloy",
        api_key="openai-key",
        metadata={"base_url": f"{server.url}/v1"},
    )
    speech = ProviderFactory.create_stt(stt_config)
    model = ProviderFactory.create_llm(llm_config)
    voice = ProviderFactory.create_tts(tts_config)

    # All work together
    session = AgentSession(stt=speech, llm=model, tts=voice)
    assert session.stt is speech and session.llm is model and session.tts is voice
    await speech.aclose()
    await model.aclose()
    await voice.aclose()


def test_example_1_knows_deepgram_by_its_url() -> None:
    config = STTConfig(
        provider=ProviderType.CUSTOM_WS,
        language="en-US",
        metadata={"ws_url": "wss://api.deepgram.com/v1/listen", "api_key": "deepgram-key"},
    )
    assert ProviderFactory.create_stt(config).provider == "deepgram"


# ------------------------------------------------------------------ usage example 2


async def test_example_2_an_adapter_is_used_directly(server: ServerProcess) -> None:
    adapter = CustomWebSocketSTTAdapter(
        ws_url=f"{server.ws_url}/v1/stt/stream", api_key="your-key", language="en-US"
    )
    async with adapter, adapter.stream() as stream:
        stream.push_frame(spoken())
        stream.end_input()
        events = [event async for event in stream]
    finals = [e.alternatives[0].text for e in events if e.type is SpeechEventType.FINAL_TRANSCRIPT]
    assert finals == [LINE]
    assert any(event.type is SpeechEventType.INTERIM_TRANSCRIPT for event in events)


# ------------------------------------------------------------------ usage example 3


class MyCompanySTTAdapter(CustomHTTPSTTAdapter):
    """As in the specification, but for the address."""

    async def _send_audio_chunk(self, audio_data: bytes) -> str:
        # Custom request format
        async with aiohttp.ClientSession() as session:
            response = await session.post(
                self.endpoint_url,
                json={
                    "audio_base64": base64.b64encode(audio_data).decode(),
                    "format": "wav",
                    "language": self.language,
                },
                headers=self.headers,
            )
            result = await response.json()
            return str(result["transcript"])


async def test_example_3_a_company_subclass_works_as_written() -> None:
    seen: dict[str, Any] = {}

    async def company(request: web.Request) -> web.Response:
        body = await request.json()
        seen.update(body, authorization=request.headers.get("Authorization"))
        return web.json_response({"transcript": f"{len(base64.b64decode(body['audio_base64']))} bytes"})

    app = web.Application()
    app.router.add_post("/api/v1/stt", company)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    adapter = MyCompanySTTAdapter(
        endpoint_url=f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1/stt", api_key="internal-key"
    )
    event = await adapter.recognize(rtc.AudioFrame(bytes(3200), 16000, 1, 1600))
    assert event.alternatives[0].text == "3200 bytes"
    assert seen["language"] == "en-US"
    assert seen["authorization"] == "Bearer internal-key"
    await adapter.aclose()
    await runner.cleanup()


# ------------------------------------------------------------------ testing strategy


async def test_unit_test_of_the_specification_against_an_unreachable_endpoint() -> None:
    adapter = CustomHTTPSTTAdapter(endpoint_url="http://127.0.0.1:9/stt", api_key="test-key")
    errors: list[Any] = []
    adapter.on("error", errors.append)
    buffer = AudioBuffer(data=b"\x00" * 1600, sample_rate=16000)

    began = time.monotonic()
    event = await adapter._recognize_impl(buffer, language="en-US", conn_options=None)

    assert event.type == SpeechEventType.FINAL_TRANSCRIPT
    assert event.alternatives[0].text == ""
    assert errors and all(error.recoverable for error in errors)
    assert "test-key" not in "".join(f"{error.error!s}{error.error!r}" for error in errors)
    assert time.monotonic() - began < 20
    await adapter.aclose()


async def test_integration_test_of_the_specification_an_agent_hears_through_custom_stt(
    server: ServerProcess,
) -> None:
    """A session without a room: the user's turn is committed out of recognised samples."""
    adapter = CustomWebSocketSTTAdapter(f"{server.ws_url}/v1/stt/stream")
    session: AgentSession[Any] = AgentSession(
        stt=adapter, turn_detection="stt", vad=None, session_close_transcript_timeout=0.1
    )
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @session.on("user_input_transcribed")
    def _heard(event: Any) -> None:
        if event.is_final and not heard.done():
            heard.set_result(event.transcript)

    session.input.audio = Microphone(speak_line(LINE))
    await session.start(Agent(instructions="listen"))
    assert await asyncio.wait_for(heard, 30) == LINE
    await session.aclose()
    await adapter.aclose()


async def test_the_http_adapter_hears_in_a_session_with_vad(server: ServerProcess) -> None:
    adapter = CustomHTTPSTTAdapter(f"{server.url}/v1/stt")
    session: AgentSession[Any] = AgentSession(
        stt=adapter, vad=inference.VAD(), turn_detection="vad", session_close_transcript_timeout=0.1
    )
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @session.on("user_input_transcribed")
    def _heard(event: Any) -> None:
        if event.is_final and not heard.done():
            heard.set_result(event.transcript)

    session.input.audio = Microphone(speak_line(LINE))
    await session.start(Agent(instructions="listen"))
    words = (await asyncio.wait_for(heard, 30)).split()
    assert len(set(words) & set(LINE.split())) >= len(LINE.split()) - 2  # the VAD may cut into the first word
    await session.aclose()
    await adapter.aclose()


class Microphone(io.AudioInput):
    """AgentSession's format: 24 kHz mono, 50 ms frames, in real time; silence after the recording."""

    def __init__(self, pcm: bytes) -> None:
        super().__init__(label="test microphone")
        resampler = rtc.AudioResampler(SAMPLE_RATE, 24000)
        frames = [*resampler.push(rtc.AudioFrame(pcm, SAMPLE_RATE, 1, len(pcm) // 2)), *resampler.flush()]
        self._samples = b"".join(frame.data.tobytes() for frame in frames)
        self._at = 0
        self._next = 0.0

    def __aiter__(self) -> Microphone:
        return self

    async def __anext__(self) -> rtc.AudioFrame:
        loop = asyncio.get_running_loop()
        self._next = max(self._next + 0.05, loop.time() - 0.2)
        await asyncio.sleep(max(0.0, self._next - loop.time()))
        piece = self._samples[self._at : self._at + 2400].ljust(2400, b"\0")
        self._at += 2400
        return rtc.AudioFrame(piece, 24000, 1, 1200)
