"""What both adapters share: capabilities and counters."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import stt
from livekit.agents.types import NOT_GIVEN

from agents.providers.base import ConfigurationError
from agents.providers.stt.adapter import Stats, STTAdapter, given


class TestAdapter:
    def test_the_base_of_the_specification(self) -> None:
        adapter = STTAdapter(sample_rate=8000, streaming=False, interim_results=False)
        assert isinstance(adapter, stt.STT)
        assert adapter.sample_rate == 8000
        assert (adapter.capabilities.streaming, adapter.capabilities.interim_results) == (False, False)
        assert STTAdapter().capabilities == stt.STTCapabilities(streaming=True, interim_results=True)

    def test_every_capability_is_passed_on(self) -> None:
        adapter = STTAdapter(
            diarization=True,
            aligned_transcript="chunk",
            keyterms=True,
            manual_flush=True,
            offline_recognize=False,
        )
        assert adapter.capabilities == stt.STTCapabilities(
            streaming=True,
            interim_results=True,
            diarization=True,
            aligned_transcript="chunk",
            keyterms=True,
            manual_flush=True,
            offline_recognize=False,
        )

    @pytest.mark.parametrize("rate", [0, -1, 3999, 192001, 16000.0, "16000", None])
    def test_an_impossible_rate_is_refused(self, rate: Any) -> None:
        with pytest.raises(ConfigurationError, match="sample_rate must be between"):
            STTAdapter(sample_rate=rate)

    async def test_a_subclass_without_batch_says_what_to_do(self) -> None:
        with pytest.raises(TypeError, match=r"STTAdapter recognises no whole recordings: use stream\(\)"):
            await STTAdapter()._recognize_impl([])

    def test_the_counters_are_listed_by_name(self) -> None:
        assert Stats(reconnects=2).as_dict()["reconnects"] == 2
        assert set(Stats().as_dict().values()) == {0}


@pytest.mark.parametrize(("value", "result"), [("en", "en"), ("", None), (None, None), (NOT_GIVEN, None)])
def test_not_given_is_none(value: Any, result: str | None) -> None:
    assert given(value) == result
