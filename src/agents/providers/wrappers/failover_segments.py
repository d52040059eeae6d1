"""A batch recogniser as a member of a failover stream: a VAD cuts its audio, and every FINAL has times.

LiveKit's ``StreamAdapter`` does the same without times, and drops an utterance that is open when the input ends.
Without times nobody knows which audio a FINAL covers; here the VAD's clock tells.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, stt, utils, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

__all__ = ["SegmentedSTT", "recognise_or_raise"]

_CLOSING_SILENCE_SECONDS = 2.0
"""So much silence after the end of the input ends the last utterance for every VAD."""

_FRAME_SECONDS = 0.1


_asked: contextvars.ContextVar[list[Exception] | None] = contextvars.ContextVar("voxport_asked", default=None)


class SegmentedSTT(stt.StreamAdapter):
    """Makes streams of *stt*, which recognises recordings only. It owns neither of the two.

    Args:
        stt: the batch recogniser.
        vad: what finds the utterances.
    """

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> SegmentedStream:
        return SegmentedStream(self, vad=self._vad, language=language, conn_options=conn_options)


class SegmentedStream(stt.RecognizeStream):
    """One caller's audio, utterance by utterance. One without words gives an empty FINAL."""

    def __init__(
        self, stt: SegmentedSTT, *, vad: vad.VAD, language: NotGivenOr[str], conn_options: APIConnectOptions
    ) -> None:
        super().__init__(stt=stt, conn_options=dataclasses.replace(conn_options, max_retry=0))
        self._recogniser = stt.wrapped_stt
        self._vad = vad
        self._language = language
        self._recognise_options = conn_options
        self._pushed_seconds = 0.0

    async def _metrics_monitor_task(self, event_aiter: Any) -> None:
        async for _ in event_aiter:  # the recogniser reports its own
            pass

    async def _run(self) -> None:
        hearing = self._vad.stream()
        tasks = [
            asyncio.create_task(self._feed(hearing), name="voxport.segments.feed"),
            asyncio.create_task(self._recognise_all(hearing), name="voxport.segments.recognise"),
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            await utils.aio.cancel_and_wait(*tasks)
            await hearing.aclose()

    async def _feed(self, hearing: vad.VADStream) -> None:
        rate = 0
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):  # a flush would make the VAD forget the utterance it is in
                rate = item.sample_rate
                self._pushed_seconds += item.duration
                hearing.push_frame(item)
        if rate:
            samples = round(rate * _FRAME_SECONDS)
            for _ in range(round(_CLOSING_SILENCE_SECONDS / _FRAME_SECONDS)):
                hearing.push_frame(rtc.AudioFrame(bytes(2 * samples), rate, 1, samples))
        hearing.end_input()

    async def _recognise_all(self, hearing: vad.VADStream) -> None:
        async for event in hearing:
            if event.type is vad.VADEventType.START_OF_SPEECH:
                self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.START_OF_SPEECH))
            elif event.type is vad.VADEventType.END_OF_SPEECH:
                await self._recognise(event)

    async def _recognise(self, segment: vad.VADEvent) -> None:
        result = await recognise_or_raise(
            self._recogniser,
            utils.merge_frames(segment.frames),
            language=self._language,
            conn_options=self._recognise_options,
        )
        heard = result.alternatives[0] if result.alternatives else stt.SpeechData(language="", text="")  # type: ignore[arg-type]
        start, end = self._span(segment)
        # words have the clock of the recording that was recognised, which begins somewhere before the speech
        data = dataclasses.replace(heard, start_time=start, end_time=end, words=None)
        self._event_ch.send_nowait(
            stt.SpeechEvent(
                stt.SpeechEventType.FINAL_TRANSCRIPT, request_id=result.request_id, alternatives=[data]
            )
        )
        self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.END_OF_SPEECH))

    def _span(self, segment: vad.VADEvent) -> tuple[float, float]:
        """Where the utterance is, with the offset; zeros where the VAD's clock is not that of the audio."""
        end = segment.timestamp - segment.silence_duration
        start = end - segment.speech_duration
        if not (math.isfinite(end) and 0 < end <= self._pushed_seconds + _FRAME_SECONDS):
            return 0.0, 0.0
        offset = self._start_time_offset
        return max(start, 0.0) + offset, min(end, self._pushed_seconds) + offset


async def recognise_or_raise(
    recogniser: stt.STT[Any],
    buffer: Any,
    *,
    language: NotGivenOr[str],
    conn_options: APIConnectOptions,
) -> stt.SpeechEvent:
    """Have *buffer* recognised. An empty result that comes with an error is the error.

    So a member that degrades by itself (Voxport's default) is not taken for one that heard nothing.

    Raises:
        Exception: whatever *recogniser* raises, or has reported.
    """
    with _errors_of(recogniser) as errors:
        result = await recogniser.recognize(buffer, language=language, conn_options=conn_options)
    if errors and not any(data.text.strip() for data in result.alternatives):
        raise errors[-1]
    return result


@contextmanager
def _errors_of(recogniser: stt.STT[Any]) -> Iterator[list[Exception]]:
    """What *recogniser* reports of the work that is begun inside: several callers may share it."""
    errors: list[Exception] = []

    def note(error: Any) -> None:
        if _asked.get() is errors:
            found = getattr(error, "error", None)
            errors.append(found if isinstance(found, Exception) else APIConnectionError(str(error)))

    recogniser.on("error", note)
    token = _asked.set(errors)
    try:
        yield errors
    finally:
        _asked.reset(token)
        recogniser.off("error", note)
