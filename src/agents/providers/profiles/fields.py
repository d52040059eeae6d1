"""From the fields a rule names to :class:`~agents.providers.protocol.Segment` and :class:`Word` objects.

What is absent or of an absurd type becomes "the vendor did not say"; only a transcript without text is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Protocol, TypeVar

from ..protocol import LazyWords, Partial, ProtocolError, Segment, Word, decode_json
from .paths import Getter, compile_first, compile_optional, compile_path, plain_steps, single_name
from .results import Condition, Present, Rule, Words
from .units import SCALES, number, seconds_reader

__all__ = [
    "SegmentReader",
    "WordReader",
    "compile_condition",
    "compile_segment",
    "compile_words",
    "most_frequent_speaker",
]

_FEW_WORDS = 4
"""Fewer are read faster than it is noted how to read them later."""

AnySegment = TypeVar("AnySegment", bound=Segment)
Predicate = Callable[[Any], Any]
"""Its result is read as true or false."""


class WordReader(Protocol):
    """Reads the words of a message; ``None`` where there is no list of them.

    With *raw*, the message as it came, only their times are read now: to keep the text of a message until somebody
    wants its words costs less than to keep all that was decoded from it.
    """

    def __call__(self, message: Any, /, raw: str | bytes | None = None) -> Sequence[Word] | None: ...


def compile_condition(condition: Condition | None) -> Predicate | None:
    """Whether a message meets *condition*; ``None`` when there is none to meet."""
    if condition is None:
        return None
    if isinstance(condition, str):
        return compile_path(condition)
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


def _speaker_namer(template: str) -> Callable[[Any], str | None]:
    """From the vendor's number or name of a speaker to the one shown; what is neither is nobody."""
    numbered: dict[int, str] = {number: template.replace("{}", str(number), 1) for number in range(32)}

    def name(value: Any) -> str | None:
        kind = type(value)
        if kind is int:
            return numbered.get(value) or template.replace("{}", str(value), 1)
        return template.replace("{}", value, 1) if kind is str and value else None

    return name


def most_frequent_speaker(words: Sequence[Word]) -> str | None:
    """Who spoke most of *words*; of equals the one who began."""
    counts: dict[str, int] = {}
    for word in words:
        speaker = word.speaker
        if speaker is not None:
            counts[speaker] = counts.get(speaker, 0) + 1
    return max(counts, key=counts.__getitem__) if counts else None


def compile_words(words: Words, unit: str, get_base: Getter | None = None) -> WordReader:
    """The reader of *words* in the object *get_base* finds in a message; in the message itself without it."""
    get_items = compile_optional(words.items)
    only = compile_condition(words.only)
    keys = _plain_keys(words)
    read = _words_by_key(keys, words, SCALES[unit]) if keys is not None else _words_by_getter(words, unit)
    read_times = _times_by_key(keys, words, SCALES[unit]) if keys is not None else _times_of(read)

    def find(base: Any) -> list[Any] | None:
        items = get_items(base)
        if type(items) is not list:
            return None
        return items if only is None else [item for item in items if only(item)]

    def read_later(raw: str | bytes) -> list[Word]:
        message = decode_json(raw)
        return read(find(message if get_base is None else get_base(message)) or [])

    def read_words(base: Any, raw: str | bytes | None = None) -> Sequence[Word] | None:
        items = find(base)
        if items is None:
            return None
        if raw is None or len(items) < _FEW_WORDS:
            return read(items)
        times = read_times(items[0], items[-1])
        return read(items) if times is None else LazyWords(partial(read_later, raw), *times)

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
    keys = (texts[0], words.start, words.end, words.confidence)
    read_carefully = _careful_word(texts, words, scale)
    if any(key is None for key in keys):
        return lambda items: [word for item in items if (word := read_carefully(item)) is not None]
    fields: Callable[[Any], tuple[Any, Any, Any, Any]] = itemgetter(*keys)
    speaker_key, name_speaker = words.speaker, _speaker_namer(words.speaker_format)

    def read(items: list[Any]) -> list[Word]:
        found: list[Word] = []
        for item in items:
            try:
                text, start, end, confidence = fields(item)
                usual = type(text) is str and type(start) is type(end) is type(confidence) is float
            except (LookupError, TypeError):  # a field is missing, or it is no object at all
                usual = False
            if not usual:
                if (word := read_carefully(item)) is not None:
                    found.append(word)
                continue
            if scale != 1.0:
                start, end = start * scale, end * scale
            speaker = item.get(speaker_key)
            found.append(Word(text, start, end, confidence, None if speaker is None else name_speaker(speaker)))
        return found

    return read


_TimesReader = Callable[[Any, Any], tuple[float | None, float | None] | None]
"""From the first and the last item to where the one starts and the other ends; ``None`` where they do not tell."""


def _times_by_key(texts: list[str], words: Words, scale: float) -> _TimesReader:
    text_key, start_key, end_key = texts[0], words.start, words.end

    def times(first: Any, last: Any) -> tuple[float, float] | None:
        try:
            start, end = first[start_key], last[end_key]
            usual = type(first[text_key]) is type(last[text_key]) is str and type(start) is type(end) is float
        except (LookupError, TypeError):
            return None
        return (start * scale, end * scale) if usual else None

    return times


def _times_of(read: Callable[[list[Any]], list[Word]]) -> _TimesReader:
    def times(first: Any, last: Any) -> tuple[float | None, float | None] | None:
        ends = read([first, last])
        return (ends[0].start, ends[1].end) if len(ends) == 2 else None

    return times


