"""A server written for jambonz, on the embedded server."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

CASES = [
    VendorCase(
        name="jambonz",
        vendor="jambonz",
        streaming_url=lambda server: f"{server.ws_url}/jambonz",
        option_checks=[
            OptionCheck(
                {"hints": ["table for two"], "team": "a b"},
                ['"options":{"hints":["table for two"],"team":"a b"}', '"sampleRateHz":16000', '"en-US"'],
            ),
        ],
        lacks=frozenset({"words", "times", "speech_events", "flush", "keyterms", "speaker", "usage"}),
    ),
]
