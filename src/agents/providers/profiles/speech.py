"""The part of the data model for vendors that speak: text in, audio out."""

from __future__ import annotations

from typing import Literal, Union

from pydantic import Field, model_validator
from typing_extensions import Self

from ..protocol import Verdict
from .parts import Auth, Keepalive, Message, Option, Template, Templates
from .paths import Path
from .results import Condition, Paths, Strict, Unit, Words
from .units import Seconds

__all__ = [
    "Aligned",
    "JsonAnswer",
    "Speech",
    "SpeechAudio",
    "SpeechConnection",
    "SpeechResults",
    "SpeechRule",
    "StreamingSynthesis",
    "Synthesis",
    "TextBody",
]


class Speech(Strict):
    """What both ways of speaking share."""

    defaults: dict[Literal["voice", "model", "language"], str] = Field(
        default_factory=dict, description="what is used where the user says nothing"
    )
    voices: list[str] = Field(default_factory=list, description="for listings; others are passed on")
    models: list[str] = Field(default_factory=list, description="for listings; others are passed on")
    languages: list[str] = Field(default_factory=list, description="for listings; others are passed on")
    options: dict[str, Option] = Field(default_factory=dict, description="parameters of its own")


class SpeechAudio(Strict):
    """The audio that comes back."""

    type: str = Field(
        default="audio/pcm",
        description="media type where the answer names none: audio/pcm (16-bit, little-endian), audio/basic"
        " (µ-law), audio/wav, audio/mpeg, audio/ogg …",
    )
    rates: list[int] | None = Field(
        default=None, description="Hz it can make; the best for the adapter's rate is ${sample_rate}; absent: any"
    )
    channels: int = Field(default=1, ge=1, le=2, description="of it")
    content_type: bool = Field(default=True, description="whether the answer's Content-Type is to be believed")


class TextBody(Strict):
    """The body of a request that has text spoken. Exactly one of json and text."""

    json_: Template = Field(default=None, alias="json", description="a template with ${text}")
    text: str | None = Field(default=None, description="a template with ${text}, sent as it is")
    content_type: str = Field(default="text/plain; charset=utf-8", description="of a text body")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if len(self.model_fields_set & {"json_", "text"}) != 1:
            raise ValueError("give exactly one of json and text")
        return self


class JsonAnswer(Strict):
    """Where the audio is in an answer that is JSON."""

    each: Literal["body", "line", "event"] = Field(
        default="body", description="what holds one JSON value: the body, a line of it, or a server-sent event"
    )
    audio: Paths = Field(description="the audio, in base64; a value without it is passed over")
    failed: Condition | None = Field(default=None, description="what makes a value an error")
    message: Paths | None = Field(default=None, description="of an error: what went wrong")
    code: Paths | None = Field(default=None, description="of an error: the vendor's code for that")
    verdict: Verdict = Field(default=Verdict.TRANSIENT, description="where nothing below says better")
    codes: dict[Union[str, int], Verdict] = Field(default_factory=dict, description="code -> verdict")
    code_is: Literal["name", "http status", "close code"] = Field(
        default="name",
        description="what a code that is a number is; statuses and close codes have their usual verdicts",
    )


class Synthesis(Strict):
    """Speech over HTTP: one request, whose answer is the audio."""

    url: str | None = Field(default=None, description="default URL")
    path: str | None = Field(
        default=None, description="a template, put after a URL that ends like the default one, as in /${voice}"
    )
    auth: Auth | None = Field(default=None, description="instead of the profile's")
    method: Literal["GET", "POST"] = Field(default="POST", description="of the request")
    query: Templates = Field(default_factory=dict, description="`*`: a mapping whose entries are parameters")
    headers: dict[str, str] = Field(default_factory=dict, description="further headers, as templates")
    body: TextBody | None = Field(default=None, description="what is sent; absent: nothing is")
    answer: JsonAnswer | None = Field(
        default=None, description="where the audio is in JSON; absent: the answer is the audio"
    )
    audio: SpeechAudio = Field(default=SpeechAudio(), description="what comes back")


class SpeechConnection(Strict):
    """Limits and timers."""

    reusable: bool = Field(default=True, description="whether a connection carries one segment after another")
    cancel_answer: bool = Field(
        default=True,
        description="whether a cancelled segment is over only with `done`; false: messages name their segment",
    )
    silence: Seconds | None = Field(
        default=None, description="for vendors that never say `done`: so long without audio after the end means it"
    )
    early_flushes: int = Field(
        default=0,
        ge=0,
        description="for vendors that speak nothing before a flush: how many a minute may be spent on having the"
        " first sentence spoken while the rest is still being written",
    )
    ready_wait: bool = Field(default=False, description="whether text waits for the vendor's ready event")
    ready_within: Seconds = Field(default=10.0, description="how long it may take until ready")
    heartbeat: Seconds | Literal["never"] = Field(default=20.0, description="between two WebSocket pings")
    idle: Seconds = Field(default=60.0, description="an unused connection is kept so long")
    session: Seconds = Field(default=3600.0, description="no connection is kept longer")
    stall: Seconds = Field(
        default=10.0, description="a segment that waits for audio so long in vain counts as dead"
    )
    close_codes: dict[Union[int, str], Verdict] = Field(
        default_factory=dict, description='meanings of close codes, or of ranges such as "4000-4099"'
    )


