"""Deepgram v1 over a WebSocket: ``Results``, ``SpeechStarted``, ``UtteranceEnd``, ``Metadata``, ``Configure``.

Each ``Results`` speaks of the audio since the last final one, so that finals lie end to end.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from aiohttp import web

from ..recogniser import Final, Flushed, Partial, Result, SpeechEnded, SpeechStarted, Word
from .base import Services
from .deepgram_socket import DeepgramConversation, number

__all__ = ["ListenConversation", "alternative", "model_info", "spread"]

_MODEL_UUID = "00000000-0000-4000-8000-766f78706f72"
_KEYTERM_TOKENS = 500


def model_info(model: str) -> dict[str, Any]:
    """What answers say about the model, by its id."""
    return {_MODEL_UUID: {"name": model or "base", "version": "local", "arch": model.partition("-")[0] or "base"}}


def alternative(segments: Sequence[Final], query: dict[str, list[str]], language: str) -> dict[str, Any]:
    """The one alternative for what was said."""
    words = [entry for segment in segments for entry in _words(segment.words, query, language)]
    scores = [word["confidence"] for word in words]
    shown = "punctuated_word" if _on(query, "punctuate") or _on(query, "smart_format") else "word"
    said: dict[str, Any] = {
        "transcript": " ".join(word[shown] for word in words),
        "confidence": round(sum(scores) / len(scores), 4) if scores else 0.0,
        "words": words,
    }
    if query.get("language", [""])[0] == "multi":
        said["languages"] = [language] if words else []
        said["languages_hinted"] = query.get("language_hint", [])
    return said


def spread(partial: Partial) -> tuple[Word, ...]:
    """The words of a draft, which has no times for them: evenly over its audio, half trusted."""
    texts = partial.text.split()
    each = (partial.end - partial.start) / max(len(texts), 1)
    return tuple(
        Word(text, round(partial.start + i * each, 3), round(partial.start + (i + 1) * each, 3), 0.5)
        for i, text in enumerate(texts)
    )


def _on(query: dict[str, list[str]], name: str) -> bool:
    return query.get(name, [""])[0].lower() not in {"", "false"}


def _words(words: Sequence[Word], query: dict[str, list[str]], language: str) -> list[dict[str, Any]]:
    formatted = _on(query, "punctuate") or _on(query, "smart_format")
    entries = []
    for i, word in enumerate(words):
        entry = {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}
        if formatted:
            text = word.text.capitalize() if i == 0 else word.text
            entry["punctuated_word"] = text + "." * (i == len(words) - 1)
        if _on(query, "diarize") or _on(query, "diarize_model"):
            entry["speaker"] = 0
        if query.get("language", [""])[0] == "multi":
            entry["language"] = language
        entries.append(entry)
    return entries


class ListenConversation(DeepgramConversation):
    """One client of ``/v1/listen``."""

    def __init__(self, services: Services, request: web.Request, query: dict[str, list[str]]) -> None:
        super().__init__(services, request, query)
        self._query = query
        self._model = query.get("model", ["base"])[0]
        self._language = self.services.language(query.get("language", [""])[0])
        self._interim = _on(query, "interim_results")
        self._vad_events = _on(query, "vad_events")
        self._endpointing = query.get("endpointing", ["10"])[0].lower() != "false"
        if self._endpointing:
            number(query, "endpointing", 10)
        self._utterance_gap = number(query, "utterance_end_ms", 0) / 1000
        self._covered = 0.0  # seconds of audio that final results speak of
        self._held: Final | None = None  # until it is known what it was the end of
        self._held_ends = False
        self._finalizes: deque[float] = deque()  # how much audio had come before each one not answered yet
        self._last_word_end: float | None = None  # of an utterance whose UtteranceEnd is due

    # --- what the client says ---

    async def command(self, message: dict[str, Any]) -> bool:
        kind = message["type"]
        if kind == "CloseStream":
            return True
        if kind == "Finalize":
            self._finalizes.append(self.accepted)
            await self.session.flush()
        elif kind == "Configure":
            await self._configure(message)
        elif kind != "KeepAlive":
            await self.bad_command(f"unknown type {kind}")
        return False

    async def bad_command(self, text: str) -> None:
        description = "Could not deserialize last text message"
        await self.send({"type": "Error", "variant": "SchemaError", "description": description, "message": text})

    async def _configure(self, message: dict[str, Any]) -> None:
        keyterms, features = message.get("keyterms"), message.get("features")
        if not _is_list_of(keyterms, str) or not isinstance(features or {}, dict):
            await self.bad_command(str(message))
            return
        code = description = ""
        if keyterms is not None and not self._model.startswith("nova-3"):
            code, description = "CONFIGURE_KEYTERMS_NOT_SUPPORTED", "only nova-3 models change keyterms"
        elif sum(len(term.split()) for term in keyterms or ()) > _KEYTERM_TOKENS:
            code, description = "CONFIGURE_KEYTERM_LIMIT_EXCEEDED", f"more than {_KEYTERM_TOKENS} tokens"
        head = {"request_id": self.request_id}
        if code:
            await self.send({"type": "ConfigureFailure", **head, "code": code, "description": description})
            return
        if keyterms is not None:
            head["keyterms"] = keyterms
        await self.send({"type": "ConfigureSuccess", **head})

    async def audio_passed(self) -> None:
        await self._end_utterance_when_due()

    # --- what was heard ---

    async def write(self, result: Result) -> None:
        if isinstance(result, Final):
            await self._release()
            self._held = result
        elif isinstance(result, SpeechEnded):
            self._held_ends = True
            if not self._finalizes:  # else it is the answer to the Finalize on its way
                await self._release()
        elif isinstance(result, Flushed):
            await self._release(finalized=self._finalizes.popleft())
        elif isinstance(result, SpeechStarted):
            await self._release()
            self._last_word_end = None
            if self._vad_events:
                await self.send({"type": "SpeechStarted", "channel": [0, 1], "timestamp": result.at})
        elif isinstance(result, Partial) and self._interim:
            await self._release()
            draft = Final(result.text, result.start, result.end, 0.5, spread(result))
            await self._results([draft], result.end, is_final=False)

    async def _release(self, *, finalized: float | None = None) -> None:
        """Send the final that was held back.

        *finalized*: it answers a Finalize that came after so many seconds of audio; an empty one does so too.
        """
        held, ends = self._held, self._held_ends
        self._held, self._held_ends = None, False
        if held is None and finalized is None:
            return
        await self._results(
            [held] if held is not None else [],
            max(self._covered, held.end if held is not None else 0.0, finalized or 0.0),
            is_final=True,
            speech_final=ends and self._endpointing,
            from_finalize=finalized is not None,
        )
        if held is not None and self._utterance_gap:
            self._last_word_end = held.end
            await self._end_utterance_when_due()

    async def _results(
        self,
        said: Sequence[Final],
        end: float,
        *,
        is_final: bool,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> None:
        start = self._covered
        if is_final:
            self._covered = end
        await self.send(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "start": round(start, 3),
                "duration": round(max(end - start, 0.0), 3),
                "is_final": is_final,
                "speech_final": speech_final,
                "from_finalize": from_finalize,
                "channel": {"alternatives": [alternative(said, self._query, self._language)]},
                "metadata": {
                    "request_id": self.request_id,
                    "model_info": model_info(self._model)[_MODEL_UUID],
                    "model_uuid": _MODEL_UUID,
                },
            }
        )

    async def _end_utterance_when_due(self) -> None:
        """UtteranceEnd comes so much audio after the last word, unless somebody speaks again."""
        end = self._last_word_end
        if end is not None and self.accepted >= end + self._utterance_gap:
            self._last_word_end = None
            await self.send({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": end})

    async def finish(self) -> None:
        await self._release()
        await self.send(
            {
                "type": "Metadata",
                "transaction_key": "deprecated",
                "request_id": self.request_id,
                "sha256": hashlib.sha256(self.request_id.encode()).hexdigest(),
                "created": datetime.now(timezone.utc).isoformat(),
                "duration": round(self.accepted, 3),
                "channels": 1,
                "models": [_MODEL_UUID],
                "model_info": model_info(self._model),
            }
        )


def _is_list_of(value: Any, kind: type) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, kind) for item in value))
