"""Google Cloud Speech-to-Text: the two versions' profiles, with API keys, service accounts, gcloud's logins, and
long recordings.

A recording of more than a minute is put into a bucket, recognised from there, and deleted again. Live streams are
served over gRPC only, for which LiveKit has a plugin.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import orjson

from ..base import ConfigurationError
from ..profiles.hosts import is_host_of
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
from . import Vendor, vendor_in_file
from ._google_accounts import Account, account_of, quota_project_of
from ._google_tokens import Tokens
from ._listing import with_options_of

__all__ = ["VENDOR", "GoogleBatch"]

_LONGEST_SECONDS = 60.0
_LARGEST_BYTES = 7_000_000  # of 10 MB in base64; https://cloud.google.com/speech-to-text/quotas has both
_V2_MODEL = "long"
_POLL_SECONDS = (1.0, 2.0, 3.0, 5.0)

# https://cloud.google.com/apis/design/errors: what may pass, though its HTTP status does not say so
_MAY_PASS = frozenset({"ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"})
_CODES_THAT_MAY_PASS = frozenset({1, 4, 8, 10, 13, 14})  # the same and INTERNAL, in google.rpc.Code

_Requests = Generator["HttpRequest | Wait", "HttpResponse | None", Any]


class GoogleBatch(BatchProtocol):
    """Both versions; the URL or the option ``project`` says which."""

    name = "google"
    aligned_words = True

    def __init__(self, v1: BatchProtocol, v2: BatchProtocol, hosts: tuple[str, ...]) -> None:
        self._v1 = v1
        self._v2 = v2
        self._hosts = hosts
        self._tokens = Tokens()

    def __repr__(self) -> str:
        return "GoogleBatch()"

    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        settings, version = self._meant(settings)
        return version.request(audio, settings)

    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        settings, version = self._meant(settings)
        return version.parse(_tidied(response.json(), settings), settings)

    def recognise(self, audio: Pcm, settings: Settings) -> BatchFlow:
        settings, version = self._meant(settings)
        account = self._account(settings)
        if account is not None:
            token = yield from self._tokens.token(account)
            project = quota_project_of(account)
            billed = {"x-goog-user-project": project} if project else {}
            headers = {**billed, **settings.headers, "Authorization": f"Bearer {token}"}
            settings = dataclasses.replace(settings, api_key=None, headers=headers)
        if audio.duration <= _LONGEST_SECONDS and len(audio.data) <= _LARGEST_BYTES:
            response = yield version.request(audio, settings)
            assert response is not None, "a request is answered by a response"
            reply = response.json()
        else:
            bucket = settings.options.get("bucket")
            if not bucket:
                raise ValueError(
                    f"Google takes {_LONGEST_SECONDS:g} s in one request, not {audio.duration:.0f}: name a bucket"
                    " of Cloud Storage in the option bucket, or send shorter recordings"
                )
            reply = yield from self._long(audio, settings, version, bucket)
        return version.parse(_tidied(reply, settings), settings)

    def _long(self, audio: Pcm, settings: Settings, version: BatchProtocol, bucket: str) -> _Requests:
        """The reply for a recording in a bucket."""
        template = version.request(Pcm(b"", audio.sample_rate, audio.channels), settings)
        headers = {name: value for name, value in template.headers.items() if name.lower() != "content-type"}
        storage = str(settings.options.get("storage_url") or "https://storage.googleapis.com").rstrip("/")
        folder = f"{storage}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        name = f"voxport-{uuid.uuid4()}.raw"
        as_bytes = {**headers, "Content-Type": "application/octet-stream"}
        yield HttpRequest("POST", f"{folder}?uploadType=media&name={name}", as_bytes, audio.data)
        assert isinstance(template.body, bytes), "a JSON body is bytes"
        submit, poll = _long_request(settings.url, orjson.loads(template.body), f"gs://{bucket}/{name}")
        as_json = {**headers, "Content-Type": "application/json"}
        response = yield HttpRequest("POST", submit[0], as_json, orjson.dumps(submit[1]))
        job = _job(response)
        polls = 0
        while not job.get("done"):
            yield Wait(_POLL_SECONDS[min(polls, len(_POLL_SECONDS) - 1)])
            polls += 1
            response = yield HttpRequest("GET", poll + quote(str(job.get("name", ""))), headers)
            job = _job(response)
        yield HttpRequest("DELETE", f"{storage}/storage/v1/b/{quote(bucket, safe='')}/o/{name}", headers)
        try:
            return _finished(job)
        except JobFailed as failed:
            failed.failure.message = self._tokens.redact(failed.failure.message)
            raise

    def failure(self, response: HttpResponse) -> Failure:
        verdict = judge_status(response.status)
        message = self._tokens.redact(error_text(response))
        try:
            error = response.json()["error"]
            if isinstance(error, str):  # of the token endpoint
                reason = response.json().get("error_description")
                message = self._tokens.redact(
                    f"the credentials are refused: {error}" + (f": {reason}" if reason else "")
                )
            elif error.get("status") in _MAY_PASS:
                verdict = Verdict.TRANSIENT
        except (ValueError, LookupError, TypeError, AttributeError):
            pass  # no error of Google's: its status says enough
        if response.status == 401 and self._tokens.refused():
            verdict = Verdict.TRANSIENT  # the token was an old one: the next attempt asks for another
        return Failure(message, verdict, status=response.status)

    def check(self, settings: Settings) -> None:
        settings, version = self._meant(settings)
        version.check(settings)
        account = self._account(settings)
        if account is None and not settings.key and is_host_of(settings.url, self._hosts):
            raise ConfigurationError(
                "google needs credentials: pass api_key or set GOOGLE_API_KEY, or name the key file of a service"
                " account in the option credentials or in GOOGLE_APPLICATION_CREDENTIALS, or run"
                " gcloud auth application-default login"
            )
        if settings.options.get("bucket") and account is None:
            raise ConfigurationError(
                "google: the option bucket needs a service account or a login: an API key opens no bucket"
            )
        if not settings.language and not settings.options.get("language_codes"):
            raise ConfigurationError("google: name the language that is spoken")

    def describe(self) -> Mapping[str, Any]:
        return self._v1.describe()

    def _account(self, settings: Settings) -> Account | None:
        return account_of(settings, at_google=is_host_of(settings.url, self._hosts))

    def _meant(self, settings: Settings) -> tuple[Settings, BatchProtocol]:
        """*settings* with the whole URL, and the version it is of."""
        parts = urlsplit(settings.url)
        options = settings.options
        if "/v2/" not in parts.path and not options.get("project"):
            return settings, self._v1
        if "/v2/" not in parts.path:
            location = options.get("location") or "global"
            host = parts.netloc
            if host == "speech.googleapis.com" and location != "global":
                host = f"{location}-speech.googleapis.com"
            recognizer = options.get("recognizer") or "_"
            path = f"/v2/projects/{options['project']}/locations/{location}/recognizers/{recognizer}:recognize"
            settings = dataclasses.replace(
                settings, url=urlunsplit((parts.scheme, host, quote(path, safe="/:"), "", ""))
            )
        if not settings.model and "/recognizers/_:" in settings.url:
            settings = dataclasses.replace(settings, model=_V2_MODEL)
        return settings, self._v2


def _tidied(reply: Any, settings: Settings) -> HttpResponse:
    """*reply* as the profiles read it: always with results, and each word once.

    With speakers, version 1 repeats all words in the last result, and only there says whose they are:
    https://cloud.google.com/speech-to-text/docs/multiple-voices
    """
    if not isinstance(reply, dict):
        raise ValueError("the reply is no JSON object")
    results = reply.get("results") or []
    if settings.options.get("enable_speaker_diarization") and isinstance(results, list) and results:
        *before, last = map(_first_alternative, results)
        if last.get("words"):
            for alternative in before:
                alternative.pop("words", None)
    return HttpResponse(200, {"content-type": "application/json"}, orjson.dumps({**reply, "results": results}))


def _first_alternative(result: Any) -> dict[str, Any]:
    """The alternative of *result* that counts; an empty one where there is none."""
    try:
        first = result["alternatives"][0]
    except (LookupError, TypeError):
        return {}
    return first if isinstance(first, dict) else {}


def _long_request(url: str, body: dict[str, Any], uri: str) -> tuple[tuple[str, dict[str, Any]], str]:
    """Where and what to ask for a recording at *uri*, and what a job's name is appended to, to ask for it."""
    parts = urlsplit(url)
    base = f"{parts.scheme}://{parts.netloc}"
    if "/v2/" in parts.path:
        wanted = {
            "config": body["config"],
            "files": [{"uri": uri}],
            "recognitionOutputConfig": {"inlineResponseConfig": {}},
        }
        return (url.replace(":recognize", ":batchRecognize"), wanted), f"{base}/v2/"
    wanted = {"config": body["config"], "audio": {"uri": uri}}
    return (url.replace(":recognize", ":longrunningrecognize"), wanted), f"{base}/v1/operations/"


