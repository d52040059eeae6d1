"""What a profile may say: the data model of the profile language.

These classes are the reference of the language; the JSON Schema that editors use is made from them
(see :mod:`.export`). A *template* is any YAML value in whose strings ``${name}`` stands for a value of the moment
(:mod:`.templates`); a *path* is JMESPath into a message of the vendor (:mod:`.paths`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import Field, model_validator
from typing_extensions import Self

from ..protocol import Verdict
from .paths import Path
from .results import Results, Strict, Words
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
    "Message",
    "Option",
    "Profile",
    "Repeat",
    "Streaming",
    "Update",
]

Template = Any
Templates = dict[str, Template]
OptionType = Literal["string", "integer", "number", "boolean", "list", "mapping"]


class Auth(Strict):
    """How the key travels. Exactly one of header, query and subprotocols."""

    header: str | None = Field(default=None, description="name of the HTTP header")
    query: str | None = Field(default=None, description="name of the query parameter")
    subprotocols: list[str] | None = Field(default=None, description="WebSocket subprotocols, as templates")
    value: str = Field(default="${key}", description="value of the header or parameter, as a template")
    required: bool = Field(default=True, description="whether the vendor's own hosts refuse a call without a key")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.header, self.query, self.subprotocols)) != 1:
            raise ValueError("give exactly one of header, query and subprotocols")
        return self


class Option(Strict):
    """A parameter of the vendor's own that the user may set."""

    type: OptionType | list[OptionType]
    description: str = ""
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str | int | float | bool] | None = None
    goes: Literal["query", "body", "header", "nowhere", "code"] = Field(
        default="query",
        description="query; body: the first opening message of a stream, or the form or JSON of a batch request;"
        " header; nowhere: only where a template names it; code: to the module beside the profile",
    )
    name: str | None = Field(
        default=None, description="its name on the wire, dotted inside a body; default: the option's"
    )
    encode: Literal["repeat", "json", "comma", "pairs"] = Field(
        default="repeat",
        description="lists and mappings in a query: repeated, as JSON, joined, or repeated key:value",
    )
    used_by: Literal["both", "streaming", "batch"] = "both"

    @property
    def types(self) -> list[OptionType]:
        """The types it takes."""
        return self.type if isinstance(self.type, list) else [self.type]


