"""`docs/vendors.md` is what the vendors' files say today."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.providers.profiles import parse_profile
from agents.providers.profiles.schema import Option
from agents.providers.vendors import find_vendor, vendor_names
from agents.providers.vendors._features import features_of, option_form
from agents.providers.vendors._table import vendors_page

PAGE = Path(__file__).parents[2] / "docs" / "vendors.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == vendors_page(), (
        "a vendor's file has changed: run `voxport vendors --markdown > docs/vendors.md`"
    )


def test_every_built_in_vendor_is_on_it() -> None:
    page = vendors_page()
    for name in vendor_names():
        assert f"| `{name}` |" in page


@pytest.mark.parametrize("line", vendors_page().splitlines())
def test_every_row_has_as_many_cells_as_its_head(line: str) -> None:
    if line.startswith("|"):
        assert line.replace(r"\|", "").count("|") in (13, 4)


def test_features_are_what_the_protocols_say() -> None:
    """Against facts everybody can look up."""
    deepgram, vosk = features_of(find_vendor("deepgram")), features_of(find_vendor("vosk"))
    assert (deepgram.streaming, deepgram.batch, deepgram.interims, deepgram.keyterms, deepgram.flush) == (
        True,
    ) * 5
    assert deepgram.speakers[0] == "diarize"
    assert "keyterms" in deepgram.changes
    assert (vosk.batch, vosk.keyterms, vosk.speakers) == (False, False, ("", ""))
    assert (vosk.word_times, vosk.flush) == ((True, False), True)


def test_a_vendor_for_recordings_only_has_no_features_of_streams() -> None:
    text = """
name: only_batch
title: Recordings
batch:
  url: https://speech.example/v1
  diarization: true
  steps: [{body: {raw: wav}}]
  result: {text: text, words: {items: words, text: word}}
"""
    from agents.providers.vendors import _from_profile

    features = features_of(_from_profile(parse_profile(text)))
    assert (features.streaming, features.interims, features.flush) == (False, False, False)
    assert (features.word_times, features.speakers) == ((False, True), ("", "yes"))


@pytest.mark.parametrize(
    ("option", "form"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9, "default": 3}, "integer, 1 to 9; default 3"),
        ({"type": ["integer", "boolean"], "minimum": 0}, "integer or boolean, at least 0"),
        ({"type": "number", "maximum": 0.5, "used_by": "batch"}, "number, at most 0.5 (batch only)"),
        ({"type": "string", "choices": ["a", "b"]}, "string: a, b"),
        ({"type": "boolean", "default": False}, "boolean; default false"),
    ],
)
def test_an_option_is_described_in_a_line(option: dict[str, object], form: str) -> None:
    assert option_form(Option.model_validate(option)) == form
