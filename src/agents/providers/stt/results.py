"""From what a vendor recognised to the event LiveKit expects of it."""

from __future__ import annotations

from livekit.agents import stt
from livekit.agents.language import LanguageCode
from livekit.agents.types import NOT_GIVEN, TimedString

from ..protocol import Recognition, Settings, Usage, Word

__all__ = ["final_event"]


def final_event(recognition: Recognition, settings: Settings) -> stt.SpeechEvent:
    """The one event of a whole recording; its times are seconds from the beginning of the recording."""
    return stt.SpeechEvent(
        type=stt.SpeechEventType.FINAL_TRANSCRIPT,
        request_id=recognition.request_id,
        alternatives=[
            stt.SpeechData(
                language=LanguageCode(recognition.language or settings.language or ""),
                text=recognition.text,
                start_time=recognition.start or 0.0,
                end_time=recognition.end or 0.0,
                confidence=recognition.confidence,
                speaker_id=recognition.speaker,
                words=[_timed(word) for word in recognition.words] if recognition.words else None,
                metadata=recognition.metadata,
            )
        ],
        recognition_usage=_billed(recognition.usage) if recognition.usage else None,
    )


def _timed(word: Word) -> TimedString:
    """LiveKit's word; what the vendor did not say is not given, since 0 would be a time."""
    return TimedString(
        word.text,
        start_time=NOT_GIVEN if word.start is None else word.start,
        end_time=NOT_GIVEN if word.end is None else word.end,
        confidence=word.confidence or NOT_GIVEN,
        speaker_id=word.speaker,
    )


def _billed(usage: Usage) -> stt.RecognitionUsage:
    return stt.RecognitionUsage(
        audio_duration=usage.audio_seconds, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens
    )
