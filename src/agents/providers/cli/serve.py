"""``voxport serve``: the embedded server, and a line to paste for each way of using it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import signal

from rich.console import Console
from rich.text import Text

from ..local import ServerOptions, SpeechServer
from ..local.extras import require
from .outcome import CommandFailed, warn
from .service import EMBEDDED_MODEL, HTTP_PATH, VOICE_WS_PATH, WS_PATH

__all__ = ["run_server", "uses"]


async def run_server(
    *, host: str, port: int, api_keys: tuple[str, ...], engine: str, model: str, streams: int | None
) -> int:
    """Serve until a signal comes. Answers the exit status.

    Raises:
        CommandFailed: nothing can listen there.
        MissingExtraError, RecogniserFailed: the recogniser cannot be had.
    """
    require("espeakng_loader")
    options = ServerOptions(host=host, port=port, api_keys=api_keys, engine=engine, model=model, streams=streams)
    console = Console(highlight=False)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C cancels this coroutine
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
    server = SpeechServer(options)
    try:
        with console.status("loading the recogniser …"):
            await server.start()
        _introduce(console, server, has_key=bool(api_keys))
        if not _is_this_machine(host):
            key = "" if api_keys else ", and asks for no key: give --api-key to ask for one"
            warn(f"other machines can reach this server{key}; what they send and hear is not encrypted")
        await stop.wait()
        console.print("stopping …")
    except OSError as error:
        raise CommandFailed(_why_not(error, host, port)) from None
    finally:
        await server.aclose()
    return 0


def uses(url: str, ws_url: str, *, has_key: bool) -> list[tuple[str, str]]:
    """Ways to use a server at *url*: what each is for, and what to paste. A key stands as ``YOUR-KEY``."""
    header = '-H "Authorization: Bearer YOUR-KEY" ' if has_key else ""
    option = " --api-key YOUR-KEY" if has_key else ""
    argument = ', api_key="YOUR-KEY"' if has_key else ""
    key = "YOUR-KEY" if has_key else "none"
    return [
        (
            "curl, the generic protocol",
            f'curl {header}-H "Content-Type: audio/wav" --data-binary @speech.wav {url}{HTTP_PATH}',
        ),
        (
            "curl, OpenAI's protocol",
            f"curl {header}-F model=whisper-1 -F file=@speech.wav {url}/v1/audio/transcriptions",
        ),
        ("the command line", f"voxport transcribe speech.wav --url {ws_url}{WS_PATH}{option}"),
        (
            "Voxport's adapter in an AgentSession",
            "from agents.providers.adapters import CustomWebSocketSTTAdapter; "
            f'stt = CustomWebSocketSTTAdapter(ws_url="{ws_url}{WS_PATH}"{argument})',
        ),
        (
            "Voxport's language model and voice beside it",
            "from agents.providers.adapters import CustomHTTPLLMAdapter, CustomWebSocketTTSAdapter; "
            f'llm = CustomHTTPLLMAdapter("{url}/v1", model="{EMBEDDED_MODEL}"{argument}); '
            f'tts = CustomWebSocketTTSAdapter("{ws_url}{VOICE_WS_PATH}"{argument})',
        ),
        (
            "the openai package",
            f'import openai; client = openai.OpenAI(base_url="{url}/v1", api_key="{key}")',
        ),
        (
            "LiveKit's openai plugin",
            "from livekit.plugins import openai; "
            f'tts = openai.TTS(base_url="{url}/v1", api_key="{key}", model="espeak-ng", voice="alloy")',
        ),
    ]


def _introduce(console: Console, server: SpeechServer, *, has_key: bool) -> None:
    console.print(f"[bold green]listening[/] at {server.url} and {server.ws_url} ([bold]Ctrl-C[/] stops it)\n")
    for purpose, line in uses(server.url, server.ws_url, has_key=has_key):
        console.print(Text(f"# {purpose}", style="dim"))
        console.print(Text(line), soft_wrap=True)  # never broken: it is to be pasted
        console.print()


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken: choose another with --port, or let --port 0 find one"
    if error.errno == errno.EACCES:
        return f"port {port} needs rights you do not have: choose one above 1023 with --port"
    return f"cannot listen at {host}:{port} ({error.strerror or error})"
