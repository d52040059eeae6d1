"""The interface of a batch vendor: what to ask over HTTP, and what the answer means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from .audio import Pcm
from .charsets import charset_of, decode_text
from .decoding import decode_json
from .events import Failure, Usage, Word
from .policy import Verdict, judge_status
from .settings import Settings

__all__ = [
    "BatchFlow",
    "BatchProtocol",
    "FormField",
    "HttpRequest",
    "HttpResponse",
    "JobFailed",
    "Recognition",
    "Wait",
]


@dataclass(frozen=True, slots=True)
class FormField:
    """One part of a multipart form, in the order given."""

    name: str
    value: str | bytes = field(repr=False)
    filename: str | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to send. Holds credentials and audio, so it prints neither.

    *body* is raw bytes with their type in *headers*, or the fields of a multipart form.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | Sequence[FormField] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer, read whole. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def content_type(self) -> str:
        """The media type without parameters, in lower case."""
        return self._declared.partition(";")[0].strip().lower()

    @property
    def _declared(self) -> str:
        return self.headers.get("content-type", "")

    def text(self) -> str:
        """The body as text, whatever its bytes; in the character set it declares, by default UTF-8."""
        return decode_text(self.body, self._declared)

    def json(self) -> Any:
        """The body decoded from JSON.

        Raises:
            ValueError: it is not JSON; the message says what it looks like instead.
        """
        charset = charset_of(self.body, self._declared)
        try:
            return decode_json(self.body if charset is None else self.text())
        except ValueError as error:
            head = self.body[:200].lstrip().lower()
            if not head:
                kind = "an empty body"
            elif head.startswith((b"<!doctype", b"<html")):
                kind = "an HTML page (is the URL that of a web site, or of a proxy?)"
            elif "json" in self.content_type or head.startswith((b"{", b"[")):
                kind = f"JSON that is broken off or not {charset or 'UTF-8'}"
            else:
                kind = self.content_type or "something else"
            raise ValueError(f"expected JSON, got {kind}") from error


@dataclass(frozen=True, slots=True)
class Wait:
    """Pause a flow for so many seconds, for example between two polls of a job."""

    seconds: float


@dataclass(slots=True)
class Recognition:
    """What was recognised in a whole recording; times in seconds from its start."""

    text: str
    language: str | None = None
    confidence: float = 0.0
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    words: list[Word] | None = None
    request_id: str = ""
    usage: Usage | None = None
    metadata: dict[str, Any] | None = None


class JobFailed(Exception):
    """The vendor says that the work a flow asked for failed. Flows raise it.

    Attributes:
        failure: why, and whether asking again may help.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return self.failure.message


BatchFlow = Generator[Union[HttpRequest, Wait], Union[HttpResponse, None], Recognition]


class BatchProtocol(ABC):
    """One vendor's batch wire format. Immutable, shared by all calls.

    Most vendors answer one request: they implement :meth:`request` and :meth:`parse`. A vendor that wants
    several (upload, submit, poll, fetch) overrides :meth:`recognise`.
    """

    name: str
    """The vendor, as errors, metrics and ``provider`` show it."""

    aligned_words = False
    """Whether answers carry word times."""

    diarization = False
    """Whether answers carry speakers."""

    sample_rates: frozenset[int] | None = None
    """The rates it takes, in Hz; other audio is resampled to one of them. ``None``: any rate."""

    def place(self, settings: Settings) -> str:
        """The URL of *settings*, with what it leaves open (such as a region) filled in.

        Raises:
            ConfigurationError: nothing says what belongs there.
        """
        return settings.url

    @abstractmethod
    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        """The request that has *audio* recognised."""

    @abstractmethod
    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        """What a successful response says.

        Raises:
            ValueError: the body is not what this vendor sends; the message says why, without the body.
            JobFailed: it says that recognition failed.
        """

    def recognise(self, audio: Pcm, settings: Settings) -> BatchFlow:
        """The whole exchange: yields requests and waits, is sent successful responses, returns the result.

        Raises:
            JobFailed: the vendor says so.
            ValueError: a response is not what this vendor sends; the message says why, without the body.
        """
        response = yield self.request(audio, settings)
        assert response is not None, "a request is answered by a response"
        return self.parse(response, settings)

    def failure(self, response: HttpResponse) -> Failure:
        """What an unsuccessful response means. The default reads the status and common error bodies."""
        return Failure(
            message=error_text(response),
            verdict=judge_status(response.status),
            status=response.status,
        )

    def judge_result(self, recognition: Recognition) -> Verdict | None:
        """A verdict on a well-formed result that is an error all the same; ``None`` when it is none."""
        return None

    def check(self, settings: Settings) -> None:
        """Refuse settings this vendor cannot serve, before any request is made.

        Raises:
            ConfigurationError: with what to change.
        """

    def describe(self) -> Mapping[str, Any]:
        """Facts for listings: title, links, options. Nothing in the engine reads them."""
        return {}


def error_text(response: HttpResponse) -> str:
    """The reason inside an error body, where it is in one of the usual places; an empty text otherwise."""
    try:
        body = response.json()
    except ValueError:
        return response.text()[:200] if response.content_type == "text/plain" else ""
    for _ in range(3):  # {"error": {"message": …}} and the like
        if isinstance(body, list) and body:
            body = body[0]
        if isinstance(body, str):
            return body
        if not isinstance(body, dict):
            return ""
        for name in (
            "message",
            "msg",
            "err_msg",
            "error_message",
            "error",
            "detail",
            "details",
            "reason",
            "title",
        ):
            if body.get(name):
                body = body[name]
                break
        else:
            return ""
    return body if isinstance(body, str) else ""
