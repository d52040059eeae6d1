"""Rules compiled to a program: a table from the kind of a message to the functions that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union

import orjson

from ..protocol import (
    Event,
    Failure,
    Final,
    Finished,
    Flushed,
    Partial,
    ProtocolError,
    Ready,
    SpeechEnded,
    SpeechStarted,
    Usage,
    Verdict,
    decode_json,
    judge_close,
    judge_status,
)
from .fields import compile_condition, compile_segment, compile_words
from .paths import compile_first, compile_optional, compile_path, single_name
from .reducers import Accumulate, Counter, Delta, PieceReducer, SlidingSegments, Token, TokenStream
from .results import Results, Rule
from .speech import JsonAnswer, SpeechRule
from .units import SCALES, number, seconds_reader

__all__ = ["Memory", "Program", "compile_failure"]

ErrorRule = Union[Rule, SpeechRule, JsonAnswer]
Apply = Callable[[Any, "Memory", "list[Event]"], None]
Step = tuple[Union[Callable[[Any], Any], None], Apply, bool]
"""The rule's condition, what it does, and whether the message is done then."""


class Memory:
    """What one connection must remember between two messages."""

    __slots__ = ("raw", "reducer", "segments", "tokens", "totals")

    def __init__(self, reducer: PieceReducer | None) -> None:
        self.reducer = reducer
        self.tokens = TokenStream()
        self.segments = SlidingSegments()
        self.totals = (0.0, 0, 0)
        self.raw: str | bytes = ""  # the message that is being read

    def close_utterance(self) -> list[Event]:
        """What reducers still hold back."""
        held = self.tokens.close_utterance()
        return [*held, *self.reducer.close_utterance()] if self.reducer is not None else held


class Program:
    """What a vendor's messages mean. Immutable; one for all connections with the same rules."""

    def __init__(self, results: Results, options_set: frozenset[str] = frozenset()) -> None:
        """
        Args:
            results: from the profile.
            options_set: names of the options that are on; rules for others do not exist.
        """
        rules = [
            rule
            for rule in results.rules
            if (rule.only_if is None or rule.only_if in options_set)
            and (rule.unless is None or rule.unless not in options_set)
        ]
        self._results = results
        self._get_case = compile_path(results.switch) if results.switch is not None else None
        self._switch = results.switch
        self._switch_name = single_name(results.switch)  # which needs no call
        cases = {case for rule in rules for case in _cases(rule)}
        steps = [(rule, _compile_rule(rule, results)) for rule in rules]
        self._table: Mapping[Any, tuple[Step, ...]] = {
            case: tuple(step for rule, step in steps if rule.case is None or case in _cases(rule))
            for case in cases
        }
        self._any: tuple[Step, ...] = tuple(step for rule, step in steps if rule.case is None)
        self._literals: Mapping[str, Callable[[], Event]] = {
            text: _LITERAL_EVENTS[event] for text, event in results.literals.items()
        }

    def memory(self) -> Memory:
        """For a new connection."""
        kind, join = self._results.partials, self._results.join
        if kind == "accumulate":
            return Memory(Accumulate(join))
        if kind == "delta":
            return Memory(Delta(join))
        return Memory(Counter() if kind == "counter" else None)

    def read(self, raw: str | bytes, memory: Memory) -> list[Event]:
        """The events of a message as it came over the wire.

        Raises:
            ProtocolError: it cannot be understood.
        """
        events: list[Event] = []
        if self._literals and raw in self._literals:
            assert isinstance(raw, str)
            event = self._literals[raw]()
            return [*memory.close_utterance(), event]
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            message = _decoded(raw)
        if type(message) is not dict:
            raise ProtocolError("not a JSON object")
        memory.raw = raw
        steps = self._any
        if self._get_case is not None:
            name = self._switch_name
            case = message.get(name) if name is not None and type(message) is dict else self._get_case(message)
            if type(case) is str:
                steps = self._table.get(case, steps)
            elif not steps:
                raise ProtocolError(f"no {self._switch!r} that says what kind of message it is")
        for test, apply, done in steps:
            if test is None or test(message):
                apply(message, memory, events)
                if done:
                    break
        return events


