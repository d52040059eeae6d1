"""What a profile may say: the data model of the profile language.

These classes are the reference of the language; the JSON Schema that editors use is made from them
(see :mod:`.export`). A *template* is any YAML value in whose strings ``${name}`` stands for a value of the moment
(:mod:`.templates`); a *path* is JMESPath into a message of the vendor (:mod:`.paths`).
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import Field, model_validator
from typing_extensions import Self

from ..protocol import Verdict
from .parts import Auth, Keepalive, Message, Option, OptionType, Template, Templates
from .paths import Path
from .results import Condition, Paths, Results, Strict, Words
from .speech import Speech, StreamingSynthesis, Synthesis
from .units import Milliseconds, Seconds

__all__ = [
    "Audio",
    "Auth",
    "Batch",
    "BatchResult",
    "Body",
    "Capabilities",
    "Connection",
    "FormPart",
    "HttpStep",
    "Keepalive",
    "Message",
    "Option",
    "OptionType",
    "Profile",
    "Repeat",
    "Speech",
    "Streaming",
    "StreamingSynthesis",
    "Synthesis",
    "Update",
]


class Capabilities(Strict):
    """What LiveKit is told the vendor can do."""

    interim_results: bool = Field(default=True, description="texts that may still change")
    diarization: Template = Field(
        default=False, description="true, false, or a template of the option that turns it on"
    )
    aligned_transcript: Literal["word", "chunk", False] = Field(
        default=False, description="what times are given of"
    )
    keyterms: bool = Field(default=False, description="whether ${keyterms} goes somewhere")
    announces_end: bool | None = Field(
        default=None,
        description="whether it says when an utterance ends; false: every final ends one; absent: see",
    )


class Audio(Strict):
    """The form of the audio on the wire."""

    rates: list[int] | None = Field(
        default=None, description="Hz it takes as they come; absent: the adapter's own rate only"
    )
    encoding: Literal["s16", "f32", "mulaw"] = Field(
        default="s16", description="16-bit PCM, 32-bit float or µ-law"
    )
    min_chunk: Milliseconds = Field(default=20, description="shorter frames are joined")
    max_chunk: Milliseconds = Field(default=1000, description="longer ones are cut")
    replay_pace: float | None = Field(
        default=None, gt=0, description="seconds of audio a second may bring on replay"
    )
    message: Template = Field(
        default=None, description="a JSON template with ${audio} (base64); absent: binary messages"
    )
    then: list[Message] = Field(default_factory=list, description="messages after every chunk")


class HttpStep(Strict):
    """A request before the WebSocket: a token, a session."""

    method: Literal["GET", "POST"] = Field(default="POST", description="of the request")
    url: str = Field(description="a template")
    only_if: str | None = Field(default=None, description="an option that must be set for this step to be taken")
    query: Templates = Field(default_factory=dict, description="parameters, as templates")
    headers: dict[str, str] = Field(
        default_factory=dict, description="further headers, as templates; the key is sent as auth says"
    )
    body: Template = Field(default=None, description="a template, sent as JSON")
    with_options: bool = Field(default=False, description="whether options that go to the body go to this one")
    save: dict[str, Path] = Field(
        default_factory=dict, description="name -> path in the reply; `@` is a text reply"
    )


class Connection(Strict):
    """Limits and timers."""

    ready_wait: bool = Field(default=False, description="whether audio waits for the vendor's ready event")
    ready_within: Seconds = Field(default=10.0, description="how long it may take until ready")
    heartbeat: Seconds | Literal["never"] = Field(default=20.0, description="between two WebSocket pings")
    stall: Seconds = Field(
        default=12.0, description="speech answered by nothing for so long: the connection is dead"
    )
    idle: Seconds = Field(default=3.0, description="a close after so long without audio is no failure")
    drain: Seconds = Field(default=10.0, description="how long to wait, after close, for the next message")
    session: Seconds | None = Field(default=None, description="the connection is renewed after so long")
    promotes_last_partial: bool = Field(
        default=False, description="at the end the vendor leaves the last text unfinalised"
    )
    close_codes: dict[Union[int, str], Verdict] = Field(
        default_factory=dict, description='meanings of close codes, or of ranges such as "4000-4099"'
    )


class Update(Strict):
    """A change of settings without a new connection."""

    changes: list[str] = Field(description="what the message can change: keyterms, language, model, options.NAME")
    models: str | None = Field(
        default=None, description="a regular expression the model must match from its start"
    )
    send: list[Message] = Field(description="what is sent, with the new values")


class Streaming(Strict):
    """The WebSocket service."""

    url: str | None = Field(default=None, description="default URL")
    connect: str = Field(default="${url}", description="where the WebSocket goes, as a template")
    auth: Auth | None = Field(default=None, description="instead of the profile's")
    prepare: list[HttpStep] = Field(default_factory=list, description="requests before the WebSocket")
    query: Templates = Field(default_factory=dict, description="`*`: a mapping whose entries are parameters")
    headers: dict[str, str] = Field(default_factory=dict, description="further headers, as templates")
    subprotocols: list[str] = Field(
        default_factory=list, description="WebSocket subprotocols to offer, as templates"
    )
    capabilities: Capabilities = Field(default=Capabilities(), description="what LiveKit is told")
    audio: Audio = Field(default=Audio(), description="the form of the audio")
    connection: Connection = Field(default=Connection(), description="limits and timers")
    opening: list[Message] = Field(default_factory=list, description="sent first")
    keepalive: Keepalive | None = Field(default=None, description="what holds an idle connection open")
    flush: list[Message] = Field(
        default_factory=list, description="asks for the finals of all audio so far; absent: it cannot be asked"
    )
    close: list[Message] = Field(default_factory=list, description="says that no more audio comes")
    update: Update | None = Field(default=None, description="changes without a new connection")
    results: Results = Field(description="what messages mean")


class FormPart(Strict):
    """A part of a multipart form: a value or the audio."""

    name: str = Field(description="of the part")
    value: Template = Field(default=None, description="a template; a list makes one part for each item")
    audio: Literal["wav", "pcm"] | None = Field(default=None, description="the recording, in this form")
    filename: str | None = Field(default=None, description="of the audio")
    content_type: str | None = Field(default=None, description="of the part")


class Body(Strict):
    """The body of a batch request: raw audio, a form, or JSON with ${audio} (base64)."""

    raw: Literal["wav", "pcm"] | None = Field(default=None, description="the recording itself")
    content_type: str | None = Field(default=None, description="a template; the default for wav is audio/wav")
    multipart: list[FormPart] | None = Field(default=None, description="the parts of a form, in order")
    json_: Template = Field(default=None, alias="json", description="a template with ${audio}")
    audio: Literal["wav", "pcm"] = Field(default="wav", description="what ${audio} holds in JSON")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if len(self.model_fields_set & {"raw", "multipart", "json_"}) != 1:
            raise ValueError("give exactly one of raw, multipart and json")
        return self


class Repeat(Strict):
    """Ask again until a job is done."""

    every: Seconds = Field(description="between two requests")
    until: Path = Field(description="true when it is done")
    failed: Path | None = Field(default=None, description="true when it will never be")
    reason: Path | None = Field(default=None, description="where the vendor says why")
    times: int = Field(default=400, gt=0, description="give up after so many")


class BatchStep(Strict):
    """One request of a batch flow. The reply of the last one holds the result."""

    method: Literal["GET", "POST", "PUT"] = Field(default="POST", description="of the request")
    url: str = Field(default="${url}", description="a template")
    query: Templates = Field(
        default_factory=dict, description="parameters, as templates; `*`: a mapping whose entries are parameters"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="further headers, as templates")
    body: Body | None = Field(default=None, description="what is sent")
    bodies: dict[str, Body] = Field(default_factory=dict, description="forms the user chooses among")
    body_option: str | None = Field(
        default=None, description="the option that chooses; its default names the default form"
    )
    with_options: bool = Field(
        default=False, description="whether options go to this request; the only step always has them"
    )
    save: dict[str, Path] = Field(
        default_factory=dict, description="name -> path in the reply, for ${saved.NAME} in later steps"
    )
    repeat: Repeat | None = Field(default=None, description="ask again until it is done")


class BatchResult(Strict):
    """Where the recognition is in the last reply."""

    text: Path | list[Path] = Field(description="of all that was said")
    plain_text: bool = Field(default=False, description="whether a text/plain reply is the transcript")
    unit: Literal["s", "ms", "us", "ticks"] = Field(default="s", description="of all times")
    language: Path | list[Path] | None = Field(default=None, description="it heard")
    confidence: Path | list[Path] | None = Field(default=None, description="0 to 1")
    start: Path | list[Path] | None = Field(default=None, description="of the speech")
    end: Path | list[Path] | None = Field(default=None, description="of the speech, or of the recording")
    speaker: Path | list[Path] | Literal["most frequent"] | None = Field(
        default=None, description="a path, or `most frequent`: of the words"
    )
    speaker_format: str = Field(default="{}", description="the speaker's name, with {} for what the vendor says")
    words: Words | None = Field(default=None, description="the words")
    request_id: Path | list[Path] | None = Field(default=None, description="the vendor's name of the request")
    billed_audio: Path | None = Field(default=None, description="how much audio is billed, in the unit of times")
    failed: Condition | None = Field(
        default=None, description="what makes the last reply an error although its status is that of success"
    )
    message: Paths | None = Field(default=None, description="of an error: what went wrong")
    code: Paths | None = Field(default=None, description="of an error: the vendor's code for that")
    verdict: Verdict = Field(default=Verdict.TRANSIENT, description="where nothing below says better")
    codes: dict[Union[str, int], Verdict] = Field(
        default_factory=dict, description="code -> verdict; `ignore`: there was no speech"
    )
    code_is: Literal["name", "http status", "close code"] = Field(
        default="name",
        description="what a code that is a number is; statuses and close codes have their usual verdicts",
    )


class ErrorReply(Strict):
    """What a reply with an error status says. Without this, usual places such as `error.message` are looked at."""

    message: Path | list[Path] | None = Field(default=None, description="what went wrong")
    code: Path | list[Path] | None = Field(default=None, description="the vendor's code for that")
    codes: dict[Union[str, int], Literal["permanent", "transient"]] = Field(
        default_factory=dict, description="code -> verdict; otherwise the status decides"
    )


class Batch(Strict):
    """The HTTP service."""

    url: str | None = Field(default=None, description="default URL")
    auth: Auth | None = Field(default=None, description="instead of the profile's")
    diarization: bool = Field(default=False, description="whether words come with speakers")
    rates: list[int] | None = Field(default=None, description="Hz it takes; absent: any")
    steps: Annotated[list[BatchStep], Field(min_length=1)] = Field(description="the requests, in order")
    result: BatchResult = Field(description="what the last reply holds")
    error: ErrorReply | None = Field(default=None, description="what a reply with an error status holds")


class Profile(Strict):
    """One vendor service."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="as users write it")
    title: str = Field(description="as people read it")
    links: dict[str, str] = Field(default_factory=dict, description="for listings: documentation, keys …")
    sources: list[str] = Field(default_factory=list, description="where the facts of this file come from")
    proven_with: list[str] = Field(default_factory=list, description="what this file has been tried against")
    hosts: list[str] = Field(
        default_factory=list, description="hosts that are this vendor; *.example.com for all under"
    )
    key_environment: str | Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None,
        description="the environment variable the key is customarily in; of several, the first that is set",
    )
    auth: Auth | None = Field(
        default=None, description="how the key travels; absent: there is none, or messages hold ${key}"
    )
    key_required: bool = Field(
        default=True,
        description="without auth, where messages hold ${key} and key_environment names a variable: whether the"
        " vendor's own hosts, and its default URL, refuse a call without a key",
    )
    defaults: dict[Literal["language", "model"], str] = Field(
        default_factory=dict, description="what is used where the user says nothing"
    )
    models: list[str] = Field(default_factory=list, description="for listings; others are passed on")
    languages: list[str] = Field(default_factory=list, description="for listings; others are passed on")
    open_options: bool = Field(
        default=False, description="whether undeclared options are passed on, as ${options}"
    )
    options: dict[str, Option] = Field(default_factory=dict, description="parameters of its own")
    streaming: Streaming | None = Field(default=None, description="recognition over a WebSocket")
    batch: Batch | None = Field(default=None, description="recognition over HTTP")
    speech: Speech = Field(default=Speech(), description="what both ways of speaking share")
    synthesis: Synthesis | None = Field(default=None, description="speech over HTTP")
    streaming_synthesis: StreamingSynthesis | None = Field(default=None, description="speech over a WebSocket")

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The environment variables the key may be in, in the order they are tried."""
        names = self.key_environment or ()
        return (names,) if isinstance(names, str) else tuple(names)

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        services = (self.streaming, self.batch, self.synthesis, self.streaming_synthesis)
        if all(service is None for service in services):
            raise ValueError("give at least one of streaming, batch, synthesis and streaming_synthesis")
        return self
