"""`docs/profile-language.md` is what the models of the language say today, and says all of it."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from agents.providers.profiles import lint_speech, parts, results, schema, speech
from agents.providers.profiles.lint import _NEEDS
from agents.providers.profiles.reference import _models, reference_page
from agents.providers.protocol import Verdict

PAGE = Path(__file__).parents[2] / "docs" / "profile-language.md"

MODELS = [model for _, model in _models(schema.Profile, "")]


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_page(), (
        "the language has changed: run `python -m agents.providers.profiles.reference > docs/profile-language.md`"
    )


def test_no_model_is_left_out() -> None:
    defined = {
        value
        for module in (schema, results, speech, parts)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__.startswith("agents")
    }
    assert set(MODELS) == defined - {results.Strict, results.Present}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_says_what_it_is(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name} has no description"
        assert re.search(
            rf"^\| `{field.alias or name}` \| [^|]+ \| [^|]*\| [^|]+ \|$", reference_page(), re.MULTILINE
        )


@pytest.mark.parametrize(
    ("title", "rule", "wanted"),
    [
        ("### Events of rules\n", results.Rule, _NEEDS),
        ("### Events of rules about speech", speech.SpeechRule, lint_speech._NEEDS),
    ],
    ids=["recognition", "speech"],
)
def test_every_event_is_explained_with_what_it_needs(
    title: str, rule: type[BaseModel], wanted: dict[str, tuple[str, ...]]
) -> None:
    table = reference_page().partition(title)[2].partition("###")[0]
    told = {}
    for names, needs in re.findall(r"^\| (`.+?) \| .+ \| ?(.*?) ?\|$", table, re.MULTILINE):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), tuple(re.findall(r"`(\w+)`", needs)))
    assert set(told) == set(typing.get_args(rule.model_fields["event"].annotation))
    assert {event: needs for event, needs in told.items() if needs} == {e: n for e, n in wanted.items() if n}


def test_every_verdict_is_explained() -> None:
    text = reference_page().partition("### Verdicts")[2]
    assert all(f"`{verdict.value}`" in text for verdict in Verdict)
