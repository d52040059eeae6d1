"""What a dialect is: the routes of one vendor's API, answered by the one recogniser, synthesiser and responder.

To add one, write a module with a subclass of `Dialect` and name it in `dialects/__init__.py`. A dialect reads
requests and writes results in its vendor's words; it raises `RequestFailed` for whatever a client did wrong,
and its `error` gives that the vendor's shape. Keys, size limits, a full server and crashes are handled for
it.
"""

from __future__ import annotations

import abc
import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from aiohttp import web

from ..audio import BadAudio, TooLong, decode_file, from_pcm
from ..options import ServerOptions
from ..recogniser import Busy, Recogniser, RecogniserFailed, Transcript, transcribe
from ..synthesiser import SynthesisError

__all__ = ["Dialect", "Handler", "RequestFailed", "Services", "failure_of"]

logger = logging.getLogger(__name__)

_CLIENT_LEFT = 499  # as nginx calls it in its log

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestFailed(Exception):
    """A request that cannot be answered: an HTTP status, what happened, and a short code for programs."""

    def __init__(
        self, status: int, message: str, code: str = "", *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or _CODES.get(status, "error")
        self.headers = headers or {}


_CODES = {
    400: "invalid_request",
    401: "invalid_api_key",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    415: "unsupported_message",
    500: "internal_error",
    503: "overloaded",
}


def failure_of(error: Exception) -> RequestFailed | None:
    """What a client should be told about an exception; None for one that is a fault of the server."""
    if isinstance(error, RequestFailed):
        return error
    if isinstance(error, Busy):
        return RequestFailed(503, str(error), headers={"Retry-After": str(error.retry_after)})
    if isinstance(error, TooLong):
        return RequestFailed(413, str(error))
    if isinstance(error, BadAudio):
        return RequestFailed(400, str(error), "invalid_audio")
    if isinstance(error, SynthesisError):
        return RequestFailed(400, str(error))
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return RequestFailed(413, error.text or "the request body is too large")
    if isinstance(error, RecogniserFailed):
        return RequestFailed(500, str(error))
    return None


@dataclass(frozen=True)
class Services:
    """What the dialects of a server share."""

    options: ServerOptions
    recogniser: Recogniser
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    """Open WebSockets, which a server that stops closes first."""

    async def transcribe_file(self, data: bytes, language: str | None = None) -> Transcript:
        """The text of a whole audio file."""
        pcm = await asyncio.to_thread(decode_file, data, self.options.max_audio_seconds)
        return await self._transcribe(pcm, language)

    async def transcribe_pcm(
        self, pcm: bytes, sample_rate: int, channels: int = 1, language: str | None = None
    ) -> Transcript:
        """The text of a whole recording of bare 16-bit PCM."""
        if len(pcm) > self.options.max_audio_seconds * 2 * sample_rate * channels:
            raise TooLong(f"the recording is longer than {self.options.max_audio_seconds:g} s")
        converted = await asyncio.to_thread(from_pcm, pcm, sample_rate, channels)
        return await self._transcribe(converted, language)

    def language(self, wanted: str | None) -> str:
        """The base code of a language a client asked for; `RequestFailed` for one the model does not know."""
        known = self.recogniser.languages
        base = (wanted or "").replace("_", "-").partition("-")[0].lower()
        if known is None:
            return base
        if base in {"", "auto", "multi"}:
            return sorted(known)[0]
        if base not in known:
            raise RequestFailed(
                400, f"language {wanted!r}: {self.recogniser.name} knows {', '.join(sorted(known))}"
            )
        return base

    def check_model(self, wanted: str | None, aliases: Iterable[str] = ()) -> None:
        """Raise `RequestFailed` for a speech-to-text model this server does not have."""
        known = {self.recogniser.name, *aliases}
        if wanted and wanted not in known:
            raise RequestFailed(
                404,
                f"there is no model {wanted!r}; this server has: {', '.join(sorted(known))}",
                "model_not_found",
            )

    async def _transcribe(self, pcm: bytes, language: str | None) -> Transcript:
        spoken = self.language(language)
        session = await self.recogniser.open(wait_seconds=self.options.queue_seconds)
        try:
            return await transcribe(session, pcm, spoken)
        finally:
            await session.aclose()


class Dialect(abc.ABC):
    """One vendor's way to ask and to answer."""

    name: ClassVar[str]

    def __init__(self, services: Services) -> None:
        self.services = services

    @abc.abstractmethod
    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """Method, path and handler of everything this dialect answers."""

    @abc.abstractmethod
    def error(self, failure: RequestFailed) -> web.Response:
        """A failure in the vendor's shape."""

    def api_key(self, request: web.Request) -> str | None:
        """The key a request carries; most vendors take ``Authorization: Bearer KEY``."""
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else None

    def guarded(self, handler: Handler) -> Handler:
        """``handler`` behind the key check, with every failure answered in the dialect's shape."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._check_key(request)
                return await handler(request)
            except Exception as error:
                failure = failure_of(error)
                if failure is None:
                    if isinstance(error, web.HTTPException):
                        raise
                    if isinstance(error, ConnectionError):
                        logger.info("%s: a client left before its answer was complete", self.name)
                        return web.Response(status=_CLIENT_LEFT)  # which nobody reads
                    logger.exception("%s: %s %s failed", self.name, request.method, request.path)
                    failure = RequestFailed(500, "the server failed on this request; its log says why")
                response = self.error(failure)
                response.headers.update(failure.headers)
                return response

        return answer

    def knows(self, key: str) -> bool:
        """Whether *key* is one of those this server was started with; any is, where it was started with none."""
        keys = self.services.options.api_keys
        return not keys or any(hmac.compare_digest(key.encode(), known.encode()) for known in keys)

    def _check_key(self, request: web.Request) -> None:
        if not self.services.options.api_keys:
            return  # then no dialect is asked for the key either: some refuse a request that has none they know
        given = self.api_key(request) or ""
        if not self.knows(given):
            what = "wrong API key" if given else "no API key given"
            raise RequestFailed(401, f"{what}; send one of the keys this server was started with")