class Aligned(Strict):
    """Words, or characters that are joined to words, in lists that run side by side."""

    texts: Path = Field(description="the list of words or characters")
    starts: Paths = Field(description="the list of their beginnings")
    ends: Paths | None = Field(default=None, description="the list of their ends")
    durations: Paths | None = Field(default=None, description="instead of ends")
    characters: bool = Field(default=False, description="whether texts are characters, spaces among them")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.ends is None) is (self.durations is None):
            raise ValueError("give exactly one of ends and durations")
        return self


class SpeechRule(Strict):
    """From a message to an event. The first rule that fits is taken, unless it says ``more``."""

    case: str | list[str] | None = Field(default=None, description="values of the switch this rule is for")
    when: Condition | None = Field(default=None, description="what must be true of the message")
    more: bool = Field(default=False, description="whether rules after this one are tried as well")
    event: Literal["ignore", "ready", "form", "audio", "words", "flushed", "done", "error"] = Field(
        description="what the message means"
    )
    request_id: Paths | None = Field(default=None, description="of ready: the vendor's name of the session")
    rate: Paths | None = Field(default=None, description="of form: Hz of the audio that follows")
    audio: Paths | None = Field(default=None, description="of audio: where it is, in base64")
    words: Words | None = Field(default=None, description="of words: a list of objects")
    aligned: Aligned | None = Field(default=None, description="of words: lists side by side")
    message: Paths | None = Field(default=None, description="of error: what the vendor says went wrong")
    code: Paths | None = Field(default=None, description="of error: its code for that")
    verdict: Verdict = Field(default=Verdict.TRANSIENT, description="where nothing below says better")
    codes: dict[Union[str, int], Verdict] = Field(default_factory=dict, description="code -> verdict")
    code_is: Literal["name", "http status", "close code"] = Field(
        default="name",
        description="what a code that is a number is; statuses and close codes have their usual verdicts",
    )


class SpeechResults(Strict):
    """What the vendor's messages mean. Binary messages are audio."""

    unit: Unit = Field(default="s", description="unit of all times")
    switch: Path | None = Field(default=None, description="the field whose value tells kinds of messages apart")
    segment: Paths | None = Field(
        default=None, description="the ${segment} a message is of; those of another are left out"
    )
    times_from: Literal["segment", "message", "either"] = Field(
        default="segment",
        description="where times of words begin: with the segment, with the audio this message is about, or"
        " whichever fits better",
    )
    rules: list[SpeechRule] = Field(description="tried in order")


class StreamingSynthesis(Strict):
    """Speech over a WebSocket: text goes out piece by piece, audio comes back."""

    url: str | None = Field(default=None, description="default URL")
    path: str | None = Field(
        default=None, description="a template, put after a URL that ends like the default one, as in /${voice}"
    )
    auth: Auth | None = Field(default=None, description="instead of the profile's")
    query: Templates = Field(default_factory=dict, description="`*`: a mapping whose entries are parameters")
    headers: dict[str, str] = Field(default_factory=dict, description="further headers, as templates")
    subprotocols: list[str] = Field(
        default_factory=list, description="WebSocket subprotocols to offer, as templates"
    )
    audio: SpeechAudio = Field(default=SpeechAudio(), description="what comes back")
    text_unit: Literal["token", "word", "sentence"] = Field(
        default="word", description="the smallest piece of text it takes well"
    )
    connection: SpeechConnection = Field(default=SpeechConnection(), description="limits and timers")
    opening: list[Message] = Field(default_factory=list, description="sent after the handshake")
    begin: list[Message] = Field(default_factory=list, description="begins a segment")
    text: list[Message] = Field(min_length=1, description="carries ${text}")
    flush: list[Message] = Field(
        default_factory=list, description="has all text so far spoken now; absent: it cannot be asked"
    )
    end: list[Message] = Field(min_length=1, description="says that the segment has no more text")
    cancel: list[Message] = Field(
        default_factory=list, description="breaks the segment off; absent: the connection is closed for that"
    )
    keepalive: Keepalive | None = Field(default=None, description="what holds an idle connection open")
    close: list[Message] = Field(default_factory=list, description="sent before the socket is closed")
    results: SpeechResults = Field(description="what messages mean")
