"""The vendors that speak, and what of them the suite must know; and what they are sent, written down."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from conformance import API_KEY, Server

from agents.providers.local.dialects.openai_speech import VOICES
from agents.providers.local.speech import voice_of
from agents.providers.local.synthesiser import Voice
from agents.providers.protocol import (
    ConnectRequest,
    HttpRequest,
    HttpResponse,
    Settings,
    StreamingSynthesisProtocol,
    SynthesisConversation,
    SynthesisForm,
    SynthesisProtocol,
    SynthesisTraits,
    WireMessage,
)
from agents.providers.tts.http import CustomHTTPTTSAdapter
from agents.providers.tts.websocket import CustomWebSocketTTSAdapter
from agents.providers.vendors import find_vendor

__all__ = ["CASES", "SpeechCase", "Way", "Wire"]

Way = Literal["http", "websocket"]


@dataclass(frozen=True)
class SpeechCase:
    """One vendor on the embedded server.

    Attributes:
        vendor: as :func:`find_vendor` takes it.
        http_path, websocket_path: of the URL, as its users write it; ``None`` where it has no such way.
        voice: of espeak-ng, that stands for the vendor's default one.
        other: another of the vendor's voices, and espeak-ng's for it; "" where voices cannot be chosen.
        wrong: a voice there is not.
        model: one of the vendor's; ``None`` where models are its voices or it has none.
        options: for each way some options, and what must be on the wire with them.
        lacks: ``words``, ``reuse``, ``cancel`` (without closing the connection), ``verdict`` (its messages about
            errors say what happened, and not whether it can help to try again), ``early`` (nothing is spoken
            before all text is there).
    """

    vendor: str
    http_path: str | None = None
    websocket_path: str | None = None
    voice: Voice = field(default_factory=lambda: voice_of(0))
    other: tuple[str, Voice] = ("en-us+m3", Voice("en-us+m3"))
    wrong: str = "nobody+x9"
    model: str | None = None
    options: Mapping[Way, tuple[Mapping[str, Any], Sequence[str]]] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.vendor

    @property
    def ways(self) -> tuple[Way, ...]:
        """How it speaks."""
        paths: dict[Way, str | None] = {"http": self.http_path, "websocket": self.websocket_path}
        return tuple(way for way, path in paths.items() if path is not None)

    def adapter(self, way: Way, server: Server, key: str = API_KEY, **given: Any) -> tuple[Any, Wire]:
        """Voxport's adapter for it, and what it sends."""
        found, wire = find_vendor(self.vendor), Wire()
        if way == "http":
            assert found.synthesis is not None
            vendor = dataclasses.replace(found, synthesis=_Asked(found.synthesis, wire))
            return CustomHTTPTTSAdapter(f"{server.url}{self.http_path}", key, vendor=vendor, **given), wire
        assert found.streaming_synthesis is not None
        vendor = dataclasses.replace(found, streaming_synthesis=_Told(found.streaming_synthesis, wire))
        return CustomWebSocketTTSAdapter(
            f"{server.ws_url}{self.websocket_path}", key, vendor=vendor, **given
        ), wire


@dataclass
class Wire:
    """What an adapter sent: URLs decoded, headers, bodies and messages; and how many connections it opened."""

    sent: list[str] = field(default_factory=list)
    connections: int = 0

    def __contains__(self, text: object) -> bool:
        return any(str(text) in piece for piece in self.sent)

    def url(self, url: str, headers: Mapping[str, str]) -> None:
        self.connections += 1
        self.sent += [unquote(url), *(f"{name}: {value}" for name, value in headers.items())]

    def message(self, data: Any) -> None:
        text = bytes(data).decode() if not isinstance(data, str) else data
        self.sent.append(json.dumps(json.loads(text)))


class _Asked(SynthesisProtocol):
    """A protocol for HTTP whose requests are written down."""

    def __init__(self, inner: SynthesisProtocol, wire: Wire) -> None:
        self.name = inner.name
        self._inner, self._wire = inner, wire

    def request(self, text: str, settings: Settings) -> HttpRequest:
        request = self._inner.request(text, settings)
        self._wire.url(request.url, request.headers)
        self._wire.message(request.body)
        return request

    def form(self, response: HttpResponse, settings: Settings) -> SynthesisForm:
        return self._inner.form(response, settings)

    def failure(self, response: HttpResponse) -> Any:
        return self._inner.failure(response)

    def check(self, settings: Settings) -> None:
        self._inner.check(settings)


