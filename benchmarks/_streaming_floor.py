"""The least a LiveKit STT can cost: the bare loop inside LiveKit's own base class.

What this costs over the bare loop (the queue, the resampling check, the teed channel, the metrics task, the event
objects with their timed words) is LiveKit's contract, and no plugin can do without it. There is no reconnect, no
keepalive, no replay, and no check of anything.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson
from livekit import rtc
from livekit.agents import APIConnectOptions, LanguageCode, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr, TimedString
from livekit.agents.utils import AudioBuffer


class FloorSTT(stt.STT[Any]):
    """Streams to the WebSocket at *url*, sending messages of at least *chunk_bytes*."""

    def __init__(self, url: str, chunk_bytes: int, session: aiohttp.ClientSession) -> None:
        capabilities = stt.STTCapabilities(streaming=True, interim_results=True, aligned_transcript="word")
        super().__init__(capabilities=capabilities)
        self.url = url
        self.chunk_bytes = chunk_bytes
        self.session = session

    async def _recognize_impl(
        self, buffer: AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> FloorStream:
        return FloorStream(self, conn_options)


class FloorStream(stt.RecognizeStream):
    """One task that sends, one that receives."""

    def __init__(self, owner: FloorSTT, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=owner, conn_options=conn_options)
        self._owner = owner

    async def _run(self) -> None:
        async with self._owner.session.ws_connect(self._owner.url) as socket:
            sender = asyncio.create_task(self._send(socket))
            speaking = False
            async for message in socket:
                speaking = self._hear(orjson.loads(message.data), speaking)
            await sender

    async def _send(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        parts: list[memoryview] = []
        held = 0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            parts.append(frame.data.cast("B"))
            held += len(parts[-1])
            if held >= self._owner.chunk_bytes:
                await socket.send_bytes(parts[0] if len(parts) == 1 else b"".join(parts))  # type: ignore[arg-type]
                parts.clear()
                held = 0
        await socket.send_str('{"type":"CloseStream"}')

    def _hear(self, message: dict[str, Any], speaking: bool) -> bool:
        if message["type"] != "Results":
            return speaking
        best = message["channel"]["alternatives"][0]
        if not best["transcript"]:
            return speaking
        send, offset, kinds = self._event_ch.send_nowait, self.start_time_offset, stt.SpeechEventType
        if not speaking:
            send(stt.SpeechEvent(type=kinds.START_OF_SPEECH))
        words = [
            TimedString(
                word["punctuated_word"],
                start_time=word["start"] + offset,
                end_time=word["end"] + offset,
                confidence=word["confidence"],
                start_time_offset=offset,
            )
            for word in best["words"]
        ]
        data = stt.SpeechData(
            language=LanguageCode("en-US"),
            text=best["transcript"],
            start_time=message["start"] + offset,
            end_time=message["start"] + message["duration"] + offset,
            confidence=best["confidence"],
            words=words,
        )
        kind = kinds.FINAL_TRANSCRIPT if message["is_final"] else kinds.INTERIM_TRANSCRIPT
        send(stt.SpeechEvent(type=kind, request_id=message["metadata"]["request_id"], alternatives=[data]))
        if message["speech_final"]:
            send(stt.SpeechEvent(type=kinds.END_OF_SPEECH))
            return False
        return True
