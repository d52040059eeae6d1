"""In an AgentSession: the caller's turns are committed whole and once, whatever happens to the connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from livekit.agents import stt
from livekit.plugins import deepgram
from numbered_talk import TURNS, WORDS, talk_to

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.testing import Behaviour, Fault, FaultInjector, FaultProxy, Hurried, OracleServer
from agents.providers.vendors import find_vendor


async def converse(
    make_stt: Callable[[str], stt.STT[Any]],
    behaviour: Behaviour,
    faults: tuple[Fault, ...],
    *,
    pace: float = 10.0,
    seconds: float = 20.0,
) -> tuple[list[list[int]], list[int]]:
    """The turns committed, and the words of the session's final transcripts."""
    async with OracleServer(behaviour) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        injector = FaultInjector(server, proxy, faults)
        adapter = make_stt(f"ws://127.0.0.1:{proxy.port}{server.path}")
        try:
            heard = await talk_to(adapter, pace=pace, seconds=seconds, behaviour=behaviour)
        finally:
            await injector.aclose()
        assert len(injector.fired) == len(faults)
    return heard


@pytest.mark.parametrize("dialect", ["generic", "deepgram"])
@pytest.mark.parametrize(
    "faults",
    [
        (),
        (Fault(0.9, "abort"), Fault(2.9, "abort"), Fault(5.2, "cut")),
        (Fault(1.1, "refuse", 1.0),),
        (Fault(2.4, "status", 0.5, 503), Fault(4.8, "close", code=1000)),
        (Fault(3.0, "half_open"),),
    ],
    ids=lambda faults: "-".join(fault.kind for fault in faults) or "none",
)
async def test_turns_are_committed_whole_and_once(dialect: str, faults: tuple[Fault, ...]) -> None:
    protocol = find_vendor(dialect).streaming
    assert protocol is not None

    def make(url: str) -> CustomWebSocketSTTAdapter:
        return CustomWebSocketSTTAdapter(url, "key", sample_rate=24000, vendor=Hurried(protocol, seconds=1.0))

    turns, finals = await converse(make, Behaviour(dialect=dialect), faults)  # type: ignore[arg-type]
    assert finals == WORDS
    assert turns == TURNS


@pytest.mark.leaks_allowed("the plugin's keepalive task ends when it wakes up")
@pytest.mark.parametrize("faults", [(), (Fault(0.9, "abort"), Fault(2.9, "abort"))], ids=["none", "abort-abort"])
async def test_the_same_schedule_costs_the_native_plugin_words(faults: tuple[Fault, ...]) -> None:
    async with aiohttp.ClientSession() as http:

        def make(url: str) -> deepgram.STT:
            url = url.replace("ws://", "http://")
            return deepgram.STT(api_key="key", base_url=url, http_session=http, sample_rate=24000)

        turns, finals = await converse(make, Behaviour(dialect="deepgram"), faults, seconds=8.0)
    if faults:
        assert finals != WORDS and turns != TURNS
    else:
        assert finals == WORDS and turns == TURNS
