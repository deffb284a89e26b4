"""Train on from a checkpoint in a child run: the way is chosen, what is typed is planned at once and shown before it is made.

The plan is ``engine.routes``', the child run is made and started by ``sdxl_tui.fleet``. Dismissed with the child run, or with
None.
"""

from __future__ import annotations

from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.checkpoint.describe import CheckpointSummary
from engine.errors import UserError
from engine.profile.load import read_snapshot
from engine.profile.schema import Profile
from engine.routes.child import read_shape
from engine.routes.continuing import plan_continuation
from engine.routes.extending import Extension, plan_extension
from engine.routes.plan import ChildPlan, stands_at
from engine.routes.rates import is_factor, read_rate
from engine.routes.route import Route, RouteError
from engine.run.layout import RunDirectory
from engine.schedule import SHAPES, Kind, Schedule, settings_of
from sdxl_tui.fleet.children import ResizeReport, start_child
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_duration, format_lr, format_percent
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.effect_table import EffectTable, jump_sentence, kept_and_new, needs_warmup
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.labelled_field import LabelledField
from sdxl_tui.widgets.schedule_plot import Mark, SchedulePlot, seam_curves
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
}
WAYS: Final = (Route.CONTINUE, Route.RESCHEDULE, Route.EXTEND, Route.RESIZE)
WAY_NOTES: Final = {
    Route.CONTINUE: "weights only, all else anew",
    Route.RESCHEDULE: "moments and data go on, new LR",
    Route.EXTEND: "exactly, with more steps",
    Route.RESIZE: "weights at another rank",
}
SHOWN_FIELDS: Final = {
    Route.CONTINUE: ("lr", "kind", "shape", "warmup", "steps"),
    Route.RESCHEDULE: ("lr", "kind", "shape", "warmup", "steps"),
    Route.EXTEND: ("how", "lr", "end", "steps"),
    Route.RESIZE: ("rank", "alpha", "lr", "kind", "shape", "warmup", "steps"),
}
FALLING: Final = (Extension.LINEAR, Extension.COSINE)


def shape_words(stored: Schedule, kind: str) -> str:
    """What shapes a schedule of ``kind`` besides the warmup, with the values a continuation keeps: ``cycles=3``."""
    kept = settings_of(stored)
    names = [name for name in SHAPES[Kind(kind)] if name != "warmup_steps"]
    return " ".join(f"{name}={_word(kept[name])}" for name in names)


def _word(value: object) -> str:
    if value in (None, ""):
        return "…"
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")


