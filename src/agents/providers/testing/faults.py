"""What goes wrong, and when: faults that fire at moments on the audio clock of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .oracle import OracleServer, Refusal
from .proxy import FaultProxy

__all__ = ["Fault", "FaultInjector", "FaultKind"]

FaultKind = Literal[
    "abort", "cut", "close", "refuse", "hang", "status", "half_open", "slow", "nonsense", "unknown", "stammer"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        at: seconds of audio the server has received, by all connections together, when it happens.
        kind: ``abort`` resets the connection; ``cut`` ends the TCP stream with no close frame (1006);
            ``close`` sends a close frame with *code*; ``refuse``, ``hang`` and ``status`` reset the connection and
            for *seconds* let new ones be refused, hang in the handshake, or be answered with HTTP *code* and
            *retry_after*; ``half_open`` leaves the connection open and dead; ``slow`` makes the server read
            slowly for *seconds*; ``nonsense``, ``unknown`` and ``stammer`` are messages: garbage, unknown types,
            and what is not UTF-8.
        seconds: how long, by the wall clock.
        code: of a close frame, or an HTTP status.
        retry_after: the header of a refusal.
    """

    at: float
    kind: FaultKind
    seconds: float = 0.0
    code: int = 0
    retry_after: str | None = None

    @property
    def breaks_connection(self) -> bool:
        """Whether the client has to connect again."""
        return self.kind not in ("slow", "nonsense", "unknown")


class FaultInjector:
    """Fires faults, each once, in the order of their moments.

    Attributes:
        fired: the faults that happened.
    """

    def __init__(
        self,
        server: OracleServer,
        proxy: FaultProxy,
        faults: Sequence[Fault],
        *,
        slow_bytes_per_second: float = 100_000,
    ) -> None:
        self._server = server
        self._proxy = proxy
        self._slow_rate = slow_bytes_per_second
        self._waiting = sorted(faults, key=lambda fault: fault.at)
        self._outages: set[asyncio.Task[None]] = set()
        self.fired: list[Fault] = []
        server.on_audio = self._audio

    def _audio(self, seconds: float) -> None:
        while self._waiting and self._waiting[0].at <= seconds:
            fault = self._waiting.pop(0)
            self.fired.append(fault)
            self._fire(fault)

    def _fire(self, fault: Fault) -> None:
        server, proxy = self._server, self._proxy
        if fault.breaks_connection:
            server.cut_off()
        if fault.kind in ("abort", "cut"):
            proxy.drop(reset=fault.kind == "abort")
        elif fault.kind == "close":
            server.close(fault.code)
        elif fault.kind == "half_open":
            proxy.half_open()
        elif fault.kind == "nonsense":
            server.talk_nonsense()
        elif fault.kind == "unknown":
            server.surprise()
        elif fault.kind == "stammer":
            server.stammer()
        else:
            task = asyncio.get_running_loop().create_task(self._outage(fault))
            self._outages.add(task)
            task.add_done_callback(self._outages.discard)

    async def _outage(self, fault: Fault) -> None:
        server, proxy = self._server, self._proxy
        refusal = Refusal(fault.code, fault.retry_after)
        if fault.kind == "slow":
            proxy.throttle(self._slow_rate)
        elif fault.kind == "status":
            server.refusal = refusal
        elif fault.kind == "hang":
            proxy.hang()
        elif fault.kind == "refuse":
            proxy.refuse()
        if fault.kind != "slow":
            proxy.drop()
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            if fault.kind == "slow":
                proxy.throttle(None)
            elif fault.kind == "status" and server.refusal is refusal:
                server.refusal = None
            elif fault.kind in ("hang", "refuse"):
                await proxy.accept()

    async def aclose(self) -> None:
        """Fire nothing more, and end the outages."""
        self._server.on_audio = None
        self._waiting.clear()
        for task in list(self._outages):
            task.cancel()
        await asyncio.gather(*self._outages, return_exceptions=True)
