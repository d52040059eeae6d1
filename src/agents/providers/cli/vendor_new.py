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

_HEAD = """\
# yaml-language-server: $schema=SCHEMA
# How Voxport talks to TITLE. Change what is written here to what your server sends and takes, remove the rest,
# and check it with: voxport vendors lint FILE
# Every key is explained in docs/profile-language.md; an editor that reads the first line explains them too.
name: NAME
title: TITLE
links: {documentation: "https://speech.example.com/docs"}
key_environment: VARIABLE_API_KEY  # where the key is taken from when the user gives none

# How the key travels. Or {query: token}, or {subprotocols: ["token", "${key}"]}; with required: false there may be
# none. Leave it out where the key is in the first message, as in opening: [{json: {token: "${key}"}}]; there it is
# key_required: false, beside key_environment.
auth: {header: Authorization, value: "Bearer ${key}"}
"""

_LISTENS = """
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

_SPEAKS = """
speech:
  # What the user need not say.
  defaults: {voice: anna}
  # Parameters of your own, which users set by options={...}; others are refused.
  # goes: query (the default), body (the JSON that carries the text, or the first message), header or nowhere.
  options:
    pace: {type: number, minimum: 0.5, maximum: 2, goes: body, description: "1 is as people speak"}

# One request for each sentence, whose answer is the audio. Remove it when there is none.
synthesis:
  url: https://speech.example.com/v1/speak  # without a url the user must give one
  # path: /voices/${voice}  # put after the url
  # ${…} is filled in; where there is no value, the field is left out
  body: {json: {text: "${text}", voice: "${voice}", language: "${language}", sample_rate: "${sample_rate}"}}
  # answer: {audio: data.audio}  # audio in JSON, as base64; each: line or event, where it comes in pieces
  audio:
    type: audio/pcm  # where the Content-Type does not say it: 16-bit PCM, or audio/wav, audio/mpeg …
    # rates: [8000, 16000, 24000]  # Hz it can make; absent: the adapter's own, 24000

# The WebSocket: text goes out while it is written, audio comes back. Remove it when there is none.
streaming_synthesis:
  url: wss://speech.example.com/v1/speak/stream
  query: {language: "${language}"}
  audio:
    type: audio/pcm  # or audio/basic, which is µ-law
    # rates: [8000, 16000, 24000]
  text_unit: word  # the smallest piece of text it takes well: token, word or sentence
  # connection: {reusable: false}  # the end of a segment is the end of the connection
  # connection: {silence: 1s}      # it never says that a segment is done
  # connection: {ready_wait: true} # with a rule `event: ready`: text waits for it
  # opening: [{json: {type: hello}}]  # sent first, on every connection
  # A segment is what is said in one go. Where messages carry its name, a late one is told from the next segment's.
  begin: [{json: {type: start, id: "${segment}", voice: "${voice}", sample_rate: "${sample_rate}"}}]
  text: [{json: {type: speak, text: "${text}"}}]
  flush: [{json: {type: flush}}]    # has all text so far spoken now; remove it when there is no such thing
  end: [{json: {type: end}}]        # no more text comes; it answers `done` when all is spoken
  cancel: [{json: {type: cancel}}]  # an interruption; remove it, and the connection is closed for that
  # keepalive: {after: 5s, send: [{json: {type: ping}}]}  # when there is nothing to send
  # close: [{json: {type: bye}}]  # before the socket is closed
  results:
    unit: s       # of all times: s, ms, us or ticks
    switch: type  # the field that tells kinds of messages apart
    segment: id   # the field with the name of the segment; remove it when there is none
    rules:        # the first that fits is taken; binary messages are audio without a rule
      - {case: audio, event: audio, audio: data}  # in JSON, as base64
      - {case: words, event: words, words: {items: words, text: word, start: start, end: end}}
      - {case: done, event: done}
      # permanent: asking again is no use; transient, the default: it is
      - {case: error, event: error, message: message, code: code, codes: {bad_key: permanent}}
"""


def starting_file(name: str, *, speaks: bool = False, file: str = "") -> str:
    """The text of a new profile for *name*, which listens, or *speaks*, to be kept in *file* (``NAME.yaml``)."""
    title = name.replace("_", " ").replace("-", " ").capitalize()
    variable = name.upper().replace("-", "_")
    text = (_HEAD + (_SPEAKS if speaks else _LISTENS)).replace("SCHEMA", str(SCHEMA_FILE)).replace("TITLE", title)
    return (
        text.replace("VARIABLE", variable)
        .replace("lint FILE", f"lint {file or f'{name}.yaml'}")
        .replace("name: NAME", f"name: {name}")
    )


def write_starting_file(name: str, output: Path | None, *, speaks: bool, force: bool) -> None:
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
    path.write_text(starting_file(name, speaks=speaks, file=path.name), encoding="utf-8")
    shown = path if path.is_absolute() or len(path.parts) > 1 else f"./{path}"
    typer.echo(f"wrote {path}; change it to what your server speaks, then:")
    typer.echo(f"  voxport vendors lint {path}")
    typer.echo(
        f'  CustomWebSocketTTSAdapter("ws://localhost:8000/v1/speak/stream", vendor="{shown}")'
        if speaks
        else f"  voxport transcribe speech.wav --vendor {shown} --url ws://localhost:8000/v1/stream"
    )
    if name in vendor_names():
        typer.echo(
            f"Voxport has a vendor {name!r} already, which the name alone means; yours is meant by its path."
        )
