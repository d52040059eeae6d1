"""Amazon Transcribe's jobs, and as much of S3 as they need: ``/aws-transcribe/`` and ``/aws-s3/BUCKET/KEY``.

Operations, fields and their types are those of botocore's service model transcribe 2017-10-26, in its JSON 1.1
protocol. A job is worked on when it is asked about, so that nothing runs while nobody waits for it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web

from ..recogniser import Busy, Transcript
from .aws_signature import Unsigned, signed_in_headers_by
from .base import Dialect, Handler, RequestFailed, Services

__all__ = ["AmazonJobs"]

_MOST_JOBS = 64
_REQUEST = {
    "TranscriptionJobName": str,
    "LanguageCode": str,
    "MediaSampleRateHertz": int,
    "MediaFormat": str,
    "Media": dict,
    "OutputBucketName": str,
    "OutputKey": str,
    "Settings": dict,
    "ModelSettings": dict,
    "JobExecutionSettings": dict,
    "ContentRedaction": dict,
    "IdentifyLanguage": bool,
    "IdentifyMultipleLanguages": bool,
    "LanguageOptions": list,
    "Subtitles": dict,
    "Tags": list,
    "LanguageIdSettings": dict,
}
_SETTINGS = {
    "VocabularyName": str,
    "ShowSpeakerLabels": bool,
    "MaxSpeakerLabels": int,
    "ChannelIdentification": bool,
    "ShowAlternatives": bool,
    "MaxAlternatives": int,
    "VocabularyFilterName": str,
    "VocabularyFilterMethod": str,
}
_ERRORS = {400: "BadRequestException", 404: "NotFoundException", 409: "ConflictException"}


class _Signed(Dialect):
    """A dialect whose requests are signed with their bodies, which are read first."""

    service: str

    def api_key(self, request: web.Request) -> str | None:
        return next(iter(self.services.options.api_keys), None)  # checked with the body, in `_body`

    async def _body(self, request: web.Request) -> bytes:
        """The body of a request that is signed with one of the server's keys. Raises `RequestFailed`."""
        body = await request.read()
        if keys := self.services.options.api_keys:
            try:
                signed_in_headers_by(request, body, keys, self.service)
            except Unsigned as error:
                raise RequestFailed(403, str(error)) from None
        return body


