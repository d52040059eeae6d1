"""The wire formats the oracle speaks: Voxport's generic protocol, and Deepgram's v1 ``/v1/listen``.

Written from the vendors' documentation and independently of the clients they test.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

from .transcriber import Behaviour, Ended, FinalResult, Flushed, HeardWord, PartialResult, Result, Started

__all__ = ["Command", "DeepgramDialect", "Dialect", "GenericDialect", "dialect_for"]

Command = Literal["start", "flush", "close", "keepalive", "unknown"]


class Dialect(ABC):
    """One connection's wire format."""

    path: str
    """Where clients connect to."""
    sample_rate: int | None = None
    """Of the audio, in Hz; ``None`` until the client has said it."""
    interim_results: bool = True

    def __init__(self, behaviour: Behaviour, query: Mapping[str, str], request_id: str) -> None:
        self.behaviour = behaviour
        self.request_id = request_id

    @abstractmethod
    def authorised(self, headers: Mapping[str, str], key: str) -> bool:
        """Whether the handshake's headers hold the key."""

    @abstractmethod
    def read(self, message: str) -> Command:
        """What a text message of the client asks for."""

    @abstractmethod
    def write(self, result: Result) -> Sequence[str]:
        """The messages that tell a result."""

    def opening(self) -> Sequence[str]:
        """Messages right after the client has introduced itself."""
        return ()

    def closing(self, seconds: float) -> Sequence[str]:
        """Last messages before the close, after *seconds* of audio."""
        return ()

    @abstractmethod
    def refusal(self, status: int) -> str:
        """The body of an HTTP error."""


def dialect_for(behaviour: Behaviour, query: Mapping[str, str], request_id: str) -> Dialect:
    """The dialect for a new connection."""
    kind = DeepgramDialect if behaviour.dialect == "deepgram" else GenericDialect
    return kind(behaviour, query, request_id)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _load(message: str) -> dict[str, Any]:
    try:
        value = orjson.loads(message)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class GenericDialect(Dialect):
    """The protocol an in-house server speaks to need no profile."""

    path = "/stt"

    def authorised(self, headers: Mapping[str, str], key: str) -> bool:
        return headers.get("Authorization") == f"Bearer {key}"

    def read(self, message: str) -> Command:
        value = _load(message)
        commands: dict[object, Command] = {"flush": "flush", "end_of_stream": "close"}
        if value.get("type") == "config" and isinstance(value.get("sample_rate"), int):
            self.sample_rate = value["sample_rate"]
            self.interim_results = bool(value.get("interim_results", True))
            return "start"
        return commands.get(value.get("type"), "unknown")

    def opening(self) -> Sequence[str]:
        return [_json({"type": "ready"})] if self.behaviour.ready else []

    def write(self, result: Result) -> Sequence[str]:
        if isinstance(result, Started):
            return (
                [_json({"type": "speech_started", **self._at(result.at)})] if self.behaviour.speech_events else []
            )
        if isinstance(result, Ended):
            says_so = self.behaviour.speech_events is True
            return [_json({"type": "speech_ended", **self._at(result.at)})] if says_so else []
        if isinstance(result, Flushed):
            return [_json({"type": "flushed"})]
        if isinstance(result, PartialResult) and not self.interim_results:
            return []
        return [_json(self._transcription(result))]

    def _at(self, at: float) -> dict[str, float]:
        return {"at": at} if self.behaviour.times else {}

    def _transcription(self, result: PartialResult | FinalResult) -> dict[str, Any]:
        message: dict[str, Any] = {
            "type": "transcription",
            "text": " ".join(word.text for word in result.words),
            "is_final": isinstance(result, FinalResult),
            "confidence": 0.9,
        }
        if self.behaviour.times:
            # the speech, not the segment: this dialect says when the words were spoken
            message["start"] = result.words[0].start if result.words else result.start
            message["end"] = result.words[-1].end if result.words else result.end
        if self.behaviour.words:
            message["words"] = [self._word(word) for word in result.words]
        return message

    def _word(self, word: HeardWord) -> dict[str, Any]:
        times = {"start": word.start, "end": word.end} if self.behaviour.times else {}
        return {"word": word.text, **times, "confidence": 0.9}

    def refusal(self, status: int) -> str:
        return _json({"type": "error", "message": "refused by the schedule", "code": status})


class DeepgramDialect(Dialect):
    """Deepgram's streaming API (https://developers.deepgram.com/reference/speech-to-text/listen-streaming)."""

    path = "/v1/listen"

    def __init__(self, behaviour: Behaviour, query: Mapping[str, str], request_id: str) -> None:
        super().__init__(behaviour, query, request_id)
        self.sample_rate = int(query.get("sample_rate", "16000"))
        self.interim_results = query.get("interim_results", "false") == "true"
        self._speech_events = query.get("vad_events", "false") == "true" and bool(behaviour.speech_events)
        self._utterance_end = "utterance_end_ms" in query

    def authorised(self, headers: Mapping[str, str], key: str) -> bool:
        return headers.get("Authorization") in (f"Token {key}", f"Bearer {key}")

    def read(self, message: str) -> Command:
        commands: dict[object, Command] = {
            "Finalize": "flush",
            "CloseStream": "close",
            "KeepAlive": "keepalive",
        }
        return commands.get(_load(message).get("type"), "unknown")

    def write(self, result: Result) -> Sequence[str]:
        if isinstance(result, Started):
            message = {"type": "SpeechStarted", "channel": [0, 1], "timestamp": result.at}
            return [_json(message)] if self._speech_events else []
        if isinstance(result, Ended):
            message = {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": result.at}
            return [_json(message)] if self._utterance_end else []
        if isinstance(result, Flushed):
            return []  # `from_finalize` of the Results before it is the answer
        if isinstance(result, PartialResult) and not self.interim_results:
            return []
        return [_json(self._results(result))]

    def _results(self, result: PartialResult | FinalResult) -> dict[str, Any]:
        final = result if isinstance(result, FinalResult) else None
        alternative = {
            "transcript": " ".join(word.text for word in result.words),
            "confidence": 0.9 if result.words else 0.0,
            "words": [
                {
                    "word": word.text,
                    "punctuated_word": word.text,
                    "start": word.start,
                    "end": word.end,
                    "confidence": 0.9,
                }
                for word in result.words
            ],
        }
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "start": result.start,
            "duration": result.end - result.start,
            "is_final": final is not None,
            "speech_final": final is not None and final.ends_utterance,
            "from_finalize": final is not None and final.from_flush,
            "channel": {"alternatives": [alternative]},
            "metadata": {"request_id": self.request_id},
        }

    def closing(self, seconds: float) -> Sequence[str]:
        return [_json({"type": "Metadata", "request_id": self.request_id, "duration": seconds, "channels": 1})]

    def refusal(self, status: int) -> str:
        return _json(
            {"err_code": str(status), "err_msg": "refused by the schedule", "request_id": self.request_id}
        )
