"""Runs that are compared, as text: how each did, a line a run, and below it the settings in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from sdxl_tui.fleet.run_comparison import Figures, SettingsCompared, best_text, lowest
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.terminal.numbers import format_count, format_duration, format_loss, format_lr
from sdxl_tui.widgets.fact_lines import MUTED

GAP: Final = 2
WIDE: Final = 130
NARROW_NAME: Final = 14


@dataclass(frozen=True)
class ComparedRun:
    """One of them: its letter and style are what tells it from the others, with and without colour."""

    run: RunSummary
    figures: Figures
    letter: str
    style: str


def figures_table(runs: Sequence[ComparedRun], width: int) -> Content:
    """A line per run; the best of each column stands out."""
    wide = width >= WIDE
    heads = ["LOSS", "LOWEST", "HELD OUT", "LOWEST"] + (["LR", "TRAINED", "STATE"] if wide else [])
    rows = [_cells(one, wide=wide) for one in runs]
    widths = [max(cell_len(text) for text in column) for column in zip(heads, *rows, strict=True)]
    names = max(NARROW_NAME, *(cell_len(one.run.id) + 3 for one in runs))
    names = min(names, max(NARROW_NAME, width - sum(widths) - GAP * len(widths)))
    best = _best(runs)
    lines = [
        Content.styled(
            set_cell_size("RUN", names)
            + "".join(" " * GAP + head.rjust(room) for head, room in zip(heads, widths, strict=True)),
            MUTED,
        )
    ]
    for at, (one, row) in enumerate(zip(runs, rows, strict=True)):
        line = Content.assemble((set_cell_size(f"{one.letter}  {one.run.id}", names), f"bold {one.style}"))
        for column, (text, room) in enumerate(zip(row, widths, strict=True)):
            line += Content.assemble(" " * GAP, (text.rjust(room), "bold $success" if (at, column) in best else ""))
        lines.append(line)
    return Content("\n").join(lines)


def _cells(one: ComparedRun, *, wide: bool) -> list[str]:
    figures = one.figures
    cells = [
        format_loss(figures.loss),
        best_text(figures.best_loss),
        format_loss(figures.validation),
        best_text(figures.best_validation),
    ]
    if wide:
        cells += [format_lr(figures.lr), format_duration(figures.seconds), one.run.state.value]
    return cells


def _best(runs: Sequence[ComparedRun]) -> set[tuple[int, int]]:
    """(run, column) of the lowest values; none where only one run has any."""
    figures = [one.figures for one in runs]
    columns: tuple[Callable[[Figures], float | None], ...] = (
        lambda one: one.loss,
        lambda one: one.best_loss.value if one.best_loss else None,
        lambda one: one.validation,
        lambda one: one.best_validation.value if one.best_validation else None,
    )
    found: set[tuple[int, int]] = set()
    for column, of in enumerate(columns):
        best = lowest(figures, of)
        found |= {(at, column) for at, one in enumerate(figures) if best is not None and of(one) == best}
    return found


def settings_table(runs: Sequence[ComparedRun], compared: SettingsCompared, width: int) -> Content:
    """A setting a line, each value once, behind it the letters of the runs that have it."""
    by_id = {one.run.id: one for one in runs}
    profiles = len(runs) - len(compared.watched)
    alike = f"  {format_count(compared.alike)} settings alike" if profiles > 1 else ""
    lines = [Content.assemble(("What differs", "bold"), (alike, MUTED))]
    names = max((cell_len(setting.name) for setting in compared.differing), default=0)
    names = min(names, max(16, width // 3))
    for setting in compared.differing:
        line = Content.styled(set_cell_size(setting.name, names), MUTED)
        room = names
        for text, ids in setting.values:
            letters = [by_id[run_id] for run_id in ids if run_id in by_id]
            cells = GAP + len(letters) + 1 + cell_len(text)
            if room + cells > width and room > names:
                line, room = line + Content("\n" + " " * names), names
            line += Content(" " * GAP)
            line += Content("").join(Content.styled(one.letter, f"bold {one.style}") for one in letters)
            line += Content(f" {text}")
            room += cells
        lines.append(line)
    if not compared.differing and profiles > 1:
        lines.append(Content.styled("Nothing: they train the same profile.", MUTED))
    letters = [by_id[run_id] for run_id in compared.watched if run_id in by_id]
    if letters:
        line = Content("").join(Content.styled(one.letter, f"bold {one.style}") for one in letters)
        whose = "another trainer's run" if len(letters) == 1 else "other trainers' runs"
        lines.append(line + Content.styled(f" {whose}, without a profile that could be compared.", MUTED))
    for run_id in compared.unreadable:
        lines.append(Content.styled(f"The profile of {run_id} cannot be read.", "$warning"))
    return Content("\n").join(lines)
