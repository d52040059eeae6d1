"""The protocol jambonz calls custom speech servers with, by its documentation."""

from __future__ import annotations

import pytest
from aiohttp import WSMsgType, web
from scripted_server import ScriptedServer
from self_hosted import talk
from spoken_lines import push, silence
from talks import ONCE, text_of

from agents.providers.adapters import CustomWebSocketSTTAdapter
from agents.providers.protocol import Failure, Final, Partial


def test_servers_are_started_and_stopped() -> None:
    conversation = talk("jambonz", options={"hints": ["a"]}, sample_rate=8000)
    assert conversation.opening() == [
        '{"type":"start","language":"en-US","format":"raw","encoding":"LINEAR16","interimResults":true,'
        '"sampleRateHz":8000,"options":{"hints":["a"]}}'
    ]
    assert (conversation.flush(), conversation.close()) == ([], ['{"type":"stop"}'])


def test_results() -> None:
    conversation = talk("jambonz")
    alternatives = '"alternatives":[{"transcript":"hi","confidence":0.9}],"language":"en","channel":1'
    assert conversation.receive(f'{{"type":"transcription","is_final":true,{alternatives}}}') == [
        Final("hi", language="en", confidence=0.9)
    ]
    assert conversation.receive(f'{{"type":"transcription","is_final":false,{alternatives}}}') == [
        Partial("hi", language="en", confidence=0.9)
    ]


@pytest.mark.parametrize("message", ['{"type":"error","error":"no model"}', '{"error":"no model"}'])
def test_an_error_is_passed_on(message: str) -> None:
    """With a type as documented, or bare, as a server of jambonz's own examples sends it."""
    (failure,) = talk("jambonz").receive(message)
    assert isinstance(failure, Failure)
    assert failure.message == "no model"


def test_other_messages_mean_nothing() -> None:
    assert talk("jambonz").receive('{"type":"metadata","channel":1}') == []


class _JambonzServer(ScriptedServer[web.WebSocketResponse]):
    def client(self, ws: web.WebSocketResponse, request: web.Request) -> web.WebSocketResponse:
        return ws


async def test_a_server_may_close_at_the_stop_without_its_last_final() -> None:
    """As ``lib/stt/google.js`` in github.com/jambonz/custom-speech-example does: what it said last counts."""

    async def breaks_off(ws: web.WebSocketResponse) -> None:
        async for message in ws:
            if message.type is WSMsgType.BINARY:
                await ws.send_json(
                    {"type": "transcription", "is_final": False, "alternatives": [{"transcript": "hello there"}]}
                )
            elif message.json()["type"] == "stop":
                break
        await ws.close()

    async with _JambonzServer(breaks_off) as server:
        adapter = CustomWebSocketSTTAdapter(server.url, vendor="jambonz")
        stream = adapter.stream(conn_options=ONCE)
        push(stream, silence(0.3))
        stream.end_input()
        assert text_of([event async for event in stream]) == "hello there"
        await adapter.aclose()
    assert (server.attempts, adapter.stats.transient_failures) == (1, 0)
