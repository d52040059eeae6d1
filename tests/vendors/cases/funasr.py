"""FunASR's two-pass server on the embedded server."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

CASES = [
    VendorCase(
        name="funasr",
        vendor="funasr",
        streaming_url=lambda server: f"{server.ws_url}/funasr",
        option_checks=[
            OptionCheck(
                {"hotwords": {"sunday": 20}, "itn": False},
                ['"hotwords":"{\\"sunday\\":20}"', '"itn":false', '"chunk_size":[5,10,5]', '"audio_fs":16000'],
            ),
        ],
        lacks=frozenset(
            {"words", "confidence", "speech_events", "flush", "keyterms", "speaker", "usage", "language", "error"}
        ),
    ),
]
