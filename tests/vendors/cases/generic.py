"""Voxport's own protocol on the embedded server."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

CASES = [
    VendorCase(
        name="generic",
        vendor="generic",
        streaming_url=lambda server: f"{server.ws_url}/v1/stt/stream",
        batch_url=lambda server: f"{server.url}/v1/stt",
        option_checks=[
            OptionCheck({"beam": 5, "team": "a b"}, ['"options":{"beam":5,"team":"a b"}']),
            OptionCheck({"beam": 5, "body": "multipart"}, ["beam=5", "language=en-US"], way="batch"),
        ],
        lacks=frozenset({"keyterms", "speaker", "usage"}),
    ),
]
