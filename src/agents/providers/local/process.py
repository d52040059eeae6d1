"""The embedded server in a process of its own, and the ready line by which it says where it listens."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from dataclasses import asdict
from types import TracebackType
from typing import Any

from .extras import MissingExtraError
from .options import ServerOptions
from .recogniser import RecogniserFailed
from .server import SpeechServer

__all__ = ["ServerProcess", "main"]

_READY_SECONDS = 150.0
_STOP_SECONDS = 10.0
_OPTIONS_VARIABLE = "VOXPORT_LOCAL_OPTIONS"


class ServerProcess:
    """A `SpeechServer` in a process that ends with this one; ``async with`` waits until it serves.

    Its decoding and synthesis cannot hold up this process's event loop. Raises `RecogniserFailed` with what
    the server said when it does not start.
    """

    def __init__(self, options: ServerOptions | None = None) -> None:
        self.options = options or ServerOptions()
        self._process: asyncio.subprocess.Process | None = None
        self._ready: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """``http://host:port``, without a path."""
        return str(self._ready["url"])

    @property
    def ws_url(self) -> str:
        """``ws://host:port``, without a path."""
        return str(self._ready["ws_url"])

    @property
    def pid(self) -> int:
        """The server's process."""
        return int(self._ready["pid"])

    async def __aenter__(self) -> ServerProcess:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Start the process and wait for its ready line."""
        # through the environment: the options may hold keys, which a command line would show to everybody
        environment = {
            **os.environ,
            _OPTIONS_VARIABLE: json.dumps(asdict(self.options)),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agents.providers.local",
            "--exit-with-stdin",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), _READY_SECONDS)
            said = json.loads(line or b"{}")
        except BaseException:
            await self.aclose()
            raise
        if said.get("event") != "ready":
            await self.aclose()
            raise RecogniserFailed(f"the speech server did not start: {said.get('message', 'its log says why')}")
        self._ready = said

    async def aclose(self) -> None:
        """Ask the server to stop, and end it when it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
        finally:
            transport: asyncio.BaseTransport = process._transport  # type: ignore[attr-defined]
            transport.close()


def main(arguments: list[str] | None = None) -> int:
    """``python -m agents.providers.local``: serve until a signal comes. Answers the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m agents.providers.local", description=__doc__)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int, help="0 takes a free port")
    parser.add_argument("--engine", choices=["pocketsphinx", "whisper"])
    parser.add_argument("--model", help="for whisper: a size, or the folder of a converted model")
    parser.add_argument("--streams", type=int, help="streams at a time")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input ends")
    parser.add_argument("--verbose", action="store_true")
    given = vars(parser.parse_args(arguments))
    exit_with_stdin, verbose = given.pop("exit_with_stdin"), given.pop("verbose")
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, stream=sys.stderr)
    settings = json.loads(os.environ.pop(_OPTIONS_VARIABLE, "{}"))
    settings.update({name: value for name, value in given.items() if value is not None})
    try:
        return asyncio.run(_serve(ServerOptions(**settings), exit_with_stdin=exit_with_stdin))
    except (MissingExtraError, RecogniserFailed, OSError, ValueError) as error:
        _say({"event": "failed", "message": str(error)})
        return 1


async def _serve(options: ServerOptions, *, exit_with_stdin: bool) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with SpeechServer(options) as server:
        if exit_with_stdin:
            _watch_stdin(loop, stop)
        _say(
            {"event": "ready", "url": server.url, "ws_url": server.ws_url, "port": server.port, "pid": os.getpid()}
        )
        await stop.wait()
    return 0


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when standard input ends: however the parent dies, its end of the pipe is closed."""
    source = sys.stdin.fileno()

    def read() -> None:
        if not os.read(source, 4096):
            loop.remove_reader(source)
            stop.set()

    loop.add_reader(source, read)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
