"""The audio says which words it holds, wherever it is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import rtc

from agents.providers.testing.numbered_words import HEARD_SHARE, MAX_WORDS, WORD_SECONDS, Ear, numbers_in, speak


@pytest.fixture(scope="module", autouse=True)
def _native_library() -> None:
    """LiveKit's native library opens sockets of its own when it is first used; that is no test's leak."""
    rtc.AudioResampler(24000, 16000)


def _heard(ear: Ear, pcm: bytes, cuts: list[int] | None = None) -> list[int]:
    bounds = [0, *sorted(cuts or []), len(pcm)]
    heard = []
    for start, end in pairwise(bounds):
        heard += [word.number for word in ear.listen(pcm[start:end])[1]]
    return heard


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_every_word_is_heard_once_and_with_every_sample(rate: int) -> None:
    speech = speak((3, 4), rate)
    ear = Ear(rate)
    assert _heard(ear, speech.pcm) == list(range(7))
    assert set(ear.samples.values()) == {round(WORD_SECONDS * rate)}


def test_the_last_of_all_words_does_not_overflow() -> None:
    speech = speak((MAX_WORDS,), 8000, gap_ms=0)
    assert _heard(Ear(8000), speech.pcm) == list(range(MAX_WORDS))


@given(st.lists(st.integers(0, 57600), max_size=40))
def test_cuts_anywhere_even_inside_a_sample_change_nothing(cuts: list[int]) -> None:
    speech = speak((3, 2), 16000)
    ear = Ear(16000)
    assert _heard(ear, speech.pcm, [cut for cut in cuts if cut < len(speech.pcm)]) == [0, 1, 2, 3, 4]
    assert set(ear.samples.values()) == {3200}


@given(st.integers(0, 3200))
def test_of_two_parts_on_two_connections_at_most_one_is_the_word(cut: int) -> None:
    speech = speak((1,), 16000, lead_ms=0)
    first, second = Ear(16000), Ear(16000)
    heard = _heard(first, speech.pcm[: 2 * cut]) + _heard(second, speech.pcm[2 * cut :])
    assert first.samples[0] + second.samples[0] == 3200
    assert len(heard) <= 1
    assert heard == [0] or not 0.38 <= cut / 3200 <= 0.62 or max(cut, 3200 - cut) < (HEARD_SHARE + 0.02) * 3200


def test_a_word_that_comes_twice_is_heard_twice() -> None:
    speech = speak((2,), 16000)
    ear = Ear(16000)
    assert _heard(ear, speech.pcm + speech.pcm) == [0, 1, 0, 1]


def test_a_word_that_starts_over_after_a_part_of_it_is_heard_once() -> None:
    word = speak((1,), 16000, lead_ms=0).pcm
    for part in (100, 2000, 3000, 5000, 6300):
        ear = Ear(16000)
        heard = _heard(ear, word[:part] + word)
        assert heard == ([0, 0] if part >= HEARD_SHARE * len(word) else [0]), part
        assert ear.samples[0] == 3200 + part // 2


def test_a_missing_sample_shows_in_the_count() -> None:
    pcm = speak((3,), 16000).pcm
    ear = Ear(16000)
    assert _heard(ear, pcm[:14000] + pcm[14002:]) == [0, 1, 2]
    assert sorted(ear.samples.values()) == [3199, 3200, 3200]


def test_silence_and_noise_below_the_floor_are_not_words() -> None:
    noise = np.random.default_rng(1).integers(-8000, 8000, 16000).astype("<i2").tobytes()
    ear = Ear(16000)
    assert _heard(ear, bytes(32000) + noise) == []
    assert ear.voice_end == 0 and ear.position == 32000


@pytest.mark.parametrize(("source", "target"), [(24000, 16000), (48000, 16000), (16000, 24000), (16000, 8000)])
def test_words_survive_a_resampler(source: int, target: int) -> None:
    speech = speak((20, 5), source, tail_ms=100)
    resampler = rtc.AudioResampler(source, target, quality=rtc.AudioResamplerQuality.HIGH)
    samples = len(speech.pcm) // 2
    frames = [*resampler.push(rtc.AudioFrame(speech.pcm, source, 1, samples)), *resampler.flush()]
    ear = Ear(target)
    assert _heard(ear, b"".join(bytes(frame.data) for frame in frames)) == list(range(25))


def test_words_are_as_loud_as_speech() -> None:
    speech = speak((2,), 16000, gap_ms=0, lead_ms=0)
    samples = np.frombuffer(speech.pcm, dtype="<i2").astype(float)
    assert np.sqrt(np.mean(samples**2)) > 8000
    assert abs(np.mean(samples)) < 500


def test_words_know_their_place() -> None:
    speech = speak((2, 1), 16000, lead_ms=100, gap_ms=50, pause_ms=500, tail_ms=20)
    times = [(word.number, round(word.start, 3), round(word.end, 3)) for word in speech.words]
    assert times == [(0, 0.1, 0.3), (1, 0.35, 0.55), (2, 1.05, 1.25)]
    assert speech.duration == pytest.approx(1.27)


def test_too_many_words_are_refused() -> None:
    with pytest.raises(ValueError, match="768"):
        speak((769,), 8000)


def test_transcripts_are_read_back() -> None:
    assert numbers_in("W3, w4. ew5 w12") == [3, 4, 12]
