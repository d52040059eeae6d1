"""A page of the documentation as its reader uses it: files are saved, blocks are run in order, prints compared."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Notebook", "run"]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Notebook:
    """The page *name*, with its path from the root of the repository."""

    def __init__(self, name: str) -> None:
        self.path = Path(__file__).parents[2] / name
        self.text = self.path.read_text(encoding="utf-8")

    def steps(self) -> Iterator[tuple[str, str, str]]:
        """What is run: where it stands, its code, and what the page says it prints."""
        found = [(match[1], match[2], self._line(match)) for match in _BLOCK.finditer(self.text)]
        following = [*found[1:], ("", "", 0)]
        for (language, code, line), (next_language, printed, _) in zip(found, following, strict=True):
            if language == "python":
                yield f"{self.path.name}:{line}", code, printed if next_language == "text" else ""

    def save_files(self, folder: Path) -> list[str]:
        """Write the blocks that begin with a file's name into *folder*; answers the names."""
        named = [match[2] for match in _BLOCK.finditer(self.text) if re.match(r"# \w+\.(py|yaml)\n", match[2])]
        for code in named:
            (folder / code.partition("\n")[0][2:]).write_text(code, encoding="utf-8")
        return [code.partition("\n")[0][2:] for code in named]

    def _line(self, match: re.Match[str]) -> int:
        return self.text[: match.start()].count("\n") + 2


async def run(code: str, place: str, names: dict[str, Any]) -> str:
    """Run a block, with ``await`` where a notebook allows it. Returns what it prints."""
    compiled = compile(code, place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = eval(compiled, names)
        if inspect.iscoroutine(result):
            await result
    return printed.getvalue()
