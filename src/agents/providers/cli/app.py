"""The commands and their options. What they do is in a module each, loaded when the command runs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .captions import Format
from .outcome import plain_errors, run
from .service import Service, parse_options

__all__ = ["app"]

app = typer.Typer(
    name="voxport",
    help="Any speech vendor in LiveKit Agents.\n\n"
    "Without a key and without a network: [bold]voxport demo[/] lets a caller talk to an agent, and "
    "[bold]voxport transcribe FILE[/] writes down what a recording says.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
vendors_app = typer.Typer(
    help="The vendors Voxport knows.\n\nExamples:\n\n    voxport vendors\n\n    voxport vendors show deepgram\n\n"
    "    voxport vendors new acme\n\n    voxport vendors lint acme.yaml",
    rich_markup_mode="rich",
)
app.add_typer(vendors_app, name="vendors")


class RecogniserName(str, Enum):
    """What the embedded server recognises with."""

    POCKETSPHINX = "pocketsphinx"
    WHISPER = "whisper"


_WHO = "Who hears (by default the embedded server, on this machine)"
Vendor = Annotated[
    str | None,
    typer.Option(help="A vendor by name, or the path of a profile of your own.", rich_help_panel=_WHO),
]
Url = Annotated[
    str | None,
    typer.Option(help="Where it is: ws://, wss://, http:// or https://.", rich_help_panel=_WHO),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="VOXPORT_API_KEY",
        show_envvar=True,
        help="The key, or '${env:NAME}'. By default from the vendor's own environment variable.",
        rich_help_panel=_WHO,
    ),
]
Language = Annotated[
    str, typer.Option(help="What is spoken, such as en-US; auto leaves it to the vendor.", rich_help_panel=_WHO)
]
Model = Annotated[str | None, typer.Option(help="The vendor's name of the model.", rich_help_panel=_WHO)]
Option = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE", help="A parameter of the vendor's own; may be repeated.", rich_help_panel=_WHO
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(help="A YAML or TOML file with a section stt (for demo also llm and tts).", rich_help_panel=_WHO),
]
Http = Annotated[
    bool | None,
    typer.Option(
        "--http/--ws", help="Over HTTP, or over a WebSocket. By default as the URL or the vendor has it."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log on stderr what goes on.")]


def _service(
    vendor: str | None,
    url: str | None,
    api_key: str | None,
    language: str,
    model: str | None,
    option: list[str] | None,
    config: Path | None,
    http: bool | None,
) -> Service:
    return Service(
        vendor=vendor,
        url=url,
        api_key=api_key,
        language=None if language in ("", "auto") else language,
        model=model,
        options=parse_options(option or []),
        config=config,
        mode=None if http is None else "http" if http else "ws",
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"voxport {version('voxport')}")
        raise typer.Exit


@app.callback()
def voxport(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
def demo(
    audio: Annotated[
        Path | None,
        typer.Option(
            help="A recording to be the caller: WAV, FLAC, MP3, Ogg …, of any rate. Default: four lines."
        ),
    ] = None,
    all_custom: Annotated[
        bool,
        typer.Option(
            "--all-custom", help="Recogniser, language model and voice are all custom; the model calls a tool."
        ),
    ] = False,
    http: Http = None,
    vendor: Vendor = None,
    url: Url = None,
    api_key: ApiKey = None,
    language: Language = "en-US",
    model: Model = None,
    option: Option = None,
    config: Config = None,
    output: Annotated[
        Path, typer.Option(help="Where conversation.wav, transcript.txt, .json and timeline.png go.")
    ] = Path("demo-output"),
    lines: Annotated[
        int | None, typer.Option(min=1, max=4, help="How many of the caller's four lines are said.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """A caller talks to a LiveKit agent, which hears through a custom vendor.

    A real AgentSession without a room. By default everything is on this machine: no key, no network, no
    microphone. The exit status is 1 when the agent did not understand what the caller said, or, with
    --all-custom, did not book the table that was asked for.

    Examples:

        voxport demo

        voxport demo --http

        voxport demo --all-custom

        voxport demo --audio call.mp3

        voxport demo --vendor deepgram --api-key '${env:DEEPGRAM_API_KEY}'
    """
    with plain_errors():
        service = _service(vendor, url, api_key, language, model, option, config, http)
        from .demo import DemoOptions, run_demo

        options = DemoOptions(service=service, output=output, audio=audio, lines=lines, all_custom=all_custom)
        raise typer.Exit(run(run_demo(options), verbose=verbose))


@app.command()
def transcribe(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings, of any format and rate.")],
    http: Http = None,
    vendor: Vendor = None,
    url: Url = None,
    api_key: ApiKey = None,
    language: Language = "en-US",
    model: Model = None,
    option: Option = None,
    config: Config = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="How it is written down.")] = Format.TEXT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder for one transcript a file. Default: stdout.")
    ] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", "-j", min=1, max=64, help="Files at a time.")] = 2,
    realtime: Annotated[bool, typer.Option("--realtime", help="Send audio as slowly as it was spoken.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one recording over HTTP.")] = 300.0,
    wire: Annotated[
        bool, typer.Option("--wire", help="Show on stderr what is sent and received, and what it means.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Write down what recordings say.

    Transcripts go to stdout, progress to stderr. A file that fails does not stop the others; the exit status is 1
    then, and a table says what failed and why. Ctrl-C keeps what was heard so far (exit status 130).

    Examples:

        voxport transcribe interview.mp3

        voxport transcribe *.wav --format srt --output captions --concurrency 4

        voxport transcribe call.ogg --url wss://speech.example/v1/stream --api-key '${env:SPEECH_KEY}'

        voxport transcribe call.flac --vendor deepgram --option smart_format=true --format json
    """
    with plain_errors():
        service = _service(vendor, url, api_key, language, model, option, config, http)
        from .transcribe import TranscribeOptions
        from .transcribe import transcribe as transcribe_files

        options = TranscribeOptions(
            files=files,
            service=service,
            form=form,
            output=output,
            concurrency=concurrency,
            realtime=realtime,
            timeout_seconds=timeout,
            wire=wire,
        )
        raise typer.Exit(run(transcribe_files(options), verbose=verbose))


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    api_key: Annotated[
        list[str] | None,
        typer.Option(help="A key clients must send; may be repeated. Default: none is asked for."),
    ] = None,
    recogniser: Annotated[RecogniserName, typer.Option(help="What recognises.")] = RecogniserName.POCKETSPHINX,
    model: Annotated[str, typer.Option(help="For whisper: a size such as base.en, or a folder.")] = "",
    streams: Annotated[
        int | None, typer.Option(min=1, help="Streams at a time. Default: what this machine decodes in real time.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Run the embedded speech server, and print a line to paste for each way of using it.

    Examples:

        voxport serve

        voxport serve --port 9000 --api-key local-secret

        voxport serve --recogniser whisper --model base.en
    """
    with plain_errors():
        from .serve import run_server

        status = run(
            run_server(
                host=host,
                port=port,
                api_keys=tuple(api_key or ()),
                engine=recogniser.value,
                model=model,
                streams=streams,
            ),
            verbose=verbose,
        )
        raise typer.Exit(status)


@vendors_app.callback(invoke_without_command=True)
def list_vendors(
    context: typer.Context,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As the page docs/vendors.md, built-in vendors only.")
    ] = False,
) -> None:
    """List them, with what each can do."""
    if context.invoked_subcommand is None:
        with plain_errors():
            from .vendor_list import print_page, print_vendors

            print_page() if markdown else print_vendors()


@vendors_app.command("show")
def show_vendor(
    name: Annotated[str, typer.Argument(help="A name from the list, or the path of a profile.")],
) -> None:
    """Show one vendor: where it is, its key, models, what it can do, and its options.

    Examples:

        voxport vendors show deepgram

        voxport vendors show ./acme.yaml
    """
    with plain_errors():
        from .vendor_list import print_vendor

        print_vendor(name)


@vendors_app.command("new")
def new_vendor(
    name: Annotated[str, typer.Argument(help="What the vendor is to be called, such as acme.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write. Default: NAME.yaml, here.")
    ] = None,
    speaks: Annotated[bool, typer.Option("--voice", help="One that speaks, instead of one that listens.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a file to begin a vendor of your own with.

    It is sound as it is, and says what to change. docs/add-your-vendor.md goes through it, for one that listens.

    Examples:

        voxport vendors new acme

        voxport vendors new acme-voice --voice
    """
    with plain_errors():
        from .vendor_new import write_starting_file

        write_starting_file(name, output, speaks=speaks, force=force)


@vendors_app.command("lint")
def lint_vendors(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Vendor files.")],
) -> None:
    """Say what is wrong with vendor files, and what to do about it.

    One line for each problem, as file:line: where: remedy. The exit status is 1 when there is one.

    Examples:

        voxport vendors lint acme.yaml
    """
    with plain_errors():
        from .vendor_list import lint_files

        raise typer.Exit(lint_files(files))
