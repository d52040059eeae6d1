"""A call as people watch it: live on a terminal, one line for each thing that happens elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .call import Call, Moment, Turn

__all__ = ["LiveScreen", "PlainScreen", "Screen", "revised"]

_BARS = " ▁▂▃▄▅▆▇█"
_REFRESHES_PER_SECOND = 12


class Screen(Protocol):
    """Shows a call while it is entered."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def watch(self, call: Call) -> None:
        """Show this call from now on."""

    def show(self, moment: Moment) -> None:
        """Show what just happened."""


class PlainScreen:
    """One line for everything that happens: for logs and for CI."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open."""

    def watch(self, call: Call) -> None:
        """Lines need no more than moments."""

    def show(self, moment: Moment) -> None:
        turn = moment.turn
        note = ""
        if moment.kind == "final" and turn is not None and turn.final_latency is not None:
            note = f"   ({turn.final_latency:.2f} s after the end of speech)"
        text = {
            "speaking": "begins to speak",
            "interim": f"hears    {moment.text} …",
            "final": f"heard    {moment.text}{note}",
            "tool": f"calls    {moment.text}",
            "reply-audio": _first_audio(turn),
            "reply-end": f"said     {moment.text}",
            "error": f"error    {moment.text}",
        }.get(moment.kind)
        if text is not None:
            who = "caller" if moment.kind == "speaking" else "agent"
            self._console.out(f"{moment.at:7.2f} s  {who:6}  {text}", highlight=False)


class LiveScreen:
    """The conversation, growing: interim text being revised, both voices' levels, latencies beside the turns."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._call: Call | None = None
        self._levels = deque[tuple[float, float]](maxlen=400)
        self._problem = ""
        self._live = Live(
            get_renderable=self._render,
            console=console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
            vertical_overflow="visible",
        )

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self._call is not None:  # the whole of it stays on the screen, without the meters
            self._console.print(conversation(self._call.turns))

    def watch(self, call: Call) -> None:
        self._call = call

    def show(self, moment: Moment) -> None:
        if moment.kind == "error":
            self._problem = moment.text

    def _render(self) -> RenderableType:
        call = self._call
        if call is None:
            return Text("connecting …", style="dim")
        self._levels.append(call.levels)
        height = max(self._console.height - 6, 6)
        parts: list[RenderableType] = [self._meters(call), Text()]
        parts.append(conversation(call.turns[-max(height // 4, 2) :]))
        if self._problem:
            parts.append(Text(self._problem, style="red"))
        return Group(*parts)

    def _meters(self, call: Call) -> RenderableType:
        width = max(min(self._console.width - 20, 100), 10)
        recent = list(self._levels)[-width:]
        grid = Table.grid(padding=(0, 1))
        grid.add_row(Text("caller", style="bold cyan"), Text(_meter(level for level, _ in recent), style="cyan"))
        grid.add_row(
            Text("agent", style="bold magenta"), Text(_meter(level for _, level in recent), style="magenta")
        )
        grid.add_row("", Text(f"{call.now:5.1f} s", style="dim"))
        return grid


def conversation(turns: Sequence[Turn]) -> RenderableType:
    """What was said by whom, with the latencies of each turn beside it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right", style="dim")
    for turn in turns:
        final = f"final after {turn.final_latency:.2f} s" if turn.final_latency is not None else ""
        grid.add_row(Text("caller", style="bold cyan"), _heard(turn), final)
        for used in turn.tools:
            shown = Text(f"{used.name} {used.arguments}: {used.result}", style="dim")
            grid.add_row(Text("tool", style="magenta"), shown, "")
        if turn.reply_start is not None:
            latency = turn.reply_latency
            audio = f"audio after {latency:.2f} s" if latency is not None else ""
            grid.add_row(Text("agent", style="bold magenta"), Text(" ".join(turn.reply.split())), audio)
    return grid


def revised(before: str, now: str) -> Text:
    """Interim text *now*: what stands since *before* is plain, what is new or was changed is bright."""
    old, new = before.split(), now.split()
    stable = next(
        (i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new))
    )
    text = Text(" ".join(new[:stable]), style="italic")
    changed = " ".join(new[stable:])
    if changed:
        text.append((" " if stable else "") + changed, style="bold italic yellow")
    return text


def _heard(turn: Turn) -> Text:
    text = Text(" ".join(final for _, final in turn.finals))
    last_final = turn.finals[-1][0] if turn.finals else 0.0
    open_interims = [interim for at, interim in turn.interims if at > last_final]
    if open_interims:
        if text:
            text.append(" ")
        text.append_text(revised(open_interims[-2] if len(open_interims) > 1 else "", open_interims[-1]))
    return text if text else Text("…", style="dim")


def _first_audio(turn: Turn | None) -> str:
    if turn is None or turn.reply_latency is None:
        return "begins to answer"
    return f"begins to answer   ({turn.reply_latency:.2f} s after the final)"


def _meter(levels: object) -> str:
    # the square root: quiet speech is to be seen too
    return "".join(_BARS[min(round(level**0.5 * (len(_BARS) - 1)), len(_BARS) - 1)] for level in levels)  # type: ignore[attr-defined]
