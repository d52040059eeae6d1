"""The oracle's vendor: results follow from the audio, whatever the messages were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.providers.testing.numbered_words import speak
from agents.providers.testing.transcriber import (
    Behaviour,
    Ended,
    FinalResult,
    Flushed,
    PartialResult,
    Result,
    Started,
    Transcriber,
)

RATE = 16000


def _run(behaviour: Behaviour, pcm: bytes, chunk: int = 3200) -> list[Result]:
    transcriber = Transcriber(RATE, behaviour)
    results = []
    for start in range(0, len(pcm), chunk):
        results += transcriber.feed(pcm[start : start + chunk])
    return results


def _shape(results: list[Result]) -> list[object]:
    names = {Started: "start", Ended: "end", Flushed: "flushed"}
    return [
        ("final" if isinstance(r, FinalResult) else "partial", [w.number for w in r.words])
        if isinstance(r, (FinalResult, PartialResult))
        else names[type(r)]
        for r in results
    ]


def test_an_utterance_is_start_partials_final_end() -> None:
    results = _run(Behaviour(), speak((3,), RATE, tail_ms=400).pcm)
    assert _shape(results) == [
        "start",
        ("partial", [0]),
        ("partial", [0, 1]),
        ("partial", [0, 1, 2]),
        ("final", [0, 1, 2]),
        "end",
    ]


def test_times_are_those_of_the_audio() -> None:
    speech = speak((2, 1), RATE, tail_ms=400)
    finals = [r for r in _run(Behaviour(), speech.pcm) if isinstance(r, FinalResult)]
    heard = [word for final in finals for word in final.words]
    assert [(w.number, w.start, w.end) for w in heard] == [(w.number, w.start, w.end) for w in speech.words]


@given(st.integers(99, 20000))
def test_the_size_of_messages_changes_nothing(chunk: int) -> None:
    behaviour = Behaviour(finals_every=2, empty_finals=True)
    pcm = speak((3, 4), RATE, tail_ms=2000).pcm
    assert _run(behaviour, pcm, chunk) == _run(behaviour, pcm)


def test_segments_follow_each_other_without_a_hole() -> None:
    pcm = speak((5, 4), RATE, tail_ms=2500, pause_ms=1500).pcm
    finals = [r for r in _run(Behaviour(finals_every=2, empty_finals=True), pcm) if isinstance(r, FinalResult)]
    assert finals[0].start == 0
    assert [final.start for final in finals[1:]] == [final.end for final in finals[:-1]]
    assert [w.number for final in finals for w in final.words] == list(range(9))
    assert any(not final.words for final in finals)


def test_a_flush_settles_what_was_heard_and_not_what_is_being_said() -> None:
    transcriber = Transcriber(RATE, Behaviour())
    pcm = speak((2,), RATE, tail_ms=400).pcm
    middle_of_second_word = 2 * int(0.45 * RATE)
    first = transcriber.feed(pcm[:middle_of_second_word]) + transcriber.flush()
    final = next(r for r in first if isinstance(r, FinalResult))
    assert [w.number for w in final.words] == [0]
    assert final.end == pytest.approx(0.4)
    assert _shape(first)[-2:] == ["end", "flushed"]
    assert _shape(transcriber.feed(pcm[middle_of_second_word:])) == [
        "start", ("partial", [1]), ("final", [1]), "end",
    ]  # fmt: skip


def test_a_flush_of_nothing_is_answered_only_by_vendors_that_do() -> None:
    assert _shape(Transcriber(RATE, Behaviour()).flush()) == ["flushed"]
    assert _shape(Transcriber(RATE, Behaviour(flushed=False)).flush()) == []
    assert _shape(Transcriber(RATE, Behaviour(dialect="deepgram")).flush()) == [("final", []), "flushed"]


def test_a_fragment_of_a_word_is_a_noise() -> None:
    pcm = speak((1,), RATE, lead_ms=0).pcm[:2000] + bytes(20000)
    assert _shape(_run(Behaviour(), pcm)) == ["start", "end"]
