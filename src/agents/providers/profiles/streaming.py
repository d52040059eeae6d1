"""A profile's WebSocket service as a :class:`~agents.providers.protocol.StreamingProtocol`."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from ..base import ConfigurationError
from ..protocol import (
    AudioForm,
    ConnectRequest,
    Conversation,
    Event,
    HttpRequest,
    HttpResponse,
    Settings,
    StreamingProtocol,
    Traits,
    Verdict,
    WireMessage,
)
from .encodings import ENCODERS
from .options import check_options
from .requests import (
    MessageWriter,
    Query,
    StepRunner,
    auth_headers,
    body_options,
    check_key,
    headers_of,
    is_asked_at,
    make_scope,
    url_with_path,
)
from .rules import Program
from .schema import Profile, Streaming
from .templates import Scope, Template, compile_template, references

__all__ = ["ProfileStreaming", "as_websocket", "close_code_table"]


class ProfileStreaming(StreamingProtocol):
    """Speaks what a profile's ``streaming`` says."""

    def __init__(self, profile: Profile) -> None:
        if profile.streaming is None:
            raise ConfigurationError(f"{profile.title} has no streaming service: use its batch service")
        self.name = profile.name
        self.profile = profile
        self.plan = _Plan(profile, profile.streaming)

    def __repr__(self) -> str:
        return f"ProfileStreaming({self.name!r})"

    def traits(self, settings: Settings) -> Traits:
        streaming, plan = self.plan.streaming, self.plan
        capabilities, connection = streaming.capabilities, streaming.connection
        return Traits(
            interim_results=capabilities.interim_results and settings.interim_results,
            diarization=bool(plan.diarization(make_scope(self.profile, "streaming", settings))),
            aligned_transcript=capabilities.aligned_transcript,
            keyterms=capabilities.keyterms,
            flush=bool(streaming.flush),
            audio=plan.audio_form,
            waits_for_ready=connection.ready_wait,
            ready_seconds=connection.ready_within,
            keepalive_seconds=streaming.keepalive.after if streaming.keepalive is not None else None,
            heartbeat_seconds=None if connection.heartbeat == "never" else connection.heartbeat,
            stall_seconds=connection.stall,
            idle_seconds=connection.idle,
            drain_seconds=connection.drain,
            session_seconds=connection.session,
            announces_end=capabilities.announces_end,
            reports_usage=any(rule.event == "usage" for rule in streaming.results.rules),
            promotes_last_partial=connection.promotes_last_partial,
            close_codes=plan.close_codes,
        )

    def connect(self, settings: Settings) -> ConnectRequest:
        return self.plan.connect_request(make_scope(self.profile, "streaming", settings))

    def prepare(self, settings: Settings) -> Generator[HttpRequest, HttpResponse, ConnectRequest]:
        scope = make_scope(self.profile, "streaming", settings)
        for step in self.plan.steps:
            yield from step.run(scope)
        return self.plan.connect_request(scope)

    def converse(self, settings: Settings) -> Conversation:
        return _ProfileConversation(self, settings)

    def place(self, settings: Settings) -> str:
        return url_with_path(settings.url, self.plan.streaming.url) if self.plan.whole_url else settings.url

    def check(self, settings: Settings) -> None:
        check_options(self.profile, "streaming", settings.options)
        check_key(self.profile, "streaming", self.plan.auth, settings)

    def describe(self) -> Mapping[str, Any]:
        return self.profile.model_dump(mode="json", by_alias=True, exclude_unset=True)


class _Plan:
    """A profile's streaming part, compiled once and shared by all conversations."""

    def __init__(self, profile: Profile, streaming: Streaming) -> None:
        self.profile = profile
        self.streaming = streaming
        self.auth = streaming.auth or profile.auth
        self.diarization = compile_template(streaming.capabilities.diarization)
        audio = streaming.audio
        self.audio_form = AudioForm(
            frozenset(audio.rates) if audio.rates is not None else None,
            audio.min_chunk,
            audio.max_chunk,
            audio.replay_pace,
        )
        self.close_codes = close_code_table(streaming.connection.close_codes)
        self.steps = [StepRunner(step, profile, self.auth) for step in streaming.prepare]
        self._connect = compile_template(streaming.connect)
        self.whole_url = is_asked_at(
            [streaming.connect], streaming.model_dump(mode="json", by_alias=True, exclude={"connect", "results"})
        )
        self._query = Query(streaming.query, profile, "streaming", self.auth, options=True)
        self._headers = {name: compile_template(value) for name, value in streaming.headers.items()}
        names = [*((self.auth.subprotocols or ()) if self.auth is not None else ()), *streaming.subprotocols]
        self._subprotocols = [compile_template(name) for name in names]
        body = body_options(profile, "streaming")
        if any(step.with_options for step in streaming.prepare):
            body = []
        self.opening = MessageWriter(streaming.opening, body)
        self.keepalive = MessageWriter(streaming.keepalive.send if streaming.keepalive is not None else ())
        self.flush = MessageWriter(streaming.flush)
        self.close = MessageWriter(streaming.close)
        self.update = MessageWriter(streaming.update.send if streaming.update is not None else ())
        self._updated = _updated_by(streaming)
        self.after_audio = MessageWriter(streaming.audio.then)
        self.encode = ENCODERS[streaming.audio.encoding]
        self.envelope = compile_template(streaming.audio.message) if streaming.audio.message is not None else None
        self.counts_audio = any(
            name.startswith("sent.") for name, _ in references(streaming.model_dump(mode="json", by_alias=True))
        )
        self.sends_plain_audio = not (self.encode or self.envelope or self.after_audio)
        self._switches = {
            name for rule in streaming.results.rules for name in (rule.only_if, rule.unless) if name is not None
        }
        self._program = functools.lru_cache(maxsize=None)(lambda on: Program(streaming.results, on))

    def program(self, scope: Scope) -> Program:
        """The rules that exist with these options."""
        return self._program(frozenset(name for name in self._switches if scope.options.get(name)))

    def takes_back(self, before: Scope, after: Scope) -> bool:
        """Whether the message of an update would leave out what *before* has: the vendor would go on with that."""
        return any(get(before) is not None and get(after) is None for get in self._updated)

    def connect_request(self, scope: Scope) -> ConnectRequest:
        target = self._connect(scope)
        if target is None:
            raise ConfigurationError(f"{self.profile.title}: the address for the WebSocket is missing")
        url = as_websocket(url_with_path(str(target), self.streaming.url))
        headers = {
            **auth_headers(self.auth, scope),
            **headers_of(self._headers, self.profile, "streaming", scope),
            **scope.settings.headers,
        }
        subprotocols = [str(value) for get in self._subprotocols if (value := get(scope)) is not None]
        return ConnectRequest(self._query.apply(url, scope), headers, subprotocols)


