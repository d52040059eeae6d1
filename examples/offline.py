"""What stands in for the vendor, the caller and the room, so that the examples run on this machine alone.

In your agent there is nothing of this: URLs and keys are your vendor's, and LiveKit's room brings the caller
(``await session.start(agent, room=context.room)``).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiohttp import web
from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, stt, tts
from livekit.agents.llm import ChatMessage
from livekit.plugins import openai

from agents.providers.cli.telephone import ROOM_RATE, Clock, Microphone, Speaker
from agents.providers.local import ServerProcess
from agents.providers.local.caller import ROOM_NOISE, speak_line
from agents.providers.local.synthesiser import SAMPLE_RATE

__all__ = ["answering", "run", "serve", "spoken", "talk", "transcribe", "websocket"]


def run(example: Callable[[str], Awaitable[None]]) -> None:
    """Run *example* with the URL of a speech server: that of ``--url``, else of one started for it."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--url", help="of a running `voxport serve`, such as http://127.0.0.1:8765")
    given = parser.parse_args()
    logging.getLogger("livekit.agents").setLevel(logging.ERROR)  # it warns of what is missing without a room
    asyncio.run(_run(example, given.url))


async def _run(example: Callable[[str], Awaitable[None]], url: str | None) -> None:
    if url:
        await example(url)
        return
    async with ServerProcess() as server:
        await example(server.url)


@asynccontextmanager
async def serve(path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A company's HTTP server with one *handler* for what is posted to *path*; gives its URL."""
    app = web.Application()
    app.router.add_post(path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
    finally:
        await runner.cleanup()


def websocket(url: str) -> str:
    """``http://…`` as ``ws://…``."""
    return "ws" + url.removeprefix("http")


def answering(url: str) -> tuple[llm.LLM[Any], tts.TTS[Any]]:
    """A language model and a voice for agents of which only the hearing matters: LiveKit's plugin at *url*."""
    model = openai.LLM(model="gpt-4o", base_url=f"{url}/v1", api_key="none")
    voice = openai.TTS(model="espeak-ng", base_url=f"{url}/v1", api_key="none", response_format="pcm")
    return model, voice


def spoken(text: str) -> rtc.AudioFrame:
    """*text* as a synthesised caller says it: 16-bit mono PCM, as everywhere in LiveKit."""
    pcm = speak_line(text)
    return rtc.AudioFrame(pcm, SAMPLE_RATE, 1, len(pcm) // 2)


async def transcribe(recogniser: stt.STT[Any], recording: rtc.AudioFrame) -> list[str]:
    """Stream *recording* to a recogniser. Returns the final transcripts."""
    async with recogniser.stream() as stream:
        stream.push_frame(recording)
        stream.end_input()
        events = [event async for event in stream]
    return [e.alternatives[0].text for e in events if e.type is stt.SpeechEventType.FINAL_TRANSCRIPT]


async def talk(session: AgentSession[Any], line: str) -> None:
    """A call with one line of the caller and one answer, in real time: what a room would bring and take."""
    clock = Clock()
    microphone, speaker = Microphone(clock, ROOM_NOISE), Speaker(clock)
    session.input.audio, session.output.audio = microphone, speaker
    answered = asyncio.Event()

    @session.on("conversation_item_added")
    def _said(event: Any) -> None:
        if isinstance(event.item, ChatMessage):
            print(f"{event.item.role}: {event.item.text_content}")

    @session.on("agent_state_changed")
    def _changed(event: Any) -> None:
        if event.old_state == "speaking":
            answered.set()

    @session.on("error")
    def _failed(event: Any) -> None:
        print(f"error: {getattr(event.error, 'error', event.error)}")

    await session.start(Agent(instructions="You answer the telephone of a restaurant."))
    try:
        await microphone.say(_for_the_room(spoken(line)))
        await asyncio.wait_for(answered.wait(), 30)
    finally:
        microphone.hang_up()
        await session.aclose()
        speaker.aclose()


def _for_the_room(recording: rtc.AudioFrame) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    resampler = rtc.AudioResampler(recording.sample_rate, ROOM_RATE)
    frames = [*resampler.push(recording), *resampler.flush()]
    return np.concatenate([np.frombuffer(frame.data, np.int16) for frame in frames])
