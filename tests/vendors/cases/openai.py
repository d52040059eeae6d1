"""OpenAI on the embedded server: ends of speech found by the server and by nobody, short and verbose answers."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

CASES = [
    VendorCase(
        name="openai",
        vendor="openai",
        streaming_url=lambda server: f"{server.ws_url}/v1/realtime",
        batch_url=lambda server: f"{server.url}/v1",
        option_checks=[
            OptionCheck(
                {"turn_detection": {"silence_duration_ms": 300}, "noise_reduction": "near_field", "prompt": "a b"},
                [
                    "intent=transcription",
                    '"turn_detection":{"type":"server_vad","silence_duration_ms":300}',
                    '"noise_reduction":{"type":"near_field"}',
                    '"prompt":"a b"',
                    '"language":"en"',
                    '"format":{"type":"audio/pcm","rate":24000}',
                ],
            ),
            OptionCheck(
                {"prompt": "a b", "temperature": 0.2},
                ["prompt=a b", "temperature=0.2", "model=gpt-4o-mini-transcribe", "language=en"],
                way="batch",
            ),
        ],
        lacks=frozenset({"words", "confidence", "speaker", "language", "keyterms", "batch:times"}),
    ),
    VendorCase(
        name="openai-live",
        vendor="openai",
        streaming_url=lambda server: f"{server.ws_url}/v1",
        model="gpt-live-transcribe",
        option_checks=[
            OptionCheck(
                {"keywords": ["Voxport"], "languages": ["en", "en-GB"]},
                ['"keywords":["Voxport"]', '"languages":["en"]', '"turn_detection":null'],
            ),
        ],
        lacks=frozenset({"words", "confidence", "speaker", "language", "endpoints"}),
    ),
    VendorCase(
        name="openai-verbose",
        vendor="openai",
        batch_url=lambda server: f"{server.url}/v1/audio/transcriptions",
        model="whisper-1",
        options={"response_format": "verbose_json"},
        option_checks=[OptionCheck({}, ["timestamp_granularities[]=word"], way="batch")],
        lacks=frozenset({"speaker", "keyterms"}),
    ),
    VendorCase(
        name="openai-events",
        vendor="openai",
        batch_url=lambda server: f"{server.url}/v1",
        options={"stream": True},
        option_checks=[OptionCheck({}, ["stream=true"], way="batch")],
        lacks=frozenset({"words", "confidence", "speaker", "language", "keyterms", "times"}),
    ),
]
