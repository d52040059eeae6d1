"""From single measurements to tables, targets and a picture.

Costs are net: the pacer's own (median of the ``null`` client with the same format and streams) is subtracted.
Ratios are formed within one repeat, then the median is taken, so that a slow minute of the machine falls on both
sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from _streaming_clients import CLIENTS
from _streaming_worker import Result

AGENT_FORMAT = "24k/50"
LATE_SECONDS = 0.020
"""Delays of a run whose pacer was later than this (p99) tell more of the machine's load than of the client: they
are not shown."""


class Key(NamedTuple):
    """What a measurement was of."""

    format: str
    streams: int
    client: str


@dataclass
class Runs:
    """All measurements, by what they were of and by repeat."""

    results: dict[Key, dict[int, Result]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, key: Key, repeat: int, result: Result) -> None:
        if result.skipped:
            self.skipped[key.client] = result.skipped
        else:
            self.results.setdefault(key, {})[repeat] = result

    def sound(self, key: Key) -> dict[int, Result]:
        """The measurements that are not overloaded, by repeat."""
        return {repeat: r for repeat, r in self.results.get(key, {}).items() if not r.overloaded}

    def punctual(self, key: Key) -> list[Result]:
        """The sound measurements whose delays mean something."""
        return [result for result in self.sound(key).values() if result.lag_p99 < LATE_SECONDS]

    def delays(self, key: Key, which: str) -> list[float]:
        """The 99th percentile of "push_to_wire" or "wire_to_event", ms, one number a repeat."""
        return [getattr(r, which)["p99"] * 1000 for r in self.punctual(key) if getattr(r, which)]

    def each(self, key: Key, value: Callable[[Result], float]) -> list[float]:
        """*value* of each sound measurement."""
        return [value(result) for result in self.sound(key).values()]

    def net(self, key: Key) -> dict[int, float]:
        """CPU milliseconds per second of audio of one stream, without the pacer's, by repeat."""
        pacer = self.each(key._replace(client="null"), _cost)
        if not pacer:
            return {}
        return {repeat: _cost(result) - median(pacer) for repeat, result in self.sound(key).items()}

    def ratio(self, key: Key, other: Key) -> list[float]:
        """Net cost of *key* in units of *other*'s, one number a repeat."""
        ours, theirs = self.net(key), self.net(other)
        return [ours[repeat] / theirs[repeat] for repeat in ours if theirs.get(repeat, 0.0) > 0]

    def records(self) -> list[dict[str, Any]]:
        """Everything, for a JSON file."""
        return [
            {**key._asdict(), "repeat": repeat, **asdict(result)}
            for key, repeats in self.results.items()
            for repeat, result in repeats.items()
        ]

    def settings(self) -> list[tuple[str, int]]:
        """The formats and numbers of streams measured, in order."""
        return list(dict.fromkeys((key.format, key.streams) for key in self.results))

    def clients(self) -> list[str]:
        return list(dict.fromkeys(key.client for key in self.results))


def _cost(result: Result) -> float:
    """CPU milliseconds per second of audio of one stream, with the pacer's."""
    return result.cpu / result.audio * 1000


def spread(values: Iterable[float], digits: int = 2) -> str:
    """Median and, where there are several, the range."""
    ordered = sorted(values)
    if not ordered:
        return "-"
    if len(ordered) == 1:
        return f"{ordered[0]:.{digits}f}"
    return f"{median(ordered):.{digits}f} [{ordered[0]:.{digits}f}-{ordered[-1]:.{digits}f}]"


_HEADINGS = (
    ("client", 8),
    ("CPU raw ms/s", 19),
    ("CPU net ms/s", 19),
    ("×native", 17),
    ("×bare", 17),
    ("memory kB", 15),
    ("push→wire ms p50/p99", 21),
    ("wire→event ms p50/p99", 22),
    ("msg/s", 6),
    ("pacer p99 ms", 12),
    ("server", 6),
)


def print_table(runs: Runs) -> None:
    """One block for each format and number of streams. Costs are per stream."""
    for name, streams in runs.settings():
        print(f"\n{name} ms, {streams} stream{'s' if streams > 1 else ''}")
        print("  ".join(title.ljust(width) for title, width in _HEADINGS))
        for client in CLIENTS:
            key = Key(name, streams, client)
            if key in runs.results:
                cells = _cells(runs, key)
                print(
                    "  ".join(
                        cell.ljust(width) for cell, (_, width) in zip(cells, _HEADINGS, strict=False)
                    ).rstrip()
                )


