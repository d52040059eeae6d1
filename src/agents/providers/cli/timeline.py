"""A call as a picture: who spoke when, how the transcript came about, and how long everything took.

From top to bottom, on one time axis: the caller's voice; what the recogniser made of it while he spoke, each
revision a step further down; the final transcript; the agent's voice and what it said. The two waits a caller
feels (for the transcript, and for the answer) are marked between them.
"""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, HPacker, TextArea
from matplotlib.patches import FancyBboxPatch

from .call import CallRecord, Turn
from .telephone import ROOM_RATE

__all__ = ["draw_timeline"]

_PAPER = "#fbfaf6"
_INK = "#23303a"
_FAINT = "#8b949b"
_RULE = "#e4e1d8"
_CALLER = "#1c7c8c"
_CALLER_LIGHT = "#d8edf0"
_AGENT = "#c4553b"
_WAIT = "#f3d9a4"
_WAIT_INK = "#8a5a00"
_REVISED = "#b26a00"

_DPI = 110
_INCHES_PER_SECOND = 0.62
_NARROWEST, _WIDEST = 13.0, 200.0
_CHARS_PER_INCH = 14.5
"""Of the 9-point text; a mean over English words."""

_MOST_STEPS = 14
_STEP_CHARS = 34


@dataclass(frozen=True)
class _Lanes:
    """Heights of the lanes, from the bottom upwards, in the units of the axes (a line of text is about 0.32)."""

    steps: int
    reply_text: float = 0.1
    agent: float = 2.05
    final: float = 3.35

    @property
    def steps_top(self) -> float:
        return self.final + 1.35 + 0.27 * self.steps

    @property
    def caller(self) -> float:
        return self.steps_top + 0.95

    @property
    def top(self) -> float:
        return self.caller + 0.95


def draw_timeline(record: CallRecord, path: Path) -> None:
    """Write the picture of *record* to *path* as PNG."""
    lanes = _Lanes(steps=max((min(len(turn.interims), _MOST_STEPS) for turn in record.turns), default=0))
    span = max(record.seconds, 1.0) + 0.5
    width = min(max(span * _INCHES_PER_SECOND + 1.3, _NARROWEST), _WIDEST)
    height = 1.35 + lanes.top * 0.56
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=_PAPER)
    left, bottom = 1.05 / width, 0.5 / height
    axes = figure.add_axes((left, bottom, 1 - left - 0.25 / width, 1 - bottom - 0.85 / height), facecolor=_PAPER)
    axes.set_xlim(0, span)
    axes.set_ylim(0, lanes.top)
    chars_per_second = (width - 1.3) / span * _CHARS_PER_INCH
    _draw_frame(axes, lanes)
    _draw_voice(axes, record.caller, lanes.caller, _CALLER)
    _draw_voice(axes, record.agent, lanes.agent, _AGENT)
    for turn in record.turns:
        _draw_waits(axes, turn, lanes)
        _draw_steps(axes, turn, lanes)
        _draw_final(axes, turn, lanes, chars_per_second)
        _draw_reply(axes, turn, lanes, chars_per_second)
    _draw_title(figure, record, left, height)
    figure.savefig(path, dpi=_DPI, facecolor=_PAPER, pil_kwargs={"optimize": True})


