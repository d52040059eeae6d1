"""``voxport transcribe``: recordings through either adapter, several at a time, each on its own.

A file that fails does not keep the others from being heard, and what was heard of it before is kept, as it is when
the user interrupts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import typer
from livekit import rtc
from livekit.agents import APIConnectOptions, stt, utils

from .audio_files import AudioFile, AudioFileError, Samples
from .captions import Format, Segment, Transcript, TranscriptWord, as_json, render
from .outcome import (
    FAILED,
    INTERRUPTED,
    CommandFailed,
    adapter_warnings,
    complain,
    explain,
    show_failures,
    warn,
)
from .progress import Progress
from .service import Service, embedded_server

__all__ = ["Job", "TranscribeOptions", "transcribe"]

_AHEAD_SECONDS = 2.0
"""So much audio may wait to be sent: a recording must not be in memory as a whole."""

_RETRIES = APIConnectOptions(max_retry=2, retry_interval=1.0, timeout=10.0)
"""A user is waiting: an address that cannot be reached is reported within some seconds."""

_OWN_SERVER = {"max_body_bytes": 2**31, "max_audio_seconds": 24 * 3600.0, "queue_seconds": 3600.0}
"""The server started for this very command has no one to protect itself from."""


@dataclass(frozen=True)
class TranscribeOptions:
    """What is to be heard, by whom, and how it is written down.

    ``output`` of ``None`` is stdout; ``wire`` shows on stderr what is sent, received and made of it.
    """

    files: Sequence[Path]
    service: Service
    form: Format = Format.TEXT
    output: Path | None = None
    concurrency: int = 2
    realtime: bool = False
    timeout_seconds: float = 300.0
    wire: bool = False


@dataclass
class Job:
    """One file: what was heard so far, and why no more, if it failed."""

    path: Path
    transcript: Transcript = field(init=False)
    state: Literal["waiting", "working", "done", "failed", "stopped"] = "waiting"
    error: str = ""
    """Why it failed: about the file where that is at fault, else about who should have heard it."""
    is_file_at_fault: bool = False
    interim: str = ""
    sent_seconds: float = 0.0
    heard_seconds: float = 0.0
    """How far what was heard reaches; a vendor may lag behind what was sent to it."""
    said_seconds: float | None = None
    written_to: Path | None = None

    def __post_init__(self) -> None:
        self.transcript = Transcript(source=str(self.path))


OnChange = Callable[[Job], None]


async def transcribe(options: TranscribeOptions) -> int:
    """Hear all files and write down what they say. Answers the exit status.

    Raises:
        ConfigurationError, CommandFailed: nothing can be heard the way it was asked for.
    """
    if options.output is None and len(options.files) > 1 and options.form in (Format.SRT, Format.VTT):
        raise CommandFailed("captions of several files do not fit into one: give --output DIR", status=2)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
    jobs = [Job(path) for path in options.files]
    for job, target in zip(jobs, _targets(options), strict=True):
        job.written_to = target
    interrupted = False
    try:
        await _hear_all(jobs, options)
    except asyncio.CancelledError:
        interrupted = True
    return _report(jobs, options, interrupted)


async def _hear_all(jobs: Sequence[Job], options: TranscribeOptions) -> None:
    concurrency = min(options.concurrency, len(jobs))
    async with contextlib.AsyncExitStack() as stack:
        server = None
        if options.service.is_embedded:
            server = await stack.enter_async_context(embedded_server(streams=concurrency, **_OWN_SERVER))
        tap = None
        if options.wire:
            from .wire import Wiretap  # and with it the test kit, which nobody else needs

            tap = Wiretap(lambda line: typer.echo(line, err=True)).on
        adapter = options.service.build(
            server, on_failure="raise", request_timeout=options.timeout_seconds, tap=tap
        )
        stack.push_async_callback(adapter.aclose)
        progress = stack.enter_context(Progress(len(jobs)))
        warnings = stack.enter_context(adapter_warnings())
        gate = asyncio.Semaphore(concurrency)

        async def work(job: Job) -> None:
            async with gate:
                await _hear(job, adapter, options, progress.show, warnings)

        tasks = [asyncio.ensure_future(work(job)) for job in jobs]
        try:
            await asyncio.gather(*tasks)
        finally:
            await utils.aio.cancel_and_wait(*tasks)


async def _hear(
    job: Job, adapter: stt.STT[Any], options: TranscribeOptions, on_change: OnChange, warnings: Sequence[str]
) -> None:
    """Hear one file; what goes wrong is the file's."""
    job.state = "working"
    on_change(job)
    try:
        with AudioFile(job.path) as file:
            job.said_seconds = file.said_seconds
            if adapter.capabilities.streaming:
                await _by_stream(job, file, adapter, options, on_change)
            else:
                await _at_once(job, file, adapter)
            if file.warning:
                job.transcript.warnings.append(file.warning)
            if not job.transcript.text and not job.interim:
                job.transcript.warnings.append(_doubt(options, warnings[-1] if warnings else ""))
        job.transcript.complete = True
        job.state = "done"
    except asyncio.CancelledError:
        job.state = "stopped"
        raise
    except AudioFileError as error:
        job.state, job.error, job.is_file_at_fault = "failed", str(error), True
    except Exception as error:
        told = explain(error)
        job.state = "failed"
        job.error = told[0] if told else f"unexpected {type(error).__name__}: {error}"
    finally:
        job.transcript.unfinished = job.interim
        if job.state == "done" or job.transcript.text:
            _write(job, options.form)
        else:
            job.written_to = None
        on_change(job)


