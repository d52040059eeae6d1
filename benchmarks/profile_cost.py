"""What a message costs when a profile reads it, beside code written by hand for that vendor.

    python benchmarks/profile_cost.py

Two comparisons, both of Deepgram's messages:

* *The events of a protocol.* ``by hand`` is the least a parser for one vendor can do: decode, look at the type,
  pick the fields, make every word, and trust that all is as it should be. A profile checks every type. That both
  give the same is checked first. ``words read`` also looks at all words of every event, as a caller may: a profile
  reads those of a longer partial only then, from the text it kept, and LiveKit's session does not look.
* *LiveKit's events.* ``plugin`` is the hand-written code there is: the parser of LiveKit's own plugin for
  Deepgram, from the text of a message to the events. Beside it Voxport's profile and assembler, which also keep
  the order of events, drop what is said twice and move times to the stream's clock.

The mix is what a stream gets in 3 s: one ``SpeechStarted``, twelve interims of twelve words, one final. Best of
many rounds, in turn.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import orjson
from livekit.agents.stt import SpeechEvent

from agents.providers.protocol import (
    Conversation,
    Event,
    Final,
    Partial,
    Settings,
    SpeechEnded,
    SpeechStarted,
    Word,
)
from agents.providers.protocol.assembler import TranscriptAssembler
from agents.providers.vendors import find_vendor

Receive = Callable[[str], Sequence[Any]]


def by_hand(message: str) -> Sequence[Event]:
    """Deepgram's messages as a plugin written for them reads them."""
    data = orjson.loads(message)
    kind = data.get("type")
    if kind == "Results":
        return [_transcript(data)]
    if kind == "SpeechStarted":
        return [SpeechStarted(data.get("timestamp"))]
    if kind == "UtteranceEnd":
        return [SpeechEnded(data.get("last_word_end"))]
    return []


def _transcript(data: dict[str, Any]) -> Event:
    best = data["channel"]["alternatives"][0]
    words = [
        Word(item.get("punctuated_word") or item["word"], item["start"], item["end"], item["confidence"])
        for item in best["words"]
    ]
    start = data["start"]
    languages = best.get("languages")
    event = (Final if data["is_final"] else Partial)(
        best["transcript"],
        start,
        start + data["duration"],
        languages[0] if languages else None,
        best["confidence"],
        None,
        words,
        data["metadata"]["request_id"],
    )
    if isinstance(event, Final):
        event.ends_utterance = data["speech_final"]
    return event


def results(count: int, *, final: bool) -> str:
    """A transcript of *count* words."""
    words = [
        {
            "word": f"word{i}",
            "start": i * 0.2,
            "end": i * 0.2 + 0.15,
            "confidence": 0.98,
            "punctuated_word": f"Word{i}",
        }
        for i in range(count)
    ]
    alternative = {"transcript": " ".join(f"Word{i}" for i in range(count)), "confidence": 0.98, "words": words}
    message = {
        "type": "Results",
        "channel_index": [0, 1],
        "duration": 2.6,
        "start": 1.5,
        "is_final": final,
        "speech_final": final,
        "channel": {"alternatives": [alternative]},
        "metadata": {"request_id": "9a5d2c1e-0000-4000-8000-000000000000"},
        "from_finalize": False,
    }
    return orjson.dumps(message).decode()


STARTED = '{"type":"SpeechStarted","channel":[0,1],"timestamp":1.5}'
INTERIM, SHORT, FINAL = results(12, final=False), results(2, final=False), results(12, final=True)
CASES = {
    "SpeechStarted": [STARTED],
    "interim, 2 words": [SHORT],
    "interim, 12 words": [INTERIM],
    "final, 12 words": [FINAL],
    "the mix of 3 s": [STARTED, *[INTERIM] * 12, FINAL],
}


def read_words(receive: Receive) -> Receive:
    """*receive*, by somebody who wants every word."""

    def read(message: str) -> Sequence[Event]:
        events = receive(message)
        for event in events:
            data = event.alternatives[0] if isinstance(event, SpeechEvent) and event.alternatives else event
            if words := getattr(data, "words", None):
                _ = words[0]
        return events

    return read


def plugin() -> Receive:
    """LiveKit's plugin for Deepgram, from a message to the events it puts into its channel."""
    from livekit.plugins.deepgram.stt import SpeechStream

    heard: list[SpeechEvent] = []
    options = SimpleNamespace(language="en-US", punctuate=True, smart_format=False)
    stream: Any = SimpleNamespace(
        _opts=options,
        _event_ch=SimpleNamespace(send_nowait=heard.append),
        _on_end_of_speech=lambda: None,
        start_time_offset=0.0,
    )

    def receive(message: str) -> Sequence[SpeechEvent]:
        heard.clear()
        stream._speaking = True
        SpeechStream._process_stream_event(stream, json.loads(message))
        return heard

    return receive


def voxport(conversation: Conversation) -> Receive:
    """Profile and assembler. After a final a new connection is said to begin, or the next one would repeat it."""
    assembler = TranscriptAssembler(language="en-US", announces_end=True)
    origin = 0.0

    def receive(message: str) -> Sequence[SpeechEvent]:
        nonlocal origin
        heard = []
        for event in conversation.receive(message):
            heard += assembler.accept(event, origin + 10.0)
            if isinstance(event, Final):
                origin += 10.0
                assembler.connected(origin)
        return heard

    return receive


def microseconds(receive: Receive, messages: Sequence[str], rounds: int) -> float:
    """The time for *messages*, at best."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(20):
            for message in messages:
                receive(message)
        best = min(best, (time.perf_counter() - began) / 20)
    return best * 1e6


def compare(left: tuple[str, Receive], right: tuple[str, Receive], rounds: int) -> None:
    """Print a table: both sides, their ratio, and the same with all words read."""
    heads = [f"{side:>10}" for side in (left[0], right[0], "ratio")]
    print(f"{'microseconds':<20}{''.join(heads)}   words read:{''.join(heads)}")
    sides = (left[1], right[1], read_words(left[1]), read_words(right[1]))
    for name, messages in CASES.items():
        times = [float("inf")] * len(sides)
        for _ in range(5):  # in turn, so that a busy moment is nobody's own
            times = [
                min(t, microseconds(side, messages, rounds // 5)) for t, side in zip(times, sides, strict=True)
            ]
        one, other, one_words, other_words = times
        print(
            f"{name:<20}{one:>10.2f}{other:>10.2f}{other / one:>10.2f}              "
            f"{one_words:>10.2f}{other_words:>10.2f}{other_words / one_words:>10.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="A profile beside hand-written code, per message.")
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    protocol = find_vendor("deepgram").streaming
    assert protocol is not None
    conversation = protocol.converse(Settings(url="wss://api.deepgram.com/v1/listen"))
    for message in (STARTED, INTERIM, FINAL):
        assert list(conversation.receive(message)) == list(by_hand(message)), message
    print("From a message to the events of a protocol")
    compare(("by hand", by_hand), ("profile", conversation.receive), rounds)
    theirs, ours = plugin(), voxport(conversation)
    for message in (INTERIM, FINAL):
        words = [[e.alternatives[0].words for e in side(message) if e.alternatives] for side in (theirs, ours)]
        assert words[0] == words[1], message
    print("\nFrom a message to LiveKit's events")
    compare(("plugin", theirs), ("Voxport", ours), rounds)


if __name__ == "__main__":
    main()
