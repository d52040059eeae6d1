"""One transcript from several recognisers: nothing twice, nothing missing, in order. No clock runs here."""

from __future__ import annotations

import math
from typing import Any

import pytest
from livekit.agents.language import LanguageCode
from livekit.agents.stt import SpeechData, SpeechEvent, SpeechEventType
from livekit.agents.types import TimedString

from agents.providers.wrappers.failover_transcript import JoinedTranscript

START, END = SpeechEventType.START_OF_SPEECH, SpeechEventType.END_OF_SPEECH
INTERIM, FINAL = SpeechEventType.INTERIM_TRANSCRIPT, SpeechEventType.FINAL_TRANSCRIPT


def say(kind: SpeechEventType, text: str = "", start: float = 0.0, end: float = 0.0) -> SpeechEvent:
    if kind in (START, END):
        return SpeechEvent(type=kind)
    words = None
    if end:
        step = (end - start) / max(len(text.split()), 1)
        words = [
            TimedString(word, start_time=start + n * step, end_time=start + (n + 1) * step)
            for n, word in enumerate(text.split())
        ]
    data = SpeechData(language=LanguageCode("en"), text=text, start_time=start, end_time=end, words=words)
    return SpeechEvent(type=kind, request_id="r", alternatives=[data])


class Listener:
    """Collects what comes out, in short."""

    def __init__(self) -> None:
        self.transcript = JoinedTranscript()
        self.events: list[SpeechEvent] = []

    def hear(self, *events: SpeechEvent, given: float = 100.0) -> Listener:
        for event in events:
            self.events += self.transcript.accept(event, given)
        return self

    @property
    def heard(self) -> list[str]:
        short = {START: "(", END: ")", INTERIM: "?", FINAL: "!"}
        return [
            short[event.type] + (event.alternatives[0].text if event.alternatives else "") for event in self.events
        ]


def test_what_a_member_says_passes_as_it_is() -> None:
    events = [say(START), say(INTERIM, "one", 1, 2), say(FINAL, "one two", 1, 3), say(END)]
    listener = Listener().hear(*events)
    assert listener.events == events
    assert listener.transcript.acknowledged == 3.0 and listener.transcript.timed


def test_usage_passes_whatever_else_goes_on() -> None:
    usage = SpeechEvent(type=SpeechEventType.RECOGNITION_USAGE)
    assert Listener().hear(usage).events == [usage]


def test_an_utterance_goes_on_with_the_next_member() -> None:
    listener = Listener().hear(say(START), say(INTERIM, "one two", 1, 2))
    listener.transcript.began(0.0)
    listener.hear(say(START), say(INTERIM, "one two", 1, 2), say(FINAL, "one two three", 1, 3), say(END))
    assert listener.heard == ["(", "?one two", "?one two", "!one two three", ")"]


def test_words_said_without_times_are_not_said_again() -> None:
    listener = Listener().hear(say(START), say(FINAL, "one two three"), say(END), given=5.0)
    assert listener.transcript.timed is False and listener.transcript.acknowledged == 0.0
    listener.transcript.began(0.0)
    listener.hear(
        say(START),
        say(INTERIM, "one two"),
        say(FINAL, "One, too three."),  # as another vendor spells it
        say(END),
        say(START),
        say(FINAL, "four five"),
        say(END),
        given=8.0,
    )
    assert listener.heard == ["(", "!one two three", ")", "(", "!four five", ")"]


@pytest.mark.parametrize("late", [0, 2])
@pytest.mark.parametrize("portion", [1, 2, 4, 7])
@pytest.mark.parametrize("first", [1, 3, 5])
@pytest.mark.parametrize("again", [False, True], ids=["one takes over", "two take over"])
def test_where_audio_is_not_kept_the_repetition_may_begin_anywhere(
    late: int, portion: int, first: int, again: bool
) -> None:
    """A word a second, whose final comes *late*; of the words said, those before second 6 are not heard again."""
    words = [f"word{n}" for n in range(26)]
    listener = Listener()

    def hears(start: int, stop: int, count: int, late: int) -> None:
        for n in range(start, stop, count):
            end = min(n + count, stop)
            listener.hear(say(FINAL, " ".join(words[n:end])), given=float(end + late))

    hears(0, 20, first, late)
    listener.transcript.began(6.0)
    if again:  # and leaves in the middle of what it repeats
        hears(6, 12, portion, 20)
        listener.transcript.began(6.0)
    hears(6, 26, portion, 20)
    heard = [word for text in listener.heard if text[0] == "!" for word in text[1:].split()]
    assert heard == words


def test_only_the_new_end_of_a_final_is_said() -> None:
    listener = Listener().hear(say(START), say(FINAL, "one two three"), given=5.0)
    listener.transcript.began(0.0)
    listener.hear(say(START), say(FINAL, "one two three four five", 0, 6), say(END), given=8.0)
    assert listener.heard == ["(", "!one two three", "!four five", ")"]
    data = listener.events[2].alternatives[0]
    assert [str(word) for word in data.words or ()] == ["four", "five"]
    assert data.start_time == (data.words or [])[0].start_time and data.end_time == 6.0


def test_a_member_with_times_that_repeats_word_by_word_repeats_nothing() -> None:
    listener = Listener().hear(say(START), say(FINAL, "one two three"), given=4.0)
    listener.transcript.began(0.0)
    for number, word in enumerate(["one", "two", "three", "four"], 1):
        listener.hear(say(FINAL, word, number, number + 0.5), given=8.0)
    assert [text for text in listener.heard if text[0] == "!"] == ["!one two three", "!four"]


