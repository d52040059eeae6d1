"""Vosk's protocol, by its server's source."""

from __future__ import annotations

import pytest
from self_hosted import talk

from agents.providers.protocol import Final, Partial, ProtocolError, Word


def test_the_server_is_told_the_rate_and_compares_strings() -> None:
    conversation = talk("vosk", options={"max_alternatives": 2}, sample_rate=8000)
    assert conversation.opening() == ['{"config":{"sample_rate":8000,"words":true,"max_alternatives":2}}']
    assert (conversation.flush(), conversation.close()) == (['{"reset" : 1}'], ['{"eof" : 1}'])
    assert conversation.audio(b"\x01\x02") == (b"\x01\x02",)


def test_results() -> None:
    conversation = talk("vosk")
    assert conversation.receive('{"partial" : ""}') == []
    assert conversation.receive('{"partial" : "one"}') == [Partial("one")]
    words = '[{"word":"one","start":0.5,"end":1,"conf":1},{"word":"two","start":1,"end":1.5,"conf":0.5}]'
    final = Final("one two", 0.5, 1.5, words=[Word("one", 0.5, 1.0, 1.0), Word("two", 1.0, 1.5, 0.5)])
    final.ends_utterance = True
    assert conversation.receive(f'{{"result":{words},"text":"one two"}}') == [final]
    assert conversation.receive(f'{{"alternatives":[{{"result":{words},"text":"one two"}}]}}') == [final]


def test_silence_is_a_final_that_holds_nothing() -> None:
    """It has no times: the audio before it is kept until a final with words covers it."""
    assert talk("vosk").receive('{"text" : ""}') == [Final("")]


def test_alternatives_have_scores_instead_of_confidences() -> None:
    words = '[{"word":"yes","start":0.5,"end":1.0}]'
    (final,) = talk("vosk").receive(
        f'{{"alternatives":[{{"confidence":213.4,"result":{words},"text":"yes"}},{{"text":"yet"}}]}}'
    )
    assert isinstance(final, Final)
    assert (final.text, final.confidence) == ("yes", 0.0)


def test_a_message_of_no_kind_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        talk("vosk").receive("{}")
