"""A run's sample pictures as a grid: steps across, prompts down; and how much of it fits a terminal. No file is read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from sdxl_tui.fleet.sample_pictures import sample_number

NARROWEST: Final = 22
"""Cells of a picture beside others; below that nothing is seen in half blocks."""
GAP: Final = 2
WORDS: Final = 2
"""Lines of a row of pictures besides them: the prompt above, the steps below."""


@dataclass(frozen=True)
class SampleGrid:
    """Which pictures there are."""

    steps: tuple[int, ...] = ()
    """Lowest first."""
    prompts: tuple[int, ...] = ()
    """Numbers of the prompts, from 0, in order."""
    paths: Mapping[tuple[int, int], Path] | None = None
    """By step and prompt; a profile edited between two attempts leaves gaps."""

    @classmethod
    def of(cls, by_step: Mapping[int, Sequence[Path]]) -> Self:
        """The grid of ``samples_by_step``."""
        paths = {(step, sample_number(path)): path for step, drawn in by_step.items() for path in drawn}
        return cls(tuple(sorted(by_step)), tuple(sorted({prompt for _, prompt in paths})), paths)

    def path(self, step: int, prompt: int) -> Path | None:
        """The picture of a prompt at a step, if it was drawn."""
        return (self.paths or {}).get((step, prompt))

    def nearest_step(self, step: int | None) -> int:
        """``step``, or the last one before it, or the first; the newest for None. There has to be one."""
        before = [one for one in self.steps if step is None or one <= step]
        return before[-1] if before else self.steps[0]


@dataclass(frozen=True)
class GridLayout:
    """How many steps stand beside and how many prompts below each other, and the cells of each picture."""

    steps: int
    prompts: int
    columns: int
    rows: int


def layout_for(width: int, height: int, steps: int, prompts: int) -> GridLayout:
    """As much picture as fits ``width`` × ``height`` cells, of at least three steps beside each other where they fit.

    Pictures are taken for square: a cell is twice as high as wide.
    """
    most = max(1, min(steps, (width + GAP) // (NARROWEST + GAP)))
    fewest = min(most, max(3, width // 40))
    found = [
        _layout(width, height, beside, below)
        for beside in range(most, fewest - 1, -1)
        for below in range(1, max(1, min(prompts, height // (1 + WORDS))) + 1)
    ]
    return max(found, key=lambda one: one.steps * one.prompts * min(one.columns, 2 * one.rows) ** 2)


def _layout(width: int, height: int, beside: int, below: int) -> GridLayout:
    columns = max(1, (width + GAP) // beside - GAP)
    rows = max(1, height // below - WORDS)
    return GridLayout(beside, below, max(1, min(columns, max(NARROWEST, 2 * rows))), rows)


def window(first: int, shown: int, at: int, count: int) -> int:
    """Where a window of ``shown`` of ``count`` things begins now, so that ``at`` is in it; it moves no further than it must."""
    first = min(max(first, at - shown + 1), at)
    return max(0, min(first, count - shown))
