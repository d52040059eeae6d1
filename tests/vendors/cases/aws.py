"""Amazon Transcribe on the embedded server, where the key is the secret of any access key id."""

from __future__ import annotations

from conformance import API_KEY, OptionCheck, VendorCase

_HEARD = {"identify_language": True, "language_options": ["de-DE", "en-US"], "region": "eu-west-1"}
_WRONG = "not-the-key-99aa"

CASES = [
    VendorCase(
        name="aws",
        vendor="aws",
        streaming_url=lambda server: f"{server.ws_url}/stream-transcription-websocket",
        batch_url=lambda server: f"{server.url}/aws-transcribe/",
        api_key=f"AKIDEXAMPLE:{API_KEY}",
        wrong_key=f"AKIDEXAMPLE:{_WRONG}",
        secrets=(API_KEY, _WRONG),
        language=None,
        options={**_HEARD, "show_speaker_label": True},
        option_checks=[
            OptionCheck(
                {"vocabulary_names": ["a", "b"], "vocabulary_filter_names": ["c", "d"]},
                [
                    "identify-language=true",
                    "language-options=de-DE,en-US",
                    "vocabulary-names=a,b",
                    "vocabulary-filter-names=c,d",
                    "media-encoding=pcm",
                    "sample-rate=16000",
                    "/eu-west-1/transcribe/aws4_request",
                    "X-Amz-Expires=300",
                ],
            ),
            OptionCheck(
                {
                    "identify_language": None,
                    "identify_multiple_languages": True,
                    "preferred_language": "en-US",
                    "session_id": "5e1f1b4c-0e5d-4a6e-9d3d-2b6a5d6a7c11",
                    "enable_partial_results_stabilization": True,
                    "partial_results_stability": "low",
                    "content_redaction_type": "PII",
                    "pii_entity_types": ["NAME", "EMAIL"],
                    "vocabulary_filter_method": "mask",
                },
                [
                    "identify-multiple-languages=true",
                    "preferred-language=en-US",
                    "session-id=5e1f1b4c-0e5d-4a6e-9d3d-2b6a5d6a7c11",
                    "enable-partial-results-stabilization=true",
                    "partial-results-stability=low",
                    "content-redaction-type=PII",
                    "pii-entity-types=NAME,EMAIL",
                    "vocabulary-filter-method=mask",
                ],
            ),
        ],
        batch_options={
            **_HEARD,
            "bucket": "calls",
            "storage_url": "/aws-s3",
            "show_speaker_label": True,
            "max_speaker_labels": 2,
        },
        lacks=frozenset({"flush", "keyterms", "usage", "speech_events"}),
    ),
]
