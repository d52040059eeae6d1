"""Azure on the embedded server: the WebSocket, fast transcription, and short audio."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

CASES = [
    VendorCase(
        name="azure",
        vendor="azure",
        streaming_url=lambda server: server.ws_url,
        batch_url=lambda server: server.url,
        options={"diarization": True},
        option_checks=[
            OptionCheck(
                {"profanity": "raw", "end_silence_timeout_ms": 900, "stable_partials": 3, "store_audio": True},
                ["profanity=raw", "endSilenceTimeoutMs=900", "stableIntermediateThreshold=3", "storeAudio=true"],
            ),
            OptionCheck(
                {"segmentation_silence_timeout_ms": 700, "segmentation_maximum_time_ms": 30000},
                [
                    '"segmentation":{"mode":"Custom","segmentationSilenceTimeoutMs":700,'
                    '"segmentationForcedTimeoutMs":30000}'
                ],
            ),
            OptionCheck(
                {"languages": ["en-US", "de-DE"], "segmentation_strategy": "Semantic"},
                ['"languageId":{"languages":["en-US","de-DE"]', "lidEnabled=true", '{"mode":"Semantic"}'],
            ),
            OptionCheck({"authentication": "exchange"}, ["/sts/v1.0/issueToken"]),
            OptionCheck(
                {
                    "max_speakers": 4,
                    "phrases": ["opening hours"],
                    "phrase_list_weight": 1.5,
                    "authentication": "exchange",
                },
                [
                    '"diarization":{"enabled":true,"maxSpeakers":4}',
                    '"phraseList":{"phrases":["opening hours"],"biasingWeight":1.5}',
                ],
                way="batch",
            ),
        ],
        # the language is said only where several are possible
        lacks=frozenset({"flush", "streaming:usage", "streaming:language"}),
    ),
    VendorCase(
        name="azure_short_audio",
        vendor="azure_short_audio",
        batch_url=lambda server: server.url,
        option_checks=[OptionCheck({"profanity": "raw"}, ["profanity=raw", "language=en-US"], way="batch")],
        lacks=frozenset({"speaker", "usage", "language"}),
    ),
]
