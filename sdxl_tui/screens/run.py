"""The page of one run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.widget import Widget
from textual.widgets import Static

from sdxl_tui.screens.place import Place, PlaceName

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace


class RunScreen(Place):
    """Progress, charts, log, samples and events of one run."""

    place: ClassVar[PlaceName] = PlaceName.RUNS
    topic: ClassVar[str] = "A run"

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        super().__init__(workspace)
        self.run_id = run_id

    def compose_body(self) -> Iterable[Widget]:
        yield Static(self.run_id, markup=False)