def _updated_by(streaming: Streaming) -> list[Template]:
    """The values that an update in band sends."""
    if streaming.update is None:
        return []
    send = [message.model_dump(mode="json", by_alias=True) for message in streaming.update.send]
    changes = set(streaming.update.changes)
    return [compile_template(f"${{{name}}}") for name in sorted(changes & {name for name, _ in references(send)})]


def as_websocket(url: str) -> str:
    """The user may have given the URL vendors print for HTTP."""
    scheme = {"http": "ws", "https": "wss"}.get(urlsplit(url).scheme)
    return url if scheme is None else scheme + url[url.index(":") :]


def close_code_table(codes: Mapping[Any, Verdict]) -> dict[int, Verdict]:
    """A profile's meanings of close codes, with every code of its ranges."""
    table: dict[int, Verdict] = {}
    for code, verdict in codes.items():
        low, _, high = str(code).partition("-")
        table.update(dict.fromkeys(range(int(low), int(high or low) + 1), verdict))
    return table


class _ProfileConversation(Conversation):
    """One connection of a profile."""

    def __init__(self, protocol: ProfileStreaming, settings: Settings) -> None:
        self._protocol = protocol
        self._plan = plan = protocol.plan
        self._scope = make_scope(protocol.profile, "streaming", settings)
        program = plan.program(self._scope)
        self._memory = program.memory()
        self._read: Callable[[str | bytes, Any], list[Event]] = program.read
        self.plain_audio = plan.sends_plain_audio and not plan.counts_audio

    def opening(self) -> Sequence[WireMessage]:
        return self._plan.opening.write(self._scope)

    def audio(self, chunk: bytes | bytearray | memoryview) -> Sequence[WireMessage]:
        plan, scope = self._plan, self._scope
        scope.messages_sent += 1
        scope.bytes_sent += len(chunk)
        if plan.sends_plain_audio:
            return (chunk,)
        encoded = chunk if plan.encode is None else plan.encode(chunk)
        if plan.envelope is None:
            return (encoded, *plan.after_audio.write(scope))
        scope.audio = encoded
        message = orjson.dumps(plan.envelope(scope)).decode()
        scope.audio = b""
        return [message, *plan.after_audio.write(scope)] if plan.after_audio else (message,)

    def flush(self) -> Sequence[WireMessage]:
        return self._plan.flush.write(self._scope)

    def keepalive(self) -> Sequence[WireMessage]:
        return self._plan.keepalive.write(self._scope)

    def close(self) -> Sequence[WireMessage]:
        return self._plan.close.write(self._scope)

    def update(self, settings: Settings) -> Sequence[WireMessage] | None:
        update = self._plan.streaming.update
        if update is None:
            return None
        scope = make_scope(self._protocol.profile, "streaming", settings)
        before = self._scope
        if update.models is not None and not (scope.model and re.match(update.models, scope.model)):
            return None
        if not _only_changes(before, scope, update.changes) or self._plan.takes_back(before, scope):
            return None
        before.settings, before.options = scope.settings, scope.options
        before.language, before.model = scope.language, scope.model
        return self._plan.update.write(before)

    def receive(self, message: str | bytes) -> Sequence[Event]:
        return self._read(message, self._memory)


def _only_changes(before: Scope, after: Scope, names: Sequence[str]) -> bool:
    """Whether *after* differs from *before* in nothing but the settings *names*."""
    old, new = before.settings, after.settings
    same_rest = dataclasses.replace(
        old, language=new.language, model=new.model, keyterms=new.keyterms, options=new.options
    )
    if same_rest != new or dict(before.undeclared) != dict(after.undeclared):
        return False
    if "keyterms" not in names and old.keyterms != new.keyterms:
        return False
    if ("language" not in names and before.language != after.language) or (
        "model" not in names and before.model != after.model
    ):
        return False
    options = set(before.options) | set(after.options)
    return all(before.options.get(o) == after.options.get(o) for o in options if f"options.{o}" not in names)
