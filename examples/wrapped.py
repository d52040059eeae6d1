"""Cache, retries and metrics around any recogniser: here around an HTTP adapter whose network fails at first.

python examples/wrapped.py
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from offline import run, spoken
from prometheus_client import CollectorRegistry

from agents.providers.adapters import (
    CachedSTTAdapter,
    CustomHTTPSTTAdapter,
    MeteredSTTAdapter,
    RetryableSTTAdapter,
)
from agents.providers.testing import FaultProxy


async def main(server: str) -> None:
    async with FaultProxy("127.0.0.1", urlsplit(server).port or 80) as network:
        # yours: "https://stt.example.com/v1", api_key="${env:STT_KEY}"
        vendor = CustomHTTPSTTAdapter(f"http://127.0.0.1:{network.port}/v1/stt", on_failure="raise")
        registry = CollectorRegistry()  # without it the numbers go to the registry LiveKit's worker serves
        stt = CachedSTTAdapter(RetryableSTTAdapter(MeteredSTTAdapter(vendor, registry=registry), attempts=4))

        network.refuse()
        repairs: list[asyncio.Task[None]] = []

        @stt.on("error")
        def _failed(event: Any) -> None:
            print(f"failed, tried again: {event.recoverable}")
            repairs.append(asyncio.ensure_future(network.accept()))

        recording = spoken("is there any parking near the restaurant")
        for _ in range(2):
            heard = await stt.recognize(recording)
            print(f"heard: {heard.alternatives[0].text}")
        print(f"cache: {stt.cache_stats}")
        for outcome in ("ok", "error"):
            labels = {"provider": "generic", "model": "unknown", "mode": "batch", "outcome": outcome}
            print(f"requests, {outcome}: {registry.get_sample_value('voxport_stt_requests_total', labels):.0f}")
        await stt.aclose()
        await asyncio.gather(*repairs)


if __name__ == "__main__":
    run(main)
