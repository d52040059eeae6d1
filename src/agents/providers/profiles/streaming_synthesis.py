"""A profile's speech over a WebSocket as a :class:`~agents.providers.protocol.StreamingSynthesisProtocol`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..base import ConfigurationError
from ..protocol import (
    ConnectRequest,
    Settings,
    StreamingSynthesisProtocol,
    SynthesisConversation,
    SynthesisEvent,
    SynthesisTraits,
    WireMessage,
)
from .options import Service
from .requests import MessageWriter, Query, auth_headers, body_options, headers_of, make_scope, place_of
from .schema import Profile
from .speech import StreamingSynthesis
from .speech_rules import SegmentMemory, SpeechProgram
from .streaming import as_websocket, close_code_table
from .synthesis import check_speech, declared_form, wire_settings
from .templates import Scope, compile_template

__all__ = ["ProfileStreamingSynthesis"]

_SERVICE: Service = "streaming_synthesis"


class ProfileStreamingSynthesis(StreamingSynthesisProtocol):
    """Speaks what a profile's ``streaming_synthesis`` says."""

    def __init__(self, profile: Profile) -> None:
        if profile.streaming_synthesis is None:
            raise ConfigurationError(f"{profile.title} does not speak over a WebSocket")
        self.name = profile.name
        self.profile = profile
        self.plan = _Plan(profile, profile.streaming_synthesis)

    def __repr__(self) -> str:
        return f"ProfileStreamingSynthesis({self.name!r})"

    def traits(self, settings: Settings) -> SynthesisTraits:
        service = self.plan.service
        connection = service.connection
        return SynthesisTraits(
            form=declared_form(service.audio, settings),
            timed_words=any(rule.event == "words" for rule in service.results.rules),
            text_unit=service.text_unit,
            early_flushes=connection.early_flushes,
            reusable=connection.reusable,
            cancels=bool(service.cancel),
            cancel_answered=connection.cancel_answer,
            waits_for_ready=connection.ready_wait,
            ready_seconds=connection.ready_within,
            keepalive_seconds=service.keepalive.after if service.keepalive is not None else None,
            heartbeat_seconds=None if connection.heartbeat == "never" else connection.heartbeat,
            idle_seconds=connection.idle,
            session_seconds=connection.session,
            stall_seconds=connection.stall,
            silence_seconds=connection.silence,
            close_codes=self.plan.close_codes,
        )

    def connect(self, settings: Settings) -> ConnectRequest:
        return self.plan.connect_request(self.scope(settings))

    def converse(self, settings: Settings) -> SynthesisConversation:
        return _ProfileSpeech(self.plan, self.scope(settings))

    def place(self, settings: Settings) -> str:
        return self.plan.place(make_scope(self.profile, _SERVICE, settings))

    def check(self, settings: Settings) -> None:
        check_speech(self.profile, _SERVICE, self.plan.auth, settings)

    def describe(self) -> Mapping[str, Any]:
        return self.profile.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def scope(self, settings: Settings) -> Scope:
        """What templates see."""
        return make_scope(self.profile, _SERVICE, wire_settings(self.plan.service.audio, settings))


class _Plan:
    """A profile's speech over a WebSocket, compiled once and shared by all conversations."""

    def __init__(self, profile: Profile, service: StreamingSynthesis) -> None:
        self._profile = profile
        self.service = service
        self.auth = service.auth or profile.auth
        self.close_codes = close_code_table(service.connection.close_codes)
        self._path = compile_template(service.path) if service.path is not None else None
        self._query = Query(service.query, profile, _SERVICE, self.auth, options=True)
        self._headers = {name: compile_template(value) for name, value in service.headers.items()}
        names = [*((self.auth.subprotocols or ()) if self.auth is not None else ()), *service.subprotocols]
        self._subprotocols = [compile_template(name) for name in names]
        into_body = body_options(profile, _SERVICE)
        # where a vendor is told its options: when the connection opens, when a segment begins, or with every text
        at = next((part for part in ("opening", "begin", "text") if _has_json(getattr(service, part))), None)
        self._writers = {
            part: MessageWriter(getattr(service, part), into_body if part == at else ())
            for part in ("opening", "begin", "text", "flush", "end", "cancel", "close")
        }
        self.keepalive = MessageWriter(service.keepalive.send if service.keepalive is not None else ())
        self.program = SpeechProgram(service.results)

    def write(self, part: str, scope: Scope) -> list[WireMessage]:
        """The messages of a *part* of the profile, for *scope*."""
        return self._writers[part].write(scope)

    def place(self, scope: Scope) -> str:
        """Where the WebSocket goes, before its query."""
        return as_websocket(place_of(scope.settings.url, self.service.url, self._path, scope))

    def connect_request(self, scope: Scope) -> ConnectRequest:
        settings = scope.settings
        url = self.place(scope)
        headers = {
            **auth_headers(self.auth, scope),
            **headers_of(self._headers, self._profile, _SERVICE, scope),
            **settings.headers,
        }
        subprotocols = [str(value) for get in self._subprotocols if (value := get(scope)) is not None]
        return ConnectRequest(self._query.apply(url, scope), headers, subprotocols)


def _has_json(messages: Sequence[Any]) -> bool:
    return any(message.json_ is not None for message in messages)


class _ProfileSpeech(SynthesisConversation):
    """One connection of a profile."""

    def __init__(self, plan: _Plan, scope: Scope) -> None:
        self._plan = plan
        self._scope = scope
        self._memory = SegmentMemory(declared_form(plan.service.audio, scope.settings))

    def opening(self) -> Sequence[WireMessage]:
        return self._plan.write("opening", self._scope)

    def begin(self, segment_id: str) -> Sequence[WireMessage]:
        self._scope.segment = segment_id
        self._memory.begin(segment_id)
        return self._plan.write("begin", self._scope)

    def text(self, text: str) -> Sequence[WireMessage]:
        self._scope.text = text
        messages = self._plan.write("text", self._scope)
        self._scope.text = ""
        return messages

    def flush(self) -> Sequence[WireMessage]:
        messages = self._plan.write("flush", self._scope)
        if messages:
            self._memory.flushes += 1
        return messages

    def end(self) -> Sequence[WireMessage]:
        self._memory.flushes += 1  # where ends are answered like flushes, this is the last answer
        self._memory.ending = True
        return self._plan.write("end", self._scope)

    def cancel(self) -> Sequence[WireMessage]:
        messages = self._plan.write("cancel", self._scope)
        if self._plan.service.connection.cancel_answer:
            self._memory.cancelled = True
        else:  # nothing more of it is wanted, and nobody waits for an answer
            self._memory.begin(None)
        return messages

    def keepalive(self) -> Sequence[WireMessage]:
        return self._plan.keepalive.write(self._scope)

    def close(self) -> Sequence[WireMessage]:
        return self._plan.write("close", self._scope)

    def receive(self, message: str | bytes) -> Sequence[SynthesisEvent]:
        return self._plan.program.read(message, self._memory)
