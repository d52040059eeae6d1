"""Deepgram's queries that no audio can follow."""

from __future__ import annotations

import aiohttp
import pytest

from agents.providers.local import ServerProcess


@pytest.mark.parametrize("path", ["/v1/listen?model=nova-3", "/v2/listen?model=flux-general-en"])
@pytest.mark.parametrize("wrong", ["channels=0", "channels=-1", "channels=999", "channels=two"])
async def test_a_number_of_channels_that_is_none_is_refused_in_the_handshake(
    server: ServerProcess, client: aiohttp.ClientSession, path: str, wrong: str
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await client.ws_connect(f"{server.ws_url}{path}&encoding=linear16&sample_rate=16000&{wrong}")
    assert caught.value.status == 400
    assert "channels" in (caught.value.headers or {})["dg-error"]


@pytest.mark.parametrize(
    "wrong",
    ["eot_timeout_ms=abc", "eot_timeout_ms=1", "eot_threshold=", "eot_threshold=2", "eager_eot_threshold=nan"],
)
async def test_a_threshold_that_is_none_is_refused_in_the_handshake(
    server: ServerProcess, client: aiohttp.ClientSession, wrong: str
) -> None:
    url = f"{server.ws_url}/v2/listen?model=flux-general-en&encoding=linear16&sample_rate=16000&{wrong}"
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await client.ws_connect(url)
    assert caught.value.status == 400
    assert wrong.partition("=")[0] in (caught.value.headers or {})["dg-error"]
