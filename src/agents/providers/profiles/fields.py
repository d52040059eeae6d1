"""From the fields a rule names to :class:`~agents.providers.protocol.Segment` and :class:`Word` objects.

What is absent or of an absurd type becomes "the vendor did not say"; only a transcript without text is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, Union

from ..protocol import Partial, ProtocolError, Segment, Word
from .paths import Getter, compile_first, compile_path, plain_steps
from .results import Condition, Present, Rule, Words
from .units import SCALES, number, seconds_reader

__all__ = [
    "SegmentReader",
    "WordReader",
    "compile_condition",
    "compile_words",
    "most_frequent_speaker",
    "speaker_name",
]

AnySegment = TypeVar("AnySegment", bound=Segment)
Predicate = Callable[[Any], bool]
WordReader = Callable[[Any], Union[list[Word], None]]


def compile_condition(condition: Condition | None) -> Predicate | None:
    """Whether a message meets *condition*; ``None`` when there is none to meet."""
    if condition is None:
        return None
    if isinstance(condition, str):
        get = compile_path(condition)
        return lambda message: bool(get(message))
    tests = [_compile_test(compile_path(path), wanted) for path, wanted in condition.items()]
    if len(tests) == 1:
        return tests[0]
    return lambda message: all(test(message) for test in tests)


def _compile_test(get: Getter, wanted: Any) -> Predicate:
    if isinstance(wanted, Present):
        present = wanted.present
        return lambda message: (get(message) is not None) is present
    if isinstance(wanted, list):
        # by type as well, for in Python 1 equals True
        pairs = [(type(item), item) for item in wanted]
        return lambda message: (type(value := get(message)), value) in pairs
    if wanted is None or isinstance(wanted, bool):
        return lambda message: get(message) is wanted
    return lambda message: (value := get(message)) == wanted and not isinstance(value, bool)


def speaker_name(value: Any, template: str) -> str | None:
    """The vendor's number or name of a speaker, as the profile wants it shown."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        return None
    return template.replace("{}", str(value), 1)


def most_frequent_speaker(words: Sequence[Word] | None) -> str | None:
    """Who spoke most of *words*; of equals the one who began."""
    counts = Counter(word.speaker for word in words or () if word.speaker is not None)
    return counts.most_common(1)[0][0] if counts else None


def compile_words(words: Words, unit: str) -> WordReader:
    """The words of a message; ``None`` where there is no list of them."""
    get_items = compile_first(words.items)
    only = compile_condition(words.only)
    keys = _plain_keys(words)
    read = _words_by_key(keys, words, SCALES[unit]) if keys is not None else _words_by_getter(words, unit)

    def read_words(message: Any) -> list[Word] | None:
        items = get_items(message)
        if type(items) is not list:
            return None
        if only is not None:
            items = [item for item in items if only(item)]
        return read(items)

    return read_words


def _plain_keys(words: Words) -> list[str] | None:
    """The keys of an item's text, when all its fields are plain names: the case worth a loop of its own."""
    texts = [words.text] if isinstance(words.text, str) else words.text
    rest = (words.start, words.end, words.confidence, words.speaker)
    if words.duration is not None or any(isinstance(path, list) for path in rest):
        return None
    paths = [*texts, *(path for path in rest if isinstance(path, str))]
    if any(len(plain_steps(path) or ()) != 1 for path in paths):
        return None
    return texts


