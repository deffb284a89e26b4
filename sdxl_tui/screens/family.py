"""The curves of a family on one page: loss and learning rate of a line of runs over the family's steps, its seams named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from engine.errors import UserError
from sdxl_tui.fleet.families import CheckpointShelf
from sdxl_tui.fleet.family_history import LineHistory, Link, lines_of
from sdxl_tui.fleet.run_history import Curve
from sdxl_tui.screens.place import PlaceName
from sdxl_tui.screens.reading import ReadingPlace
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_loss, format_lr
from sdxl_tui.widgets.axis import widened
from sdxl_tui.widgets.chart import Series, VLine, band
from sdxl_tui.widgets.fact_lines import MUTED
from sdxl_tui.widgets.run_charts import (
    AVERAGE,
    GROUP_STYLES,
    HELD_OUT,
    RAW,
    SEAM,
    loss_chart,
    planned_series,
    rate_chart,
    title_charts,
)

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

LOOK_SECONDS: Final = 1.0
NAMED_SEAMS: Final = 12
"""More than these are lines without names."""


class FamilyPage(ReadingPlace):
    """The line through ``run_id`` to the newest run that came of it; the family's other lines by a key."""

    place: ClassVar[PlaceName] = PlaceName.CHECKPOINTS
    topic: ClassVar[str] = "A family of runs"
    about: ClassVar[tuple[str, ...]] = (
        "One loss curve and one learning-rate curve through all runs from the first to the last: each goes on where the "
        "checkpoint it came from was saved. The axis counts the steps of the whole family.",
        "A dotted line is a seam: a continuation (with new optimizer moments), a resume (exact), a rate scaled by hand. Where "
        "several runs came from one, each way through the family is a line of its own.",
    )
    DEFAULT_CSS = """
    FamilyPage {
        #family { height: 1fr; padding: 0 1; }
        #line { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
        .panel { border: round $border-blurred; border-title-color: $foreground 60%; height: 1fr; min-height: 5; }
        #links { height: auto; max-height: 6; overflow-y: auto; scrollbar-size-vertical: 1; }
        &.-wide #links { max-height: 12; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,n", "turn(1)", "Next line"),
        Binding("left,N", "turn(-1)", "Previous line", show=False),
        Binding("escape", "app.back", "Back", show=True),
    ]
    AUTO_FOCUS: ClassVar[str | None] = ""
    """The arrows turn to another line until a chart is gone into."""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (140, "-wide")]  # noqa: RUF012 - Textual declares it so

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        super().__init__(workspace)
        self.run_id = run_id
        self._shelf = CheckpointShelf(workspace)
        self._history = LineHistory()
        self._lines: tuple[tuple[Link, ...], ...] = ()
        self._at: int | None = None
        """Which line; None until one was found that leads through the run."""
        self._line, self._links = Static(id="line"), Static(id="links")
        self._loss, self._rate = loss_chart(), rate_chart()

    def compose_body(self) -> Iterable[Widget]:
        yield Container(self._line, self._rate, self._loss, self._links, id="family")

    def on_mount(self) -> None:
        """Follow the family."""
        title_charts(self._loss, self._rate)
        self._line.update(Content.styled("Reading …", MUTED))
        self.read_every(LOOK_SECONDS)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is another line only where runs branch."""
        return len(self._lines) > 1 if action == "turn" else True

    # Reading

    def read_and_show(self) -> None:
        """List the family, follow its line, and show what is read, until there is no more."""
        worker = get_current_worker()
        try:
            roots = self._shelf.read()
        except UserError as error:
            self.app.call_from_thread(self._say_instead, str(error))
            return
        root = next((root for root in roots if any(run.key == self.run_id for run in root.walk())), None)
        if root is None:
            self.app.call_from_thread(self._say_instead, f"{self.run_id} is no longer there.")
            return
        lines = lines_of(root)
        if self._at is None:
            through = [at for at, line in enumerate(lines) if any(link.family.key == self.run_id for link in line)]
            self._at = max(through, key=lambda at: lines[at][-1].family.run.created)
        self._history.follow(lines[min(self._at, len(lines) - 1)])
        changed = True
        while changed and not worker.is_cancelled:
            self._history.poll()
            changed = not self._history.caught_up
            self.app.call_from_thread(self._show_line, lines)

    # Showing

    def _say_instead(self, text: str) -> None:
        self._line.update(Content.styled(clean(text), "$error"))

    def _show_line(self, lines: tuple[tuple[Link, ...], ...]) -> None:
        if len(lines) != len(self._lines):
            self._lines = lines
            self.refresh_bindings()
        history = self._history
        seams = history.seams()
        marks = [VLine(seam.step, seam.name if len(seams) <= NAMED_SEAMS else "", SEAM) for seam in seams]
        loss = [band("raw", history.loss(), RAW), Series("average", history.loss_avg(), AVERAGE)]
        if held_out := history.validation():
            loss.append(Series("held out", held_out, HELD_OUT))
        steps = max(history.steps, 10)
        self._loss.show(loss, v_lines=marks, x_range=widened(0, steps, 0.06))
        rates = [
            Series(name, spans, style)
            for (name, spans), style in zip(history.lr().items(), GROUP_STYLES * 9, strict=False)
        ]
        last = history.links[-1]
        curves = history.of(last).curves
        if curves.plan is not None:
            rates.insert(0, planned_series(curves.plan, curves.history, last.place(0)))
            steps = max(steps, last.place(curves.plan.schedule.total_steps))
        self._rate.show(rates, v_lines=marks, x_range=(0, steps))
        self._line.update(self._title(seams=len(seams)))
        self._links.update(Content("\n").join(self._link(link) for link in history.links))

    def _title(self, *, seams: int) -> Content:
        runs = len(self._history.links)
        which = f"line {(self._at or 0) + 1} of {len(self._lines)} · " if len(self._lines) > 1 else ""
        return Content.assemble(
            (f"{format_count(self._history.steps)} steps", "bold"),
            (f" in {runs} run{'s' * (runs > 1)} · {which}{seams} seam{'s' * (seams != 1)}", MUTED),
        )

    def _link(self, link: Link) -> Content:
        """Which steps a run made, at what rate it began, and how it ended up."""
        history = self._history.of(link).curves.history
        made = self._history.made(link)
        rates = [curve for curve in history.lr.values() if len(curve)]
        average = next((value for step, value in _backwards(history.loss_avg) if step <= made), None)
        is_here = link.family.key == self.run_id
        return Content.assemble(
            (f"{format_count(link.start + 1):>7} – {format_count(link.place(made)):<7}", MUTED),
            (clean(link.family.run.id), "bold" if is_here else ""),
            (f"  {self._began_as(link)}", "$accent"),
            ("  LR ", MUTED),
            format_lr(max(rates[0].values)) if rates else "–",
            ("  loss ", MUTED),
            format_loss(average),
        )

    def _began_as(self, link: Link) -> str:
        """The route by which a run came from the one before; of the first one, what it started from."""
        origin = link.family.run.started_from
        if origin is not None:
            return f"{origin.route} from {origin.label}"
        return clean(link.route) or "fresh"

    def action_turn(self, by: int) -> None:
        """Another line of the family."""
        if self._lines and self._at is not None:
            self._at = (self._at + by) % len(self._lines)
            self.read_soon()


def _backwards(curve: Curve) -> Iterable[tuple[int, float]]:
    return zip(reversed(curve.steps), reversed(curve.values), strict=True)
