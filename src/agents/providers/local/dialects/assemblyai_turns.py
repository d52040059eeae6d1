"""From the recogniser's results to the messages of AssemblyAI's Universal-Streaming v3: turns.

Sources: assemblyai 1.8.2 (``streaming/v3/models.py``) and
https://www.assemblyai.com/docs/streaming/message-sequence. Times are milliseconds.
"""

from __future__ import annotations

from typing import Any

from ..recogniser import Final, Partial, Result, SpeechEnded, SpeechStarted

__all__ = ["LEGACY_MODELS", "Turns", "formatted"]

LEGACY_MODELS = ("universal-streaming-english", "universal-streaming-multilingual", "whisper-rt")
"""Models that format a turn only when asked, in a message of its own; the others always format."""


class Turns:
    """One session's turns. A turn is what is said from the start of speech to its end.

    ``format_turns`` and ``speaker_labels`` may change while it runs. ``language`` is reported with the final
    message of a turn where detection was asked for.
    """

    def __init__(
        self,
        *,
        legacy: bool,
        format_turns: bool = False,
        speaker_labels: bool = False,
        language: str | None = None,
    ) -> None:
        self.format_turns = format_turns
        self._legacy = legacy
        self._speaker = "A" if speaker_labels else None  # whoever speaks: the recogniser tells no voices apart
        self._language = language
        self._order = 0
        self._onset: float | None = None
        self._words: list[dict[str, Any]] = []

    def messages(self, result: Result) -> list[dict[str, Any]]:
        """What the service would send."""
        if isinstance(result, SpeechStarted):
            self._onset = result.at
        elif isinstance(result, Partial):
            return [*self._speech_started(), self._partial(_estimated_words(result))]
        elif isinstance(result, Final):
            return [*self._speech_started(), *self._final(result)]
        elif isinstance(result, SpeechEnded):
            return self._end_of_turn()
        return []

    def _speech_started(self) -> list[dict[str, Any]]:
        """Universal-3 announces speech right before its first words, with the time it began."""
        onset, self._onset = self._onset, None
        if onset is None or self._legacy:
            return []
        return [{"type": "SpeechStarted", "timestamp": _ms(onset), "confidence": 1.0}]

    def _partial(self, tail: list[dict[str, Any]]) -> dict[str, Any]:
        words = [*self._words, *tail]
        # the older models put only words that will not change into `transcript`
        shown = self._words if self._legacy else words
        return self._turn(words, transcript=_text(shown), is_formatted=not self._legacy)

    def _final(self, final: Final) -> list[dict[str, Any]]:
        new: list[dict[str, Any]] = [
            {
                "text": word.text,
                "start": _ms(word.start),
                "end": _ms(word.end),
                "confidence": word.confidence,
                "word_is_final": True,
            }
            for word in final.words
        ]
        if self._speaker is not None:
            for word in new:
                word["speaker"] = self._speaker
        self._words += new
        if not self._legacy:
            return [self._partial([])]
        return [self._turn(self._words, transcript=_text(self._words), utterance=final.text)]

    def _end_of_turn(self) -> list[dict[str, Any]]:
        words, self._words, self._onset = self._words, [], None
        if not words:
            return []
        raw = self._turn(words, transcript=_text(words), ends=True)
        better = formatted(words)
        text = _text(better)
        utterance = "" if self._legacy else text
        nice = self._turn(better, transcript=text, utterance=utterance, ends=True, is_formatted=True)
        self._order += 1
        if not self._legacy:
            return [nice]
        return [raw, nice] if self.format_turns else [raw]

    def _turn(
        self,
        words: list[dict[str, Any]],
        *,
        transcript: str,
        utterance: str = "",
        ends: bool = False,
        is_formatted: bool = False,
    ) -> dict[str, Any]:
        message: dict[str, Any] = {
            "turn_order": self._order,
            "turn_is_formatted": is_formatted,
            "end_of_turn": ends,
            "transcript": transcript,
            "end_of_turn_confidence": 1.0 if ends else 0.0,
            "words": words,
            "utterance": utterance,
        }
        if ends and self._language is not None:
            message |= {"language_code": self._language, "language_confidence": 1.0}
        if ends and self._speaker is not None:
            message["speaker_label"] = self._speaker
        return {**message, "type": "Turn"}


def formatted(words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """*words* as a sentence: a capital at its beginning, a full stop at its end."""
    copies = [dict(word) for word in words]
    copies[0]["text"] = copies[0]["text"][:1].upper() + copies[0]["text"][1:]
    copies[-1]["text"] += "."
    return copies


def _estimated_words(partial: Partial) -> list[dict[str, Any]]:
    """The recogniser's drafts have no word times, so the words share the time by their length."""
    texts = partial.text.split()
    letters = sum(map(len, texts)) or 1
    words, done = [], 0
    for text in texts:
        start, done = done, done + len(text)
        words.append(
            {
                "text": text,
                "start": _ms(partial.start + (partial.end - partial.start) * start / letters),
                "end": _ms(partial.start + (partial.end - partial.start) * done / letters),
                "confidence": 0.0,
                "word_is_final": False,
            }
        )
    return words


def _text(words: list[dict[str, Any]]) -> str:
    return " ".join(word["text"] for word in words)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
