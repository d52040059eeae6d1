"""The plainest client there is: it sends audio, collects finals, and replays nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from agents.providers.testing.numbered_words import numbers_in


@dataclass
class Heard:
    """What came back on one connection."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    close_code: int | None = None
    broken: list[object] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return [str(message.get("type")) for message in self.messages]

    @property
    def finals(self) -> list[int]:
        return [n for m in self.messages if m.get("is_final") for n in numbers_in(self.text(m))]

    @staticmethod
    def text(message: dict[str, Any]) -> str:
        if message["type"] == "Results":
            return str(message["channel"]["alternatives"][0]["transcript"])
        return str(message.get("text"))


async def send(
    url: str,
    pcm: bytes,
    *,
    chunk_ms: int = 20,
    rate: int = 16000,
    flush_at: int | None = None,
    headers: dict[str, str] | None = None,
    interim_results: bool = True,
) -> Heard:
    """Send audio as fast as the server takes it, say that it is over, and return what came until the close."""
    deepgram = "/v1/listen" in url
    if deepgram:
        url += f"?sample_rate={rate}&interim_results=true&vad_events=true"
    heard = Heard()
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as ws:
        receiving = asyncio.ensure_future(_receive(ws, heard))
        try:
            if not deepgram:
                config = {"type": "config", "sample_rate": rate, "interim_results": interim_results}
                await ws.send_str(orjson.dumps(config).decode())
            step = 2 * rate * chunk_ms // 1000
            for start in range(0, len(pcm), step):
                if flush_at is not None and start <= flush_at < start + step:
                    await ws.send_str('{"type":"Finalize"}' if deepgram else '{"type":"flush"}')
                await ws.send_bytes(pcm[start : start + step])
                await asyncio.sleep(0)
            await ws.send_str('{"type":"CloseStream"}' if deepgram else '{"type":"end_of_stream"}')
        except (ConnectionError, aiohttp.ClientError) as error:
            heard.broken.append(error)
        await receiving
        heard.close_code = ws.close_code
    return heard


async def _receive(ws: aiohttp.ClientWebSocketResponse, heard: Heard) -> None:
    async for message in ws:
        try:
            value = orjson.loads(message.data)
        except ValueError:
            heard.broken.append(message.data)
            continue
        if isinstance(value, dict):
            heard.messages.append(value)
        else:
            heard.broken.append(value)