def _decoded(raw: str | bytes) -> Any:
    """What is no JSON to the letter."""
    try:
        return decode_json(raw)
    except ValueError as error:
        raise ProtocolError("not JSON") from error


_LITERAL_EVENTS: Mapping[str, Callable[[], Event]] = {
    "ready": Ready,
    "speech_started": SpeechStarted,
    "speech_ended": SpeechEnded,
    "flushed": Flushed,
    "finished": Finished,
}


def _cases(rule: Rule) -> Sequence[str]:
    if rule.case is None:
        return ()
    return rule.case if isinstance(rule.case, list) else (rule.case,)


def _compile_rule(rule: Rule, results: Results) -> Step:
    if rule.unit is not None:
        results = results.model_copy(update={"unit": rule.unit})
    return compile_condition(rule.when), _COMPILERS[rule.event](rule, results), not rule.more


def _compile_ignore(rule: Rule, results: Results) -> Apply:
    return lambda message, memory, events: None


def _compile_ready(rule: Rule, results: Results) -> Apply:
    get_id = compile_optional(rule.request_id)

    def ready(message: Any, memory: Memory, events: list[Event]) -> None:
        request_id = get_id(message)
        events.append(Ready(request_id if isinstance(request_id, str) else ""))

    return ready


def _compile_speech_started(rule: Rule, results: Results) -> Apply:
    read_at = seconds_reader(compile_optional(rule.at), results.unit)
    return lambda message, memory, events: events.append(SpeechStarted(read_at(message)))


def _compile_speech_ended(rule: Rule, results: Results) -> Apply:
    read_at = seconds_reader(compile_optional(rule.at), results.unit)

    def ended(message: Any, memory: Memory, events: list[Event]) -> None:
        events += memory.close_utterance()
        events.append(SpeechEnded(read_at(message)))

    return ended


def _compile_flushed(rule: Rule, results: Results) -> Apply:
    def flushed(message: Any, memory: Memory, events: list[Event]) -> None:
        events += memory.close_utterance()
        events.append(Flushed())

    return flushed


def _compile_finished(rule: Rule, results: Results) -> Apply:
    def finished(message: Any, memory: Memory, events: list[Event]) -> None:
        events += memory.close_utterance()
        events.append(Finished())

    return finished


def _compile_transcript(rule: Rule, results: Results) -> Apply:
    read = compile_segment(rule, results.unit)
    is_final = compile_condition(rule.final) if rule.event == "transcript" else None
    always_final = rule.event == "final"
    is_stable, ends = compile_condition(rule.stable), compile_condition(rule.ends_utterance)
    get_id = compile_optional(rule.segment_id)
    names_segments = rule.segment_id is not None
    deduplicates = names_segments and results.partials == "replace"

    def transcript(message: Any, memory: Memory, events: list[Event]) -> None:
        key = _key(get_id(message)) if names_segments else None
        reducer = memory.reducer
        if always_final or (is_final is not None and is_final(message)):
            final = read(message, Final)
            final.ends_utterance = ends is not None and bool(ends(message))
            if deduplicates:
                final.segment_id = key
            if reducer is not None:
                events += reducer.final(final, key)
            elif final.text or not final.ends_utterance:
                events.append(final)
            else:  # an empty final holds nothing an utterance could end with, so its end is an event of its own
                final.ends_utterance = False
                events += (final, SpeechEnded(final.end))
            return
        # partials come several times a second and few callers want their words, but a reducer puts them together
        partial = read(message, Partial, memory.raw if reducer is None else None)
        partial.stable = is_stable is not None and bool(is_stable(message))
        if reducer is not None:
            events += reducer.partial(partial, key)
        elif partial.text:
            events.append(partial)

    return transcript


def _key(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int)) else None


def _compile_tokens(rule: Rule, results: Results) -> Apply:
    read_tokens = _compile_token_list(rule, results)
    markers = dict(rule.markers)

    def tokens(message: Any, memory: Memory, events: list[Event]) -> None:
        events += memory.tokens.tokens(read_tokens(message), markers)

    return tokens