def _draw_frame(axes: Axes, lanes: _Lanes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_FAINT)
    axes.tick_params(axis="x", colors=_FAINT, labelsize=9, length=3)
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g} s")
    axes.grid(axis="x", color=_RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    names = [
        ("caller", lanes.caller, _CALLER),
        ("final", lanes.final + 0.4, _CALLER),
        ("agent", lanes.agent, _AGENT),
    ]
    if lanes.steps:
        names.append(("interims", (lanes.steps_top + lanes.final + 1.2) / 2, _FAINT))
    for name, y, colour in names:
        axes.annotate(
            name, (0, y), xytext=(-12, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="center", color=colour, fontsize=11, fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def _draw_voice(axes: Axes, samples: npt.NDArray[np.int16], y: float, colour: str) -> None:
    """The outline of a voice around *y*."""
    step = ROOM_RATE // 50
    whole = samples[: len(samples) - len(samples) % step].reshape(-1, step).astype(np.float64)
    if not len(whole):
        return
    level = np.abs(whole).max(axis=1)
    level = 0.72 * (level / max(level.max(), 1.0)) ** 0.7  # soft consonants are to be seen too
    at = (np.arange(len(level)) + 0.5) * step / ROOM_RATE
    axes.fill_between(at, y - level, y + level, color=colour, alpha=0.85, linewidth=0)
    axes.axhline(y, color=colour, linewidth=0.6, alpha=0.6)


def _draw_waits(axes: Axes, turn: Turn, lanes: _Lanes) -> None:
    """The wait for the final, and the wait for the answer."""
    if turn.final_latency is not None:
        final = turn.finals[-1][0]
        low, high = lanes.final - 0.1, lanes.caller + 0.75
        _draw_wait(axes, turn.speech_end, final, low, high, lanes.final + 0.4)
        veil = [lanes.final + 1.05, lanes.caller - 0.9]  # over the band, under the interims that cross it
        axes.fill_betweenx(veil, turn.speech_end, final, color=_PAPER, alpha=0.55, linewidth=0, zorder=0.6)
        if turn.reply_latency is not None and turn.reply_start is not None and turn.reply_start >= final:
            _draw_wait(axes, final, turn.reply_start, lanes.agent - 0.75, lanes.final + 0.85, lanes.agent + 0.95)


def _draw_wait(axes: Axes, start: float, end: float, low: float, high: float, label_y: float) -> None:
    axes.fill_betweenx([low, high], start, end, color=_WAIT, alpha=0.55, linewidth=0, zorder=0.5)
    axes.plot([end, end], [low, high], color=_WAIT_INK, linewidth=0.9, alpha=0.8)
    wide = end - start > 0.6
    axes.annotate(
        f"{end - start:.2f} s", ((start + end) / 2 if wide else end, label_y), xytext=(0 if wide else 4, 0),
        textcoords="offset points", ha="center" if wide else "left", va="center",
        color=_WAIT_INK, fontsize=9, fontweight="bold",
    )  # fmt: skip


def _draw_steps(axes: Axes, turn: Turn, lanes: _Lanes) -> None:
    """Every interim as a tick, and the text of as many as there is room for, one below the other."""
    for at, _ in turn.interims:
        axes.plot([at, at], [lanes.caller - 0.85, lanes.caller - 0.72], color=_REVISED, linewidth=1.1)
    shown = _spread(turn.interims, _MOST_STEPS)
    before = ""
    y = lanes.steps_top - 0.2
    for at, text in shown:
        stable, changed = _split(before, text)
        axes.plot(at, y, marker="o", markersize=3.2, color=_REVISED)
        parts: list[Artist] = [TextArea(part, textprops={"color": colour, "fontsize": 8.5}) for part, colour in
                 ((stable, _FAINT), (changed, _REVISED)) if part]  # fmt: skip
        box = AnnotationBbox(
            HPacker(children=parts, pad=0, sep=3), (at, y), xybox=(5, 0), boxcoords="offset points",
            box_alignment=(0, 0.5), frameon=False, pad=0,
        )  # fmt: skip
        axes.add_artist(box)
        before = text
        y -= 0.27


def _spread(interims: Sequence[tuple[float, str]], most: int) -> list[tuple[float, str]]:
    """At most *most* of them, evenly, with the first and the last."""
    if len(interims) <= most:
        return list(interims)
    picked = np.linspace(0, len(interims) - 1, most).round().astype(int)
    return [interims[index] for index in picked]


def _split(before: str, text: str) -> tuple[str, str]:
    """The end of *text*, as what was there before and what is new."""
    old, new = before.split(), text.split()
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    stable, changed = " ".join(new[:same]), " ".join(new[same:])
    room = _STEP_CHARS - len(changed)
    if len(stable) > room:
        stable = "… " + stable[-max(room, 0) :].partition(" ")[2] if room > 3 else "…"
    return stable, changed


def _draw_final(axes: Axes, turn: Turn, lanes: _Lanes, chars_per_second: float) -> None:
    text = turn.heard or " ".join(final for _, final in turn.finals)
    if not text:
        return
    width = turn.speech_end - turn.speech_start
    axes.add_patch(
        FancyBboxPatch(
            (turn.speech_start, lanes.final - 0.1), width, 1.0, boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=_CALLER_LIGHT, edgecolor=_CALLER, linewidth=1.0, mutation_aspect=1.0,
        )
    )  # fmt: skip
    _fitted(axes, text, turn.speech_start + width / 2, lanes.final + 0.4, width, chars_per_second, most_lines=3)


def _draw_reply(axes: Axes, turn: Turn, lanes: _Lanes, chars_per_second: float) -> None:
    if turn.reply_start is None or not turn.reply:
        return
    width = max((turn.reply_end or turn.reply_start + 2.0) - turn.reply_start, 1.5)
    _fitted(
        axes, turn.reply, turn.reply_start, lanes.agent - 0.85, width + 0.3, chars_per_second,
        most_lines=4, ha="left", va="top",
    )  # fmt: skip


def _fitted(
    axes: Axes,
    text: str,
    x: float,
    y: float,
    width_seconds: float,
    chars_per_second: float,
    *,
    most_lines: int,
    **how: Any,
) -> None:
    """*text* wrapped to a width; what has no room is left out."""
    chars = max(int(width_seconds * chars_per_second) - 2, 8)
    lines = textwrap.wrap(text, chars, max_lines=most_lines, placeholder=" …")
    axes.text(
        x, y, "\n".join(lines), color=_INK, fontsize=9, linespacing=1.15, **{"ha": "center", "va": "center", **how}
    )


def _draw_title(figure: Figure, record: CallRecord, left: float, height: float) -> None:
    finals = [turn.final_latency for turn in record.turns if turn.final_latency is not None]
    replies = [turn.reply_latency for turn in record.turns if turn.reply_latency is not None]
    one = len(record.turns) == 1
    facts = [f"{'one turn' if one else f'{len(record.turns)} turns'} in {record.seconds:.0f} s"]
    if finals:
        facts.append(f"end of speech to final {statistics.median(finals):.2f} s")
    if replies:
        facts.append(f"final to first audio {statistics.median(replies):.2f} s{'' if one else ' (medians)'}")
    figure.text(left, 1 - 0.32 / height, "A call with a LiveKit agent", color=_INK, fontsize=15, fontweight="bold",
                va="center")  # fmt: skip
    figure.text(left, 1 - 0.62 / height, "   ·   ".join(facts), color=_FAINT, fontsize=10, va="center")
