"""Deepgram Flux on the embedded server."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

CASES = [
    VendorCase(
        name="deepgram_flux",
        vendor="deepgram_flux",
        streaming_url=lambda server: f"{server.ws_url}/v2/listen",
        model="flux-general-multi",
        options={"eager_eot_threshold": 0.4, "eot_threshold": 0.5},
        option_checks=[
            OptionCheck(
                {"eot_timeout_ms": 3000, "keyterm": ["Voxport"], "language_hint": ["en", "es"], "tag": "a"},
                [
                    "eager_eot_threshold=0.4",
                    "eot_timeout_ms=3000",
                    "keyterm=Voxport",
                    "language_hint=en&language_hint=es",
                    "tag=a",
                ],
            ),
        ],
        lacks=frozenset({"speaker", "usage"}),
    ),
]
