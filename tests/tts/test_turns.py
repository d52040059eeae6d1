"""Many turns with a vendor that breaks, errs, stammers and is late at random, and callers who interrupt at random.

Whatever happens: an answer is heard whole, or ends with an error or an interruption; nobody hears a voice that is
not that of the answer; and nothing is left over.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import Any

import numpy as np
import pytest
from livekit.agents import APIConnectOptions, APIError
from voice_server import RATE, Caller, TunedVoice, VoiceServer, tone

from agents.providers.tts.websocket import CustomWebSocketTTSAdapter

TURNS, AT_A_TIME = 60, 4
WORDS = ["Hello ", "there, ", "we ", "are ", "open."]


class Hasty(APIConnectOptions):
    """Tries again without the wait that LiveKit prescribes."""

    def _interval_for_retry(self, num_retries: int) -> float:
        return 0.0


class Moody:
    """A vendor whose voice is a level, by the name of the voice, and that fails now and then."""

    def __init__(self, random: Random) -> None:
        self._random = random

    async def __call__(self, caller: Caller) -> None:
        happens = self._random.random
        while (kind := await caller.next()) != "closed":
            level = int(caller.start["voice"])
            if happens() < 0.04:
                caller.abort()
                return
            if happens() < 0.03:
                await caller.ws.close()
                return
            if happens() < 0.02:
                await caller.tell("error", message="out of order", code=500)
            if happens() < 0.02:
                await caller.ws.send_str("stammer")
            if kind == "speak" and happens() < 0.3:
                await caller.ws.send_bytes(tone(0.05, level=level))
            if kind == "cancel" and happens() < 0.3:
                await caller.ws.send_bytes(tone(0.05, level=level))  # the old answer, still
            if kind == "end":
                await caller.ws.send_bytes(tone(0.1, level=level))
            if kind == "end" or (kind == "cancel" and happens() < 0.7):
                await caller.done()


class Turns:
    """Turns of several callers at a time, on one adapter."""

    def __init__(self, adapter: CustomWebSocketTTSAdapter, random: Random) -> None:
        self._adapter = adapter
        self._random = random
        self.whole = self.failed = self.interrupted = 0

    async def turn(self) -> None:
        random, adapter = self._random, self._adapter
        if random.random() < 0.3:
            adapter.update_options(voice=str(random.randint(1, 3)))
        if random.random() < 0.2:
            adapter.prewarm()
        options = Hasty(max_retry=2, timeout=2)
        level, stream = int(adapter.voice or 0), adapter.stream(conn_options=options)
        for word in WORDS:
            stream.push_text(word)
        stream.end_input()
        leaves_after = random.random() * 0.15 if random.random() < 0.4 else 99.0
        heard: list[Any] = []
        try:
            async for event in stream:
                heard.append(np.frombuffer(event.frame.data, np.int16))
                if sum(map(len, heard)) / RATE > leaves_after:
                    self.interrupted += 1
                    return
            self.whole += 1
            assert sum(map(len, heard)) / RATE >= 0.1
        except APIError:
            self.failed += 1
        finally:
            await stream.aclose()
            assert {int(sample) for piece in heard for sample in np.unique(piece)} <= {level}


@pytest.mark.parametrize(("seed", "cancels"), [(1, True), (2, False), (3, True)])
async def test_turns_with_a_moody_vendor(seed: int, cancels: bool) -> None:
    logging.disable(logging.CRITICAL)  # what LiveKit has to say about each failure is beside the point
    random = Random(seed)
    tuned = TunedVoice(stall_seconds=1.0, idle_seconds=0.05, session_seconds=0.4, cancels=cancels)
    try:
        async with VoiceServer(Moody(random)) as server:
            async with CustomWebSocketTTSAdapter(server.url, voice="1", vendor=tuned) as adapter:
                turns = Turns(adapter, random)
                for _ in range(TURNS // AT_A_TIME):
                    await asyncio.gather(*(turns.turn() for _ in range(AT_A_TIME)))
    finally:
        logging.disable(logging.NOTSET)
    assert turns.whole + turns.failed + turns.interrupted == TURNS
    assert turns.whole > TURNS / 3 and turns.interrupted > 5 and adapter.stats.reuses > 5
