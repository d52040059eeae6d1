"""Speech to text over HTTP: one recording in, one final transcript out."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
from livekit.agents import APIError, stt
from livekit.agents.types import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    NotGivenOr,
)
from livekit.agents.utils import is_given

from ..base import ConfigurationError
from ..protocol import AudioForm, Backoff, Failure, Pcm, Recognition, Settings, Verdict
from ..redaction import Secret, is_secret_name, secrets_in_url
from ..transport.checks import (
    MaskedHeaders,
    check_choice,
    check_headers,
    check_mapping,
    check_name,
    check_url,
    environment_key,
    located,
    positive_count,
    positive_seconds,
    secret_key,
)
from ..transport.exchange import MAX_RESPONSE_BYTES, run_flow
from ..transport.failures import ConnectionFailed, api_error, failure_of_exception
from ..transport.sessions import SessionSource
from ..vendors import GENERIC, find_vendor
from .adapter import OnFailure, STTAdapter, given
from .hook import Hook, failure_of_hook
from .recording import at_rate, pcm_of
from .results import final_event

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Body", "CustomHTTPSTTAdapter"]

logger = logging.getLogger("agents.providers.stt")

Body = Literal["wav", "pcm", "multipart", "json"]
"""How the generic protocol sends audio: a WAV file, raw PCM, a form with a WAV file, or JSON with it in base64."""

# What a subclass' own request can meet on the way, besides bugs.
_TRANSPORT_ERRORS = (aiohttp.ClientError, asyncio.TimeoutError, TimeoutError, ConnectionError, ssl.SSLError)


class CustomHTTPSTTAdapter(STTAdapter):
    """Any speech-to-text service that takes a whole recording over HTTP.

    AgentSession cuts the speech out with its VAD and sends each utterance; :meth:`recognize` works alone. A
    service with a request format of its own needs a subclass that overrides :meth:`_send_audio_chunk`.

    Args:
        endpoint_url: ``https://…``; ``http://…`` for services that get no credentials, and on this machine.
        api_key: the credential, or ``"${env:NAME}"``. By default the vendor's usual environment variable.
        language: BCP-47 tag; ``None`` leaves it to the vendor.
        headers: additional HTTP headers; values may hold ``${env:NAME}``.
        request_timeout: seconds for one attempt, from connecting to the last byte.
        sample_rate: Hz of the audio that ``_send_audio_chunk`` gets, and of audio for a vendor that does not take
            the rate it comes in. Others get the rate it comes in.
        vendor: a built-in name, the path of a profile, a profile or protocol object, or ``"auto"``: recognised by
            the URL's host, else the generic protocol.
        model: the vendor's name of the model.
        options: the vendor's own parameters.
        on_failure: ``"degrade"``: a passing failure is retried here, and when the retries are spent the result is
            an empty final; ``"raise"``: it raises LiveKit's typed errors, and LiveKit retries. What cannot pass,
            like a wrong key, raises at once in both.
        http_session: is used instead of an own session, and never closed.
        body: how the generic protocol sends the audio.
        connect_timeout, read_timeout: seconds for the connection, and between two pieces of the answer.
        max_response_bytes: a longer answer is refused.

    Raises:
        ConfigurationError: something above cannot work; the message says what to change.
    """

    def __init__(
        self,
        endpoint_url: str,
        api_key: str | Secret | None = None,
        language: str | None = "en-US",
        headers: Mapping[str, str] | None = None,
        request_timeout: float = 30,
        sample_rate: int = 16000,
        *,
        vendor: Any = "auto",
        model: str | None = None,
        options: Mapping[str, Any] | None = None,
        on_failure: OnFailure = "degrade",
        http_session: aiohttp.ClientSession | None = None,
        body: Body = "wav",
        connect_timeout: float = 10.0,
        read_timeout: float | None = None,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
    ) -> None:
        schemes = ("http", "https")
        endpoint_url = check_url(
            endpoint_url, setting="endpoint_url", schemes=schemes, has_key=False, placeholders=True
        )
        found = find_vendor(vendor, url=endpoint_url)
        if found.batch is None:
            raise ConfigurationError(found.instead_of("batch"))
        super().__init__(
            sample_rate=sample_rate,
            streaming=False,
            interim_results=False,
            diarization=found.batch.diarization,
            aligned_transcript="word" if found.batch.aligned_words else False,
        )
        self._vendor_name = found.name
        self._default_model = found.default_model
        self._protocol = found.batch
        self._key = secret_key(api_key) or environment_key(found.key_environment)
        self._key_variables = found.key_variables
        self.endpoint_url = endpoint_url
        self.language = check_name(language, setting="language")
        self.headers = MaskedHeaders(check_headers(headers))
        self._bearer = Secret(f"Bearer {self._key.reveal()}") if self._key else None
        carries = self._carries_credentials()
        check_url(endpoint_url, setting="endpoint_url", schemes=schemes, has_key=carries, placeholders=True)
        if self._bearer and not any(name.lower() == "authorization" for name in self.headers):
            self.headers["Authorization"] = self._bearer.reveal()
        check_choice(on_failure, ("degrade", "raise"), setting="on_failure")
        check_choice(body, ("wav", "pcm", "multipart", "json"), setting="body")
        if body != "wav" and found.name != GENERIC:
            raise ConfigurationError(f"body is for the generic protocol only: {found.name} has a form of its own")
        self._body = body
        self._on_failure = on_failure
        self._model = check_name(model, setting="model")
        self._options = check_mapping(options, setting="options")
        self._request_timeout = positive_seconds(request_timeout, setting="request_timeout")
        self._connect_timeout = positive_seconds(connect_timeout, setting="connect_timeout")
        self._read_timeout = (
            None if read_timeout is None else positive_seconds(read_timeout, setting="read_timeout")
        )
        self._max_response_bytes = positive_count(max_response_bytes, setting="max_response_bytes")
        self._sessions = SessionSource(http_session)
        self._own_request = Hook(type(self).__name__)
        self._given_url = endpoint_url
        self.endpoint_url = self._located()
        self._protocol.check(self._settings(language=self.language, sample_rate=sample_rate))

    @property
    def model(self) -> str:
        """The vendor's name of the model; "unknown" when that is the vendor's choice."""
        return self._model or self._default_model or "unknown"

    @property
    def provider(self) -> str:
        """The vendor's name."""
        return self._vendor_name

    @property
    def key(self) -> str | None:
        """The key in plain, for a request of a subclass' own that wants it elsewhere than in :attr:`headers`."""
        return self._key.reveal() if self._key else None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session to make requests on, for a subclass. Take it anew for each, and leave it open."""
        return self._sessions.get()

    def update_options(
        self,
        *,
        language: NotGivenOr[str | None] = NOT_GIVEN,
        model: NotGivenOr[str | None] = NOT_GIVEN,
        options: NotGivenOr[Mapping[str, Any]] = NOT_GIVEN,
    ) -> None:
        """Change what is given, from the next call on; calls under way keep what they began with.

        Args:
            options: the vendor's own parameters to set, on top of those set already.

        Raises:
            ConfigurationError: the vendor does not take it. Nothing has changed then.
        """
        before = self.language, self._model, self._options, self.endpoint_url
        try:
            if is_given(language):
                self.language = check_name(language, setting="language")
            if is_given(model):
                self._model = check_name(model, setting="model")
            if is_given(options):
                self._options = {**self._options, **check_mapping(options, setting="options")}
            if is_given(options) and "{" in self._given_url:
                self.endpoint_url = self._located()
            self._protocol.check(self._settings(language=self.language, sample_rate=self.sample_rate))
        except ConfigurationError:
            self.language, self._model, self._options, self.endpoint_url = before
            raise

    async def __aenter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Close the connections, unless the session was given."""
        await self._sessions.aclose()

    def wav(self, audio_data: bytes) -> bytes:
        """*audio_data*, as :meth:`_send_audio_chunk` gets it, as a WAV file."""
        return Pcm(audio_data, self.sample_rate).wav()

    async def _send_audio_chunk(self, audio_data: bytes) -> str:
        """Have one utterance recognised; override this for a request format of your own.

        An override may raise what aiohttp raises: that is retried and reported like the adapter's own failures.

        Args:
            audio_data: signed 16-bit little-endian mono PCM at :attr:`sample_rate`; :meth:`wav` makes it a file.

        Returns:
            The text; empty when nothing was said.

        Raises:
            APIError: of LiveKit's types; ``retryable`` says whether another try can help.
        """
        settings = self._settings(language=self.language, sample_rate=self.sample_rate)
        recording = Pcm(audio_data, self.sample_rate)
        try:
            return (await self._ask(recording, settings, self._timeout(DEFAULT_API_CONNECT_OPTIONS))).text
        except ConnectionFailed as failed:
            failure = failed.failure
        raise self._api_error(failure, settings) from None

    async def _recognize_impl(
        self,
        buffer: Any,
        *,
        language: NotGivenOr[str] | None = NOT_GIVEN,
        conn_options: APIConnectOptions | None = None,
    ) -> stt.SpeechEvent:
        """The final transcript of *buffer*: frames, or anything with ``data`` and ``sample_rate``.

        Args:
            language: instead of the adapter's.
            conn_options: LiveKit's defaults when ``None``.

        Raises:
            APIError: a failure that cannot pass; with ``on_failure="raise"`` any failure.
            TypeError, ValueError: *buffer* is not audio, or audio of mixed rates.
        """
        conn_options = conn_options or DEFAULT_API_CONNECT_OPTIONS
        recording = pcm_of(buffer, sample_rate=self.sample_rate)
        if self._overridden:
            recording = at_rate(recording, self.sample_rate)
        elif self._protocol.sample_rates is not None:
            form = AudioForm(sample_rates=self._protocol.sample_rates)
            recording = at_rate(recording, form.wire_rate(recording.sample_rate, self.sample_rate))
        settings = self._settings(language=given(language) or self.language, sample_rate=recording.sample_rate)
        if not recording.data:
            return final_event(Recognition(text=""), settings)
        self.stats.audio_seconds += recording.duration
        if self._on_failure == "degrade":
            recognition = await self._persist(recording, settings, conn_options)
        else:
            outcome = await self._attempt(recording, settings, conn_options)
            if isinstance(outcome, _Failed):
                raise outcome.error from None
            recognition = outcome
        return final_event(recognition, settings)

    async def _persist(self, recording: Pcm, settings: Settings, conn_options: APIConnectOptions) -> Recognition:
        """Try until there is a result or the retries are spent; then the result is empty.

        All waits together are no longer than one attempt may be, so a call has an end also when the vendor
        asks for patience.
        """
        interval = conn_options.retry_interval
        backoff = Backoff(base=min(0.25, interval), cap=interval)
        patience = self._request_timeout
        retries_left = conn_options.max_retry
        while True:
            outcome = await self._attempt(recording, settings, conn_options)
            if isinstance(outcome, Recognition):
                return outcome
            error = outcome.error
            if not error.retryable:
                raise error from None
            self._emit_error(error, recoverable=True)
            delay = backoff.next_delay(outcome.retry_after)
            if retries_left == 0 or delay > patience:
                break
            logger.warning("%s; trying again in %.1f s", error.message, delay)
            patience -= delay
            retries_left -= 1
            await asyncio.sleep(delay)
            self.stats.reconnects += 1
        self.stats.empty_results += 1
        logger.warning("%s; giving up: %.1f s of speech have no transcript", error.message, recording.duration)
        return Recognition(text="")

    async def _attempt(
        self, recording: Pcm, settings: Settings, conn_options: APIConnectOptions
    ) -> Recognition | _Failed:
        """Try once. A failure is returned, so that what is raised in the end has no cause to print."""
        self.stats.connects += 1
        retry_after: float | None = None
        try:
            if self._overridden:
                asked = self._send_audio_chunk(recording.data)
                return Recognition(
                    await self._own_request.text(asked, recording.data, timeout=self._request_timeout)
                )
            return await self._ask(recording, settings, self._timeout(conn_options))
        except APIError as typed:
            error = typed
        except ConnectionFailed as failed:
            error = self._api_error(failed.failure, settings)
            retry_after = failed.failure.retry_after
        except _TRANSPORT_ERRORS as raw:
            failure = failure_of_exception(raw, settings, doing="waiting for the answer")
            error = self._api_error(failure, settings)
            retry_after = failure.retry_after
        except Exception as raw:
            if not self._overridden:
                raise
            error = self._api_error(failure_of_hook(raw), settings)
        if error.retryable:
            self.stats.transient_failures += 1
        else:
            self.stats.permanent_failures += 1
        return _Failed(error, retry_after)

    async def _ask(self, recording: Pcm, settings: Settings, timeout: aiohttp.ClientTimeout) -> Recognition:
        """Carry out the vendor's protocol once.

        Raises:
            ConnectionFailed: there is no result.
        """
        recognition = await run_flow(
            self._protocol.recognise(recording, settings),
            self._sessions.get(),
            settings=settings,
            timeout=timeout,
            max_bytes=self._max_response_bytes,
            judge=self._protocol.failure,
        )
        verdict = self._protocol.judge_result(recognition)
        if verdict is None or verdict is Verdict.IGNORE:
            return recognition
        raise ConnectionFailed(Failure("the answer reports an error", verdict, detail={"malformed": True}))

    @property
    def _overridden(self) -> bool:
        """Whether a subclass, or a test that replaces it on the object, has a request of its own."""
        method = getattr(self._send_audio_chunk, "__func__", None)
        return method is not CustomHTTPSTTAdapter._send_audio_chunk

    def _located(self) -> str:
        """The URL that was given, with what it leaves open filled in."""
        given = replace(self._settings(language=None, sample_rate=self.sample_rate), url=self._given_url)
        return located(self._protocol, given, setting="endpoint_url").url

    def _settings(self, *, language: str | None, sample_rate: int) -> Settings:
        """What the protocol needs for one call: a copy, so that a change does not reach calls under way."""
        options = dict(self._options)
        if self._vendor_name == GENERIC:
            options.setdefault("body", self._body)
        return Settings(
            url=self.endpoint_url,
            api_key=self._key,
            language=language,
            model=self._model,
            sample_rate=sample_rate,
            interim_results=False,
            options=options,
            # the protocol knows itself how its vendor wants the key
            headers={k: v for k, v in self.headers.items() if k != "Authorization" or Secret(v) != self._bearer},
            key_variables=self._key_variables,
        )

    def _timeout(self, conn_options: APIConnectOptions) -> aiohttp.ClientTimeout:
        """The time for one attempt; LiveKit's timeout is about connecting."""
        connect = min(self._connect_timeout, conn_options.timeout or self._connect_timeout)
        return aiohttp.ClientTimeout(total=self._request_timeout, connect=connect, sock_read=self._read_timeout)

    def _api_error(self, failure: Failure, settings: Settings) -> APIError:
        return api_error(failure, vendor=self._vendor_name, settings=settings)

    def _carries_credentials(self) -> bool:
        """Whether a request holds anything that may not go over the network in clear text."""
        return bool(self._key or secrets_in_url(self.endpoint_url) or any(map(is_secret_name, self.headers)))


@dataclass(frozen=True)
class _Failed:
    """An attempt without a result; *retry_after* is the wait in seconds that the vendor asks for."""

    error: APIError
    retry_after: float | None = None
