"""Certificates are verified: a server that cannot prove who it is gets neither the key nor audio."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from certificates import certificate
from livekit.agents import APIError
from typing_extensions import Self
from vendor_server import Connection, Tuned, VendorServer, frames, ramp, texts

from agents.providers.stt.http import CustomHTTPSTTAdapter
from agents.providers.stt.streaming import CustomWebSocketSTTAdapter

KEY = "sk-very-secret-0123456789"


class TlsServer(VendorServer):
    """The vendor behind TLS, too."""

    def __init__(self, pem: Path, *handlers: Any) -> None:
        super().__init__(*handlers)
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(pem)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        return self

    def at(self, scheme: str) -> str:
        return f"{scheme}://127.0.0.1:{self._runner.addresses[-1][1]}/"


async def breaks_in_the_middle(c: Connection) -> None:
    await c.receive_seconds(0.2)
    c.abort()


async def answers(c: Connection) -> None:
    await c.receive_until("end_of_stream")
    await c.final("hello", start=0.0, end=c.seconds)


async def hear(voxport: CustomWebSocketSTTAdapter) -> list[str]:
    async with voxport.stream() as stream:
        for frame in frames(ramp(0.5)):
            stream.push_frame(frame)
        stream.end_input()
        return texts([event async for event in stream])


def trusting(pem: Path) -> aiohttp.ClientSession:
    """A session for which what *pem* signs is as good as what any authority signs."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(pem))))


# Python 3.10 calls a TLS transport that broke unclosed, whatever was done with it
@pytest.mark.filterwarnings("ignore:.*_SSLProtocolTransport:pytest.PytestUnraisableExceptionWarning")
async def test_a_server_with_a_good_certificate_is_talked_to(tmp_path: Path) -> None:
    """Also after a drop: so it is the certificate that makes the difference in the other tests."""
    pem = certificate(tmp_path, address="127.0.0.1")
    async with TlsServer(pem, breaks_in_the_middle, answers) as server, trusting(pem) as session:
        async with CustomWebSocketSTTAdapter(
            server.at("wss"), KEY, vendor=Tuned(), http_session=session
        ) as voxport:
            assert await hear(voxport) == ["hello"]
        assert bytes(server.connections[1].audio) == ramp(0.5)
        assert server.connections[1].request.headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("trusted", [False, True], ids=["self-signed", "of another host"])
async def test_a_server_without_a_good_certificate_gets_nothing(tmp_path: Path, trusted: bool) -> None:
    pem = certificate(tmp_path, address="127.0.0.2" if trusted else "127.0.0.1")
    async with TlsServer(pem, answers) as server, trusting(pem) if trusted else aiohttp.ClientSession() as session:
        streaming = CustomWebSocketSTTAdapter(server.at("wss"), KEY, vendor=Tuned(), http_session=session)
        batch = CustomHTTPSTTAdapter(server.at("https"), KEY, http_session=session)
        async with streaming, batch:
            for work in (hear(streaming), batch.recognize(frames(ramp(0.5)))):
                with pytest.raises(APIError, match="certificate") as caught:
                    await asyncio.wait_for(work, 5)
                assert not caught.value.retryable
                assert KEY not in str(caught.value)
        assert server.attempts == 0
