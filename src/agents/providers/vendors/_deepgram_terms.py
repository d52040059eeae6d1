"""Deepgram's streams: the profile's names, and what its ``Configure`` replaces and what it leaves.

It replaces all keyterms, so those of the option ``keyterm`` stand among the adapter's. What it leaves out stays as
it was (https://developers.deepgram.com/docs/flux/configure): an option that is taken back wants a new connection.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from typing import Any

from ..profiles import ProfileStreaming
from ..protocol import ConnectRequest, Conversation, HttpRequest, HttpResponse, Settings, WireMessage

__all__ = ["DeepgramStreaming"]


class DeepgramStreaming(ProfileStreaming):
    """The streaming part of a profile of Deepgram's."""

    def connect(self, settings: Settings) -> ConnectRequest:
        return super().connect(_complete(settings))

    def prepare(self, settings: Settings) -> Generator[HttpRequest, HttpResponse, ConnectRequest]:
        return super().prepare(_complete(settings))

    def converse(self, settings: Settings) -> Conversation:
        conversation = super().converse(_complete(settings))
        update, told = conversation.update, settings

        def update_or_reconnect(settings: Settings) -> Sequence[WireMessage] | None:
            nonlocal told
            messages = None if self._takes_back(told, settings) else update(_complete(settings))
            if messages is not None:
                told = settings
            return messages

        conversation.update = update_or_reconnect  # type: ignore[method-assign]
        return conversation

    def _takes_back(self, told: Settings, wanted: Settings) -> bool:
        """Whether *wanted* lacks an option of *told* that has no default to say instead."""
        given = {name for name, value in told.options.items() if value is not None and name != "keyterm"}
        left = {name for name, value in wanted.options.items() if value is not None}
        return any(self.profile.options[name].default is None for name in given - left)


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
