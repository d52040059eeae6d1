"""``voxport demo``: a caller talks to a LiveKit agent that hears through a custom vendor.

The agent is a real AgentSession. It hears through one of Voxport's adapters, thinks and speaks with LiveKit's own
OpenAI plugin, and all three talk to the embedded server, a process of its own, over real sockets. With
``--all-custom`` Voxport's adapters think and speak, too, and the agent has a tool, which books a table.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .audio_files import AudioFileError
from .call import Call, CallRecord, Line, Turn
from .keepsakes import write_conversation, write_transcript
from .lines import built_in_lines, lines_of
from .outcome import FAILED, INTERRUPTED, CommandFailed, complain, warn
from .parts import Parts, all_custom_parts, usual_parts
from .restaurant import BOOKING_TOOL, Restaurant
from .screen import LiveScreen, PlainScreen, Screen
from .service import EMBEDDED_MODEL, Service, embedded_server
from .word_errors import Comparison, compare, together

__all__ = ["DemoOptions", "run_demo"]

WORD_ERROR_LIMIT = 0.34
"""The built-in caller must be understood so well: he speaks clearly, and a recogniser may still slip once."""


@dataclass(frozen=True)
class DemoOptions:
    """What the demo is to show.

    ``lines`` is how many of the built-in caller's lines are said; all by default. With ``all_custom`` everything
    is a custom adapter, and the agent has a tool.
    """

    service: Service
    output: Path
    audio: Path | None = None
    lines: int | None = None
    all_custom: bool = False


async def run_demo(options: DemoOptions) -> int:
    """Hold the call, show it, keep it. Answers the exit status.

    Raises:
        CommandFailed, ConfigurationError, MissingExtraError: there can be no call the way it was asked for.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140  # a log has no width
    _require_matplotlib()
    lines, room_noise = await _lines(options)
    options.output.mkdir(parents=True, exist_ok=True)
    interrupted = False
    async with contextlib.AsyncExitStack() as stack:
        with console.status("starting the speech server …"):
            server = await stack.enter_async_context(embedded_server())
        parts = (all_custom_parts if options.all_custom else usual_parts)(options.service, server)
        stack.push_async_callback(parts.aclose)
        _introduce(console, options, parts)
        screen: Screen = LiveScreen(console) if console.is_terminal else PlainScreen(console)
        call = Call(
            stt=parts.stt,
            llm=parts.llm,
            tts=parts.tts,
            vad=parts.vad,
            agent=Restaurant() if options.all_custom else None,
            room_noise=room_noise,
            on_moment=screen.show,
        )
        with screen:
            try:
                screen.watch(call)
                await call.run(lines)
            except asyncio.CancelledError:
                interrupted = True
    record = call.record()
    _keep(record, options.output, console)
    return _judge(record, lines, console, interrupted, tool=_tool_asked_for(options, parts, lines))


async def _lines(options: DemoOptions) -> tuple[list[Line], float]:
    loop = asyncio.get_running_loop()
    if options.audio is None:
        return await loop.run_in_executor(None, built_in_lines, options.lines)
    try:
        lines, noise, warning = await loop.run_in_executor(None, lines_of, options.audio)
    except AudioFileError as error:
        raise CommandFailed(f"{options.audio} {error}") from None
    if warning:
        warn(f"{options.audio} {warning}")
    return lines, noise


def _require_matplotlib() -> None:
    import matplotlib  # noqa: F401 - missing, it is to be known before the call and not after it


def _introduce(console: Console, options: DemoOptions, parts: Parts) -> None:
    who = str(options.audio.name) if options.audio else "a synthesised voice"
    turns = "the VAD" if parts.vad else "the recogniser"
    caller = f"[bold]The caller[/] ({who}) talks to [bold]a LiveKit agent[/]"
    if options.all_custom:
        console.print(
            f"{caller} in which everything is custom; {turns} says when a turn is over.\n", soft_wrap=True
        )
        grid = Table.grid(padding=(0, 2))
        for does, name, what in parts.described():
            grid.add_row(Text(f"  {does}"), Text(name, style="bold"), Text(what, overflow="fold"))
        grid.add_row(Text("  does"), Text(BOOKING_TOOL, style="bold"), Text("a tool the language model may call"))
        console.print(grid)
        console.print()
        return
    console.print(
        f"{caller}, which hears through "
        f"[bold]{type(parts.stt).__name__}[/] ({parts.stt.provider}); {turns} says when a turn is over.\n",
        soft_wrap=not console.is_terminal,
    )


def _tool_asked_for(options: DemoOptions, parts: Parts, lines: list[Line]) -> str | None:
    """The tool that must be called for *lines*; a model that is none of the embedded server's may ask back."""
    asks = any("book a table" in (line.text or "") for line in lines)
    return BOOKING_TOOL if options.all_custom and asks and parts.llm.model == EMBEDDED_MODEL else None


