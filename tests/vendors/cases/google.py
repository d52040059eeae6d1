"""Google Cloud Speech-to-Text on the embedded server: both versions, with an API key."""

from __future__ import annotations

from conformance import OptionCheck, VendorCase

CASES = [
    VendorCase(
        name="google",
        vendor="google",
        batch_url=lambda server: f"{server.url}/v1/speech:recognize",
        model="latest_short",
        options={"enable_speaker_diarization": True, "max_speaker_count": 2},
        option_checks=[
            OptionCheck(
                {
                    "alternative_language_codes": ["de-DE"],
                    "speech_contexts": [{"phrases": ["opening hours"], "boost": 10}],
                    "profanity_filter": True,
                    "use_enhanced": True,
                },
                [
                    '"alternativeLanguageCodes":["de-DE"]',
                    '"speechContexts":[{"phrases":["opening hours"],"boost":10}]',
                    '"profanityFilter":true',
                    '"useEnhanced":true',
                    '"encoding":"LINEAR16"',
                    '"diarizationConfig":{"enableSpeakerDiarization":true,"maxSpeakerCount":2}',
                ],
                way="batch",
            ),
            OptionCheck(
                {"enable_automatic_punctuation": False, "adaptation": {"phraseSets": []}},
                ['"enableAutomaticPunctuation":false', '"adaptation":{"phraseSets":[]}', '"model":"latest_short"'],
                way="batch",
            ),
        ],
    ),
    VendorCase(
        name="google-v2",
        vendor="google",
        batch_url=lambda server: f"{server.url}/v1/speech:recognize",
        options={"project": "voxport", "location": "eu", "min_speaker_count": 1},
        option_checks=[
            OptionCheck(
                {
                    "language_codes": ["en-US", "de-DE"],
                    "profanity_filter": True,
                    "denoiser_config": {"denoiseAudio": True},
                    "adaptation": {"phraseSets": [{"inlinePhraseSet": {"phrases": [{"value": "a", "boost": 5}]}}]},
                },
                [
                    "/v2/projects/voxport/locations/eu/recognizers/_:recognize",
                    '"languageCodes":["en-US","de-DE"]',
                    '"denoiserConfig":{"denoiseAudio":true}',
                    '"inlinePhraseSet":{"phrases":[{"value":"a","boost":5}]}',
                    '"diarizationConfig":{"minSpeakerCount":1}',
                    '"model":"long"',
                ],
                way="batch",
            ),
        ],
    ),
]