class WayOnDialog(ModalScreen[RunDirectory | None]):
    """LR, schedule, warmup and steps of the child; the old curve and the new one; what changes and what is kept."""

    DEFAULT_CSS = """
    WayOnDialog {
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
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    def __init__(
        self,
        workspace: Workspace,
        checkpoint: CheckpointSummary,
        *,
        way: Route = Route.CONTINUE,
        steps_per_second: float | None = None,
    ) -> None:
        super().__init__()
        self._first_way = way
        self.workspace = workspace
        self.checkpoint = checkpoint
        self.run_directory = RunDirectory(checkpoint.folder.parent.parent)
        self.steps_per_second = steps_per_second
        self.plan: ChildPlan | None = None
        self._profile: Profile | None = None
        self._starting = False

    @property
    def _stands_at(self) -> float:
        """The rate the checkpoint stands at: what factors multiply."""
        return stands_at(self.checkpoint)

    @property
    def way(self) -> Route:
        """The route that is chosen."""
        return Route(self.query_one("#way", Choice).value)

    def compose(self) -> ComposeResult:
        stored, step = self.checkpoint.schedule, self.checkpoint.step
        with Vertical(id="box") as box:
            box.border_title = Content(" Train on from here ")
            box.border_subtitle = Content(f" {clean(self.run_directory.id)} · step {format_count(step)} ")
            with Container(id="grid"):
                with Vertical(id="fields"):
                    ways = tuple(way.value for way in WAYS)
                    yield LabelledField("Way", Choice(ways, self._first_way.value, id="way"), id="way-field")
                    network = self.checkpoint.network
                    yield LabelledField("Rank", Input(str(network.rank), id="rank", compact=True), id="rank-field")
                    alpha = Input(placeholder="keeps its ratio", id="alpha", compact=True)
                    yield LabelledField("Alpha", alpha, id="alpha-field")
                    how = Choice(tuple(how.value for how in Extension), Extension.HOLD.value, id="how")
                    yield LabelledField("LR then", how, id="how-field")
                    start = self._stands_at or self.checkpoint.groups[0].base_lr
                    yield LabelledField("LR", Input(format_lr(start), id="lr", compact=True), id="lr-field")
                    yield LabelledField("Last LR", Input(placeholder="0", id="end", compact=True), id="end-field")
                    kinds = tuple(kind.value for kind in Kind)
                    yield LabelledField("Schedule", Choice(kinds, stored.kind.value, id="kind"), id="kind-field")
                    shape = Input(placeholder=shape_words(stored, stored.kind.value), id="shape", compact=True)
                    yield LabelledField("Shape", shape, id="shape-field")
                    yield LabelledField("Warmup", Input(placeholder="0", id="warmup", compact=True), id="warmup-field")
                    steps = format_count(self.checkpoint.steps_left or stored.total_steps)
                    yield LabelledField("Steps", Input(placeholder=steps, id="steps", compact=True), id="steps-field")
                yield SchedulePlot(id="plot")
                yield Static(id="verdict")
                with VerticalScroll(id="effects", can_focus=False):
                    yield EffectTable()
                    yield Static(id="kept")
            yield Static(id="failure")
            yield KeyBar()

    def on_mount(self) -> None:
        """Read what the parent trains; the plan follows."""
        self._show_way()
        self._read_profile()

    @work(thread=True, exclusive=True)
    def _read_profile(self) -> None:
        try:
            profile = read_snapshot(self.run_directory.latest_profile)
        except (UserError, OSError) as error:
            self.app.call_from_thread(self._fail, f"the parent's profile cannot be read: {error}")
        else:
            self.app.call_from_thread(self._take_profile, profile)

    def _take_profile(self, profile: Profile) -> None:
        self._profile = profile
        self._update_plan()

    @on(Input.Changed)
    @on(Choice.Changed)
    def _typed(self) -> None:
        self._update_plan()

    @on(Choice.Changed, "#way")
    @on(Choice.Changed, "#how")
    def _turned(self) -> None:
        self._show_way()
        self._update_plan()

    def _show_way(self) -> None:
        """Only the fields that the way has."""
        way, shown = self.way, set(SHOWN_FIELDS[self.way])
        if way is Route.EXTEND:
            how = Extension(self.query_one("#how", Choice).value)
            shown -= set() if how in {*FALLING, Extension.CONSTANT} else {"lr"}
            shown -= set() if how in FALLING else {"end"}
        for name in ("rank", "alpha", "how", "lr", "end", "kind", "shape", "warmup", "steps"):
            self.query_one(f"#{name}-field").display = name in shown
        self.query_one("#box").border_title = Content(f" Train on: {WAY_NOTES[way]} ")
        self.query_one("#kept", Static).update(kept_and_new(way))
        stored = self.checkpoint.schedule
        steps = (
            stored.total_steps // 4 or 1 if way is Route.EXTEND else self.checkpoint.steps_left or stored.total_steps
        )
        self.query_one("#steps", Input).placeholder = format_count(steps)

    def _update_plan(self) -> None:
        """Plan what stands in the fields; errors go beside the fields they are about."""
        self.plan = None
        self._fail("")
        for field in self.query(LabelledField):
            field.note("")
        if self._profile is not None:
            try:
                self.plan = (
                    self._extension(self._profile) if self.way is Route.EXTEND else self._continuation(self._profile)
                )
            except RouteError as error:
                self._show_error(error.field, error.what)
            except UserError as error:
                self._fail(str(error))
        self._show_plan()

    def _continuation(self, profile: Profile) -> ChildPlan | None:
        lr, warmup, steps = self._typed_rate("lr"), self._typed_count("warmup"), self._typed_count("steps")
        resizes = self.way is Route.RESIZE
        rank, alpha = (self._typed_count("rank"), self._typed_alpha()) if resizes else (None, None)
        kind, shape = self.query_one("#kind", Choice).value, self.query_one("#shape", Input)
        shape.placeholder = shape_words(self.checkpoint.schedule, kind)
        if lr is None or alpha == -1 or -1 in (warmup, steps, rank):
            return None
        return plan_continuation(
            self.checkpoint,
            profile,
            lr=lr,
            kind=kind,
            warmup_steps=warmup,
            steps=steps,
            shape=read_shape(shape.value.split()),
            rank=rank,
            alpha=alpha,
            route=self.way,
        )

    def _extension(self, profile: Profile) -> ChildPlan | None:
        how = Extension(self.query_one("#how", Choice).value)
        steps, asked = self._typed_count("steps"), how not in {Extension.HOLD, Extension.STRETCH}
        lr = self._typed_rate("lr") if asked else None
        written = self.query_one("#end", Input).value.strip()
        end = self._typed_rate("end") if how in FALLING and written not in {"", "0"} else None
        if steps == -1 or (asked and lr is None) or (how in FALLING and written not in {"", "0"} and end is None):
            return None
        added = steps or self.checkpoint.schedule.total_steps // 4 or 1
        return plan_extension(self.checkpoint, profile, steps=added, how=how, lr=lr, end_lr=end)

    def _typed_rate(self, name: str) -> float | None:
        text, field = self.query_one(f"#{name}", Input).value, self.query_one(f"#{name}-field", LabelledField)
        try:
            rate = read_rate(text, current=self._stands_at, base=self.checkpoint.groups[0].base_lr)
        except ValueError as error:
            field.error(clean(str(error)))
            return None
        field.note(f"= {format_lr(rate)}" if is_factor(text) else f"stood at {format_lr(self._stands_at)}")
        return rate

    def _typed_alpha(self) -> float | None:
        """The number in the field, None where it is empty, -1 where it is none."""
        text = self.query_one("#alpha", Input).value.strip()
        try:
            return float(text) if text else None
        except ValueError:
            self._show_error("network.alpha", "must be a number above 0")
            return -1

    def _typed_count(self, name: str) -> int | None:
        """The number in a field, None where it is empty, -1 where it is none."""
        text = self.query_one(f"#{name}", Input).value.strip().replace(",", "").replace("_", "")
        field, unit = self.query_one(f"#{name}-field", LabelledField), "" if name == "rank" else "steps"
        if text and not text.isdecimal():
            field.error(f"must be a whole number{' of steps' * bool(unit)}")
            return -1
        if name == "rank":
            field.note(f"was {self.checkpoint.network.rank}")
        else:
            field.note("steps more than planned" if self.way is Route.EXTEND else unit)
        return int(text[:12]) if text else None

    def _show_error(self, path: str, text: str) -> None:
        field = FIELD_OF.get(path) or ("#shape-field" if path.startswith("schedule") else None)
        if field is None or not self.query_one(field).display:
            self._fail(text)
        else:
            self.query_one(field, LabelledField).error(clean(text))

    def _show_plan(self) -> None:
        """Curve, verdict and effects of the plan; without one the old curve alone."""
        self.refresh_bindings()
        plan, verdict = self.plan, self.query_one("#verdict", Static)
        if plan is None:
            verdict.update(Content.styled("Nothing can be started yet.", MUTED))
            return
        self._fail("")
        lines = [jump_sentence(plan), *(Content.styled(warning, "bold $warning") for warning in plan.warnings)]
        if needs_warmup(plan):
            advised = format_count(plan.suggested_warmup)
            lines.append(
                Content.assemble(("ctrl+r", "bold $warning"), f" adds a warmup of {advised} steps to ease it in")
            )
        lines.append(self._left())
        verdict.update(Content("\n").join(lines))
        self.query_one(SchedulePlot).show(
            seam_curves(
                plan.old, plan.old_base_lr, plan.old_step, plan.new, plan.new_base_lr, first_step=plan.first_step
            ),
            [Mark(plan.old_step, plan.jump_from, f"▲ seam {format_count(plan.old_step)}")],
        )
        self.query_one(EffectTable).show(plan.effects)

    def _left(self) -> Content:
        """What the stored schedule had left, and how long finishing it first would take."""
        checkpoint = self.checkpoint
        if not checkpoint.steps_left:
            return Content.styled(f"The stored {checkpoint.schedule.kind.value} schedule was finished.", MUTED)
        text = f"{format_percent(checkpoint.share_done)} done; {format_count(checkpoint.steps_left)} steps left"
        if self.steps_per_second:
            text += f"; finishing it first takes about {format_duration(checkpoint.steps_left / self.steps_per_second)}"
        return Content.styled(text, MUTED)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The footer offers what can be done now."""
        if action == "start":
            return True if self.plan is not None and not self._starting else None
        if action == "warm_up":
            return self.plan is not None and needs_warmup(self.plan)
        return True

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
    def _start(self, plan: ChildPlan) -> None:
        try:
            child = start_child(self.workspace, plan, told=self._tell_kept)
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
        self._fail(reason)

    def _fail(self, text: str) -> None:
        failure = self.query_one("#failure", Static)
        failure.update(Content(clean(text, lines=True)))
        failure.set_class(bool(text), "-said")