def _keep(record: CallRecord, folder: Path, console: Console) -> None:
    """Write everything a call leaves behind."""
    if not record.turns:
        return
    from .timeline import draw_timeline

    write_conversation(record, folder / "conversation.wav")
    write_transcript(record, folder / "transcript.txt", folder / "transcript.json")
    with console.status("drawing the timeline …"):
        draw_timeline(record, folder / "timeline.png")
    names = "conversation.wav, transcript.txt, transcript.json, timeline.png"
    console.print(f"\n[dim]left in {folder}:[/] {names}", soft_wrap=True)


def _judge(
    record: CallRecord, lines: list[Line], console: Console, interrupted: bool, *, tool: str | None = None
) -> int:
    """Print how it went with the caller's *lines*, and answer the exit status. *tool* must have been called."""
    compared = [
        compare(turn.line.text, turn.heard) if turn.line.text is not None else None for turn in record.turns
    ]
    console.print()
    console.print(_summary(record.turns, compared))
    if times := _medians(record.turns):
        console.print(f"[dim]{times}[/]", soft_wrap=True)
    if interrupted:
        warn("interrupted: what was heard so far is kept")
        return INTERRUPTED
    expected = [comparison for comparison in compared if comparison is not None]
    problems = _problems(record, expected, len(lines), tool=tool)
    for problem in problems:
        complain(problem)
    if expected and not problems:
        total = together(expected)
        lost = f"; lost: {', '.join(total.lost)}" if total.lost else ""
        called = f"; {tool} was called, and what it answered was said" if tool else ""
        console.print(
            f"[green]✓[/] {total.said - len(total.lost)} of {total.said} words understood "
            f"(word error rate {total.rate:.2f}){lost}{called}"
        )
    return FAILED if problems else 0


def _medians(turns: list[Turn]) -> str:
    """What each part takes, in one line; empty when nothing was measured."""
    measured = (
        ("end of speech to final", [turn.final_latency for turn in turns if turn.final_latency is not None]),
        ("LLM to first token", [seconds for turn in turns for seconds in turn.first_tokens]),
        ("TTS to first byte", [seconds for turn in turns for seconds in turn.first_sounds]),
    )
    times = [f"{what} {statistics.median(seconds) * 1000:.0f} ms" for what, seconds in measured if seconds]
    return f"medians: {', '.join(times)}" if times else ""


def _problems(record: CallRecord, expected: list[Comparison], lines: int, *, tool: str | None = None) -> list[str]:
    problems = []
    if record.errors and not any(turn.finals for turn in record.turns):
        return [record.errors[-1]]
    if len(record.turns) < lines:
        why = f": {record.errors[-1]}" if record.errors else ""
        problems.append(f"the call ended after {len(record.turns)} of {lines} lines{why}")
    total = together(expected)
    if expected and total.rate > WORD_ERROR_LIMIT:
        problems.append(
            f"the agent did not understand the caller: word error rate {total.rate:.2f}, at most "
            f"{WORD_ERROR_LIMIT} is good enough; words lost: {', '.join(total.lost)}"
        )
    if expected:
        silent = [str(number) for number, turn in enumerate(record.turns, 1) if not turn.reply or not turn.heard]
        if silent:
            why = f": {record.errors[-1]}" if record.errors else ""
            problems.append(f"the agent did not answer turn {', '.join(silent)}{why}")
    if tool is not None:
        problems += _problems_with(tool, record.turns)
    return problems


def _problems_with(tool: str, turns: list[Turn]) -> list[str]:
    """Why it cannot be said that *tool* was called and its result spoken."""
    used = [(turn, use) for turn in turns for use in turn.tools if use.name == tool]
    if not used:
        return [f"the language model did not call {tool}"]
    unsaid = [use.result for turn, use in used if use.result not in turn.reply]
    return [f"the agent did not say what {tool} answered: {result}" for result in unsaid]


def _summary(turns: list[Turn], compared: list[Comparison | None]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    known = any(comparison is not None for comparison in compared)
    if known:
        table.add_column("said")
    table.add_column("understood")
    for title in (*(["errors"] if known else []), "speech → final", "final → audio"):
        table.add_column(title, justify="right", no_wrap=True)
    for turn, comparison in zip(turns, compared, strict=True):
        row: list[Text | str] = []
        if comparison is not None:
            row.append(_with_lost(turn.line.text or "", comparison))
        row.append(turn.heard or Text("(nothing)", style="red"))
        if comparison is not None:
            row.append(str(comparison.errors))
        table.add_row(*row, _seconds(turn.final_latency), _seconds(turn.reply_latency))
    return table


def _with_lost(said: str, comparison: Comparison) -> Text:
    """What was said, with the words that were not understood in red."""
    lost = list(comparison.lost)
    text = Text()
    for word in said.split():
        is_lost = bool(lost) and lost[0] == word.lower()
        if is_lost:
            lost.pop(0)
        text.append(word + " ", style="red" if is_lost else "")
    return text


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