class Message(Strict):
    """Something to send over the WebSocket. Exactly one of json, text and binary."""

    json_: Template = Field(
        default=None, alias="json", description="a template, sent as compact JSON in a text message"
    )
    text: str | None = Field(
        default=None, description="a template, sent byte for byte as a text message; may be empty"
    )
    binary: str | None = Field(
        default=None, description="text sent byte for byte as a binary message; may be empty"
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if len(self.model_fields_set & {"json_", "text", "binary"}) != 1:
            raise ValueError("give exactly one of json, text and binary")
        return self


class Capabilities(Strict):
    """What LiveKit is told the vendor can do."""

    interim_results: bool = True
    diarization: Template = Field(
        default=False, description="true, false, or a template of the option that turns it on"
    )
    aligned_transcript: Literal["word", "chunk", False] = False
    keyterms: bool = False
    announces_end: bool | None = Field(
        default=None,
        description="whether it says when an utterance ends; false: every final ends one; absent: see",
    )


class Audio(Strict):
    """The form of the audio on the wire."""

    rates: list[int] | None = Field(
        default=None, description="Hz it takes as they come; absent: the adapter's own rate only"
    )
    encoding: Literal["s16", "f32", "mulaw"] = "s16"
    min_chunk: Milliseconds = 20
    max_chunk: Milliseconds = 1000
    replay_pace: float | None = Field(
        default=None, gt=0, description="seconds of audio a second may bring on replay"
    )
    message: Template = Field(
        default=None, description="a JSON template with ${audio} (base64); absent: binary messages"
    )
    then: list[Message] = Field(default_factory=list, description="messages after every chunk")


class HttpStep(Strict):
    """A request before the WebSocket: a token, a session."""

    method: Literal["GET", "POST"] = "POST"
    url: str = Field(description="a template")
    only_if: str | None = Field(default=None, description="an option that must be set for this step to be taken")
    query: Templates = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: Template = Field(default=None, description="a template, sent as JSON")
    with_options: bool = Field(default=False, description="whether options that go to the body go to this one")
    save: dict[str, Path] = Field(
        default_factory=dict, description="name -> path in the reply; `@` is a text reply"
    )


class Connection(Strict):
    """Limits and timers."""

    ready_wait: bool = Field(default=False, description="whether audio waits for the vendor's ready event")
    ready_within: Seconds = 10.0
    heartbeat: Seconds | Literal["never"] = 20.0
    stall: Seconds = 12.0
    idle: Seconds = Field(default=3.0, description="a close after so long without audio is no failure")
    drain: Seconds = 10.0
    session: Seconds | None = Field(default=None, description="the connection is renewed after so long")
    promotes_last_partial: bool = Field(
        default=False, description="at the end the vendor leaves the last text unfinalised"
    )
    close_codes: dict[Union[int, str], Verdict] = Field(
        default_factory=dict, description='meanings of close codes, or of ranges such as "4000-4099"'
    )


class Keepalive(Strict):
    """Messages that hold an idle connection open."""

    after: Seconds
    send: list[Message]


class Update(Strict):
    """A change of settings without a new connection."""

    changes: list[str] = Field(description="what the message can change: keyterms, language, model, options.NAME")
    models: str | None = Field(
        default=None, description="a regular expression the model must match from its start"
    )
    send: list[Message]


class Streaming(Strict):
    """The WebSocket service."""

    url: str | None = Field(default=None, description="default URL")
    connect: str = Field(default="${url}", description="where the WebSocket goes, as a template")
    auth: Auth | None = Field(default=None, description="instead of the profile's")
    prepare: list[HttpStep] = Field(default_factory=list)
    query: Templates = Field(default_factory=dict, description="`*`: a mapping whose entries are parameters")
    headers: dict[str, str] = Field(default_factory=dict)
    subprotocols: list[str] = Field(default_factory=list)
    capabilities: Capabilities = Capabilities()
    audio: Audio = Audio()
    connection: Connection = Connection()
    opening: list[Message] = Field(default_factory=list)
    keepalive: Keepalive | None = None
    flush: list[Message] = Field(default_factory=list)
    close: list[Message] = Field(default_factory=list)
    update: Update | None = None
    results: Results


class FormPart(Strict):
    """A part of a multipart form: a value or the audio."""

    name: str
    value: Template = None
    audio: Literal["wav", "pcm"] | None = None
    filename: str | None = None
    content_type: str | None = None


class Body(Strict):
    """The body of a batch request: raw audio, a form, or JSON with ${audio} (base64)."""

    raw: Literal["wav", "pcm"] | None = None
    content_type: str | None = Field(default=None, description="a template; the default for wav is audio/wav")
    multipart: list[FormPart] | None = None
    json_: Template = Field(default=None, alias="json")
    audio: Literal["wav", "pcm"] = Field(default="wav", description="what ${audio} holds in JSON")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if len(self.model_fields_set & {"raw", "multipart", "json_"}) != 1:
            raise ValueError("give exactly one of raw, multipart and json")
        return self


class Repeat(Strict):
    """Ask again until a job is done."""

    every: Seconds
    until: Path = Field(description="true when it is done")
    failed: Path | None = Field(default=None, description="true when it will never be")
    reason: Path | None = Field(default=None, description="where the vendor says why")
    times: int = Field(default=400, gt=0, description="give up after so many")


class BatchStep(Strict):
    """One request of a batch flow. The reply of the last one holds the result."""

    method: Literal["GET", "POST", "PUT"] = "POST"
    url: str = Field(default="${url}", description="a template")
    query: Templates = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: Body | None = None
    bodies: dict[str, Body] = Field(default_factory=dict, description="forms the user chooses among")
    body_option: str | None = Field(
        default=None, description="the option that chooses; its default names the default form"
    )
    with_options: bool = Field(
        default=False, description="whether options go to this request; the only step always has them"
    )
    save: dict[str, Path] = Field(default_factory=dict)
    repeat: Repeat | None = None


class BatchResult(Strict):
    """Where the recognition is in the last reply."""

    text: Path | list[Path]
    plain_text: bool = Field(default=False, description="whether a text/plain reply is the transcript")
    unit: Literal["s", "ms", "us", "ticks"] = "s"
    language: Path | list[Path] | None = None
    confidence: Path | list[Path] | None = None
    start: Path | list[Path] | None = None
    end: Path | list[Path] | None = None
    speaker: Path | list[Path] | Literal["most frequent"] | None = None
    speaker_format: str = "{}"
    words: Words | None = None
    request_id: Path | list[Path] | None = None
    billed_audio: Path | None = Field(default=None, description="how much audio is billed, in the unit of times")


class Batch(Strict):
    """The HTTP service."""

    url: str | None = Field(default=None, description="default URL")
    auth: Auth | None = Field(default=None, description="instead of the profile's")
    diarization: bool = False
    rates: list[int] | None = Field(default=None, description="Hz it takes; absent: any")
    steps: Annotated[list[BatchStep], Field(min_length=1)]
    result: BatchResult


class Profile(Strict):
    """One vendor service."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    title: str
    links: dict[str, str] = Field(default_factory=dict)
    sources: list[str] = Field(default_factory=list, description="where the facts of this file come from")
    proven_with: list[str] = Field(default_factory=list, description="what this file has been tried against")
    hosts: list[str] = Field(
        default_factory=list, description="hosts that are this vendor; *.example.com for all under"
    )
    key_environment: str | None = None
    auth: Auth | None = None
    defaults: dict[Literal["language", "model"], str] = Field(default_factory=dict)
    models: list[str] = Field(default_factory=list, description="for listings; others are passed on")
    languages: list[str] = Field(default_factory=list, description="for listings; others are passed on")
    open_options: bool = Field(
        default=False, description="whether undeclared options are passed on, as ${options}"
    )
    options: dict[str, Option] = Field(default_factory=dict)
    streaming: Streaming | None = None
    batch: Batch | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.streaming is None and self.batch is None:
            raise ValueError("give streaming, batch, or both")
        return self
