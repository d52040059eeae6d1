"""Schedules run, proven with an adapter somebody else wrote: LiveKit's own Deepgram plugin."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import pytest
from livekit import rtc
from livekit.plugins import deepgram

from agents.providers.testing import Behaviour, Fault, Schedule, frames_of, run_schedule, run_schedules

PLAIN = Schedule(utterances=(5, 6, 4), behaviour=Behaviour(dialect="deepgram", api_key="key"), tail_ms=400)
DROPPED = Schedule(
    utterances=(5, 6, 4), behaviour=PLAIN.behaviour, tail_ms=400, faults=(Fault(1.3, "abort"), Fault(4.9, "abort"))
)


def _native(session: aiohttp.ClientSession, key: str = "key") -> Callable[[str], deepgram.STT]:
    return lambda url: deepgram.STT(
        api_key=key, base_url=url.replace("ws://", "http://"), http_session=session, sample_rate=16000
    )


@pytest.mark.leaks_allowed("the plugin's keepalive task ends when it wakes up")
async def test_the_native_plugin_is_flawless_while_nothing_fails_and_loses_words_when_something_does() -> None:
    async with aiohttp.ClientSession() as session:
        plain, dropped = await run_schedules(lambda _: _native(session), [PLAIN, DROPPED])
    assert plain.problems() == []
    assert plain.faults_fired == 0 and len(plain.connections) == 1
    assert plain.connections[0].words == list(range(15))

    assert dropped.faults_fired == 2 and len(dropped.connections) == 3
    assert dropped.recoverable_errors == 2
    assert len(dropped.lost) >= 2
    assert any(problem.startswith("words lost") for problem in dropped.problems())
    assert any(problem.startswith("the start of FINAL") for problem in dropped.problems())


async def test_a_stream_that_fails_is_reported_with_its_error() -> None:
    async with aiohttp.ClientSession() as session:
        report = await run_schedule(_native(session, key="wrong"), PLAIN)
    assert type(report.error).__name__ == "APIStatusError"
    assert report.lost == list(range(15))


@pytest.mark.parametrize("chunk_ms", [10, 20, 50, 100])
def test_frames_carry_all_the_audio_and_flushes_lie_in_silence(chunk_ms: int) -> None:
    schedule = Schedule(utterances=(2, 2), chunk_ms=chunk_ms, flush_after=(0, 3, 99), gap_ms=70, tail_ms=90)
    speech = schedule.speech()
    frames = list(frames_of(schedule, speech))
    pcm = b"".join(bytes(frame.data) for frame in frames if isinstance(frame, rtc.AudioFrame))
    assert pcm == speech.pcm
    assert frames.count(None) == 2
    before = sum(frame.duration for frame in frames[: frames.index(None)] if frame is not None)
    assert before == pytest.approx(speech.words[0].end + 0.035, abs=0.001)
    assert max(frame.duration for frame in frames if frame is not None) <= chunk_ms / 1000 + 1e-6


def test_a_schedule_can_be_pasted_into_a_test() -> None:
    assert eval(repr(DROPPED)) == DROPPED
