"""What vendors that speak are made of: text in pieces, one encoded stream out, words with their times."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from .encoding import Encoder
from .synthesiser import SAMPLE_RATE, SpokenWord, SynthesisError, Voice, speak

__all__ = ["HeardWord", "Sentences", "Speech", "SpeechForm", "at_speed", "voice_of"]

_VARIANTS = ("f3", "m3", "f2", "m1", "f4", "m7", "f1", "m2")
_LANGUAGES = {"en": "en-us", "fr": "fr-fr", "pt": "pt-br", "zh": "cmn", "no": "nb"}
_BASE_RATE = 160  # words per minute at speed 1.0
_SLOWEST, _FASTEST = 80, 450

_SENTENCE_END = re.compile(r"[.!?…:;]+[\"')\]]*\s+|\n+")


def voice_of(number: int, language: str | None = None, speed: float = 1.0) -> Voice:
    """A voice of espeak-ng for the *number*-th voice of a vendor, in *language*, at *speed* (1.0 is normal).

    A language espeak-ng does not have is found out when it speaks: `SynthesisError`.
    """
    tag = (language or "en").lower().replace("_", "-")
    name = tag if tag in {"en-us", "en-gb"} else tag.partition("-")[0]
    voice = Voice(f"{_LANGUAGES.get(name, name)}+{_VARIANTS[number % len(_VARIANTS)]}")
    return at_speed(voice, speed)


def at_speed(voice: Voice, speed: float) -> Voice:
    """*voice*, faster or slower."""
    return replace(voice, rate=min(_FASTEST, max(_SLOWEST, round(_BASE_RATE * speed))))


class Sentences:
    """Text in pieces of any size, out as sentences; a colon or a semicolon ends one, too."""

    def __init__(self) -> None:
        self._text = ""

    def __len__(self) -> int:
        return len(self._text)

    def add(self, text: str) -> list[str]:
        """Take more text; answer the sentences that are complete now, spaces included."""
        self._text += text
        ends = [match.end() for match in _SENTENCE_END.finditer(self._text)]
        whole = [self._text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        self._text = self._text[ends[-1] :] if ends else self._text
        return whole

    def take(self) -> str:
        """What is left."""
        rest, self._text = self._text, ""
        return rest


@dataclass(frozen=True)
class SpeechForm:
    """How speech is sent: a format of `Encoder`, samples per second, bits per second where there is a choice."""

    encoding: str = "pcm"
    rate: int | None = None
    bit_rate: int | None = None


@dataclass(frozen=True)
class HeardWord:
    """A word as it is written, and when it is heard: seconds from the beginning of the speech.

    ``first`` is its first character in the text that was given to `Speech.say`.
    """

    text: str
    first: int
    start: float
    end: float


class Speech:
    """One speech: whatever is said in it is one encoded stream, with one clock."""

    def __init__(self, voice: Voice, form: SpeechForm) -> None:
        self._voice = voice
        self._form = form
        self._encoder = self._fresh()
        self._samples = 0

    @property
    def rate(self) -> int:
        """Samples per second of what is sent."""
        return self._encoder.rate

    @property
    def media_type(self) -> str:
        """Of what is sent."""
        return self._encoder.format.media_type

    @property
    def seconds(self) -> float:
        """How much has been said."""
        return self._samples / SAMPLE_RATE

    async def say(self, text: str) -> AsyncGenerator[bytes | HeardWord, None]:
        """Encoded audio as it is made, each word after the audio it is in.

        Raises `SynthesisError` for a voice or language espeak-ng does not have.
        """
        if not text.strip():
            return
        began = self._samples
        spoken = speak(text, self._voice)
        try:
            async for piece in spoken:
                if isinstance(piece, SpokenWord):
                    yield HeardWord(
                        piece.text,
                        piece.first,
                        (began + piece.start) / SAMPLE_RATE,
                        (began + piece.end) / SAMPLE_RATE,
                    )
                    continue
                self._samples += len(piece) // 2
                if coded := self._encoder.feed(piece):
                    yield coded
        finally:
            await spoken.aclose()

    def flush(self) -> bytes:
        """What the encoder holds back, where it can be had without ending the stream."""
        if self._encoder.format.media_type == "audio/wav" or self._encoder.format.container in {"ogg", "flac"}:
            return b""
        return self.finish()

    def finish(self) -> bytes:
        """The end of the stream; what is said then begins another."""
        rest = self._encoder.finish()
        self._encoder = self._fresh()
        return rest

    def close(self) -> None:
        """Free the encoder."""
        self._encoder.close()

    def _fresh(self) -> Encoder:
        try:
            return Encoder(self._form.encoding, SAMPLE_RATE, rate=self._form.rate, bit_rate=self._form.bit_rate)
        except ValueError as error:  # FFmpeg's, for a rate the codec does not have
            raise SynthesisError(f"{self._form.encoding} cannot be made at {self._form.rate} Hz") from error
