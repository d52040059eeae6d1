"""A voice over HTTP in an AgentSession: sentences flow, an interruption closes the request, nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import numpy as np
from aiohttp import web
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities

from agents.providers.adapters import CustomHTTPTTSAdapter

ANSWER = "We open at nine in the morning. We close at five, every day of the week. Is there anything else?"
RATE = 16000  # LiveKit gets 24000


class Loudspeaker(AudioOutput):
    """Plays at once, and counts what it played."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False))
        self.played, self._open = 0.0, 0.0
        self.playing = asyncio.Event()

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._open:
            self.on_playback_started(created_at=time.time())
        self._open += frame.duration
        self.played += frame.duration
        self.playing.set()

    def flush(self) -> None:
        super().flush()
        self._over(interrupted=False)

    def clear_buffer(self) -> None:
        self._over(interrupted=True)

    def _over(self, *, interrupted: bool) -> None:
        seconds, self._open = self._open, 0.0
        if seconds:
            self.on_playback_finished(playback_position=seconds, interrupted=interrupted)


class Speaker:
    """Half a second of sound for each text; *endless* ones go on until the client leaves."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.clients: set[object] = set()
        self.endless = False
        self.left: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def speak(self, request: web.Request) -> web.StreamResponse:
        self.texts.append((await request.json())["text"])
        assert request.transport is not None
        self.clients.add(request.transport.get_extra_info("peername"))
        response = web.StreamResponse(headers={"Content-Type": f"audio/pcm;rate={RATE}"})
        await response.prepare(request)
        await response.write(np.full(RATE // 2, 999, "<i2").tobytes())
        if self.endless:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set_result(time.monotonic())
        await response.write_eof()
        return response


@contextlib.asynccontextmanager
async def talking() -> AsyncIterator[tuple[Speaker, AgentSession[None], Loudspeaker, CustomHTTPTTSAdapter]]:
    speaker, app = Speaker(), web.Application()
    app.router.add_post("/speak", speaker.speak)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    voice = CustomHTTPTTSAdapter("http://{}:{}/speak".format(*runner.addresses[0]))
    session: AgentSession[None] = AgentSession(tts=voice, vad=None)
    loudspeaker = Loudspeaker()
    session.output.audio = loudspeaker
    try:
        await session.start(Agent(instructions=""))
        yield speaker, session, loudspeaker, voice
    finally:
        await session.aclose()
        await voice.aclose()
        await runner.cleanup()


async def test_sentences_are_asked_for_one_by_one_and_heard_at_their_length() -> None:
    async with talking() as (speaker, session, loudspeaker, voice):
        await session.say(ANSWER)
        assert " ".join(speaker.texts) == ANSWER and len(speaker.texts) > 1
        assert abs(loudspeaker.played - len(speaker.texts) / 2) < 0.05
        assert voice.stats.segments == len(speaker.texts)


async def test_an_interruption_closes_the_request_within_200_ms_and_the_session_goes_on() -> None:
    async with talking() as (speaker, session, loudspeaker, voice):
        speaker.endless = True
        speech = session.say(ANSWER)
        await loudspeaker.playing.wait()
        interrupted = time.monotonic()
        await session.interrupt()
        assert await asyncio.wait_for(speaker.left, 2.0) - interrupted < 0.2
        await speech
        assert speech.interrupted and voice.stats.cancelled == 1
        speaker.endless, before = False, loudspeaker.played
        await session.say("Go on.")
        assert 0.45 < loudspeaker.played - before < 0.55


async def test_a_hundred_turns_take_one_connection_and_leave_no_task_behind() -> None:
    async with talking() as (speaker, session, _, voice):
        tasks = []
        for _ in range(100):
            await session.say("Hello there, my friend.")
            tasks.append(len(asyncio.all_tasks()))
        assert max(tasks) <= tasks[0] + 3
        assert len(speaker.texts) == voice.stats.segments == 100
        assert len(speaker.clients) == 1
