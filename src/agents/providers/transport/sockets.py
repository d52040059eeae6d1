"""WebSockets to vendors: opened with every failure judged, cut when they are dead, closed in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Coroutine, Generator, Mapping
from typing import Any, Protocol, TypeVar, Union

import aiohttp

from ..base import ConfigurationError
from ..protocol import ConnectRequest, Failure, HttpRequest, HttpResponse, Settings, Verdict, Wait
from .bounded import to_its_end
from .exchange import run_flow
from .failures import ConnectionFailed, failure_of_close, failure_of_exception, raise_bare
from .sessions import SessionSource, redirects_refused

__all__ = [
    "NO_STATUS",
    "Socket",
    "close_within",
    "cut",
    "failure_of_end",
    "made_within",
    "open_socket",
    "throw_away",
]

NO_STATUS = 1005
"""A close frame without a code (RFC 6455 section 7.4.1)."""

_CLOSE_SECONDS = 0.5
"""How long to wait for the vendor's half of the closing handshake."""

Socket = aiohttp.ClientWebSocketResponse[bool]


class _Closes(Protocol):
    async def aclose(self) -> None: ...


_Made = TypeVar("_Made", bound=_Closes)


async def open_socket(
    source: SessionSource,
    way: Generator[Union[HttpRequest, Wait], HttpResponse, ConnectRequest],
    settings: Settings,
    *,
    timeout: float,
    max_message_bytes: int,
    autoping: bool = True,
    heartbeat: float | None = None,
) -> Socket:
    """Go the *way* a protocol prescribes, requests first and then the handshake.

    Args:
        source: of the HTTP session.
        way: a protocol's ``prepare``.
        settings: whose credentials must not show in errors.
        timeout: seconds for the requests.
        max_message_bytes: a larger message ends the connection.
        autoping, heartbeat: as for aiohttp.

    Raises:
        ConnectionFailed: with the verdict on why; what the way refuses cannot pass.
    """
    session = source.get()
    failure = None
    try:
        target = await run_flow(way, session, settings=settings, timeout=aiohttp.ClientTimeout(total=timeout))
    except ConfigurationError as error:  # a credential that is not there, say
        failure = Failure(settings.redact(str(error)), Verdict.PERMANENT)
    if failure is not None:
        raise_bare(failure)
    try:
        with redirects_refused(session):
            return await session.ws_connect(
                target.url,
                headers=target.headers,
                protocols=target.subprotocols,
                autoping=autoping,
                heartbeat=heartbeat,
                max_msg_size=max_message_bytes,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
            )
    except Exception as error:  # whatever a transport raises here is a failed connection
        failure = failure_of_exception(error, settings, doing="connecting", session=session)
    # outside the handler: aiohttp's exceptions hold the request with its headers
    raise_bare(failure)


async def made_within(seconds: float, making: Coroutine[Any, Any, _Made], *, name: str) -> _Made:
    """The connection that *making* makes. One that is made for a caller who is gone is closed.

    Not :func:`asyncio.wait_for`: before Python 3.12 a cancellation that meets the result is lost in it.

    Raises:
        ConnectionFailed: it took longer, or failed.
    """
    task = asyncio.get_running_loop().create_task(making, name=name)
    try:
        await asyncio.wait({task}, timeout=seconds)
        in_time = task.done()
        if not in_time:
            task.cancel()
            await asyncio.wait({task})
    except asyncio.CancelledError:
        await throw_away(task)
        raise
    if in_time or not (task.cancelled() or task.exception()):
        return task.result()  # in time, or just in time
    raise ConnectionFailed(Failure(f"no connection within {seconds:g} s", detail={"timeout": True}))


async def throw_away(making: asyncio.Task[_Made]) -> None:
    """Cancel *making*, and close the connection it has made all the same.

    A caller who is cancelled meanwhile, once or several times, is so when that is done: nobody else knows of the
    connection.
    """
    await to_its_end(_close_made(making), name="voxport.throw_away")


async def _close_made(making: asyncio.Task[_Made]) -> None:
    making.cancel()
    (made,) = await asyncio.gather(making, return_exceptions=True)
    if not isinstance(made, BaseException):
        await made.aclose()


def failure_of_end(
    ws: Socket,
    message: Any,
    settings: Settings,
    table: Mapping[int, Verdict] | None = None,
    *,
    silent: bool = False,
) -> Failure:
    """Why *ws* gave *message*, which is neither text nor binary: the vendor closed, or the connection broke.

    Args:
        table: the vendor's own meanings of close codes.
        silent: it said nothing before.
    """
    if message.type is aiohttp.WSMsgType.CLOSE:
        reason = message.extra if isinstance(message.extra, str) else ""
        return failure_of_close(message.data or NO_STATUS, reason, settings, table, silent=silent)
    error = ws.exception() or message.data
    if isinstance(error, BaseException):
        return failure_of_exception(error, settings, doing="receiving")
    return failure_of_close(None, "", settings, table)


def cut(ws: Socket) -> None:
    """Cut the socket in both directions, so that whoever reads or writes it notices at once."""
    sock = ws.get_extra_info("socket")
    if sock is None:
        return
    with contextlib.suppress(OSError):  # the other side was faster
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except TypeError:  # uvloop shows a socket that only tells its number
            with socket.socket(fileno=os.dup(sock.fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)


async def close_within(ws: Socket, closing: Coroutine[Any, Any, Any] | None = None) -> None:
    """Close with a closing handshake, but not for ever: aiohttp reads on until the other side closes, too.

    Args:
        closing: what closes it; by default only that.
    """
    task = asyncio.get_running_loop().create_task(closing or _close(ws), name="voxport.close")
    try:
        await asyncio.wait({task}, timeout=_CLOSE_SECONDS)
    finally:
        if not task.done():
            cut(ws)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _close(ws: Socket) -> None:
    await ws.close()
