"""One embedded server for all examples, and the examples as modules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of an embedded server."""
    command = [sys.executable, "-m", "agents.providers.local", "--exit-with-stdin", "--streams", "6"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            assert ready.get("event") == "ready", ready
            yield ready["url"]
        finally:
            process.communicate(timeout=15)
    assert process.returncode == 0


@pytest.fixture(autouse=True)
def _beside_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples import what lies beside them, as Python does for a file that is run."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
