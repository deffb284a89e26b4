"""What the dialogs that make a child run have in common: what is typed is planned at once and shown, then made and started.

Which ways there are, what is planned and how it is made is each dialog's own: ``way_on_dialog`` goes on from a checkpoint of
ours, ``file_dialog`` from a state of sd-scripts or a LoRA file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Generic, TypeVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from engine.errors import UserError
from engine.routes.plan import Plan
from engine.routes.rates import is_factor, read_rate
from engine.routes.route import Route, RouteError
from engine.run.layout import RunDirectory
from engine.schedule import SHAPES, Kind, Schedule, settings_of
from sdxl_tui.fleet.children import ResizeReport
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_lr
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.effect_table import EffectTable, jump_sentence, needs_warmup
from sdxl_tui.widgets.labelled_field import LabelledField
from sdxl_tui.widgets.schedule_plot import Curve, Mark, SchedulePlot
from sdxl_tui.workspace import Workspace

MUTED: Final = "$foreground 60%"
FIELD_OF: Final = {
    "optimizer.lr": "#lr-field",
    "schedule.kind": "#kind-field",
    "schedule.warmup_steps": "#warmup-field",
    "training.steps": "#steps-field",
    "schedule.tail_steps": "#steps-field",
    "network.rank": "#rank-field",
    "network.alpha": "#alpha-field",
    "when": "#when-field",
}
P = TypeVar("P", bound=Plan)
BESIDE: Final = 60
"""Letters that have room beside a field."""
NOT_TYPED: Final = -1
"""Stands for a number that cannot be read, which its field says."""


def shape_words(stored: Schedule, kind: str) -> str:
    """What shapes a schedule of ``kind`` besides the warmup, with the values a continuation keeps: ``cycles=3``."""
    kept = settings_of(stored)
    names = [name for name in SHAPES[Kind(kind)] if name != "warmup_steps"]
    return " ".join(f"{name}={_word(kept[name])}" for name in names)


def _word(value: object) -> str:
    if value in (None, ""):
        return "…"
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")


class ChildDialog(Dialog[RunDirectory | None], Generic[P]):
    """Fields, the curves, what changes and what is kept. Dismissed with the run that was started, or with None."""

    DEFAULT_CSS = """
    ChildDialog {
        align: center middle;
        & > #box {
            width: 100%; max-width: 132; height: 100%; max-height: 40;
            border: round $primary; border-title-style: bold; border-title-color: $foreground;
            border-subtitle-color: $foreground 60%;
            background: $surface; padding: 0 1;
        }
        #grid { layout: grid; grid-size: 1; grid-rows: auto 1fr auto auto; height: 1fr; }
        #fields { height: auto; }
        #verdict { height: auto; }
        #shape { width: 40; }
        SchedulePlot { min-height: 6; }
        #effects { height: auto; max-height: 6; padding-top: 1; scrollbar-size-vertical: 1; }
        #kept { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
        #failure { height: auto; color: $error; display: none; }
        #failure.-said { display: block; }
        KeyBar { background: $surface; padding: 0; }
        &.-wide #box { padding: 1 2 0 2; height: 90%; max-height: 34; }
        &.-wide #grid { grid-size: 2; grid-columns: 56 1fr; grid-rows: auto 1fr auto; grid-gutter: 1 2; }
        &.-wide #plot { row-span: 2; }
        &.-wide #effects { column-span: 2; max-height: 14; }
        &.-wide #kept { padding-top: 1; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - Textual declares it so
    AUTO_FOCUS: ClassVar[str | None] = "#lr"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,ctrl+s", "start", "Start the child run", key_display="⏎", priority=True),
        Binding("ctrl+r", "warm_up", "Add the warmup", key_display="^r"),
        Binding("escape", "dismiss(None)", "Back"),
        Binding("pagedown", "read_on(1)", "Read on", key_display="pgdn", priority=True),
        Binding("pageup", "read_on(-1)", show=False, priority=True),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.plan: P | None = None
        self._starting = False

    def on_mount(self) -> None:
        """Whether there is more to read shows when what changes has been laid out."""
        effects = self.query_one("#effects", VerticalScroll)
        self.watch(effects, "virtual_size", self._laid_out, init=False)

    def _laid_out(self) -> None:
        self.call_after_refresh(self.refresh_bindings)

    # What each dialog has of its own

    @property
    def way(self) -> Route:
        """The route that is chosen."""
        return Route(self.query_one("#way", Choice).value)

    def make_plan(self) -> P | None:
        """The plan of what stands in the fields; None where one cannot be read. Raises ``UserError``."""
        raise NotImplementedError

    def drawn(self, plan: P) -> tuple[Sequence[Curve], Sequence[Mark]]:
        """The curves of a plan, and the steps worth pointing at."""
        raise NotImplementedError

    def said_of(self, plan: P) -> Content:
        """What was left of the schedule before."""
        raise NotImplementedError

    def start_plan(self, plan: P, told: Callable[[ResizeReport], None]) -> RunDirectory:
        """Make the run and start it; called in a thread. Raises ``UserError`` or ``OSError``."""
        raise NotImplementedError

    # Reading what is typed

    @on(Input.Changed)
    @on(Choice.Changed)
    def _typed(self) -> None:
        self.update_plan()

    def update_plan(self) -> None:
        """Plan what stands in the fields; errors go beside the fields they are about."""
        self.plan = None
        self.fail("")
        for field in self.query(LabelledField):
            field.note("")
        try:
            self.plan = self.make_plan()
        except RouteError as error:
            self.show_error(error.field, error.what)
        except UserError as error:
            self.fail(str(error))
        self._show_plan()

    def typed_rate(
        self,
        name: str,
        *,
        current: float | None,
        base: float | None,
        source: str = "the checkpoint",
        text: str | None = None,
    ) -> float | None:
        """The rate in a field; None where it is none. current, base, source: as ``read_rate``'s. text: a part of what stands
        in the field.
        """
        field = self.query_one(f"#{name}-field", LabelledField)
        text = self.query_one(f"#{name}", Input).value if text is None else text
        try:
            rate = read_rate(text, current=current, base=base, source=source)
        except ValueError as error:
            field.error(clean(str(error)))
            if len(str(error)) > BESIDE:
                self.fail(str(error))
            return None
        stood = "where it stood is not stored" if current is None else f"stood at {format_lr(current)}"
        field.note(f"= {format_lr(rate)}" if is_factor(text) else stood)
        return rate

    def typed_alpha(self) -> float | None:
        """The number in the field, None where it is empty, ``NOT_TYPED`` where it is none."""
        text = self.query_one("#alpha", Input).value.strip()
        try:
            return float(text) if text else None
        except ValueError:
            self.show_error("network.alpha", "must be a number above 0")
            return NOT_TYPED

    def typed_count(self, name: str, note: str) -> int | None:
        """The number in a field, None where it is empty, ``NOT_TYPED`` where it is none. note: said beside it."""
        text = self.query_one(f"#{name}", Input).value.strip().replace(",", "").replace("_", "")
        field = self.query_one(f"#{name}-field", LabelledField)
        if text and not text.isdecimal():
            field.error(f"must be a whole number{' of steps' * (name != 'rank')}")
            return NOT_TYPED
        field.note(note)
        return int(text[:12]) if text else None

    # Showing

    def show_error(self, path: str, text: str) -> None:
        """Beside the field it is about, if that is on the screen."""
        field = FIELD_OF.get(path) or ("#shape-field" if path.startswith("schedule") else None)
        if field is None or not self.query_one(field).display:
            self.fail(text)
        else:
            self.query_one(field, LabelledField).error(clean(text))

    def _show_plan(self) -> None:
        """Curve, verdict and effects of the plan; without one the curves stay as they were."""
        self.refresh_bindings()
        plan, verdict = self.plan, self.query_one("#verdict", Static)
        if plan is None:
            verdict.update(Content.styled("Nothing can be started yet.", MUTED))
            return
        self.fail("")
        lines = [jump_sentence(plan), *(Content.styled(warning, "bold $warning") for warning in plan.warnings)]
        if needs_warmup(plan):
            advised = format_count(plan.suggested_warmup)
            lines.append(
                Content.assemble(("ctrl+r", "bold $warning"), f" adds a warmup of {advised} steps to ease it in")
            )
        lines.append(self.said_of(plan))
        verdict.update(Content("\n").join(lines))
        curves, marks = self.drawn(plan)
        self.query_one(SchedulePlot).show(curves, marks)
        self.query_one(EffectTable).show(plan.effects)

    def fail(self, text: str) -> None:
        """What stands in the way, in a line below; empty where nothing does."""
        failure = self.query_one("#failure", Static)
        failure.update(Content(clean(text, lines=True)))
        failure.set_class(bool(text), "-said")

    # Starting

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The footer offers what can be done now."""
        if action == "start":
            return True if self.plan is not None and not self._starting else None
        if action == "warm_up":
            return self.plan is not None and needs_warmup(self.plan)
        if action == "read_on":
            return self.query_one("#effects", VerticalScroll).max_scroll_y > 0
        return True

    def action_read_on(self, way: int) -> None:
        """Scroll what changes, where not all of it is seen."""
        shown = self.query_one("#effects", VerticalScroll)
        shown.scroll_relative(y=way * max(1, shown.size.height - 1), animate=False)

    def action_warm_up(self) -> None:
        """Take the advised warmup."""
        if self.plan is not None and self.plan.suggested_warmup is not None:
            self.query_one("#warmup", Input).value = str(self.plan.suggested_warmup)

    def action_start(self) -> None:
        """Make the child run and start it."""
        if self.plan is not None and not self._starting:
            self._starting = True
            first = "Resizing the weights, then starting" if self.plan.route is Route.RESIZE else "Starting"
            doing = f"{first} the child run …"
            self.query_one("#verdict", Static).update(Content.styled(doing, "$warning"))
            self._start(self.plan)

    @work(thread=True, exclusive=True)
    def _start(self, plan: P) -> None:
        try:
            child = self.start_plan(plan, self._tell_kept)
        except (UserError, OSError) as error:
            self.app.call_from_thread(self._start_failed, str(error))
        else:
            self.app.call_from_thread(self.dismiss, child)

    def _tell_kept(self, report: ResizeReport) -> None:
        """What of the weights a resize has kept; called in a thread."""
        self.app.call_from_thread(self.notify, clean(report.sentence), title="Resized", markup=False, timeout=10)

    def _start_failed(self, reason: str) -> None:
        self._starting = False
        self._show_plan()
        self.fail(reason)
