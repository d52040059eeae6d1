"""A member's stream while it hears the caller: events where they are made, and one ending."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

from agents.providers.stt.adapter import STTAdapter
from agents.providers.stt.direct import DirectStream
from agents.providers.wrappers.failover_leg import Leg

INTERIM = stt.SpeechEvent(stt.SpeechEventType.INTERIM_TRANSCRIPT)
USAGE = stt.SpeechEvent(
    stt.SpeechEventType.RECOGNITION_USAGE, recognition_usage=stt.RecognitionUsage(audio_duration=2.0)
)


class Member(STTAdapter):
    def __init__(self) -> None:
        super().__init__(sample_rate=16000, interim_results=True)

    async def _recognize_impl(self, buffer: Any, *, language: Any = NOT_GIVEN, conn_options: Any = None) -> Any:
        raise NotImplementedError


class Direct(DirectStream):
    """A stream as Voxport's are; it ends when it is told how."""

    def __init__(self, member: Member) -> None:
        super().__init__(stt=member, conn_options=DEFAULT_API_CONNECT_OPTIONS)
        self.how: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def _run(self) -> None:
        await self.how

    def _accept_frame(self, frame: rtc.AudioFrame) -> None:
        raise BufferError("full")

    def say(self, *events: stt.SpeechEvent) -> None:
        self._emit(*events)


class Native(stt.RecognizeStream):
    """One as LiveKit's plugins are."""

    def __init__(self, member: Member) -> None:
        super().__init__(stt=member, conn_options=DEFAULT_API_CONNECT_OPTIONS)

    async def _run(self) -> None:
        for event in (INTERIM, USAGE):
            self._event_ch.send_nowait(event)


def leg_of(stream: stt.RecognizeStream, on_event: Any) -> Leg:
    return Leg(0, stream, origin=0.0, interims=True, on_event=on_event)


async def test_events_of_voxports_streams_come_without_a_turn_of_the_loop() -> None:
    member, heard, metrics = Member(), [], []
    member.on("metrics_collected", metrics.append)
    stream = Direct(member)
    leg = leg_of(stream, lambda leg, event: heard.append(event))
    stream.say(INTERIM, USAGE, *[INTERIM] * 2000)
    assert len(heard) == 2002 and heard[:2] == [INTERIM, USAGE], "none is left out, for nobody waits to read them"
    assert [metric.audio_duration for metric in metrics] == [2.0]
    await asyncio.wait_for(stream._wait_until_read(), 1.0)
    await leg.aclose()


async def test_frames_go_to_a_stream_without_its_checks_unless_it_does_more_with_them() -> None:
    class Filtering(Direct):
        def push_frame(self, frame: rtc.AudioFrame) -> None:
            raise BufferError("filtered")

    for kind, says in ((Direct, "full"), (Filtering, "filtered")):
        leg = leg_of(kind(Member()), lambda leg, event: None)
        with pytest.raises(BufferError, match=says):
            leg.push(rtc.AudioFrame(bytes(20), 16000, 1, 10))
        assert leg.stream._pushed_sr == 0, "and no check of the rate, which the stream around it has made"
        await leg.aclose()


async def test_events_come_from_any_stream_and_then_its_end() -> None:
    heard: list[Any] = []
    leg = leg_of(Native(Member()), lambda leg, event: heard.append(event))
    ending = await asyncio.wait_for(leg.ended, 1.0)
    assert heard == [INTERIM, USAGE] and ending.kind == "ended"
    await leg.aclose()


@pytest.mark.parametrize("fails", [False, True])
async def test_how_it_ended_is_known(fails: bool) -> None:
    stream = Direct(Member())
    leg = leg_of(stream, lambda leg, event: None)
    await asyncio.sleep(0)
    if fails:
        stream.how.set_exception(BufferError("full"))
    else:
        stream.how.set_result(None)
    ending = await asyncio.wait_for(leg.ended, 1.0)
    assert (ending.kind, leg.hears) == ("failed" if fails else "ended", False)
    assert str(ending.error) == "full" if fails else "ended its stream" in str(ending.error)
    await leg.aclose()


@pytest.mark.parametrize(
    ("late", "served", "caught_up"), [(0.0, 0.1, True), (4.0, 0.1, False), (4.0, 4.1, False), (4.0, 5.1, True)]
)
async def test_who_was_given_much_late_is_busy_with_it_for_a_while(
    late: float, served: float, caught_up: bool
) -> None:
    leg = leg_of(Direct(Member()), lambda leg, event: None)
    leg.late_seconds = late
    leg.began_at -= served
    leg.end_input()
    assert leg.had_caught_up is caught_up
    await leg.aclose()


async def test_nothing_is_heard_of_a_member_that_was_left() -> None:
    heard: list[Any] = []
    stream = Direct(Member())
    leg = leg_of(stream, lambda leg, event: heard.append(event))
    leg.stop()
    stream.say(INTERIM)
    await leg.aclose()
    assert not heard and not leg.hears


async def test_what_fails_around_a_member_does_not_break_its_own_work() -> None:
    def fail(leg: Leg, event: stt.SpeechEvent) -> None:
        raise BufferError("full")

    stream = Direct(Member())
    leg = leg_of(stream, fail)
    stream.say(INTERIM, INTERIM)
    assert leg.ended.result().kind == "failed" and str(leg.ended.result().error) == "full"
    await leg.aclose()
