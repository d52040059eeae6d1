"""A profile's HTTP service as a :class:`~agents.providers.protocol.BatchProtocol`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ..base import ConfigurationError
from ..protocol import (
    BatchProtocol,
    Failure,
    FormField,
    HttpRequest,
    HttpResponse,
    JobFailed,
    Pcm,
    Recognition,
    Segment,
    Settings,
    Usage,
    Verdict,
    Wait,
)
from ..protocol.batch import BatchFlow
from .fields import compile_condition, compile_segment
from .options import check_options, put_into_body
from .paths import compile_optional, plain_steps
from .requests import (
    Query,
    Saving,
    auth_headers,
    body_options,
    check_key,
    headers_of,
    is_asked_at,
    make_scope,
    url_with_path,
)
from .results import Rule
from .rules import compile_failure
from .schema import Auth, BatchResult, BatchStep, Body, ErrorReply, Profile
from .shapes import shape_of
from .templates import Scope, Template, compile_template
from .units import SCALES, number

__all__ = ["ProfileBatch"]

Form = Callable[[Scope, Pcm], "tuple[dict[str, str], bytes | list[FormField]]"]


class ProfileBatch(BatchProtocol):
    """Speaks what a profile's ``batch`` says."""

    def __init__(self, profile: Profile) -> None:
        batch = profile.batch
        if batch is None:
            raise ConfigurationError(f"{profile.title} has no batch service: use its streaming service")
        self.name = profile.name
        self.profile = profile
        self.diarization = batch.diarization
        self.sample_rates = frozenset(batch.rates) if batch.rates is not None else None
        self.aligned_words = batch.result.words is not None
        self._auth = batch.auth or profile.auth
        only_step = len(batch.steps) == 1
        self._steps = [
            _Step(step, profile, self._auth, batch.url, options=only_step or step.with_options)
            for step in batch.steps
        ]
        sent = [step.model_dump(by_alias=True) for step in batch.steps]
        self._whole_url = is_asked_at([step.pop("url") for step in sent], sent)
        self._default_url = batch.url
        self._result = _ResultReader(batch.result)
        self._error = _ErrorReader(batch.error) if batch.error is not None else None

    def __repr__(self) -> str:
        return f"ProfileBatch({self.name!r})"

    def place(self, settings: Settings) -> str:
        return url_with_path(settings.url, self._default_url) if self._whole_url else settings.url

    def check(self, settings: Settings) -> None:
        check_options(self.profile, "batch", settings.options)
        check_key(self.profile, "batch", self._auth, settings)

    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        return self._steps[0].request(self._scope(audio, settings), audio)

    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        return self._result.read(response)

    def failure(self, response: HttpResponse) -> Failure:
        usual = super().failure(response)
        return usual if self._error is None else self._error.read(response, usual)

    def recognise(self, audio: Pcm, settings: Settings) -> BatchFlow:
        scope = self._scope(audio, settings)
        response: HttpResponse | None = None
        for step in self._steps:
            for _ in range(step.times):
                response = yield step.request(scope, audio)
                assert response is not None, "a request is answered by a response"
                if step.is_done(response, settings):
                    break
                yield Wait(step.every)
            else:
                late = f"{self.profile.title}: the job was not done after {step.times} polls"
                raise JobFailed(Failure(late, detail={"timeout": True}))
            step.save(response, scope)
        assert response is not None, "a profile has at least one step"
        return self._result.read(response)

    def _scope(self, audio: Pcm, settings: Settings) -> Scope:
        """The rate and channels templates speak of are those of the recording."""
        recorded = dataclasses.replace(settings, sample_rate=audio.sample_rate, channels=audio.channels)
        return make_scope(self.profile, "batch", recorded)

    def describe(self) -> Mapping[str, Any]:
        return self.profile.model_dump(mode="json", by_alias=True, exclude_unset=True)


