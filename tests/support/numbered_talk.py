"""A caller who speaks numbered words in an AgentSession, and an agent who notes the turns that are committed."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, stt
from livekit.agents.voice.io import AudioInput

from agents.providers.testing import Schedule, frames_of, numbers_in

__all__ = ["TURNS", "UTTERANCES", "WORDS", "talk_to"]

UTTERANCES = (4, 6, 3, 5)
TURNS = [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9], [10, 11, 12], [13, 14, 15, 16, 17]]
"""How :data:`UTTERANCES` should be committed."""

WORDS = list(range(sum(UTTERANCES)))

_RATE = 24000


class _Caller(AudioInput):
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
        frame = next(self._frames, None) or rtc.AudioFrame(bytes(_RATE // 10), _RATE, 1, _RATE // 20)
        await asyncio.sleep(max(self._began + self._spoken / self._pace - loop.time(), 0))
        self._spoken += frame.duration
        return frame


class _Listener(Agent):
    """Notes the turns it is given and answers none."""

    def __init__(self) -> None:
        super().__init__(instructions="")
        self.turns: list[list[int]] = []
        self.heard_all = asyncio.Event()

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        self.turns.append(numbers_in(new_message.text_content or ""))
        if self.turns[-1] and self.turns[-1][-1] == WORDS[-1]:
            self.heard_all.set()


async def talk_to(
    adapter: stt.STT[Any], *, pace: float, seconds: float, **schedule: Any
) -> tuple[list[list[int]], list[int]]:
    """Say :data:`UTTERANCES` to a session that listens with *adapter*, which is closed at the end.

    Args:
        pace: times real time.
        seconds: how long to wait for the last word.
        schedule: more of the :class:`~agents.providers.testing.Schedule`.

    Returns the turns committed, and the words of the session's final transcripts.
    """
    agent = _Listener()
    finals: list[int] = []
    session: AgentSession[None] = AgentSession(
        stt=adapter,
        vad=None,
        session_close_transcript_timeout=0.1,
        turn_handling={"turn_detection": "stt", "endpointing": {"min_delay": 0.0, "max_delay": 0.0}},
    )
    session.on(
        "user_input_transcribed",
        lambda event: finals.extend(numbers_in(event.transcript)) if event.is_final else None,
    )
    session.input.audio = _Caller(
        Schedule(utterances=UTTERANCES, sample_rate=_RATE, chunk_ms=50, pace=pace, **schedule)
    )
    try:
        await session.start(agent)
        await asyncio.wait_for(agent.heard_all.wait(), seconds)
    except asyncio.TimeoutError:
        pass  # what is missing says more than that something is
    finally:
        await session.aclose()
        await adapter.aclose()
    return agent.turns, finals
