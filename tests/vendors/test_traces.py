"""Every vendor's recorded talk, replayed: a change of what is sent, or of what is understood, shows in a diff.

pytest tests/vendors/test_traces.py --record-traces          # all anew
pytest tests/vendors/test_traces.py --record-traces -k NAME  # one case

The voices' are in test_speech_traces.py.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from conformance import Address, Server, VendorCase, all_cases
from google_logins import account
from spoken_lines import LINES, silence, spoken
from talks import Talks, known_ids, read, say_nothing, scrub_for

from agents.providers.testing.tape import Asked, Tape
from agents.providers.testing.traces import (
    Line,
    Scrub,
    load_trace,
    replay,
    save_trace,
    scrubber,
    trace_of,
    without_hashes,
)
from agents.providers.vendors import find_vendor
from agents.providers.vendors.google import GoogleBatch

FOLDER = Path(__file__).parent.parent / "traces"
WAYS = [pytest.param(case, way, id=f"{case}-{way}") for case in all_cases() for way in case.ways]

# --- talks beside those of the suite: with a token in the key's place, and of more than a minute ---

TOKEN = "assemblyai-token-streaming"
LONG: Mapping[str, Mapping[str, Any]] = {
    "google-long-batch": {},
    "google-v2-long-batch": {"project": "voxport", "location": "eu"},
}
"""The options with which a recording goes to Google's bucket, and a job reads it there."""
RECORDED_AT = Address(43210)
"""Stands for the server in a replay: what is signed is then as long as it was."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    recording = metafunc.config.getoption("--record-traces", False)
    if metafunc.function is test_record:
        metafunc.parametrize(("case", "way"), WAYS if recording else [])
    if metafunc.function is test_record_what_begins_with_a_token:
        metafunc.parametrize("name", [TOKEN, *LONG] if recording else [])


def path_of(case: VendorCase, way: str) -> Path:
    return FOLDER / f"{case.name}-{way}.jsonl"


async def test_record(case: VendorCase, way: str, server: Server, talks: Talks) -> None:
    """With --record-traces: hold the talk, write it down, and see that no credential is in it."""
    talk: Any = await (talks.streaming(case, server) if way == "streaming" else talks.batch(case, server))
    keep(path_of(case, way), trace_of(talk.tape, scrub_for(case, server)), (case.api_key, *case.secrets))


@pytest.mark.parametrize(("case", "way"), WAYS)
def test_the_recorded_talk_means_what_it_meant(case: VendorCase, way: str) -> None:
    recorded = recording_in(path_of(case, way))
    with known_ids():
        replayed = replay(recorded, find_vendor(case.vendor), case.api_key, scrub_for(case))
    assert _texts(replayed) == _texts(without_hashes(recorded))


async def test_record_what_begins_with_a_token(name: str, server: Server, tmp_path: Path) -> None:
    """With --record-traces: as :func:`test_record`."""
    case, tape = case_of(name, server, tmp_path), Tape()
    with known_ids():
        if name == TOKEN:
            await say_nothing(case, server, tape)
        else:
            tape = (await read(case, server, spoken(LINES[0]) + silence(60.0) + spoken(LINES[2]))).tape
    tokens = tokens_on(tape)
    lines = trace_of(tape, hidden(case, server, tmp_path, tokens))
    keep(FOLDER / f"{name}.jsonl", lines, (case.api_key, *tokens, "PRIVATE KEY", str(tmp_path)))


@pytest.mark.parametrize("name", [TOKEN, *LONG])
def test_a_talk_that_begins_with_a_token_means_what_it_meant(name: str, tmp_path: Path) -> None:
    recorded = recording_in(FOLDER / f"{name}.jsonl")
    case = case_of(name, RECORDED_AT, tmp_path)
    settings = {**recorded[0]["settings"], "options": case.options}
    with known_ids():
        replayed = replay(
            [{**recorded[0], "settings": settings}, *recorded[1:]],
            find_vendor(case.vendor),
            case.api_key,
            hidden(case, RECORDED_AT, tmp_path),
        )
    assert _texts(replayed) == _texts(without_hashes(recorded))


def test_there_is_no_trace_without_a_case() -> None:
    known = {path_of(case, way) for case in all_cases() for way in case.ways}
    known |= {FOLDER / f"{name}.jsonl" for name in (TOKEN, *LONG)}
    assert {path for path in FOLDER.glob("*.jsonl") if not path.stem.endswith("-speech")} <= known


def case_of(name: str, server: Server, folder: Path) -> VendorCase:
    """The case of a talk that begins with a token; the key file of Google's account is put into *folder*."""
    if name == TOKEN:
        case = next(case for case in all_cases() if case.name == "assemblyai")
        return dataclasses.replace(case, options={"temporary_token": True})
    file = folder / "service-account.json"
    file.write_text(json.dumps(account(server)), encoding="utf-8")
    options = {"credentials": str(file), "storage_url": server.url, "bucket": "calls", **LONG[name]}
    case = next(case for case in all_cases() if case.name == "google")
    vendor = google_without_tokens()
    secrets = ("PRIVATE KEY", "Bearer ")
    return dataclasses.replace(case, vendor=vendor, api_key="", secrets=secrets, model=None, options=options)


def google_without_tokens() -> Any:
    """Google, without the tokens that other tests were given."""
    vendor = find_vendor("google")
    batch = vendor.batch
    assert isinstance(batch, GoogleBatch)
    return dataclasses.replace(vendor, batch=GoogleBatch(batch._v1, batch._v2, batch._hosts))


def hidden(case: VendorCase, server: Server, folder: Path, tokens: list[str] | None = None) -> Scrub:
    """What takes credentials, tokens, the server's address and the *folder* of this run out of a trace."""
    shown = {case.api_key: "SECRET", **dict.fromkeys(tokens or [], "TOKEN")}
    shown |= {server.url.partition("//")[2]: "server.test", f"{folder}/": ""}
    return scrubber({secret: name for secret, name in shown.items() if secret})


def tokens_on(tape: Tape) -> list[str]:
    """The tokens that were given for a key."""
    answers = [entry.response for entry in tape.entries if isinstance(entry, Asked)]
    replies = [answer.json() for answer in answers if answer is not None and answer.body.startswith(b"{")]
    return [reply[key] for reply in replies for key in ("token", "access_token") if key in reply]


def keep(path: Path, lines: list[Line], secrets: tuple[str, ...]) -> None:
    """Write *lines*, if no secret is in them, and nothing that would be another tomorrow."""
    written, sent = "\n".join(_texts(lines)), "\n".join(_texts([line for line in lines if _is_sent(line)]))
    assert not [secret for secret in secrets if secret and secret in written]
    today = datetime.now(timezone.utc)
    assert not [day for day in (f"{today:%Y%m%d}", f"{today:%Y-%m-%d}") if day in sent], "it would fail tomorrow"
    save_trace(path, lines)


def recording_in(path: Path) -> list[Line]:
    if not path.exists():
        pytest.fail(f"{path.name} is missing: record it with --record-traces")
    return load_trace(path)


def _is_sent(line: Line) -> bool:
    return not {"receive", "answer", "result"} & set(line)


def _texts(lines: list[Line]) -> list[str]:
    """Lines as they stand in the file, so that a difference is read as one."""
    return [json.dumps(line, ensure_ascii=False) for line in lines]
