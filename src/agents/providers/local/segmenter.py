"""From a stream of samples to utterances: when speech starts, what it says so far, what it said, when it is over.

`Segmenter` is synchronous and knows neither sockets nor a particular recogniser: a `Backend` turns the
samples of an utterance into text. Speech is found by pocketsphinx's own `Endpointer` (WebRTC's voice activity
detector under a sliding window); it works on 30 ms frames counted from the first sample, so results do not
depend on how the audio was cut into messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .extras import require
from .recogniser import SAMPLE_RATE, Final, Flushed, Partial, Result, SpeechEnded, SpeechStarted, Word

__all__ = ["Backend", "Segmenter", "SegmenterOptions"]

_SAMPLE_BYTES = 2


class Backend(Protocol):
    """Turns one utterance into text. PCM is 16-bit mono at `SAMPLE_RATE`."""

    def reset(self) -> None:
        """Forget all about the stream before."""

    def draft_start(self, pcm: bytes) -> None:
        """An utterance begins; these are its first samples."""

    def draft(self, pcm: bytes) -> str:
        """More samples of the utterance; answer the text so far, empty when there is none yet."""

    def draft_end(self) -> None:
        """The utterance that was drafted is over, or abandoned."""

    def final(self, pcm: bytes) -> list[Word]:
        """The words of a whole utterance; times in seconds from its first sample."""


@dataclass(frozen=True)
class SegmenterOptions:
    """When speech starts and ends; all in seconds, ``vad_mode`` from 0 (lets much pass) to 3 (strict).

    Speech starts when 90 % of ``window`` is speech and is over after ``end_silence``. An utterance is given
    to the recogniser with ``lead`` before it and ``tail`` after it. One of ``max_utterance`` is cut, which
    bounds memory and the time a final takes.
    """

    window: float = 0.3
    ratio: float = 0.9
    vad_mode: int = 2
    end_silence: float = 0.5
    lead: float = 0.2
    tail: float = 0.1
    max_utterance: float = 20.0
    draft_interval: float = 0.2


class Segmenter:
    """One stream. Feed it with `accept`, `flush` and `end`; each answers the results that follow from it."""

    def __init__(self, backend: Backend, options: SegmenterOptions | None = None, *, interim: bool = True) -> None:
        self._backend = backend
        self._options = options or SegmenterOptions()
        self._interim = interim
        self._pending = b""  # less than a frame
        self._audio = bytearray()  # samples from `_audio_start` to `_now`
        self._audio_start = 0
        self._now = 0  # samples that went through the endpointer
        self._start: int | None = None  # first sample of the open utterance
        self._speaking = False
        self._earliest = 0  # samples before this one belong to an utterance that has had its final
        self._undrafted = b""
        self._partial = ""
        backend.reset()
        self._new_endpointer()

    def accept(self, pcm: bytes) -> Iterator[Result]:
        """Take samples of any length."""
        data = self._pending + pcm
        size = self._frame_bytes
        whole = len(data) - len(data) % size
        self._pending = data[whole:]
        for at in range(0, whole, size):
            yield from self._frame(data[at : at + size])

    def flush(self) -> Iterator[Result]:
        """Finish the open utterance now, though its speaker may not have: all audio so far gets its final."""
        yield from self._finish_utterance()
        yield Flushed()

    def end(self) -> Iterator[Result]:
        """Finish the open utterance: no more audio comes."""
        yield from self._finish_utterance()

    def close(self) -> None:
        """Abandon the stream."""
        if self._start is not None:
            self._close_utterance()

    def _finish_utterance(self) -> Iterator[Result]:
        if self._start is None:
            return
        self._audio += self._pending  # a part of a frame still holds the end of a word
        self._now += len(self._pending) // _SAMPLE_BYTES
        self._pending = b""
        yield from self._final(self._now)
        yield SpeechEnded(self._seconds(self._now if self._speaking else self._speech_end()))
        self._close_utterance()
        self._new_endpointer()

    def _new_endpointer(self) -> None:
        options = self._options
        sphinx = require("pocketsphinx")
        self._endpointer = sphinx.Endpointer(
            window=options.window, ratio=options.ratio, vad_mode=options.vad_mode, sample_rate=SAMPLE_RATE
        )
        self._endpointer_zero = self._now
        self._frame_bytes: int = self._endpointer.frame_bytes

    def _frame(self, frame: bytes) -> Iterator[Result]:
        self._audio += frame
        self._now += len(frame) // _SAMPLE_BYTES
        self._endpointer.process(frame)
        if self._start is None:
            if self._endpointer.in_speech:
                yield from self._open_utterance()
            else:
                self._forget_before(self._now - self._samples(self._options.window + self._options.lead + 0.1))
            return
        self._speaking = self._endpointer.in_speech
        yield from self._draft(frame)
        if not self._speaking and self._now - self._speech_end() >= self._samples(self._options.end_silence):
            ended = self._speech_end()
            yield from self._final(min(self._now, ended + self._samples(self._options.tail)))
            yield SpeechEnded(self._seconds(ended))
            self._close_utterance()
        elif self._now - self._start >= self._samples(self._options.max_utterance):
            yield from self._final(self._now)
            self._restart_utterance()

    def _open_utterance(self) -> Iterator[Result]:
        spoken = self._endpointer_zero + round(self._endpointer.speech_start * SAMPLE_RATE)
        lead = spoken - self._samples(self._options.lead)
        self._start = max(lead, self._earliest, self._audio_start)
        self._speaking = True
        self._forget_before(self._start)
        yield SpeechStarted(self._seconds(max(spoken, self._start)))
        if self._interim:
            self._backend.draft_start(bytes(self._audio))

    def _restart_utterance(self) -> None:
        """Go on in the same speech after a cut."""
        self._close_utterance()
        self._start = self._now
        self._speaking = True
        if self._interim:
            self._backend.draft_start(b"")

    def _close_utterance(self) -> None:
        if self._interim:
            self._backend.draft_end()
        self._start = None
        self._speaking = False
        self._undrafted = b""
        self._partial = ""
        self._earliest = min(self._now, self._speech_end() + self._samples(self._options.tail))
        self._forget_before(self._earliest)

    def _draft(self, frame: bytes) -> Iterator[Result]:
        if not self._interim:
            return
        self._undrafted += frame
        if len(self._undrafted) < self._samples(self._options.draft_interval) * _SAMPLE_BYTES:
            return
        text = self._backend.draft(self._undrafted)
        self._undrafted = b""
        if text and text != self._partial and self._start is not None:
            self._partial = text
            yield Partial(text, self._seconds(self._start), self._seconds(self._now))

    def _final(self, end: int) -> Iterator[Result]:
        assert self._start is not None
        first = (self._start - self._audio_start) * _SAMPLE_BYTES
        last = (end - self._audio_start) * _SAMPLE_BYTES
        offset = self._seconds(self._start)
        words = tuple(
            Word(word.text, round(offset + word.start, 3), round(offset + word.end, 3), round(word.confidence, 4))
            for word in self._backend.final(bytes(self._audio[first:last]))
        )
        if words:
            confidence = round(sum(word.confidence for word in words) / len(words), 4)
            text = " ".join(word.text for word in words)
            yield Final(text, words[0].start, words[-1].end, confidence, words)

    def _speech_end(self) -> int:
        """The sample at which the endpointer heard the last speech end."""
        heard = self._endpointer_zero + round(self._endpointer.speech_end * SAMPLE_RATE)
        return self._now if self._speaking else min(self._now, heard)

    def _forget_before(self, sample: int) -> None:
        drop = sample - self._audio_start
        if drop > 0:
            del self._audio[: drop * _SAMPLE_BYTES]
            self._audio_start += drop

    @staticmethod
    def _samples(seconds: float) -> int:
        return round(seconds * SAMPLE_RATE)

    @staticmethod
    def _seconds(samples: int) -> float:
        return round(samples / SAMPLE_RATE, 3)