def _careful_word(texts: list[str], words: Words, scale: float) -> Callable[[Any], Word | None]:
    """Reads a word out of an item that may be anything; ``None`` where it holds none."""
    start_key, end_key, confidence_key, speaker_key = words.start, words.end, words.confidence, words.speaker
    name_speaker = _speaker_namer(words.speaker_format)

    def read(item: Any) -> Word | None:
        if type(item) is not dict:
            return None
        text = next((item[key] for key in texts if item.get(key) is not None), None)
        if type(text) is not str:
            return None
        start, end = number(item.get(start_key)), number(item.get(end_key))
        return Word(
            text,
            None if start is None else start * scale,
            None if end is None else end * scale,
            number(item.get(confidence_key)) or 0.0,
            name_speaker(item.get(speaker_key)),
        )

    return read


def _words_by_getter(words: Words, unit: str) -> Callable[[list[Any]], list[Word]]:
    get_text = compile_optional(words.text)
    read_start = seconds_reader(compile_optional(words.start), unit)
    read_end = seconds_reader(compile_optional(words.end), unit)
    read_duration = seconds_reader(compile_optional(words.duration), unit)
    get_confidence = compile_optional(words.confidence)
    get_speaker = compile_optional(words.speaker)
    name_speaker = _speaker_namer(words.speaker_format)

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
            found.append(Word(text, start, end, confidence, name_speaker(get_speaker(item))))
        return found

    return read


class SegmentReader(Protocol):
    """Reads the transcript fields a rule names out of a message, as a segment of the *kind* wanted.

    With *raw*, the words are left for later: see :class:`WordReader`.

    Raises:
        ProtocolError: the text is missing, or is none.
    """

    def __call__(self, message: Any, kind: type[AnySegment], raw: str | bytes | None = None) -> AnySegment: ...


def compile_segment(rule: Rule, unit: str) -> SegmentReader:
    """The reader for *rule*'s fields; times in *unit* become seconds."""
    where = rule.text if isinstance(rule.text, str) else ", ".join(rule.text or ())
    base, rule = _share_prefix(rule)
    get_base = compile_path(base) if base is not None else None
    get_text, get_confidence = compile_first(rule.text or ()), compile_optional(rule.confidence)
    get_language, get_request_id = _field(rule, "language"), _field(rule, "request_id")
    read_start, read_end = _seconds_field(rule, "start", unit), _seconds_field(rule, "end", unit)
    read_duration = _seconds_field(rule, "duration", unit)
    frequent = rule.speaker == "most frequent"
    get_speaker = _field(rule, "speaker") if not frequent else None
    name_speaker = _speaker_namer(rule.speaker_format)
    read_words = compile_words(rule.words, unit, get_base) if rule.words is not None else None
    text_key, confidence_key = single_name(rule.text), single_name(rule.confidence)
    named = text_key is not None and confidence_key is not None  # then an object needs no getters

    def read(message: Any, kind: type[AnySegment], raw: str | bytes | None = None) -> AnySegment:
        within = message if get_base is None else get_base(message)
        if named and type(within) is dict:
            text, confidence = within.get(text_key), within.get(confidence_key)
        else:
            text, confidence = get_text(within), get_confidence(within)
        if type(text) is not str:
            raise ProtocolError(f"a transcript without text at '{where}'")
        start = read_start(message) if read_start is not None else None
        end = read_end(message) if read_end is not None else None
        if read_duration is not None and start is not None and (length := read_duration(message)) is not None:
            end = start + length
        words = read_words(within, raw) if read_words is not None else None
        speaker = None
        if get_speaker is not None:
            speaker = name_speaker(get_speaker(message))
        elif frequent and kind is not Partial and words:  # vendors change their mind until the text is final
            speaker = most_frequent_speaker(words)
        if type(confidence) is not float:
            confidence = number(confidence) or 0.0
        language = get_language(message) if get_language is not None else None
        request_id = get_request_id(message) if get_request_id is not None else None
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

    return read


def _share_prefix(rule: Rule) -> tuple[str | None, Rule]:
    """The object that text, confidence and words are all in, and *rule* with these three relative to it."""
    paths = [rule.text, rule.confidence, rule.words.items if rule.words is not None else None]
    given = [path for path in paths if path is not None]
    if not all(isinstance(path, str) and plain_steps(path) is not None and "." in path for path in given):
        return None, rule
    prefixes = {str(path).rpartition(".")[0] for path in given}
    if len(given) < 2 or len(prefixes) != 1:
        return None, rule
    prefix = prefixes.pop()
    changed: dict[str, Any] = {"text": str(rule.text).rpartition(".")[2]}
    if rule.confidence is not None:
        changed["confidence"] = str(rule.confidence).rpartition(".")[2]
    if rule.words is not None:
        changed["words"] = rule.words.model_copy(update={"items": str(rule.words.items).rpartition(".")[2]})
    return prefix, rule.model_copy(update=changed)


def _field(rule: Rule, name: str) -> Getter | None:
    paths = getattr(rule, name)
    return compile_optional(paths) if paths is not None else None


def _seconds_field(rule: Rule, name: str, unit: str) -> Callable[[Any], float | None] | None:
    get = _field(rule, name)
    if get is None:
        return None
    return seconds_reader(get, unit, single_name(getattr(rule, name)))
