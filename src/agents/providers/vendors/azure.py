"""Azure AI Speech: the profiles' names, inside the turns of its WebSocket protocol, and its ways to authenticate.

A URL may hold ``{region}``, which the option ``region`` fills in (or ``speech_region``, as LiveKit's plugin and
Microsoft's SDK call it), otherwise ``AZURE_SPEECH_REGION``. Over HTTP, a URL of the short-audio service is spoken
to as such; every other is fast transcription. ``authentication: exchange`` gets a token for the key first, which
is valid for ten minutes
(https://learn.microsoft.com/azure/ai-services/speech-service/rest-speech-to-text-short, "Authentication").
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import orjson

from ..base import ConfigurationError
from ..protocol import (
    BatchProtocol,
    ConnectRequest,
    Conversation,
    Failure,
    HttpRequest,
    HttpResponse,
    JobFailed,
    Pcm,
    Recognition,
    Settings,
    StreamingProtocol,
    Traits,
    Verdict,
)
from ..protocol.batch import BatchFlow
from . import Vendor, vendor_in_file
from ._azure_context import speech_context
from ._azure_turns import AzureConversation

__all__ = ["VENDOR", "AzureBatch", "AzureStreaming"]

REGION = "{region}"
_REGION_VARIABLE = "AZURE_SPEECH_REGION"
_REGIONAL_HOST = re.compile(r"([a-z0-9-]+)\.(?:stt\.speech|api\.cognitive)\.(.+)")
_GLOBAL = "microsoft.com"
# By the beginnings of their regions, the domains of recognition and of the rest: learn.microsoft.com and
# docs.azure.cn, speech-service/sovereign-clouds; beginnings as in the SDKs (JavaScript, ConnectionFactoryBase).
_CLOUDS = {"usgov": ("azure.us", "microsoft.us"), "china": ("azure.cn", "azure.cn")}
_KEY_HEADER = "ocp-apim-subscription-key"
_TOKEN_PATH = "/sts/v1.0/issueToken"
_SERVICE_ERROR = "Error"
_SHORT_AUDIO = re.compile(r"/speech/recognition/|\.stt\.speech\.")


class AzureStreaming(StreamingProtocol):
    """The Speech WebSocket protocol."""

    def __init__(self, profile: StreamingProtocol) -> None:
        self.name = profile.name
        self._profile = profile

    def traits(self, settings: Settings) -> Traits:
        traits = self._profile.traits(settings)
        if settings.options.get("diarization"):  # another connection would count speakers from the first again
            traits = dataclasses.replace(traits, session_seconds=None)
        return traits

    def place(self, settings: Settings) -> str:
        return _in_region(settings).url

    def connect(self, settings: Settings) -> ConnectRequest:
        return self._connect(settings, settings.key if _way(settings) == "token" else "")

    def prepare(self, settings: Settings) -> Generator[HttpRequest, HttpResponse, ConnectRequest]:
        if _way(settings) != "exchange":
            return self.connect(settings)
        response = yield _token_request(settings)
        return self._connect(settings, _token(response))

    def _connect(self, settings: Settings, token: str) -> ConnectRequest:
        settings = _in_region(settings)
        if settings.options.get("languages"):
            settings = dataclasses.replace(settings, language=None)
        plain = self._profile.connect(settings)
        url = plain.url
        if settings.options.get("languages"):
            url += ("&" if urlsplit(url).query else "?") + "lidEnabled=true"
        return ConnectRequest(url, _authorised(plain.headers, token), plain.subprotocols)

    def converse(self, settings: Settings) -> Conversation:
        return AzureConversation(self._profile.converse(settings), settings, speech_context(settings))

    def check(self, settings: Settings) -> None:
        settings = _in_region(settings)
        self._profile.check(settings)
        if not (settings.language or settings.options.get("languages")):
            raise ConfigurationError(
                f"{self.name}: name the language, or set the option 'languages' to those that may be spoken"
            )

    def describe(self) -> Mapping[str, Any]:
        return self._profile.describe()


class AzureBatch(BatchProtocol):
    """A service over HTTP: fast transcription, or short audio where the URL says so.

    Args:
        profile: of the service.
        short: of the service for short audio, where *profile* is another.
    """

    def __init__(self, profile: BatchProtocol, short: BatchProtocol | None = None) -> None:
        self.name = profile.name
        self.aligned_words = profile.aligned_words
        self.diarization = profile.diarization
        self.sample_rates = profile.sample_rates
        self._profile = profile
        self._short = short

    def place(self, settings: Settings) -> str:
        return _in_region(settings).url

    def _service(self, settings: Settings) -> BatchProtocol:
        is_short = self._short is not None and _SHORT_AUDIO.search(settings.url)
        return cast(BatchProtocol, self._short) if is_short else self._profile

    def request(self, audio: Pcm, settings: Settings) -> HttpRequest:
        return self._request(audio, settings, settings.key if _way(settings) == "token" else "")

    def _request(self, audio: Pcm, settings: Settings, token: str) -> HttpRequest:
        plain = self._service(settings).request(audio, _in_region(settings))
        return dataclasses.replace(plain, headers=_authorised(plain.headers, token))

    def parse(self, response: HttpResponse, settings: Settings) -> Recognition:
        reply = response.json()
        if isinstance(reply, dict) and reply.get("RecognitionStatus") == _SERVICE_ERROR:
            # the other statuses say that nobody spoke
            raise JobFailed(Failure(f"the service failed (RecognitionStatus {_SERVICE_ERROR})", Verdict.TRANSIENT))
        return self._service(settings).parse(_with_speakers(response, reply), settings)

    def recognise(self, audio: Pcm, settings: Settings) -> BatchFlow:
        token = settings.key if _way(settings) == "token" else ""
        if _way(settings) == "exchange":
            issued = yield _token_request(settings)
            assert issued is not None, "a request is answered by a response"
            token = _token(issued)
        response = yield self._request(audio, settings, token)
        assert response is not None, "a request is answered by a response"
        return self.parse(response, settings)

    def failure(self, response: HttpResponse) -> Failure:
        return self._profile.failure(response)

    def check(self, settings: Settings) -> None:
        settings = _in_region(settings)
        service = self._service(settings)
        service.check(settings)
        if (service is not self._profile or self._short is None) and not settings.language:
            raise ConfigurationError(f"{self.name}: the service for short audio must be told the language")

    def describe(self) -> Mapping[str, Any]:
        return self._profile.describe()


def _way(settings: Settings) -> str:
    """How the key is used: ``key``, ``token`` or ``exchange``."""
    return str(settings.options.get("authentication") or "key")


def _in_region(settings: Settings) -> Settings:
    """*settings* with the region in the URL, if the URL wants one.

    Raises:
        ConfigurationError: no region is known, or it is none.
    """
    if REGION not in settings.url:
        return settings
    options = settings.options
    region = options.get("region") or options.get("speech_region") or os.environ.get(_REGION_VARIABLE)
    if not region:
        raise ConfigurationError(
            f"azure: the region is missing: set speech_region (like 'westeurope') or {_REGION_VARIABLE},"
            " or give the whole URL"
        )
    if not re.fullmatch(r"[a-z0-9-]+", str(region)):
        raise ConfigurationError("azure: speech_region must be the short name of a region, like 'westeurope'")
    url = settings.url
    for beginning, (recognition, rest) in _CLOUDS.items():
        if str(region).startswith(beginning):
            url = url.replace(f"{REGION}.stt.speech.{_GLOBAL}", f"{REGION}.stt.speech.{recognition}")
            url = url.replace(f"{REGION}.api.cognitive.{_GLOBAL}", f"{REGION}.api.cognitive.{rest}")
    return dataclasses.replace(settings, url=url.replace(REGION, str(region)))


def _authorised(headers: Mapping[str, str], token: str) -> dict[str, str]:
    """*headers*, with *token* instead of the key if there is one."""
    if not token:
        return dict(headers)
    rest = {name: value for name, value in headers.items() if name.lower() != _KEY_HEADER}
    return {**rest, "Authorization": f"Bearer {token}"}


def _token_request(settings: Settings) -> HttpRequest:
    given = settings.options.get("token_url")
    parts = urlsplit(_in_region(settings).url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    regional = _REGIONAL_HOST.fullmatch(parts.netloc)
    host = parts.netloc
    if regional:
        domain = dict(_CLOUDS.values()).get(regional.group(2), regional.group(2))
        host = f"{regional.group(1)}.api.cognitive.{domain}"
    url = str(given) if given else urlunsplit((scheme, host, _TOKEN_PATH, "", ""))
    return HttpRequest("POST", url, {"Ocp-Apim-Subscription-Key": settings.key}, b"")


def _token(response: HttpResponse) -> str:
    token = response.text().strip()
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ValueError("the answer to the exchange of the key is no token")
    return token


def _with_speakers(response: HttpResponse, reply: Any) -> HttpResponse:
    """*response* with the speaker of every phrase at its words as well, where its profile looks for them."""
    phrases = reply.get("phrases") if isinstance(reply, dict) else None
    if not isinstance(phrases, list):
        return response
    for phrase in phrases:
        words = phrase.get("words") if isinstance(phrase, dict) else None
        for word in words if isinstance(words, list) else ():
            if isinstance(word, dict) and "speaker" in phrase:
                word["speaker"] = phrase["speaker"]
    return HttpResponse(response.status, response.headers, orjson.dumps(reply))


def _vendor() -> Vendor:
    vendor = vendor_in_file(Path(__file__).with_suffix(".yaml"))
    short = vendor_in_file(Path(__file__).with_name("azure_short_audio.yaml"))
    assert vendor.streaming is not None and vendor.batch is not None and short.batch is not None
    return dataclasses.replace(
        vendor, streaming=AzureStreaming(vendor.streaming), batch=AzureBatch(vendor.batch, short.batch)
    )


VENDOR = _vendor()
