"""A watched run's files and facts as lines."""

from __future__ import annotations

from typing import Final

from sdxl_tui.fleet.watched.history import POINTS, RESUMES, SCALARS
from sdxl_tui.fleet.watched.page import WatchedPageData
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_age, format_bytes, format_count
from sdxl_tui.widgets.painted import Row
from sdxl_tui.widgets.place_bar import short_path

MUTED: Final = "$foreground 60%"
NAME_CELLS: Final = 11


def file_rows(data: WatchedPageData, now: float) -> list[Row]:
    """A line per file that it saved, the newest first, below the folder that they lie in. now: Unix seconds."""
    rows: list[Row] = []
    folder = None
    for file, size in data.saved:
        if file.path.parent != folder:
            folder = file.path.parent
            rows.append(((clean(short_path(folder)), "$foreground 50%"),))
        kind = "state" if file.is_state else "LoRA"
        about = "  ".join(
            part for part in (kind, format_bytes(size) if size else "", format_age(now - file.changed)) if part
        )
        rows.append((("  ", ""), (clean(file.path.name), "$primary"), (f"  {about}", MUTED)))
    return rows


def fact_rows(data: WatchedPageData) -> list[Row]:
    """What is known of it, a fact a line."""
    watched = data.summary.watched
    if watched is None:
        return []
    files = f"{len(watched.files)} event file{'s' * (len(watched.files) != 1)}, {format_bytes(watched.bytes)}"
    facts = [("watched", f"{files}, only read"), ("in", clean(short_path(watched.folder)))]
    others = ", ".join(data.history.others)
    if others:
        facts.append(("also logs", f"{others} (m shows them)"))
    if data.is_cut:
        facts.append(
            (
                "left out",
                f"it logs more than {SCALARS} names, {POINTS:,} values or {RESUMES:,} resumes: the rest is not kept",
            )
        )
    if data.damaged:
        facts.append(("damaged", damage(data)))
    if data.summary.total_steps:
        facts.append(("steps", f"{format_count(data.summary.total_steps)} planned"))
    else:
        facts.append(("steps", "how many are planned is not known: no LoRA file or settings of it say so"))
    if data.facts:
        facts.append(("", "its newest LoRA file:"))
    return [((name.ljust(NAME_CELLS), MUTED), (value, "")) for name, value in (*facts, *data.facts)]


def damage(data: WatchedPageData) -> str:
    """``2 damaged records of its event files were passed over``"""
    one = data.damaged == 1
    what = "record of its event files was" if one else "records of its event files were"
    return f"{format_count(data.damaged)} damaged {what} passed over"


def history_notes(data: WatchedPageData) -> Row:
    """What the head says besides: damage first, else where it is watched."""
    if data.damaged:
        return ((damage(data), "$warning"),)
    watched = data.summary.watched
    return (("" if watched is None else f"only watched, in {watched.shown_as}", MUTED),)
