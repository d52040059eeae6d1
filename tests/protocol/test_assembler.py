"""From what a vendor says to what LiveKit hears: order, times, and every word once."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.agents.stt import SpeechEvent, SpeechEventType
from livekit.agents.types import NOT_GIVEN

from agents.providers.protocol import (
    Failure,
    Final,
    Finished,
    Flushed,
    LazyWords,
    Partial,
    Ready,
    SpeechEnded,
    SpeechStarted,
    Usage,
    Word,
)
from agents.providers.protocol.assembler import TranscriptAssembler

START = SpeechEventType.START_OF_SPEECH
INTERIM = SpeechEventType.INTERIM_TRANSCRIPT
PREFLIGHT = SpeechEventType.PREFLIGHT_TRANSCRIPT
FINAL = SpeechEventType.FINAL_TRANSCRIPT
END = SpeechEventType.END_OF_SPEECH
USAGE = SpeechEventType.RECOGNITION_USAGE

SHORT = {START: "START", INTERIM: "INTERIM", PREFLIGHT: "PREFLIGHT", FINAL: "FINAL", END: "END", USAGE: "USAGE"}


class Ear:
    """An assembler and everything LiveKit heard of it."""

    def __init__(self, *, sent: float = 1000.0, **options: Any) -> None:
        self.assembler = TranscriptAssembler(**options)
        self.sent = sent
        self.events: list[SpeechEvent] = []

    def hear(self, *events: Any) -> list[str]:
        """Let the vendor say *events*; return what comes out, as a reader of the log would write it."""
        return self.note([out for event in events for out in self.assembler.accept(event, self.sent)])

    def note(self, out: list[SpeechEvent]) -> list[str]:
        self.events.extend(out)
        return [f"{SHORT[e.type]} {e.alternatives[0].text}" if e.alternatives else SHORT[e.type] for e in out]

    @property
    def last(self) -> Any:
        """The data of the last transcript."""
        return next(e for e in reversed(self.events) if e.alternatives).alternatives[0]


def _lazy(words: list[Word]) -> LazyWords:
    """Words as a profile reads long lists of them: where they begin and end, and the rest when it is wanted."""
    return LazyWords(lambda: words, words[0].start, words[-1].end)


class TestOrder:
    def test_a_vendor_that_says_everything(self) -> None:
        ear = Ear()
        assert ear.hear(
            SpeechStarted(0.1),
            Partial("hello", 0.1, 0.5),
            Partial("hello world", 0.1, 0.9, stable=True),
            Final("Hello world.", 0.1, 1.0),
            SpeechEnded(1.0),
        ) == ["START", "INTERIM hello", "PREFLIGHT hello world", "FINAL Hello world.", "END"]
        assert not ear.assembler.speaking

    def test_a_vendor_that_says_beginnings_but_no_ends(self) -> None:
        """Its finals end the utterance, once it is known to be like that."""
        ear = Ear(announces_end=True)
        assert ear.hear(SpeechStarted(0.1), Final("one", 0.1, 1.0)) == ["START", "FINAL one"]
        assert ear.hear(SpeechStarted(2.1), Final("two", 2.1, 3.0)) == ["FINAL two"]
        assert ear.hear(SpeechStarted(4.1), Final("three", 4.1, 5.0)) == ["END", "START", "FINAL three", "END"]
        assert ear.hear(SpeechStarted(6.1), Final("four", 6.1, 7.0)) == ["START", "FINAL four", "END"]
        assert ear.hear(SpeechStarted(8.1), SpeechEnded(8.5)) == ["START"]
        assert ear.hear(Final("five", 8.1, 8.5)) == ["FINAL five", "END"]

    def test_a_beginning_said_twice_in_an_utterance_ends_none(self) -> None:
        """Deepgram is known for that."""
        ear = Ear(announces_end=True)
        ear.hear(Final("before", 0.1, 1.0, ends_utterance=True))
        heard = [
            SpeechStarted(1.5),
            *[e for n in range(2, 6) for e in (Final("so", n, n + 1.0), SpeechStarted(n + 1))],
        ]
        assert ear.hear(*heard) == ["START", *["FINAL so"] * 4]
        assert ear.hear(Final("on", 6.5, 7.0, ends_utterance=True)) == ["FINAL on", "END"]

    def test_a_vendor_that_sends_finals_only(self) -> None:
        """Every final is an utterance until the vendor says otherwise."""
        ear = Ear()
        assert ear.hear(Final("one", 0, 1)) == ["START", "FINAL one", "END"]
        assert ear.hear(Final("two", 1, 2)) == ["START", "FINAL two", "END"]

    def test_a_vendor_whose_finals_say_which_ends_the_utterance(self) -> None:
        ear = Ear(announces_end=True)
        assert ear.hear(Final("one", 0, 1), Final("two", 1, 2, ends_utterance=True)) == [
            "START",
            "FINAL one",
            "FINAL two",
            "END",
        ]

    def test_the_first_announcement_tells_that_finals_do_not_end_utterances(self) -> None:
        ear = Ear()
        ear.hear(Final("one", 0, 1, ends_utterance=True))
        assert ear.hear(Final("two", 1, 2)) == ["START", "FINAL two"]

    def test_a_vendor_known_never_to_announce_ends_with_every_final(self) -> None:
        ear = Ear(announces_end=False)
        assert ear.hear(Partial("on", 0, 0.5), Final("one", 0, 1)) == ["START", "INTERIM on", "FINAL one", "END"]

    def test_start_is_said_once(self) -> None:
        ear = Ear()
        assert ear.hear(SpeechStarted(0.1), SpeechStarted(0.2), Partial("a", 0, 0.3)) == ["START", "INTERIM a"]

    def test_an_end_without_a_beginning_is_not_said(self) -> None:
        assert Ear().hear(SpeechEnded(1.0), Final("", 0, 1, ends_utterance=True)) == []

    def test_noise_that_turned_out_to_be_no_speech_ends_too(self) -> None:
        ear = Ear()
        assert ear.hear(SpeechStarted(0.1), Final("", 0, 1, ends_utterance=True)) == ["START", "END"]

    def test_messages_about_the_connection_mean_nothing_here(self) -> None:
        assert Ear().hear(Ready(), Flushed(), Finished(), Failure("no")) == []


class TestEndBeforeFinal:
    """Some vendors notice the silence before they have the text."""

    def test_the_end_waits_for_the_final(self) -> None:
        ear = Ear()
        assert ear.hear(SpeechStarted(0), Partial("one", 0, 1), SpeechEnded(1)) == ["START", "INTERIM one"]
        assert ear.assembler.end_held
        assert ear.hear(Final("one.", 0, 1)) == ["FINAL one.", "END"]
        assert not ear.assembler.end_held

    def test_the_end_waits_for_the_final_also_without_partials(self) -> None:
        """With interim results off, the text comes after the announcement all the same."""
        ear = Ear()
        assert ear.hear(SpeechStarted(0), SpeechEnded(1), Final("one.", 0, 1)) == ["START", "FINAL one.", "END"]

    def test_a_revision_does_not_take_the_end_back(self) -> None:
        ear = Ear()
        ear.hear(SpeechStarted(0), Partial("on", 0, 1), SpeechEnded(1))
        assert ear.hear(Partial("one", 0, 1), Final("one.", 0, 1)) == ["INTERIM one", "FINAL one.", "END"]

    def test_an_empty_final_is_a_final_too(self) -> None:
        ear = Ear()
        ear.hear(SpeechStarted(0), Partial("uh", 0, 1), SpeechEnded(1))
        assert ear.hear(Final("", 0, 1)) == ["INTERIM ", "END"]

    def test_a_new_beginning_ends_the_last_utterance_first(self) -> None:
        ear = Ear()
        ear.hear(SpeechStarted(0), Partial("one", 0, 1), SpeechEnded(1))
        assert ear.hear(SpeechStarted(2)) == ["END", "START"]

    def test_a_timer_may_release_it(self) -> None:
        ear = Ear()
        ear.hear(SpeechStarted(0), Partial("one", 0, 1), SpeechEnded(1))
        assert ear.note(ear.assembler.release_end()) == ["END"]
        assert ear.note(ear.assembler.release_end()) == []

    def test_a_late_final_after_the_end_gets_an_end_of_its_own(self) -> None:
        """The vendor has announced this end already; it will not do so again, and END would never come."""
        ear = Ear()
        ear.hear(SpeechStarted(0), Partial("one", 0, 1), SpeechEnded(1))
        ear.note(ear.assembler.release_end())
        assert ear.hear(Final("one.", 0, 1)) == ["START", "FINAL one.", "END"]
        assert not ear.assembler.speaking


class TestRepetition:
    def test_a_segment_said_twice_by_its_id(self) -> None:
        ear = Ear()
        assert ear.hear(Final("one", segment_id="a"))
        assert ear.hear(Final("One.", segment_id="a")) == []
        assert ear.hear(Final("two", segment_id="b"))

    def test_a_segment_said_twice_by_its_times(self) -> None:
        ear = Ear()
        ear.hear(Final("one", 0.0, 1.0))
        assert ear.hear(Final("One.", 0.0, 1.0)) == []
        assert ear.hear(Final("One.", 0.01, 0.99)) == []
        assert ear.hear(Final("One.", None, 1.0)) == []

    def test_a_repetition_may_still_end_the_utterance(self) -> None:
        """A vendor that formats a turn says it again, and only then that it is over."""
        ear = Ear(announces_end=True)
        ear.hear(Final("one", 0, 1, segment_id="a"))
        assert ear.hear(Final("One.", 0, 1, segment_id="a", ends_utterance=True)) == ["END"]

    def test_ids_begin_anew_with_every_connection(self) -> None:
        ear = Ear()
        ear.hear(Final("one", 0, 1, segment_id="0"))
        ear.assembler.connected(1.0)
        assert "FINAL two" in ear.hear(Final("two", 0, 1, segment_id="0"))

    @pytest.mark.parametrize(
        "finals",
        [
            [Final("one", 0.0, 0.9), Final("two", 0.0, 0.6), Final("three", 0.0, 0.8)],
            [Final("one", 0.0, 0.0), Final("two", 0.0, 0.0), Final("three", 0.0, 0.0)],
            [Final("one", 0, 1), Final("two", 0, 1), Final("three", 1, 1)],
            [
                Final("shall we go", 0.2, 0.7, speaker="A"),
                Final("mhm", 0.4, 0.6, speaker="B"),
                Final("three", 0.9, 1.2),
            ],
            [Final("one", end=0.7), Final("two", end=0.5), Final("three", end=1.5)],
        ],
        ids=["times of the utterance", "zero by default", "whole seconds", "two speakers", "only ends, one late"],
    )
    def test_new_words_are_said_whatever_their_times(self, finals: list[Final]) -> None:
        """Servers are written in a hurry. No word may be lost for times that do not advance."""
        ear = Ear()
        heard = [line for final in finals for line in ear.hear(final) if line.startswith("FINAL")]
        assert heard == [f"FINAL {final.text}" for final in finals]

    def test_times_that_were_before_are_not_believed_again(self) -> None:
        """Or the audio behind them would count as final, and a drop would lose it or have it said twice."""
        ear = Ear(sent=1.0)
        ear.hear(Final("one", 0.0, 0.9))
        assert ear.assembler.gives_times is True
        ear.sent = 2.0
        ear.hear(Final("two", 0.0, 0.6))
        ear.sent = 3.0
        ear.hear(Final("three", 0.0, 0.8))
        ear.sent = 4.0
        assert ear.hear(Partial("fo", 0.0, 0.5)) == ["START", "INTERIM fo"]
        assert ear.hear(Final("four", 0.0, 1.5)) == ["FINAL four", "END"]
        assert (ear.assembler.gives_times, ear.assembler.acknowledged) == (False, 0.9)
        assert (ear.last.start_time, ear.last.end_time) == (0.0, 0.0)
        ear.assembler.connected(0.9)
        assert ear.hear(Final("two", 0.0, 0.6), Final("three", 0.0, 0.8), Final("four", 0.0, 1.5)) == []
        assert ear.hear(Final("five", 0.0, 0.7)) == ["START", "FINAL five", "END"]

    def test_the_time_of_a_partial_tells_no_more_after_that(self) -> None:
        """It must be heard, and no program may take it for audio that is final."""
        ear = Ear()
        ear.hear(Final("one", 0.0, 1.0), Final("two", 0.0, 0.9))
        assert ear.hear(Partial("three", 0.0, 0.5)) == ["START", "INTERIM three"]
        assert (ear.last.start_time, ear.last.end_time) == (0.0, 0.0)
        assert ear.hear(Final("", 1.0, 2.0)) == ["INTERIM "], "it covers the interim, wherever that was"

    def test_after_a_drop_a_name_tells_nothing_and_the_times_do(self) -> None:
        """Whole seconds acknowledge less than was said, so the rest of it is recognised again."""
        ear = Ear()
        ear.hear(Final("two", 1.0, 1.0, segment_id="2"))
        assert "FINAL too" in ear.hear(Final("too", 1.0, 1.0, segment_id="3")), "on one connection they are two"
        ear.assembler.connected(1.0)
        assert ear.hear(Final("Two.", 0.0, 0.0, segment_id="1")) == []

    def test_a_final_that_comes_late_is_said(self) -> None:
        ear = Ear()
        ear.hear(Final("two", 1.0, 2.0))
        assert "FINAL one" in ear.hear(Final("one", 0.0, 1.0))

    def test_two_people_at_once_are_both_heard(self) -> None:
        """Segments the vendor itself tells apart are no repetition, though they lie on the same audio."""
        ear = Ear()
        ear.hear(Final("I think so", 0.0, 2.0, speaker="A", segment_id="1"))
        assert "FINAL me too" in ear.hear(Final("me too", 0.4, 1.6, speaker="B", segment_id="2"))

    def test_a_replayed_segment_is_not_said_again(self) -> None:
        ear = Ear()
        ear.hear(Final("one", 0, 1), Final("two", 1, 2))
        ear.assembler.connected(1.0)
        assert ear.hear(Final("Two", 0, 1)) == []
        assert ear.hear(Final("To", 0, 1)) == [], "a recogniser may spell the same audio differently"
        assert "FINAL three" in ear.hear(Final("three", 1, 2))

    def test_an_interim_about_final_audio_is_not_said(self) -> None:
        ear = Ear()
        ear.hear(Final("one", 0, 1))
        assert ear.hear(Partial("on", 0, 0.9), Partial("one", 0, 1)) == []
        assert ear.hear(Partial("two", 1, 1.5)) == ["START", "INTERIM two"]

    def test_only_so_many_ids_are_remembered(self) -> None:
        ear = Ear()
        for i in range(1000):
            ear.hear(Final("x", segment_id=str(i)))
        assert ear.hear(Final("x", segment_id="999")) == []


class TestWithoutTimes:
    """The vendor cannot say which audio a final covers, so all of it is recognised again after a drop."""

    def test_words_are_said_once(self) -> None:
        ear = Ear(sent=2)
        ear.hear(Final("one two"), Final("three"))
        ear.assembler.connected(0.0)
        assert ear.hear(Final("One, two, three, four.")) == ["START", "FINAL four.", "END"]

    def test_the_end_of_what_was_said_before_a_drop_is_not_that_of_the_open_utterance(self) -> None:
        """It would be held for the final of a long utterance, and released in the middle of it."""
        ear = Ear(sent=2)
        ear.hear(Final("one two", ends_utterance=True), Partial("three"))
        ear.assembler.connected(0.0)
        assert ear.hear(Final("one two", ends_utterance=True)) == []
        assert not ear.assembler.end_held
        assert ear.hear(Partial("three four"), Final("three four five", ends_utterance=True)) == [
            "INTERIM three four",
            "FINAL three four five",
            "END",
        ]

    def test_words_are_said_once_when_they_come_in_other_portions(self) -> None:
        ear = Ear(sent=2)
        ear.hear(Final("one two three four"))
        ear.assembler.connected(0.0)
        assert ear.hear(Final("one two")) == []
        assert ear.hear(Final("three")) == []
        assert ear.hear(Final("four five")) == ["START", "FINAL five", "END"]
        assert ear.hear(Final("six")) == ["START", "FINAL six", "END"]

    def test_words_are_said_once_over_many_drops(self) -> None:
        ear = Ear(sent=2)
        ear.hear(Final("one two"))
        for i, word in enumerate(["three", "four", "five"]):
            ear.assembler.connected(0.0)
            said = " ".join(["one two", "three", "four", "five"][: i + 1])
            assert ear.hear(Final(f"{said} {word}")) == ["START", f"FINAL {word}", "END"]

    def test_interims_hold_new_words_only(self) -> None:
        ear = Ear(sent=2)
        ear.hear(Final("one two"))
        ear.assembler.connected(0.0)
        assert ear.hear(Partial("one")) == []
        assert ear.hear(Partial("one two three")) == ["START", "INTERIM three"]

    def test_the_words_of_a_transcript_are_those_of_its_text(self) -> None:
        words = [Word("one"), Word("two"), Word("three")]
        ear = Ear(sent=2)
        ear.hear(Final("one two", words=words[:2]))
        ear.assembler.connected(0.0)
        ear.hear(Partial("one two three", words=words))
        assert ear.last.text == "three"
        assert ear.last.words in (None, ["three"])
        ear.hear(Final("one two three", words=words))
        assert (ear.last.text, ear.last.words) == ("three", ["three"])

    def test_words_that_cannot_be_matched_to_the_text_are_left_out(self) -> None:
        ear = Ear(sent=2)
        ear.hear(Final("one two"))
        ear.assembler.connected(0.0)
        ear.hear(Final("one two three four", words=[Word("onetwo"), Word("three")]))
        assert (ear.last.text, ear.last.words) == ("three four", None)

    def test_words_of_audio_that_is_not_kept_are_forgotten(self) -> None:
        ear = Ear(sent=2)
        ear.hear(Final("one two"))
        ear.sent = 10
        ear.hear(Final("three"))
        ear.assembler.connected(5.0)
        assert ear.hear(Final("three four")) == ["START", "FINAL four", "END"]

    def test_words_are_said_once_where_the_audio_of_the_first_is_not_kept(self) -> None:
        """After a minute of stream that is so with every drop, or the whole minute would be said again."""
        ear = Ear(sent=20)
        ear.hear(Final("one two three four five six seven eight"))
        ear.sent = 40
        ear.hear(Final("nine ten"))
        ear.assembler.connected(19.0)
        assert ear.hear(Partial("seven eight")) == []
        assert ear.hear(Final("Seven, eight.")) == []
        assert ear.hear(Final("nine ten eleven")) == ["START", "FINAL eleven", "END"]
        ear.assembler.connected(19.5)
        assert ear.hear(Final("kay")) == ["START", "FINAL kay", "END"], "what is left of a word"
        assert ear.hear(Final("nine ten eleven twelve")) == ["START", "FINAL twelve", "END"]
        ear.assembler.connected(19.5)
        assert ear.hear(Final("nine ten eleven twelve")) == [], "the same once more"
        ear.assembler.connected(20.5)
        assert ear.hear(Final("I see"), Final("how so"))
        assert ear.hear(Final("eleven")) == ["START", "FINAL eleven", "END"], "that is no repetition any more"

    def test_words_before_a_time_that_is_final_are_certain(self) -> None:
        """A vendor gives times but for one final, and a recording is pushed at once."""
        ear = Ear(sent=60)
        ear.hear(Final("yes"), Final("I see", 1.0, 2.0))
        ear.assembler.connected(2.0)
        assert ear.hear(Final("yes")) == ["START", "FINAL yes", "END"]

    def test_the_answer_to_a_flush_makes_what_was_said_certain(self) -> None:
        ear = Ear(sent=2)
        ear.hear(Final("yes"))
        ear.note(ear.assembler.flushed(2.0))
        assert ear.assembler.acknowledged == 2.0
        ear.assembler.connected(2.0)
        assert ear.hear(Final("yes")) == ["START", "FINAL yes", "END"]

    def test_an_answer_that_makes_no_audio_final_makes_no_words_certain(self) -> None:
        """Where an answer says up to where it holds, and says zero as all times of this vendor."""
        ear = Ear(sent=2)
        ear.hear(Final("yes", 0.0, 0.0))
        ear.note(ear.assembler.flushed(0.0))
        ear.assembler.connected(0.0)
        assert ear.hear(Final("Yes.", 0.0, 0.0)) == []

    def test_the_answer_to_a_flush_releases_an_end_that_has_nothing_to_wait_for(self) -> None:
        ear = Ear(sent=2)
        ear.hear(SpeechStarted(), Partial("one"), SpeechEnded())
        assert ear.note(ear.assembler.flushed(1.0)) == [], "the final is still to come"
        ear.hear(Partial(""))
        assert not ear.assembler.speaking or ear.note(ear.assembler.flushed(2.0)) == ["END"]

    def test_an_untimed_final_hides_no_word_of_timed_ones_after_a_drop(self) -> None:
        """A vendor gives times but for one final; what is left of it must not eat into interims for ever."""
        ear = Ear(sent=2)
        ear.hear(Final("yes"))
        ear.assembler.connected(1.0)
        ear.sent = 100
        ear.hear(Final("yes", 0.0, 0.9), Final("I see", 1.0, 9.0))
        assert ear.hear(Partial("how are you", 20.0, 21.0)) == ["START", "INTERIM how are you"]

    def test_says_whether_the_vendor_gives_times(self) -> None:
        ear = Ear()
        assert ear.assembler.gives_times is None
        ear.hear(Final("one"))
        assert ear.assembler.gives_times is False
        ear.hear(Final("two", 0, 1))
        assert ear.assembler.gives_times is True


class TestRetraction:
    def test_an_empty_partial_takes_the_interim_back(self) -> None:
        ear = Ear()
        ear.hear(Partial("noise", 0, 1))
        assert ear.hear(Partial("  ", 0, 1)) == ["INTERIM "]
        assert ear.hear(Partial("", 0, 1)) == [], "there is nothing left to take back"

    def test_an_empty_final_takes_back_the_interim_it_covers(self) -> None:
        """LiveKit keeps an interim it is not told about, and commits it later."""
        ear = Ear()
        ear.hear(Partial("noise", 0, 1))
        assert ear.hear(Final("", 0, 1)) == ["INTERIM "]
        ear.hear(Partial("noise"))
        assert ear.hear(Final("")) == ["INTERIM "]

    def test_an_empty_final_leaves_an_interim_about_later_audio(self) -> None:
        ear = Ear()
        ear.hear(Partial("later", 0.5, 2))
        assert ear.hear(Final("", 0, 1)) == []
        assert ear.note(ear.assembler.finish()) == ["FINAL later", "END"]

    def test_an_empty_final_covers_its_audio(self) -> None:
        ear = Ear()
        assert ear.hear(Final("", 0, 3)) == []
        assert ear.assembler.acknowledged == 3
        assert ear.assembler.gives_times is None, "only text tells"


class TestFinish:
    def test_the_last_partial_counts_within_an_utterance_also_after_its_end_was_released(self) -> None:
        ear = Ear()
        ear.hear(Partial("hello", 0, 1), SpeechEnded(1))
        ear.note(ear.assembler.release_end())
        assert ear.note(ear.assembler.finish()) == ["START", "FINAL hello", "END"]

    def test_the_last_partial_counts(self) -> None:
        ear = Ear()
        ear.hear(Partial("hel", 0, 0.5), Partial("hello", 0, 1))
        assert ear.note(ear.assembler.finish()) == ["FINAL hello", "END"]
        assert ear.note(ear.assembler.finish()) == []

    def test_a_partial_that_became_final_does_not_count_again(self) -> None:
        ear = Ear(announces_end=True)
        ear.hear(Partial("hello", 0, 1), Final("hello", 0, 1))
        assert ear.note(ear.assembler.finish()) == ["END"]

    def test_a_held_end_is_said_once(self) -> None:
        ear = Ear()
        ear.hear(Partial("hello", 0, 1), SpeechEnded(1))
        assert ear.note(ear.assembler.finish()) == ["FINAL hello", "END"]
        assert not ear.assembler.end_held

    def test_a_stream_without_speech_ends_without_a_word(self) -> None:
        assert Ear().assembler.finish() == []


class TestTimes:
    def test_start_and_end_go_through(self) -> None:
        ear = Ear()
        ear.hear(Final("one", 0.5, 1.25))
        assert (ear.last.start_time, ear.last.end_time) == (0.5, 1.25)

    def test_times_a_vendor_does_not_give_stay_zero(self) -> None:
        """LiveKit takes any end above 0 for the vendor's own."""
        ear = Ear()
        ear.assembler.offset = 100.0
        ear.hear(Final("one"))
        assert (ear.last.start_time, ear.last.end_time) == (0.0, 0.0)

    def test_the_offset_is_added_to_everything(self) -> None:
        ear = Ear()
        ear.assembler.offset = 100.0
        ear.hear(Final("one", 0.5, 1.0, words=[Word("one", 0.5, 1.0)]))
        assert (ear.last.start_time, ear.last.end_time) == (100.5, 101.0)
        (word,) = ear.last.words
        assert (word.start_time, word.end_time, word.start_time_offset) == (100.5, 101.0, 100.0)
        assert ear.assembler.acknowledged == 1.0, "the stream's own clock has no offset"

    def test_words_stand_in_for_the_times_of_their_segment(self) -> None:
        ear = Ear()
        ear.hear(Final("one two", words=[Word("one", 0.5, 1.0), Word("two", 1.0, 1.5)]))
        assert (ear.last.start_time, ear.last.end_time) == (0.5, 1.5)
        assert ear.assembler.acknowledged == 1.5

    def test_a_reconnect_moves_the_clock(self) -> None:
        ear = Ear()
        ear.assembler.connected(10.0)
        assert ear.assembler.acknowledged == 10.0
        ear.hear(Final("one", 0.5, 1.0, words=[Word("one", 0.5, 1.0)]))
        assert (ear.last.start_time, ear.last.end_time) == (10.5, 11.0)
        assert ear.last.words[0].start_time == 10.5
        ear.assembler.connected(11.0)
        ear.hear(Final("two", 0.5, 1.0))
        assert (ear.last.start_time, ear.last.end_time) == (11.5, 12.0)

    def test_a_gap_moves_the_clock_from_there_on(self) -> None:
        ear = Ear()
        ear.assembler.connected(10.0)
        ear.assembler.skipped(2.0, 20.0)
        ear.assembler.skipped(3.0, 30.0)
        ear.hear(Final("one", 0.5, 1.5))
        assert (ear.last.start_time, ear.last.end_time) == (10.5, 11.5)
        ear.hear(Final("two", 1.5, 2.5))
        assert (ear.last.start_time, ear.last.end_time) == (11.5, 20.5)
        ear.hear(Final("three", 3.5, 4.0))
        assert (ear.last.start_time, ear.last.end_time) == (30.5, 31.0)

    def test_what_ends_where_a_gap_begins_ends_before_the_gap(self) -> None:
        ear = Ear()
        ear.assembler.skipped(2.0, 20.0)
        ear.hear(Final("one", 1.0, 2.0, words=[Word("one", 1.0, 2.0)]))
        assert (ear.last.start_time, ear.last.end_time) == (1.0, 2.0)
        assert ear.last.words[0].end_time == 2.0
        ear.hear(Final("two", 2.0, 3.0))
        assert (ear.last.start_time, ear.last.end_time) == (20.0, 21.0)

    def test_a_gap_before_the_first_sample(self) -> None:
        ear = Ear()
        ear.assembler.skipped(0.0, 5.0)
        ear.hear(Final("one", 0.0, 1.0))
        assert (ear.last.start_time, ear.last.end_time) == (5.0, 6.0)

    def test_a_time_just_after_the_last_audio_is_a_rounding(self) -> None:
        ear = Ear(sent=1.0)
        ear.hear(Final("one", 0.0, 1.4))
        assert ear.last.end_time == 1.0
        assert ear.assembler.acknowledged == 1.0

    @pytest.mark.parametrize(
        "absurd",
        [-1, -0.001, math.nan, math.inf, -math.inf, 1e9, 10**400, "1.0", True, [1], 2.0],
        ids=lambda v: repr(v)[:9],
    )
    def test_times_that_cannot_be_are_no_times(self, absurd: Any) -> None:
        ear = Ear(sent=1.0)
        assert "FINAL one" in ear.hear(Final("one", 0.0, absurd, words=[Word("one", absurd, absurd)]))
        assert ear.last.end_time == 0.0
        assert ear.last.words[0].start_time is ear.last.words[0].end_time is NOT_GIVEN
        assert ear.assembler.acknowledged == 0.0
        assert ear.hear(SpeechStarted(absurd), Partial("two", absurd, absurd)) == ["START", "INTERIM two"]
        assert (ear.last.start_time, ear.last.end_time) == (0.0, 0.0)

    def test_a_start_after_the_end_makes_both_nonsense(self) -> None:
        ear = Ear()
        ear.hear(Final("one", 2.0, 1.0))
        assert (ear.last.start_time, ear.last.end_time) == (0.0, 0.0)
        assert ear.assembler.acknowledged == 0.0

    def test_then_the_words_tell(self) -> None:
        ear = Ear()
        ear.hear(Final("one", None, 0.0, words=[Word("one", 0.5, 0.8)]))
        assert (ear.last.start_time, ear.last.end_time) == (0.5, 0.8)
        assert ear.assembler.acknowledged == 0.8
        ear.hear(Final("two", 3.0, 2.0, words=[Word("two", 1.5, 1.0)]))
        assert (ear.last.start_time, ear.last.end_time) == (0.0, 0.0)

    def test_words_that_end_after_their_segment_are_not_believed(self) -> None:
        """No more audio is final than the segment's, so a text about the rest is new."""
        ear = Ear()
        ear.hear(Final("one", 0.0, 1.0, words=[Word("one", 0.2, 1.5)]))
        assert (ear.last.start_time, ear.last.end_time) == (0.0, 1.0)
        assert ear.hear(Partial("two", 1.0, 1.4)) == ["START", "INTERIM two"]

    def test_nor_are_words_that_begin_before_it(self) -> None:
        """Some count their times from the beginning of the segment. LiveKit would take the turn for long over."""
        ear = Ear()
        ear.hear(Partial("one", 4.0, 5.0, words=[Word("one", 0.2, 0.8)]))
        assert (ear.last.start_time, ear.last.end_time) == (4.0, 5.0)
        ear.hear(Final("one", 4.0, 5.0, words=[Word("one", 0.2, 0.8)]))
        assert (ear.last.start_time, ear.last.end_time) == (4.0, 5.0)

    @pytest.mark.parametrize("start", [None, 0.0])
    @pytest.mark.parametrize("kind", [list, _lazy])
    def test_words_of_final_audio_say_nothing_about_an_interim(self, start: float | None, kind: Any) -> None:
        ear = Ear()
        ear.hear(Final("one", 0.0, 1.0))
        ear.hear(Partial("two", start, 2.0, words=kind([Word("two", 0.5, 1.0)])))
        assert ear.last.end_time == 2.0

    def test_a_word_that_ends_before_it_begins_has_no_times(self) -> None:
        ear = Ear()
        ear.hear(Final("one two", 0.0, 2.0, words=[Word("one", 0.5, 0.2), Word("two", 1.0, 1.5)]))
        one, two = ear.last.words
        assert one.start_time is one.end_time is NOT_GIVEN
        assert (two.start_time, two.end_time) == (1.0, 1.5)

    def test_the_onset_is_wall_time_where_the_stream_began(self) -> None:
        ear = Ear()
        ear.hear(SpeechStarted(1.0), SpeechEnded())
        assert ear.events[0].speech_start_time is None, "not known when the stream began"
        ear = Ear()
        ear.assembler.started_at = 1_700_000_000.0
        ear.hear(SpeechStarted(1.5))
        assert ear.events[0].speech_start_time == 1_700_000_001.5


