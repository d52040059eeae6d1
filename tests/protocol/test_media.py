"""From a Content-Type to the form of audio."""

from __future__ import annotations

import pytest

from agents.providers.protocol import SynthesisForm, form_of, is_audio

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