def _job(response: HttpResponse | None) -> dict[str, Any]:
    assert response is not None, "a request is answered by a response"
    job = response.json()
    if not isinstance(job, dict) or not (job.get("name") or job.get("done")):
        raise ValueError("the reply is no operation")
    return job


def _finished(job: dict[str, Any]) -> Any:
    """The reply in a finished *job*.

    Raises:
        JobFailed: it holds an error.
        ValueError: it holds neither.
    """
    error, reply = _mapping(job.get("error")), _mapping(job.get("response"))
    if isinstance(reply.get("results"), dict):  # of version 2, by file
        file = _mapping(next(iter(reply["results"].values()), None))
        error = error or _mapping(file.get("error"))
        transcript = _mapping(file.get("inlineResult")).get("transcript") or file.get("transcript")
        billed = {"totalBilledDuration": reply.get("totalBilledDuration")}
        reply = {**_mapping(transcript), "metadata": {**billed, **_mapping(file.get("metadata"))}}
    if not error:
        if not isinstance(job.get("response"), dict):
            raise ValueError("the operation ended without a response")
        return reply
    verdict = Verdict.TRANSIENT if error.get("code") in _CODES_THAT_MAY_PASS else Verdict.PERMANENT
    raise JobFailed(Failure(f"the job failed: {error.get('message')}", verdict))


def _mapping(value: Any) -> dict[str, Any]:
    """*value* where it is an object; an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def _vendor() -> Vendor:
    folder = Path(__file__).parent
    vendor = vendor_in_file(folder / "google.yaml")
    v2 = vendor_in_file(folder / "_google_v2.yaml")
    assert vendor.batch is not None and v2.batch is not None, "the profiles have a batch part"
    assert vendor.profile is not None and v2.profile is not None, "they were made from one"
    return dataclasses.replace(
        vendor,
        batch=GoogleBatch(vendor.batch, v2.batch, vendor.hosts),
        profile=with_options_of(vendor.profile, v2.profile),
        instead_of_streaming="it streams by gRPC only, which LiveKit's plugin does (provider='livekit:google'); "
        "for whole utterances use CustomHTTPSTTAdapter",
    )


VENDOR = _vendor()
