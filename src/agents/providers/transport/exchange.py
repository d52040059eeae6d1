"""One HTTP exchange, and flows of several: what a protocol asks for is sent, what comes back is judged.

Batch recognition, language models, voices, and the requests a vendor wants before its WebSocket all go through
here.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, Union

import aiohttp
from aiohttp import hdrs
from yarl import URL

from ..base import ConfigurationError
from ..protocol import (
    Failure,
    FormField,
    HttpRequest,
    HttpResponse,
    JobFailed,
    Settings,
    Verdict,
    Wait,
    judge_status,
    retry_after_seconds,
)
from ..protocol.batch import error_text
from .answer import Answer
from .bounded import bounded
from .failures import ConnectionFailed, RedirectRefused, failure_of_exception, raise_bare, with_remedy

__all__ = [
    "MAX_RESPONSE_BYTES",
    "Answer",
    "Judge",
    "exchange",
    "failure_of_response",
    "open_answer",
    "run_flow",
]

MAX_RESPONSE_BYTES = 4 * 1024 * 1024
"""More than any transcript of an utterance; less than what hurts."""

_MAX_ERROR_BYTES = 64 * 1024  # of an error body; the reason stands at its beginning

_WAITING = "waiting for the answer"

_CANNOT_READ = (ValueError, LookupError, TypeError, AttributeError)

Judge = Callable[[HttpResponse], Failure]
"""What an unsuccessful response means: :meth:`~..protocol.BatchProtocol.failure`, or the default below."""

_T = TypeVar("_T")


async def exchange(
    session: aiohttp.ClientSession,
    request: HttpRequest,
    *,
    settings: Settings,
    timeout: aiohttp.ClientTimeout,
    max_bytes: int = MAX_RESPONSE_BYTES,
    judge: Judge | None = None,
) -> HttpResponse:
    """Send *request* and return the successful response, read whole.

    Args:
        session, request, settings, timeout, judge: as for :func:`open_answer`.
        max_bytes: a longer response, counted after decompression, is refused and its connection closed.

    Raises:
        ConnectionFailed: there is no successful response; ``.failure`` says why, and has no credentials in it.
    """
    answer = await open_answer(
        session, request, settings=settings, timeout=timeout, max_bytes=max_bytes, judge=judge
    )
    async with answer:
        body = bytearray()
        while piece := await answer.read():
            body += piece
            if len(body) > max_bytes:
                raise ConnectionFailed(_too_long(answer.head, max_bytes))
    return replace(answer.head, body=bytes(body))


async def open_answer(
    session: aiohttp.ClientSession,
    request: HttpRequest,
    *,
    settings: Settings,
    timeout: aiohttp.ClientTimeout,
    max_bytes: int = _MAX_ERROR_BYTES,
    judge: Judge | None = None,
) -> Answer:
    """Send *request* and return the successful answer, of which only the head has been read.

    Redirects are not followed, since they would carry credentials elsewhere. TLS is verified as the session does.

    Args:
        session: what to send it on; it stays open.
        request: what the protocol asks for.
        settings: whose credentials must not show in errors.
        timeout: of the whole exchange and of its parts, in seconds. Without a *total*, the body may go on for as
            long as it comes, but the answer must have begun within *sock_read*.
        max_bytes: of an unsuccessful answer, so much is read to find the reason in it, and never more than 64 KiB.
        judge: what an unsuccessful response means; by default its status and the usual error bodies.

    Raises:
        ConnectionFailed: there is no successful response; ``.failure`` says why, and has no credentials in it.
    """
    opening = partial(_open_answer, session, request, settings, timeout, max_bytes, judge)
    if timeout.total is None and timeout.sock_read is not None:
        return await _begun_within(timeout.sock_read, opening)
    return await opening()


async def _begun_within(seconds: float, opening: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """The answer, if it begins in time: each byte of a head that drips would buy another pause.

    Raises:
        ConnectionFailed: it does not, or fails.
    """
    opened: list[Answer] = []

    async def noted() -> Answer:
        opened.append(await opening())
        return opened[0]

    try:
        return await bounded(noted(), seconds)
    except asyncio.CancelledError:
        for answer in opened:  # it came in the same moment
            answer.close()
        raise
    except asyncio.TimeoutError:
        failure = Failure(f"timed out while {_WAITING}", detail={"timeout": True})
    raise_bare(failure)


async def _open_answer(
    session: aiohttp.ClientSession,
    request: HttpRequest,
    settings: Settings,
    timeout: aiohttp.ClientTimeout,
    max_bytes: int,
    judge: Judge | None,
) -> Answer:
    failure: Failure
    try:
        reply = await session.request(
            request.method,
            request.url,
            headers=_headers(request),
            data=_body(request),
            allow_redirects=False,
            timeout=timeout,
        )
        head = HttpResponse(
            status=reply.status,
            headers={name.lower(): value for name, value in reply.headers.items()},
            body=b"",
        )
        if reply.status < 300:
            return Answer(reply, head, settings)
        async with reply:
            if reply.status < 400:
                raise RedirectRefused(reply.status, _redirect_target(reply))
            reason = await _beginning(reply, min(max_bytes, _MAX_ERROR_BYTES))
        failure = _refusal(replace(head, body=reason), settings, judge, reply.request_info)
    except Exception as error:
        failure = failure_of_exception(error, settings, doing=_WAITING, session=session)
    # Outside the handler: aiohttp's exceptions hold the request with its headers, so none may stay in __context__.
    raise_bare(failure)


async def run_flow(
    flow: Generator[Union[HttpRequest, Wait], Any, _T],
    session: aiohttp.ClientSession,
    *,
    settings: Settings,
    timeout: aiohttp.ClientTimeout,
    max_bytes: int = MAX_RESPONSE_BYTES,
    judge: Judge | None = None,
) -> _T:
    """Carry out *flow* and return what it returns. The flow is closed whatever happens.

    Args:
        flow: yields requests and waits, and is sent the successful response to each request (``None`` after a
            wait): :meth:`~..protocol.BatchProtocol.recognise`, :meth:`~..protocol.StreamingProtocol.prepare`.
        session, settings, max_bytes, judge: as for :func:`exchange`.
        timeout: its *total* bounds the whole flow, waits included; the rest bounds each exchange.

    Raises:
        ConnectionFailed: an exchange failed, the time is up, the flow cannot make sense of a response, or the
            vendor says in one that the work failed.
        ConfigurationError: the flow refuses the settings.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout.total if timeout.total else None
    answer: HttpResponse | None = None
    try:
        while True:
            try:
                step = _advance(flow, answer, settings)
            except StopIteration as done:
                result: _T = done.value
                return result
            remaining = deadline - loop.time() if deadline is not None else None
            if remaining is not None and remaining <= (step.seconds if isinstance(step, Wait) else 0):
                raise ConnectionFailed(Failure("timed out: no result yet", detail={"timeout": True}))
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                answer = None
            else:
                answer = await exchange(
                    session,
                    step,
                    settings=settings,
                    timeout=_within(timeout, remaining),
                    max_bytes=max_bytes,
                    judge=judge,
                )
    finally:
        flow.close()


