"""What a call leaves behind: a stereo recording, and its transcript as text and as JSON."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np

from .call import CallRecord, Turn
from .telephone import ROOM_RATE

__all__ = ["transcript_json", "transcript_text", "write_conversation", "write_transcript"]


def write_conversation(record: CallRecord, path: Path) -> None:
    """A stereo WAV: the caller left, the agent right, both from the beginning of the call."""
    both = np.stack([record.caller, record.agent], axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(ROOM_RATE)
        file.writeframes(both.astype("<i2").tobytes())


def write_transcript(record: CallRecord, text_path: Path, json_path: Path) -> None:
    """The transcript, for people and for programs."""
    text_path.write_text(transcript_text(record), encoding="utf-8")
    json_path.write_text(
        json.dumps(transcript_json(record), ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )


def transcript_text(record: CallRecord) -> str:
    """Who said what, as the agent understood it, with the second it began."""
    lines = []
    for turn in record.turns:
        lines.append(f"[{turn.speech_start:6.2f} s] Caller: {turn.heard or _heard(turn) or '(not understood)'}")
        if turn.reply and turn.reply_start is not None:
            lines.append(f"[{turn.reply_start:6.2f} s] Agent:  {turn.reply}")
    return "".join(f"{line}\n" for line in lines)


def transcript_json(record: CallRecord) -> dict[str, Any]:
    """The call as JSON holds it. Times are seconds since it began, latencies seconds."""
    return {
        "seconds": round(record.seconds, 3),
        "turns": [_turn_json(turn) for turn in record.turns],
        "errors": record.errors,
    }


def _heard(turn: Turn) -> str:
    return " ".join(text for _, text in turn.finals)


def _turn_json(turn: Turn) -> dict[str, Any]:
    return {
        "said": turn.line.text,
        "speech_start": _rounded(turn.speech_start),
        "speech_end": _rounded(turn.speech_end),
        "interims": [{"at": _rounded(at), "text": text} for at, text in turn.interims],
        "finals": [{"at": _rounded(at), "text": text} for at, text in turn.finals],
        "user_turn": turn.heard,
        "tools": [{"name": t.name, "arguments": t.arguments, "result": t.result} for t in turn.tools],
        "reply": turn.reply,
        "reply_start": _rounded(turn.reply_start),
        "reply_end": _rounded(turn.reply_end),
        "speech_end_to_final": _rounded(turn.final_latency),
        "final_to_first_audio": _rounded(turn.reply_latency),
        "llm_first_token": [_rounded(seconds) for seconds in turn.first_tokens],
        "tts_first_audio": [_rounded(seconds) for seconds in turn.first_sounds],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
