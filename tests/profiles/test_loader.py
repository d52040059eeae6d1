"""A profile that cannot work is refused when it is loaded, with file, line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agents.providers.base import ConfigurationError
from agents.providers.profiles import find_problems, load_profile, parse_profile
from agents.providers.profiles.export import SCHEMA_FILE, schema_text
from agents.providers.profiles.yaml_lines import parse_yaml

SOUND = """\
name: acme
title: Acme
options:
  speed: {type: integer, minimum: 1, maximum: 9}
streaming:
  query: {lang: "${language|base}"}
  results:
    switch: type
    rules:
      - {case: text, event: final, text: text}
"""


def problems(text: str) -> list[tuple[int, str]]:
    return [(problem.line, str(problem)) for problem in find_problems(text, source="acme.yaml")]


def test_a_sound_profile_has_no_problems() -> None:
    assert problems(SOUND) == []
    assert parse_profile(SOUND).name == "acme"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("title: Acme", "titel: Acme", 2, "did you mean 'title'?"),
        ("title: Acme\n", "", 1, "title: is missing"),
        ("name: acme", "name: Acme Inc", 1, "name"),
        ("event: final", "evnt: final", 10, "did you mean 'event'?"),
        ("event: final", "event: finl", 10, "'final'"),
        ("event: final, text: text", "event: final, text: 'a[b'", 10, "not a JMESPath expression"),
        ("text: text", "text: joined(text)", 10, "there is no function 'joined'; did you mean 'join'?"),
        ("text: text", "text: 'words[?frob(a)].b'", 10, "there are abs, avg, ceil"),
        ("text: text", "text: join(words)", 10, "join takes 2 values, not 1"),
        ("text: text", "text: not_null()", 10, "not_null takes 1 value or more, not 0"),
        ("event: final", "event: finale", 10, "did you mean 'final'? It is one of 'ignore', 'ready'"),
        ("switch: type", "unit: minutes", 8, "it is one of 's', 'ms', 'us' or 'ticks'"),
        ("text: text", "text: transcript-text", 10, """write '"transcript-text"'"""),
        ("text: text", "text: text, words: words", 10, "takes a mapping, {key: value, …}"),
        ("  results:", "  opening: {text: hi}\n  results:", 7, "takes a list, [a, b]"),
        ("  results:", "  audio: {rates: 16000}\n  results:", 7, "takes a list, [a, b]"),
        ("name: acme", "name: Acme", 1, "lower-case letters, digits, - and _, a letter first"),
        ('"${language|base}"', "${language|base}", 6, 'put "${…}" in quotes'),
        ("${language|base}", "$language", 6, "write ${language}"),
        ("${language|base}", "{{language}}", 6, "write ${language}"),
        ("event: final, text: text", "event: final", 10, "needs text"),
        ("event: final", "event: ready", 9, "no rule makes a final"),
        ("switch: type", "unit: minutes", 8, "'ms'"),
        ("    switch: type\n", "", 9, "no switch to compare with"),
        ("${language|base}", "${langauge}", 6, "did you mean 'language'?"),
        ("${language|base}", "${language|bass}", 6, "did you mean 'base'?"),
        (
            "${language|base}",
            "${options.sped}",
            6,
            "option 'sped' is not declared under options, did you mean 'speed'",
        ),
        ("${language|base}", "${saved.token}", 6, "no step saves 'token'"),
        ("${language|base}", "${Language}", 6, "not a reference"),
        ("minimum: 1", "minimum: 1, default: 0", 4, "must be at least 1"),
        ("type: integer", "type: int", 4, "'integer'"),
        ("maximum: 9", "maximum: 9, goes: nowhere", 4, "goes nowhere and nothing refers to it"),
        ("maximum: 9", "maximum: 9, goes: body", 4, "no JSON message"),
        ("maximum: 9", "maximum: 9, used_by: batch", 4, "does not have"),
        ("  results:", "  keepalive: {after: 5, send: [{text: x}]}\n  results:", 7, "a number and its unit"),
        ("  results:", "  connection: {ready_wait: true}\n  results:", 7, "no rule says `event: ready`"),
        ("  results:", "  connection: {close_codes: {1008: fatal}}\n  results:", 7, "'permanent'"),
        ("  results:", "  connection: {close_codes: {99: permanent}}\n  results:", 7, "not a close code"),
        ("  results:", "  audio: {min_chunk: 2s, max_chunk: 1s}\n  results:", 7, "shorter than min_chunk"),
        ("  results:", "  audio: {message: {audio: none}}\n  results:", 7, "carries no audio"),
        ("  results:", "  flush: [{json: {}, text: x}]\n  results:", 7, "exactly one of"),
        ("  results:", "  auth: {header: A, query: b}\n  results:", 7, "exactly one of"),
        ("streaming:\n", 'key_required: false\nstreaming:\n  headers: {K: "${key}"}\n', 0, ""),
        ("title: Acme", "title: Acme\nkey_required: false", 3, "no ${key} anywhere: remove it"),
        (
            "title: Acme",
            "title: Acme\nauth: {header: K}\nkey_required: false",
            4,
            "is for keys without auth: say auth.required instead",
        ),
        ("  results:", "  update: {changes: [options.x], send: []}\n  results:", 7, "nothing that can change"),
        ("  results:", "  update: {changes: [], models: '(', send: []}\n  results:", 7, "regular expression"),
        (
            "  results:",
            "  update: {changes: [options.speed], send: [{text: '${model}'}]}\n  results:",
            7,
            "is sent nowhere: put ${options.speed} into send, or leave it out of changes",
        ),
        (
            "  results:",
            "  update: {changes: [keyterms], send: [{json: {}}]}\n  results:",
            7,
            "put ${all_keyterms} into send",
        ),
        ("  results:", "  prepare: [{url: x, only_if: token}]\n  results:", 7, "option 'token' is not declared"),
        ("text: text}", "text: text}\n      - {case: text, event: ready}", 11, "never reached"),
        ("text: text}", "text: text}\n      - {case: a, event: ready, only_if: no}", 11, "'no' is not declared"),
        ("text: text}", "text: text, speaker_format: S}", 10, "must hold {} once"),
        ("text: text}", "text: text}\n      - {case: f, event: flushed}", 7, "add streaming.flush"),
        ("    switch: type", "    partials: counter\n    switch: type", 0, ""),
        ("title: Acme", "title: Acme\ntitle: Again", 3, "given twice"),
        ("title: Acme", "title: [Acme", 3, "not valid YAML"),
        ("title: Acme", "title: Acme\nkey_environment: [A_KEY, B_KEY]", 0, ""),
        ("title: Acme", "title: Acme\nkey_environment: []", 3, "key_environment"),
        ("title: Acme", "title: Acme\nkey_environment: 5", 3, "key_environment"),
        ("  results:", "  connection: {ready_wait: yes please}\n  results:", 7, "ready_wait: takes true or false"),
        ("  results:", "  connection: {ready_wait: 2.5}\n  results:", 7, "ready_wait: takes true or false"),
        ("  results:", "  capabilities: {keyterms: [a]}\n  results:", 7, "keyterms: takes true or false"),
        ("  results:", "  audio: {rates: [high]}\n  results:", 7, "rates[0]: takes a whole number"),
        ("  results:", "  audio: {rates: [1.5]}\n  results:", 7, "rates[0]: takes a whole number"),
        ("  results:", "  audio: {replay_pace: fast}\n  results:", 7, "replay_pace: takes a number"),
        ("  results:", "  audio: {replay_pace: 0}\n  results:", 7, "replay_pace: must be more than 0"),
        ("title: Acme", "title: 5", 2, "title: takes a text"),
        ("  query:", "  url: wss://acme.test/x\n  query:", 0, ""),
        ("  query:", '  url: "wss://{region}.acme.test/x"\n  query:', 0, ""),
        (
            "  query:",
            "  url: https://acme.test/x\n  query:",
            6,
            'must begin with ws:// or wss://; did you mean "wss://',
        ),
        ("  query:", "  url: localhost:80/x\n  query:", 6, "streaming.url: must begin with ws:// or wss://"),
        ("  query:", '  connect: "https://acme.test/${model}"\n  query:', 0, ""),
        ("  query:", '  connect: "ftp://acme.test/${model}"\n  query:', 6, "must begin with ws:// or wss://"),
        ("  query:", '  prepare: [{url: "wss://acme.test/x"}]\n  query:', 6, 'did you mean "https://'),
    ],
)
def test_a_problem_says_where_it_is_and_what_to_do(old: str, new: str, line: int, says: str) -> None:
    assert old in SOUND
    found = problems(SOUND.replace(old, new, 1))
    if not line:
        assert found == []
        return
    assert any(at == line and says in text and text.startswith(f"acme.yaml:{line}: ") for at, text in found), found


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("options.speed", "update: {changes: [options.speed], send: [{json: {speed: '${options.speed}'}}]}"),
        ("options.speed", "flush: [{text: '${options.speed|json}'}]"),
        ("options.speed", "keepalive: {after: 5s, send: [{text: '${options.speed}'}]}"),
        ("language", "audio: {message: {audio: '${audio}', language: '${language|base}'}}"),
        ("model", "audio: {then: [{text: '${model}'}]}"),
        ("keyterms", "close: [{json: {terms: '${keyterms}'}}]"),
        ("keyterms", "close: [{json: {terms: '${all_keyterms}'}}]"),
    ],
)
def test_what_changes_may_go_with_any_message_that_is_still_to_come(name: str, sent: str) -> None:
    update = "" if sent.startswith("update") else f"  update: {{changes: [{name}], send: []}}\n"
    assert problems(SOUND.replace("  results:", f"  {sent}\n{update}  results:", 1)) == []


def test_what_a_rule_goes_by_cannot_change_in_band() -> None:
    """The rules are chosen when a connection begins."""
    sends = "  update: {changes: [options.speed], send: [{text: '${options.speed}'}]}\n  results:"
    text = SOUND.replace("  results:", sends, 1) + "      - {case: more, event: ignore, unless: speed}\n"
    ((line, told),) = problems(text)
    assert line == 7 and "a rule goes by it" in told and "leave it out of changes" in told


@pytest.mark.parametrize(
    ("first", "second", "reached"),
    [
        ("{case: a, event: ready}", "{case: a, event: ready}", False),
        ("{case: [a, b], event: ready}", "{case: b, event: ready}", False),
        ("{event: ready}", "{case: b, event: ready}", False),
        ("{case: a, event: ready, more: true}", "{case: a, event: ready}", True),
        ("{case: a, event: ready, when: x}", "{case: a, event: ready}", True),
        ("{case: a, event: ready, when: x}", "{case: a, event: ready, when: x}", False),
        ("{case: a, event: ready, only_if: speed}", "{case: a, event: ready}", True),
        ("{case: a, event: ready}", "{event: ready}", True),
        ("{case: a, event: ready}", "{case: [a, b], event: ready}", True),
    ],
)
def test_rules_that_are_never_reached_are_found(first: str, second: str, reached: bool) -> None:
    text = SOUND + f"      - {first}\n      - {second}\n"
    assert ([] if reached else [12]) == [line for line, message in problems(text) if "never reached" in message]


@pytest.mark.parametrize("text", ["costs $5", "$anything", "{{anything}}", "a $$key"])
def test_what_only_looks_like_a_reference_may_stand(text: str) -> None:
    assert problems(SOUND.replace("${language|base}", text)) == []


def test_all_problems_are_told_at_once() -> None:
    text = SOUND.replace("${language|base}", "${x}").replace("minimum: 1", "default: 99")
    with pytest.raises(ConfigurationError) as caught:
        parse_profile(text, source="acme.yaml")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["acme.yaml:4", "acme.yaml:6"]


BATCH = """\
name: acme
title: Acme
options:
  form: {type: string, default: wav, choices: [wav, json], goes: nowhere}
