"""What a vendor file gets for nothing when it says only what is its own."""

from __future__ import annotations

import dataclasses

import pytest

from agents.providers.protocol import (
    ConnectRequest,
    Conversation,
    Event,
    ProtocolError,
    Settings,
    StreamingProtocol,
    Traits,
)


class Silent(Conversation):
    def receive(self, message: str | bytes) -> list[Event]:
        return []


class Smallest(StreamingProtocol):
    name = "smallest"

    def traits(self, settings: Settings) -> Traits:
        return Traits()

    def connect(self, settings: Settings) -> ConnectRequest:
        return ConnectRequest(settings.url, {"Authorization": "Bearer secret-4711"}, ("secret-proto",))

    def converse(self, settings: Settings) -> Conversation:
        return Silent()


SETTINGS = Settings(url="ws://localhost/")


class TestConversation:
    def test_audio_goes_out_as_it_is(self) -> None:
        chunk = memoryview(b"\x01\x02")
        (message,) = Silent().audio(chunk)
        assert message is chunk

    def test_nothing_else_is_sent_unasked(self) -> None:
        talk = Silent()
        for messages in (talk.opening(), talk.flush(), talk.keepalive(), talk.close()):
            assert list(messages) == []

    def test_new_settings_need_a_new_connection(self) -> None:
        assert Silent().update(SETTINGS) is None

    def test_what_messages_mean_must_be_said(self) -> None:
        with pytest.raises(TypeError, match="abstract"):
            Conversation()  # type: ignore[abstract]


class TestStreamingProtocol:
    def test_connects_without_asking_for_anything_first(self) -> None:
        flow = Smallest().prepare(SETTINGS)
        with pytest.raises(StopIteration) as done:
            next(flow)
        assert done.value.value == Smallest().connect(SETTINGS)

    def test_takes_any_settings_and_has_no_facts(self) -> None:
        Smallest().check(SETTINGS)
        assert Smallest().describe() == {}

    def test_must_say_where_and_how(self) -> None:
        with pytest.raises(TypeError, match="abstract"):
            StreamingProtocol()  # type: ignore[abstract]


class TestValues:
    def test_a_connect_request_shows_no_credentials(self) -> None:
        request = Smallest().connect(Settings(url="ws://localhost/?token=secret-4711"))
        assert "secret" not in repr(request)

    def test_traits_and_requests_do_not_change(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            Traits().flush = False  # type: ignore[misc]
        with pytest.raises(dataclasses.FrozenInstanceError):
            ConnectRequest("ws://localhost/").url = "ws://elsewhere/"  # type: ignore[misc]

    def test_traits_do_not_share_what_can_change(self) -> None:
        assert Traits().close_codes is not Traits().close_codes

    def test_a_protocol_error_is_a_value_error(self) -> None:
        """Vendor files raise plain ValueErrors from their parsers too."""
        assert issubclass(ProtocolError, ValueError)
