"""What a resume of the newest run launched from a profile would do with each value that differs now. Nothing is started."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.routes.resuming import ResumePlan, routes_for
from sdxl_tui.fleet.source_run import SourceRun, counted
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.effect_table import EffectTable
from sdxl_tui.widgets.field_help import RESUME_STYLE
from sdxl_tui.widgets.key_bar import KeyBar

MUTED: Final = "$foreground 60%"


class SourceRunDialog(Dialog[None]):
    """The table of effects, to be read."""

    DEFAULT_CSS = """
    SourceRunDialog {
        align: center middle;
        & > #box {
            width: 96%; max-width: 120; height: auto; max-height: 96%;
            border: round $primary; border-title-style: bold; border-title-color: $foreground;
            background: $surface; padding: 1 2 0 2;
        }
        #said { height: auto; margin-bottom: 1; }
        VerticalScroll { height: auto; max-height: 100%; margin-bottom: 1; }
        KeyBar { background: $surface; padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+r", "dismiss", "Back")]

    def __init__(self, run: SourceRun, plan: ResumePlan) -> None:
        super().__init__()
        self._run, self._plan = run, plan

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(f" {clean(self._run.id)} ")
            yield Static(self._said(), id="said")
            with VerticalScroll(can_focus=True):
                yield EffectTable("The run was trained with these very values: a resume changes nothing.")
            yield KeyBar()

    def on_mount(self) -> None:
        """Fill the table."""
        self.query_one(EffectTable).show(self._plan.effects)

    def _said(self) -> Content:
        run, plan = self._run, self._plan
        where = f"step {format_count(run.step)}" if run.step is not None else "its start; it has no checkpoint yet"
        lines = [Content.assemble(("Compared with ", MUTED), (where, "bold"))]
        if run.is_finished:
            lines.append(Content.styled("The run is finished: nothing is left to resume there.", "$warning"))
        if plan.effects:
            lines.append(Content(", ").join(Content.styled(words, RESUME_STYLE[kind]) for words, kind in counted(plan)))
        if held := plan.restored + plan.fixed:
            ways = " or ".join(routes_for(held)) or "only a new run"
            lines.append(Content(f"All that a resume leaves out: {ways} would apply it."))
        return Content("\n").join(lines)
