"""A whole recording through a streaming vendor: push it all, gather what comes back."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
from typing import TYPE_CHECKING

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, stt, utils
from livekit.agents.language import LanguageCode
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from ..protocol import Pcm
from .recording import pcm_of
from .websocket import WebSocketSpeechStream

if TYPE_CHECKING:
    from .streaming import CustomWebSocketSTTAdapter

__all__ = ["joined", "recognise_by_streaming"]

logger = logging.getLogger("agents.providers.stt")

_FRAME_SECONDS = 0.1


async def recognise_by_streaming(
    adapter: CustomWebSocketSTTAdapter,
    buffer: utils.AudioBuffer,
    *,
    language: str | None,
    conn_options: APIConnectOptions | None,
) -> stt.SpeechEvent:
    """One FINAL with everything *adapter*'s vendor hears in *buffer*.

    With ``on_failure="degrade"`` the stream retries by itself, and the FINAL is empty when the retries are spent.
    With ``"raise"`` the first failure is raised: LiveKit's ``recognize`` does the retries.

    Raises:
        APIError: as said, and at once for a permanent failure.
        TypeError, ValueError: *buffer* is not audio, or audio of mixed rates.
    """
    recording = pcm_of(buffer, sample_rate=adapter.sample_rate)
    options = conn_options or DEFAULT_API_CONNECT_OPTIONS
    degrade = adapter.on_failure == "degrade"
    stream = WebSocketSpeechStream(
        stt=adapter,
        language=language,
        conn_options=options if degrade else dataclasses.replace(options, max_retry=0),
        on_failure="raise",
        replay_seconds=math.inf,  # the recording is in memory anyway
    )
    finals: list[stt.SpeechEvent] = []
    pusher = None
    try:
        pusher = asyncio.create_task(_push(stream, recording))
        async for event in stream:
            if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                finals.append(event)
        await pusher
    except APIError as error:
        if not degrade or not error.retryable:
            raise
        adapter.stats.empty_results += 1
        logger.warning("no transcript: %s", error, extra={"stt": adapter.label})
        finals.clear()
    finally:
        if pusher is not None:
            await utils.aio.cancel_and_wait(pusher)
        await stream.aclose()
    return joined(finals, language=language or adapter.language)


async def _push(stream: WebSocketSpeechStream, recording: Pcm) -> None:
    step = int(recording.sample_rate * _FRAME_SECONDS) * 2
    for begin in range(0, len(recording.data), step):
        piece = recording.data[begin : begin + step]
        await stream._send_audio_frame(rtc.AudioFrame(piece, recording.sample_rate, 1, len(piece) // 2))
    stream.end_input()


def joined(finals: list[stt.SpeechEvent], *, language: str | None) -> stt.SpeechEvent:
    """One FINAL from several: texts joined, from the first start to the last end, mean confidence."""
    parts = [event.alternatives[0] for event in finals]
    words = [word for part in parts for word in part.words or []]
    data = stt.SpeechData(
        language=parts[0].language if parts else LanguageCode(language or ""),
        text=" ".join(part.text for part in parts),
        start_time=parts[0].start_time if parts else 0.0,
        end_time=parts[-1].end_time if parts else 0.0,
        confidence=sum(part.confidence for part in parts) / len(parts) if parts else 0.0,
        speaker_id=parts[0].speaker_id if parts else None,
        words=words or None,
    )
    return stt.SpeechEvent(
        type=stt.SpeechEventType.FINAL_TRANSCRIPT,
        request_id=finals[0].request_id if finals else "",
        alternatives=[data],
    )