def _advance(
    flow: Generator[Union[HttpRequest, Wait], Any, Any], answer: HttpResponse | None, settings: Settings
) -> Union[HttpRequest, Wait]:
    """The next step of *flow* after *answer*; StopIteration at its end.

    Raises:
        ConnectionFailed: it cannot make a request, makes no sense of *answer*, or says what *answer* means.
    """
    try:
        step: Union[HttpRequest, Wait] = flow.send(answer)
        return step
    except ConfigurationError:
        raise
    except JobFailed as failed:
        message = settings.redact(failed.failure.message, limit=300)
        # LiveKit has no type for work that failed later; it is no failure of the connection
        failure = replace(failed.failure, message=message, detail={"malformed": True, **failed.failure.detail})
    except _CANNOT_READ as error:
        failure = _misunderstanding(error, answer, settings)
    raise_bare(failure)


def failure_of_response(response: HttpResponse) -> Failure:
    """What an unsuccessful response means to anybody: its status, and the reason where it usually stands."""
    return Failure(error_text(response), judge_status(response.status), status=response.status)


def _refusal(
    response: HttpResponse, settings: Settings, judge: Judge | None, asked: aiohttp.RequestInfo
) -> Failure:
    """The failure of an unsuccessful response, with the reason, the remedy and the wait it asks for."""
    try:
        failure = (judge or failure_of_response)(response)
    except _CANNOT_READ:  # a vendor's own reading of an error body that is not that vendor's
        failure = failure_of_response(response)
    reason = settings.redact(failure.message, limit=300)
    failure.message = with_remedy(
        f"HTTP {response.status}" + (f" ({reason})" if reason else ""), response.status, settings, asked
    )
    if failure.status is None:
        failure.status = response.status
    if failure.retry_after is None:
        failure.retry_after = retry_after_seconds(response.headers.get("retry-after"))
    return failure


