"""One adapter and several event loops: workers with a loop in each of several threads share a recogniser."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from other_loop import other_loop
from vendor_server import Connection, Tuned, VendorServer, frames, ramp, texts

from agents.providers.stt.streaming import CustomWebSocketSTTAdapter
from agents.providers.stt.websocket import WebSocketSpeechStream


class Heard(Tuned):
    """Notes in which thread a connection is asked to change."""

    def __init__(self) -> None:
        super().__init__()
        self.changed_in: list[threading.Thread] = []

    def converse(self, settings: Any) -> Any:
        conversation = super().converse(settings)
        update = conversation.update

        def note(settings: Any) -> Any:
            self.changed_in.append(threading.current_thread())
            return update(settings)

        conversation.update = note  # type: ignore[method-assign]
        return conversation


async def test_a_change_reaches_a_stream_on_the_stream_s_own_loop() -> None:
    """A task made in another thread waits until something else wakes its loop, and may meet the loop at work."""
    said = asyncio.Event()

    async def first(c: Connection) -> None:
        await c.receive_seconds(0.2)
        await c.final("one", start=0.0, end=0.2)
        said.set()
        await c.receive_all()

    async def second(c: Connection) -> None:
        await c.receive_until("end_of_stream")
        await c.final("two", start=0.0, end=c.seconds)

    async with VendorServer(first, second) as server, other_loop() as elsewhere:
        vendor = Heard()
        voxport = CustomWebSocketSTTAdapter(server.url, vendor=vendor, language="en")

        async def begin() -> tuple[WebSocketSpeechStream, threading.Thread]:
            stream = voxport.stream()
            for frame in frames(ramp(0.2)):
                stream.push_frame(frame)
            return stream, threading.current_thread()

        async def go_on(stream: WebSocketSpeechStream) -> list[str]:
            for frame in frames(ramp(0.2)):
                stream.push_frame(frame)
            stream.end_input()
            return texts([event async for event in stream])

        stream, thread = await elsewhere(begin())
        await said.wait()
        voxport.update_options(language="de")
        assert await elsewhere(go_on(stream)) == ["one", "two"]
        assert vendor.changed_in == [thread]
        assert [c.config["language"] for c in server.connections] == ["en", "de"]
        await elsewhere(voxport.aclose())
        await voxport.aclose()


async def test_closing_on_one_loop_leaves_the_streams_of_another() -> None:
    async def answers(c: Connection) -> None:
        await c.receive_until("end_of_stream")
        await c.final("one", start=0.0, end=c.seconds)

    async with VendorServer(answers) as server, other_loop() as elsewhere:
        voxport = CustomWebSocketSTTAdapter(server.url, vendor=Tuned())

        async def begin() -> WebSocketSpeechStream:
            stream = voxport.stream()
            for frame in frames(ramp(0.2)):
                stream.push_frame(frame)
            return stream

        async def finish(stream: WebSocketSpeechStream) -> list[str]:
            stream.end_input()
            heard = texts([event async for event in stream])
            await voxport.aclose()
            return heard

        stream = await elsewhere(begin())
        await voxport.aclose()
        assert await elsewhere(finish(stream)) == ["one"]


async def test_a_change_after_a_loop_is_over_is_one_for_the_streams_to_come() -> None:
    voxport = CustomWebSocketSTTAdapter("ws://127.0.0.1:9/", vendor=Tuned())

    async def begin() -> WebSocketSpeechStream:
        return voxport.stream()

    async with other_loop() as elsewhere:
        stream = await elsewhere(begin())
        await elsewhere(voxport.aclose())
    voxport.update_options(language="de")
    assert voxport.language == "de"
    assert stream._settings.language == "en-US"
    await voxport.aclose()
