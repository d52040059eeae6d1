"""A `voxport serve` for all tests, recordings in any format, and the command line to run on them."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import Result
from livekit import rtc
from typer.testing import CliRunner

from agents.providers.cli.app import app
from agents.providers.local.caller import speak_line
from agents.providers.local.synthesiser import SAMPLE_RATE

VOXPORT = [sys.executable, "-m", "agents.providers"]
LINE = "thank you that is all"
"""What recordings say: little, and what is answered with little."""

Recording = Callable[..., Path]
Voxport = Callable[..., Result]


@pytest.fixture(scope="session")
def serve() -> Iterator[tuple[str, str]]:
    """The HTTP and the WebSocket URL of a server that was started on the command line."""
    with subprocess.Popen([*VOXPORT, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"listening at (http://\S+) and (ws://\S+)", process.stdout.readline())
            assert found, "the server did not say where it listens"
            yield found[1], found[2]
        finally:
            process.terminate()
            rest = process.communicate(timeout=15)[0]
    assert process.returncode == 0, f"a stopped server has done what it was asked: {rest}"


@pytest.fixture(scope="session", autouse=True)
def livekit_runtime() -> None:
    """LiveKit's native runtime is started by its first use, and keeps a pair of sockets: no test leaks it."""
    rtc.AudioResampler(24000, 16000).push(rtc.AudioFrame(bytes(960), 24000, 1, 480))


@pytest.fixture(scope="session")
def spoken() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """`LINE` as the built-in caller says it, at `SAMPLE_RATE`."""
    return np.frombuffer(speak_line(LINE), "<i2")


@pytest.fixture
def recording(tmp_path: Path, spoken: np.ndarray[tuple[int], np.dtype[np.int16]]) -> Recording:
    """Write `LINE` to a file: ``recording("name.mp3", rate=44100, channels=2, codec="libmp3lame", times=1)``."""

    def make(name: str, *, rate: int = 16000, channels: int = 1, codec: str = "pcm_s16le", times: int = 1) -> Path:
        layout = "mono" if channels == 1 else "stereo"
        samples = np.repeat(np.tile(spoken, times), channels)
        path = tmp_path / name
        with av.open(str(path), "w") as output:
            stream = output.add_stream(codec, rate=rate, layout=layout)
            context = stream.codec_context
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "s16", layout)
            frame.sample_rate = SAMPLE_RATE
            fit = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or None)
            for piece in [*fit.resample(frame), *fit.resample(None)]:
                output.mux(stream.encode(piece))
            output.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def voxport() -> Iterator[Voxport]:
    """Run a command in this process; what it printed is in ``stdout`` and ``stderr``."""
    loggers = [
        logging.getLogger(name) for name in ("livekit", "livekit.agents", "livekit.plugins", "agents.providers")
    ]
    levels = [logger.level for logger in loggers]
    runner = CliRunner()

    def run(*arguments: str | Path) -> Result:
        result = runner.invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    yield run
    for logger, level in zip(loggers, levels, strict=True):  # a command sets them for the process it is
        logger.setLevel(level)
