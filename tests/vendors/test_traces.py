"""Every vendor's recorded talk, replayed: a change of what is sent, or of what is understood, shows in a diff.

pytest tests/vendors/test_traces.py --record-traces          # all anew
pytest tests/vendors/test_traces.py --record-traces -k NAME  # one case
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from conformance import Server, VendorCase, all_cases
from talks import Talks, known_ids, scrub_for

from agents.providers.testing.traces import Line, load_trace, replay, save_trace, trace_of, without_hashes
from agents.providers.vendors import find_vendor

FOLDER = Path(__file__).parent.parent / "traces"
WAYS = [pytest.param(case, way, id=f"{case}-{way}") for case in all_cases() for way in case.ways]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.function is test_record:
        metafunc.parametrize(("case", "way"), WAYS if metafunc.config.getoption("--record-traces", False) else [])


def path_of(case: VendorCase, way: str) -> Path:
    return FOLDER / f"{case.name}-{way}.jsonl"


async def test_record(case: VendorCase, way: str, server: Server, talks: Talks) -> None:
    """With --record-traces: hold the talk, write it down, and see that no credential is in it."""
    talk: Any = await (talks.streaming(case, server) if way == "streaming" else talks.batch(case, server))
    lines = trace_of(talk.tape, scrub_for(case, server))
    written, sent = "\n".join(_texts(lines)), "\n".join(_texts([line for line in lines if _is_sent(line)]))
    assert not [secret for secret in (case.api_key, *case.secrets) if secret in written]
    today = datetime.now(timezone.utc)
    assert not [day for day in (f"{today:%Y%m%d}", f"{today:%Y-%m-%d}") if day in sent], "it would fail tomorrow"
    save_trace(path_of(case, way), lines)


@pytest.mark.parametrize(("case", "way"), WAYS)
def test_the_recorded_talk_means_what_it_meant(case: VendorCase, way: str) -> None:
    path = path_of(case, way)
    if not path.exists():
        pytest.fail(f"{path.name} is missing: record it with --record-traces")
    recorded = load_trace(path)
    with known_ids():
        replayed = replay(recorded, find_vendor(case.vendor), case.api_key, scrub_for(case))
    assert _texts(replayed) == _texts(without_hashes(recorded))


def test_there_is_no_trace_without_a_case() -> None:
    known = {path_of(case, way) for case in all_cases() for way in case.ways}
    assert set(FOLDER.glob("*.jsonl")) <= known


def _is_sent(line: Line) -> bool:
    return not {"receive", "answer", "result"} & set(line)


def _texts(lines: list[Line]) -> list[str]:
    """Lines as they stand in the file, so that a difference is read as one."""
    return [json.dumps(line, ensure_ascii=False) for line in lines]