class _Told(StreamingSynthesisProtocol):
    """A protocol for a WebSocket whose messages are written down."""

    def __init__(self, inner: StreamingSynthesisProtocol, wire: Wire) -> None:
        self.name = inner.name
        self._inner, self._wire = inner, wire

    def traits(self, settings: Settings) -> SynthesisTraits:
        traits = self._inner.traits(settings)
        # on this machine the audio comes at once: there is no need to wait long for its end
        return dataclasses.replace(traits, silence_seconds=traits.silence_seconds and 0.2)

    def connect(self, settings: Settings) -> ConnectRequest:
        request = self._inner.connect(settings)
        self._wire.url(request.url, request.headers)
        return request

    def converse(self, settings: Settings) -> SynthesisConversation:
        talk = self._inner.converse(settings)
        for name in ("opening", "begin", "text", "flush", "end", "cancel", "close"):
            setattr(talk, name, self._written(getattr(talk, name)))
        return talk

    def check(self, settings: Settings) -> None:
        self._inner.check(settings)

    def _written(self, method: Callable[..., Sequence[WireMessage]]) -> Callable[..., Sequence[WireMessage]]:
        def call(*given: Any) -> Sequence[WireMessage]:
            messages = method(*given)
            for message in messages:
                self._wire.message(message)
            return messages

        return call


CASES = [
    SpeechCase(
        "generic",
        http_path="/v1/tts",
        websocket_path="/v1/tts/stream",
        model="espeak-ng",
        options={
            "http": ({"format": "wav", "speed": 1.1}, ['"format": "wav"', '"speed": 1.1']),
            "websocket": ({"speed": 1.1}, ['"options": {"speed": 1.1}']),
        },
    ),
    SpeechCase(
        "deepgram",
        http_path="/v1/speak",
        websocket_path="/v1/speak",
        voice=voice_of(37),  # aura-2-thalia-en
        other=("aura-asteria-en", voice_of(2)),
        wrong="aura-2-nobody-en",
        options={
            "http": ({"speed": 1.2, "tag": ["a", "b"]}, ["speed=1.2", "tag=a&tag=b"]),
            "websocket": ({"speed": 1.2, "mip_opt_out": True}, ["speed=1.2", "mip_opt_out=true"]),
        },
        lacks=frozenset({"words"}),
    ),
    SpeechCase(
        "elevenlabs",
        http_path="/v1",
        websocket_path="/v1",
        voice=voice_of(4),  # hpp4J3VqNfWAUOO0d1Us
        other=("21m00Tcm4TlvDq8ikWAM", voice_of(0)),
        wrong="nobody",
        model="eleven_flash_v2_5",
        options={
            "http": (
                {"speed": 1.1, "stability": 0.4, "seed": 7},
                ['"speed": 1.1', '"stability": 0.4', '"seed": 7'],
            ),
            "websocket": (
                {"speed": 1.1, "chunk_length_schedule": [60], "auto_mode": False},
                ['"speed": 1.1', '"chunk_length_schedule": [60]', "auto_mode=false"],
            ),
        },
        lacks=frozenset({"reuse", "cancel"}),
    ),
    SpeechCase(
        "cartesia",
        http_path="/tts/bytes",
        websocket_path="/tts/websocket",
        other=("6ccbfb76-1fc6-48f7-b71d-91ac6298247b", voice_of(1)),
        wrong="nobody",
        model="sonic-3.5",
        options={
            "http": ({"speed": 1.1, "emotion": "calm"}, ['"speed": 1.1', '"emotion": "calm"']),
            "websocket": (
                {"speed": 1.1, "max_buffer_delay_ms": 500},
                ['"speed": 1.1', '"max_buffer_delay_ms": 500'],
            ),
        },
    ),
    SpeechCase(
        "openai",
        http_path="/v1",
        voice=VOICES["alloy"],
        other=("echo", VOICES["echo"]),
        model="tts-1",
        options={
            "http": ({"response_format": "flac", "speed": 1.25}, ['"response_format": "flac"', '"speed": 1.25'])
        },
    ),
    SpeechCase(
        "jambonz",
        http_path="/jambonz/tts",
        websocket_path="/jambonz/tts",
        options={"http": ({"type": "text"}, ['"type": "text"'])},
        lacks=frozenset({"words", "reuse", "cancel", "verdict"}),
    ),
]
