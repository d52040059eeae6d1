"""The part of the data model that says what a vendor's messages mean."""

from __future__ import annotations

from typing import Literal, Union

from pydantic import BaseModel, ConfigDict, Field

from ..protocol import Verdict
from .paths import Path

__all__ = ["Condition", "Marker", "Results", "Rule", "Unit", "Words"]

Unit = Literal["s", "ms", "us", "ticks"]
Literals = Union[str, int, float, bool, None]
Paths = Union[Path, list[Path]]


class Strict(BaseModel):
    """Unknown keys are errors: a misspelt key would otherwise do nothing, silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Present(Strict):
    """Whether something is there, whatever it is."""

    present: bool = Field(description="true: something is there; false: nothing is")


Condition = Union[Path, dict[Path, Union[Literals, list[Literals], Present]]]
"""A path to something true; or paths, each with the value, the values, or the presence it must have."""


class Words(Strict):
    """A list of words (or of tokens or segments) and, relative to each, what it holds."""

    items: Paths = Field(description="the list")
    text: Paths = Field(description="of the word")
    start: Paths | None = Field(default=None, description="its beginning")
    end: Paths | None = Field(default=None, description="its end")
    duration: Path | None = Field(default=None, description="instead of end")
    confidence: Paths | None = Field(default=None, description="0 to 1")
    speaker: Path | None = Field(default=None, description="who said it")
    speaker_format: str = Field(default="{}", description="the speaker's name, with {} for what the vendor says")
    only: Condition | None = Field(default=None, description="items to take; others are no words")


Marker = Literal["utterance_end", "flushed"]


class Rule(Strict):
    """From a message to an event. The first rule that fits is taken, unless it says ``more``."""

    case: str | list[str] | None = Field(default=None, description="values of the switch this rule is for")
    when: Condition | None = Field(default=None, description="what must be true of the message")
    more: bool = Field(default=False, description="whether rules after this one are tried as well")
    only_if: str | None = Field(default=None, description="an option that must be set for this rule to exist")
    unless: str | None = Field(default=None, description="an option that must not be set for this rule to exist")
    event: Literal[
        "ignore",
        "ready",
        "speech_started",
        "partial",
        "final",
        "transcript",
        "tokens",
        "segments",
        "speech_ended",
        "flushed",
        "finished",
        "usage",
        "error",
    ] = Field(description="what the message means")
    # times
    unit: Unit | None = Field(default=None, description="of this rule's times, where it differs from the rest")
    at: Paths | None = Field(default=None, description="of speech_started and speech_ended")
    # transcripts
    final: Condition | None = Field(default=None, description="what makes a `transcript` final")
    stable: Condition | None = Field(default=None, description="what makes a partial one that will not change")
    text: Paths | None = Field(default=None, description="the transcript")
    start: Paths | None = Field(default=None, description="its beginning")
    end: Paths | None = Field(default=None, description="its end, up to which audio is final")
    duration: Path | None = Field(default=None, description="instead of end")
    language: Paths | None = Field(default=None, description="it heard")
    confidence: Paths | None = Field(default=None, description="0 to 1")
    speaker: Paths | Literal["most frequent"] | None = Field(
        default=None, description="a path, or `most frequent`: of the words, in finals"
    )
    speaker_format: str = Field(default="{}", description="the speaker's name, with {} for what the vendor says")
    words: Words | None = Field(default=None, description="the words with their times")
    request_id: Paths | None = Field(default=None, description="the vendor's name of the session")
    segment_id: Paths | None = Field(
        default=None, description="the vendor's name of the segment, or what deltas belong to"
    )
    ends_utterance: Condition | None = Field(
        default=None, description="what makes a final the last of its utterance"
    )
    # tokens and segments: `words` says where the list is
    markers: dict[str, Marker] = Field(default_factory=dict, description="tokens that are signs, not text")
    # usage
    audio: Path | None = Field(default=None, description="amount of audio, in the unit of times")
    input_tokens: Path | None = Field(default=None, description="of usage")
    output_tokens: Path | None = Field(default=None, description="of usage")
    cumulative: bool = Field(default=False, description="whether the amounts are totals of the connection")
    # errors
    message: Paths | None = Field(default=None, description="what the vendor says went wrong")
    code: Paths | None = Field(default=None, description="its code for that")
    verdict: Verdict = Field(default=Verdict.TRANSIENT, description="where nothing below says better")
    codes: dict[Union[str, int], Verdict] = Field(default_factory=dict, description="code -> verdict")
    code_is: Literal["name", "http status", "close code"] = Field(
        default="name",
        description="what a code that is a number is; statuses and close codes have their usual verdicts",
    )


class Results(Strict):
    """What the vendor's messages mean."""

    unit: Unit = Field(default="s", description="unit of all times; numbers may be in strings, also as 1.3s")
    switch: Path | None = Field(default=None, description="the field whose value tells kinds of messages apart")
    literals: dict[str, Literal["ready", "speech_started", "speech_ended", "flushed", "finished"]] = Field(
        default_factory=dict, description="text messages that are not JSON"
    )
    partials: Literal["replace", "accumulate", "delta", "counter"] = Field(
        default="replace",
        description="replace: each text is all since the last final; accumulate: finals are pieces, joined at"
        " the end of the utterance, partials the tail after them; delta: partials are pieces of a segment_id;"
        " counter: a new segment_id makes the last text final",
    )
    join: str = Field("", description="what stands between pieces")
    rules: list[Rule] = Field(description="tried in order")
