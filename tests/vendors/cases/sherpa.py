"""sherpa-onnx's streaming server on the embedded server."""

from __future__ import annotations

from conformance import VendorCase

CASES = [
    VendorCase(
        name="sherpa_onnx",
        vendor="sherpa_onnx",
        streaming_url=lambda server: f"{server.ws_url}/sherpa-onnx",
        lacks=frozenset(
            {
                "words",
                "times",
                "confidence",
                "speech_events",
                "flush",
                "keyterms",
                "speaker",
                "usage",
                "language",
                "error",
            }
        ),
    ),
]
