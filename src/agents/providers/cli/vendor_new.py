"""``voxport vendors new``: a file to begin with, which is sound as it is, and says what to change."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from ..profiles.export import SCHEMA_FILE
from ..vendors import vendor_names
from .outcome import USAGE, CommandFailed

__all__ = ["starting_file", "write_starting_file"]

_NAME = re.compile(r"[a-z][a-z0-9_-]*")

_TEMPLATE = """\
# yaml-language-server: $schema=SCHEMA
# How Voxport talks to TITLE. Change what is written here to what your server sends and takes, remove the rest,
# and check it with: voxport vendors lint NAME.yaml
# Every key is explained in docs/profile-language.md; an editor that reads the first line explains them too.
name: NAME
title: TITLE
links: {documentation: "https://speech.example.com/docs"}
key_environment: VARIABLE_API_KEY  # where the key is taken from when the user gives none

# How the key travels. Or {query: token}, or {subprotocols: ["token", "${key}"]}; leave it out where the key is in
# the first message, as in opening: [{json: {token: "${key}"}}]. required: false: there may be none.
auth: {header: Authorization, value: "Bearer ${key}"}

# What the user need not say.
defaults: {model: general}

# Parameters of your own, which users set by options={...} or --option NAME=VALUE; others are refused.
# goes: query (the default), body (the first JSON message, or the form of a recording), header or nowhere.
options:
  punctuate: {type: boolean, default: true, description: "commas and full stops"}
  endpointing: {type: integer, minimum: 100, maximum: 5000, used_by: streaming, description: "ms of silence"}

# The WebSocket. Remove it when there is none.
streaming:
  url: wss://speech.example.com/v1/stream  # without a url the user must give one
  # ${…} is filled in; where there is no value, the parameter is left out
  query: {model: "${model}", language: "${language}", sample_rate: "${sample_rate}"}
  capabilities: {interim_results: true, aligned_transcript: word, keyterms: false}
  audio:
    # rates: [8000, 16000, 24000]  # Hz it takes as they come; absent: the adapter's own, 16000
    # encoding: f32                # or mulaw; absent: 16-bit PCM
    # message: {audio: "${audio}"} # audio in JSON, as base64; absent: binary messages
    min_chunk: 20ms
    max_chunk: 200ms
  # opening: [{json: {type: start, language: "${language}"}}]  # sent first
  # connection: {ready_wait: true}                             # with a rule `event: ready`: audio waits for it
  # keepalive: {after: 5s, send: [{json: {type: ping}}]}       # when there is nothing to send
  flush: [{json: {type: flush}}]  # asks for the finals of all audio so far; remove it when there is no such thing
  close: [{json: {type: stop}}]   # says that no more audio comes
  results:
    unit: s       # of all times: s, ms, us or ticks
    switch: type  # the field that tells kinds of messages apart
    rules:        # the first that fits is taken
      - case: transcript
        event: transcript
        final: is_final
        text: text             # a JMESPath: alternatives[0].transcript, result.text …
        start: start
        end: end
        confidence: confidence # 0 to 1; of 0 to 100: percent(confidence)
        language: language
        words: {items: words, text: word, start: start, end: end, confidence: confidence}
      - {case: speech_started, event: speech_started, at: time}
      - {case: speech_ended, event: speech_ended, at: time}
      - {case: flushed, event: flushed}  # the answer to a flush
      - {case: done, event: finished}    # nothing more will come; not needed when the server just closes
      # permanent: asking again is no use; transient, the default: it is
      - {case: error, event: error, message: message, code: code, codes: {bad_key: permanent}}

# Whole recordings over HTTP. Remove it when there is none.
batch:
  url: https://speech.example.com/v1/transcribe
  steps:
    - query: {model: "${model}", language: "${language}"}
      body: {raw: wav}  # or multipart: [{name: file, audio: wav}], or json: {audio: "${audio}"}
      # save: {job: id}  # for "${saved.job}" in the url or body of a step after this one, which may ask again and
      # again: - {method: GET, url: "${url}/${saved.job}", repeat: {every: 1s, until: "status == 'done'"}}
  # error: {message: fault.text, code: fault.id}  # where a reply with an error status says what went wrong
  result:
    text: text
    language: language
    confidence: confidence
    end: duration
    words: {items: words, text: word, start: start, end: end, confidence: confidence}
"""


def starting_file(name: str) -> str:
    """The text of a new profile for *name*."""
    title = name.replace("_", " ").replace("-", " ").capitalize()
    variable = name.upper().replace("-", "_")
    text = _TEMPLATE.replace("SCHEMA", str(SCHEMA_FILE)).replace("TITLE", title)
    return (
        text.replace("VARIABLE", variable)
        .replace("NAME.yaml", f"{name}.yaml")
        .replace("name: NAME", f"name: {name}")
    )


def write_starting_file(name: str, output: Path | None, *, force: bool) -> None:
    """Write it to *output*, or to ``NAME.yaml`` here, and say what comes next.

    Raises:
        CommandFailed: it is no name, or the file is there already.
    """
    if not _NAME.fullmatch(name):
        raise CommandFailed(
            f"{name!r} is no name for a vendor: take lower-case letters, digits, - and _, a letter first",
            status=USAGE,
        )
    path = output or Path(f"{name}.yaml")
    if path.exists() and not force:
        raise CommandFailed(f"{path} is there already: give another --output, or --force to overwrite it")
    path.write_text(starting_file(name), encoding="utf-8")
    shown = path if path.is_absolute() or len(path.parts) > 1 else f"./{path}"
    typer.echo(f"wrote {path}; change it to what your server speaks, then:")
    typer.echo(f"  voxport vendors lint {path}")
    typer.echo(f"  voxport transcribe speech.wav --vendor {shown} --url ws://localhost:8000/v1/stream")
    if name in vendor_names():
        typer.echo(
            f"Voxport has a vendor {name!r} already, which the name alone means; yours is meant by its path."
        )
