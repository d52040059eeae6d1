"""Services of very different shapes fit the language. The profiles are sketches for this test."""

from __future__ import annotations

from typing import Any

import orjson

from agents.providers.profiles import ProfileStreaming, parse_profile
from agents.providers.protocol import (
    Event,
    Failure,
    Final,
    Finished,
    Partial,
    Ready,
    Settings,
    SpeechEnded,
    Usage,
    Verdict,
)
from agents.providers.redaction import Secret


def settings(**fields: Any) -> Settings:
    return Settings(**{"url": "wss://v.test/x", "api_key": Secret("k-1234"), "language": "en-US", **fields})


class Talk:
    """A conversation of the profile in *text*, fed with Python values."""

    def __init__(self, text: str, **fields: Any) -> None:
        self.protocol = ProfileStreaming(parse_profile("name: sketch\ntitle: Sketch\n" + text))
        self.settings = settings(**fields)
        self.protocol.check(self.settings)
        self.conversation = self.protocol.converse(self.settings)

    def hear(self, **message: Any) -> list[Event]:
        return list(self.conversation.receive(orjson.dumps(message)))


TURNS = """\
auth: {header: Authorization}
options: {format_turns: {type: boolean}}
streaming:
  query: {sample_rate: "${sample_rate}", keyterms_prompt: "${keyterms|json}"}
  capabilities: {announces_end: true}
  audio: {min_chunk: 50ms}
  connection: {ready_wait: true, session: 3h, close_codes: {3006: permanent, 3008: recycle}}
  flush: [{json: {type: ForceEndpoint}}]
  close: [{json: {type: Terminate}}]
  results:
    unit: ms
    switch: type
    rules:
      - {case: Begin, event: ready, request_id: id}
      - {case: Turn, when: "end_of_turn && turn_is_formatted", only_if: format_turns, event: final,
         text: transcript, ends_utterance: end_of_turn, segment_id: turn_order}
      - {case: Turn, when: end_of_turn, unless: format_turns, event: final,
         text: transcript, ends_utterance: end_of_turn, segment_id: turn_order}
      - {case: Turn, event: partial, text: "join(' ', words[].text)", stable: utterance, start: "words[0].start"}
      - {case: Termination, more: true, event: usage, audio: audio_duration_seconds, unit: s}
      - {case: Termination, event: finished}
      - {case: Error, event: error, message: error, code: error_code, code_is: close code}
"""


def test_turns_whose_interims_are_in_their_words() -> None:
    words = [{"text": "hello", "start": 100}, {"text": "there", "start": 300}]
    talk = Talk(TURNS, keyterms=("a", "b"))
    assert "keyterms_prompt=%5B%22a%22%2C%22b%22%5D" in talk.protocol.connect(talk.settings).url
    assert talk.hear(type="Begin", id="s1") == [Ready("s1")]
    assert talk.hear(type="Turn", transcript="hello", words=words, utterance="") == [Partial("hello there", 0.1)]
    (stable,) = talk.hear(type="Turn", words=words, utterance="hello there")
    assert isinstance(stable, Partial)
    assert stable.stable
    ended = {"type": "Turn", "transcript": "hello there", "words": words, "end_of_turn": True, "turn_order": 4}
    (final,) = talk.hear(**ended)
    assert isinstance(final, Final)
    assert (final.text, final.segment_id, final.ends_utterance) == ("hello there", "4", True)
    formatted = Talk(TURNS, options={"format_turns": True})
    assert isinstance(formatted.hear(**ended)[0], Partial)
    assert isinstance(formatted.hear(**ended, turn_is_formatted=True)[0], Final)
    assert talk.hear(type="Termination", audio_duration_seconds=5) == [Usage(5.0), Finished()]


TOKENS = """\
auth: {header: Authorization, value: "Bearer ${key}"}
options: {enable_endpoint_detection: {type: boolean, default: true, goes: body}}
streaming:
  opening: [{json: {audio_format: pcm_s16le, sample_rate: "${sample_rate}", language_hints: ["${language|base}"]}}]
  keepalive: {after: 15s, send: [{json: {type: keepalive}}]}
  flush: [{json: {type: finalize}}]
  close: [{text: ""}]
  results:
    unit: ms
    rules:
      - {when: {error_code: {present: true}}, event: error, message: error_message, code: error_code,
         code_is: http status}
      - {event: tokens, more: true, final: is_final,
         words: {items: tokens, text: text, start: start_ms, end: end_ms},
         markers: {<end>: utterance_end, <fin>: flushed}}
      - {event: usage, more: true, audio: total_audio_proc_ms, cumulative: true}
      - {when: finished, event: finished}
"""


def test_token_streams() -> None:
    talk = Talk(TOKENS)
    (opening,) = talk.conversation.opening()
    assert orjson.loads(str(opening))["language_hints"] == ["en"]
    assert orjson.loads(str(opening))["enable_endpoint_detection"] is True
    assert talk.conversation.close() == [""]
    token = {"text": "hi", "start_ms": 0, "end_ms": 100, "is_final": True}
    partial, usage = talk.hear(tokens=[token], total_audio_proc_ms=100)
    assert (partial.text, usage) == ("hi", Usage(0.1))  # type: ignore[union-attr]
    (final,) = talk.hear(tokens=[{"text": "<end>", "is_final": True}], total_audio_proc_ms=100)
    assert final.ends_utterance  # type: ignore[union-attr]
    assert talk.hear(tokens=[], finished=True) == [Finished()]
    (failure,) = talk.hear(error_code=402, error_message="no balance")
    assert isinstance(failure, Failure)
    assert (failure.verdict, failure.status) == (Verdict.PERMANENT, 402)


