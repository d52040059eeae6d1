"""A company's own API (JSON with base64) by overriding one method, in an AgentSession that finds speech by VAD.

python examples/in_house_http.py
"""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
from aiohttp import web
from livekit.agents import AgentSession, inference
from offline import answering, run, serve, talk

from agents.providers.adapters import CustomHTTPSTTAdapter


class MyCompanySTTAdapter(CustomHTTPSTTAdapter):
    async def _send_audio_chunk(self, audio_data: bytes) -> str:
        recording = base64.b64encode(self.wav(audio_data)).decode()
        body = {"audio_base64": recording, "format": "wav", "language": self.language}
        async with aiohttp.ClientSession(raise_for_status=True) as http:
            response = await http.post(self.endpoint_url, json=body, headers=self.headers)
            return str((await response.json())["transcript"])


async def main(server: str) -> None:
    async with serve("/api/v1/stt", company(server)) as url:
        # yours: "https://internal.company.com/api/v1/stt", api_key="${env:COMPANY_KEY}"
        stt = MyCompanySTTAdapter(endpoint_url=url, api_key="internal-key")
        llm, tts = answering(server)
        session: AgentSession[Any] = AgentSession(
            stt=stt, llm=llm, tts=tts, vad=inference.VAD(), turn_handling={"turn_detection": "vad"}
        )
        await talk(session, "thank you that is all i wanted to know")  # in your agent: session.start(…, room=…)
        for part in (stt, llm, tts):
            await part.aclose()


def company(server: str) -> Any:
    """The company's service. It leaves the recognition to the embedded server."""

    async def recognise(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer internal-key":
            raise web.HTTPUnauthorized
        recording = base64.b64decode((await request.json())["audio_base64"])
        async with aiohttp.ClientSession() as http:
            response = await http.post(f"{server}/v1/stt", data=recording, headers={"Content-Type": "audio/wav"})
            return web.json_response({"transcript": (await response.json())["text"]})

    return recognise


if __name__ == "__main__":
    run(main)
