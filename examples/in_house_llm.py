"""A company's own language model by overriding one method: JSON in, lines of JSON out as the answer is written.

python examples/in_house_llm.py
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web
from livekit.agents import Agent, AgentSession
from livekit.agents.voice.run_result import RunResult
from offline import run, serve

from agents.providers.adapters import CustomHTTPLLMAdapter


class MyCompanyLLMAdapter(CustomHTTPLLMAdapter):
    async def _send_messages(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
        body = {"dialogue": [{"who": message["role"], "said": message["content"]} for message in messages]}
        async with self.session.post(self.endpoint_url, json=body, headers=self.headers) as response:
            response.raise_for_status()
            async for line in response.content:  # spoken as it comes: the voice does not wait for the end
                yield json.loads(line)["says"]


async def main(server: str) -> None:
    async with serve("/api/v1/think", company(server)) as url:
        # yours: "https://internal.company.com/api/v1/think", {"X-Company-Key": "${env:COMPANY_KEY}"}
        llm = MyCompanyLLMAdapter(url, headers={"X-Company-Key": "internal-key"})
        session: AgentSession[Any] = AgentSession(llm=llm)  # and your stt and tts; here the user types
        await session.start(Agent(instructions="You answer the telephone of a restaurant."))
        answer: RunResult[Any] = await session.run(user_input="is there any parking near the restaurant")
        print(f"assistant: {answer.expect.next_event().is_message(role='assistant').event().item.text_content}")
        await session.aclose()
        await llm.aclose()


def company(server: str) -> Any:
    """The company's service. It leaves the thinking to the embedded server."""

    async def answer(request: web.Request) -> web.StreamResponse:
        said = (await request.json())["dialogue"][-1]["said"]
        ask = {"model": "gpt-4o", "messages": [{"role": "user", "content": said}]}
        async with aiohttp.ClientSession() as http:
            reply = await (await http.post(f"{server}/v1/chat/completions", json=ask)).json()
        response = web.StreamResponse()
        await response.prepare(request)
        for word in reply["choices"][0]["message"]["content"].split():
            await response.write(json.dumps({"says": f"{word} "}).encode() + b"\n")
        return response

    return answer


if __name__ == "__main__":
    run(main)