batch:
  steps:
    - body_option: form
      bodies:
        wav: {raw: wav}
        json: {json: {audio: "${audio}"}}
  result: {text: text}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("choices: [wav, json]", "choices: [wav]", 8, "must be the choices"),
        ("default: wav, ", "", 8, "whose default is one of these"),
        ("body_option: form", "body: {raw: wav}\n      body_option: form", 7, "never used beside bodies"),
        ("text: text", "text: text, speaker_format: S", 11, "must hold {} once"),
        ("wav: {raw: wav}", "wav: {raw: wav, multipart: []}", 9, "exactly one of"),
        (
            "${audio}",
            "${uuid}",
            6,
            "sends no audio: give a body with raw, a part of a form with audio, or ${audio}",
        ),
        ("wav: {raw: wav}", "wav: {multipart: [{name: a, audio: wav}]}", 0, ""),
        ("wav: {raw: wav}", 'wav: {multipart: [{name: a, value: "${audio}"}]}', 6, "sends no audio"),
        ("${audio}", '${uuid}"}}\n    - body: {json: {sound: "${audio}', 0, ""),
        ("  steps:", "  url: http://localhost/x\n  steps:", 0, ""),
        (
            "  steps:",
            "  url: ws://localhost/x\n  steps:",
            6,
            'must begin with http:// or https://; did you mean "http://',
        ),
        ("- body_option", "- url: wss://acme.test/x\n      body_option", 7, 'did you mean "https://'),
    ],
)
def test_problems_of_batch_profiles(old: str, new: str, line: int, says: str) -> None:
    assert problems(BATCH) == []
    found = problems(BATCH.replace(old, new, 1))
    if not line:
        assert found == []
        return
    assert any(at == line and says in text for at, text in found), found


def test_a_module_beside_the_profile_may_bring_the_audio() -> None:
    assert problems(BATCH.replace("${audio}", "${uuid}").replace("goes: nowhere", "goes: code")) == []


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words", "{? [a] : b}", "name: acme\ntitle: Acme\n"])
def test_what_is_no_profile_is_refused(text: str) -> None:
    assert problems(text)


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the profile"):
        load_profile(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load_profile(tmp_path / "binary.yaml")


def test_words_that_yaml_1_1_takes_for_booleans_stay_words() -> None:
    assert parse_yaml("a: on\nb: no\nc: true\n").data == {"a": "on", "b": "no", "c": True}


def test_lines_follow_anchors_and_merges() -> None:
    located = parse_yaml("a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\n")
    assert located.data == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}
    assert (located.line(("b", "y")), located.line(("b", "x")), located.line(("b", "nothing"))) == (5, 2, 3)


def test_duplicate_keys_are_errors() -> None:
    with pytest.raises(yaml.YAMLError, match="given twice"):
        parse_yaml("a: 1\na: 2\n")


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "run python -m agents.providers.profiles.export and commit the result"
    )
