"""Acme Ears: a made-up in-house speech server, to try docs/add-your-vendor.md on.

It really recognises: Voxport's embedded recogniser does the work (``pip install "voxport[local]"``). What it
speaks is nobody else's protocol, on purpose:

WebSocket ``/ears?rate=16000&lang=en``, header ``X-Acme-Key``. It says ``{"evt":"hello"}``, takes 16-bit PCM in
binary messages, and sends ``{"evt":"hyp","txt":…,"fixed":false,"from":ms,"to":ms}``. Where ``fixed`` is true the
text stays, and ``sure`` and ``tokens`` are there too. ``{"op":"cut"}`` makes it fix what it has, and answer
``{"evt":"cut"}``; ``{"op":"bye"}`` ends the talk, and it answers ``{"evt":"gone","heard":ms}``. ``mask=WORD``,
which may be repeated, makes stars of a word. What goes wrong is ``{"evt":"oops","why":…,"code":…}``.

``POST /ears`` with a WAV file answers ``{"lang":…,"hyps":[…]}``, with texts as above.

    python examples/acme_vendor/server.py --key s3cret
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from typing import Any

from aiohttp import WSMsgType, web

from agents.providers.local.audio import BadAudio, decode_file
from agents.providers.local.pool import DecoderPool
from agents.providers.local.recogniser import Busy, Final, Flushed, Partial, Result, transcribe

Query = Any


class AcmeEars:
    """The server's two ways."""

    def __init__(self, pool: DecoderPool, key: str) -> None:
        self.pool = pool
        self.key = key

    def application(self) -> web.Application:
        app = web.Application(client_max_size=10_000_000)
        app.router.add_get("/ears", self.stream)
        app.router.add_post("/ears", self.recording)
        return app

    def refuse_strangers(self, request: web.Request) -> None:
        if request.headers.get("X-Acme-Key") != self.key:
            raise web.HTTPUnauthorized(text='{"evt":"oops","why":"who are you?","code":"STRANGER"}')

    async def recording(self, request: web.Request) -> web.Response:
        self.refuse_strangers(request)
        try:
            pcm = await asyncio.to_thread(decode_file, await request.read(), 600.0)
        except BadAudio as error:
            return web.json_response({"evt": "oops", "why": str(error), "code": "NOISE"}, status=400)
        session = await self.pool.open(wait_seconds=10)
        try:
            heard = await transcribe(session, pcm)
        finally:
            await session.aclose()
        hyps = [hypothesis(final, request.query) for final in heard.segments]
        return web.json_response({"lang": "en", "hyps": hyps})

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        self.refuse_strangers(request)
        socket = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        try:
            session = await self.pool.open()
        except Busy:
            await socket.send_json({"evt": "oops", "why": "all ears are taken", "code": "LATER"})
            await socket.close()
            return socket
        try:
            rate = int(request.query.get("rate", "16000"))
            session.configure(sample_rate=rate)
            await socket.send_json({"evt": "hello"})
            telling = asyncio.create_task(self.tell(socket, session, request.query))
            samples = await self.listen(socket, session)
            with contextlib.suppress(ConnectionError):
                await telling
                await socket.send_json({"evt": "gone", "heard": samples * 1000 // rate})
        finally:
            await session.aclose()
            await socket.close()
        return socket

    async def listen(self, socket: web.WebSocketResponse, session: Any) -> int:
        """Until the client says bye, or is gone. Answers how many samples came."""
        samples = 0
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                samples += len(message.data) // 2
                await session.accept(message.data)
            elif "cut" in message.data:
                await session.flush()
            elif "bye" in message.data:
                break
            else:
                await socket.send_json({"evt": "oops", "why": f"what is {message.data}?", "code": "NONSENSE"})
        await session.end()
        return samples

    async def tell(self, socket: web.WebSocketResponse, session: Any, query: Query) -> None:
        async for result in session.results():
            with contextlib.suppress(ConnectionError):
                if isinstance(result, (Partial, Final)):
                    await socket.send_json({"evt": "hyp", **hypothesis(result, query)})
                elif isinstance(result, Flushed):
                    await socket.send_json({"evt": "cut"})


def hypothesis(result: Result, query: Query) -> dict[str, Any]:
    """A text as Acme writes it: milliseconds, and stars for words that are masked."""
    assert isinstance(result, (Partial, Final))
    masked = set(query.getall("mask", []))

    def shown(word: str) -> str:
        return "*" * len(word) if word in masked else word

    text = " ".join(map(shown, result.text.split()))
    hyp = {"txt": text, "fixed": False, "from": round(result.start * 1000), "to": round(result.end * 1000)}
    if isinstance(result, Final):
        tokens = [
            {"t": shown(w.text), "from": round(w.start * 1000), "to": round(w.end * 1000), "sure": w.confidence}
            for w in result.words
        ]
        hyp |= {"fixed": True, "sure": result.confidence, "tokens": tokens}
    return hyp


async def serve(port: int, key: str) -> None:
    pool = DecoderPool(capacity=2)
    await pool.start()
    runner = web.AppRunner(AcmeEars(pool, key).application(), shutdown_timeout=1)
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print(f"Acme Ears listens at ws://127.0.0.1:{runner.addresses[0][1]}/ears", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
        await pool.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A made-up in-house speech server.")
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one")
    parser.add_argument("--key", required=True, help="what clients must send")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.port, given.key))
