"""The parts that several sections of a profile are made of: keys, options, messages."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from .results import Strict
from .units import Seconds

__all__ = ["Auth", "Keepalive", "Message", "Option", "OptionType", "Template", "Templates"]

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

    type: OptionType | list[OptionType] = Field(description="what it takes; several: any of them")
    description: str = Field(default="", description="for listings")
    default: Any = Field(default=None, description="what is sent when the user says nothing; absent: nothing is")
    minimum: float | None = Field(default=None, description="of numbers")
    maximum: float | None = Field(default=None, description="of numbers")
    choices: list[str | int | float | bool] | None = Field(
        default=None, description="the values it may have, or the items of a list"
    )
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
    used_by: Literal["both", "streaming", "batch", "synthesis", "streaming_synthesis"] = Field(
        default="both",
        description="which service knows it; both: both of recognition, or in `speech` both of speech",
    )

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


class Keepalive(Strict):
    """Messages that hold an idle connection open."""

    after: Seconds = Field(description="so long without sending")
    send: list[Message] = Field(description="what is sent then")