def _compile_segments(rule: Rule, results: Results) -> Apply:
    read_tokens = _compile_token_list(rule, results)

    def segments(message: Any, memory: Memory, events: list[Event]) -> None:
        events += memory.segments.segments(read_tokens(message))

    return segments


def _compile_token_list(rule: Rule, results: Results) -> Callable[[Any], list[Token]]:
    """The items of the rule's list, each with whether it is final; paths of the rule are relative to the item."""
    assert rule.words is not None, "checked by lint"
    get_items = compile_first(rule.words.items)
    one = rule.words.model_copy(update={"items": "one"})
    read_word = compile_words(one, results.unit)
    is_final = compile_condition(rule.final)
    get_language = compile_optional(rule.language)

    def read(message: Any) -> list[Token]:
        items = get_items(message)
        if items is None:
            return []
        if not isinstance(items, list):
            raise ProtocolError("a list was expected")
        tokens = []
        for item in items:
            for word in read_word({"one": [item]}) or ():
                language = get_language(item)
                final = is_final is not None and is_final(item)
                tokens.append(Token(word, final, language if isinstance(language, str) else None))
        return tokens

    return read


def _compile_usage(rule: Rule, results: Results) -> Apply:
    get_audio, get_input, get_output = (
        compile_optional(p) for p in (rule.audio, rule.input_tokens, rule.output_tokens)
    )
    scale, cumulative = SCALES[results.unit], rule.cumulative

    def usage(message: Any, memory: Memory, events: list[Event]) -> None:
        audio = max(number(get_audio(message)) or 0.0, 0.0) * scale
        tokens_in = int(max(number(get_input(message)) or 0, 0))
        tokens_out = int(max(number(get_output(message)) or 0, 0))
        if cumulative:
            before, memory.totals = memory.totals, (audio, tokens_in, tokens_out)
            audio, tokens_in, tokens_out = audio - before[0], tokens_in - before[1], tokens_out - before[2]
        if audio > 0 or tokens_in > 0 or tokens_out > 0:
            events.append(Usage(max(audio, 0.0), max(tokens_in, 0), max(tokens_out, 0)))

    return usage


def _compile_error(rule: Rule, results: Results) -> Apply:
    read = compile_failure(rule)

    def error(message: Any, memory: Memory, events: list[Event]) -> None:
        failure = read(message)
        if failure is not None:
            events.append(failure)

    return error


def compile_failure(rule: ErrorRule) -> Callable[[Any], Failure | None]:
    """The reader of an ``error`` rule, of either family of services; ``None`` for what is to be ignored."""
    get_message, get_code = compile_optional(rule.message), compile_optional(rule.code)
    codes = {str(code): verdict for code, verdict in rule.codes.items()}
    default, code_is = rule.verdict, rule.code_is

    def failure(message: Any) -> Failure | None:
        text, code = get_message(message), get_code(message)
        if isinstance(code, float) and code.is_integer():
            code = int(code)
        shown = str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else ""
        status = int(shown) if shown.isascii() and shown.isdigit() and len(shown) < 6 else None
        verdict = codes.get(shown, default)
        if shown not in codes and status is not None:
            verdict = _judge(status, code_is, default)
        if verdict is Verdict.IGNORE:
            return None
        detail: dict[str, Any] = {"code": shown} if shown else {}
        described = text if isinstance(text, str) and text else shown
        return Failure(described, verdict, status if code_is != "name" else None, detail=detail)

    return failure


def _judge(status: int, code_is: str, default: Verdict) -> Verdict:
    if code_is == "http status" and 300 <= status <= 599:
        return judge_status(status)
    if code_is == "close code" and 1000 <= status <= 4999:
        return judge_close(status)
    return default


_COMPILERS: Mapping[str, Callable[[Rule, Results], Apply]] = {
    "ignore": _compile_ignore,
    "ready": _compile_ready,
    "speech_started": _compile_speech_started,
    "speech_ended": _compile_speech_ended,
    "partial": _compile_transcript,
    "final": _compile_transcript,
    "transcript": _compile_transcript,
    "tokens": _compile_tokens,
    "segments": _compile_segments,
    "flushed": _compile_flushed,
    "finished": _compile_finished,
    "usage": _compile_usage,
    "error": _compile_error,
}
