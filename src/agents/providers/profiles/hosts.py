"""Whose a URL is, by its host."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

__all__ = ["host_of", "is_host_of"]


def host_of(url: str) -> str:
    """The host in *url*, in lower case; empty when there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_host_of(url: str, hosts: Iterable[str]) -> bool:
    """Whether the host of *url* is one of *hosts*.

    ``*.example.com`` stands for all hosts under it; elsewhere ``*`` stands for a part without dots, as in
    ``speech.*.example.com`` or ``*-speech.example.com``. A path narrows it down, where two services share a host:
    ``api.example.com/v2/`` is what begins with that path.
    """
    host = host_of(url)
    return bool(host) and any(_is_under(pattern, host, url) for pattern in hosts)


def _is_under(pattern: str, host: str, url: str) -> bool:
    pattern, slash, path = pattern.partition("/")
    if slash and not urlsplit(url).path.startswith(slash + path):
        return False
    return host == pattern or _matches(pattern, host)


def _matches(pattern: str, host: str) -> bool:
    return "*" in pattern and _compiled(pattern).fullmatch(host) is not None


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    under = ".+" if pattern.startswith("*.") else ""
    rest = pattern[1:] if under else pattern
    return re.compile(under + "[^.]+".join(map(re.escape, rest.split("*"))))
