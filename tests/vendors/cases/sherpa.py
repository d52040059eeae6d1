"""sherpa-onnx's streaming servers on the embedded server: the C++ one, and the Python one, which says less."""

from __future__ import annotations

from conformance import VendorCase

LACKS = frozenset(
    {"words", "times", "confidence", "speech_events", "flush", "keyterms", "speaker", "usage", "language", "error"}
)

CASES = [
    VendorCase(
        name="sherpa_onnx",
        vendor="sherpa_onnx",
        streaming_url=lambda server: f"{server.ws_url}/sherpa-onnx",
        lacks=LACKS,
    ),
    VendorCase(
        name="sherpa_onnx-python",
        vendor="sherpa_onnx",
        streaming_url=lambda server: f"{server.ws_url}/sherpa-onnx-python",
        lacks=LACKS,
    ),
]
