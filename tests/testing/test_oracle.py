"""The oracle, proven with a client that can do nothing: it must lose exactly what the connection lost."""

from __future__ import annotations

import aiohttp
import pytest

from agents.providers.testing import Behaviour, Fault, FaultInjector, FaultProxy, OracleServer, Refusal, speak

from .raw_client import send

RATE = 16000
# 0.3 s a word, 100 ms before the first and between all: word k is at 0.1 + 0.3 k … 0.3 + 0.3 k
SPEECH = speak((10,), RATE, tail_ms=400)


@pytest.mark.parametrize("dialect", ["generic", "deepgram"])
@pytest.mark.parametrize("chunk_ms", [10, 37, 100])
async def test_without_faults_every_word_comes_back_once(dialect: str, chunk_ms: int) -> None:
    async with OracleServer(Behaviour(dialect=dialect)) as server:
        heard = await send(server.url, SPEECH.pcm, chunk_ms=chunk_ms)
    assert heard.finals == list(range(10))
    assert heard.close_code == 1000
    (record,) = server.connections
    assert record.words == record.finals == list(range(10))
    assert record.audio_seconds == pytest.approx(SPEECH.duration)
    assert record.messages_sent == len(heard.messages)
    assert record.closed_by_client


async def test_the_generic_dialect_tells_all_it_knows() -> None:
    async with OracleServer() as server:
        heard = await send(server.url, speak((2,), RATE, tail_ms=400).pcm)
    kinds = ["ready", "speech_started", "transcription", "transcription", "transcription", "speech_ended"]
    assert heard.types == kinds
    final = heard.messages[4]
    assert (final["text"], final["is_final"]) == ("w0 w1", True)
    assert (final["start"], final["end"]) == (pytest.approx(0.1), pytest.approx(0.6))
    assert [word["word"] for word in final["words"]] == ["w0", "w1"]


async def test_the_deepgram_dialect_tells_all_it_knows() -> None:
    async with OracleServer(Behaviour(dialect="deepgram")) as server:
        heard = await send(server.url, speak((2,), RATE, tail_ms=400).pcm)
    assert heard.types == ["SpeechStarted", "Results", "Results", "Results", "Results", "Metadata"]
    final = heard.messages[3]
    assert final["is_final"] and final["speech_final"] and not final["from_finalize"]
    assert (final["start"], final["duration"]) == (0.0, pytest.approx(0.9))
    assert heard.messages[4]["from_finalize"]


@pytest.mark.parametrize("dialect", ["generic", "deepgram"])
async def test_a_vendor_may_tell_less(dialect: str) -> None:
    behaviour = Behaviour(dialect=dialect, times=False, words=False, speech_events=False, ready=False)
    async with OracleServer(behaviour) as server:
        heard = await send(server.url, SPEECH.pcm)
    assert heard.finals == list(range(10))
    assert not {"ready", "speech_started", "speech_ended", "SpeechStarted"} & set(heard.types)
    if dialect == "generic":
        assert not any({"start", "end", "words"} & set(message) for message in heard.messages)


async def test_interims_can_be_declined() -> None:
    async with OracleServer() as server:
        heard = await send(server.url, SPEECH.pcm, interim_results=False)
    assert [m["is_final"] for m in heard.messages if m["type"] == "transcription"] == [True]


@pytest.mark.parametrize("kind", ["abort", "cut"])
async def test_a_drop_costs_a_client_without_replay_exactly_the_words_it_cut_off(kind: str) -> None:
    behaviour = Behaviour(finals_every=2)
    async with OracleServer(behaviour) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        # at 1.65 s words 0–4 have been heard, 0–3 are final, and a quarter of word 5 has been said
        FaultInjector(server, proxy, [Fault(1.65, kind)])  # type: ignore[arg-type]
        heard = await send(f"ws://127.0.0.1:{proxy.port}{server.path}", SPEECH.pcm)
    assert server.connections[0].words == [0, 1, 2, 3, 4]
    assert heard.finals == server.connections[0].finals == [0, 1, 2, 3]
    assert heard.close_code in (1006, None)


async def test_the_rest_on_a_second_connection_misses_only_what_was_not_final() -> None:
    behaviour = Behaviour(finals_every=2)
    async with OracleServer(behaviour) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        FaultInjector(server, proxy, [Fault(1.65, "abort")])
        url = f"ws://127.0.0.1:{proxy.port}{server.path}"
        first = await send(url, SPEECH.pcm)
        second = await send(url, SPEECH.pcm[round(1.65 * RATE) * 2 :])
    assert sorted(first.finals + second.finals) == [0, 1, 2, 3, 5, 6, 7, 8, 9]  # most of word 5 came late enough


async def test_audio_sent_twice_is_transcribed_twice() -> None:
    async with OracleServer() as server:
        heard = await send(server.url, SPEECH.pcm + SPEECH.pcm)
    assert sorted(heard.finals) == sorted([*range(10), *range(10)])


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013])
async def test_close_codes_arrive(code: int) -> None:
    async with OracleServer() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        FaultInjector(server, proxy, [Fault(1.0, "close", code=code)])
        heard = await send(f"ws://127.0.0.1:{proxy.port}{server.path}", SPEECH.pcm)
    assert heard.close_code == code
    assert heard.finals == []


