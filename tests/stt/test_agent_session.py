"""In an AgentSession: the caller's turns are committed whole and once, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, stt
from livekit.agents.voice.io import AudioInput
from livekit.plugins import deepgram

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.testing import (
    Behaviour,
    Fault,
    FaultInjector,
    FaultProxy,
    Hurried,
    OracleServer,
    Schedule,
    frames_of,
    numbers_in,
)
from agents.providers.vendors import find_vendor

UTTERANCES = (4, 6, 3, 5)
TURNS = [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9], [10, 11, 12], [13, 14, 15, 16, 17]]


class Caller(AudioInput):
    """Speaks a schedule as a room would bring it, at the schedule's pace, and then is silent."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(label="caller")
        self._frames = frames_of(schedule, schedule.speech())
        self._pace = schedule.pace
        self._began = 0.0
        self._spoken = 0.0

    async def __anext__(self) -> rtc.AudioFrame:
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        frame = next(self._frames, None)
        if frame is None:
            frame = rtc.AudioFrame(bytes(2400), 24000, 1, 1200)
        await asyncio.sleep(max(self._began + self._spoken / self._pace - loop.time(), 0))
        self._spoken += frame.duration
        return frame


class Listener(Agent):
    """Notes the turns it is given and answers none."""

    def __init__(self) -> None:
        super().__init__(instructions="")
        self.turns: list[list[int]] = []
        self.heard_all = asyncio.Event()

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        self.turns.append(numbers_in(new_message.text_content or ""))
        if self.turns[-1] and self.turns[-1][-1] == TURNS[-1][-1]:
            self.heard_all.set()


async def converse(
    make_stt: Callable[[str], stt.STT[Any]],
    behaviour: Behaviour,
    faults: tuple[Fault, ...],
    *,
    pace: float = 10.0,
    seconds: float = 20.0,
) -> tuple[list[list[int]], list[int]]:
    """The turns committed, and the words of the session's final transcripts."""
    schedule = Schedule(
        utterances=UTTERANCES, behaviour=behaviour, faults=faults, sample_rate=24000, chunk_ms=50, pace=pace
    )
    agent = Listener()
    finals: list[int] = []
    async with OracleServer(behaviour) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        injector = FaultInjector(server, proxy, faults)
        adapter = make_stt(f"ws://127.0.0.1:{proxy.port}{server.path}")
        session: AgentSession[None] = AgentSession(
            stt=adapter,
            vad=None,
            turn_handling={"turn_detection": "stt", "endpointing": {"min_delay": 0.0, "max_delay": 0.0}},
        )
        session.on(
            "user_input_transcribed",
            lambda event: finals.extend(numbers_in(event.transcript)) if event.is_final else None,
        )
        session.input.audio = Caller(schedule)
        try:
            await session.start(agent)
            await asyncio.wait_for(agent.heard_all.wait(), seconds)
        except asyncio.TimeoutError:
            pass  # what is missing says more than that something is
        finally:
            await session.aclose()
            await adapter.aclose()
            await injector.aclose()
        assert len(injector.fired) == len(faults)
    return agent.turns, finals


@pytest.mark.parametrize("dialect", ["generic", "deepgram"])
@pytest.mark.parametrize(
    "faults",
    [
        (),
        (Fault(0.9, "abort"), Fault(2.9, "abort"), Fault(5.2, "cut")),
        (Fault(1.1, "refuse", 1.0),),
        (Fault(2.4, "status", 0.5, 503), Fault(4.8, "close", code=1000)),
        (Fault(3.0, "half_open"),),
    ],
    ids=lambda faults: "-".join(fault.kind for fault in faults) or "none",
)
async def test_turns_are_committed_whole_and_once(dialect: str, faults: tuple[Fault, ...]) -> None:
    protocol = find_vendor(dialect).streaming
    assert protocol is not None

    def make(url: str) -> CustomWebSocketSTTAdapter:
        return CustomWebSocketSTTAdapter(url, "key", sample_rate=24000, vendor=Hurried(protocol, seconds=1.0))

    turns, finals = await converse(make, Behaviour(dialect=dialect), faults)  # type: ignore[arg-type]
    assert finals == list(range(18))
    assert turns == TURNS


@pytest.mark.leaks_allowed("the plugin's keepalive task ends when it wakes up")
@pytest.mark.parametrize("faults", [(), (Fault(0.9, "abort"), Fault(2.9, "abort"))], ids=["none", "abort-abort"])
async def test_the_same_schedule_costs_the_native_plugin_words(faults: tuple[Fault, ...]) -> None:
    async with aiohttp.ClientSession() as http:

        def make(url: str) -> deepgram.STT:
            url = url.replace("ws://", "http://")
            return deepgram.STT(api_key="key", base_url=url, http_session=http, sample_rate=24000)

        turns, finals = await converse(make, Behaviour(dialect="deepgram"), faults, seconds=8.0)
    if faults:
        assert finals != list(range(18)) and turns != TURNS
    else:
        assert finals == list(range(18)) and turns == TURNS
