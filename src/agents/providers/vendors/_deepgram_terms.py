"""Deepgram's streams: keyterms that a ``Configure`` does not lose, and either option for speakers.

A ``Configure`` replaces all there are (https://developers.deepgram.com/docs/flux/configure), so those of the
option ``keyterm`` stand among the adapter's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from typing import Any

from ..profiles import ProfileStreaming
from ..protocol import ConnectRequest, Conversation, HttpRequest, HttpResponse, Settings, Traits, WireMessage

__all__ = ["DeepgramStreaming"]


class DeepgramStreaming(ProfileStreaming):
    """The streaming part of a profile of Deepgram's."""

    def traits(self, settings: Settings) -> Traits:
        traits = super().traits(settings)
        by_model = settings.options.get("diarize_model") is not None  # it needs no diarize beside it (SDK 7.17.0)
        return dataclasses.replace(traits, diarization=traits.diarization or by_model)

    def connect(self, settings: Settings) -> ConnectRequest:
        return super().connect(_complete(settings))

    def prepare(self, settings: Settings) -> Generator[HttpRequest, HttpResponse, ConnectRequest]:
        return super().prepare(_complete(settings))

    def converse(self, settings: Settings) -> Conversation:
        conversation = super().converse(_complete(settings))
        update = conversation.update

        def update_with_all_terms(settings: Settings) -> Sequence[WireMessage] | None:
            return update(_complete(settings))

        conversation.update = update_with_all_terms  # type: ignore[method-assign]
        return conversation


def _complete(settings: Settings) -> Settings:
    """*settings* with all keyterms in one place, and hints as the list they are."""
    options: dict[str, Any] = dict(settings.options)
    terms = dict.fromkeys([*settings.keyterms, *_list(options.pop("keyterm", None))])
    if options.get("language_hint") is not None:
        options["language_hint"] = _list(options["language_hint"])
    return dataclasses.replace(settings, options=options, keyterms=tuple(terms))


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