@pytest.mark.parametrize("wire", ["fragmented", "merged"])
@pytest.mark.parametrize("latency", [0.0, 0.05])
async def test_the_form_on_the_wire_changes_no_word(wire: str, latency: float) -> None:
    async with OracleServer(Behaviour(wire=wire, latency=latency)) as server:
        heard = await send(server.url, SPEECH.pcm)
    assert heard.finals == list(range(10))
    assert not heard.broken


async def test_finals_are_repeated_on_request() -> None:
    async with OracleServer(Behaviour(duplicate_finals=True, finals_every=2)) as server:
        heard = await send(server.url, SPEECH.pcm)
    assert heard.finals == [0, 1, 0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9]
    assert server.connections[0].finals == list(range(10))


async def test_late_finals_are_overtaken_by_one_partial() -> None:
    behaviour = Behaviour(late_finals="after_partials", finals_every=2, speech_events=False)
    async with OracleServer(behaviour) as server:
        heard = await send(server.url, speak((4,), RATE, tail_ms=400).pcm)
    texts = [(heard.text(m), m["is_final"]) for m in heard.messages if m["type"] == "transcription"]
    assert texts == [
        ("w0", False),
        ("w0 w1", False),
        ("w2", False),
        ("w0 w1", True),
        ("w2 w3", False),
        ("w2 w3", True),
    ]


async def test_late_finals_are_overtaken_by_the_answer_to_a_flush() -> None:
    async with OracleServer(Behaviour(late_finals="after_flushed")) as server:
        heard = await send(server.url, SPEECH.pcm, flush_at=2 * round(0.65 * RATE))
    types = [m["type"] if m["type"] != "transcription" else heard.text(m) for m in heard.messages]
    flushed = types.index("flushed")
    assert types[flushed + 1 : flushed + 3] == ["w0 w1", "speech_ended"]
    assert heard.finals == list(range(10))


async def test_silence_is_acknowledged_on_request() -> None:
    async with OracleServer(Behaviour(empty_finals=True)) as server:
        heard = await send(server.url, bytes(2 * RATE * 3))
    finals = [(m["start"], m["end"]) for m in heard.messages if m.get("is_final")]
    assert finals == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]


async def test_nonsense_and_unknown_messages_come_between_the_others() -> None:
    async with OracleServer() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        FaultInjector(server, proxy, [Fault(0.5, "nonsense"), Fault(1.5, "unknown")])
        heard = await send(f"ws://127.0.0.1:{proxy.port}{server.path}", SPEECH.pcm)
    assert len(heard.broken) == 6
    assert {"weather", "Warning"} <= set(heard.types)
    finals = [m for m in heard.messages if m.get("is_final") is True and m["type"] == "transcription"]
    assert [heard.text(m) for m in finals] == [" ".join(f"w{n}" for n in range(10))]


async def test_text_that_is_not_utf8_ends_the_connection() -> None:
    async with OracleServer() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        FaultInjector(server, proxy, [Fault(1.0, "stammer")])
        heard = await send(f"ws://127.0.0.1:{proxy.port}{server.path}", SPEECH.pcm)
    assert heard.close_code == 1007


@pytest.mark.parametrize(
    ("dialect", "header", "status"),
    [
        ("generic", "Bearer right", None),
        ("generic", "Token right", 401),
        ("deepgram", "Token right", None),
        ("deepgram", "Token wrong", 401),
        ("deepgram", None, 401),
    ],
)
async def test_the_key_is_checked(dialect: str, header: str | None, status: int | None) -> None:
    headers = {"Authorization": header} if header else {}
    async with OracleServer(Behaviour(dialect=dialect, api_key="right")) as server:
        if status is None:
            assert (await send(server.url, SPEECH.pcm, headers=headers)).finals == list(range(10))
            return
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await send(server.url, SPEECH.pcm, headers=headers)
    assert caught.value.status == status
    assert server.connections == [] and server.handshakes == 1


async def test_handshakes_are_refused_with_retry_after() -> None:
    async with OracleServer() as server:
        server.refusal = Refusal(429, "7")
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await send(server.url, SPEECH.pcm)
    assert caught.value.status == 429
    assert caught.value.headers is not None and caught.value.headers["Retry-After"] == "7"


async def test_an_idle_connection_is_closed() -> None:
    async with (
        OracleServer(Behaviour(idle_seconds=0.05)) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(server.url) as ws,
    ):
        message = await ws.receive()
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1011)


@pytest.mark.parametrize("dialect", ["generic", "deepgram"])
async def test_an_empty_message_of_audio_is_punished(dialect: str) -> None:
    async with (
        OracleServer(Behaviour(dialect=dialect)) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(server.url) as ws,
    ):
        await ws.send_bytes(b"")
        message = await ws.receive()
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1011)
