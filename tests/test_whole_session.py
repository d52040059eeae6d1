"""An AgentSession in which recogniser, language model and voice are all custom, against the embedded server.

It is there twice: in a process of its own, which hears, thinks and speaks as fast as it can; and, where a test
wants to see when a vendor is told to be silent, in this one, with a voice that takes its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.llm import ChatMessage
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities
from said import assert_says, seconds_of
from speaking_server import speaking_server

from agents.providers import LLMConfig, ProviderFactory, ProviderType, STTConfig, TTSConfig
from agents.providers.local import speech, synthesiser
from agents.providers.local.caller import ROOM_NOISE, speak_line
from agents.providers.local.dialects.generic_speech import GenericSpeech

T = TypeVar("T")
Way = Literal["ws", "http"]
RATE = synthesiser.SAMPLE_RATE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="counts sockets as Linux shows them")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address, without a scheme, of an embedded server in a process of its own."""
    command = [sys.executable, "-m", "agents.providers.local", "--port", "0", "--streams", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"].removeprefix("http://")
        finally:
            process.terminate()


class Waiter(Agent):
    """Takes bookings. No rule of the embedded responder speaks of a table by its number."""

    def __init__(self) -> None:
        super().__init__(instructions="You are a waiter.")
        self.booked: list[tuple[str, int]] = []

    @function_tool
    async def book_table(self, day: str, guests: int) -> str:
        """Reserve a table.

        Args:
            day: Day of the week
            guests: Number of guests
        """
        self.booked.append((day, guests))
        return f"Table nine is yours on {day}, for {guests} people."


class Microphone(AudioInput):
    """Brings what is said as fast as it is taken: nobody waits for a caller who is not there."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()
        self._noise = np.random.default_rng(1).normal(0, ROOM_NOISE, 2 * RATE).astype("<i2").tobytes()

    def say(self, text: str) -> None:
        """*text*, and the silence after it that a recogniser takes for its end."""
        self._push(speak_line(text) + self._noise)

    def be_silent(self, seconds: float) -> None:
        self._push(self._noise[: round(seconds * RATE) * 2])

    def _push(self, pcm: bytes) -> None:
        step = RATE // 20 * 2
        for start in range(0, len(pcm), step):
            piece = pcm[start : start + step]
            self._frames.put_nowait(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.get()


class Loudspeaker(AudioOutput):
    """Plays at once, and keeps the last answer. *holds*: an answer is not over before it is cut off."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False))
        self.holds = False
        self.pcm = b""
        self.rate = 0
        self.playing = asyncio.Event()

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self.playing.is_set():
            self.pcm, self.rate = b"", frame.sample_rate
            self.playing.set()
            self.on_playback_started(created_at=time.time())
        self.pcm += bytes(frame.data)

    def flush(self) -> None:
        super().flush()
        if not self.holds:
            self._end(interrupted=False)

    def clear_buffer(self) -> None:
        self._end(interrupted=True)

    def _end(self, *, interrupted: bool) -> None:
        if self.playing.is_set():
            self.playing.clear()
            self.on_playback_finished(
                playback_position=len(self.pcm) / 2 / max(self.rate, 1), interrupted=interrupted
            )


class PatientVoice:
    """espeak-ng for an embedded server that speaks no faster than people do, times *haste*.

    Attributes:
        cut: when, on the event loop's clock, the server was told to stop in the middle of a text.
    """

    def __init__(self, haste: float) -> None:
        self.haste = haste
        self.cut: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def speak(self, text: str, voice: Any = None) -> AsyncGenerator[bytes | speech.SpokenWord, None]:
        said_all = False
        spoken = synthesiser.speak(text, voice)
        step = RATE // 50 * 2
        try:
            async for piece in spoken:
                if not isinstance(piece, bytes):
                    yield piece
                    continue
                for start in range(0, len(piece), step):
                    yield piece[start : start + step]
                    await asyncio.sleep(0.02 / self.haste)
            said_all = True
        finally:
            if not said_all:
                self.cut.set_result(asyncio.get_running_loop().time())
            await spoken.aclose()


def custom(address: str, way: Way, voices: str | None = None) -> tuple[Any, Any, Any]:
    """Recogniser, language model and voice at *address*; the voice at the address *voices*, if there is one."""
    voices = voices or address
    voice = {
        "ws": TTSConfig(ProviderType.CUSTOM_WS, metadata={"ws_url": f"ws://{voices}/v1/tts/stream"}),
        "http": TTSConfig(ProviderType.CUSTOM_HTTP, metadata={"endpoint_url": f"http://{voices}/v1/tts"}),
    }[way]
    return (
        ProviderFactory.create_stt(
            STTConfig(ProviderType.CUSTOM_WS, metadata={"ws_url": f"ws://{address}/v1/stt/stream"})
        ),
        ProviderFactory.create_llm(
            LLMConfig(
                ProviderType.CUSTOM_HTTP,
                model="voxport-rules",
                metadata={"endpoint_url": f"http://{address}/v1"},
            )
        ),
        ProviderFactory.create_tts(voice),
    )


@contextlib.asynccontextmanager
async def called(parts: tuple[Any, Any, Any], agent: Agent) -> AsyncIterator[AgentSession[None]]:
    """A session with microphone and loudspeaker; every part is closed after it."""
    stt, llm, voice = parts
    session: AgentSession[None] = AgentSession(
        stt=stt,
        llm=llm,
        tts=voice,
        vad=None,
        turn_handling={
            "turn_detection": "stt",
            "endpointing": {"min_delay": 0.0, "max_delay": 0.1},
            "interruption": {"resume_false_interruption": False},
        },
        user_away_timeout=None,
        aec_warmup_duration=None,
        session_close_transcript_timeout=0.1,
    )
    session.input.audio, session.output.audio = Microphone(), Loudspeaker()
    try:
        await session.start(agent)
        yield session
    finally:
        await session.aclose()
        for part in parts:
            await part.aclose()


LONG = "I heard: " + ", ".join(f"the story of my uncle number {number}" for number in range(1, 20))


def answers_of(session: AgentSession[None]) -> asyncio.Queue[ChatMessage]:
    """What the agent says from now on, each when it has been heard, or interrupted."""
    said: asyncio.Queue[ChatMessage] = asyncio.Queue()

    @session.on("conversation_item_added")
    def _added(event: Any) -> None:
        if isinstance(event.item, ChatMessage) and event.item.role == "assistant":
            said.put_nowait(event.item)

    return said


async def soon(what: Awaitable[T]) -> T:
    return await asyncio.wait_for(what, 20)


@pytest.mark.parametrize("way", ["ws", "http"])
async def test_a_caller_books_a_table_and_interrupts(
    server: str, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He is heard, the model calls the tool, its result is said; and when he speaks, the vendor's voice stops."""
    voice = PatientVoice(haste=20)
    monkeypatch.setattr(speech, "speak", voice.speak)
    agent, loop = Waiter(), asyncio.get_running_loop()
    async with speaking_server(GenericSpeech) as voices:
        parts = custom(server, way, voices.url.removeprefix("http://"))
        async with called(parts, agent) as session:
            microphone: Any = session.input.audio
            loudspeaker: Any = session.output.audio
            answers = answers_of(session)
            microphone.say("book a table for two on friday")
            answer = await soon(answers.get())
            assert agent.booked == [("Friday", 2)]
            assert answer.text_content == "Table nine is yours on Friday, for 2 people."
            assert_says(loudspeaker.pcm, loudspeaker.rate, answer.text_content)

            voice.haste = 1
            heard: list[float] = []
            session.on("user_input_transcribed", lambda _: heard.append(loop.time()))
            reply = session.generate_reply(user_input=LONG)
            await soon(loudspeaker.playing.wait())
            microphone.say("thank you that is all")
            silent = await soon(voice.cut)
            assert silent - heard[0] < 0.2
            assert (await soon(answers.get())).interrupted
            assert reply.interrupted

            voice.haste = 20
            answer = await soon(answers.get())
            assert answer.text_content == "You are welcome. Goodbye!"
            assert 1 < seconds_of(loudspeaker.pcm, loudspeaker.rate) < 3
        stats = parts[2].stats
        assert (stats.cancelled, stats.transient_failures, stats.permanent_failures) == (1, 0, 0)


OURS_A_TURN, ALL_A_TURN = 3_000, 80_000
"""Bytes that a turn may leave in memory: made by Voxport and by what it does I/O with, and made by anybody.

The recogniser holds the caller's audio that no final covers yet: 640 bytes of silence a turn, and no more than a
minute. LiveKit keeps a record of the session, some 40 kB a turn.
"""
AT_HAND = 100_000
"""Bytes that are in use in one moment and not in another, however many turns there were: socket buffers, audio."""

OURS = ("*/agents/providers/*", "*/aiohttp/*", "*/asyncio/*", "*/yarl/*", "*/multidict/*", "*/av/*")


ENDING = 3
"""So many tasks and sockets may just be ending when a turn is over; one a turn would be more."""


def open_sockets() -> int:
    targets = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that was opened to look
            targets.append(os.readlink(entry))  # noqa: PTH115 - a socket link is not a path
    return sum(target.startswith("socket:") for target in targets)


def grown(before: tracemalloc.Snapshot, *files: str) -> int:
    """Bytes that were allocated in *files* since, and are still in use."""
    gc.collect()
    filters = [tracemalloc.Filter(True, name) for name in files]
    made = tracemalloc.take_snapshot().filter_traces(filters).compare_to(before.filter_traces(filters), "filename")
    return sum(entry.size_diff for entry in made)


@pytest.mark.parametrize(
    ("way", "turns"),
    [
        ("ws", 18),
        pytest.param("ws", 100, marks=pytest.mark.soak),
        pytest.param("http", 100, marks=pytest.mark.soak),
    ],
)
async def test_turns_leave_nothing_behind(server: str, way: Way, turns: int) -> None:
    """Answers, tool calls and interruptions. A third of the turns warm up; then nothing may pile up."""
    agent, parts, warm = Waiter(), custom(server, way), turns // 3
    async with called(parts, agent) as session:
        tasks = sockets = 0
        tracemalloc.start()
        try:
            for turn in range(turns):
                await soon(one_turn(session, turn))
                if turn < warm:
                    tasks, sockets = max(tasks, len(asyncio.all_tasks())), max(sockets, open_sockets())
                else:
                    await few_are_left(tasks + ENDING, sockets + ENDING, turn)
                if turn == warm:
                    gc.collect()
                    before = tracemalloc.take_snapshot()
            counted = turns - warm - 1
            assert grown(before, *OURS) < AT_HAND + OURS_A_TURN * counted
            assert grown(before) < AT_HAND + ALL_A_TURN * counted
        finally:
            tracemalloc.stop()
    assert len(agent.booked) == len(range(0, turns, 3))
    stats = parts[1].stats
    assert (stats.requests, stats.answers) == (turns + len(agent.booked),) * 2


async def few_are_left(tasks: int, sockets: int, turn: int) -> None:
    """What ends with a turn may take some turns of the event loop; what is left behind stays."""
    loop = asyncio.get_running_loop()
    limit = loop.time() + 2
    while len(asyncio.all_tasks()) > tasks or open_sockets() > sockets:
        left = len(asyncio.all_tasks()), open_sockets()
        assert loop.time() < limit, f"after turn {turn}: {left} tasks and sockets, not {tasks} and {sockets}"
        await asyncio.sleep(0.005)


async def one_turn(session: AgentSession[None], number: int) -> None:
    """A greeting, a table booked, or an answer interrupted, by turns."""
    microphone: Any = session.input.audio
    loudspeaker: Any = session.output.audio
    microphone.be_silent(0.02)
    if number % 3 < 2:
        asked, answer = ("thank you", "You are welcome") if number % 3 else ("a table for four on friday", "Table")
        result = await session.run(user_input=asked)
        assert result.events[-1].item.text_content.startswith(answer)
    else:
        loudspeaker.holds = True
        reply = session.generate_reply(user_input="is there any parking")
        await loudspeaker.playing.wait()
        await session.interrupt()
        await reply
        assert reply.interrupted
        loudspeaker.holds = False
    loudspeaker.pcm = b""
