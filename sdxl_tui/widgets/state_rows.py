"""Folders with states of sd-scripts as rows of the list of checkpoints: each folder, and below it what was found there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Final

from engine.foreign.lora_facts import LoraFacts
from engine.foreign.sd_scripts_state import SdScriptsState
from sdxl_tui.fleet.foreign_states import ForeignEntry, ForeignProblem, StateFolder
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_lr
from sdxl_tui.widgets.family_rows import MUTED, View, mark_of, short_age
from sdxl_tui.widgets.row_list import Row, Styled

LEADING_ZEROS: Final = re.compile(r"^0+(?=\d)")
SHORTEST: Final = 3
"""Letters that names have in common and that are not worth leaving out."""


def state_rows(folders: Sequence[StateFolder], view: View) -> Iterator[Row]:
    """The rows of all folders; those with nothing that fits are left out while something is looked for."""
    for folder in folders:
        shown = [entry for entry in folder.entries if view.fits_state(folder, entry)]
        if not shown and (not view.query.is_empty or (folder.events and not folder.entries and not folder.problem)):
            continue  # runs alone are in the table of runs
        is_folded = folder.key in view.folded and view.query.is_empty
        yield Row(
            key=folder.key,
            label=(("◇ ", "$accent"), (clean(folder.title), "")),
            tail=("sd-scripts", MUTED),
            fold=("closed" if is_folded else "open") if shown else None,
        )
        if not is_folded:
            names = shortened([str(entry.path.relative_to(folder.path)) for entry in shown])
            for at, (entry, name) in enumerate(zip(shown, names, strict=True)):
                yield _row(folder, entry, name, view, "╰ " if at == len(shown) - 1 else "├ ")


def shortened(names: Sequence[str]) -> list[str]:
    """The names without what all of them begin with; of a number that differs its zeros only: ``…500-state``."""
    if len(names) < 2:
        return list(names)
    common = os.path.commonprefix(list(names)).rstrip("0123456789")  # noqa: RUF071 - letter by letter is what is meant
    if len(common) <= SHORTEST:
        return list(names)
    return [f"…{re.sub(LEADING_ZEROS, '', name[len(common) :])}" for name in names]


def _row(folder: StateFolder, entry: ForeignEntry, name: str, view: View, guides: str) -> Row:
    label: list[Styled] = [*mark_of(entry.key, view), (clean(name), "")]
    if isinstance(entry.described, ForeignProblem):
        return Row(entry.key, (*label, ("  ✗", "$error")), guides=guides, parent=folder.key)
    columns = ((_rate(entry), "$primary"), (short_age(view.now - entry.changed), MUTED))
    return Row(entry.key, tuple(label), columns, guides=guides, parent=folder.key)


def _rate(entry: ForeignEntry) -> str:
    """The rate of a state's next step; of a LoRA file that it is one."""
    if isinstance(entry.described, SdScriptsState):
        return format_lr(entry.facts.lr if entry.facts else None)
    return "LoRA" if isinstance(entry.described, LoraFacts) or not entry.is_state else ""
