"""From LiveKit's frames to the vendor's chunks: every sample, in order, whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit import rtc

from agents.providers.protocol import AudioForm
from agents.providers.stt.feed import AudioFeed, downmix

RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000]


def frame(samples: np.ndarray, rate: int, channels: int = 1) -> rtc.AudioFrame:
    """A frame of mono *samples*, the same on every channel."""
    data = np.repeat(samples.astype("<i2"), channels).tobytes()
    return rtc.AudioFrame(data, rate, channels, len(samples))


def numbered(count: int, first: int = 0) -> np.ndarray:
    return (np.arange(first, first + count) % 30000).astype("<i2")


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype("<i2")


def values(chunks: Iterable[bytes | bytearray | memoryview]) -> np.ndarray:
    return np.frombuffer(b"".join(bytes(chunk) for chunk in chunks), "<i2")


def cut(samples: np.ndarray, length: int) -> list[np.ndarray]:
    return [samples[i : i + length] for i in range(0, len(samples), length)]


def feed_for(
    input_rate: int = 16000, wire_rate: int = 16000, channels: int = 1, form: AudioForm | None = None
) -> AudioFeed:
    return AudioFeed(
        input_rate=input_rate, channels=channels, wire_rate=wire_rate, form=form or AudioForm(max_chunk_ms=100)
    )


def run(feed: AudioFeed, samples: np.ndarray, frame_length: int) -> list[bytes | bytearray | memoryview]:
    chunks = [
        chunk
        for part in cut(samples, frame_length)
        for chunk in feed.push(frame(part, feed.input_rate, feed.channels))
    ]
    return [*chunks, *feed.flush()]


def lengths(chunks: Sequence[bytes | bytearray | memoryview]) -> list[int]:
    """In samples."""
    return [len(chunk) // 2 for chunk in chunks]


class TestCutting:
    def test_a_good_chunk_passes_as_it_is(self) -> None:
        source = rtc.AudioFrame(bytearray(numbered(800).tobytes()), 16000, 1, 800)
        (chunk,) = feed_for().push(source)
        assert chunk == numbered(800).tobytes()

    def test_short_frames_are_joined(self) -> None:
        feed = feed_for(form=AudioForm(min_chunk_ms=50))
        pushed = [lengths(feed.push(frame(part, 16000))) for part in cut(numbered(1600), 160)]
        assert pushed == [[], [], [], [], [800], [], [], [], [], [800]]

    def test_long_frames_are_cut(self) -> None:
        feed = feed_for(form=AudioForm(min_chunk_ms=20, max_chunk_ms=100))
        chunks = feed.push(frame(numbered(4000), 16000))
        assert lengths(chunks) == [1600, 1600, 800]
        assert (values(chunks) == numbered(4000)).all()

    def test_an_end_that_is_too_short_waits_for_the_next_frame(self) -> None:
        feed = feed_for(form=AudioForm(min_chunk_ms=50, max_chunk_ms=100))
        assert lengths(feed.push(frame(numbered(1700), 16000))) == [1600]
        chunks = feed.push(frame(numbered(800, 1700), 16000))
        assert lengths(chunks) == [900]
        assert (values(chunks) == numbered(900, 1600)).all()

    def test_a_flush_gives_the_rest_however_short(self) -> None:
        feed = feed_for(form=AudioForm(min_chunk_ms=50))
        assert feed.push(frame(numbered(3), 16000)) == []
        assert lengths(feed.flush()) == [3]
        assert list(feed.flush()) == []

    def test_a_flush_with_nothing_to_give(self) -> None:
        assert list(feed_for().flush()) == []
        assert list(feed_for(48000, 16000).flush()) == []

    @pytest.mark.parametrize("rates", [(16000, 16000), (48000, 16000)])
    @pytest.mark.parametrize("min_chunk_ms", [0, 20])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_no_chunk_is_ever_empty(self, rates: tuple[int, int], min_chunk_ms: int, channels: int) -> None:
        """An empty binary message is the end of the audio to some vendors."""
        feed = feed_for(*rates, channels=channels, form=AudioForm(min_chunk_ms=min_chunk_ms))
        for count in (0, 1, 20, 0, 480):
            assert all(len(chunk) for chunk in feed.push(frame(numbered(count), rates[0], channels)))
        assert all(len(chunk) for chunk in feed.flush())

    def test_only_the_samples_of_a_frame_count(self) -> None:
        """LiveKit allows a buffer that is larger than the frame in it."""
        larger = rtc.AudioFrame(numbered(1000).tobytes(), 16000, 1, 800)
        assert lengths(feed_for().push(larger)) == [800]

    @settings(max_examples=300, deadline=None)
    @given(
        counts=st.lists(st.integers(1, 3000), max_size=20),
        flush_after=st.sets(st.integers(0, 19)),
        channels=st.sampled_from([1, 2, 3]),
        rate=st.sampled_from(RATES),
        chunk_ms=st.sampled_from([(0, 1), (0, 1000), (7, 13), (20, 100), (50, 50), (50, 1000)]),
    )
    def test_at_one_rate_every_sample_passes_once_and_in_order(
        self, counts: list[int], flush_after: set[int], channels: int, rate: int, chunk_ms: tuple[int, int]
    ) -> None:
        form = AudioForm(min_chunk_ms=chunk_ms[0], max_chunk_ms=chunk_ms[1])
        feed = feed_for(rate, rate, channels, form)
        shortest, longest = form.min_chunk_ms * rate // 1000, form.max_chunk_ms * rate // 1000
        chunks = []
        first = 0
        for i, count in enumerate(counts):
            pushed = feed.push(frame(numbered(count, first), rate, channels))
            assert all(max(shortest, 1) <= length <= longest for length in lengths(pushed))
            assert all(len(chunk) % 2 == 0 for chunk in pushed), "a sample was split"
            chunks.extend(pushed)
            first += count
            if i in flush_after:
                rest = feed.flush()
                assert len(rest) <= 1
                chunks.extend(rest)
                assert (values(chunks) == numbered(first)).all(), "a flush gives all that was pushed"
        chunks.extend(feed.flush())
        assert (values(chunks) == numbered(first)).all()


class TestResampling:
    @pytest.mark.parametrize(("input_rate", "wire_rate"), list(itertools.permutations(RATES, 2)))
    def test_the_length_is_right_at_every_pair_of_rates(self, input_rate: int, wire_rate: int) -> None:
        chunks = run(feed_for(input_rate, wire_rate), tone(440, 1.0, input_rate), input_rate // 100)
        assert sum(lengths(chunks)) / wire_rate == pytest.approx(1.0, abs=0.003)

    @pytest.mark.parametrize("frame_length", [1, 7, 160, 441, 480, 4800, 48000])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_the_length_is_right_with_frames_of_every_length(self, frame_length: int, channels: int) -> None:
        seconds = 0.05 if frame_length == 1 else 1.0
        feed = feed_for(48000, 16000, channels)
        chunks = run(feed, tone(440, seconds, 48000), frame_length)
        assert sum(lengths(chunks)) / 16000 == pytest.approx(seconds, abs=0.003)

    def test_the_lengths_of_many_utterances_add_up(self) -> None:
        """Every flush ends the resampler; what each loses or adds would move all later times."""
        feed = feed_for(44100, 16000)
        chunks = [chunk for _ in range(50) for chunk in run(feed, tone(440, 0.2, 44100), 441)]
        assert sum(lengths(chunks)) / 16000 == pytest.approx(10.0, abs=0.01)

    @pytest.mark.parametrize(
        ("input_rate", "wire_rate"), [(48000, 16000), (24000, 16000), (44100, 16000), (8000, 16000), (16000, 8000)]
    )
    @pytest.mark.parametrize("channels", [1, 2])
    def test_a_tone_stays_the_same_tone(self, input_rate: int, wire_rate: int, channels: int) -> None:
        chunks = run(feed_for(input_rate, wire_rate, channels), tone(1000, 1.0, input_rate), input_rate // 50)
        heard = values(chunks)[: wire_rate // 2 * 2].astype(float)
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        assert np.argmax(spectrum) * wire_rate / len(heard) == pytest.approx(1000, abs=3)
        middle = heard[wire_rate // 4 : wire_rate // 2]
        assert np.abs(middle).max() == pytest.approx(8000, rel=0.05)

    def test_chunks_are_in_the_vendors_form(self) -> None:
        feed = feed_for(48000, 16000, form=AudioForm(min_chunk_ms=50, max_chunk_ms=100))
        pushed = [chunk for part in cut(tone(440, 1, 48000), 480) for chunk in feed.push(frame(part, 48000))]
        assert pushed
        assert all(800 <= length <= 1600 for length in lengths(pushed))


class TestDownmix:
    def test_channels_are_averaged(self) -> None:
        interleaved = np.array([100, 300, -100, -300, 32767, 32767, -32768, -32768, 5, -5], "<i2")
        assert np.frombuffer(downmix(interleaved.tobytes(), 2), "<i2").tolist() == [200, -200, 32767, -32768, 0]

    def test_three_channels(self) -> None:
        assert np.frombuffer(downmix(np.array([1, 2, 3], "<i2").tobytes(), 3), "<i2").tolist() == [2]

    def test_one_silent_channel_halves_the_other(self) -> None:
        data = np.stack([tone(440, 0.1, 16000), np.zeros(1600)], axis=1).astype("<i2")
        chunks = feed_for(channels=2).push(rtc.AudioFrame(data.tobytes(), 16000, 2, 1600))
        assert np.abs(values(chunks)).max() == pytest.approx(4000, abs=20)
