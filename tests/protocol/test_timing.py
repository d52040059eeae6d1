"""Times of words, and words that are made only when somebody looks at them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from livekit.agents.stt import SpeechData
from livekit.agents.types import NOT_GIVEN

from agents.providers.protocol import LazyWords, Word
from agents.providers.protocol.timing import WithWords, placed, timed_words

ONE = [(0.0, 0.0)]
GAP = [(0.0, 0.0), (2.0, 5.0)]
"""Audio from 2 s of the stream to 5 s was lost."""


@pytest.mark.parametrize(
    ("at", "anchors", "ends", "expected"),
    [
        (1.5, ONE, False, 1.5),
        (1, ONE, False, 1.0),
        (1.5, [(0.0, 10.0)], False, 11.5),
        (1.5, [(1.0, 10.0)], False, 10.5),
        (None, ONE, False, None),
        ("1", ONE, False, None),
        (True, ONE, False, None),
        (-0.1, ONE, False, None),
        (float("nan"), ONE, False, None),
        (float("inf"), ONE, False, None),
        (20.3, ONE, False, 20.0),
        (20.6, ONE, False, None),
        (1.9, GAP, False, 1.9),
        (2.0, GAP, False, 5.0),
        (2.0, GAP, True, 2.0),
        (3.0, GAP, True, 6.0),
    ],
)
def test_a_time_is_moved_to_the_clock_of_the_stream(
    at: Any, anchors: Sequence[tuple[float, float]], ends: bool, expected: float | None
) -> None:
    assert placed(at, anchors, 20.0, ends=ends) == expected


def test_words_are_moved_and_what_is_not_known_is_not_given() -> None:
    words = [Word("one", 0.5, 1.0, 0.9, "S1"), Word("two", 1, 3.0), Word("three"), Word("four", 1.0, 99.0)]
    timed = timed_words(words, [(0.0, 10.0)], 20.0, 100.0)
    assert timed == ["one", "two", "three", "four"]
    assert [(w.start_time, w.end_time) for w in timed] == [
        (110.5, 111.0),
        (111.0, 113.0),
        (NOT_GIVEN, NOT_GIVEN),
        (111.0, NOT_GIVEN),
    ]
    assert (timed[0].confidence, timed[0].start_time_offset, timed[0].speaker_id) == (0.9, 100.0, "S1")


class Reader:
    """Reads words, and counts how many items it was asked for; what is no text is no word."""

    def __init__(self) -> None:
        self.items_read = 0

    def __call__(self, items: list[Any]) -> list[Word]:
        self.items_read += len(items)
        return [Word(item, index, index + 1) for index, item in enumerate(items) if isinstance(item, str)]


def later(read: Reader, items: list[Any]) -> LazyWords:
    return LazyWords(lambda: read(items), 0.0, 2.0)


class TestLazyWords:
    def test_its_times_are_had_without_any_word(self) -> None:
        read = Reader()
        words = later(read, ["a", "b"])
        assert (words.start, words.end, read.items_read) == (0.0, 2.0, 0)

    def test_it_is_a_sequence_that_is_read_once(self) -> None:
        read = Reader()
        words = later(read, ["a", "b", None])
        assert len(words) == 2
        assert [word.text for word in words[1:]] == ["b"]
        assert words == [Word("a", 0, 1), Word("b", 1, 2)]
        assert words != "ab"
        assert words[0] is words[0]
        assert repr(words) == repr(list(words))
        assert read.items_read == 3


class TestWithWords:
    def deferred(self, read: Reader | None = None) -> WithWords:
        data = WithWords(language="en", text="a b")
        data.words_later(later(read or Reader(), ["a", "b"]), ONE, 20.0, 0.0)
        return data

    def test_nobody_looks_nothing_is_made(self) -> None:
        read = Reader()
        data = self.deferred(read)
        assert (data.text, read.items_read) == ("a b", 0)

    def test_whoever_looks_gets_a_list_like_any_other(self) -> None:
        data = self.deferred()
        words = data.words
        assert type(words) is list
        assert words == ["a", "b"]
        assert data.words is words
        assert [word.end_time for word in words] == [1.0, 2.0]

    def test_items_without_a_word_are_no_words(self) -> None:
        data = WithWords(language="en", text="a")
        data.words_later(later(Reader(), [None]), ONE, 20.0, 0.0)
        assert data.words is None

    def test_it_is_equal_to_livekits_own(self) -> None:
        plain = SpeechData(language="en", text="a b", words=list(self.deferred().words or []))
        assert self.deferred() == plain
        assert plain == self.deferred()
        assert self.deferred() != SpeechData(language="en", text="a b")
        assert self.deferred() != "a b"
        assert "words=['a', 'b']" in repr(self.deferred())

    def test_it_can_be_copied_changed_and_sent_elsewhere(self) -> None:
        assert copy.copy(self.deferred()) == self.deferred()
        assert dataclasses.replace(self.deferred(), text="x").words == ["a", "b"]
        assert dataclasses.asdict(self.deferred())["words"] == ["a", "b"]
        unpicklable = WithWords(language="en", text="a b")
        unpicklable.words_later(later(Reader(), ["a", "b"]), ONE, 20.0, 0.0)
        assert pickle.loads(pickle.dumps(unpicklable)).words == ["a", "b"]
        given = WithWords(language="en", text="a", words=None)
        assert given.words is None
        given.words = self.deferred().words
        assert given.words == ["a", "b"]
