"""Audio buffers of every kind become mono PCM."""

from __future__ import annotations

import array
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit import rtc

from agents.providers.protocol import Pcm
from agents.providers.stt.recording import at_rate, pcm_of


def frame(samples: list[int], *, rate: int = 16000, channels: int = 1) -> rtc.AudioFrame:
    return rtc.AudioFrame(np.array(samples, dtype=np.int16).tobytes(), rate, channels, len(samples) // channels)


def like(data: Any, **more: Any) -> Any:
    return SimpleNamespace(data=data, **{"sample_rate": 16000, **more})


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x00\x02\x00",
        bytearray(b"\x01\x00\x02\x00"),
        memoryview(b"\x01\x00\x02\x00"),
        np.array([1, 2], dtype=np.int16),
        array.array("h", [1, 2]),
    ],
    ids=lambda data: type(data).__name__,
)
def test_samples_come_in_any_container_of_16_bits(data: Any) -> None:
    assert pcm_of(like(data), sample_rate=8000) == Pcm(b"\x01\x00\x02\x00", 16000)


def test_frames_are_joined_each_with_its_own_channels() -> None:
    joined = pcm_of([frame([10, 20]), frame([100, 300, -5, -7], channels=2)], sample_rate=8000)
    assert np.frombuffer(joined.data, dtype=np.int16).tolist() == [10, 20, 200, -6]


def test_the_mean_of_the_loudest_samples_does_not_overflow() -> None:
    assert pcm_of(frame([32767, 32767, -32768, -32768], channels=2), sample_rate=1).data == (
        np.array([32767, -32768], dtype=np.int16).tobytes()
    )


def test_a_frame_that_holds_more_than_it_says_is_cut() -> None:
    longer = rtc.AudioFrame(b"\x01\x00" * 10, 16000, 1, 4)
    assert pcm_of(longer, sample_rate=16000).data == b"\x01\x00" * 4


def test_nothing_is_an_empty_recording_at_the_rate_of_the_adapter() -> None:
    assert pcm_of([], sample_rate=24000) == Pcm(b"", 24000)


@pytest.mark.parametrize(
    ("buffer", "error", "message"),
    [
        ("audio.wav", TypeError, "not str"),
        (None, TypeError, "not NoneType"),
        (like("text"), TypeError, "not str"),
        (like(np.zeros(4, dtype=np.float32)), TypeError, "signed 16-bit samples, not of the format 'f'"),
        (like(b"\x00" * 3), ValueError, "3 bytes are no whole number"),
        (like(b"\x00" * 6, num_channels=2), ValueError, "for 2 channel"),
        (like(b"", sample_rate=0), ValueError, "must be positive"),
        ([frame([1]), frame([1], rate=8000)], ValueError, r"different sample rates \(8000, 16000 Hz\)"),
    ],
)
def test_what_is_not_audio_is_refused_with_the_reason(buffer: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pcm_of(buffer, sample_rate=16000)


@pytest.mark.parametrize("rate", [8000, 24000, 44100, 48000])
def test_resampling_keeps_the_length_and_the_tone(rate: int) -> None:
    seconds = np.arange(rate) / rate
    tone = Pcm((8000 * np.sin(2 * np.pi * 440 * seconds)).astype(np.int16).tobytes(), rate)
    resampled = at_rate(tone, 16000)
    assert resampled.sample_rate == 16000
    assert resampled.duration == pytest.approx(1.0, abs=0.01)
    spectrum = np.abs(np.fft.rfft(np.frombuffer(resampled.data, dtype=np.int16)))
    assert int(spectrum.argmax()) == pytest.approx(440, abs=5)


def test_audio_at_the_rate_wanted_is_left_as_it_is() -> None:
    recording = Pcm(b"\x01\x00", 16000)
    assert at_rate(recording, 16000) is recording
    assert at_rate(Pcm(b"", 8000), 16000) == Pcm(b"", 16000)
