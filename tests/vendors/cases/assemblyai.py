"""AssemblyAI on the embedded server: the newer and the older streaming models, jobs, the synchronous API."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

_ASSEMBLYAI = "assemblyai"

CASES = [
    VendorCase(
        name="assemblyai",
        vendor=_ASSEMBLYAI,
        streaming_url=lambda server: f"{server.ws_url}/v3/ws",
        batch_url=lambda server: server.url,
        options={"speaker_labels": True},
        option_checks=[
            OptionCheck(
                {"mode": "min_latency", "keyterms_prompt": ["Voxport", "table for two"], "inactivity_timeout": 30},
                [
                    "mode=min_latency",
                    'keyterms_prompt=["Voxport","table for two"]',
                    "inactivity_timeout=30",
                    "speech_model=universal-3-5-pro",
                    'language_codes=["en"]',
                    "encoding=pcm_s16le",
                    "speaker_labels=true",
                ],
            ),
            OptionCheck({"temporary_token": True}, ["/v3/token?expires_in_seconds=60"]),
            OptionCheck(
                {"language_detection": True, "speakers_expected": 2, "keyterms_prompt": ["Voxport"]},
                ['"language_detection":true', '"speakers_expected":2', '"keyterms_prompt":["Voxport"]'],
                way="batch",
            ),
        ],
        lacks=frozenset({"usage"}),
    ),
    VendorCase(
        name="assemblyai-formatted",
        vendor=_ASSEMBLYAI,
        streaming_url=lambda server: f"{server.ws_url}/v3/ws",
        model="universal-streaming-english",
        options={"format_turns": True},
        option_checks=[OptionCheck({}, ["format_turns=true", "language_detection=false"])],
        lacks=frozenset({"usage", "speaker", "language"}),
    ),
    VendorCase(
        name="assemblyai-sync",
        vendor="assemblyai_sync",
        batch_url=lambda server: server.url,
        option_checks=[
            OptionCheck(
                {"conversation_context": ["which day?"]},
                ['"conversation_context":["which day?"]', '"timestamps":true', '"language_codes":["en"]'],
                way="batch",
            ),
        ],
        lacks=frozenset({"speaker", "language", "keyterms"}),
    ),
]