class _Storage(_Signed):
    """Objects in buckets, in memory."""

    name = "aws-s3"
    service = "s3"

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.objects: dict[str, bytes] = {}  # by s3:// address

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        path = "/aws-s3/{bucket}/{key:.+}"
        return [("PUT", path, self._put), ("HEAD", path, self._head), ("DELETE", path, self._delete)]

    def error(self, failure: RequestFailed) -> web.Response:
        code = {403: "SignatureDoesNotMatch", 404: "NoSuchKey"}.get(failure.status, "InternalError")
        text = f"<Error><Code>{code}</Code><Message>{escape(failure.message)}</Message></Error>"
        return web.Response(text=text, status=failure.status, content_type="application/xml")

    async def _put(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        held = sum(map(len, self.objects.values()))
        if held + len(body) > 4 * self.services.options.max_body_bytes:
            raise RequestFailed(503, "the buckets are full; delete some objects")
        self.objects[self._of(request)] = body
        return web.Response()

    async def _head(self, request: web.Request) -> web.StreamResponse:
        await self._body(request)
        if self._of(request) not in self.objects:
            raise RequestFailed(404, "The specified key does not exist.")
        return web.Response()

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        await self._body(request)
        self.objects.pop(self._of(request), None)
        return web.Response(status=204)

    @staticmethod
    def _of(request: web.Request) -> str:
        return f"s3://{request.match_info['bucket']}/{request.match_info['key']}"


@dataclass
class _Job:
    """One transcription job, as it was asked for and as far as it has come."""

    request: dict[str, Any]
    created: float
    status: str = "IN_PROGRESS"
    reason: str = ""
    transcript: dict[str, Any] | None = None
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class AmazonJobs(_Signed):
    """``StartTranscriptionJob``, ``GetTranscriptionJob``, and the transcript files."""

    name = "aws-transcribe-jobs"
    service = "transcribe"

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._jobs: dict[str, _Job] = {}
        self._storage = _Storage(services)

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        storage = self._storage
        return [
            ("POST", "/aws-transcribe", self._call),
            ("POST", "/aws-transcribe/", self._call),
            ("GET", "/aws-transcribe/transcripts/{secret}", self._file),
            *((method, path, storage.guarded(handler)) for method, path, handler in storage.routes()),
        ]

    def error(self, failure: RequestFailed) -> web.Response:
        kind = _ERRORS.get(failure.status, "InternalFailureException")
        if failure.status == 403:
            kind = "InvalidSignatureException"
        status = failure.status
        if status == 503:
            kind, status = "LimitExceededException", 400  # as the service has it
        body = {"__type": kind, "Message": failure.message}
        return web.json_response(body, status=status, content_type="application/x-amz-json-1.1")

    async def _call(self, request: web.Request) -> web.StreamResponse:
        raw = await self._body(request)
        if request.content_type != "application/x-amz-json-1.1":
            raise RequestFailed(400, "send application/x-amz-json-1.1")
        try:
            body = json.loads(raw)
        except ValueError:
            raise RequestFailed(400, "the body is not JSON") from None
        operations = {
            "Transcribe.StartTranscriptionJob": self._start,
            "Transcribe.GetTranscriptionJob": self._get,
        }
        operation = operations.get(request.headers.get("X-Amz-Target", ""))
        if operation is None or not isinstance(body, dict):
            raise RequestFailed(400, f"X-Amz-Target must be one of {', '.join(operations)}")
        job = await operation(body)
        text = json.dumps({"TranscriptionJob": self._shown(job, request)})
        return web.Response(text=text, content_type="application/x-amz-json-1.1")

    async def _start(self, body: dict[str, Any]) -> _Job:
        _check(body, _REQUEST)
        _check(body.get("Settings", {}), _SETTINGS)
        name = body.get("TranscriptionJobName", "")
        if not name or name in self._jobs:
            raise RequestFailed(
                409 if name else 400, f"The requested job name {name!r} already exists or is empty"
            )
        uri = body.get("Media", {}).get("MediaFileUri", "")
        if uri not in self._storage.objects:
            raise RequestFailed(400, "The S3 URI that you provided can't be accessed.")
        named = sum(bool(body.get(n)) for n in ("LanguageCode", "IdentifyLanguage", "IdentifyMultipleLanguages"))
        if named != 1:
            raise RequestFailed(400, "give one of LanguageCode, IdentifyLanguage and IdentifyMultipleLanguages")
        if body.get("Settings", {}).get("ShowSpeakerLabels") and "MaxSpeakerLabels" not in body["Settings"]:
            raise RequestFailed(400, "MaxSpeakerLabels must be set with ShowSpeakerLabels")
        self._language(body)
        while len(self._jobs) >= _MOST_JOBS:
            del self._jobs[next(iter(self._jobs))]
        self._jobs[name] = _Job(body, time.time())
        return self._jobs[name]

    async def _get(self, body: dict[str, Any]) -> _Job:
        job = self._jobs.get(body.get("TranscriptionJobName", ""))
        if job is None:
            raise RequestFailed(
                404, "The requested job couldn't be found. Check the job name and try your request again."
            )
        async with job.lock:
            if job.status == "IN_PROGRESS":
                await self._work(job)
        return job

    def _language(self, body: dict[str, Any]) -> str:
        """The language to expect: the one that is named, or the first offered that the recogniser knows."""
        if "LanguageCode" in body:
            if "-" not in body["LanguageCode"]:
                raise RequestFailed(400, "give the language with its region, as in en-US")
            self.services.language(body["LanguageCode"])
            return str(body["LanguageCode"])
        known = self.services.recogniser.languages or {"en"}
        return next((n for n in body.get("LanguageOptions", []) if n.partition("-")[0] in known), "en-US")

    async def _work(self, job: _Job) -> None:
        body = job.request
        language = self._language(body)
        try:
            data = self._storage.objects.get(body["Media"]["MediaFileUri"], b"")
            heard = await self.services.transcribe_file(data, language)
        except Busy:
            raise
        except ValueError as error:
            job.status, job.reason = "FAILED", str(error)
            return
        job.transcript = _transcript(body, heard, language)
        job.status = "COMPLETED"

    def _shown(self, job: _Job, request: web.Request) -> dict[str, Any]:
        shown = {
            "TranscriptionJobName": job.request["TranscriptionJobName"],
            "TranscriptionJobStatus": job.status,
            "CreationTime": job.created,
            "Media": job.request["Media"],
        }
        if job.reason:
            shown["FailureReason"] = job.reason
        if job.transcript is not None:
            where = f"{request.scheme}://{request.host}/aws-transcribe/transcripts/{job.secret}"
            shown["Transcript"] = {"TranscriptFileUri": where}
        return shown

    async def _file(self, request: web.Request) -> web.StreamResponse:
        for job in self._jobs.values():
            if secrets.compare_digest(job.secret, request.match_info["secret"]):
                return web.json_response(job.transcript)
        raise RequestFailed(404, "there is no such file")


def _check(body: Any, known: dict[str, Any]) -> None:
    if not isinstance(body, dict):
        raise RequestFailed(400, "an object was expected")
    for name, value in body.items():
        if name not in known:
            raise RequestFailed(400, f"unknown field {name}")
        if not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] is not bool):
            raise RequestFailed(400, f"{name} must be {known[name].__name__}")


def _transcript(body: dict[str, Any], heard: Transcript, language: str) -> dict[str, Any]:
    """A transcript file; its numbers are texts."""
    speaker = {"speaker_label": "spk_0"} if body.get("Settings", {}).get("ShowSpeakerLabels") else {}
    items: list[dict[str, Any]] = []
    for segment in heard.segments:
        items += [
            {
                "type": "pronunciation",
                "alternatives": [{"confidence": str(word.confidence), "content": word.text}],
                "start_time": str(word.start),
                "end_time": str(word.end),
                **speaker,
            }
            for word in segment.words
        ]
        stop = {"type": "punctuation", "alternatives": [{"confidence": "0.0", "content": "."}]}
        items.append({**stop, **speaker})
    text = " ".join(f"{segment.text}." for segment in heard.segments)
    results: dict[str, Any] = {"transcripts": [{"transcript": text}], "items": items}
    if "LanguageCode" not in body:
        results["language_code"] = language
    return {
        "jobName": body["TranscriptionJobName"],
        "accountId": "000000000000",
        "status": "COMPLETED",
        "results": results,
    }
