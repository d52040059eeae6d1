"""A language model on loopback that answers as a test tells it to, and what tests ask it with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit.agents import APIConnectOptions, llm

__all__ = ["FAST", "Endpoint", "Handler", "Serve", "context", "delta", "says", "status", "streams"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FAST = APIConnectOptions(max_retry=3, retry_interval=0.01, timeout=5)


class Endpoint:
    """Answers the requests in turn with *handlers*, the last of them for good.

    Attributes:
        url: of the endpoint.
        bodies, headers: of the requests so far.
        peers: the ports they came from.
    """

    def __init__(self, *handlers: Handler) -> None:
        self._handlers = handlers
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.methods: list[str] = []
        self.peers: set[int] = set()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)

    async def __aenter__(self) -> Endpoint:
        await self._server.start_server(shutdown_timeout=0.1)
        self.url = str(self._server.make_url("/v1"))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._server.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername")[1])
        self.methods.append(request.method)
        if request.method != "POST":
            return web.Response(status=405)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.bodies.append(json.loads(await request.read()))
        return await self._handlers[min(len(self.bodies), len(self._handlers)) - 1](request)


Serve = Callable[..., Awaitable[Endpoint]]


def context(*said: str) -> llm.ChatContext:
    """A conversation in which the user says *said*."""
    made = llm.ChatContext.empty()
    for text in said or ("Hello?",):
        made.add_message(role="user", content=text)
    return made


def delta(content: str | None = None, *, finish: str | None = None, **fields: Any) -> str:
    """One event of chat completions."""
    inner = {"content": content} if content is not None else {}
    choice = {"index": 0, "delta": {**inner, **fields}, "finish_reason": finish}
    return f"data: {json.dumps({'id': 'chatcmpl-7', 'choices': [choice]})}\n\n"


def says(*pieces: str, finish: str = "stop") -> Handler:
    """A handler that streams *pieces* as one answer."""
    return streams(*map(delta, pieces), delta(finish=finish), "data: [DONE]\n\n")


def streams(*parts: str | float, kind: str = "text/event-stream", cut: bool = False) -> Handler:
    """A handler that sends *parts* of a body; a number is a pause in seconds. *cut* breaks the connection then."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        for part in parts:
            if isinstance(part, (int, float)):
                await asyncio.sleep(part)
            else:
                await response.write(part.encode())
        if cut:
            assert request.transport is not None
            request.transport.close()
        return response

    return handler


def status(code: int, body: Any = None, **headers: str) -> Handler:
    """A handler that answers with a status and a JSON body."""

    async def handler(request: web.Request) -> web.Response:
        return web.json_response(body, status=code, headers=headers)

    return handler
