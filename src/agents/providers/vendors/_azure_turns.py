"""One connection to Azure's Speech WebSocket: a row of turns. No I/O.

The service ends a turn after a long silence; the client opens the next under a new request id and sends again
what no phrase has covered. Offsets are ticks from the first sample of the turn. Sources: ``RequestSession.ts``
(``currentTurnAudioOffset``), ``ReplayableAudioNode.ts`` and ``ServiceRecognizerBase.ts`` of the public JavaScript
SDK; azure-cognitiveservices-speech 1.53.0, which was watched to add the last phrase's end to later offsets and to
send the audio after it again; and for the service
https://github.com/Azure-Samples/cognitive-services-speech-sdk/issues/1902.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Union

import orjson

from ..protocol import (
    Conversation,
    Event,
    Failure,
    Final,
    Finished,
    Partial,
    Segment,
    Settings,
    SpeechEnded,
    SpeechStarted,
    Verdict,
    WireMessage,
)
from ._azure_framing import audio_message, read_message, riff_header, text_message

__all__ = ["AzureConversation"]

Samples = Union[bytes, bytearray, memoryview]

_TICKS = 10_000_000
_BYTES_PER_SAMPLE = 2
_KEPT_SECONDS = 120.0
"""More than the service's longest silence; older audio that no phrase covered will not be asked for."""
_UNHEARD_SECONDS = 0.3
"""So much audio after the end of the last turn is not just the rest of a frame."""

_CONFIG: Mapping[str, Any] = {"context": {"system": {"name": "voxport", "version": "1"}, "os": {}}}


class AzureConversation(Conversation):
    """The turns of a connection, around the profile's reading of results.

    Args:
        profile: reads the bodies of messages, with their path.
        settings: of the connection.
        context: for ``speech.context``, the same in every turn but for the continuation.
    """

    def __init__(self, profile: Conversation, settings: Settings, context: Mapping[str, Any]) -> None:
        self._profile = profile
        self._context = context
        self._header = riff_header(settings.sample_rate, settings.channels)
        self._bytes_per_second = settings.sample_rate * settings.channels * _BYTES_PER_SAMPLE
        self._kept: deque[Samples] = deque()  # audio no phrase has covered
        self._kept_from = 0  # bytes of the connection before it
        self._sent = 0  # bytes of the connection
        self._covered = 0.0  # seconds of the connection up to the end of the last phrase
        self._turn_from = 0.0  # seconds of the connection at which the turn's clock began
        self._turn = 0
        self._request_id = ""
        self._service_tag = ""
        self._open = False
        self._closing = False
        self._dictation_ended = False

    # ------------------------------------------------------------------ out

    def opening(self) -> Sequence[WireMessage]:
        return [text_message("speech.config", _CONFIG), *self._open_turn()]

    def audio(self, chunk: Samples) -> Sequence[WireMessage]:
        messages: list[WireMessage] = [] if self._open else self._open_turn()
        messages.append(self._audio_message(chunk))
        self._kept.append(chunk)
        self._sent += len(chunk)
        self._forget(self._sent - round(_KEPT_SECONDS * self._bytes_per_second))
        return messages

    def close(self) -> Sequence[WireMessage]:
        messages: list[WireMessage] = [] if self._open else self._open_turn()
        self._closing = True
        return [*messages, self._audio_message(b"")]

    def _open_turn(self) -> list[WireMessage]:
        """Begin a turn with the audio that no phrase has covered."""
        self._forget(self._bytes_at(self._covered))
        self._turn_from = self._kept_from / self._bytes_per_second
        context = self._context if not self._turn else self._continued()
        self._turn += 1
        self._open = True
        self._dictation_ended = False
        self._request_id = uuid.uuid4().hex
        header = audio_message(self._request_id, self._turn, self._header, content_type="audio/x-wav")
        return [
            text_message("speech.context", context, request_id=self._request_id),
            header,
            *(self._audio_message(chunk) for chunk in self._kept),
        ]

    def _continued(self) -> Mapping[str, Any]:
        """The context of a turn that goes on where the one before ended, and tells the same speakers apart."""
        detection = self._context.get("phraseDetection", {})
        diarization = detection.get("speakerDiarization")
        if diarization is not None:
            diarization = {**diarization, "audioOffsetMs": round(self._turn_from * 1000)}
            detection = {**detection, "speakerDiarization": diarization}
        offset = str(round(self._turn_from * _TICKS))
        return {
            **self._context,
            **({"phraseDetection": detection} if detection else {}),
            "continuation": {
                "previousServiceTag": self._service_tag,
                "audio": {"streams": {"1": {"offset": offset}}},
            },
        }

    def _audio_message(self, payload: Samples) -> bytes:
        return audio_message(self._request_id, self._turn, payload)

    def _bytes_at(self, seconds: float) -> int:
        """The first byte of the sample at *seconds* of the connection."""
        at = round(seconds * self._bytes_per_second)
        return at - at % _BYTES_PER_SAMPLE

    def _forget(self, before: int) -> None:
        """Keep no audio before the byte *before* of the connection."""
        while self._kept and self._kept_from + len(self._kept[0]) <= before:
            self._kept_from += len(self._kept.popleft())
        surplus = before - self._kept_from
        if self._kept and surplus > 0:
            self._kept[0] = memoryview(self._kept[0]).cast("B")[surplus:]
            self._kept_from = before

    # ------------------------------------------------------------------ in

    def receive(self, message: str | bytes) -> Sequence[Event]:
        path, request_id, body = read_message(message)
        if not self._open or request_id != self._request_id:
            return ()  # of a turn that is over
        if path == "turn.start":
            context = body.get("context")
            tag = context.get("serviceTag") if isinstance(context, dict) else None
            self._service_tag = tag if isinstance(tag, str) else ""
            return ()
        if path == "turn.end":
            return self._end_turn()
        body["path"] = path
        events = self._profile.receive(orjson.dumps(body))
        for event in events:
            self._place(event)
        if path == "speech.phrase":
            self._cover(events, body.get("RecognitionStatus") == "EndOfDictation")
        return events

    def _end_turn(self) -> Sequence[Event]:
        self._open = False
        if not self._closing:
            return ()  # the next audio opens the next turn
        left = self._sent / self._bytes_per_second - self._covered
        if self._dictation_ended and left > _UNHEARD_SECONDS and self._covered > self._turn_from:
            # A silence ended the turn before the service saw the end of the audio. Nothing can be sent any more
            # on a connection that was closed, so the rest goes over a new one.
            return [Failure("the turn ended before the audio did", Verdict.RECYCLE)]
        return [Finished()]

    def _place(self, event: Event) -> None:
        """Move the times of *event* from the clock of the turn to that of the connection."""
        base = self._turn_from
        if isinstance(event, (SpeechStarted, SpeechEnded)):
            event.at = _later(event.at, base)
        elif isinstance(event, Segment):
            event.start, event.end = _later(event.start, base), _later(event.end, base)
            for word in event.words or ():
                word.start, word.end = _later(word.start, base), _later(word.end, base)

    def _cover(self, events: Sequence[Event], dictation_ended: bool) -> None:
        for event in events:
            if isinstance(event, Final) and not isinstance(event, Partial) and event.end is not None:
                sent = self._sent / self._bytes_per_second
                if event.end > self._covered:
                    self._covered = min(event.end, sent)
                    self._dictation_ended = dictation_ended


def _later(seconds: float | None, base: float) -> float | None:
    return None if seconds is None else seconds + base
