"""WhisperLive on the embedded server."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

CASES = [
    VendorCase(
        name="whisperlive",
        vendor="whisperlive",
        streaming_url=lambda server: f"{server.ws_url}/whisperlive",
        option_checks=[
            OptionCheck(
                {"send_last_n_segments": 3, "initial_prompt": "a restaurant", "task": "transcribe"},
                [
                    '"send_last_n_segments":3',
                    '"initial_prompt":"a restaurant"',
                    '"model":"small"',
                    '"language":"en"',
                ],
            ),
        ],
        lacks=frozenset(
            {"words", "confidence", "speech_events", "flush", "speaker", "usage", "language", "error"}
        ),
    ),
]
