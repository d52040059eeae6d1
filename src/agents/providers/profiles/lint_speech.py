"""What is wrong with the part of a profile that says how the vendor speaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..protocol import is_audio
from ..protocol.media import BARE
from .options import SPEAKING_SERVICES, option_problem
from .parts import Message
from .schema import Profile
from .speech import SpeechRule, StreamingSynthesis, Synthesis
from .templates import references

__all__ = ["lint_speech"]

Location = tuple[Any, ...]
Finding = tuple[Location, str]

_NEEDS: dict[str, tuple[str, ...]] = {"audio": ("audio",), "form": ("rate",)}


def lint_speech(profile: Profile) -> Iterator[Finding]:
    """Where something is wrong, and what to do about it."""
    yield from _check_options(profile)
    if profile.synthesis is not None:
        yield from _check_synthesis(profile.synthesis)
    if profile.streaming_synthesis is not None:
        yield from _check_streaming(profile.streaming_synthesis)
    elif profile.synthesis is None and profile.speech.model_fields_set:
        yield ("speech",), "is of no use without synthesis or streaming_synthesis: add one, or remove it"


def _named(value: Any) -> set[str]:
    return {name for name, _ in references(value)}


def _check_options(profile: Profile) -> Iterator[Finding]:
    services = profile.model_dump(by_alias=True, include={"auth", "synthesis", "streaming_synthesis"})
    named = {name.partition(".")[2] for name in _named(services) if name.startswith("options.")}
    for name, option in profile.options.items():
        if option.used_by in SPEAKING_SERVICES:
            yield ("options", name), f"is for {option.used_by}: put it under speech.options"
    for name, option in profile.speech.options.items():
        where = ("speech", "options", name)
        if option.default is not None and (problem := option_problem(option, option.default)):
            yield (*where, "default"), f"the default {problem}"
        if option.used_by != "both" and option.used_by not in SPEAKING_SERVICES:
            yield where, f"is for {option.used_by}: put it under the options at the top"
        elif option.used_by in SPEAKING_SERVICES and getattr(profile, option.used_by) is None:
            yield where, f"is for {option.used_by}, which this vendor does not have: remove it"
        if option.goes == "nowhere" and name not in named:
            yield where, "goes nowhere and nothing refers to it: say where it goes, or remove it"
        if option.goes == "body" and not _has_place(profile, option.used_by):
            yield where, "goes to the body, but there is no JSON that takes it: add one, or say another place"


def _has_place(profile: Profile, used_by: str) -> bool:
    """Whether every service that knows an option has JSON to put it into."""
    http, socket = profile.synthesis, profile.streaming_synthesis
    if http is not None and used_by in ("both", "synthesis") and (http.body is None or http.body.text is not None):
        return False
    if socket is None or used_by not in ("both", "streaming_synthesis"):
        return True
    return any(message.json_ is not None for message in (*socket.opening, *socket.begin, *socket.text))


def _check_synthesis(service: Synthesis) -> Iterator[Finding]:
    if "text" not in _named(service.model_dump(by_alias=True)):
        yield ("synthesis",), "sends no text: put ${text} into the body or the query"
    if service.method == "GET" and service.body is not None:
        yield ("synthesis", "body"), "is nothing a GET has: remove it, or remove method"
    if not is_audio(service.audio.type):
        yield ("synthesis", "audio", "type"), "is no media type of audio: write one such as audio/mpeg"


def _check_streaming(service: StreamingSynthesis) -> Iterator[Finding]:
    here = "streaming_synthesis"
    if "text" not in _named(_dumped(service.text)):
        yield (here, "text"), "carries no text: put ${text} where it belongs"
    for part in ("opening", "begin", "flush", "end", "cancel", "close"):
        if "text" in _named(_dumped(getattr(service, part))):
            yield (here, part), "has no text to say: ${text} is for the messages under text"
    if not is_audio(service.audio.type):
        yield (here, "audio", "type"), "is no media type of audio: write one such as audio/mpeg"
    elif service.audio.type not in BARE and service.results.times_from != "segment":
        yield (
            (here, "results", "times_from"),
            f"counts bytes of audio, which have no length in {service.audio.type}: only `segment` can be",
        )
    for code in service.connection.close_codes:
        low, _, high = str(code).partition("-")
        if not (low.isdigit() and (not high or high.isdigit()) and 1000 <= int(low) <= int(high or low) <= 4999):
            where = (here, "connection", "close_codes", code)
            yield where, 'not a close code: write one from 1000 to 4999, or a range such as "4000-4099"'
    yield from _check_events(service)
    yield from _check_rules(service)


def _dumped(messages: Sequence[Message]) -> list[Any]:
    return [message.model_dump(by_alias=True, exclude_unset=True) for message in messages]


def _check_events(service: StreamingSynthesis) -> Iterator[Finding]:
    here, connection = "streaming_synthesis", service.connection
    events = {rule.event for rule in service.results.rules}
    if connection.ready_wait and "ready" not in events:
        yield (here, "connection", "ready_wait"), "waits for ready, but no rule says `event: ready`: add one"
    if not events & {"done", "flushed"} and connection.silence is None:
        yield (here, "results", "rules"), "no rule says that a segment is done: add one, or connection.silence"
    if service.cancel and connection.cancel_answer and "done" not in events:
        yield (here, "cancel"), "has no answer: a rule must say `event: done`, or connection.cancel_answer: false"
    if not connection.cancel_answer and service.results.segment is None:
        where = (here, "connection", "cancel_answer")
        yield where, "without an answer, messages must name their segment: add results.segment"


def _check_rules(service: StreamingSynthesis) -> Iterator[Finding]:
    results = service.results
    covered: list[tuple[SpeechRule, int]] = []
    for index, rule in enumerate(results.rules):
        where = ("streaming_synthesis", "results", "rules", index)
        if rule.case is not None and results.switch is None:
            yield (*where, "case"), "there is no switch to compare with: add results.switch, the path of the field"
        for name in _NEEDS.get(rule.event, ()):
            if getattr(rule, name) is None:
                yield where, f"`event: {rule.event}` needs {name}: add it"
        if rule.event == "words" and (rule.words is None) is (rule.aligned is None):
            yield where, "`event: words` needs exactly one of words and aligned"
        for earlier, position in covered:
            if _covers(earlier, rule):
                yield where, f"is never reached: rule [{position}] takes all it would: reorder, or add more: true"
                break
        if not rule.more:
            covered.append((rule, index))


def _covers(earlier: SpeechRule, rule: SpeechRule) -> bool:
    """Whether *earlier* takes every message *rule* would."""
    mine, its = ({r.case} if isinstance(r.case, str) else set(r.case or ()) for r in (rule, earlier))
    if earlier.case is not None and not (rule.case is not None and mine <= its):
        return False
    return earlier.when is None or earlier.when == rule.when
