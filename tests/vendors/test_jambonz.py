"""The protocol jambonz calls custom speech servers with, by its documentation."""

from __future__ import annotations

from self_hosted import talk

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


def test_an_error_is_passed_on() -> None:
    (failure,) = talk("jambonz").receive('{"type":"error","error":"no model"}')
    assert isinstance(failure, Failure)
    assert failure.message == "no model"
