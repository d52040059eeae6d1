"""What is wrong with a profile although each of its parts is well formed: references, rules, options."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any

from .lint_speech import lint_speech
from .lint_urls import lint_urls
from .options import SPEAKING_SERVICES, option_problem
from .results import Results, Rule
from .schema import Batch, BatchStep, Body, Profile, Streaming
from .templates import FILTERS, HEARING, NAMES, SPEAKING, misspelt_references, references

__all__ = ["Finding", "lint"]

Location = tuple[Any, ...]
Finding = tuple[Location, str]
_SERVICES = ("streaming", "batch", "synthesis", "streaming_synthesis")


def lint(profile: Profile) -> Iterator[Finding]:
    """Where something is wrong, and what to do about it."""
    saved = _saved_names(profile)
    raw = profile.model_dump(by_alias=True, exclude_unset=True, include={"auth", *_SERVICES})
    for location, text in _strings(raw, ()):
        yield from _check_references(profile, saved, location, text)
    if "key_required" in profile.model_fields_set:
        yield from _check_key_required(profile, raw)
    yield from _check_options(profile)
    if profile.streaming:
        yield from _check_streaming(profile, profile.streaming)
        yield from _check_rules(profile, profile.streaming.results)
    if profile.batch:
        yield from _check_batch(profile, profile.batch)
    yield from lint_speech(profile)
    yield from lint_urls(profile)


# --- references ---


def _saved_names(profile: Profile) -> set[str]:
    steps = [
        *(profile.streaming.prepare if profile.streaming else ()),
        *(profile.batch.steps if profile.batch else ()),
    ]
    return {name for step in steps for name in step.save}


def _strings(value: Any, location: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        yield location, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, (*location, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*location, index))


def _check_references(profile: Profile, saved: set[str], location: Location, text: str) -> Iterator[Finding]:
    speaks = location[0] in SPEAKING_SERVICES
    options = profile.speech.options if speaks else profile.options
    if location[0] == "auth":  # of whatever services there are
        options = {**profile.options, **profile.speech.options}
    foreign = HEARING if speaks else SPEAKING
    for meant in misspelt_references(text):
        yield location, f"{meant[0]!r} is sent as it stands: write ${{{meant[1]}}} for its value"
    for name, filters in references(text):
        kind, _, key = name.partition(".")
        if name.startswith("${"):
            yield location, f"{name!r} is not a reference: write ${{name}} or ${{name|filter}}"
        elif kind == "options" and key:
            if key not in options:
                place = "speech.options" if speaks else "options"
                yield location, _undeclared(f"option {key!r} is not declared under {place}", key, options)
        elif name in foreign:
            yield location, f"${{{name}}} is for {'recognition' if speaks else 'speech'}: it means nothing here"
        elif kind == "saved" and key:
            if key not in saved:
                yield location, _undeclared(f"no step saves {key!r}", key, saved)
        elif name not in NAMES:
            yield location, _undeclared(f"${{{name}}} is not known", name, NAMES)
        for unknown in set(filters) - set(FILTERS):
            yield location, _undeclared(f"filter {unknown!r} is not known", unknown, FILTERS)


def _undeclared(message: str, name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    if near:
        return f"{message}, did you mean {near[0]!r}?"
    return f"{message}: known are {', '.join(sorted(known)) or 'none'}"


def _check_key_required(profile: Profile, raw: Any) -> Iterator[Finding]:
    if profile.auth is not None:
        yield ("key_required",), "is for keys without auth: say auth.required instead"
    elif not any(name == "key" for name, _ in references(raw)):
        yield ("key_required",), "means nothing, there is no ${key} anywhere: remove it"


# --- options ---


def _check_options(profile: Profile) -> Iterator[Finding]:
    named = set()
    dumped = profile.model_dump(by_alias=True, include={"auth", "streaming", "batch"})
    for _, text in _strings(dumped, ()):
        named |= {name.partition(".")[2] for name, _ in references(text) if name.startswith("options.")}
    for rule in profile.streaming.results.rules if profile.streaming else ():
        named |= {name for name in (rule.only_if, rule.unless) if name}
    named |= {step.only_if for step in (profile.streaming.prepare if profile.streaming else ()) if step.only_if}
    named |= {step.body_option for step in (profile.batch.steps if profile.batch else ()) if step.body_option}
    for name, option in profile.options.items():
        where = ("options", name)
        if option.default is not None and (problem := option_problem(option, option.default)):
            yield (*where, "default"), f"the default {problem}"
        if option.goes == "nowhere" and name not in named:
            yield where, "goes nowhere and nothing refers to it: say where it goes, or remove it"
        if (
            option.goes == "body"
            and option.used_by in ("both", "streaming")
            and profile.streaming
            and not _json_opening(profile)
        ):
            yield where, "goes to the body, but streaming opens with no JSON message: add one, or used_by: batch"
        if option.used_by == "streaming" and not profile.streaming:
            yield where, "is for streaming, which this vendor does not have: remove it"
        if option.used_by == "batch" and not profile.batch:
            yield where, "is for batch, which this vendor does not have: remove it"


def _json_opening(profile: Profile) -> bool:
    streaming = profile.streaming
    if streaming is None:
        return False
    return any(message.json_ is not None for message in streaming.opening) or any(
        step.with_options for step in streaming.prepare
    )


def _check_names(profile: Profile, names: dict[Location, str | None]) -> Iterator[Finding]:
    for location, name in names.items():
        if name is not None and name not in profile.options:
            yield location, _undeclared(f"option {name!r} is not declared under options", name, profile.options)


# --- streaming ---


def _check_streaming(profile: Profile, streaming: Streaming) -> Iterator[Finding]:
    events = {rule.event for rule in streaming.results.rules} | set(streaming.results.literals.values())
    if streaming.connection.ready_wait and "ready" not in events:
        yield (
            ("streaming", "connection", "ready_wait"),
            "waits for ready, but no rule says `event: ready`: add one",
        )
    if "flushed" in events and not streaming.flush:
        yield ("streaming", "results"), "a rule answers a flush that is never sent: add streaming.flush"
    audio = streaming.audio
    if audio.min_chunk > audio.max_chunk:
        yield ("streaming", "audio", "max_chunk"), "is shorter than min_chunk: raise it"
    if audio.message is not None and not any(name == "audio" for name, _ in references(audio.message)):
        yield ("streaming", "audio", "message"), "carries no audio: put ${audio} where it belongs"
    if not _has_final(streaming.results):
        yield ("streaming", "results", "rules"), "no rule makes a final transcript: add one"
    yield from _check_update(profile, streaming)
    yield from _check_close_codes(streaming)
    yield from _check_names(
        profile, {("streaming", "prepare", i, "only_if"): step.only_if for i, step in enumerate(streaming.prepare)}
    )


def _has_final(results: Results) -> bool:
    kinds = {rule.event for rule in results.rules}
    return bool(kinds & {"final", "transcript", "tokens", "segments"}) or results.partials == "counter"


def _check_update(profile: Profile, streaming: Streaming) -> Iterator[Finding]:
    if streaming.update is None:
        return
    known = {"keyterms", "language", "model", *(f"options.{option}" for option in profile.options)}
    sent = _sent_after_a_change(streaming)
    chosen_by = {f"options.{name}" for rule in streaming.results.rules for name in (rule.only_if, rule.unless)}
    for index, name in enumerate(streaming.update.changes):
        location = ("streaming", "update", "changes", index)
        if name not in known:
            yield location, _undeclared(f"{name!r} is nothing that can change", name, known)
        elif name in chosen_by:
            yield (
                location,
                "a rule goes by it, and rules are chosen when a connection begins: leave it out of changes",
            )
        elif name not in sent:
            meant = "all_keyterms" if name == "keyterms" else name
            yield location, f"{name} is sent nowhere: put ${{{meant}}} into send, or leave it out of changes"
    if streaming.update.models is not None:
        yield from _check_regex(("streaming", "update", "models"), streaming.update.models)


def _sent_after_a_change(streaming: Streaming) -> set[str]:
    """What a connection that is open already may send, and so what a change may reach the vendor with."""
    dumped = streaming.model_dump(by_alias=True, include={"update", "audio", "flush", "keepalive", "close"})
    names = {name for name, _ in references(dumped)}
    return names | ({"keyterms"} if "all_keyterms" in names else set())


def _check_regex(location: Location, text: str) -> Iterator[Finding]:
    try:
        re.compile(text)
    except re.error as error:
        yield location, f"not a regular expression: {error}"


def _check_close_codes(streaming: Streaming) -> Iterator[Finding]:
    for code in streaming.connection.close_codes:
        low, _, high = str(code).partition("-")
        valid = low.isdigit() and (not high or high.isdigit()) and 1000 <= int(low) <= int(high or low) <= 4999
        if not valid:
            location = ("streaming", "connection", "close_codes", code)
            yield location, 'not a close code: write one from 1000 to 4999, or a range such as "4000-4099"'


# --- rules ---

_NEEDS: dict[str, tuple[str, ...]] = {
    "partial": ("text",),
    "final": ("text",),
    "transcript": ("text", "final"),
    "tokens": ("words", "final"),
    "segments": ("words", "final"),
    "usage": (),
}


def _check_rules(profile: Profile, results: Results) -> Iterator[Finding]:
    covered: list[tuple[Rule, int]] = []
    for index, rule in enumerate(results.rules):
        where = ("streaming", "results", "rules", index)
        if rule.case is not None and results.switch is None:
            yield (*where, "case"), "there is no switch to compare with: add results.switch, the path of the field"
        for name in _NEEDS.get(rule.event, ()):
            if getattr(rule, name) is None:
                yield where, f"`event: {rule.event}` needs {name}: add it"
        if (
            results.partials in ("counter",)
            and rule.event in ("partial", "transcript")
            and rule.segment_id is None
        ):
            yield where, f"`partials: {results.partials}` needs segment_id: add it"
        yield from _check_names(profile, {(*where, "only_if"): rule.only_if, (*where, "unless"): rule.unless})
        for earlier, position in covered:
            if _covers(earlier, rule):
                yield where, f"is never reached: rule [{position}] takes all it would: reorder, or add more: true"
                break
        if not rule.more:
            covered.append((rule, index))
        for format_location, get in _FORMATS.items():
            if get(rule).count("{}") != 1:
                yield (*where, *format_location), "must hold {} once, where the vendor's name of the speaker goes"


_FORMATS: dict[tuple[str, ...], Callable[[Rule], str]] = {
    ("speaker_format",): lambda rule: rule.speaker_format,
    ("words", "speaker_format"): lambda rule: rule.words.speaker_format if rule.words else "{}",
}


def _covers(earlier: Rule, rule: Rule) -> bool:
    """Whether *earlier* takes every message *rule* would: no narrower case, and no condition of its own."""
    if earlier.case is not None and not (rule.case is not None and set(_cases(rule)) <= set(_cases(earlier))):
        return False
    same = (earlier.when, earlier.only_if, earlier.unless) == (rule.when, rule.only_if, rule.unless)
    return same or (earlier.when is None and earlier.only_if is None and earlier.unless is None)


def _cases(rule: Rule) -> list[str]:
    if rule.case is None:
        return []
    return rule.case if isinstance(rule.case, list) else [rule.case]


# --- batch ---


def _check_batch(profile: Profile, batch: Batch) -> Iterator[Finding]:
    for index, step in enumerate(batch.steps):
        where = ("batch", "steps", index)
        yield from _check_names(profile, {(*where, "body_option"): step.body_option})
        option = profile.options.get(step.body_option or "")
        if step.bodies and (option is None or option.default not in step.bodies):
            yield (*where, "bodies"), "needs body_option, an option whose default is one of these names"
        if option is not None and set(option.choices or ()) != set(step.bodies):
            yield (*where, "bodies"), f"must be the choices of the option {step.body_option!r}"
        if step.body is not None and step.bodies:
            yield (*where, "body"), "is never used beside bodies: remove one of the two"
    if not any(map(_has_audio, batch.steps)) and not _has_module(profile):
        yield (
            ("batch", "steps"),
            "sends no audio: give a body with raw, a part of a form with audio, or ${audio} in its json",
        )
    if batch.result.speaker_format.count("{}") != 1:
        yield ("batch", "result", "speaker_format"), "must hold {} once, where the vendor's name goes"


def _has_audio(step: BatchStep) -> bool:
    """Whether the recording goes with this request, whichever of its bodies the user chooses."""
    bodies = [step.body] if step.body is not None else list(step.bodies.values())
    return bool(bodies) and all(map(_carries_audio, bodies))


def _carries_audio(body: Body) -> bool:
    if body.raw is not None:
        return True
    if body.multipart is not None:
        return any(part.audio is not None for part in body.multipart)
    return any(name == "audio" for name, _ in references(body.json_))


def _has_module(profile: Profile) -> bool:
    """Whether code beside the profile takes part in recognising recordings, and so may bring the audio."""
    return any(
        option.goes == "code" and option.used_by in ("both", "batch") for option in profile.options.values()
    )