async def _at_once(job: Job, file: AudioFile, adapter: stt.STT[Any]) -> None:
    samples = np.concatenate(list(file))
    job.sent_seconds = job.transcript.duration = file.read_seconds
    event = await adapter.recognize([_frame(samples, file.rate)], conn_options=_RETRIES)
    _take(job, event)


async def _by_stream(
    job: Job, file: AudioFile, adapter: stt.STT[Any], options: TranscribeOptions, on_change: OnChange
) -> None:
    stream = adapter.stream(conn_options=_RETRIES)
    pusher = asyncio.ensure_future(_push(job, file, stream, options.realtime, on_change))
    try:
        async for event in stream:
            _take(job, event)
            on_change(job)
        await pusher
    finally:
        await utils.aio.cancel_and_wait(pusher)
        await stream.aclose()


async def _push(
    job: Job, file: AudioFile, stream: stt.RecognizeStream, realtime: bool, on_change: OnChange
) -> None:
    """Send the file, as fast as the other end takes it; ends the input also when the file is damaged."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    # other people's streams do not say when they have room: they get a recording as slowly as a call
    wait_for_room = None if realtime else getattr(stream, "wait_for_room", None)
    try:
        for samples in file:
            stream.push_frame(_frame(samples, file.rate))
            job.sent_seconds = job.transcript.duration = file.read_seconds
            on_change(job)
            if wait_for_room is not None:
                await wait_for_room(_AHEAD_SECONDS)
            else:
                await asyncio.sleep(max(began + file.read_seconds - loop.time(), 0))
    finally:
        with contextlib.suppress(RuntimeError):  # it is closed already
            stream.end_input()


def _frame(samples: Samples, rate: int) -> rtc.AudioFrame:
    return rtc.AudioFrame(samples.tobytes(), rate, 1, len(samples))


def _take(job: Job, event: stt.SpeechEvent) -> None:
    """Put what was heard where it belongs."""
    data = event.alternatives[0] if event.alternatives else None
    if data is None:
        return
    job.heard_seconds = max(job.heard_seconds, data.end_time or job.sent_seconds)
    if event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
        job.interim = data.text
    elif event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
        job.interim = ""
        if data.text.strip():
            job.transcript.segments.append(_segment(data))
            job.transcript.language = str(data.language) or job.transcript.language


def _segment(data: stt.SpeechData) -> Segment:
    words = tuple(
        TranscriptWord(
            str(word),
            word.start_time if utils.is_given(word.start_time) else None,
            word.end_time if utils.is_given(word.end_time) else None,
            word.confidence or None if utils.is_given(word.confidence) else None,
        )
        for word in data.words or ()
    )
    return Segment(
        text=data.text,
        start=data.start_time,
        end=data.end_time,
        confidence=data.confidence or None,
        speaker=data.speaker_id,
        words=words,
    )


def _doubt(options: TranscribeOptions, told: str) -> str:
    """What to say of a recording in which nothing was heard; *told* is the adapter's last warning."""
    why = f": {told}" if told and len(options.files) == 1 else ""
    can_look = options.service.config is None and not options.wire
    return "brought no transcript" + why + ("; --wire shows what the vendor sends" if can_look else "")


def _targets(options: TranscribeOptions) -> Iterator[Path | None]:
    """Where each transcript goes: under the file's name, with as much of it as makes it unique."""
    taken: set[Path] = set()
    for path in options.files:
        if options.output is None:
            yield None
            continue
        names = [path.stem, path.name, *(f"{path.name}-{number}" for number in range(2, len(options.files) + 2))]
        target = next(t for n in names if (t := options.output / f"{n}{options.form.suffix}") not in taken)
        taken.add(target)
        yield target


def _write(job: Job, form: Format) -> None:
    if job.written_to is None:
        return
    try:
        job.written_to.write_text(render(job.transcript, form), encoding="utf-8")
    except OSError as error:
        job.state, job.error = "failed", f"the transcript cannot be written: {error}"


def _report(jobs: Sequence[Job], options: TranscribeOptions, interrupted: bool) -> int:
    """Print what is to be printed, say what failed, and answer the exit status."""
    for job in jobs:
        for warning in job.transcript.warnings:
            warn(f"{job.path} {warning}")
    if options.output is None:
        _print_all([job for job in jobs if job.state == "done" or job.transcript.text], options)
    failed = [job for job in jobs if job.state == "failed"]
    if len(jobs) == 1 and failed:
        job = failed[0]
        complain(f"{job.path} {job.error}" if job.is_file_at_fault else job.error)
    elif failed:
        show_failures([(str(job.path), job.error) for job in failed], total=len(jobs))
    if interrupted:
        open_jobs = [job for job in jobs if job.state in ("stopped", "waiting")]
        warn(f"interrupted: {len(open_jobs)} of {len(jobs)} not heard to the end; what was heard is kept")
        return INTERRUPTED
    return FAILED if failed else 0


def _print_all(jobs: Sequence[Job], options: TranscribeOptions) -> None:
    write = sys.stdout.write
    if options.form is Format.JSON and len(options.files) > 1:
        write(json.dumps([as_json(job.transcript) for job in jobs], ensure_ascii=False, indent=2) + "\n")
        return
    for number, job in enumerate(jobs):
        if len(options.files) > 1:
            write(f"{'' if number == 0 else chr(10)}==> {job.path} <==\n")
        write(render(job.transcript, options.form))
    sys.stdout.flush()
