"""Deepgram v2 (Flux) over a WebSocket: turns instead of segments.

A turn begins with its first words and ends after a pause that grows with ``eot_threshold``, or ``eot_timeout_ms``
after its last word, or at ``ForceEndTurn``. With ``eager_eot_threshold`` the recogniser's own, shorter pause is
announced as ``EagerEndOfTurn`` first; speech before the turn is over resumes it. ``CloseStream`` ends an open turn
without ``EndOfTurn``, and the connection without a status.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..recogniser import Final, Flushed, Partial, Result, SpeechEnded, SpeechStarted, Word
from .base import RequestFailed, Services
from .deepgram_listen import spread
from .deepgram_socket import DeepgramConversation

__all__ = ["THRESHOLDS", "FluxConversation"]

_RECOGNISERS_PAUSE = 0.5
THRESHOLDS = {"eager_eot_threshold": (0.3, 0.9), "eot_threshold": (0.5, 1.0), "eot_timeout_ms": (500, 60000)}


class FluxConversation(DeepgramConversation):
    """One client of ``/v2/listen``."""

    def __init__(self, services: Services, request: web.Request, query: dict[str, list[str]]) -> None:
        super().__init__(services, request, query)
        self._multilingual = query["model"][0] == "flux-general-multi"
        self._thresholds = {name: float(query[name][0]) for name in THRESHOLDS if name in query}
        self._thresholds.setdefault("eot_threshold", 0.7)
        self._thresholds.setdefault("eot_timeout_ms", 5000)
        self._keyterms = list(query.get("keyterm", []))
        self._hints = list(query.get("language_hint", []))
        self._numerals = query.get("numerals", ["false"])[0].lower() == "true"
        self._language = self.services.language("")
        self._sequence = 0
        self._turn = 0
        self._open = False  # StartOfTurn was sent
        self._eager = False  # EagerEndOfTurn was sent, and nothing after it
        self._words: list[Word] = []  # of this turn's finished speech
        self._draft: tuple[Word, ...] = ()
        self._begin = self._end = 0.0  # the audio this turn's text is of
        self._over_at: float | None = None  # when the turn ends, unless speech comes before
        self._flushes = 0
        self._closing = False

    async def greet(self) -> None:
        await super().greet()
        await self._say("Connected")

    # --- what the client says ---

    async def command(self, message: dict[str, Any]) -> bool:
        kind = message["type"]
        if kind == "CloseStream":
            self._closing = True
            return True
        if kind == "ForceEndTurn":
            self._flushes += 1
            await self.session.flush()
        elif kind == "Configure":
            await self._configure(message)
        else:
            await self.bad_command(kind)
        return False

    async def bad_command(self, text: str) -> None:
        raise RequestFailed(400, "the last text message is not one of this service", "UNPARSABLE_CLIENT_MESSAGE")

    async def _configure(self, message: dict[str, Any]) -> None:
        problem = _problem(message, self._multilingual)
        if problem:
            await self._say("ConfigureFailure", code="INVALID_CONFIGURATION", description=problem)
            return
        self._thresholds.update(message.get("thresholds") or {})
        self._keyterms = message["keyterms"] if message.get("keyterms") is not None else self._keyterms
        self._hints = message["language_hints"] if message.get("language_hints") is not None else self._hints
        self._numerals = message.get("numerals", self._numerals)
        answer: dict[str, Any] = {"thresholds": self._thresholds, "keyterms": self._keyterms}
        if self._multilingual:
            answer["language_hints"] = self._hints
        await self._say("ConfigureSuccess", **answer, numerals=self._numerals)

    async def audio_passed(self) -> None:
        await self._end_turn_when_due()

    # --- what was heard ---

    async def write(self, result: Result) -> None:
        if isinstance(result, SpeechStarted):
            if self._over_at is not None and result.at >= self._over_at:
                await self._end_turn("model")
            self._over_at = None
        elif isinstance(result, Partial):
            self._draft, self._end = spread(result), max(self._end, result.end)
            await self._update()
        elif isinstance(result, Final):
            self._words += result.words
            self._draft, self._end = (), max(self._end, result.end)
            await self._update()
        elif isinstance(result, SpeechEnded):
            await self._speech_ended(result.at)
        elif isinstance(result, Flushed):
            self._flushes = max(self._flushes - 1, 0)
            await self._end_turn("manual")

    async def _update(self) -> None:
        """More text in this turn: its first opens it, one after an eager end resumes it."""
        if not self._words and not self._draft:
            return
        if not self._open:
            self._open = True
            await self._turn_info("StartOfTurn", 0.1)
        elif self._eager:
            self._eager = False
            await self._turn_info("TurnResumed", 0.1)
        else:
            await self._turn_info("Update", 0.3)

    async def _speech_ended(self, at: float) -> None:
        # after a ForceEndTurn it is that which ends the turn, after a CloseStream nothing does
        if not self._open or self._flushes or self._closing:
            return
        eager = self._thresholds.get("eager_eot_threshold")
        if eager is not None:
            self._eager = True
            await self._turn_info("EagerEndOfTurn", eager)
        pause = _RECOGNISERS_PAUSE + 2 * (self._thresholds["eot_threshold"] - 0.4)
        self._over_at = at + min(pause, self._thresholds["eot_timeout_ms"] / 1000)
        await self._end_turn_when_due()

    async def _end_turn_when_due(self) -> None:
        if self._over_at is not None and self.accepted >= self._over_at:
            await self._end_turn("model")

    async def _end_turn(self, trigger: str) -> None:
        self._over_at = None
        if self._open:
            self._open = self._eager = False
            await self._turn_info("EndOfTurn", max(self._thresholds["eot_threshold"], 0.8), trigger=trigger)
            self._turn += 1
        self._words, self._draft, self._begin = [], (), self._end

    async def _turn_info(self, event: str, confidence: float, **more: Any) -> None:
        words = [*self._words, *self._draft]
        if self._multilingual:
            more["languages"] = [self._language]
        await self._say(
            "TurnInfo",
            event=event,
            turn_index=self._turn,
            audio_window_start=round(self._begin, 3),
            audio_window_end=round(self._end, 3),
            transcript=" ".join(word.text for word in words),
            words=[{"word": w.text, "confidence": w.confidence, "start": w.start, "end": w.end} for w in words],
            end_of_turn_confidence=confidence,
            **more,
        )

    async def _say(self, kind: str, **fields: Any) -> None:
        await self.send(self._message(kind, **fields))

    def _message(self, kind: str, **fields: Any) -> dict[str, Any]:
        number, self._sequence = self._sequence, self._sequence + 1
        return {"type": kind, "request_id": self.request_id, "sequence_id": number, **fields}

    async def finish(self) -> None:
        await self.close_without_status()

    def failed(self, failure: RequestFailed) -> tuple[dict[str, Any] | None, int, str]:
        if failure.status == 408:
            return super().failed(failure)
        code = failure.code if failure.code.isupper() else "INTERNAL_SERVER_ERROR"
        message = self._message("Error", code=code, description=failure.message)
        return message, 1008 if failure.status == 400 else 1011, code


def _problem(message: dict[str, Any], multilingual: bool) -> str:
    """What is wrong with a Configure; empty when nothing is."""
    thresholds = message.get("thresholds") or {}
    if not isinstance(thresholds, dict) or not set(thresholds) <= set(THRESHOLDS):
        return f"thresholds may be {', '.join(THRESHOLDS)}"
    for name, value in thresholds.items():
        low, high = THRESHOLDS[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            return f"{name} must be between {low} and {high}"
    for name in ("keyterms", "language_hints"):
        value = message.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            return f"{name} must be a list of strings"
    if message.get("language_hints") and not multilingual:
        return "language_hints need flux-general-multi"
    return ""
