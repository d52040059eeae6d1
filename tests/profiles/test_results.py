"""What rules make of messages: every event, condition, unit and reducer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agents.providers.profiles.results import Results
from agents.providers.profiles.rules import Memory, Program
from agents.providers.protocol import (
    Event,
    Failure,
    Final,
    Finished,
    Flushed,
    LazyWords,
    Partial,
    ProtocolError,
    Ready,
    SpeechEnded,
    SpeechStarted,
    Usage,
    Verdict,
    Word,
)


class Talk:
    """A program and its memory, fed with Python values."""

    def __init__(self, rules: list[dict[str, Any]], options: tuple[str, ...] = (), **results: Any) -> None:
        self.program = Program(Results.model_validate({"rules": rules, **results}), frozenset(options))
        self.memory: Memory = self.program.memory()

    def hear(self, message: Any) -> list[Event]:
        return self.program.read(orjson.dumps(message), self.memory)


TEXT = {"event": "transcript", "text": "text", "final": "done"}


def test_a_transcript_is_final_or_partial_by_its_condition() -> None:
    talk = Talk([TEXT])
    assert talk.hear({"text": "he", "done": False}) == [Partial("he")]
    assert talk.hear({"text": "hello", "done": True}) == [Final("hello")]


def test_an_empty_partial_says_nothing_and_an_empty_final_acknowledges() -> None:
    talk = Talk([{**TEXT, "end": "end"}])
    assert talk.hear({"text": "", "done": False}) == []
    assert talk.hear({"text": "", "done": True, "end": 2}) == [Final("", end=2.0)]


def test_an_empty_final_that_ends_the_utterance_is_followed_by_its_end() -> None:
    talk = Talk([{**TEXT, "end": "end", "ends_utterance": "over"}])
    assert talk.hear({"text": "", "done": True, "end": 2.0, "over": True}) == [
        Final("", end=2.0),
        SpeechEnded(2.0),
    ]
    assert talk.hear({"text": "x", "done": True, "over": True}) == [Final("x", ends_utterance=True)]


@pytest.mark.parametrize("text", [None, 1, ["x"], {"x": 1}])
def test_a_transcript_without_text_is_refused(text: Any) -> None:
    with pytest.raises(ProtocolError, match="without text"):
        Talk([TEXT]).hear({"text": text, "done": True})


@pytest.mark.parametrize(
    ("unit", "value", "seconds"),
    [
        ("s", 1.5, 1.5),
        ("s", 2, 2.0),
        ("s", "1.300", 1.3),
        ("s", "1.3s", 1.3),
        ("ms", 1500, 1.5),
        ("us", 1_500_000, 1.5),
        ("ticks", 15_000_000, 1.5),
        ("s", "soon", None),
        ("s", True, None),
        ("s", None, None),
        ("s", [1], None),
        ("ms", "nan", None),
        ("s", "inf", None),
    ],
)
def test_times_become_seconds_and_nonsense_is_not_a_time(unit: str, value: Any, seconds: float | None) -> None:
    (event,) = Talk([{**TEXT, "end": "end"}], unit=unit).hear({"text": "x", "done": True, "end": value})
    assert isinstance(event, Final)
    assert event.end == (pytest.approx(seconds) if seconds is not None else None)


def test_a_duration_stands_for_the_end() -> None:
    rule = {**TEXT, "start": "start", "duration": "duration"}
    (event,) = Talk([rule]).hear({"text": "x", "done": True, "start": 1.0, "duration": 0.5})
    assert (event.start, event.end) == (1.0, 1.5)  # type: ignore[union-attr]


def test_of_several_paths_the_first_with_something_there_counts() -> None:
    talk = Talk([{"event": "final", "text": ["a", "b.c", "d[0]"]}])
    assert talk.hear({"b": {"c": ""}, "d": ["x"]}) == [Final("")]
    assert talk.hear({"d": ["x"]}) == [Final("x")]


def test_jmespath_reads_what_plain_paths_cannot() -> None:
    words = {"items": "w[?type=='word']", "text": "v", "confidence": "exp(logprob)"}
    talk = Talk([{"event": "final", "text": "join('', w[].v)", "words": words, "start": "from_json(ts)[0][0]"}])
    message = {"w": [{"v": "hi", "type": "word", "logprob": 0.0}, {"v": ".", "type": "punct"}], "ts": "[[5, 9]]"}
    assert talk.hear(message) == [Final("hi.", start=5.0, words=[Word("hi", confidence=1.0)])]


def test_a_confidence_may_come_in_percent() -> None:
    talk = Talk([{"event": "final", "text": "t", "confidence": "percent(sure)"}])
    assert talk.hear({"t": "hi", "sure": 71}) == [Final("hi", confidence=0.71)]
    assert talk.hear({"t": "hi"}) == [Final("hi")]


def test_a_transcript_without_text_is_told_by_the_path_of_its_text() -> None:
    with pytest.raises(ProtocolError, match=r"without text at 'alternatives\[0\]\.txt, said'"):
        Talk([{"event": "final", "text": ["alternatives[0].txt", "said"]}]).hear({"text": "hi"})


def test_a_jmespath_function_on_absurd_types_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="unexpected types"):
        Talk([{"event": "final", "text": "join('', w)"}]).hear({"w": 7})


@pytest.mark.parametrize("words", [None, "x", 7, {}, [1], [{"confidence": "high", "at": {}}]])
def test_a_transcript_is_heard_though_nothing_else_of_it_is_as_expected(words: Any) -> None:
    """No final may be lost for a confidence."""
    rule = {
        "event": "final",
        "text": "text",
        "confidence": "avg(words[].confidence)",
        "start": ["min(words[].at)", "from"],
        "end": "sum([from, length])",
        "language": "join('-', languages)",
        "speaker": "to_number(join('', speaker))",
        "segment_id": "join('', id)",
        "request_id": "join('', id)",
        "words": {"items": "sort_by(words, &at)", "text": "text"},
    }
    [final] = Talk([rule]).hear({"text": "hi", "words": words, "from": 1.0, "languages": 7, "id": {}})
    assert (final.text, final.start, final.end, final.language, final.speaker) == ("hi", 1.0, None, None, None)


def test_words_have_times_in_seconds_and_named_speakers() -> None:
    words = {"items": "w", "text": ["p", "t"], "start": "s", "end": "e", "confidence": "c", "speaker": "k"}
    words["speaker_format"] = "S{}"
    rule = {**TEXT, "words": words, "speaker": "most frequent"}
    talk = Talk([rule], unit="ms")
    heard = [
        {"t": "a", "p": "A", "s": 100, "e": 200.0, "c": 0.5, "k": 0},
        {"t": "b", "s": "300", "e": 400, "k": 1},
        {"t": "c", "k": 1},
        {"t": 5},
        "no word",
    ]
    (final,) = talk.hear({"text": "x", "done": True, "w": heard})
    assert isinstance(final, Final)
    assert final.words == [
        Word("A", pytest.approx(0.1), pytest.approx(0.2), 0.5, "S0"),  # type: ignore[arg-type]
        Word("b", pytest.approx(0.3), pytest.approx(0.4), 0.0, "S1"),  # type: ignore[arg-type]
        Word("c", speaker="S1"),
    ]
    assert final.speaker == "S1"
    (partial,) = talk.hear({"text": "x", "done": False, "w": heard})
    assert partial.speaker is None, "who speaks is not settled before the text is"  # type: ignore[union-attr]


def test_words_with_nested_fields_and_durations() -> None:
    words = {"items": "w", "text": "a[0].t", "start": "s", "duration": "d", "only": {"kind": "word"}}
    rule = {"event": "final", "text": "text", "words": words}
    heard = [
        {"a": [{"t": "x"}], "s": 1, "d": 0.5, "kind": "word"},
        {"a": [{"t": "."}], "kind": "sign"},
        {"a": [], "kind": "word"},
    ]
    assert Talk([rule]).hear({"text": "x", "w": heard}) == [Final("x", words=[Word("x", 1.0, 1.5)])]


def test_a_word_list_of_an_absurd_type_is_no_words() -> None:
    rule = {"event": "final", "text": "text", "words": {"items": "w", "text": "t"}}
    assert Talk([rule]).hear({"text": "x", "w": "words"}) == [Final("x")]


@pytest.mark.parametrize(
    ("condition", "message", "fits"),
    [
        ("flag", {"flag": True}, True),
        ("flag", {"flag": 0}, False),
        ({"flag": True}, {"flag": True}, True),
        ({"flag": True}, {"flag": 1}, False),
        ({"n": 1}, {"n": 1}, True),
        ({"n": 1}, {"n": True}, False),
        ({"n": [1, "a"]}, {"n": "a"}, True),
        ({"n": [1, "a"]}, {"n": True}, False),
        ({"n": {"present": True}}, {"n": ""}, True),
        ({"n": {"present": False}}, {"n": ""}, False),
        ({"n": None}, {}, True),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
        ("a == `1` && b", {"a": 1, "b": "x"}, True),
    ],
)
def test_conditions(condition: Any, message: dict[str, Any], fits: bool) -> None:
    assert Talk([{"event": "ready", "when": condition}]).hear(message) == ([Ready()] if fits else [])


def test_the_first_rule_that_fits_is_taken_and_more_goes_on() -> None:
    rules = [
        {"case": "a", "event": "ready", "more": True},
        {"case": ["a", "b"], "event": "flushed"},
        {"event": "finished"},
    ]
    talk = Talk(rules, switch="type")
    assert talk.hear({"type": "a"}) == [Ready(), Flushed()]
    assert talk.hear({"type": "b"}) == [Flushed()]
    assert talk.hear({"type": "anything"}) == [Finished()]
    assert talk.hear({}) == [Finished()]


def test_kinds_of_messages_nobody_asked_for_are_passed_over() -> None:
    assert Talk([{"case": "a", "event": "ready"}], switch="type").hear({"type": "new in version 9"}) == []


@pytest.mark.parametrize("value", [None, 1, True, ["a"], {"a": 1}])
def test_a_message_of_no_kind_is_refused(value: Any) -> None:
    with pytest.raises(ProtocolError, match="'type'"):
        Talk([{"case": "a", "event": "ready"}], switch="type").hear({"type": value})


@pytest.mark.parametrize("raw", [b"", "EOF", b"\xff\xfe", "[1]", "3", '"x"', "{", '{"a":}'])
def test_what_is_no_json_object_is_refused(raw: str | bytes) -> None:
    talk = Talk([TEXT])
    with pytest.raises(ProtocolError):
        talk.program.read(raw, talk.memory)


def test_a_final_whose_confidence_is_no_number_is_heard() -> None:
    """Servers in Python write NaN where their recogniser has none."""
    talk = Talk([{**TEXT, "confidence": "confidence"}])
    raw = '{"text": "hello", "done": true, "confidence": NaN}'
    assert talk.program.read(raw, talk.memory) == [Final("hello")]


def test_rules_exist_by_option() -> None:
    rules = [
        {"event": "ready", "only_if": "timestamps"},
        {"event": "flushed", "unless": "timestamps"},
    ]
    assert Talk(rules).hear({}) == [Flushed()]
    assert Talk(rules, ("timestamps",)).hear({}) == [Ready()]


def test_messages_that_are_bare_words() -> None:
    talk = Talk([TEXT], literals={"Done!": "finished"})
    assert talk.program.read("Done!", talk.memory) == [Finished()]


def test_speech_events_carry_their_time() -> None:
    rules = [
        {"case": "s", "event": "speech_started", "at": "at"},
        {"case": "e", "event": "speech_ended", "at": ["nowhere", "at"]},
        {"case": "r", "event": "ready", "request_id": "id"},
        {"case": "i", "event": "ignore"},
    ]
    talk = Talk(rules, switch="t", unit="ms")
    assert talk.hear({"t": "s", "at": 1000}) == [SpeechStarted(1.0)]
    assert talk.hear({"t": "e", "at": 2000}) == [SpeechEnded(2.0)]
    assert talk.hear({"t": "r", "id": "abc"}) == [Ready("abc")]
    assert talk.hear({"t": "r", "id": 5}) == [Ready("")]
    assert talk.hear({"t": "i"}) == []


def test_a_stable_partial_says_so() -> None:
    assert Talk([{**TEXT, "stable": "kept"}]).hear({"text": "x", "kept": "x"}) == [Partial("x", stable=True)]


def test_segment_ids_reach_finals() -> None:
    assert Talk([{**TEXT, "segment_id": "n"}]).hear({"text": "x", "done": True, "n": 3}) == [
        Final("x", segment_id="3")
    ]


# --- reducers ---


def test_accumulate_joins_finals_until_the_end_of_the_utterance() -> None:
    rules = [
        {"case": "partial", "event": "partial", "text": "text", "start": "s", "end": "e"},
        {"case": "final", "event": "final", "text": "text", "start": "s", "end": "e"},
        {"case": "end", "event": "speech_ended"},
        {"case": "flushed", "event": "flushed"},
        {"case": "done", "event": "finished"},
    ]
    talk = Talk(rules, switch="t", partials="accumulate", join=" ")
    assert talk.hear({"t": "partial", "text": "one", "s": 0.5}) == [Partial("one", 0.5)]
    assert talk.hear({"t": "final", "text": "one", "s": 0.5, "e": 1}) == [Partial("one", 0.5, 1.0)]
    assert talk.hear({"t": "partial", "text": "two", "s": 1, "e": 2}) == [Partial("one two", 0.5, 2.0)]
    assert talk.hear({"t": "final", "text": "two", "s": 1, "e": 2}) == [Partial("one two", 0.5, 2.0)]
    assert talk.hear({"t": "end"}) == [Final("one two", 0.5, 2.0), SpeechEnded()]
    assert talk.hear({"t": "end"}) == [SpeechEnded()]
    talk.hear({"t": "final", "text": "three"})
    assert talk.hear({"t": "flushed"}) == [Final("three"), Flushed()]
    talk.hear({"t": "final", "text": "four"})
    assert talk.hear({"t": "done"}) == [Final("four"), Finished()]


def test_accumulate_gives_out_a_final_that_ends_the_utterance() -> None:
    rules = [{"event": "final", "text": "text", "ends_utterance": "over"}]
    talk = Talk(rules, partials="accumulate", join=" ")
    talk.hear({"text": "one"})
    assert talk.hear({"text": "two", "over": True}) == [Final("one two", ends_utterance=True)]


def test_delta_joins_pieces_by_segment() -> None:
    rules = [
        {"case": "d", "event": "partial", "text": "x", "segment_id": "id"},
        {"case": "c", "event": "final", "text": "x", "segment_id": "id"},
    ]
    talk = Talk(rules, switch="t", partials="delta")
    assert talk.hear({"t": "d", "x": "he", "id": "a"}) == [Partial("he")]
    assert talk.hear({"t": "d", "x": "wo", "id": "b"}) == [Partial("wo")]
    assert talk.hear({"t": "d", "x": "llo", "id": "a"}) == [Partial("hello")]
    assert talk.hear({"t": "c", "x": "Hello.", "id": "a"}) == [Final("Hello.")]
    assert talk.hear({"t": "d", "x": "again", "id": "a"}) == [Partial("again")]


def test_delta_without_segments_is_replaced_by_the_final() -> None:
    rules = [
        {"case": "2pass-online", "event": "partial", "text": "text"},
        {"case": "2pass-offline", "event": "final", "text": "text"},
    ]
    talk = Talk(rules, switch="mode", partials="delta")
    talk.hear({"mode": "2pass-online", "text": "one "})
    assert talk.hear({"mode": "2pass-online", "text": "two"}) == [Partial("one two")]
    assert talk.hear({"mode": "2pass-offline", "text": "One, two."}) == [Final("One, two.")]
    assert talk.hear({"mode": "2pass-online", "text": "three"}) == [Partial("three")]


def test_counter_makes_a_text_final_when_the_next_segment_begins() -> None:
    rules = [{"event": "transcript", "text": "text", "final": "is_final", "segment_id": "segment"}]
    talk = Talk(rules, partials="counter", literals={"Done!": "finished"})
    assert talk.hear({"text": "one", "segment": 0}) == [Partial("one")]
    assert talk.hear({"text": "one two", "segment": 0}) == [Partial("one two")]
    assert talk.hear({"text": "", "segment": 1}) == [Final("one two", ends_utterance=True)]
    assert talk.hear({"text": "three", "segment": 1}) == [Partial("three")]
    assert talk.program.read("Done!", talk.memory) == [Final("three", ends_utterance=True), Finished()]


def test_counter_takes_a_final_as_it_is() -> None:
    rules = [{"event": "transcript", "text": "text", "final": "is_final", "segment_id": "segment"}]
    talk = Talk(rules, partials="counter")
    talk.hear({"text": "one", "segment": 0})
    assert talk.hear({"text": "one", "segment": 0, "is_final": True}) == [Final("one")]
    assert talk.hear({"text": "two", "segment": 1}) == [Partial("two")]


TOKENS = {
    "event": "tokens",
    "final": "is_final",
    "language": "language",
    "words": {"items": "tokens", "text": "text", "start": "s", "end": "e", "confidence": "c", "speaker": "k"},
    "markers": {"<end>": "utterance_end", "<fin>": "flushed"},
}


def token(text: str, final: bool, start: int = 0) -> dict[str, Any]:
    return {"text": text, "is_final": final, "s": start, "e": start + 100, "c": 0.5, "k": "1", "language": "en"}


def test_tokens_add_up_and_markers_end_them() -> None:
    talk = Talk([{**TOKENS, "more": True}, {"event": "finished", "when": "finished"}], unit="ms")
    (first,) = talk.hear({"tokens": [token(" he", True), token("llo", False, 100)]})
    assert isinstance(first, Partial)
    assert (first.text, first.start, first.end, first.stable) == ("hello", 0.0, pytest.approx(0.2), False)
    assert (first.language, first.confidence, first.speaker) == ("en", 0.5, "1")
    (second,) = talk.hear({"tokens": [token("llo", True, 100)]})
    assert isinstance(second, Partial)
    assert (second.text, second.stable) == ("hello", True)
    (third,) = talk.hear({"tokens": [token("<end>", True)]})
    assert isinstance(third, Final)
    assert (third.text, third.ends_utterance, len(third.words or ())) == ("hello", True, 2)
    assert talk.hear({"tokens": [token("<end>", True)]}) == [SpeechEnded()]
    talk.hear({"tokens": [token("bye", True)]})
    (fourth, flushed) = talk.hear({"tokens": [token("<fin>", True)]})
    assert isinstance(fourth, Final)
    assert (fourth.text, fourth.ends_utterance, flushed) == ("bye", False, Flushed())
    assert talk.hear({"tokens": [token("<fin>", True)]}) == [Flushed()]
    talk.hear({"tokens": [token("more", True)]})
    (last, finished) = talk.hear({"tokens": [], "finished": True})
    assert (last.text, finished) == ("more", Finished())  # type: ignore[union-attr]


def test_tokens_of_an_absurd_type_are_refused() -> None:
    with pytest.raises(ProtocolError, match="list"):
        Talk([TOKENS]).hear({"tokens": "hello"})
    assert Talk([TOKENS]).hear({}) == []


SEGMENTS = {
    "event": "segments",
    "final": "completed",
    "words": {"items": "segments", "text": "text", "start": "start", "end": "end"},
}


def segment(text: str, start: str, end: str, completed: bool) -> dict[str, Any]:
    return {"text": text, "start": start, "end": end, "completed": completed}


def test_a_sliding_window_makes_each_segment_final_once() -> None:
    talk = Talk([SEGMENTS])
    one, two = segment(" one", "0.000", "1.000", True), segment(" two", "1.000", "2.000", False)
    assert talk.hear({"segments": [{**one, "completed": False}]}) == [Partial("one", 0.0, 1.0)]
    assert talk.hear({"segments": [one, two]}) == [Final("one", 0.0, 1.0), Partial("two", 1.0, 2.0)]
    assert talk.hear({"segments": [one, two]}) == [Partial("two", 1.0, 2.0)]
    assert talk.hear({"segments": [one, {**two, "completed": True}]}) == [Final("two", 1.0, 2.0)]
    assert talk.hear({"segments": [one, {**two, "completed": True}]}) == []


# --- usage and errors ---


def test_usage_is_reported_as_increments() -> None:
    rule = {"event": "usage", "audio": "total", "input_tokens": "in", "output_tokens": "out", "cumulative": True}
    talk = Talk([rule], unit="ms")
    assert talk.hear({"total": 1000, "in": 5}) == [Usage(1.0, 5)]
    assert talk.hear({"total": 1500, "in": 5, "out": 2}) == [Usage(0.5, 0, 2)]
    assert talk.hear({"total": 1500, "in": 5, "out": 2}) == []
    assert Talk([{**rule, "cumulative": False}]).hear({"total": -3, "in": "x"}) == []


@pytest.mark.parametrize(
    ("fields", "message", "verdict", "status"),
    [
        ({}, {"m": "x"}, Verdict.TRANSIENT, None),
        ({"verdict": "permanent"}, {"m": "x"}, Verdict.PERMANENT, None),
        ({"codes": {"bad_key": "permanent"}}, {"m": "x", "c": "bad_key"}, Verdict.PERMANENT, None),
        ({"code_is": "http status"}, {"m": "x", "c": 401}, Verdict.PERMANENT, 401),
        ({"code_is": "http status"}, {"m": "x", "c": "503"}, Verdict.TRANSIENT, 503),
        ({"code_is": "http status", "codes": {429: "permanent"}}, {"m": "x", "c": 429.0}, Verdict.PERMANENT, 429),
        ({"code_is": "close code"}, {"m": "x", "c": 1008}, Verdict.PERMANENT, 1008),
        ({"code_is": "http status"}, {"m": "x", "c": "none"}, Verdict.TRANSIENT, None),
        ({"code_is": "http status"}, {"m": "x", "c": 7}, Verdict.TRANSIENT, 7),
    ],
)
def test_errors_are_judged(
    fields: dict[str, Any], message: dict[str, Any], verdict: Verdict, status: int | None
) -> None:
    (failure,) = Talk([{"event": "error", "message": "m", "code": "c", **fields}]).hear(message)
    assert isinstance(failure, Failure)
    assert (failure.message, failure.verdict, failure.status) == ("x", verdict, status)


def test_an_error_without_a_message_shows_its_code() -> None:
    (failure,) = Talk([{"event": "error", "message": "m", "code": "c"}]).hear({"m": 5, "c": "E7"})
    assert isinstance(failure, Failure)
    assert (failure.message, failure.detail) == ("E7", {"code": "E7"})


def test_errors_to_be_ignored_are() -> None:
    assert Talk([{"event": "error", "code": "c", "codes": {"W1": "ignore"}}]).hear({"c": "W1"}) == []


WORDS = {"items": "best.words", "text": "w", "start": "s", "end": "e", "confidence": "c"}


def word(text: Any, start: Any, end: Any) -> dict[str, Any]:
    return {"w": text, "s": start, "e": end, "c": 0.5}


@pytest.mark.parametrize("words", [WORDS, {**WORDS, "start": ["begin", "s"]}], ids=["plain", "of several paths"])
def test_words_of_a_partial_are_read_when_somebody_looks(words: dict[str, Any]) -> None:
    """They are the same words as those of a final; their times are known at once."""
    rule = {"event": "transcript", "text": "best.text", "confidence": "best.c", "words": words, "final": "done"}
    talk = Talk([rule], unit="ms")
    items = [word(text, 1000.0 * n, 1000.0 * n + 500.0) for n, text in enumerate("abcd")]
    message = {"best": {"text": "a b c d", "c": 0.5, "words": items}}
    (partial,) = talk.hear({**message, "done": False})
    (final,) = talk.hear({**message, "done": True})
    assert isinstance(partial, Partial)
    assert isinstance(final, Final)
    assert isinstance(partial.words, LazyWords)
    assert (partial.words.start, partial.words.end) == (0.0, 3.5)
    assert final.words == [Word(text, float(n), n + 0.5, 0.5) for n, text in enumerate("abcd")]
    assert list(partial.words) == final.words


@pytest.mark.parametrize(
    ("items", "texts"),
    [
        ([word(None, 1.0, 2.0), word("b", 2.0, 3.0)], ["b"]),
        ([word("a", 1.0, 2.0), 7], ["a"]),
        ([word("a", 1, 2), word("b", None, 3)], ["a", "b"]),
        ([word(None, 1.0, 2.0)], []),
        ([], []),
        ([word(None, 1.0, 2.0), *[word("b", 2.0, 3.0)] * 4], ["b"] * 4),
        ([*[word("a", 1.0, 2.0)] * 4, 7], ["a"] * 4),
        ([word("a", 1, 2)] * 5, ["a"] * 5),
        ([{"w": "a"}] * 5, ["a"] * 5),
    ],
)
def test_odd_words_of_a_partial_are_those_of_a_final(items: list[Any], texts: list[str]) -> None:
    rule = {"event": "transcript", "text": "best.text", "confidence": "best.c", "words": WORDS, "final": "done"}
    talk = Talk([rule])
    heard = [talk.hear({"best": {"text": "x", "words": items}, "done": done})[0] for done in (False, True)]
    read = [event.words for event in heard if isinstance(event, (Partial, Final))]
    assert [list(words or ()) for words in read] == [read[1], read[1]]
    assert [one.text for one in read[1] or ()] == texts


def test_words_a_rule_leaves_out_stay_out_of_partials_too() -> None:
    words = {"items": "words", "text": "w", "start": "s", "end": "e", "confidence": "c", "only": {"kind": "word"}}
    talk = Talk([{"event": "partial", "text": "text", "words": words}])
    items = [{**word("a", 1.0, 2.0), "kind": "word"}] * 4 + [{**word(".", 2.0, 2.0), "kind": "mark"}]
    (partial,) = talk.hear({"text": "a a a a.", "words": items})
    assert isinstance(partial, Partial)
    assert isinstance(partial.words, LazyWords)
    assert (partial.words.end, [one.text for one in partial.words]) == (2.0, ["a"] * 4)