class _Step:
    """One request of the flow, compiled."""

    def __init__(
        self, step: BatchStep, profile: Profile, auth: Auth | None, default_url: str | None, *, options: bool
    ) -> None:
        self._profile = profile
        self._auth = auth
        self._method = step.method
        self._default_url = default_url
        self._url = compile_template(step.url)
        self._query = Query(step.query, profile, "batch", auth, options=options)
        self._headers = {name: compile_template(value) for name, value in step.headers.items()}
        into_body = body_options(profile, "batch") if options else []
        self._body = _compile_body(step.body, into_body) if step.body is not None else None
        self._bodies = {name: _compile_body(body, into_body) for name, body in step.bodies.items()}
        self._body_option = step.body_option or ""
        self.save = Saving(step.save)
        repeat = step.repeat
        self.times = repeat.times if repeat is not None else 1
        self.every = repeat.every if repeat is not None else 0.0
        self._until = compile_condition(repeat.until) if repeat is not None else None
        self._failed = compile_condition(repeat.failed) if repeat is not None else None
        self._reason = compile_optional(repeat.reason) if repeat is not None and repeat.reason else None

    def request(self, scope: Scope, audio: Pcm) -> HttpRequest:
        headers = {
            **auth_headers(self._auth, scope),
            **headers_of(self._headers, self._profile, "batch", scope),
        }
        form = self._body if self._body is not None else self._bodies.get(scope.options.get(self._body_option, ""))
        body: bytes | list[FormField] | None = None
        if form is not None:
            types, body = form(scope, audio)
            headers.update(types)
        headers.update(scope.settings.headers)
        url = url_with_path(str(self._url(scope)), self._default_url)
        return HttpRequest(self._method, self._query.apply(url, scope), headers, body)

    def is_done(self, response: HttpResponse, settings: Settings) -> bool:
        """Whether the flow goes on; for a step that polls, whether the job is done.

        Raises:
            JobFailed: the vendor says so. It counts as permanent: a vendor's own module may know better.
        """
        if self._until is None:
            return True
        reply = response.json()
        if self._failed is not None and self._failed(reply):
            reason = self._reason(reply) if self._reason is not None else None
            said = f": {settings.redact(reason)}" if isinstance(reason, str) and reason else ""
            raise JobFailed(Failure(f"{self._profile.title}: the job failed{said}", Verdict.PERMANENT))
        return bool(self._until(reply))


def _compile_body(body: Body, into_body: list[tuple[str, str]]) -> Form:
    if body.raw is not None:
        return _raw_body(body.raw, compile_template(body.content_type or "audio/wav"))
    if body.multipart is not None:
        return _form_body(body, into_body)
    fill = compile_template(body.json_)
    sound = body.audio

    def make_json(scope: Scope, audio: Pcm) -> tuple[dict[str, str], bytes]:
        scope.audio = _sound(audio, sound)
        filled = fill(scope)
        scope.audio = b""
        content = dict(filled) if isinstance(filled, dict) else {}
        for option, name in into_body:
            if (value := scope.options.get(option)) is not None:
                put_into_body(content, name, value)
        return {"Content-Type": "application/json"}, orjson.dumps(content)

    return make_json


def _raw_body(sound: str, content_type: Template) -> Form:
    def make_raw(scope: Scope, audio: Pcm) -> tuple[dict[str, str], bytes]:
        return {"Content-Type": str(content_type(scope))}, _sound(audio, sound)

    return make_raw


def _form_body(body: Body, into_body: list[tuple[str, str]]) -> Form:
    parts = [(part, compile_template(part.value)) for part in body.multipart or ()]

    def make_form(scope: Scope, audio: Pcm) -> tuple[dict[str, str], list[FormField]]:
        fields = []
        for part, fill in parts:
            if part.audio is not None:
                kind = part.content_type or ("audio/wav" if part.audio == "wav" else "application/octet-stream")
                fields.append(
                    FormField(part.name, _sound(audio, part.audio), part.filename or f"audio.{part.audio}", kind)
                )
            else:
                fields += _form_fields(part.name, fill(scope), part.content_type)
        for option, name in into_body:
            fields += _form_fields(name, scope.options.get(option), None)
        return {}, fields

    return make_form


def _form_fields(name: str, value: Any, content_type: str | None) -> list[FormField]:
    if value is None:
        return []
    if isinstance(value, dict):
        return [FormField(name, orjson.dumps(value).decode(), None, content_type or "application/json")]
    items = value if isinstance(value, (list, tuple)) else [value]
    texts = [("true" if item else "false") if isinstance(item, bool) else str(item) for item in items]
    return [FormField(name, text, None, content_type) for text in texts]


