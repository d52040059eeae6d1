"""Text to speech over HTTP: a text in, audio out as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

from ..base import ConfigurationError
from ..protocol import (
    AnswerReader,
    Audio,
    Failure,
    HttpResponse,
    Settings,
    SynthesisForm,
    SynthesisProtocol,
    Verdict,
    form_of,
    is_audio,
    is_page,
    judge_status,
)
from ..protocol.batch import error_text
from ..protocol.media import has_sound_parameters
from ..redaction import Secret
from ..transport.bounded import bounded
from ..transport.checks import MaskedHeaders, positive_seconds
from ..transport.event_loops import PerLoop
from ..transport.exchange import Answer, open_answer
from ..transport.failures import ConnectionFailed
from ..vendors import Vendor
from .adapter import TTSAdapter, find_voice
from .http_stream import HTTPSpeechStream
from .sound import decoded
from .timely import given_by, timely

__all__ = ["CustomHTTPTTSAdapter"]

_MAX_ERROR_BYTES = 64 * 1024
_PREWARM_SECONDS = 5.0


class CustomHTTPTTSAdapter(TTSAdapter):
    """Any text-to-speech service that takes a text over HTTP and answers with audio, as LiveKit's ``tts.TTS``.

    AgentSession feeds it sentence by sentence. The audio goes on as it comes; its ``Content-Type`` says what it
    is: PCM, µ-law, WAV, MP3, Ogg/Opus, FLAC, AAC. Audio at another rate than *sample_rate* is resampled. A service
    with a request of its own needs a profile file, or a subclass that overrides :meth:`_synthesize`.

    Args:
        endpoint_url: ``https://…``; ``http://…`` for services that get no credentials, and on this machine.
        api_key: the credential, or ``"${env:NAME}"``. By default the vendor's usual environment variable.
        voice: the vendor's name of the voice.
        model: the vendor's name of the model.
        language: BCP-47 tag of what is to be said; ``None`` leaves it to the voice.
        headers: additional HTTP headers; values may hold ``${env:NAME}``.
        request_timeout: seconds for one attempt, from connecting until audio comes. A vendor that asks for a
            longer pause is not asked again.
        sample_rate: Hz of the audio that is given to LiveKit, and asked of a vendor that lets one ask.
        vendor: a built-in name, the path of a profile, a profile or protocol object, or ``"auto"``: recognised by
            the URL's host, else the generic protocol.
        options: the vendor's own parameters; an unknown one is an error that names the known ones.
        media_type: what the audio is, as ``"audio/mpeg"`` or ``"audio/pcm;rate=16000"``, whatever the service
            says. By default its Content-Type is believed.
        http_session: is used instead of an own session, and never closed.
        connect_timeout, read_timeout: seconds for the connection, and between two pieces of the audio.

    Raises:
        ConfigurationError: something above cannot work; the message says what to change.
    """

    media_type: str | None = None
    """What :meth:`_synthesize` yields, where a subclass yields something else than PCM at ``sample_rate``."""

    def __init__(
        self,
        endpoint_url: str,
        api_key: str | Secret | None = None,
        voice: str | None = None,
        model: str | None = None,
        language: str | None = None,
        headers: Mapping[str, str] | None = None,
        request_timeout: float = 30,
        sample_rate: int = 24000,
        *,
        vendor: str | Path | Vendor | SynthesisProtocol = "auto",
        options: Mapping[str, Any] | None = None,
        media_type: str | None = None,
        http_session: aiohttp.ClientSession | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 10.0,
    ) -> None:
        self._request_timeout = positive_seconds(request_timeout, setting="request_timeout")
        found, protocol = find_voice(vendor, "synthesis", url=endpoint_url)
        super().__init__(
            endpoint_url,
            setting="endpoint_url",
            schemes=("http", "https"),
            vendor=found,
            protocol=protocol,
            api_key=api_key,
            voice=voice,
            model=model,
            language=language,
            headers=headers,
            sample_rate=sample_rate,
            options=options,
            http_session=http_session,
            patience=self._request_timeout,
        )
        if media_type is not None:
            self.media_type = media_type
        if self.media_type is not None and not is_audio(self.media_type):
            raise ConfigurationError(
                "media_type must name audio, as in 'audio/mpeg' or 'audio/pcm;rate=16000',"
                f" not {self.media_type!r}"
            )
        if self.media_type is not None and not has_sound_parameters(self.media_type):
            raise ConfigurationError(
                f"media_type has a rate that is no number of Hz, or too many channels: {self.media_type!r}"
            )
        self._synthesis: SynthesisProtocol = protocol
        self._connect_timeout = positive_seconds(connect_timeout, setting="connect_timeout")
        self._read_timeout = positive_seconds(read_timeout, setting="read_timeout")
        self._streams: PerLoop[weakref.WeakSet[HTTPSpeechStream]] = PerLoop(weakref.WeakSet)
        self._prewarming: PerLoop[list[asyncio.Task[None]]] = PerLoop(list)

    @property
    def endpoint_url(self) -> str:
        """Where the service is."""
        return self._settings.url

    @property
    def headers(self) -> dict[str, str]:
        """For a request of a subclass' own: the headers given, and the key as ``Authorization: Bearer``."""
        headers = MaskedHeaders(self._settings.headers)
        if self._settings.key and not any(name.lower() == "authorization" for name in headers):
            headers["Authorization"] = f"Bearer {self._settings.key}"
        return headers

    @property
    def key(self) -> str | None:
        """The key in plain, for a request of a subclass' own that wants it elsewhere than in :attr:`headers`."""
        return self._settings.key or None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session to make requests on, for a subclass. Take it anew for each, and leave it open."""
        return self._sessions.get()

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> HTTPSpeechStream:
        """*text* as audio. The request is on its way when this returns; closing the stream breaks it off.

        Args:
            conn_options: how often LiveKit retries while nothing was heard, and how long a connection may take.

        Raises (while the stream is read):
            APIError: of LiveKit's types, without the text and without credentials.
        """
        stream = HTTPSpeechStream(self, text, conn_options=conn_options, settings=self._settings)
        self._streams.here().add(stream)
        return stream

    def prewarm(self) -> None:
        """Open a connection for the next request, where an event loop runs; a failure is left to that request."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # no event loop yet: the first request connects by itself
        under_way = self._prewarming.here()
        if not under_way:
            task = loop.create_task(self._connect(), name="voxport.prewarm")
            under_way.append(task)
            task.add_done_callback(under_way.remove)

    async def aclose(self) -> None:
        """Break off what is being said on this event loop, and close its connections, unless the session was
        given."""
        prewarming = [*(self._prewarming.take() or ())]
        for task in prewarming:
            task.cancel()
        await asyncio.gather(*prewarming, return_exceptions=True)
        for stream in list(self._streams.take() or ()):
            await stream.aclose()
        await super().aclose()

    async def _synthesize(self, text: str) -> AsyncIterator[bytes]:
        """Have *text* spoken; override this for a request of your own.

        An override is an async generator. It may call this one with a text of its own, and may raise what aiohttp
        raises: that is retried and reported like the adapter's own failures.

        Yields:
            Signed 16-bit little-endian mono PCM at :attr:`sample_rate`, in pieces of any size; an override may
            yield what it says in :attr:`media_type`.
        """
        async with aclosing(self._ask(text, self._settings, DEFAULT_API_CONNECT_OPTIONS)) as speech:
            async for pcm in speech:
                yield pcm

    @property
    def overridden(self) -> bool:
        """Whether a subclass, or a test that replaces it on the object, has a request of its own."""
        return getattr(self._synthesize, "__func__", None) is not CustomHTTPTTSAdapter._synthesize

    def _speech(
        self, text: str, settings: Settings, conn_options: APIConnectOptions
    ) -> AsyncGenerator[bytes, None]:
        """*text* as PCM, by a subclass' own request or by the vendor's protocol."""
        if not self.overridden:
            return self._ask(text, settings, conn_options)
        form = SynthesisForm("audio/pcm", self.sample_rate)
        if self.media_type is not None:
            form = form_of(self.media_type, form)
        self.stats.connects += 1
        return decoded(
            self._in_time(given_by(self._synthesize, text), self._request_timeout), form, self.sample_rate
        )

    def _in_time(self, pieces: AsyncGenerator[bytes, None], seconds: float) -> AsyncGenerator[bytes, None]:
        return timely(pieces, seconds, self._read_timeout)

    async def _ask(
        self, text: str, settings: Settings, conn_options: APIConnectOptions
    ) -> AsyncGenerator[bytes, None]:
        """Carry out the vendor's protocol once.

        Raises:
            ConnectionFailed: there is no audio, or no more.
            BadAudio: it is not what it said it was.
        """
        connect = min(self._connect_timeout, conn_options.timeout or self._connect_timeout)
        longest = max(self._request_timeout, self._read_timeout)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._request_timeout
        self.stats.connects += 1
        answer = await open_answer(
            self._sessions.get(),
            self._synthesis.request(text, settings),
            settings=settings,
            timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_read=longest),
            judge=self._synthesis.failure,
        )
        async with answer:
            reader = self._synthesis.reader(answer.head, settings)
            form = await self._form(answer, settings, wrapped=reader is not None)
            pieces = self._in_time(_pieces(answer, reader), deadline - loop.time())
            async with aclosing(decoded(pieces, form, self.sample_rate)) as speech:
                async for pcm in speech:
                    yield pcm

    async def _form(self, answer: Answer, settings: Settings, *, wrapped: bool) -> SynthesisForm:
        """What the audio is that is the answer's body, or is *wrapped* in it.

        Raises:
            ConnectionFailed: it is no audio. One that is JSON may be an error that passes.
        """
        declared = SynthesisForm("audio/pcm", self.sample_rate)
        try:
            if self.media_type is None or (is_page(answer.head.content_type) and not wrapped):
                return self._synthesis.form(answer.head, settings)
            return form_of(self.media_type, declared)
        except ValueError as wrong:
            refusal = str(wrong)
        body = await bounded(_beginning(answer), self._read_timeout)
        failure = _failure_of_page(replace(answer.head, body=body), refusal, settings)
        raise ConnectionFailed(failure) from None

    async def _connect(self) -> None:
        """Ask the host something harmless, without credentials, so that the pool holds a connection to it."""
        parts = urlsplit(self._settings.url)
        with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
            async with self._sessions.get().options(
                urlunsplit((parts.scheme, parts.netloc, "/", "", "")),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=_PREWARM_SECONDS),
            ) as answer:
                await answer.content.read(_MAX_ERROR_BYTES)  # one that is not read to its end is no use


