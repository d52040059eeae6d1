"""What a message costs when a profile reads it, beside code written by hand for that vendor.

    python benchmarks/profile_cost.py

Both turn Deepgram's messages into the same events; that they do is checked first. ``by hand`` is what a plugin
would do: decode, look at the type, pick the fields, make every word, and trust that all is as it should be. A
profile checks every type. ``words read`` also looks at all words of every event, as a caller may: a profile reads
those of a partial only then, and LiveKit's session does not. The mix is what a stream gets in 3 s: one
``SpeechStarted``, twelve interims of twelve words, one final. Best of many rounds, in turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from agents.providers.protocol import Event, Final, Partial, Settings, SpeechEnded, SpeechStarted, Word
from agents.providers.vendors import find_vendor

Receive = Callable[[str], Sequence[Event]]


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
            if isinstance(event, (Partial, Final)) and event.words:
                _ = event.words[0]
        return events

    return read


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


def main() -> None:
    parser = argparse.ArgumentParser(description="A profile beside hand-written code, per message.")
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    protocol = find_vendor("deepgram").streaming
    assert protocol is not None
    conversation = protocol.converse(Settings(url="wss://api.deepgram.com/v1/listen"))
    for message in (STARTED, INTERIM, FINAL):
        assert list(conversation.receive(message)) == list(by_hand(message)), message
    heads = [f"{side:>10}" for side in ("by hand", "profile", "ratio", "by hand", "profile", "ratio")]
    print(f"{'microseconds':<20}{''.join(heads[:3])}   words read:{''.join(heads[3:])}")
    for name, messages in CASES.items():
        sides = (by_hand, conversation.receive, read_words(by_hand), read_words(conversation.receive))
        times = [float("inf")] * len(sides)
        for _ in range(5):  # in turn, so that a busy moment is nobody's own
            times = [
                min(t, microseconds(side, messages, rounds // 5)) for t, side in zip(times, sides, strict=True)
            ]
        hand, profile, hand_words, profile_words = times
        print(
            f"{name:<20}{hand:>10.2f}{profile:>10.2f}{profile / hand:>10.2f}              "
            f"{hand_words:>10.2f}{profile_words:>10.2f}{profile_words / hand_words:>10.2f}"
        )


if __name__ == "__main__":
    main()
