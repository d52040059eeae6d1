"""The ``voxport`` command line: `demo`, `transcribe`, `serve` and `vendors`.

A command's options are in :mod:`.app`, which imports nothing but typer; what a command does is in a module of its
own, loaded when the command runs.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and end the process with its exit status."""
    from .app import app

    app(prog_name="voxport")