def _cells(runs: Runs, key: Key) -> list[str]:
    lost = [r.overloaded for r in runs.results[key].values() if r.overloaded]
    if not runs.sound(key):
        return [key.client, f"overloaded: {lost[0]}"]

    punctual = runs.punctual(key)

    def delays(value: Callable[[Result], dict[str, float]]) -> str:
        found = [value(r) for r in punctual if value(r)]
        if not found:
            return "-" if punctual else "pacer late"
        return " / ".join(f"{median(one[p] for one in found) * 1000:.2f}" for p in ("p50", "p99"))

    null = key.client == "null"
    cells = [
        key.client,
        spread(runs.each(key, _cost)),
        "-" if null else spread(runs.net(key).values()),
        "-" if null else spread(runs.ratio(key, key._replace(client="native"))),
        "-" if null else spread(runs.ratio(key, key._replace(client="bare"))),
        spread(runs.each(key, lambda r: r.memory / key.streams / 1024), 0),
        delays(lambda r: r.push_to_wire),
        delays(lambda r: r.wire_to_event),
        "-" if null else f"{median(runs.each(key, lambda r: r.messages)):.1f}",
        f"{median(runs.each(key, lambda r: r.lag_p99)) * 1000:.1f}",
        f"{median(runs.each(key, lambda r: r.server)):.0%}",
    ]
    rates = {rate for result in runs.sound(key).values() for rate in result.wire_rates}
    if rates:
        cells.append("sends " + ", ".join(f"{rate / 1000:g} kHz" for rate in sorted(rates)))
    reconnects = sum(runs.each(key, lambda r: r.reconnects))
    if reconnects:
        cells.append(f"{reconnects:.0f} reconnects")
    if lost:
        cells.append(f"{len(lost)} overloaded")
    return cells


@dataclass(frozen=True)
class Target:
    """One promise, and how it is measured: *values* holds one number per repeat."""

    text: str
    limit: float
    values: list[float]
    unit: str = ""

    def line(self) -> str:
        if not self.values:
            return f"  not measured  {self.text} ≤ {self.limit:g}{self.unit}"
        verdict = "met" if median(self.values) <= self.limit else "MISSED"
        return f"  {verdict:12}  {self.text} ≤ {self.limit:g}{self.unit}: {spread(self.values)}{self.unit}"


def targets(runs: Runs) -> list[Target]:
    """Voxport's targets against the numbers. Where the number of streams is open, every one measured is asked."""
    found: list[Target] = []

    def ratio(name: str, other: str, limit: float) -> None:
        for streams in sorted({key.streams for key in runs.results if key.format == name}):
            ours = Key(name, streams, "voxport")
            values = runs.ratio(ours, ours._replace(client=other))
            found.append(Target(f"{name} ×{streams}: CPU / {other}", limit, values))

    ratio(AGENT_FORMAT, "native", 0.40)
    ratio(AGENT_FORMAT, "bare", 1.30)
    ratio("16k/50", "native", 0.85)
    for streams in sorted({key.streams for key in runs.results if key.format == AGENT_FORMAT}):
        ours = Key(AGENT_FORMAT, streams, "voxport")
        if streams >= 20:  # below, the grain of the allocator is larger than a stream
            theirs = runs.sound(ours._replace(client="native"))
            memory = [
                result.memory / theirs[repeat].memory
                for repeat, result in runs.sound(ours).items()
                if repeat in theirs and theirs[repeat].memory > 0
            ]
            found.append(Target(f"{AGENT_FORMAT} ×{streams}: memory / native", 1.0, memory))
        push = runs.delays(ours, "push_to_wire")
        found.append(Target(f"{AGENT_FORMAT} ×{streams}: push→wire p99", 5.0, push, " ms"))
    event = runs.delays(Key(AGENT_FORMAT, 100, "voxport"), "wire_to_event")
    found.append(Target(f"{AGENT_FORMAT} ×100: wire→event p99", 2.0, event, " ms"))
    growth = runs.ratio(Key(AGENT_FORMAT, 200, "voxport"), Key(AGENT_FORMAT, 20, "voxport"))
    found.append(Target(f"{AGENT_FORMAT}: cost per stream with 200 streams / with 20", 1.15, growth))
    return found


def print_targets(runs: Runs) -> None:
    """Every target beside its number."""
    print("\nTargets for Voxport")
    for target in targets(runs):
        print(target.line())


def plot(runs: Runs, path: Path) -> None:
    """Medians over the number of streams: a row for each format, a column for each measure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def p99(which: str) -> Callable[[Key], float | None]:
        def value(key: Key) -> float | None:
            found = runs.delays(key, which)
            return median(found) if found else None

        return value

    def net(key: Key) -> float | None:
        values = runs.net(key).values()
        return median(values) if values else None

    def memory(key: Key) -> float | None:
        values = runs.each(key, lambda r: r.memory / key.streams / 1024)
        return median(values) if values else None

    columns: list[tuple[str, Callable[[Key], float | None]]] = [
        ("CPU, ms per s of audio", net),
        ("memory per stream, kB", memory),
        ("push → wire p99, ms", p99("push_to_wire")),
        ("wire → event p99, ms", p99("wire_to_event")),
    ]
    formats = list(dict.fromkeys(name for name, _ in runs.settings()))
    figure, axes = pyplot.subplots(
        len(formats),
        len(columns),
        figsize=(4 * len(columns), 3 * len(formats)),
        squeeze=False,
        layout="constrained",
    )
    for row, name in zip(axes, formats, strict=True):
        counts = [streams for one, streams in runs.settings() if one == name]
        for axis, (title, value) in zip(row, columns, strict=True):
            for client in (c for c in CLIENTS if c != "null" and c in runs.clients()):
                points = [(n, value(Key(name, n, client))) for n in counts]
                known = [(n, y) for n, y in points if y is not None]
                if known:
                    axis.plot(*zip(*known, strict=True), marker="o", label=client)
            axis.set_title(f"{name} ms: {title}", fontsize=9)
            axis.set_xlabel("streams", fontsize=8)
            axis.set_ylim(bottom=0)
        row[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