async def _beginning(answer: Answer) -> bytes:
    """So much of *answer* as an error needs."""
    body = b""
    while len(body) < _MAX_ERROR_BYTES and (piece := await answer.read()):
        body += piece
    return body[:_MAX_ERROR_BYTES]


async def _pieces(answer: Answer, reader: AnswerReader | None) -> AsyncGenerator[bytes, None]:
    """The audio of *answer*, which is its body, or what *reader* finds in that."""
    ended = False
    while not ended:
        piece = await answer.read()
        ended = not piece
        for event in _found(piece, reader):
            if isinstance(event, Failure):
                if event.status is None:
                    event.detail.setdefault("malformed", True)  # an answer came: the connection is not at fault
                raise ConnectionFailed(event)
            yield event.data


def _found(piece: bytes, reader: AnswerReader | None) -> Sequence[Audio | Failure]:
    """What a piece of the body holds; an empty one is its end."""
    if reader is None:
        return [Audio(piece)] if piece else ()
    try:
        return reader.push(piece) if piece else reader.finish()
    except ValueError as wrong:
        return [Failure(str(wrong), Verdict.PERMANENT, detail={"malformed": True})]


def _failure_of_page(response: HttpResponse, refusal: str, settings: Settings) -> Failure:
    """What an answer means that came with a successful status and is no audio."""
    if "json" not in response.content_type:
        return Failure(f"{refusal}: check the URL", Verdict.PERMANENT, detail={"malformed": True})
    reason = settings.redact(error_text(response), limit=300)
    verdict = Verdict.TRANSIENT
    with contextlib.suppress(ValueError):
        body = response.json()
        error = body.get("error", body) if isinstance(body, dict) else None
        for holder in (body, error):
            for name in ("code", "status", "status_code"):
                code = holder.get(name) if isinstance(holder, dict) else None
                if isinstance(code, int) and 400 <= code <= 599:
                    verdict = judge_status(code)
    return Failure(f"{refusal} ({reason})" if reason else refusal, verdict, detail={"malformed": True})
