"""Transcription jobs of Amazon: a recording is put into a bucket, recognised from there, and deleted again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import orjson

from ..base import ConfigurationError
from ..protocol import (
    BatchProtocol,
    Failure,
    HttpRequest,
    HttpResponse,
    JobFailed,
    Pcm,
    Recognition,
    Settings,
    Verdict,
    Wait,
    judge_status,
)
from ..protocol.batch import BatchFlow, error_text
from ._aws_results import EXCEPTIONS, joined
from ._aws_signing import SIGNERS, Signer, domain_of, in_region

__all__ = ["AmazonBatch"]

_LOOK_AGAIN_SECONDS = 0.02
_POLL_SECONDS = (1.0, 2.0, 3.0, 5.0)
# The reasons in the API's documentation (botocore, TranscriptionJob.FailureReason) are all about the recording;
# "try your request again" is said of one that is too short (awsdocs/amazon-transcribe-developer-guide#12). What is
# said when the service itself failed is nowhere published: these are its words for it elsewhere.
_PASSES = re.compile(r"internal|unavailable|throttl|timed? ?out", re.IGNORECASE)
_XML_ERROR = re.compile(r"<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", re.DOTALL)


class AmazonBatch(BatchProtocol):
    """One recording, one job."""

    aligned_words = True

    def __init__(self, profile: BatchProtocol) -> None:
        self.name = profile.name
        self.sample_rates = profile.sample_rates
        self._profile = profile
        self._signers = SIGNERS

    def __repr__(self) -> str:
        return "AmazonBatch()"

    def place(self, settings: Settings) -> str:
        return in_region(settings, self._signers.of(settings))

    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        return self._profile.request(audio, settings)

    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        body = response.json()
        results = body.get("results") if isinstance(body, dict) else None
        if not isinstance(results, dict):
            raise ValueError("the transcript file has no results")
        items = results.get("items")
        # the text of an item is in its first alternative; there it is joined, and from there it is read
        flat = [_with_content(item) for item in items] if isinstance(items, list) else []
        tidied = {**body, "results": {**results, "items": joined(flat, "type", "content")}}
        found = self._profile.parse(
            HttpResponse(200, {"content-type": "application/json"}, orjson.dumps(tidied)), settings
        )
        confidences = [word.confidence for word in found.words or () if word.confidence]
        found.confidence = sum(confidences) / len(confidences) if confidences else 0.0
        return found

    def recognise(self, audio: Pcm, settings: Settings) -> BatchFlow:
        signer = self._signers.of(settings)
        while not signer.ready():
            yield Wait(_LOOK_AGAIN_SECONDS)
        account = _Account(signer, settings)
        job = orjson.loads(_bytes(self._profile.request(Pcm(b"", audio.sample_rate, audio.channels), settings)))
        key = f"{job['TranscriptionJobName']}.wav"
        job["Media"] = {"MediaFileUri": f"s3://{account.bucket}/{key}"}
        if settings.model:
            job["ModelSettings"] = {"LanguageModelName": settings.model}
        yield account.storage("PUT", key, audio.wav())
        yield account.call("StartTranscriptionJob", job)
        named = {"TranscriptionJobName": job["TranscriptionJobName"]}
        status: dict[str, Any] = {}
        polls = 0
        while status.get("TranscriptionJobStatus") not in ("COMPLETED", "FAILED"):
            yield Wait(_POLL_SECONDS[min(polls, len(_POLL_SECONDS) - 1)])
            polls += 1
            status = _status((yield account.call("GetTranscriptionJob", named)))
        yield account.storage("DELETE", key, b"")
        if status["TranscriptionJobStatus"] == "FAILED":
            reason = settings.redact(str(status.get("FailureReason")))
            verdict = Verdict.TRANSIENT if _PASSES.search(reason) else Verdict.PERMANENT
            raise JobFailed(Failure(f"the job failed: {reason}", verdict))
        # signed by Amazon already: a signature of ours on top would make it invalid
        transcript = yield HttpRequest("GET", _transcript_url(status, settings.url))
        assert transcript is not None, "a request is answered by a response"
        return self.parse(transcript, settings)

    def failure(self, response: HttpResponse) -> Failure:
        kind, said = "", error_text(response)
        if match := _XML_ERROR.search(response.text()):  # of S3
            kind, said = match.group(1), match.group(2) or ""
        else:
            try:
                body = response.json()
                kind = str(body.get("__type", "")).rpartition("#")[2]
                said = said or body.get("Message") or ""
            except (ValueError, AttributeError):
                pass  # no error of Amazon's: its status says enough
        verdict = EXCEPTIONS[kind][1] if kind in EXCEPTIONS else judge_status(response.status)
        return Failure(": ".join(filter(None, (kind, said))), verdict, status=response.status)

    def check(self, settings: Settings) -> None:
        self._profile.check(settings)
        options = settings.options
        if not options.get("bucket"):
            raise ConfigurationError(
                "aws: jobs read recordings from S3: name a bucket of yours in the option bucket"
            )
        found = bool(options.get("identify_language")) + bool(options.get("identify_multiple_languages"))
        if found + bool(settings.language) != 1:
            raise ConfigurationError(
                "aws: name the language, or set language to None and one of identify_language and"
                " identify_multiple_languages to true"
            )
        if options.get("show_speaker_label") and not options.get("max_speaker_labels"):
            raise ConfigurationError("aws: show_speaker_label needs max_speaker_labels, from 2 to 30")
        signer = self._signers.of(settings)
        signer.region(settings)
        signer.find()

    def describe(self) -> Mapping[str, Any]:
        return self._profile.describe()


class _Account:
    """Signed requests to the two services a job needs."""

    def __init__(self, signer: Signer, settings: Settings) -> None:
        self._signer = signer
        self._region = signer.region(settings)
        self._url = in_region(settings, signer)
        self._headers = settings.headers
        self.bucket = str(settings.options["bucket"])
        own = settings.options.get("storage_url")
        self._storage = urljoin(self._url, own) if own else f"https://s3.{self._region}.{domain_of(self._region)}"

    def call(self, operation: str, body: dict[str, Any]) -> HttpRequest:
        """A call of the service, in its JSON 1.1 protocol."""
        headers = {
            **self._headers,
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"Transcribe.{operation}",
        }
        data = orjson.dumps(body)
        signed = self._signer.signed_headers("POST", self._url, headers, data, self._region, "transcribe")
        return HttpRequest("POST", self._url, signed, data)

    def storage(self, method: str, key: str, data: bytes) -> HttpRequest:
        """A request for the object *key* of the bucket."""
        url = f"{self._storage.rstrip('/')}/{quote(self.bucket, safe='')}/{quote(key)}"
        headers = {"Content-Type": "audio/wav"} if data else {}
        return HttpRequest(
            method, url, self._signer.signed_headers(method, url, headers, data, self._region, "s3"), data or None
        )


def _bytes(request: HttpRequest) -> bytes:
    assert isinstance(request.body, bytes), "a JSON body is bytes"
    return request.body


def _status(response: HttpResponse | None) -> dict[str, Any]:
    assert response is not None, "a request is answered by a response"
    body = response.json()
    job = body.get("TranscriptionJob") if isinstance(body, dict) else None
    if not isinstance(job, dict) or not isinstance(job.get("TranscriptionJobStatus"), str):
        raise ValueError("the reply has no TranscriptionJob with a TranscriptionJobStatus")
    return job


def _transcript_url(job: dict[str, Any], service: str) -> str:
    """Where the transcript is.

    Raises:
        ValueError: nowhere, or at an address that is neither encrypted nor the service's own.
    """
    transcript = job.get("Transcript")
    url = transcript.get("TranscriptFileUri") if isinstance(transcript, dict) else None
    if not isinstance(url, str):
        raise ValueError("the finished job has no Transcript.TranscriptFileUri")
    if urlsplit(url).scheme != "https" and urlsplit(url).netloc != urlsplit(service).netloc:
        raise ValueError("the finished job's TranscriptFileUri does not start with https://")
    return url


def _with_content(item: Any) -> Any:
    try:
        return {**item, "content": item["alternatives"][0]["content"]}
    except (LookupError, TypeError):
        return item