class TestData:
    def test_everything_the_vendor_said_goes_through(self) -> None:
        ear = Ear(language="en-US")
        words = [Word("Bonjour", 0.0, 1.0, confidence=0.9, speaker="2")]
        ear.hear(Final("Bonjour", 0, 1, "fr", 0.8, "1", words, "request", {"raw": 1}))
        data = ear.last
        assert (data.language, data.confidence, data.speaker_id, data.metadata) == ("fr", 0.8, "1", {"raw": 1})
        assert data.words == ["Bonjour"]
        assert (data.words[0].confidence, data.words[0].speaker_id) == (0.9, "2")
        assert next(e for e in ear.events if e.type is FINAL).request_id == "request"

    def test_the_language_asked_for_stands_in(self) -> None:
        ear = Ear(language="en-US")
        ear.hear(Final("Hello"))
        assert ear.last.language == "en-US"
        ear = Ear()
        ear.hear(Final("Hello"))
        assert ear.last.language == ""

    def test_nonsense_languages_do_not_pile_up(self) -> None:
        ear = Ear()
        for i in range(500):
            ear.hear(Final("x", language=f"x-{i}"))
            assert ear.last.language == f"x-{i}"
        assert len(ear.assembler._languages) <= 64

    def test_request_ids_are_those_of_the_connection(self) -> None:
        ear = Ear()
        ear.assembler.connected(0.0, request_id="first")
        ear.hear(SpeechStarted())
        ear.assembler.identified("second")
        ear.hear(Partial("a"), Final("b", request_id="own"), SpeechEnded())
        assert [e.request_id for e in ear.events] == ["first", "second", "own", "second"]

    def test_usage_is_passed_on(self) -> None:
        ear = Ear()
        ear.assembler.identified("r")
        assert ear.hear(Usage(1.5, 10, 20)) == ["USAGE"]
        usage = ear.events[0].recognition_usage
        assert usage is not None
        assert (usage.audio_duration, usage.input_tokens, usage.output_tokens) == (1.5, 10, 20)
        assert ear.events[0].request_id == "r"

    def test_text_is_stripped(self) -> None:
        ear = Ear()
        assert ear.hear(Final("  one \n")) == ["START", "FINAL one", "END"]


