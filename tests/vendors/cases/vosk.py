"""Vosk's server on the embedded server."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

CASES = [
    VendorCase(
        name="vosk",
        vendor="vosk",
        streaming_url=lambda server: f"{server.ws_url}/vosk",
        option_checks=[
            OptionCheck(
                {"max_alternatives": 2, "phrase_list": ["yes", "no"]},
                ['"max_alternatives":2', '"phrase_list":["yes","no"]', '"sample_rate":16000'],
            ),
        ],
        lacks=frozenset({"confidence", "keyterms", "speaker", "usage", "language", "error"}),
    ),
]
