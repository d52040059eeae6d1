"""AssemblyAI's pre-recorded API: ``/v2/upload``, ``POST /v2/transcript``, ``GET /v2/transcript/{id}``.

Sources: assemblyai 1.8.2 (``prerecorded/v2``, ``types.TranscriptResponse``) and
https://www.assemblyai.com/docs/api-reference/transcripts/submit. Word times are milliseconds, the duration is in
seconds. Only what was uploaded here is transcribed; this server fetches nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from ..recogniser import Transcript, Word
from .base import Dialect, Handler, RequestFailed, Services, failure_of

__all__ = ["AssemblyAIBatch", "AssemblyAIDialect", "word_json"]

logger = logging.getLogger(__name__)

_KEPT_UPLOADS = 8
_KEPT_JOBS = 256


class AssemblyAIDialect(Dialect):
    """What AssemblyAI's HTTP services share: the key is the whole ``Authorization`` header."""

    def api_key(self, request: web.Request) -> str | None:
        return request.headers.get("Authorization")


@dataclass
class _Job:
    request: dict[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "queued"
    transcript: Transcript | None = None
    error: str = ""
    work: asyncio.Task[None] | None = None


class AssemblyAIBatch(AssemblyAIDialect):
    """Upload, submit, poll."""

    name = "assemblyai-batch"

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._uploads: OrderedDict[str, bytes] = OrderedDict()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        return [
            ("POST", "/v2/upload", self._upload),
            ("POST", "/v2/transcript", self._submit),
            ("GET", "/v2/transcript/{id}", self._fetch),
        ]

    def error(self, failure: RequestFailed) -> web.Response:
        return web.json_response({"error": failure.message}, status=failure.status)

    async def _upload(self, request: web.Request) -> web.Response:
        data = await request.read()
        if not data:
            raise RequestFailed(422, "Upload failed, please try again. The body is empty")
        url = f"{request.url.origin()}/upload/{uuid.uuid4()}"
        self._uploads[url] = data
        while len(self._uploads) > _KEPT_UPLOADS:
            self._uploads.popitem(last=False)
        return web.json_response({"upload_url": url})

    async def _submit(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except ValueError as error:
            raise RequestFailed(400, f"Invalid request body: {error}") from error
        if not isinstance(body, dict):
            raise RequestFailed(400, "Invalid request body: it must be an object")
        url = body.get("audio_url")
        if not isinstance(url, str) or not url:
            raise RequestFailed(400, "audio_url is a required field")
        language = body.get("language_code")
        if language is not None and body.get("language_detection"):
            raise RequestFailed(400, "language_detection is not available when language_code is specified")
        self.services.language(language)
        job = _Job(body)
        self._jobs[job.id] = job
        while len(self._jobs) > _KEPT_JOBS:
            self._jobs.popitem(last=False)
        job.work = asyncio.ensure_future(self._work(job, self._uploads.get(url)))
        return web.json_response(_job_json(job))

    async def _work(self, job: _Job, data: bytes | None) -> None:
        """Transcribe; like the service, say in the job what went wrong."""
        if data is None:
            job.status, job.error = "error", "Download error, unable to download the audio_url"
            return
        job.status = "processing"
        try:
            job.transcript = await self.services.transcribe_file(data, job.request.get("language_code"))
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                logger.exception("a transcription failed")
            job.status = "error"
            fault = failure is None or failure.status >= 500
            job.error = "Internal server error, please try again" if fault else str(failure)
        else:
            job.status = "completed"

    async def _fetch(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["id"])
        if job is None:
            raise RequestFailed(404, "Transcript lookup error, transcript id not found")
        return web.json_response(_job_json(job))


def word_json(word: Word) -> dict[str, Any]:
    """A word with its times in milliseconds."""
    return {
        "text": word.text,
        "start": round(word.start * 1000),
        "end": round(word.end * 1000),
        "confidence": word.confidence,
    }


def _job_json(job: _Job) -> dict[str, Any]:
    body: dict[str, Any] = {**job.request, "id": job.id, "status": job.status}
    if job.error:
        body["error"] = job.error
    transcript = job.transcript
    if transcript is not None:
        speaker = "A" if job.request.get("speaker_labels") else None  # the recogniser tells no voices apart
        words = [{**word_json(word), "speaker": speaker} for word in transcript.words]
        body |= {
            "text": transcript.text,
            "words": words,
            "confidence": round(transcript.confidence, 4),
            "audio_duration": math.ceil(transcript.duration),
            "language_code": job.request.get("language_code") or transcript.language,
            "utterances": None,
        }
        if speaker is not None:
            body["utterances"] = [
                {
                    "speaker": speaker,
                    "text": segment.text,
                    "start": round(segment.start * 1000),
                    "end": round(segment.end * 1000),
                    "confidence": segment.confidence,
                    "words": [{**word_json(word), "speaker": speaker} for word in segment.words],
                }
                for segment in transcript.segments
            ]
    return body
