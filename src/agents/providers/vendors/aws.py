"""Amazon Transcribe: the profile's names, inside signed URLs and event-stream frames.

Credentials are those of ``api_key`` (``ACCESS_KEY_ID:SECRET_ACCESS_KEY``, and ``:SESSION_TOKEN`` if there is one)
or of the options, else what botocore finds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from ..base import ConfigurationError
from ..protocol import (
    ConnectRequest,
    Conversation,
    Event,
    Failure,
    HttpRequest,
    HttpResponse,
    ProtocolError,
    Settings,
    StreamingProtocol,
    Traits,
    Verdict,
    Wait,
    WireMessage,
)
from . import Vendor, vendor_in_file
from ._aws_eventstream import EventMessage, EventWriter, decode_messages
from ._aws_jobs import AmazonBatch
from ._aws_results import EXCEPTIONS, joined
from ._aws_signing import SIGNERS, in_region
from ._listing import with_options_of

__all__ = ["VENDOR", "AmazonStreaming"]

_LOOK_AGAIN_SECONDS = 0.02

_AUDIO_HEADERS = {
    ":content-type": "application/octet-stream",
    ":event-type": "AudioEvent",
    ":message-type": "event",
}

_NO_AUDIO = "no new audio was received"
"""What a BadRequestException says when the stream was idle: awslabs/amazon-transcribe-streaming-sdk#118."""


class AmazonStreaming(StreamingProtocol):
    """Streaming over a WebSocket."""

    def __init__(self, profile: StreamingProtocol) -> None:
        self.name = profile.name
        self._profile = profile
        self._signers = SIGNERS

    def traits(self, settings: Settings) -> Traits:
        return self._profile.traits(settings)

    def place(self, settings: Settings) -> str:
        return in_region(settings, self._signers.of(settings))

    def connect(self, settings: Settings) -> ConnectRequest:
        signer = self._signers.of(settings)
        region = signer.region(settings)
        settings = dataclasses.replace(settings, url=in_region(settings, signer))
        plain = self._profile.connect(settings)
        return ConnectRequest(signer.presigned(plain.url, region), plain.headers)

    def prepare(self, settings: Settings) -> Generator[HttpRequest | Wait, HttpResponse, ConnectRequest]:
        signer = self._signers.of(settings)
        while not signer.ready():
            yield Wait(_LOOK_AGAIN_SECONDS)
        return self.connect(settings)

    def converse(self, settings: Settings) -> Conversation:
        return _AmazonConversation(self._profile.converse(settings))

    def check(self, settings: Settings) -> None:
        self._profile.check(settings)
        options = settings.options
        single, multiple = options.get("identify_language"), options.get("identify_multiple_languages")
        if single and multiple:
            raise ConfigurationError(
                f"{self.name}: give identify_language or identify_multiple_languages, not both"
            )
        if (single or multiple) and settings.language:
            raise ConfigurationError(f"{self.name}: identify_language wants no language: set language to None")
        if (single or multiple) and not options.get("language_options"):
            raise ConfigurationError(f"{self.name}: identify_language needs language_options: what may be spoken")
        if not (single or multiple or settings.language):
            raise ConfigurationError(
                f"{self.name}: name the language, or let it be found with identify_language and language_options"
            )
        signer = self._signers.of(settings)
        signer.region(settings)
        signer.find()

    def describe(self) -> Mapping[str, Any]:
        return self._profile.describe()


class _AmazonConversation(Conversation):
    """Frames around the profile's conversation."""

    def __init__(self, profile: Conversation) -> None:
        self._profile = profile
        self._audio = EventWriter(_AUDIO_HEADERS)

    def audio(self, chunk: bytes | bytearray | memoryview) -> Sequence[WireMessage]:
        return (self._audio.write(chunk),)

    def close(self) -> Sequence[WireMessage]:
        return (self._audio.write(b""),)

    def receive(self, message: str | bytes) -> Sequence[Event]:
        if isinstance(message, str):
            raise ProtocolError("a text message, where Amazon sends event-stream messages")
        events: list[Event] = []
        for frame in decode_messages(message):
            if frame.headers.get(":message-type") == "event":
                if frame.headers.get(":event-type") == "TranscriptEvent":
                    self._read_transcript(frame.payload, events)
            else:
                events.append(_failure(frame))
        return events

    def _read_transcript(self, payload: bytes, events: list[Event]) -> None:
        for result in _results(payload):
            events.extend(self._profile.receive(orjson.dumps(_with_joined_items(result))))


def _results(payload: bytes) -> list[dict[str, Any]]:
    """The results in a TranscriptEvent.

    Raises:
        ProtocolError: it is none.
    """
    try:
        results = orjson.loads(payload)["Transcript"]["Results"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ProtocolError("a TranscriptEvent without Transcript.Results") from None
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise ProtocolError("Transcript.Results is no list of results")
    return results


def _with_joined_items(result: dict[str, Any]) -> dict[str, Any]:
    alternatives = result.get("Alternatives")
    first = alternatives[0] if isinstance(alternatives, list) and alternatives else None
    items = first.get("Items") if isinstance(first, dict) else None
    if not isinstance(first, dict) or not isinstance(items, list):
        return result
    return {**result, "Alternatives": [{**first, "Items": joined(items, "Type", "Content")}]}


def _failure(frame: EventMessage) -> Failure:
    """What a frame that is no event means: an exception of the API, or an error of its transport."""
    headers = frame.headers
    kind = str(headers.get(":exception-type") or headers.get(":error-code") or "an error without a name")
    said = headers.get(":error-message")
    try:
        body = orjson.loads(frame.payload)
        said = body.get("Message") or body.get("message") or said
    except (orjson.JSONDecodeError, AttributeError):
        pass
    reason = f"{kind}: {said}" if isinstance(said, str) and said else kind
    status, verdict = EXCEPTIONS.get(kind.rpartition("#")[2], (None, Verdict.TRANSIENT))
    if isinstance(said, str) and _NO_AUDIO in said:
        verdict = Verdict.IGNORE  # it closes now: that is an idle stream's end, no failure
    return Failure(reason, verdict, status=status)


def _vendor() -> Vendor:
    folder = Path(__file__).parent
    vendor, jobs = vendor_in_file(folder / "aws.yaml"), vendor_in_file(folder / "_aws_batch.yaml")
    assert vendor.streaming is not None and jobs.batch is not None, "each profile has its part"
    assert vendor.profile is not None and jobs.profile is not None, "they were made from one"
    return dataclasses.replace(
        vendor,
        streaming=AmazonStreaming(vendor.streaming),
        batch=AmazonBatch(jobs.batch),
        batch_url=jobs.batch_url,
        profile=with_options_of(vendor.profile, jobs.profile),
    )


VENDOR = _vendor()
