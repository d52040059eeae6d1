"""What is put around a protocol to listen in: nothing of the protocol is lost, and answers find their requests."""

from __future__ import annotations

import pytest

from agents.providers.protocol import (
    BatchProtocol,
    Conversation,
    HttpRequest,
    HttpResponse,
    Pcm,
    Recognition,
    StreamingProtocol,
    Wait,
)
from agents.providers.protocol.batch import BatchFlow
from agents.providers.testing.delegating import DelegatingBatch, DelegatingConversation, DelegatingStreaming
from agents.providers.testing.tape import Asked, Tape
from agents.providers.vendors import Vendor

from .test_traces import SETTINGS, Asker, Talker


@pytest.mark.parametrize(
    ("protocol", "around"),
    [
        (StreamingProtocol, DelegatingStreaming(Talker())),
        (Conversation, DelegatingConversation(Talker().converse(SETTINGS))),
        (BatchProtocol, DelegatingBatch(Asker())),
    ],
)
def test_nothing_of_a_protocol_is_left_to_its_default(protocol: type, around: object) -> None:
    """A method that is not passed on would silently be the base class's, whatever the vendor does."""
    methods = {name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")}
    assert len(methods) > 5
    assert methods <= {*vars(type(around))}


def test_what_a_protocol_says_of_its_answers_is_passed_on() -> None:
    inner = Asker()
    inner.aligned_words = inner.diarization = True
    inner.sample_rates = frozenset({8000})
    around = DelegatingBatch(inner)
    assert (around.name, around.aligned_words, around.diarization) == ("asker", True, True)
    assert around.sample_rates == frozenset({8000})


class Poller(Asker):
    """Asks the same twice, after a pause."""

    def recognise(self, audio: Pcm, settings: object) -> BatchFlow:
        request = HttpRequest("GET", "https://poll.test")
        first = yield request
        yield Wait(1.0)
        second = yield request
        assert first is not None and second is not None
        return Recognition(first.text() + second.text())


def test_each_answer_is_with_its_request_also_where_the_same_is_asked_again() -> None:
    tape = Tape()
    protocol = tape.on(Vendor("poller", "Poller", batch=Poller())).batch
    assert protocol is not None
    flow = protocol.recognise(Pcm(b"\0\0", 16000), SETTINGS)
    next(flow)
    assert isinstance(flow.send(HttpResponse(200, {}, b"wait")), Wait)
    flow.send(None)
    assert [entry.response for entry in tape.entries if isinstance(entry, Asked)][1] is None
    with pytest.raises(StopIteration):
        flow.send(HttpResponse(200, {}, b"done"))
    answers = [entry.response for entry in tape.entries if isinstance(entry, Asked)]
    assert [answer.body for answer in answers if answer is not None] == [b"wait", b"done"]
    assert tape.result.text == "waitdone"
