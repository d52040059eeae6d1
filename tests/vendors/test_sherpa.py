"""sherpa-onnx' streaming servers, by their source: the C++ one and the Python one."""

from __future__ import annotations

import struct

from self_hosted import talk

from agents.providers.protocol import Final, Finished, Partial


def _cpp(text: str, segment: int, *, final: bool = False, eof: bool = False) -> str:
    return (
        f'{{ "text": "{text}", "tokens": [], "timestamps": [], "ys_probs": [], "lm_probs": [],'
        f' "segment": {segment}, "words": [], "start_time": 0.00, "is_final": {str(final).lower()},'
        f' "is_eof": {str(eof).lower()}}}'
    )


def test_samples_are_floats_and_the_end_is_a_word() -> None:
    conversation = talk("sherpa_onnx")
    assert conversation.opening() == []
    assert list(conversation.audio(struct.pack("<3h", 16384, -32768, 0))) == [struct.pack("<3f", 0.5, -1.0, 0.0)]
    assert conversation.close() == ["Done"]


def test_the_cpp_server_says_what_is_final() -> None:
    conversation = talk("sherpa_onnx")
    assert conversation.receive(_cpp("", 0)) == []
    assert conversation.receive(_cpp("one", 0)) == [Partial("one")]
    assert conversation.receive(_cpp("one two", 0, final=True)) == [Final("one two")]
    assert conversation.receive(_cpp("three", 1)) == [Partial("three")]
    assert conversation.receive(_cpp("three four", 1, final=True, eof=True)) == [Final("three four")]
    assert conversation.receive("Done!") == [Finished()]


def test_the_python_server_only_counts() -> None:
    """What it sent last of a segment is final when the next begins."""
    conversation = talk("sherpa_onnx")
    assert conversation.receive('{"text": "one", "segment": 0}') == [Partial("one")]
    assert conversation.receive('{"text": "one two", "segment": 0}') == [Partial("one two")]
    assert conversation.receive('{"text": "three", "segment": 1}') == [
        Final("one two", ends_utterance=True),
        Partial("three"),
    ]


def test_a_pause_of_silence_is_no_text() -> None:
    conversation = talk("sherpa_onnx")
    conversation.receive('{"text": "", "segment": 0}')
    assert conversation.receive('{"text": "one", "segment": 1}') == [Partial("one")]