def _too_long(response: HttpResponse, max_bytes: int) -> Failure:
    return Failure(
        f"the answer is longer than {max_bytes} bytes; check the URL",
        Verdict.PERMANENT,
        status=response.status,
        detail={"malformed": True},
    )


def _misunderstanding(error: Exception, answer: HttpResponse | None, settings: Settings) -> Failure:
    """The failure of a flow that raised *error*, on *answer* or before it asked for anything."""
    # The text of a ValueError is written for people; other exceptions need their name to make sense.
    reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    reason = settings.redact(reason, limit=300)
    if answer is None:
        return Failure(f"the request cannot be made: {reason}", Verdict.PERMANENT)
    return Failure(
        f"the answer cannot be understood: {reason}",
        Verdict.PERMANENT,
        status=answer.status,
        detail={"malformed": True},
    )


async def _beginning(reply: aiohttp.ClientResponse, limit: int) -> bytes:
    """The first *limit* bytes of the body. If there are more, the connection is closed."""
    body = bytearray()
    async for chunk in reply.content.iter_any():
        body += chunk
        if len(body) > limit:
            reply.close()  # what is still under way is not worth reading
            break
    return bytes(body[:limit])


def _redirect_target(reply: aiohttp.ClientResponse) -> str:
    """The absolute URL that the ``Location`` header names; an empty text where it names none."""
    location = reply.headers.get(hdrs.LOCATION, "")
    try:
        return str(reply.url.join(URL(location))) if location else ""
    except ValueError:
        return ""


def _headers(request: HttpRequest) -> dict[str, str]:
    """The headers to send. The type of a form comes with its boundary, so it cannot be given."""
    if isinstance(request.body, Sequence) and not isinstance(request.body, bytes):
        return {name: value for name, value in request.headers.items() if name.lower() != "content-type"}
    return dict(request.headers)


def _body(request: HttpRequest) -> io.BytesIO | aiohttp.MultipartWriter | None:
    """The body as aiohttp sends it in pieces with a length, which is kinder to the event loop than one lump."""
    if request.body is None:
        return None
    if isinstance(request.body, (bytes, bytearray, memoryview)):
        return io.BytesIO(request.body)
    form = aiohttp.MultipartWriter("form-data")
    for field in request.body:
        _append(form, field)
    return form


def _append(form: aiohttp.MultipartWriter, field: FormField) -> None:
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: field.content_type} if field.content_type else {}
    part = form.append(field.value, headers)
    if field.filename is None:
        part.set_content_disposition("form-data", name=field.name)
    else:
        part.set_content_disposition("form-data", name=field.name, filename=field.filename)


def _within(timeout: aiohttp.ClientTimeout, total: float | None) -> aiohttp.ClientTimeout:
    """*timeout* with another *total*."""
    return aiohttp.ClientTimeout(
        total=total, connect=timeout.connect, sock_read=timeout.sock_read, sock_connect=timeout.sock_connect
    )
