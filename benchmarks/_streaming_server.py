"""A local server that answers as Deepgram's ``/v1/listen`` does, at the least cost per message.

Its answers depend on nothing but how much audio came, so every client hears the same: per segment of 3 s of audio
one ``SpeechStarted``, an interim ``Results`` of 12 words every 250 ms, and a ``Results`` with ``is_final`` and
``speech_final``. First segments differ in length, so that the connections' finals are not all due at one moment.

The first word of each transcript is ``c<connection>t<nanoseconds>``: which connection this is, and the moment of
sending on CLOCK_MONOTONIC, which all processes of the machine share. When each audio message arrived is kept and
given out at ``/bench/samples``, so nothing is added to the audio itself.

Run as a process of its own: it prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aiohttp import WSMsgType, web

INTERIM_SECONDS = 0.25
INTERIMS_PER_SEGMENT = 12
"""The twelfth answer of a segment is its final one, so a segment is 3 s of audio."""

_WORDS = ("so", "the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "again")
_TOKEN = "@token@"  # stands in cached answers for what differs from one sending to the next
_REQUEST_ID = "7f0a1c52-4c3e-4d0b-9f57-0a4c2b1d9e10"
_METADATA = {
    "request_id": _REQUEST_ID,
    "model_info": {"name": "general-nova-3", "version": "2025-04-17.21547", "arch": "nova-3"},
    "model_uuid": "40bd3654-e622-47c4-a111-63a61b23bfe8",
}


@dataclass(slots=True)
class Connection:
    """One WebSocket: what arrived when (bytes so far, seconds on CLOCK_MONOTONIC), and how far its answers are."""

    number: int
    sample_rate: int
    byte_counts: list[int] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    received: int = 0
    segment_start: int = 0
    answered: int = 0
    interims: int = INTERIMS_PER_SEGMENT

    @property
    def bytes_per_second(self) -> int:
        return self.sample_rate * 2

    def token(self) -> str:
        return f"c{self.number}t{time.monotonic_ns()}"


@cache
def _answer(start: float, duration: float, final: bool, from_finalize: bool = False) -> list[str]:
    """A ``Results`` message for the audio from *start* on (seconds), cut where the token goes."""
    spoken = (_TOKEN, *_WORDS)
    step = duration / len(spoken)
    words = [
        {
            "word": word,
            "start": round(start + step * index, 3),
            "end": round(start + step * (index + 0.9), 3),
            "confidence": 0.98431027,
            "punctuated_word": word,
        }
        for index, word in enumerate(spoken)
    ]
    message: dict[str, Any] = {
        "type": "Results",
        "channel_index": [0, 1],
        "duration": round(duration, 3),
        "start": round(start, 3),
        "is_final": final,
        "speech_final": final,
        "channel": {"alternatives": [{"transcript": " ".join(spoken), "confidence": 0.98431027, "words": words}]},
        "metadata": _METADATA,
        "from_finalize": from_finalize,
    }
    return json.dumps(message).split(_TOKEN)


class Vendor:
    """The server's state and its handlers."""

    def __init__(self) -> None:
        self._next_number = 0
        self._open = 0
        self._connections: list[Connection] = []

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/v1/listen", self.listen)
        application.router.add_get("/bench/state", self.state)
        application.router.add_post("/bench/reset", self.reset)
        application.router.add_get("/bench/samples", self.samples)
        return application

    async def state(self, request: web.Request) -> web.Response:
        """How many connections are open, and the server's own CPU seconds."""
        return web.json_response({"open": self._open, "cpu": time.process_time(), "now": time.monotonic()})

    async def reset(self, request: web.Request) -> web.Response:
        self._connections.clear()
        return web.Response()

    async def samples(self, request: web.Request) -> web.Response:
        """Since the last reset, for each connection: its number and rate, and when how many bytes had come."""
        return web.json_response(
            [
                {"number": c.number, "sample_rate": c.sample_rate, "bytes": c.byte_counts, "times": c.arrivals}
                for c in self._connections
            ]
        )

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        number = self._next_number
        connection = Connection(number, int(request.query.get("sample_rate", "16000")))
        connection.interims = 1 + number * 5 % INTERIMS_PER_SEGMENT  # the first segment only
        self._next_number += 1
        self._connections.append(connection)
        self._open += 1
        try:
            await self._talk(socket, connection)
        except ConnectionError:
            pass  # the client left without a word: its business
        finally:
            self._open -= 1
        return socket

    async def _talk(self, socket: web.WebSocketResponse, connection: Connection) -> None:
        interim_bytes = int(connection.bytes_per_second * INTERIM_SECONDS)
        due = interim_bytes
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.BINARY:
                connection.arrivals.append(time.monotonic())
                connection.received += len(message.data)
                connection.byte_counts.append(connection.received)
                while connection.received >= due:
                    await self._advance(socket, connection)
                    due = connection.segment_start + interim_bytes * (connection.answered + 1)
            elif message.type is WSMsgType.TEXT:
                kind = json.loads(message.data)["type"]
                if kind == "Finalize":
                    await self._finish_segment(socket, connection, from_finalize=True)
                    due = connection.segment_start + interim_bytes
                elif kind == "CloseStream":
                    await self._finish_segment(socket, connection, from_finalize=False)
                    duration = connection.received / connection.bytes_per_second
                    metadata = {"type": "Metadata", "request_id": _REQUEST_ID, "duration": duration, "channels": 1}
                    await socket.send_str(json.dumps(metadata))
                    await socket.close()
                    return
            else:
                return

    async def _advance(self, socket: web.WebSocketResponse, connection: Connection) -> None:
        """Send what is due after another 250 ms of audio."""
        start = connection.segment_start / connection.bytes_per_second
        if connection.answered == 0:
            await socket.send_str(json.dumps({"type": "SpeechStarted", "channel": [0, 1], "timestamp": start}))
        connection.answered += 1
        final = connection.answered == connection.interims
        answer = _answer(start, connection.answered * INTERIM_SECONDS, final)
        if final:
            segment = connection.interims * INTERIM_SECONDS
            connection.segment_start += int(segment * connection.bytes_per_second)
            connection.answered, connection.interims = 0, INTERIMS_PER_SEGMENT
        await socket.send_str(connection.token().join(answer))

    async def _finish_segment(
        self, socket: web.WebSocketResponse, connection: Connection, *, from_finalize: bool
    ) -> None:
        """Send the final of what came since the last one, as Finalize and CloseStream ask for."""
        if connection.received == connection.segment_start:
            return
        start = connection.segment_start / connection.bytes_per_second
        duration = (connection.received - connection.segment_start) / connection.bytes_per_second
        connection.segment_start, connection.answered = connection.received, 0
        await socket.send_str(connection.token().join(_answer(start, duration, True, from_finalize)))


async def _serve() -> None:
    # access_log=None: a line per request is not what is measured
    runner = web.AppRunner(Vendor().application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve())
