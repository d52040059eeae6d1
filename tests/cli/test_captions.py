"""Transcripts as text, JSON, SubRip and WebVTT."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.providers.cli.captions import Format, Segment, Transcript, TranscriptWord, cues, render


def words(text: str, *, start: float = 0.0, each: float = 0.4) -> tuple[TranscriptWord, ...]:
    """*text* as words of equal length without pauses, *each* in seconds."""
    return tuple(
        TranscriptWord(word, start + at * each, start + (at + 1) * each) for at, word in enumerate(text.split())
    )


def transcript(*segments: Segment, duration: float = 60.0, unfinished: str = "") -> Transcript:
    return Transcript("a.wav", "en", duration, list(segments), unfinished, complete=not unfinished)


def test_text_has_a_line_for_each_final_and_one_for_what_is_not_final() -> None:
    assert render(transcript(Segment("one "), Segment("two"), unfinished="thr"), Format.TEXT) == "one\ntwo\nthr\n"


def test_nothing_heard_is_an_empty_text() -> None:
    assert render(transcript(), Format.TEXT) == ""


def test_json_leaves_out_what_the_vendor_did_not_say() -> None:
    said = json.loads(render(transcript(Segment("hello")), Format.JSON))
    assert said["segments"] == [{"text": "hello"}]
    assert said["text"] == "hello"
    assert said["complete"] is True


def test_srt_numbers_its_captions_and_writes_milliseconds_after_a_comma() -> None:
    segment = Segment("hello there", 3661.5, 3663.0, words=words("hello there", start=3661.5, each=0.75))
    assert render(transcript(segment), Format.SRT) == "1\n01:01:01,500 --> 01:01:03,000\nhello there\n"


def test_vtt_has_its_header_and_escapes_what_would_be_markup() -> None:
    shown = render(transcript(Segment("a < b & c", 1.0, 3.0)), Format.VTT)
    assert shown == "WEBVTT\n\n00:00:01.000 --> 00:00:03.000\na &lt; b &amp; c\n"


def test_a_long_final_becomes_captions_of_two_short_lines() -> None:
    text = "had he married a more amiable woman he might have been made still more respectable than he was"
    made = cues(transcript(Segment(text, 0.0, 7.2, words=words(text))))
    assert len(made) > 1
    assert " ".join(cue.text for cue in made) == text
    for line in re.findall(r"^[a-z ]+$", render(transcript(Segment(text, 0.0, 7.2)), Format.SRT), re.MULTILINE):
        assert len(line) <= 48


def test_a_pause_between_words_ends_a_caption() -> None:
    heard = (*words("one two"), *words("three four", start=3.0))
    made = cues(transcript(Segment("one two three four", 0.0, 3.8, words=heard)))
    assert [cue.text for cue in made] == ["one two", "three four"]
    assert made[1].start == 3.0


def test_a_caption_shows_the_punctuation_of_the_text() -> None:
    made = cues(transcript(Segment("Hello, there.", 0.0, 0.8, words=words("hello there"))))
    assert made[0].text == "Hello, there."


def test_finals_without_times_share_the_recording() -> None:
    made = cues(transcript(Segment("abcd"), Segment("ef"), duration=6.0))
    assert [(cue.start, cue.end) for cue in made] == [(0.0, 4.0), (4.0, 6.0)]


def test_a_short_word_stays_long_enough_to_be_read() -> None:
    made = cues(transcript(Segment("yes", 1.0, 1.1, words=(TranscriptWord("yes", 1.0, 1.1),))))
    assert made[0].end == 2.0


@pytest.mark.parametrize("form", [Format.SRT, Format.VTT])
def test_no_words_make_no_captions(form: Format) -> None:
    assert "-->" not in render(transcript(), form)


@given(
    st.lists(
        st.tuples(st.text("abc ", min_size=1, max_size=120).filter(str.strip), st.floats(0, 4), st.floats(0, 9)),
        max_size=6,
    )
)
def test_captions_keep_every_word_and_never_overlap(parts: list[tuple[str, float, float]]) -> None:
    segments, at = [], 0.0
    for text, pause, length in parts:
        segments.append(Segment(text, at + pause, at + pause + length))
        at += pause + length
    made = cues(transcript(*segments, duration=at))
    assert " ".join(cue.text for cue in made).split() == " ".join(text for text, _, _ in parts).split()
    for before, after in itertools.pairwise(made):
        assert before.start < before.end
        assert before.end <= after.start + 0.002
