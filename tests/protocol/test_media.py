"""From a Content-Type to the form of audio."""

from __future__ import annotations

import pytest

from agents.providers.protocol import SynthesisForm, form_of, is_audio
from agents.providers.protocol.media import file_type

DECLARED = SynthesisForm("audio/pcm", 22050, 2)


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("audio/pcm", ("audio/pcm", 22050, 2)),
        ("audio/pcm;rate=16000;channels=1", ("audio/pcm", 16000, 1)),
        ('Audio/L16; Rate="8000"', ("audio/pcm", 8000, 2)),
        ("audio/l16;rate=0", ("audio/pcm", 22050, 2)),
        ("audio/l16;rate=many;channels=99", ("audio/pcm", 22050, 2)),
        ("", ("audio/pcm", 22050, 2)),
        ("application/octet-stream", ("audio/pcm", 22050, 2)),
        ("audio/basic", ("audio/basic", 8000, 1)),
        ("audio/pcmu;rate=16000", ("audio/basic", 16000, 1)),
        ("audio/x-wav", ("audio/wav", 22050, 2)),
        ("audio/mp3", ("audio/mpeg", 22050, 2)),
        ("audio/opus", ("audio/ogg", 22050, 2)),
    ],
)
def test_a_content_type_says_what_audio_is(content_type: str, form: tuple[str, int, int]) -> None:
    read = form_of(content_type, DECLARED)
    assert (read.mime_type, read.sample_rate, read.channels) == form


def test_mulaw_that_was_declared_keeps_its_rate() -> None:
    assert form_of("audio/mulaw", SynthesisForm("audio/basic", 16000)).sample_rate == 16000


@pytest.mark.parametrize(
    ("content_type", "named"),
    [
        ("text/html; charset=utf-8", "an HTML page"),
        ("application/json", "got JSON"),
        ("application/problem+json", "got JSON"),
        ("text/plain", "got text/plain"),
        ("audio/midi", "got audio/midi"),
        ("x" * 500, "x" * 60),
    ],
)
def test_what_is_no_audio_is_refused_by_name(content_type: str, named: str) -> None:
    with pytest.raises(ValueError, match=named) as refused:
        form_of(content_type, DECLARED)
    assert len(str(refused.value)) < 120


def test_media_types_are_told_from_other_words() -> None:
    assert is_audio("audio/l16;rate=8000") and is_audio("audio/webm")
    assert not is_audio("mp3") and not is_audio("text/plain")


@pytest.mark.parametrize(
    ("beginning", "name"),
    [
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"ID3\x04\0\0\0\0\0#", "audio/mpeg"),
        (b"ID3 is a tag", None),
        (b"OggS\0\x02", "audio/ogg"),
        (b"fLaC\0\0\0\x22", "audio/flac"),
        (b"\xff\xfb\x90\x00" + bytes(413) + b"\xff\xfb", "audio/mpeg"),  # 128 kbit/s at 44.1 kHz: 417 bytes
        (b"\xff\xf3\x44\xc4" + bytes(92) + b"\xff\xf3", "audio/mpeg"),  # 32 kbit/s at 24 kHz: 96 bytes
        (b"\xff\xfb\x90\x00" + bytes(413) + b"\xff\x00", None),
        (b"\xff\xfb\x90\x00" + bytes(100), None),
        (b"\xff\xfb\xf0\x00" + bytes(900), None),
        (b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9) + b"\xff\xf1", "audio/aac"),  # 16 bytes
        (b"\xff\xff\xff\xff" * 300, None),
        (b"\xff", None),
        (b"", None),
        (bytes(1000), None),
    ],
)
def test_files_are_known_by_how_they_begin(beginning: bytes, name: str | None) -> None:
    assert file_type(beginning) == name
