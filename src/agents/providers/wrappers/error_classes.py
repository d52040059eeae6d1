"""Failures in few classes: what a dashboard can tell apart."""

from __future__ import annotations

import asyncio

import aiohttp
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

__all__ = ["error_class"]


def error_class(error: BaseException) -> str:
    """A class for *error*: auth, quota, request, server, timeout, connection, closed, answer or other."""
    if isinstance(error, APIStatusError):
        return _status_class(error.status_code)
    if isinstance(error, aiohttp.ClientResponseError):
        return _status_class(error.status)
    if isinstance(error, (APITimeoutError, asyncio.TimeoutError, TimeoutError)):
        return "timeout"
    if isinstance(error, (APIConnectionError, aiohttp.ClientError, OSError)):
        return "connection"
    return "answer" if isinstance(error, APIError) else "other"


def _status_class(status: int) -> str:
    if 4400 <= status <= 4599:  # a close code of the application that holds an HTTP status
        status -= 4000
    if status in (401, 403, 4001, 4003):
        return "auth"
    if status in (402, 429):
        return "quota"
    if status in (408, 504):
        return "timeout"
    if 400 <= status < 500:
        return "request"
    if 500 <= status < 600:
        return "server"
    return "closed" if status >= 1000 else "other"
