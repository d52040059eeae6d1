"""What README and docs tell people to type exists: commands, their options, links; Python compiles."""

from __future__ import annotations

import ast
import doctest
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from agents.providers.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w+-]*)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)
_PROMPT = re.compile(r"^\s*(?:[$>]\s+)?")
_PYTHON = {"python", "py", "pycon"}
_SHELL_ENDS = {"|", "||", "&&", ";", ">", ">>", "<", "2>", "&"}


def blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """The fenced code of a page: line number, language, code."""
    for match in _FENCE.finditer(text):
        indent = len(match["indent"])
        code = "".join(line[indent:] for line in match["code"].splitlines(keepends=True))
        yield text[: match.start()].count("\n") + 1, match["language"].lower(), code


def commands(code: str) -> Iterator[list[str]]:
    """The `make` and `voxport` commands in shell code, as words."""
    for line in code.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(_PROMPT.sub("", line), comments=True)
        except ValueError:  # an apostrophe in some output: no command
            continue
        current: list[str] = []
        for word in [*words, ";"]:
            if word not in _SHELL_ENDS:
                current.append(word)
                continue
            while current and re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", current[0]):
                current.pop(0)
            if current and Path(current[0]).name in ("make", "voxport"):
                yield [Path(current[0]).name, *current[1:]]
            current = []


def trouble_with(command: list[str]) -> str:
    """What is wrong with a documented *command*; empty when it exists."""
    if command[0] == "make":
        unknown = [
            word for word in command[1:] if not word.startswith("-") and "=" not in word and word not in TARGETS
        ]
        return f"the Makefile has no target {', '.join(unknown)}" if unknown else ""
    node: Any = typer.main.get_command(app)
    path = ["voxport"]
    for word in command[1:]:
        children = getattr(node, "commands", {})
        if word.startswith("-") and word != "-":
            names = {name for parameter in node.params for name in (*parameter.opts, *parameter.secondary_opts)}
            if word.split("=")[0] not in {*names, "--help", "-h"}:
                return f"{' '.join(path)} has no option {word.split('=')[0]}"
        elif word in children:
            node = children[word]
            path.append(word)
        elif children and not word.startswith(("<", "[")):
            return f"{' '.join(path)} has no command {word}"
    return ""


def every_block(languages: set[str], *, others: bool = False) -> list[Any]:
    found = []
    for page in PAGES:
        if not page.exists():
            continue
        for line, language, code in blocks(page.read_text(encoding="utf-8")):
            if (language in languages) is not others:
                found.append(pytest.param(language, code, id=f"{page.relative_to(ROOT)}:{line}"))
    return found or [pytest.param("", "", id="none")]


@pytest.mark.parametrize(("language", "code"), every_block(_PYTHON, others=True))
def test_documented_commands_exist(language: str, code: str) -> None:
    for command in commands(code):
        assert trouble_with(command) == "", " ".join(command)


@pytest.mark.parametrize(("language", "code"), every_block(_PYTHON))
def test_documented_python_compiles(language: str, code: str) -> None:
    if language == "pycon" or code.lstrip().startswith(">>>"):
        code = "".join(example.source for example in doctest.DocTestParser().get_examples(code))
    compile(code, "<documentation>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def anchors(page: Path) -> set[str]:
    """What a link into *page* may name: its headings, as GitHub writes them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists()], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors(there), f"{target}: {there.name} has no such heading"


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists()], ids=lambda page: page.name)
def test_lines_are_as_short_as_those_of_the_code(page: Path) -> None:
    """Beside tables, blocks of code, and where links lead."""
    text = re.sub(r"\]\([^)\s]+\)", "]", _FENCE.sub("", page.read_text(encoding="utf-8")))
    lines = [line for line in text.splitlines() if not line.startswith(("|", "<!--"))]
    assert [line for line in lines if len(line) > 115] == []


@pytest.mark.parametrize(
    ("line", "trouble"),
    [
        ("make demo", ""),
        ("$ make test && voxport demo --http", ""),
        ("make fly", "the Makefile has no target fly"),
        ("KEY=1 voxport transcribe *.wav --format srt -o captions  # all of them", ""),
        ("voxport transcribe a.wav \\\n  --no-such", "voxport transcribe has no option --no-such"),
        ("voxport sing", "voxport has no command sing"),
        (".venv/bin/voxport vendors show deepgram | head", ""),
        ("voxport serve --port=9000", ""),
        ("it's not a command: make it so", ""),
    ],
)
def test_this_check_finds_what_does_not_exist(line: str, trouble: str) -> None:
    assert "".join(trouble_with(command) for command in commands(line)) == trouble


def test_the_help_shows_only_options_there_are() -> None:
    root: Any = typer.main.get_command(app)
    for command in root.commands.values():
        for example in commands(command.help or ""):
            assert trouble_with(example) == "", example
