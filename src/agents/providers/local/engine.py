"""Which backends there are, by the name under which a decoder process is told to load one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .segmenter import Backend
from .sphinx import MODEL, SphinxBackend
from .whisper import WhisperBackend

__all__ = ["ENGINES", "Engine"]


@dataclass(frozen=True)
class Engine:
    """A way to recognise speech: ``build`` takes the size or path of a model where the engine has a choice."""

    build: Callable[[str], Backend]
    model: str
    languages: frozenset[str] | None
    streams_per_core: int
    """How many streams one core decodes in real time, with half of the core left for everything else."""


ENGINES = {
    # a second of speech with interims costs 0.2 s of one core
    "pocketsphinx": Engine(lambda _: SphinxBackend(), MODEL, frozenset({"en"}), 2),
    "whisper": Engine(WhisperBackend, "whisper", None, 1),
}
