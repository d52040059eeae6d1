"""What an adapter is configured with, and what it refuses: a text where a text belongs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents.providers.adapters import CustomHTTPSTTAdapter, CustomWebSocketSTTAdapter
from agents.providers.base import ConfigurationError

Adapter = CustomHTTPSTTAdapter | CustomWebSocketSTTAdapter
Make = Callable[..., Any]


def streaming(**given: Any) -> Adapter:
    return CustomWebSocketSTTAdapter("ws://127.0.0.1:1/", **given)


def batch(**given: Any) -> Adapter:
    return CustomHTTPSTTAdapter("http://127.0.0.1:1/", **given)


both = pytest.mark.parametrize("make", [streaming, batch])


@both
@pytest.mark.parametrize("setting", ["language", "model", "api_key"])
@pytest.mark.parametrize("value", [3, False, ["en"]])
def test_what_is_no_text_is_refused(make: Make, setting: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting} must be a (text|string), not {type(value).__name__}"):
        make(**{setting: value})


@both
@pytest.mark.parametrize("setting", ["language", "model"])
def test_also_when_it_changes_and_nothing_is_changed_then(make: Make, setting: str) -> None:
    adapter = make(language="de", model="m")
    with pytest.raises(ConfigurationError, match=f"{setting} must be a text, not int"):
        adapter.update_options(**{setting: 3})
    assert (adapter.language, adapter.model) == ("de", "m")


@both
def test_an_empty_text_is_none(make: Make) -> None:
    adapter = make(language="", model="")
    assert (adapter.language, adapter.model) == (None, make().model)
    adapter.update_options(language="de", model="m")
    adapter.update_options(language="", model="")
    assert (adapter.language, adapter.model) == (None, make().model)


async def test_the_language_of_one_stream_or_recording_is_a_text_too() -> None:
    with pytest.raises(ConfigurationError, match="language must be a text, not int"):
        streaming().stream(language=3)  # type: ignore[arg-type]
    for adapter in (streaming(), batch()):
        with pytest.raises(ConfigurationError, match="language must be a text, not int"):
            await adapter._recognize_impl([], language=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("keyterms", ["voxport", ["voxport", 3], 3])
def test_keyterms_are_a_list_of_texts(keyterms: Any) -> None:
    adapter = CustomWebSocketSTTAdapter("ws://127.0.0.1:1/", vendor="deepgram")
    with pytest.raises(ConfigurationError, match="keyterms must be a list of texts"):
        adapter.update_options(keyterms=keyterms)


@pytest.mark.parametrize("seconds", ["60", None, 0, -1, float("nan"), True])
def test_how_much_is_replayed_is_a_number_of_seconds(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="replay_seconds must be more than 0, not"):
        streaming(replay_seconds=seconds)
