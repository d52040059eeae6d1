"""Language models on loopback for the tests in here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from llm_endpoint import Endpoint, Handler, Serve


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start an `Endpoint`; it is closed after the test."""
    started: list[Endpoint] = []

    async def start(*handlers: Handler) -> Endpoint:
        endpoint = await Endpoint(*handlers).__aenter__()
        started.append(endpoint)
        return endpoint

    yield start
    for endpoint in started:
        await endpoint.__aexit__()
