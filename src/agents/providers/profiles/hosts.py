"""Whose a URL is, by its host."""

from __future__ import annotations

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
    """Whether the host of *url* is one of *hosts*; ``*.example.com`` stands for all hosts under it."""
    host = host_of(url)
    return bool(host) and any(
        host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
        if pattern.startswith("*.")
        else host == pattern
        for pattern in hosts
    )
