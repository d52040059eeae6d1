"""Shared by every test: nothing may be left running, and nothing may reach beyond this machine.

The leak check is automatic for every async test: a test that ends with a live task, an open client session
or an open socket fails and names it.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import HealthCheck, settings
from livekit import rtc

# How fast an example is made and run says how busy the machine is, and nothing about Voxport.
settings.register_profile("voxport", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("voxport")


def _open_sockets() -> dict[str, str]:
    """Socket inodes this process holds, by file descriptor (Linux; empty elsewhere)."""
    found = {}
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return found
    for entry in folder.iterdir():
        try:
            target = os.readlink(entry)  # noqa: PTH115 - a socket link is not a path
        except OSError:
            continue
        if target.startswith("socket:"):
            found[entry.name] = target
    return found


@pytest.fixture(scope="session", autouse=True)
def _native_runtime() -> None:
    """LiveKit's native library opens two sockets on first use and keeps them: the first test leaks nothing."""
    rtc.AudioResampler(48000, 16000)


@pytest.fixture(autouse=True)
async def _no_leaks(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fail a test that leaves tasks, client sessions or sockets behind.

    Marked `leaks_allowed` tests are exempt; the mark takes the reason.
    """
    tasks_before = asyncio.all_tasks()
    sockets_before = set(_open_sockets().values())
    yield
    if request.node.get_closest_marker("leaks_allowed"):
        return
    for _ in range(20):  # callbacks of what was just closed still have to run
        leaked_tasks = {t for t in asyncio.all_tasks() - tasks_before if not t.done()} - {asyncio.current_task()}
        leaked_sockets = set(_open_sockets().values()) - sockets_before
        if not leaked_tasks and not leaked_sockets:
            break
        gc.collect()
        await asyncio.sleep(0.01)
    open_sessions = (
        [o for o in gc.get_objects() if isinstance(o, aiohttp.ClientSession) and not o.closed]
        if leaked_sockets
        else []
    )
    assert not leaked_tasks, "tasks left running: " + "; ".join(map(repr, leaked_tasks))
    assert not leaked_sockets, f"sockets left open: {sorted(leaked_sockets)}; sessions: {open_sessions}"


_PROXIES = {"http_proxy", "https_proxy", "all_proxy"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test may depend on keys, addresses or proxies of the machine it runs on."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL", "_SPEECH_HOST")) or name.lower() in _PROXIES:
            monkeypatch.delenv(name)
    yield
