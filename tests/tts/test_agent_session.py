"""In an AgentSession: the agent says its answer with a custom voice, and falls silent when it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions
from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities, TextOutput, TimedString
from said import TEXT, assert_says
from speaking_server import speaking_server
from voice_server import Caller, VoiceServer, tone

from agents.providers.local.dialects.cartesia import Cartesia
from agents.providers.local.dialects.generic_speech import GenericSpeech
from agents.providers.tts.websocket import CustomWebSocketTTSAdapter


class Talker(llm.LLM):
    """A language model that has one thing to say, and says it token by token."""

    def __init__(self, answer: str = TEXT) -> None:
        super().__init__()
        self.answer = answer

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: Any = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, Talker)
        for word in self._llm.answer.split(" "):
            delta = llm.ChoiceDelta(role="assistant", content=word + " ")
            self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))
            await asyncio.sleep(0)


class Loudspeaker(AudioOutput):
    """Plays at once, and keeps what it played."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False))
        self.frames: list[rtc.AudioFrame] = []
        self.playing = asyncio.Event()
        self._seconds = 0.0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._seconds:
            self.on_playback_started(created_at=time.time())
        self.frames.append(frame)
        self._seconds += frame.duration
        self.playing.set()

    def flush(self) -> None:
        super().flush()
        self._over(interrupted=False)

    def clear_buffer(self) -> None:
        self._over(interrupted=True)

    def _over(self, *, interrupted: bool) -> None:
        seconds, self._seconds = self._seconds, 0.0
        if seconds:
            self.on_playback_finished(playback_position=seconds, interrupted=interrupted)

    @property
    def pcm(self) -> bytes:
        return b"".join(bytes(frame.data) for frame in self.frames)


class Subtitles(TextOutput):
    """Keeps what is shown."""

    def __init__(self) -> None:
        super().__init__(label="subtitles", next_in_chain=None)
        self.texts: list[str] = []

    async def capture_text(self, text: str) -> None:
        self.texts.append(text)

    def flush(self) -> None:
        pass


@contextlib.asynccontextmanager
async def session_with(voice: CustomWebSocketTTSAdapter) -> AsyncIterator[tuple[AgentSession[None], Loudspeaker]]:
    session: AgentSession[None] = AgentSession(llm=Talker(), tts=voice, vad=None, use_tts_aligned_transcript=True)
    loudspeaker = Loudspeaker()
    session.output.audio = loudspeaker
    session.output.transcription = Subtitles()
    try:
        await session.start(Agent(instructions=""))
        yield session, loudspeaker
    finally:
        await session.aclose()
        await voice.aclose()


def subtitles_of(session: AgentSession[None]) -> Sequence[str]:
    shown = session.output.transcription
    while shown is not None and not isinstance(shown, Subtitles):
        shown = shown.next_in_chain
    assert shown is not None
    return shown.texts


@pytest.mark.parametrize(("vendor", "path"), [("generic", "/v1/tts/stream"), ("cartesia", "/tts/websocket")])
async def test_an_answer_is_said_and_shown_word_by_word(vendor: str, path: str) -> None:
    async with speaking_server(GenericSpeech, Cartesia) as server:
        voice = CustomWebSocketTTSAdapter(server.ws_url + path, "key", vendor=vendor)
        async with session_with(voice) as (session, loudspeaker):
            for _ in range(2):
                await session.generate_reply(user_input="When do you open?")
            half = len(loudspeaker.pcm) // 4 * 2
            for answer in (loudspeaker.pcm[:half], loudspeaker.pcm[half:]):
                assert_says(answer, 24000)
            shown = subtitles_of(session)
            assert "".join(shown).split() == TEXT.split() * 2
            timed = [text for text in shown if isinstance(text, TimedString)]
            assert len(timed) == len(shown)
        assert (voice.stats.segments, voice.stats.connects) == (2, 1)
        assert voice.stats.reuses >= 1  # 2 when the first connection was there before the first word


async def test_an_interruption_reaches_the_vendor_within_200_ms_and_the_session_goes_on() -> None:
    seen: list[float] = []

    async def handler(caller: Caller) -> None:
        await caller.until("speak")
        await caller.ws.send_bytes(tone(3.0, level=1))
        await caller.until("cancel")
        seen.append(time.monotonic())
        await caller.ws.send_bytes(tone(1.0, level=1))
        await caller.done()
        await caller.speak(tone(1.0, level=2))

    async with VoiceServer(handler) as server:
        voice = CustomWebSocketTTSAdapter(server.url)
        async with session_with(voice) as (session, loudspeaker):
            speech = session.generate_reply(user_input="Tell me everything.")
            await loudspeaker.playing.wait()
            interrupted = time.monotonic()
            await session.interrupt()
            await speech
            assert speech.interrupted
            while not seen or not voice._pool.free:
                await asyncio.sleep(0.001)
            assert seen[0] - interrupted < 0.2
            loudspeaker.frames.clear()
            await session.generate_reply(user_input="Go on.")
            assert set(loudspeaker.pcm[::2]) == {2}  # nothing of the old answer
        assert (len(server.callers), voice.stats.cancelled) == (1, 1)


async def test_many_turns_leave_nothing_behind() -> None:
    """One connection, and no more tasks after thirty turns than after one."""

    async def handler(caller: Caller) -> None:
        while True:
            await caller.speak(tone(0.05))

    async with VoiceServer(handler) as server:
        voice = CustomWebSocketTTSAdapter(server.url)
        async with session_with(voice) as (session, _):
            tasks = []
            for _ in range(30):
                await session.generate_reply(user_input="Hello?")
                tasks.append(len(asyncio.all_tasks()))
            assert max(tasks) <= tasks[0] + 3
            assert (voice.stats.segments, len(server.callers)) == (30, 1)
