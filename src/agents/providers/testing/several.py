"""A schedule with several vendors, for adapters that go from one to the other when one fails.

vendors = [VendorPlan(faults=(Fault(2.0, "silence"),)), VendorPlan()]
report = await run_with_vendors(lambda urls: MyFailover([MySTT(url) for url in urls]), schedule, vendors)
assert not report.lost and not report.doubled
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from livekit.agents import stt

from .checks import StreamReport
from .faults import Fault, FaultInjector
from .oracle import OracleServer
from .proxy import FaultProxy
from .schedules import Schedule, _leaks, _open_sockets, _stream
from .transcriber import Behaviour

__all__ = ["Run", "VendorPlan", "run_all_with_vendors", "run_with_vendors", "vendors_on_loopback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorPlan:
    """One vendor. Its ``repr`` can be pasted into a test.

    Attributes:
        behaviour: how it answers.
        faults: what goes wrong with it, at moments of the audio it has received itself.
        silent_after: seconds of audio after which it says nothing more, on any connection, for
            *silent_seconds*; it goes on taking audio and answering pings.
        silent_seconds: by the wall clock; ``None``: for good.
    """

    behaviour: Behaviour = dataclasses.field(default_factory=Behaviour)
    faults: tuple[Fault, ...] = ()
    silent_after: float | None = None
    silent_seconds: float | None = None


class _SilentOracle(OracleServer):
    """An oracle that can fall silent."""

    def __init__(self, plan: VendorPlan) -> None:
        super().__init__(plan.behaviour)
        self._plan = plan
        self._silent_since: float | None = None

    @property
    def silent(self) -> bool:
        """Whether it has fallen silent and is so still."""
        if self._silent_since is None:
            return False
        seconds = self._plan.silent_seconds
        return seconds is None or asyncio.get_running_loop().time() - self._silent_since < seconds

    def _received(self, seconds: float) -> None:
        super()._received(seconds)
        after = self._plan.silent_after
        if after is not None and self._silent_since is None and self.audio_seconds >= after:
            self._silent_since = asyncio.get_running_loop().time()
        if self.silent:
            self.cut_off()


async def vendors_on_loopback(
    plans: Sequence[VendorPlan], stack: AsyncExitStack
) -> tuple[list[str], list[OracleServer], list[FaultInjector]]:
    """Start the vendors of *plans*. They live as long as *stack*.

    Returns their URLs, servers and fault injectors.
    """
    urls: list[str] = []
    servers: list[OracleServer] = []
    injectors: list[FaultInjector] = []
    for plan in plans:
        server: OracleServer = await stack.enter_async_context(_SilentOracle(plan))
        proxy = await stack.enter_async_context(FaultProxy("127.0.0.1", server.port))
        injector = FaultInjector(server, proxy, plan.faults)
        stack.push_async_callback(injector.aclose)
        servers.append(server)
        injectors.append(injector)
        urls.append(f"ws://127.0.0.1:{proxy.port}{server.path}")
    return urls, servers, injectors


Run = tuple[Callable[[Sequence[str]], "stt.STT[Any]"], Schedule, Sequence[VendorPlan]]
"""What makes the adapter for the vendors' URLs, what is said, and who hears it."""


async def run_with_vendors(
    make_stt: Callable[[Sequence[str]], stt.STT[Any]], schedule: Schedule, vendors: Sequence[VendorPlan]
) -> StreamReport:
    """As :func:`~.schedules.run_schedule`, with a URL for each of *vendors*, in their order.

    Faults and behaviour of the schedule itself do not apply. What *make_stt* returns is closed at the end; members
    it does not own it must own up to, or they are left behind and reported.
    """
    return (await run_all_with_vendors([(make_stt, schedule, vendors)]))[0]


async def run_all_with_vendors(
    runs: Sequence[Run], *, on_start: Callable[[int, list[OracleServer]], None] | None = None
) -> list[StreamReport]:
    """Several runs at once; what is left behind is in every report, since nobody knows whose it is.

    Args:
        on_start: called with the number of each run and its servers, when they serve and nothing is said yet.
    """
    tasks, sockets = asyncio.all_tasks(), _open_sockets()
    started = on_start or (lambda number, servers: None)
    reports = await asyncio.gather(*(_run(run, number, started) for number, run in enumerate(runs)))
    leaks = await _leaks(tasks, sockets)
    for report in reports:
        report.leaks = leaks
    return reports


async def _run(run: Run, number: int, on_start: Callable[[int, list[OracleServer]], None]) -> StreamReport:
    make_stt, schedule, vendors = run
    began = time.perf_counter()
    speech = schedule.speech()
    faults = tuple(fault for vendor in vendors for fault in vendor.faults)
    patience = dataclasses.replace(schedule, faults=faults).patience
    patience += sum(vendor.silent_seconds or 0.0 for vendor in vendors)
    times_known = all(vendor.behaviour.times for vendor in vendors)
    report = StreamReport(speech.words, speech.duration, times_known=times_known)
    async with AsyncExitStack() as stack:
        urls, servers, injectors = await vendors_on_loopback(vendors, stack)
        on_start(number, servers)
        adapter = make_stt(urls)
        try:
            await asyncio.wait_for(_stream(adapter, schedule, speech, report), patience)
        except asyncio.TimeoutError:
            report.timed_out = True
        finally:
            await adapter.aclose()
        report.faults_fired = sum(len(injector.fired) for injector in injectors)
        report.connections = [record for server in servers for record in server.connections]
    report.wall_seconds = time.perf_counter() - began
    return report
