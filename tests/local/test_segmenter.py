"""When speech starts and ends, without a recogniser."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.providers.local.audio import from_pcm
from agents.providers.local.caller import speak_line
from agents.providers.local.recogniser import (
    Final,
    Flushed,
    Partial,
    Result,
    SpeechEnded,
    SpeechStarted,
    Word,
    result_from_json,
    result_to_json,
)
from agents.providers.local.segmenter import Segmenter, SegmenterOptions
from agents.providers.local.synthesiser import SAMPLE_RATE

SPEECH = from_pcm(speak_line("are you open on sunday evening"), SAMPLE_RATE)
SILENCE = bytes(32000)


class Counting:
    """A backend whose text is how much it was given, and that notices wrong use."""

    def __init__(self) -> None:
        self.finals: list[bytes] = []
        self.drafting = False
        self.drafted = 0

    def reset(self) -> None:
        self.drafting = False

    def draft_start(self, pcm: bytes) -> None:
        assert not self.drafting
        self.drafting, self.drafted = True, len(pcm)

    def draft(self, pcm: bytes) -> str:
        assert self.drafting
        self.drafted += len(pcm)
        return str(self.drafted)

    def draft_end(self) -> None:
        self.drafting = False

    def final(self, pcm: bytes) -> list[Word]:
        self.finals.append(pcm)
        return [Word("x", 0.0, len(pcm) / 32000, 1.0)]


def run(audio: bytes, chunk: int, options: SegmenterOptions | None = None) -> tuple[list[Result], Counting]:
    backend = Counting()
    segmenter = Segmenter(backend, options)
    pieces = (segmenter.accept(audio[at : at + chunk]) for at in range(0, len(audio), chunk))
    return [*itertools.chain.from_iterable(pieces), *segmenter.end()], backend


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 20000).map(lambda n: n * 2))
def test_results_do_not_depend_on_the_chunks(chunk: int) -> None:
    """Cut the stream anywhere: the same results and the same samples."""
    audio = SILENCE + SPEECH + SILENCE + SPEECH
    results, backend = run(audio, chunk)
    expected, expected_backend = run(audio, len(audio))
    assert results == expected
    assert backend.finals == expected_backend.finals


def test_two_utterances_alternate() -> None:
    """Start, interims, final, end; twice; in order of time."""
    results, _ = run(SPEECH + SILENCE + SPEECH, 640)
    kinds = [kind for kind, _ in itertools.groupby(type(result) for result in results)]
    assert kinds == [SpeechStarted, Partial, Final, SpeechEnded] * 2
    finals = [result for result in results if isinstance(result, Final)]
    assert finals[0].end <= finals[1].start


def test_an_endless_utterance_is_cut_and_no_sample_is_lost() -> None:
    """Each cut gives a final; start and end come once."""
    results, backend = run(SPEECH * 3, 640, SegmenterOptions(max_utterance=1.0, end_silence=5.0))
    assert len(backend.finals) > 3
    assert [type(r) for r in results if not isinstance(r, Partial | Final)] == [SpeechStarted, SpeechEnded]
    joined = b"".join(backend.finals)
    assert (SPEECH * 3).find(joined) >= 0


def test_flush_in_mid_speech_ends_the_utterance() -> None:
    """Its final has all of the audio so far, to the last sample."""
    backend = Counting()
    segmenter = Segmenter(backend)
    half = SPEECH[: len(SPEECH) // 4 * 2 + 2]
    list(segmenter.accept(half))
    results = list(segmenter.flush())
    assert [type(result) for result in results] == [Final, SpeechEnded, Flushed]
    assert half.endswith(backend.finals[0])
    assert [type(result) for result in segmenter.flush()] == [Flushed]


def test_silence_gives_nothing_and_keeps_nothing() -> None:
    """An hour of it costs no memory."""
    backend = Counting()
    segmenter = Segmenter(backend)
    for _ in range(600):
        assert list(segmenter.accept(SILENCE)) == []
    assert len(segmenter._audio) < 64000


@pytest.mark.parametrize(
    "result",
    [
        SpeechStarted(0.5),
        Partial("a", 0.1, 0.2),
        Final("a b", 0.1, 0.4, 0.5, (Word("a", 0.1, 0.2, 0.5), Word("b", 0.2, 0.4, 0.5))),
        SpeechEnded(1.0),
        Flushed(),
    ],
)
def test_results_survive_the_pipe(result: Result) -> None:
    """Plain data and back."""
    assert result_from_json(result_to_json(result)) == result