SESSION = """\
auth: {header: x-vendor-key}
options: {endpointing: {type: number, goes: body}}
streaming:
  prepare:
    - {url: "${url}", body: {sample_rate: "${sample_rate}", language_config: {languages: ["${language|base}"]}},
       with_options: true, save: {url: url}}
  connect: ${saved.url}
  auth: {header: x-vendor-key}
  close: [{json: {type: stop_recording}}]
  results:
    switch: type
    rules:
      - {case: transcript, event: transcript, final: data.is_final, text: data.utterance.text,
         start: data.utterance.start, end: data.utterance.end, confidence: data.utterance.confidence,
         words: {items: data.utterance.words, text: word, start: start, end: end}}
      - {case: speech_end, event: speech_ended, at: data.time}
"""


def test_sessions_made_over_http() -> None:
    talk = Talk(SESSION, url="https://v.test/v2/live", options={"endpointing": 0.1})
    request = next(talk.protocol.prepare(talk.settings))
    assert isinstance(request.body, bytes)
    assert orjson.loads(request.body) == {
        "sample_rate": 16000,
        "language_config": {"languages": ["en"]},
        "endpointing": 0.1,
    }
    utterance = {"text": "hi", "start": 0.5, "end": 1.0, "confidence": 0.9, "words": [{"word": "hi"}]}
    (final,) = talk.hear(type="transcript", data={"is_final": True, "utterance": utterance})
    assert isinstance(final, Final)
    assert (final.text, final.start, final.confidence, len(final.words or ())) == ("hi", 0.5, 0.9, 1)
    assert talk.hear(type="speech_end", data={"time": 1.5}) == [SpeechEnded(1.5)]


WINDOW = """\
options: {use_vad: {type: boolean, default: true, goes: body}}
streaming:
  audio: {encoding: f32}
  connection: {ready_wait: true, session: 9min}
  opening: [{json: {uid: "${uuid}", language: "${language|base}", model: "${model}"}}]
  close: [{binary: END_OF_AUDIO}]
  results:
    switch: message
    rules:
      - {case: SERVER_READY, event: ready}
      - {case: DISCONNECT, event: error, message: message, verdict: recycle}
      - {when: {status: ERROR}, event: error, message: message}
      - {event: segments, final: completed, words: {items: segments, text: text, start: start, end: end}}
"""


def test_sliding_windows_of_float_audio() -> None:
    talk = Talk(WINDOW)
    assert talk.conversation.close() == [b"END_OF_AUDIO"]
    assert len(bytes(talk.conversation.audio(b"\x00\x00" * 10)[0])) == 40  # type: ignore[arg-type]
    assert talk.hear(uid="u", message="SERVER_READY") == [Ready()]
    assert talk.hear(uid="u", segments=[{"start": "0.0", "end": "1.0", "text": " hi", "completed": True}]) == [
        Final("hi", 0.0, 1.0)
    ]
    assert talk.hear(uid="u", language="en", language_prob=0.9) == []
    (failure,) = talk.hear(uid="u", message="DISCONNECT")
    assert isinstance(failure, Failure)
    assert failure.verdict is Verdict.RECYCLE


TWO_PASSES = """\
streaming:
  subprotocols: [binary]
  opening:
    - json: {mode: 2pass, chunk_size: [5, 10, 5], wav_format: pcm, audio_fs: "${sample_rate}", is_speaking: true,
             hotwords: "${keyterms|json}"}
  close: [{json: {is_speaking: false}}]
  results:
    unit: ms
    switch: mode
    partials: delta
    rules:
      - {case: 2pass-online, event: partial, text: text}
      - {case: 2pass-offline, event: final, text: text, start: "from_json(timestamp)[0][0]",
         end: "from_json(timestamp)[-1][1]"}
"""


def test_two_passes_with_times_in_a_string() -> None:
    talk = Talk(TWO_PASSES, keyterms=("a",))
    assert talk.protocol.connect(talk.settings).subprotocols == ["binary"]
    assert '"hotwords":"[\\"a\\"]"' in str(talk.conversation.opening()[0])
    talk.hear(mode="2pass-online", text="hel")
    assert talk.hear(mode="2pass-online", text="lo") == [Partial("hello")]
    assert talk.hear(mode="2pass-offline", text="Hello.", timestamp="[[100,200],[200,500]]") == [
        Final("Hello.", 0.1, 0.5)
    ]
    assert talk.hear(mode="2pass-offline", text="x", timestamp="nonsense") == [Final("x")]


COUNTED = """\
streaming:
  audio: {encoding: f32}
  close: [{text: Done}]
  results:
    partials: counter
    literals: {"Done!": finished}
    rules: [{event: transcript, text: text, final: is_final, segment_id: segment}]
"""


def test_segments_that_are_counted() -> None:
    talk = Talk(COUNTED)
    talk.hear(text="one", segment=0)
    final, partial = talk.hear(text="two", segment=1)
    assert (final.text, partial.text) == ("one", "two")  # type: ignore[union-attr]
    last, finished = talk.conversation.receive("Done!")
    assert (last.text, finished) == ("two", Finished())  # type: ignore[union-attr]