# ------------------------------------------------------------------ whatever a vendor does

TIMES = st.one_of(
    st.none(),
    st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 9.0]),
    st.integers(0, 5),
    st.sampled_from([-1.0, math.nan, 1e6, True]),
)
TEXTS = st.sampled_from(["", " ", "one", "two", "one two", "three", "one two three"])
WORDS = st.lists(st.builds(Word, st.just("w"), TIMES, TIMES), max_size=3)
WORD_LISTS = st.one_of(st.none(), WORDS, WORDS.map(lambda words: _lazy(words) if words else words))
SPEAKERS = st.sampled_from([None, "A", "B"])
EVENTS = st.one_of(
    st.builds(Partial, TEXTS, TIMES, TIMES, speaker=SPEAKERS, words=WORD_LISTS, stable=st.booleans()),
    st.builds(
        Final,
        TEXTS,
        TIMES,
        TIMES,
        speaker=SPEAKERS,
        words=WORD_LISTS,
        segment_id=st.sampled_from([None, None, "a", "b", "c"]),
        ends_utterance=st.booleans(),
    ),
    st.builds(SpeechStarted, TIMES),
    st.builds(SpeechEnded, TIMES),
    st.tuples(st.just("connected"), st.sampled_from([0.0, 1.0, 2.0, 5.0])),
    st.tuples(st.just("flushed"), st.sampled_from([0.0, 1.0, 2.0, 5.0])),
    st.tuples(st.just("skipped"), st.sampled_from([1.0, 2.0])),
    st.tuples(st.just("sent"), st.sampled_from([0.25, 1.0, 2.0])),
    st.tuples(st.just("release")),
)


