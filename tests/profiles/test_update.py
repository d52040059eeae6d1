"""What changes in band: never what the message would leave out, for then the vendor goes on with the old value."""

from __future__ import annotations

from typing import Any

import pytest

from agents.providers.profiles import Profile, ProfileStreaming
from agents.providers.protocol import Conversation, Settings

OPTIONS = {
    "threshold": {"type": "number"},
    "numerals": {"type": "boolean", "default": False},
    "hints": {"type": "list"},
}


def settings(**fields: Any) -> Settings:
    return Settings(**{"url": "wss://acme.test/listen", "language": "en", **fields})


def talk(message: dict[str, Any], **before: Any) -> Conversation:
    """A conversation that changes all there is with *message*, and begins with the settings *before*."""
    update = {
        "changes": ["keyterms", "language", "options.threshold", "options.numerals", "options.hints"],
        "send": [message],
    }
    streaming = {"results": {"rules": [{"event": "final", "text": "text"}]}, "update": update}
    profile = Profile.model_validate({"name": "acme", "title": "Acme", "streaming": streaming, "options": OPTIONS})
    return ProfileStreaming(profile).converse(settings(**before))


THRESHOLD = {"json": {"threshold": "${options.threshold}"}}
NUMERALS = {"json": {"numerals": "${options.numerals}"}}


@pytest.mark.parametrize("taken_back", [{"threshold": None}, {}], ids=["set to None", "not given any more"])
def test_an_option_that_is_taken_back_wants_a_new_connection(taken_back: dict[str, Any]) -> None:
    conversation = talk(THRESHOLD, options={"threshold": 0.4})
    assert conversation.update(settings(options=taken_back)) is None
    assert conversation.update(settings(options={"threshold": 0.5})) == ['{"threshold":0.5}']


def test_an_option_that_came_in_band_and_goes_wants_a_new_connection() -> None:
    conversation = talk(THRESHOLD)
    assert conversation.update(settings(options={"threshold": 0.4})) == ['{"threshold":0.4}']
    assert conversation.update(settings()) is None


def test_an_option_goes_back_to_its_default_in_band_and_not_to_nothing() -> None:
    conversation = talk(NUMERALS, options={"numerals": True})
    assert conversation.update(settings(options={"numerals": None})) is None
    assert conversation.update(settings()) == ['{"numerals":false}']


def test_the_last_keyterm_goes_in_band_only_where_an_empty_list_is_sent() -> None:
    with_list = talk({"json": {"terms": "${all_keyterms}"}}, keyterms=("a",))
    assert with_list.update(settings()) == ['{"terms":[]}']
    without_list = talk({"json": {"terms": "${keyterms}"}}, keyterms=("a",))
    assert without_list.update(settings(keyterms=("b",))) == ['{"terms":["b"]}']
    assert without_list.update(settings()) is None


def test_a_language_that_is_taken_back_wants_a_new_connection() -> None:
    conversation = talk({"text": "language=${language|base}"})
    assert conversation.update(settings(language="de-CH")) == ["language=de"]
    assert conversation.update(settings(language=None)) is None


def test_what_was_never_set_is_not_taken_back() -> None:
    both = talk({"json": {"threshold": "${options.threshold}", "hints": "${options.hints}"}})
    assert both.update(settings(options={"hints": []})) == ['{"hints":[]}']
    assert both.update(settings(options={"hints": [], "threshold": 0.4})) == ['{"threshold":0.4,"hints":[]}']