def test_what_times_cover_is_not_looked_for_again() -> None:
    listener = Listener().hear(say(START), say(FINAL, "yes"), given=2.0)
    listener.transcript.began(0.0)
    listener.hear(say(FINAL, "yes", 1, 1.5), say(FINAL, "no", 3, 4), given=5.0)
    listener.transcript.began(4.0)
    listener.hear(say(FINAL, "yes", 5, 6), given=7.0)
    assert [text for text in listener.heard if text[0] == "!"] == ["!yes", "!no", "!yes"]


def test_a_member_that_hears_something_else_is_believed() -> None:
    listener = Listener().hear(say(FINAL, "one two three four"), given=5.0)
    listener.transcript.began(0.0)
    listener.hear(say(FINAL, "entirely different words here"), given=8.0)
    assert listener.heard[-2:] == ["!entirely different words here", ")"]


def test_the_end_of_a_repeated_utterance_does_not_end_the_open_one() -> None:
    listener = Listener().hear(
        say(START), say(FINAL, "one two"), say(END), say(START), say(INTERIM, "three"), given=5.0
    )
    listener.transcript.began(0.0)
    listener.hear(say(START), say(FINAL, "one two"), say(END), given=8.0)
    assert listener.transcript.speaking and not listener.transcript.end_held
    listener.hear(say(START), say(FINAL, "three four"), say(END), given=8.0)
    assert listener.heard == ["(", "!one two", ")", "(", "?three", "!three four", ")"]


def test_the_end_of_a_repeated_utterance_ends_one_that_only_lacks_its_end() -> None:
    listener = Listener().hear(say(START), say(FINAL, "one two"), given=5.0)
    listener.transcript.began(0.0)
    listener.hear(say(START), say(FINAL, "one two"), say(END), given=5.0)
    assert listener.heard == ["(", "!one two", ")"]


def test_an_end_that_comes_before_its_final_waits_for_it() -> None:
    listener = Listener().hear(say(START), say(INTERIM, "one"), say(END))
    assert listener.transcript.end_held and listener.heard == ["(", "?one"]
    listener.hear(say(FINAL, "one"))
    assert listener.heard == ["(", "?one", "!one", ")"]


def test_an_end_that_waits_too_long_is_said_and_its_final_gets_an_utterance_of_its_own() -> None:
    listener = Listener().hear(say(START), say(END))
    listener.events += listener.transcript.end()
    listener.hear(say(FINAL, "late"))
    assert listener.heard == ["(", ")", "(", "!late", ")"]


def test_a_member_that_announces_nothing_still_gets_pairs() -> None:
    listener = Listener().hear(say(INTERIM, "one"), say(FINAL, "one two"), say(FINAL, "three"))
    assert listener.heard == ["(", "?one", "!one two", ")", "(", "!three", ")"]


def test_empty_finals_are_not_passed_on_but_cover_audio_and_take_back_interims() -> None:
    listener = Listener().hear(say(START), say(INTERIM, "hm", 1, 2), say(FINAL, "", 0, 3), say(END))
    assert listener.heard == ["(", "?hm", "?", ")"]
    assert listener.transcript.acknowledged == 3.0
    assert Listener().hear(SpeechEvent(type=FINAL)).heard == []


def test_an_open_interim_counts_as_final_at_the_very_end() -> None:
    listener = Listener().hear(say(START), say(INTERIM, "one"))
    listener.events += listener.transcript.finish()
    assert listener.heard == ["(", "?one", "!one", ")"]
    assert listener.transcript.finish() == []


def test_times_that_cannot_be_count_as_none() -> None:
    nonsense: tuple[Any, ...] = (-1.0, math.nan, math.inf, 200.0, 10**400, None, "soon", True)
    for end in nonsense:
        event = say(FINAL, "one")
        event.alternatives[0].start_time = event.alternatives[0].end_time = end
        listener = Listener().hear(event, given=10.0)
        assert listener.transcript.timed is False and listener.transcript.acknowledged == 0.0


def test_a_beginning_that_is_no_time_is_not_new() -> None:
    for start in (10**400, None, "soon"):
        listener = Listener().hear(say(FINAL, "one two"), given=2.0)
        listener.transcript.began(0.0)
        event = say(INTERIM, "one two")
        event.alternatives[0].start_time = start  # type: ignore[assignment]
        assert listener.hear(event, given=3.0).heard == ["(", "!one two", ")"]


def test_a_clock_that_starts_again_is_not_relied_on() -> None:
    listener = Listener().hear(say(FINAL, "one", 0, 20), given=30.0)
    listener.hear(say(FINAL, "two", 1, 2), say(FINAL, "three", 3, 28), given=30.0)
    assert listener.transcript.acknowledged == 20.0, "neither of the two can be placed"
    listener.transcript.began(20.0)
    listener.hear(say(FINAL, "two three four", 21, 31), given=32.0)
    assert listener.heard[-3:] == ["(", "!four", ")"]


def test_times_are_those_of_the_outer_stream() -> None:
    listener = Listener()
    listener.transcript.offset = 50.0
    listener.hear(say(FINAL, "one", 51, 53), given=4.0)
    assert listener.transcript.acknowledged == 3.0
    assert listener.events[1].alternatives[0].end_time == 53.0