def _play(ear: Ear, script: list[Any]) -> None:
    """Let all of it happen, to the end of the stream."""
    assembler = ear.assembler
    acknowledged = 0.0
    skips = 0.0
    for event in script:
        if not isinstance(event, tuple):
            ear.note(assembler.accept(event, ear.sent))
        elif event[0] == "connected":
            assembler.connected(max(min(event[1], ear.sent), assembler.acknowledged))
            skips = 0.0
        elif event[0] == "flushed":
            ear.note(assembler.flushed(min(event[1], ear.sent)))
        elif event[0] == "sent":
            ear.sent += event[1]
        elif event[0] == "skipped":
            skips += 1.0
            assembler.skipped(skips, skips + event[1])
        else:
            ear.note(assembler.release_end())
        assert acknowledged <= assembler.acknowledged <= ear.sent
        acknowledged = assembler.acknowledged
        assert assembler.speaking or not assembler.end_held
    ear.note(assembler.finish())
    assert not (assembler.speaking or assembler.end_held or assembler.owes_text)


@settings(max_examples=600, deadline=None)
@given(st.lists(EVENTS, max_size=25), st.sampled_from([None, True, False]), st.sampled_from([0.0, 5.0]))
def test_the_order_holds_whatever_the_vendor_says(
    script: list[Any], announces_end: bool | None, sent: float
) -> None:
    ear = Ear(sent=sent, announces_end=announces_end)
    _play(ear, script)
    speaking = False
    interim = ""
    final_through = 0.0
    for event in ear.events:
        if event.type is START:
            assert not speaking, "START twice"
            speaking = True
            continue
        retracts = event.type is INTERIM and not event.alternatives[0].text
        assert speaking or retracts, f"{event.type} outside of START and END"
        if event.type is END:
            speaking = False
            continue
        (data,) = event.alternatives
        assert 0 <= data.start_time <= ear.sent
        assert 0 <= data.end_time <= ear.sent
        assert data.start_time <= data.end_time or not data.end_time
        for word in data.words or ():
            times = [time for time in (word.start_time, word.end_time) if time is not NOT_GIVEN]
            assert times == sorted(times) and all(0 <= time <= ear.sent for time in times)
        if event.type is FINAL:
            assert data.text.strip(), "a final without text"
            interim = ""
            final_through = max(final_through, data.end_time)
        else:
            assert data.text or interim, "an empty interim with nothing to take back"
            interim = data.text
            if data.end_time:
                assert data.end_time > final_through, "an interim about audio that is final"
    assert not speaking
    assert not interim, "an interim is left that nobody committed"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        EVENTS.filter(lambda event: event[0] != "connected" if isinstance(event, tuple) else True), max_size=25
    ),
    st.sampled_from([None, True, False]),
)
def test_every_final_with_new_words_is_said_whatever_else_the_vendor_says(
    script: list[Any], announces_end: bool | None
) -> None:
    """On one connection only a name that was there before makes a repetition of it."""
    expected, names = [], {None}
    for number, event in enumerate(script):
        if isinstance(event, (Partial, Final)) and event.text.strip():
            event.text = f"word{number}"
        if (
            isinstance(event, Final)
            and event.text.strip()
            and (event.segment_id is None or event.segment_id not in names)
        ):
            names.add(event.segment_id)
            expected.append(event.text)
    ear = Ear(sent=5.0, announces_end=announces_end)
    _play(ear, script)
    finals = [event.alternatives[0].text for event in ear.events if event.type is FINAL]
    assert finals[: len(expected)] == expected
    assert len(finals) <= len(expected) + 1, "but for the last interim, which counts"


