"""``voxport vendors``, ``show`` and ``lint``: whom Voxport can talk to, what they want, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..base import ConfigurationError
from ..profiles import find_problems
from ..profiles.schema import Auth
from ..vendors import Vendor, find_vendor, vendor_names
from ..vendors._features import Features, features_of, option_form
from .outcome import FAILED, CommandFailed

__all__ = ["lint_files", "print_page", "print_vendor", "print_vendors"]

_PLAIN_WIDTH = 200
"""Columns where nobody looks at a terminal: a pipe's reader cuts lines himself."""


def print_vendors() -> None:
    """Print a table of all vendors."""
    table = _grid("name", "", "modes", "interims", "words", "speakers", "keyterms", "flush", "speaks", "key in")
    for name in vendor_names():
        try:
            vendor = find_vendor(name)
            features = features_of(vendor)
        except (ConfigurationError, ImportError) as error:  # a broken package: the others are still there
            table.add_row(name, escape(str(error)))
            continue
        table.add_row(
            name,
            escape(vendor.title),
            _modes(vendor),
            _yes(features.interims),
            _yes(any(features.word_times)),
            next((speaker for speaker in features.speakers if speaker), ""),
            _yes(features.keyterms),
            _yes(features.flush),
            _speaks(vendor),
            ", ".join(vendor.key_variables),
        )
    console = _console()
    console.print(table)
    console.print("\nvoxport vendors show NAME tells more; voxport vendors new NAME begins a file of your own.")


def print_page() -> None:
    """Print the page ``docs/vendors.md``."""
    from ..vendors._table import vendors_page

    typer.echo(vendors_page(), nl=False)


def print_vendor(name: str) -> None:
    """Print what there is to know about one vendor.

    Raises:
        ConfigurationError: there is no such vendor; the message names the nearest.
    """
    vendor = find_vendor(name)
    console = _console()
    ways = "; ".join(filter(None, (_modes(vendor), f"speaks {_speaks(vendor)}" if _speaks(vendor) else "")))
    console.print(f"[bold]{escape(vendor.title)}[/] ({vendor.name}): {ways}")
    facts = _grid()
    for label, value in _facts(vendor):
        if value:
            facts.add_row(label, escape(value))
    console.print(facts)
    _print_options(console, vendor)


def lint_files(files: Sequence[Path]) -> int:
    """Print what is wrong with profiles, one ``file:line: where: remedy`` a line. Answers the exit status.

    Raises:
        CommandFailed: a file cannot be read.
    """
    bad = 0
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise CommandFailed(f"cannot read {path}: {reason}") from None
        problems = find_problems(text, source=str(path))
        for problem in problems:
            typer.echo(str(problem))
        bad += bool(problems)
        if not problems:
            typer.echo(f"{path}: sound")
    return FAILED if bad else 0


def _facts(vendor: Vendor) -> Iterable[tuple[str, str]]:
    profile = vendor.profile
    yield "WebSocket", vendor.streaming_url or _give(vendor.streaming)
    yield "HTTP", vendor.batch_url or _give(vendor.batch)
    yield "speech, WebSocket", vendor.streaming_synthesis_url or _give(vendor.streaming_synthesis)
    yield "speech, HTTP", vendor.synthesis_url or _give(vendor.synthesis)
    yield "key in", ", ".join(vendor.key_variables)
    if profile is not None:
        services = (profile.streaming, profile.batch, profile.streaming_synthesis, profile.synthesis)
        own = [service.auth for service in services if service is not None]
        ways = [auth for auth in (profile.auth, *own) if auth is not None]
        yield "key goes to", "; ".join(dict.fromkeys(map(_auth, ways)))
    yield "recognised by", ", ".join(vendor.hosts)
    yield "model", vendor.default_model or ""
    if profile is not None:
        yield "models", ", ".join(profile.models)
        yield "languages", ", ".join(profile.languages)
    yield "voice", vendor.default_voice or ""
    yield "speech model", vendor.default_speech_model or ""
    if profile is not None:
        yield "voices", ", ".join(profile.speech.voices)
        yield "speech models", ", ".join(profile.speech.models)
        yield "spoken languages", ", ".join(profile.speech.languages)
    yield "can do", ", ".join(_abilities(features_of(vendor)))
    if profile is not None:
        yield from profile.links.items()
        yield "facts from", "; ".join(profile.sources)
        yield "proven with", "; ".join(profile.proven_with)


def _give(protocol: object) -> str:
    """What to say of a service that has no place of its own."""
    return "give its URL" if protocol is not None else ""


def _auth(auth: Auth) -> str:
    needed = "" if auth.required else ", if there is one"
    if auth.subprotocols is not None:
        return f"the subprotocol{needed}"
    return f"the header {auth.header}{needed}" if auth.header is not None else f"the query, {auth.query}{needed}"


def _abilities(features: Features) -> Iterable[str]:
    if features.interims:
        yield "interims"
    for has, way in zip(features.word_times, ("streams", "recordings"), strict=True):
        if has:
            yield f"word times of {way}"
    for speaker, way in zip(features.speakers, ("streams", "recordings"), strict=True):
        if speaker:
            yield f"speakers of {way}" + (f" (option {speaker})" if speaker != "yes" else "")
    if features.keyterms:
        yield "keyterms"
    if features.flush:
        yield "flush"
    if features.changes:
        yield f"changes in a running stream: {', '.join(features.changes)}"
    if features.spoken_words:
        yield "word times of speech"


def _print_options(console: Console, vendor: Vendor) -> None:
    profile = vendor.profile
    if profile is None or not (profile.options or profile.speech.options or profile.open_options):
        return
    for title, options in (
        ("[bold]options[/] (--option NAME=VALUE)", profile.options),
        ("[bold]options of speech[/]", profile.speech.options),
    ):
        if not options:
            continue
        console.print(f"\n{title}")
        table = _grid()
        for name, option in options.items():
            table.add_row(name, escape(option_form(option)), escape(option.description))
        console.print(table)
    if profile.open_options:
        console.print("Options it does not declare are passed on as they are.")


def _modes(vendor: Vendor) -> str:
    modes = (("ws", vendor.streaming), ("http", vendor.batch))
    return ", ".join(mode for mode, protocol in modes if protocol is not None)


def _speaks(vendor: Vendor) -> str:
    ways = (("ws", vendor.streaming_synthesis), ("http", vendor.synthesis))
    return ", ".join(way for way, protocol in ways if protocol is not None)


def _yes(has: bool) -> str:
    return "yes" if has else ""


def _grid(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_header=bool(titles))
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    return console
