"""Deepgram v1 on the embedded server."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

CASES = [
    VendorCase(
        name="deepgram",
        vendor="deepgram",
        streaming_url=lambda server: f"{server.ws_url}/v1/listen",
        batch_url=lambda server: f"{server.url}/v1/listen",
        options={"diarize": True},
        option_checks=[
            OptionCheck(
                {
                    "endpointing": 300,
                    "utterance_end_ms": 1000,
                    "keyterm": ["Voxport", "two words"],
                    "replace": {"hello": "hi"},
                    "redact": ["pci", "ssn"],
                    "tag": "a",
                    "numerals": True,
                },
                [
                    "endpointing=300",
                    "utterance_end_ms=1000",
                    "keyterm=Voxport&keyterm=two words",
                    "replace=hello:hi",
                    "redact=pci&redact=ssn",
                    "tag=a",
                    "numerals=true",
                ],
            ),
            OptionCheck(
                {"utterances": True, "search": "sunday"}, ["utterances=true", "search=sunday"], way="batch"
            ),
        ],
        # a decoder that died closes the connection (1011), and says so there; `Error` is for bad messages
        lacks=frozenset({"streaming:usage", "language", "streaming:error"}),
    ),
]
