"""What the routes of the OpenAI dialect share: its error shape, and server-sent events."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from .base import Dialect, RequestFailed

__all__ = ["OpenAIDialect", "json_body", "sse", "start_sse"]


class OpenAIDialect(Dialect):
    """A dialect that fails as OpenAI does: ``{"error": {"message", "type", "param", "code"}}``."""

    def error(self, failure: RequestFailed) -> web.Response:
        kind = {401: "authentication_error", 500: "server_error", 503: "server_error"}
        body = {
            "message": failure.message,
            "type": kind.get(failure.status, "invalid_request_error"),
            "param": None,
            "code": failure.code,
        }
        return web.json_response({"error": body}, status=failure.status)


async def json_body(request: web.Request) -> dict[str, Any]:
    """The JSON object a request carries. Raises `RequestFailed`."""
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise RequestFailed(400, f"the body is not JSON ({error})") from error
    if not isinstance(body, dict):
        raise RequestFailed(400, "the body must be a JSON object")
    return body


async def start_sse(request: web.Request) -> web.StreamResponse:
    """Begin a stream of server-sent events."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    return response


async def sse(response: web.StreamResponse, data: dict[str, Any] | str, event: str = "") -> None:
    """Send one event; ``[DONE]`` goes as it is."""
    text = data if isinstance(data, str) else json.dumps(data)
    head = f"event: {event}\n" if event else ""
    await response.write(f"{head}data: {text}\n\n".encode())
