"""The Runs place: every run of the workspace in one live table, and what can be done with the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from sdxl_tui.screens.place import Place, PlaceName


class RunsScreen(Place):
    """The table, or what to do while there are no runs."""

    place: ClassVar[PlaceName] = PlaceName.RUNS
    topic: ClassVar[str] = "Runs"

    def compose_body(self) -> Iterable[Widget]:
        yield Static(id="runs")

    def on_mount(self) -> None:
        """Follow the runs."""
        self.watch(self.app, "runs", self._show)

    def _show(self, runs: object) -> None:
        self.query_one("#runs", Static).update(Content(str(runs)))
