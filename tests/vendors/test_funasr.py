"""FunASR's two-pass protocol, by its servers' source."""

from __future__ import annotations

import json

from self_hosted import talk

from agents.providers.protocol import Final, Finished, Partial, Settings
from agents.providers.vendors import find_vendor


def test_the_server_is_told_how_audio_is_cut() -> None:
    conversation = talk("funasr", options={"hotwords": {"voxport": 20}, "svs_lang": "en"})
    (message,) = conversation.opening()
    assert json.loads(message) == {
        "mode": "2pass",
        "chunk_size": [5, 10, 5],
        "chunk_interval": 10,
        "wav_name": "voxport",
        "wav_format": "pcm",
        "audio_fs": 16000,
        "is_speaking": True,
        "hotwords": '{"voxport":20}',
        "itn": True,
        "svs_lang": "en",
    }
    assert conversation.close() == ['{"is_speaking":false,"is_end":true}']


def test_the_subprotocol_is_offered() -> None:
    protocol = find_vendor("funasr").streaming
    assert protocol is not None
    assert list(protocol.connect(Settings("ws://localhost:10095")).subprotocols) == ["binary"]


def test_pieces_follow_each_other_and_the_second_pass_replaces_them() -> None:
    conversation = talk("funasr")
    assert conversation.receive('{"mode":"2pass-online","text":"what","is_final":false}') == [Partial("what")]
    assert conversation.receive('{"mode":"2pass-online","text":" are","is_final":true}') == [Partial("what are")]
    text = '{"mode":"2pass-offline","text":"What are you?","timestamp":"[[120,340],[340,600]]","is_final":false}'
    assert conversation.receive(text) == [Final("What are you?", 0.12, 0.6)]
    assert conversation.receive('{"mode":"2pass-online","text":"next"}') == [Partial("next")]


def test_the_python_server_gives_no_times() -> None:
    assert talk("funasr").receive('{"mode":"2pass-offline","text":"hi","is_final":true}') == [Final("hi")]


def test_broken_times_are_none() -> None:
    for broken in ("", "[", "[]", "[[1]]", "7"):
        message = json.dumps({"mode": "2pass-offline", "text": "hi", "timestamp": broken})
        (final,) = talk("funasr").receive(message)
        assert isinstance(final, Final)
        assert final.end is None


def test_the_end_is_acknowledged() -> None:
    message = '{"mode":"2pass","wav_name":"voxport","is_final":true,"is_end":true}'
    assert talk("funasr").receive(message) == [Finished()]
