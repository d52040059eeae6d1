"""A real AgentSession on the embedded server: the user's turn is committed, the agent answers, nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from livekit.agents import inference, vad

from agents.providers import LLMConfig, ProviderFactory, TTSConfig
from agents.providers.cli.call import Call, Line, Moment, speech_bounds
from agents.providers.cli.lines import built_in_lines, split_at_pauses
from agents.providers.cli.service import HTTP_PATH, WS_PATH, Service
from agents.providers.cli.telephone import ROOM_RATE


@dataclass
class Parts:
    """What an agent needs, by the way it hears."""

    stt: Any
    llm: Any
    tts: Any
    vad: vad.VAD | None


@pytest.fixture(params=["ws", "http"])
async def parts(request: pytest.FixtureRequest, serve: tuple[str, str]) -> AsyncIterator[Parts]:
    url = serve[0] + HTTP_PATH if request.param == "http" else serve[1] + WS_PATH
    base = {"base_url": f"{serve[0]}/v1"}
    stt = Service(url=url).build(None, on_failure="degrade")
    llm = ProviderFactory.create_llm(LLMConfig("openai", model="voxport-rules", api_key="none", metadata=base))
    tts = ProviderFactory.create_tts(
        TTSConfig(
            "openai", model="espeak-ng", voice="alloy", api_key="none", metadata={**base, "response_format": "pcm"}
        )
    )
    yield Parts(stt, llm, tts, inference.VAD() if request.param == "http" else None)
    for part in (stt, llm, tts):
        await part.aclose()


async def test_a_caller_is_heard_and_answered(parts: Parts) -> None:
    lines, noise = built_in_lines()
    lines = lines[-1:]  # he thanks, which is answered in a few words
    moments: list[Moment] = []
    call = Call(
        stt=parts.stt, llm=parts.llm, tts=parts.tts, vad=parts.vad, room_noise=noise, on_moment=moments.append
    )
    await call.run(lines)
    record = call.record()
    (turn,) = record.turns
    assert turn.heard == lines[0].text
    assert turn.reply == "You are welcome. Goodbye!"
    assert record.errors == []
    assert turn.final_latency is not None and 0 < turn.final_latency < 5
    assert turn.reply_start is not None and turn.reply_end is not None
    assert turn.speech_end < turn.reply_start < turn.reply_end <= record.seconds
    assert len(record.caller) == len(record.agent)
    assert np.abs(record.agent[: int(turn.reply_start * ROOM_RATE)]).max() == 0
    assert np.abs(record.agent[int(turn.reply_start * ROOM_RATE) :]).max() > 3000
    kinds = [moment.kind for moment in moments]
    assert kinds.index("final") < kinds.index("reply-audio") < kinds.index("reply-end")
    if parts.stt.capabilities.streaming:
        assert kinds.index("interim") < kinds.index("final")
        assert len(turn.interims) > 3
        assert len(turn.finals) == 1


@pytest.mark.parametrize("parts", ["ws"], indirect=True)
async def test_a_call_that_is_cancelled_hangs_up_and_keeps_what_there_is(parts: Parts) -> None:
    lines, noise = built_in_lines(1)
    heard = asyncio.Event()
    call = Call(
        stt=parts.stt,
        llm=parts.llm,
        tts=parts.tts,
        room_noise=noise,
        on_moment=lambda moment: heard.set() if moment.kind == "interim" else None,
    )
    running = asyncio.ensure_future(call.run(lines))
    await heard.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert call.record().turns[0].interims


@pytest.mark.parametrize("parts", ["ws"], indirect=True)
async def test_a_caller_nobody_hears_gives_up_after_his_first_line(parts: Parts) -> None:
    deaf = Service(url="ws://127.0.0.1:1/x").build(None, on_failure="degrade")
    line = Line(np.full(ROOM_RATE // 10, 1000, np.int16), "hello")
    call = Call(stt=deaf, llm=parts.llm, tts=parts.tts, patience_seconds=0.2)
    await call.run([line] * 5)
    await deaf.aclose()
    assert len(call.record().turns) == 1
    assert "refused" in call.record().errors[0]


def test_speech_is_found_in_a_line() -> None:
    samples = np.zeros(ROOM_RATE, np.int16)
    samples[ROOM_RATE // 4 : ROOM_RATE // 2] = 8000
    assert speech_bounds(samples) == pytest.approx((0.25, 0.5), abs=0.011)


def test_a_recording_is_cut_at_pauses_and_not_within_speech() -> None:
    rng = np.random.default_rng(0)
    tone = (8000 * np.sin(np.arange(ROOM_RATE) / 10)).astype(np.int16)
    short, long = (rng.normal(0, 20, int(s * ROOM_RATE)).astype(np.int16) for s in (0.4, 1.5))
    pieces = split_at_pauses(np.concatenate([long, tone, short, tone, long, tone, long]))
    assert [round(len(piece) / ROOM_RATE, 1) for piece in pieces] == pytest.approx([2.8, 1.4], abs=0.15)