UTTERANCES = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4), min_size=1, max_size=6)


@settings(max_examples=300, deadline=None)
@given(UTTERANCES, st.data())
def test_every_timed_word_is_said_once_whatever_is_replayed(
    utterances: list[list[str]], data: st.DataObject
) -> None:
    """One utterance a second; the connection drops anywhere, and what is not final is recognised again."""
    ear = Ear()
    origin = position = 0
    drops = 0
    while position < len(utterances):
        ear.sent = float(position + 1)
        text = " ".join(utterances[position])
        at = float(position - origin)
        for _ in range(data.draw(st.integers(0, 2), label="partials")):
            ear.hear(Partial(text, at + 0.1, at + 0.8))
        if drops < 4 and data.draw(st.booleans(), label="drop before the final"):
            drops += 1
            origin = position = int(ear.assembler.acknowledged)
            ear.assembler.connected(float(origin))
            continue
        for _ in range(data.draw(st.integers(1, 2), label="finals")):
            ear.hear(Final(text, at, at + 1.0))
        position += 1
    ear.note(ear.assembler.finish())
    said = [event.alternatives[0].text for event in ear.events if event.type is FINAL]
    assert said == [" ".join(words) for words in utterances]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 12), st.data())
def test_every_untimed_word_is_said_once_whatever_is_replayed(count: int, data: st.DataObject) -> None:
    """Every word comes once over any number of drops, in whatever portions the vendor makes finals of them."""
    words = [f"word{i}" for i in range(count)]
    ear = Ear(sent=float(count))
    for last in (False, False, True):
        reach = count if last else data.draw(st.integers(0, count), label="words before the drop")
        position = 0
        while position < reach:
            size = data.draw(st.integers(1, reach - position), label="words of the final")
            ear.hear(Final(" ".join(words[position : position + size])))
            position += size
        if not last:
            ear.assembler.connected(0.0)
    said = " ".join(event.alternatives[0].text for event in ear.events if event.type is FINAL)
    assert said.split() == words
