"""The servers one runs oneself, by their fact sheets."""

from __future__ import annotations

import pytest

from agents.providers.protocol import Conversation, Failure, Final, Partial, ProtocolError, Settings, Word
from agents.providers.vendors import find_vendor


def talk(vendor: str, **fields: object) -> Conversation:
    protocol = find_vendor(vendor).streaming
    assert protocol is not None
    given = Settings("ws://localhost:1", language="en-US", **fields)  # type: ignore[arg-type]
    protocol.check(given)
    return protocol.converse(given)


def test_vosk_is_told_the_rate_and_compares_strings() -> None:
    conversation = talk("vosk", options={"max_alternatives": 2}, sample_rate=8000)
    assert conversation.opening() == ['{"config":{"sample_rate":8000,"words":true,"max_alternatives":2}}']
    assert (conversation.flush(), conversation.close()) == (['{"reset" : 1}'], ['{"eof" : 1}'])


def test_vosk_results() -> None:
    conversation = talk("vosk")
    assert conversation.receive('{"partial" : ""}') == []
    assert conversation.receive('{"partial" : "one"}') == [Partial("one")]
    words = '[{"word":"one","start":0.5,"end":1,"conf":1},{"word":"two","start":1,"end":1.5,"conf":0.5}]'
    final = Final("one two", 0.5, 1.5, words=[Word("one", 0.5, 1.0, 1.0), Word("two", 1.0, 1.5, 0.5)])
    final.ends_utterance = True
    assert conversation.receive(f'{{"result":{words},"text":"one two"}}') == [final]
    assert conversation.receive(f'{{"alternatives":[{{"result":{words},"text":"one two"}}]}}') == [final]
    assert conversation.receive('{"text" : ""}') == [Final("")]
    with pytest.raises(ProtocolError):
        conversation.receive("{}")


def test_jambonz_servers_are_started_and_stopped() -> None:
    conversation = talk("jambonz", options={"hints": ["a"]}, sample_rate=8000)
    assert conversation.opening() == [
        '{"type":"start","language":"en-US","format":"raw","encoding":"LINEAR16","interimResults":true,'
        '"sampleRateHz":8000,"options":{"hints":["a"]}}'
    ]
    assert (conversation.flush(), conversation.close()) == ([], ['{"type":"stop"}'])


def test_jambonz_results() -> None:
    conversation = talk("jambonz")
    alternatives = '"alternatives":[{"transcript":"hi","confidence":0.9}],"language":"en","channel":1'
    assert conversation.receive(f'{{"type":"transcription","is_final":true,{alternatives}}}') == [
        Final("hi", language="en", confidence=0.9)
    ]
    assert conversation.receive(f'{{"type":"transcription","is_final":false,{alternatives}}}') == [
        Partial("hi", language="en", confidence=0.9)
    ]
    (failure,) = conversation.receive('{"type":"error","error":"no model"}')
    assert isinstance(failure, Failure)
    assert failure.message == "no model"
