"""A company's own voice by overriding one method: JSON in, pieces of audio in base64 out as they are made.

python examples/in_house_tts.py
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web
from offline import run, serve

from agents.providers.adapters import CustomHTTPTTSAdapter


class MyCompanyTTSAdapter(CustomHTTPTTSAdapter):
    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, sample_rate=24000)
        self.company_url, self.company_headers = url, {"X-Company-Key": key}

    async def _synthesize(self, text: str) -> AsyncIterator[bytes]:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as http,
            http.post(self.company_url, json={"say": text}, headers=self.company_headers) as response,
        ):
            async for line in response.content:  # heard as it comes: nobody waits for the end
                yield base64.b64decode(json.loads(line)["audio"])  # 16-bit mono PCM at sample_rate


async def main(server: str) -> None:
    async with serve("/api/v1/say", company(server)) as url:
        tts = MyCompanyTTSAdapter(url, key="internal-key")  # yours: "https://internal.company.com/api/v1/say"
        async with tts, tts.synthesize("You are welcome. Goodbye!") as speech:  # AgentSession(tts=tts) does this
            frames = [event.frame async for event in speech]
        seconds = sum(frame.duration for frame in frames)
        print(f"{seconds:.1f} s of audio at {frames[0].sample_rate} Hz in {len(frames)} frames")


def company(server: str) -> Any:
    """The company's service. It leaves the speaking to the embedded server."""

    async def say(request: web.Request) -> web.StreamResponse:
        ask = {"model": "espeak-ng", "voice": "alloy", "response_format": "pcm"}
        ask["input"] = (await request.json())["say"]
        response = web.StreamResponse()
        await response.prepare(request)
        async with aiohttp.ClientSession() as http, http.post(f"{server}/v1/audio/speech", json=ask) as spoken:
            async for pcm in spoken.content.iter_any():
                await response.write(json.dumps({"audio": base64.b64encode(pcm).decode()}).encode() + b"\n")
        return response

    return say


if __name__ == "__main__":
    run(main)
