"""A decoder in a process of its own: ``python -m agents.providers.local.worker ENGINE [MODEL]``.

pocketsphinx holds Python's GIL while it decodes, so two decoders share one core's work only as two processes.
The server writes the messages of `pipe` to standard input and reads one JSON line for each result from standard
output.

The process ends when standard input does, so it cannot outlive its server.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable
from typing import Any, BinaryIO

from .engine import ENGINES
from .pipe import unpack
from .recogniser import Heard, Result, result_to_json
from .segmenter import Segmenter

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Load the engine, say so, and serve one stream after another. Answers the process's exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server decides
    output = sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing a library prints may get between the results
    engine = ENGINES[arguments[0]]
    try:
        backend = engine.build(arguments[1] if len(arguments) > 1 else "")
    except Exception as error:
        _say(output, {"type": "failed", "message": str(error) or repr(error)})
        return 1
    _say(output, {"type": "loaded"})
    stream = Segmenter(backend)
    source = sys.stdin.buffer
    while (message := unpack(source)) is not None:
        kind, payload = message
        if kind == b"O":
            stream = Segmenter(backend, interim=bool(json.loads(payload)["interim"]))
        elif kind == b"A":
            _write(output, stream.accept(payload))
        elif kind == b"F":
            _write(output, stream.flush())
        elif kind == b"M":
            _write(output, [Heard()])
        elif kind == b"E":
            _write(output, stream.end())
            _say(output, {"type": "ended"})
        elif kind == b"R":
            stream.close()
            _say(output, {"type": "reset"})
    return 0


def _write(output: BinaryIO, results: Iterable[Result]) -> None:
    for result in results:
        _say(output, result_to_json(result))


def _say(output: BinaryIO, data: dict[str, Any]) -> None:
    output.write(json.dumps(data).encode() + b"\n")
    output.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # the server is gone, and nobody is left to tell
        sys.exit(0)
