"""One speech server and one set of talks for all vendor tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from conformance import API_KEY
from google_logins import PUBLIC_PEM, REFRESH_TOKEN
from talks import Talks

from agents.providers.local import ServerOptions, ServerProcess


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-traces",
        action="store_true",
        help="write tests/traces anew; name tests/vendors/test_traces.py with it",
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server() -> AsyncIterator[ServerProcess]:
    """A server process that asks for :data:`API_KEY`, or what Google's services ask for."""
    keys = (API_KEY, PUBLIC_PEM, REFRESH_TOKEN)
    options = ServerOptions(streams=4, api_keys=keys, queue_seconds=30.0)
    async with ServerProcess(options) as process:
        yield process


@pytest.fixture(scope="session")
def talks() -> Talks:
    """The talks of the conformance suite, each held once."""
    return Talks()
