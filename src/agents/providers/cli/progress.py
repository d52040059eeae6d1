"""Progress of several recordings on a terminal: a bar and the words as they are heard for each one under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

if TYPE_CHECKING:
    from types import TracebackType

    from .transcribe import Job

__all__ = ["Progress"]

_TAIL_CHARS = 200


class Progress:
    """Shows jobs while it is entered. Silent where stderr is no terminal: nobody is looking there.

    Finished files leave a line; only those under way have a bar, so a thousand files fit on a screen.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._total = total
        self._finished = 0
        self._tasks: dict[int, TaskID] = {}
        self._bars = Bars(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[seconds]}", style="cyan"),
            TextColumn("{task.fields[heard]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            redirect_stdout=False,  # stdout is for transcripts
            redirect_stderr=False,
        )

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, job: Job) -> None:
        """Show what has become of *job*."""
        if not self._console.is_terminal:
            return
        if job.state == "working":
            self._update(job)
        elif job.state in ("done", "failed", "stopped"):
            self._finish(job)

    def _update(self, job: Job) -> None:
        task = self._tasks.get(id(job))
        if task is None:
            task = self._tasks[id(job)] = self._bars.add_task(job.path.name, total=None, seconds="", heard="")
        self._bars.update(
            task,
            total=job.said_seconds,
            completed=job.heard_seconds,
            seconds=f"{job.heard_seconds:.1f} s",
            heard=_tail(job, self._console.width - len(job.path.name) - 36),
        )

    def _finish(self, job: Job) -> None:
        task = self._tasks.pop(id(job), None)
        if task is not None:
            self._bars.remove_task(task)
        self._finished += 1
        mark, style = {"done": ("✓", "green"), "failed": ("✗", "red"), "stopped": ("…", "yellow")}[job.state]
        line = Text.assemble((f"{mark} ", style), job.path.name)
        if self._total > 1:
            line.append(f"  {self._finished} of {self._total}", style="dim")
        if job.state == "done":
            line.append(
                f"  {job.transcript.duration:.1f} s, {len(job.transcript.text.split())} words", style="dim"
            )
        self._console.print(line)


def _tail(job: Job, width: int) -> Text:
    """The last words: finals plain, and what may still change in italics."""
    finals = " ".join(segment.text for segment in job.transcript.segments[-8:])
    text = Text(finals[-_TAIL_CHARS:])
    if job.interim:
        text.append((" " if finals else "") + job.interim, style="italic yellow")
    surplus = text.cell_len - max(width, 10)
    return text[surplus:] if surplus > 0 else text
