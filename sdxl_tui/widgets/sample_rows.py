"""The samples of a run as lines: by step, newest first, each file above the prompt it was drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from sdxl_tui.fleet.run_page import Sample
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.painted import Row

EMPTY: Final = "No samples yet"


def sample_rows(samples: Sequence[Sample], prompts: Sequence[str], folder: str) -> list[Row]:
    """The folder they lie in, then the files under their steps. prompts: of the profile, in the files' order."""
    if not samples:
        return []
    rows: list[Row] = [((folder, "$foreground 50%"),)]
    for step, drawn in groupby(samples, key=lambda sample: sample.step):
        rows.append(((f"step {format_count(step)}", "bold"),))
        for sample in drawn:
            prompt = prompts[sample.number] if sample.number < len(prompts) else ""
            rows.append((("  ", ""), (sample.name, "$primary")))
            if prompt:
                rows.append(((f"  {prompt}", "$foreground 60%"),))
    return rows
