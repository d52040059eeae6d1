"""Speech, its encodings, and what is said when something is wrong with the request."""

from __future__ import annotations

import asyncio
import itertools

import av
import numpy as np
import pytest

from agents.providers.local.caller import CALLER_LINES
from agents.providers.local.encoding import Encoder
from agents.providers.local.responder import pieces, respond
from agents.providers.local.synthesiser import (
    SAMPLE_RATE,
    SpokenWord,
    SynthesisError,
    Voice,
    speak,
    synthesise,
    synthesise_stream,
    voice_names,
)


async def test_two_at_a_time_do_not_mix() -> None:
    """The library is global to the process; each caller gets the length of its own text."""

    async def length(text: str) -> int:
        return sum([len(block) async for block in synthesise_stream(text)])

    short, long = "yes", "this is a much longer sentence than the other one is"
    alone = [len(synthesise(short)), len(synthesise(long))]
    together = await asyncio.gather(*(length(text) for text in [short, long] * 3))
    for index, got in enumerate(together):
        assert got == pytest.approx(alone[index % 2], rel=0.05)


async def test_closing_the_stream_stops_the_synthesis() -> None:
    """The thread is free for the next one at once."""
    stream = synthesise_stream("one two three four five " * 150)
    assert await anext(stream)
    await stream.aclose()
    assert synthesise("yes")


def test_rate_changes_the_length() -> None:
    """Words per minute."""
    slow, fast = (len(synthesise("what are your opening hours", Voice(rate=rate))) for rate in (120, 240))
    assert slow > 1.5 * fast > 1.5 * SAMPLE_RATE // 2


def test_wrong_voices_and_settings_are_named() -> None:
    """Before and in the library."""
    with pytest.raises(SynthesisError, match="no voice 'martian'"):
        synthesise("hello", Voice("martian"))
    with pytest.raises(SynthesisError, match="rate=1000 is out of range"):
        Voice(rate=1000)
    assert "en-us" in voice_names()


def _runs(pcm: bytes, quiet_seconds: float = 0.15) -> list[tuple[float, float]]:
    """Where in the audio something is heard, between silences of that length, in seconds."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 200)
    breaks = np.flatnonzero(np.diff(loud) > quiet_seconds * SAMPLE_RATE)
    starts, ends = loud[np.r_[0, breaks + 1]], loud[np.r_[breaks, len(loud) - 1]]
    return [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in zip(starts, ends, strict=True)]


async def test_words_are_where_their_audio_is() -> None:
    """With pauses between them, the audio alone tells where each word is; it comes before its word."""
    pcm, words, heard = b"", [], 0
    async for piece in speak("Yes. Tomorrow! Wednesday. Afternoon?"):
        if isinstance(piece, SpokenWord):
            assert piece.end * 2 <= len(pcm)
            words.append(piece)
        else:
            pcm += piece
            heard += 1
    assert [word.text for word in words] == ["Yes.", "Tomorrow!", "Wednesday.", "Afternoon?"]
    assert heard > len(words)
    for word, (start, end) in zip(words, _runs(pcm), strict=True):
        assert word.start / SAMPLE_RATE == pytest.approx(start, abs=0.02)
        assert word.end / SAMPLE_RATE == pytest.approx(end, abs=0.02)


async def test_every_written_word_comes_once_and_in_order() -> None:
    """Also what is spoken as several words, what is spoken as one ("in the"), and signs that are not spoken."""
    text = "Dr. Smith's café - well-known! - takes 25 dollars, or $3.50: 日本 ok in the end"
    words = [piece async for piece in speak(text) if isinstance(piece, SpokenWord)]
    assert [word.text for word in words] == [word for word in text.split() if word != "-"]
    assert all(text[word.first :].startswith(word.text) for word in words)
    assert all(one.end <= other.start + 2 for one, other in itertools.pairwise(words))


@pytest.mark.parametrize(
    ("name", "rate", "bytes_per_sample", "decoder"),
    [("pcm", 16000, 2, ""), ("f32", 44100, 4, ""), ("mulaw", None, 1, "pcm_mulaw"), ("alaw", None, 1, "pcm_alaw")],
)
def test_bare_encodings_keep_length_and_loudness(
    name: str, rate: int | None, bytes_per_sample: int, decoder: str
) -> None:
    """At the rate that was asked for, 8000 Hz for G.711; FFmpeg's own decoders understand them."""
    pcm = synthesise("what are your opening hours")
    encoder = Encoder(name, SAMPLE_RATE, rate=rate)
    coded = b"".join(encoder.feed(pcm[at : at + 4410]) for at in range(0, len(pcm), 4410)) + encoder.finish()
    assert len(coded) / bytes_per_sample / encoder.rate == pytest.approx(len(pcm) / 2 / SAMPLE_RATE, abs=0.01)
    if decoder:
        codec = av.CodecContext.create(decoder, "r")
        codec.sample_rate, codec.layout = encoder.rate, "mono"  # type: ignore[attr-defined]
        samples = np.concatenate([f.to_ndarray()[0] for f in codec.decode(av.Packet(coded))])  # type: ignore[attr-defined]
    else:
        samples = np.frombuffer(coded, "<f4") * 32768 if name == "f32" else np.frombuffer(coded, "<i2")
    loudness = np.sqrt(np.mean(np.square(samples.astype(float))))
    assert loudness == pytest.approx(
        np.sqrt(np.mean(np.square(np.frombuffer(pcm, "<i2").astype(float)))), rel=0.15
    )


@pytest.mark.parametrize("text", CALLER_LINES)
def test_the_responder_has_an_answer_to_each_line_of_the_caller(text: str) -> None:
    """None of them falls through to the repetition; streamed pieces add up."""
    answer = respond(text)
    assert not answer.startswith("I heard")
    assert "".join(pieces(answer)) == answer


def test_the_responder_repeats_what_it_does_not_know() -> None:
    """With the words it heard, and says what it can do; it speaks first when nothing was said."""
    assert respond("the moon  is green").startswith("I heard: the moon is green.")
    assert respond("") == "Hello, what can I do for you?"
    assert "for two on Friday" in respond(CALLER_LINES[1])