def _sound(audio: Pcm, form: str) -> bytes:
    return audio.wav() if form == "wav" else audio.data


class _ErrorReader:
    """Reads replies with an error status."""

    def __init__(self, error: ErrorReply) -> None:
        self._message = compile_optional(error.message) if error.message is not None else None
        self._code = compile_optional(error.code) if error.code is not None else None
        self._codes = {str(code): Verdict(verdict) for code, verdict in error.codes.items()}

    def read(self, response: HttpResponse, usual: Failure) -> Failure:
        """What *response* means; *usual* is what its status and the usual places of a message say."""
        try:
            reply = response.json()
        except ValueError:
            return usual
        said = self._message(reply) if self._message is not None else None
        code = self._code(reply) if self._code is not None else None
        shown = str(code) if isinstance(code, (str, int)) else ""
        return dataclasses.replace(
            usual,
            message=said if isinstance(said, str) and said else usual.message or shown,
            verdict=self._codes.get(shown, usual.verdict),
            detail={"code": shown} if shown else {},
        )


class _ResultReader:
    """Reads the last reply of a flow."""

    def __init__(self, result: BatchResult) -> None:
        fields = (
            "text",
            "language",
            "confidence",
            "start",
            "end",
            "speaker",
            "speaker_format",
            "words",
            "request_id",
        )
        rule = Rule.model_validate({"event": "final", **{name: getattr(result, name) for name in fields}})
        self._read = compile_segment(rule, result.unit)
        self._has_text = compile_optional(result.text)
        self._paths = [result.text] if isinstance(result.text, str) else result.text
        self._plain_text = result.plain_text
        self._billed = compile_optional(result.billed_audio) if result.billed_audio is not None else None
        self._scale = SCALES[result.unit]
        self._has_failed = compile_condition(result.failed)
        said = ("message", "code", "verdict", "codes", "code_is")
        error = Rule.model_validate({"event": "error", **{name: getattr(result, name) for name in said}})
        self._read_failure = compile_failure(error)

    def read(self, response: HttpResponse) -> Recognition:
        """The recognition.

        Raises:
            ValueError: the reply holds none; the message names its keys, and not what they hold.
            JobFailed: it says so.
        """
        if self._plain_text and response.content_type == "text/plain":
            return Recognition(response.text().strip())
        if response.status == 204:  # no content: nothing was said
            return Recognition("")
        reply = response.json()
        if self._has_failed is not None and self._has_failed(reply):
            return self._without_result(reply)
        if self._has_text(reply) is None:
            if any(_is_null(reply, path) for path in self._paths):
                return Recognition("")
            raise ValueError(f"the reply has no text at {', '.join(self._paths)}; {shape_of(reply)}")
        segment = self._read(reply, Segment)
        billed = number(self._billed(reply)) if self._billed is not None else None
        return Recognition(
            segment.text,
            segment.language,
            segment.confidence,
            segment.start,
            segment.end,
            segment.speaker,
            list(segment.words) if segment.words is not None else None,
            segment.request_id,
            Usage(audio_seconds=billed * self._scale) if billed is not None and billed > 0 else None,
        )

    def _without_result(self, reply: Any) -> Recognition:
        """What an error means that came with a status of success: nothing was said, where it is to be ignored.

        Raises:
            JobFailed: anything else.
        """
        failure = self._read_failure(reply)
        if failure is None:
            return Recognition("")
        failure.message = failure.message or "the service says that it failed"
        if failure.status is not None:  # then the vendor uses statuses, only in another place
            failure.detail["malformed"] = False
        raise JobFailed(failure)


def _is_null(reply: Any, path: str) -> bool:
    """Whether the service says at *path* that there is nothing, which is more than saying nothing."""
    steps = plain_steps(path)
    if steps is None:
        return False
    try:
        for step in steps[:-1]:
            reply = reply[step]
        return bool(reply[steps[-1]] is None)
    except (LookupError, TypeError):
        return False
