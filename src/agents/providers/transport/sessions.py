"""The HTTP session an adapter talks through: the user's, the LiveKit job's, or its own."""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import aiohttp
from livekit.agents import utils

from .event_loops import PerLoop
from .failures import RedirectRefused

__all__ = ["SessionSource", "redirects_refused"]

_KEEP_SECONDS = 120.0
"""An unused connection is kept so long: turns of a conversation are often further apart than aiohttp's 15 s."""

_refuse_redirects: contextvars.ContextVar[bool] = contextvars.ContextVar("voxport_refuse_redirects", default=False)
_guarded: weakref.WeakSet[aiohttp.ClientSession] = weakref.WeakSet()


class SessionSource:
    """Hands out one session, and closes only what it made itself.

    Inside a LiveKit job that is the job's session, so that its proxy and pool hold; elsewhere an own one without
    a limit on connections, since every stream keeps one open. Event loops that run at the same time, in threads of
    one process, get one each: a session serves no other loop than its own.
    """

    def __init__(self, session: aiohttp.ClientSession | None = None) -> None:
        self._given = session
        self._own: PerLoop[aiohttp.ClientSession] = PerLoop(_open_session)

    def get(self) -> aiohttp.ClientSession:
        """The session to use now. Call it on the event loop."""
        if self._given is not None:
            return self._given
        own = self._own.if_any()
        if own is None:
            try:
                return utils.http_context.http_session()
            except RuntimeError:  # outside a job: LiveKit has no session to give
                pass
        elif own.closed:
            self._own.take()
        return self._own.here()

    async def aclose(self) -> None:
        """Close the session of this event loop if it is an own one."""
        own = self._own.take()
        if own is not None and not own.closed:
            await own.close()


def _open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_SECONDS))


@contextmanager
def redirects_refused(session: aiohttp.ClientSession) -> Iterator[None]:
    """Inside, a redirect met by this task on *session* raises :class:`RedirectRefused`.

    aiohttp's ``ws_connect`` follows redirects and takes custom headers along to any host. The hook is added to
    the session once and acts only inside this block, so a session that belongs to somebody else keeps its ways.
    """
    if session not in _guarded:
        guard = aiohttp.TraceConfig()
        guard.on_request_redirect.append(_refuse)
        guard.freeze()
        session.trace_configs.append(guard)
        _guarded.add(session)
    token = _refuse_redirects.set(True)
    try:
        yield
    finally:
        _refuse_redirects.reset(token)


async def _refuse(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    if _refuse_redirects.get():
        params.response.close()
        raise RedirectRefused(params.response.status, params.response.headers.get("Location", ""))
