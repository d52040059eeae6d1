"""Mistakes in somebody's own protocol end the stream with an error that says so, as LiveKit understands it."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import APIConnectOptions, APIError
from vendor_server import Connection, Tuned, VendorServer, frames, ramp

from agents.providers.protocol import Conversation, Settings
from agents.providers.stt.http import CustomHTTPSTTAdapter
from agents.providers.stt.streaming import CustomWebSocketSTTAdapter


class Mistaken(Tuned):
    """The generic protocol with a mistake in one method of its conversation."""

    def __init__(self, method: str) -> None:
        super().__init__(drain_seconds=0.2, keepalive_seconds=0.02)
        self._method = method

    def converse(self, settings: Settings) -> Conversation:
        if self._method == "converse":
            raise KeyError("api-key-of-mine is not there")
        talk = super().converse(settings)

        def wrong(*_: Any) -> Any:
            raise KeyError("api-key-of-mine is not there")

        setattr(talk, self._method, wrong)
        return talk


async def listens(c: Connection) -> None:
    await c.receive_all()


@pytest.mark.parametrize("method", ["converse", "opening", "audio", "flush", "keepalive", "close", "update"])
async def test_a_mistake_is_an_error_of_livekits_without_the_key(method: str) -> None:
    async with VendorServer(listens) as server:
        adapter = CustomWebSocketSTTAdapter(server.url, "api-key-of-mine", vendor=Mistaken(method))
        async with adapter as voxport, voxport.stream() as stream:
            for frame in frames(ramp(0.3)):
                stream.push_frame(frame)
            if method == "flush":
                stream.flush()
            if method == "close":
                stream.end_input()
            if method == "update":
                while not voxport.stats.connects:
                    await stream.wait_for_room(0.01)
                voxport.update_options(language="de-DE")
            with pytest.raises(APIError, match=r"the protocol fails with KeyError: .* line \d+") as caught:
                async for _ in stream:
                    pass
    assert not caught.value.retryable
    assert "api-key-of-mine" not in str(caught.value)


async def test_audio_that_waited_for_a_connection_meets_the_mistake_too() -> None:
    async with VendorServer(listens) as server:
        async with CustomWebSocketSTTAdapter(server.url, vendor=Mistaken("audio")) as voxport:
            async with voxport.stream() as stream:
                for frame in frames(ramp(0.3)):
                    stream.push_frame(frame)
                with pytest.raises(APIError, match="the protocol fails with KeyError"):
                    async for _ in stream:
                        pass


async def test_a_hook_that_returns_no_text_is_told_so() -> None:
    class Mine(CustomHTTPSTTAdapter):
        async def _send_audio_chunk(self, audio_data: bytes) -> str:
            return {"transcript": "hi"}  # type: ignore[return-value]

    async with Mine("https://stt.example.com", on_failure="raise") as adapter:
        with pytest.raises(APIError, match=r"_send_audio_chunk .*must return the text, not a dict"):
            await adapter.recognize(frames(ramp(0.2)), conn_options=APIConnectOptions(max_retry=0))


async def test_a_hook_without_async_is_told_so() -> None:
    class Mine(CustomHTTPSTTAdapter):
        def _send_audio_chunk(self, audio_data: bytes) -> str:  # type: ignore[override]
            return "hi"

    async with Mine("https://stt.example.com", on_failure="raise") as adapter:
        with pytest.raises(APIError, match="async def _send_audio_chunk"):
            await adapter.recognize(frames(ramp(0.2)), conn_options=APIConnectOptions(max_retry=0))


def test_a_hook_nobody_calls_is_refused() -> None:
    with pytest.raises(TypeError, match="belongs to CustomHTTPSTTAdapter"):

        class Mine(CustomWebSocketSTTAdapter):
            async def _send_audio_chunk(self, audio_data: bytes) -> str:
                return "hi"
