"""Any audio file is heard, and what is wrong with one is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.providers.cli.audio_files import AudioFile, AudioFileError, read_samples

from .conftest import Recording


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("name", "rate", "codec"),
    [
        ("a.wav", 8000, "pcm_s16le"),
        ("a.wav", 16000, "pcm_s16le"),
        ("a.wav", 24000, "pcm_s16le"),
        ("a.wav", 44100, "pcm_s24le"),
        ("a.wav", 48000, "pcm_f32le"),
        ("a.flac", 44100, "flac"),
        ("a.mp3", 44100, "libmp3lame"),
        ("a.mp3", 16000, "libmp3lame"),
        ("a.ogg", 48000, "libopus"),
        ("a.m4a", 44100, "aac"),
    ],
)
def test_every_format_is_read_at_its_own_rate(
    recording: Recording, name: str, rate: int, codec: str, channels: int
) -> None:
    reference, _ = read_samples(recording("reference.wav"), rate=16000)
    with AudioFile(recording(name, rate=rate, channels=channels, codec=codec)) as file:
        samples = np.concatenate(list(file))
        assert file.rate == rate
        assert file.channels == channels
        assert file.warning == ""
    assert samples.dtype == np.int16
    assert len(samples) / rate == pytest.approx(len(reference) / 16000, abs=0.1)
    assert np.abs(samples).max() > 0.5 * np.abs(reference).max()


def test_a_file_is_read_at_the_rate_asked_for(recording: Recording) -> None:
    samples, _ = read_samples(recording("a.mp3", rate=44100, codec="libmp3lame"), rate=24000)
    reference, _ = read_samples(recording("a.wav", rate=24000), rate=24000)
    assert len(samples) == pytest.approx(len(reference), abs=2400)


def test_a_truncated_wav_is_read_as_far_as_it_goes(recording: Recording) -> None:
    path = recording("a.wav")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    samples, warning = read_samples(path, rate=16000)
    assert len(samples) / 16000 == pytest.approx(len(whole) / 2 / 32000, abs=0.1)
    assert warning.startswith("is cut off: ")


def test_a_title_that_is_no_utf8_does_no_harm(recording: Recording) -> None:
    path = recording("a.wav")
    content = path.read_bytes()
    title = b"INAM" + (4).to_bytes(4, "little") + b"Caf\xe9"
    chunk = b"LIST" + (4 + len(title)).to_bytes(4, "little") + b"INFO" + title
    at = content.index(b"data")
    path.write_bytes(content[:at] + chunk + content[at:])
    assert len(read_samples(path, rate=16000)[0]) > 8000


def test_a_wav_from_a_pipe_that_does_not_know_its_length_is_no_truncated_one(recording: Recording) -> None:
    path = recording("a.wav")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert read_samples(path, rate=16000)[1] == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"this is a letter, not a recording\n" * 20, "is not an audio file"),
        (None, "does not exist"),
    ],
)
def test_what_is_no_audio_says_what_it_is(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioFileError, match=message):
        read_samples(path, rate=16000)


def test_a_header_without_samples_holds_no_sound(recording: Recording) -> None:
    path = recording("a.wav")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"data") + 8])
    with pytest.raises(AudioFileError, match="holds no sound"):
        read_samples(path, rate=16000)


def test_a_folder_is_not_heard(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="is a folder"):
        read_samples(tmp_path, rate=16000)
