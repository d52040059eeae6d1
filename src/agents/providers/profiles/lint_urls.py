"""Whether the URLs in a profile are of the kind their service can be asked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .schema import Profile

__all__ = ["lint_urls"]

Location = tuple[Any, ...]
Finding = tuple[Location, str]

_HTTP = ("http", "https")
_SOCKET = ("ws", "wss")
_OTHER_KIND = {"http": "ws", "https": "wss", "ws": "http", "wss": "https"}


def lint_urls(profile: Profile) -> Iterator[Finding]:
    """Where a URL is that no adapter would take, and what to write."""
    for name, schemes in (
        ("streaming", _SOCKET),
        ("batch", _HTTP),
        ("synthesis", _HTTP),
        ("streaming_synthesis", _SOCKET),
    ):
        service = getattr(profile, name)
        if service is not None and service.url is not None:
            yield from _check((name, "url"), service.url, schemes)
    if profile.streaming is not None:
        for index, step in enumerate(profile.streaming.prepare):
            yield from _check_template(("streaming", "prepare", index, "url"), step.url, _HTTP)
        # vendors print such addresses for HTTP too: they are taken for the WebSocket's
        yield from _check_template(("streaming", "connect"), profile.streaming.connect, (*_SOCKET, *_HTTP))
    for index, request in enumerate(profile.batch.steps if profile.batch is not None else ()):
        yield from _check_template(("batch", "steps", index, "url"), request.url, _HTTP)


def _check_template(where: Location, template: str, schemes: tuple[str, ...]) -> Iterator[Finding]:
    """Nothing is known of a URL that begins with a reference."""
    if not template.startswith("${"):
        yield from _check(where, template, schemes)


def _check(where: Location, url: str, schemes: tuple[str, ...]) -> Iterator[Finding]:
    scheme, separator, _ = url.partition("://")
    if separator and scheme.lower() in schemes:
        return
    swap = _OTHER_KIND.get(scheme.lower()) if separator else None
    hint = f'; did you mean "{swap}://…"?' if swap in schemes else ""
    yield where, f"must begin with {schemes[0]}:// or {schemes[1]}://{hint}"
