"""Two checkpoints side by side: both curves in one plot, and a table of everything that differs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Static

from engine.errors import UserError
from sdxl_tui.fleet.compared import Side
from sdxl_tui.fleet.comparison import Comparison, compare
from sdxl_tui.screens.place import Place, PlaceName
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.comparison_table import comparison_table
from sdxl_tui.widgets.fact_lines import MUTED
from sdxl_tui.widgets.family_rows import MARKS
from sdxl_tui.widgets.schedule_plot import Curve, Mark, SchedulePlot, other_curve, stored_curve

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

STYLES: Final = ("$primary", "$accent")


class ComparePage(Place):
    """Read once in a thread: checkpoints do not change."""

    place: ClassVar[PlaceName] = PlaceName.CHECKPOINTS
    topic: ClassVar[str] = "Comparing two checkpoints"
    about: ClassVar[tuple[str, ...]] = (
        "Only what differs is listed: where they stand, the schedule, the adapter, the optimizer's groups, the settings of the "
        "profiles they were trained with. A dash: the other one has no such thing.",
        "Each curve stands on the steps of its own schedule, bright as far as the checkpoint has come. An adaptive optimizer's "
        "is multiplied by the d that the checkpoint stores.",
        "A state or LoRA file of sd-scripts is compared by what is stored in it. Its curve is drawn where the metadata beside it "
        "name one that its rate stands on; otherwise only where it stands.",
    )
    DEFAULT_CSS = """
    ComparePage {
        #comparison { padding: 0 1; height: 1fr; layout: vertical; }
        #names { height: 3; }
        #table-scroll { height: 1fr; scrollbar-size-vertical: 1; }
        #table { height: auto; }
        SchedulePlot { height: 9; margin-bottom: 1; }
        &.-wide #comparison {
            layout: grid; grid-size: 2; grid-columns: 3fr 2fr; grid-rows: 3 1fr; grid-gutter: 0 3; padding: 1 2;
        }
        &.-wide #names { column-span: 2; }
        &.-wide SchedulePlot { height: 1fr; max-height: 26; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "swap", "Swap sides"),
        Binding("j,down", "scroll(1)", "Down", show=False),
        Binding("k,up", "scroll(-1)", "Up", show=False),
        Binding("escape", "app.back", "Back", show=True),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (140, "-wide")]  # noqa: RUF012 - Textual declares it so

    def __init__(self, workspace: Workspace, first: Path, second: Path) -> None:
        super().__init__(workspace)
        self._folders = (first, second)
        self._found: Comparison | None = None
        self._names, self._table, self._plot = Static(id="names"), Static(id="table"), SchedulePlot()

    def compose_body(self) -> Iterable[Widget]:
        scroll = VerticalScroll(self._table, id="table-scroll")
        yield Container(self._names, self._plot, scroll, id="comparison")

    def on_mount(self) -> None:
        """Read, and put the table first where it stands beside the plot."""
        self._names.update(Content.styled("Reading …", MUTED))
        self.query_one("#table-scroll").focus()
        self._read()

    def on_resize(self, event: Resize) -> None:
        """The table's columns follow the width."""
        self.call_after_refresh(self._write)

    @work(thread=True, exclusive=True, group="compare")
    def _read(self) -> None:
        try:
            found = compare(*self._folders)
        except (UserError, OSError) as error:
            self.app.call_from_thread(self._fail, str(error))
            return
        self.app.call_from_thread(self._show, found)

    def _fail(self, reason: str) -> None:
        self._names.update(Content.styled(clean(reason, lines=True), "$error"))

    def _show(self, found: Comparison) -> None:
        self._found = found
        self._names.update(Content("\n").join(map(self._headline, MARKS, STYLES, (found.first, found.second))))
        one, other = found.first, found.second
        curves = [*_curve(other, second=True), *_curve(one, second=False)]
        labels = ("A", "B") if one.stored.step != other.stored.step else ("A, B", "A, B")
        marks = [
            Mark(side.stored.step, _rate_at(side, side.stored.step), f"{label} {format_count(side.stored.step)}")
            for side, label in ((other, labels[1]), (one, labels[0]))
            if side.stored.step is not None
        ]
        self._plot.display = bool(curves)
        if curves:
            self._plot.show(curves, marks)
        self._write()

    @staticmethod
    def _headline(mark: str, style: str, side: Side) -> Content:
        step = "step not stored" if side.stored.step is None else f"step {format_count(side.stored.step)}"
        total = f" of {format_count(side.schedule.total_steps)}" if side.schedule else ""
        return Content.assemble(
            (f"{mark}  ", f"bold {style}"),
            (clean(side.name), "bold"),
            (" sd-scripts" if side.is_foreign else "", MUTED),
            (f" · {step}{total}", MUTED),
            (f" · {clean(side.schedule_said)}", MUTED),
        )

    def _write(self) -> None:
        if self._found is not None:
            self._table.update(
                comparison_table(self._found, self.query_one("#table-scroll").content_size.width, STYLES)
            )

    def action_swap(self) -> None:
        """A becomes B."""
        self._folders = (self._folders[1], self._folders[0])
        self._read()

    def action_scroll(self, by: int) -> None:
        """By a line."""
        self.query_one("#table-scroll").scroll_relative(y=by, animate=False)


def _curve(side: Side, *, second: bool) -> tuple[Curve, ...]:
    """Its curve as far as it is known; a place alone where only the rate there is stored."""
    step = side.stored.step
    if step is None:
        return ()
    if side.schedule is not None:
        return (other_curve if second else stored_curve)(side.schedule, side.base_lr, step)
    rate = side.stored.lr
    return () if rate is None else (Curve(lambda at: rate, step, step, "other" if second else "done"),)


def _rate_at(side: Side, step: int) -> float:
    return side.schedule.lr(step, side.base_lr) if side.schedule else side.stored.lr or 0.0