def _words_by_key(texts: list[str], words: Words, scale: float) -> Callable[[list[Any]], list[Word]]:
    first, others = texts[0], texts[1:]
    start_key, end_key, confidence_key, speaker_key = words.start, words.end, words.confidence, words.speaker
    template = words.speaker_format

    def read(items: list[Any]) -> list[Word]:
        found = []
        for item in items:
            if type(item) is not dict:
                continue
            text = item.get(first)
            for key in others if text is None else ():
                text = item.get(key)
                if text is not None:
                    break
            if type(text) is not str:
                continue
            start, end, confidence = item.get(start_key), item.get(end_key), item.get(confidence_key)
            if type(start) is not float:
                start = number(start)
            if type(end) is not float:
                end = number(end)
            if type(confidence) is not float:
                confidence = number(confidence) or 0.0
            if scale != 1.0:
                start = None if start is None else start * scale
                end = None if end is None else end * scale
            speaker = item.get(speaker_key) if speaker_key is not None else None
            if speaker is not None:
                speaker = speaker_name(speaker, template)
            found.append(Word(text, start, end, confidence, speaker))
        return found

    return read


def _words_by_getter(words: Words, unit: str) -> Callable[[list[Any]], list[Word]]:
    get_text = compile_first(words.text)
    read_start = seconds_reader(_first_or_absent(words.start), unit)
    read_end = seconds_reader(_first_or_absent(words.end), unit)
    read_duration = seconds_reader(_first_or_absent(words.duration), unit)
    get_confidence = _first_or_absent(words.confidence)
    get_speaker = _first_or_absent(words.speaker)
    template = words.speaker_format

    def read(items: list[Any]) -> list[Word]:
        found = []
        for item in items:
            text = get_text(item)
            if type(text) is not str:
                continue
            start, end = read_start(item), read_end(item)
            if end is None and start is not None and (duration := read_duration(item)) is not None:
                end = start + duration
            confidence = number(get_confidence(item)) or 0.0
            found.append(Word(text, start, end, confidence, speaker_name(get_speaker(item), template)))
        return found

    return read


def _absent(message: Any) -> Any:
    return None


def _first_or_absent(paths: str | Sequence[str] | None) -> Getter:
    return _absent if paths is None else compile_first(paths)


class SegmentReader:
    """Reads the transcript fields a rule names out of a message. Times in seconds."""

    def __init__(self, rule: Rule, unit: str) -> None:
        self._text = compile_first(rule.text) if rule.text is not None else _absent
        self._start = seconds_reader(compile_first(rule.start), unit) if rule.start is not None else None
        self._end = seconds_reader(compile_first(rule.end), unit) if rule.end is not None else None
        self._duration = seconds_reader(compile_path(rule.duration), unit) if rule.duration is not None else None
        self._language = _first_or_absent(rule.language)
        self._confidence = _first_or_absent(rule.confidence)
        self._frequent = rule.speaker == "most frequent"
        self._speaker = _first_or_absent(None if self._frequent else rule.speaker)
        self._speaker_format = rule.speaker_format
        self._words = compile_words(rule.words, unit) if rule.words is not None else None
        self._request_id = _first_or_absent(rule.request_id)

    def read(self, message: Any, kind: type[AnySegment], *, missing: str | None = None) -> AnySegment:
        """A segment of this *kind*.

        Args:
            missing: the text where there is none.

        Raises:
            ProtocolError: the text is missing, or is none.
        """
        text = self._text(message)
        if type(text) is not str:
            if text is not None or missing is None:
                raise ProtocolError("a transcript without text")
            text = missing
        start = self._start(message) if self._start is not None else None
        end = self._end(message) if self._end is not None else None
        if self._duration is not None and start is not None and (length := self._duration(message)) is not None:
            end = start + length
        words = self._words(message) if self._words is not None else None
        if not self._frequent:
            speaker = speaker_name(self._speaker(message), self._speaker_format)
        elif kind is Partial or not words:
            speaker = None  # vendors change their mind about speakers until the text is final
        else:
            speaker = most_frequent_speaker(words)
        confidence = self._confidence(message)
        if type(confidence) is not float:
            confidence = number(confidence) or 0.0
        language, request_id = self._language(message), self._request_id(message)
        return kind(
            text,
            start,
            end,
            language if type(language) is str and language else None,
            confidence,
            speaker,
            words,
            request_id if type(request_id) is str else "",
        )
