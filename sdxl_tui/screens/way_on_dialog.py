"""Train on from a checkpoint in a child run: the way is chosen, what is typed is planned at once and shown before it is made.

The plan is ``engine.routes``', the child run is made and started by ``sdxl_tui.fleet``. Dismissed with the child run, or with
None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from engine.checkpoint.describe import CheckpointSummary
from engine.errors import UserError
from engine.profile.load import read_snapshot
from engine.profile.schema import Profile
from engine.routes.child import read_shape
from engine.routes.continuing import plan_continuation
from engine.routes.effects import Effect
from engine.routes.extending import Extension, plan_extension
from engine.routes.forking import Fork, plan_fork
from engine.routes.left_out import can_take
from engine.routes.plan import ChildPlan, stands_at
from engine.routes.route import Route, RouteError
from engine.run.layout import RunDirectory
from engine.schedule import Kind
from sdxl_tui.fleet.children import ResizeReport, start_child
from sdxl_tui.fleet.edits import EditedSince, LeftOut, edited_since
from sdxl_tui.fleet.queue.changes import Turn
from sdxl_tui.fleet.route_commands import assigned, has_option
from sdxl_tui.screens.child_dialog import MUTED, NOT_TYPED, ChildDialog, shape_words
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_duration, format_lr, format_percent
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.effect_table import EffectTable, kept_and_new
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.labelled_field import LabelledField
from sdxl_tui.widgets.schedule_plot import Curve, Mark, SchedulePlot, seam_curves
from sdxl_tui.workspace import Workspace

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
NOW, QUEUED, AT_THE_END = WHENS = ("now", "queued", "finish first")
WHEN_NOTES: Final = {
    NOW: "",
    QUEUED: "when its turn has come and devices are free",
    AT_THE_END: "the steps that are left come first",
}


class WayOnDialog(ChildDialog[ChildPlan]):
    """LR, schedule, warmup and steps of the child; the old curve and the new one; what changes and what is kept."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+t", "take_edits", "Take the edits", key_display="^t")]

    def __init__(
        self,
        workspace: Workspace,
        checkpoint: CheckpointSummary,
        *,
        way: Route = Route.CONTINUE,
        steps_per_second: float | None = None,
    ) -> None:
        super().__init__(workspace)
        self._first_way = way
        self.checkpoint = checkpoint
        self.run_directory = RunDirectory(checkpoint.folder.parent.parent)
        self.steps_per_second = steps_per_second
        self.forked: tuple[ChildPlan, ...] = ()
        """The plans of a fork, where several rates were typed."""
        self._profile: Profile | None = None
        self._edited = EditedSince(None)
        self._taken: tuple[Effect, ...] = ()
        self._planned_when = NOW

    @property
    def _when(self) -> str:
        return NOW if self.way is Route.EXTEND else self.query_one("#when", Choice).value

    @property
    def begins_at(self) -> CheckpointSummary:
        """Where the child begins: here, or where the run will stand at its end."""
        return self.checkpoint.at_end() if self._when == AT_THE_END else self.checkpoint

    @property
    def _stands_at(self) -> float:
        """The rate it stands at there: what factors multiply."""
        return stands_at(self.begins_at)

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
                    start = stands_at(self.checkpoint) or self.checkpoint.groups[0].base_lr
                    yield LabelledField("LR", Input(format_lr(start), id="lr", compact=True), id="lr-field")
                    yield LabelledField("Last LR", Input(placeholder="0", id="end", compact=True), id="end-field")
                    kinds = tuple(kind.value for kind in Kind)
                    yield LabelledField("Schedule", Choice(kinds, stored.kind.value, id="kind"), id="kind-field")
                    shape = Input(placeholder=shape_words(stored, stored.kind.value), id="shape", compact=True)
                    yield LabelledField("Shape", shape, id="shape-field")
                    yield LabelledField("Warmup", Input(placeholder="0", id="warmup", compact=True), id="warmup-field")
                    steps = format_count(self.checkpoint.steps_left or stored.total_steps)
                    yield LabelledField("Steps", Input(placeholder=steps, id="steps", compact=True), id="steps-field")
                    yield LabelledField("When", Choice(WHENS, NOW, id="when"), id="when-field")
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
            edited = edited_since(self.run_directory, self.checkpoint.folder)
        except (UserError, OSError) as error:
            self.app.call_from_thread(self.fail, f"the parent's profile cannot be read: {error}")
        else:
            self.app.call_from_thread(self._take_profile, profile, edited)

    def _take_profile(self, profile: Profile, edited: EditedSince) -> None:
        self._profile, self._edited = profile, edited
        self.update_plan()

    @on(Choice.Changed, "#way")
    @on(Choice.Changed, "#how")
    @on(Choice.Changed, "#when")
    def _turned(self) -> None:
        self._show_way()
        self.update_plan()

    def _show_way(self) -> None:
        """Only the fields that the way has."""
        way, shown = self.way, set(SHOWN_FIELDS[self.way])
        if way is Route.EXTEND:
            how = Extension(self.query_one("#how", Choice).value)
            shown -= set() if how in {*FALLING, Extension.CONSTANT} else {"lr"}
            shown -= set() if how in FALLING else {"end"}
        for name in ("rank", "alpha", "how", "lr", "end", "kind", "shape", "warmup", "steps"):
            self.query_one(f"#{name}-field").display = name in shown
        self.query_one("#when-field").display = way is not Route.EXTEND
        self.query_one("#box").border_title = Content(f" Train on: {WAY_NOTES[way]} ")
        self.query_one("#kept", Static).update(kept_and_new(way))
        stored = self.checkpoint.schedule
        steps = stored.total_steps // 4 or 1 if way is Route.EXTEND else self.begins_at.steps_left or stored.total_steps
        self.query_one("#steps", Input).placeholder = format_count(steps)

    def make_plan(self) -> ChildPlan | None:
        self._planned_when = self._when
        if self._profile is None:
            return None
        return self._extension(self._profile) if self.way is Route.EXTEND else self._continuation(self._profile)

    def _continuation(self, profile: Profile) -> ChildPlan | None:
        self.forked = ()
        self.query_one("#when-field", LabelledField).note(WHEN_NOTES[self._when])
        lrs, warmup, steps = self._typed_rates(), self._typed_count("warmup"), self._typed_count("steps")
        resizes = self.way is Route.RESIZE
        rank, alpha = (self._typed_count("rank"), self.typed_alpha()) if resizes else (None, None)
        kind, shape = self.query_one("#kind", Choice).value, self.query_one("#shape", Input)
        shape.placeholder = shape_words(self.checkpoint.schedule, kind)
        if None in lrs or NOT_TYPED in (alpha, warmup, steps, rank):
            return None
        if self._when == AT_THE_END and not self.checkpoint.steps_left:
            raise RouteError("has no steps left to finish", field="when")
        plan = partial(
            plan_continuation,
            self.begins_at,
            profile,
            kind=kind,
            warmup_steps=warmup,
            steps=steps,
            shape=read_shape(shape.value.split()),
            rank=rank,
            alpha=alpha,
            route=self.way,
            overrides=self._overrides,
        )
        if len(lrs) == 1:
            return plan(lr=lrs[0])
        if self._when == AT_THE_END:
            raise RouteError("several rates are tried from where it stands now", field="when")
        self.forked = plan_fork(Fork(lrs=tuple(lrs)), lambda *, lr, **_: plan(lr=lr))
        return self.forked[0]

    def _typed_rates(self) -> list[float | None]:
        """The rates in the field, separated by commas; several make a fork."""
        words = self.query_one("#lr", Input).value.split(",")
        rates: list[float | None] = []
        for word in words:
            rates.append(self._typed_rate("lr", word))
            if rates[-1] is None:
                return rates
        if len(rates) > 1:
            self.query_one("#lr-field", LabelledField).note(f"{len(rates)} siblings, in the queue")
        return rates

    def _extension(self, profile: Profile) -> ChildPlan | None:
        how = Extension(self.query_one("#how", Choice).value)
        steps, asked = self._typed_count("steps"), how not in {Extension.HOLD, Extension.STRETCH}
        lr = self._typed_rate("lr") if asked else None
        written = self.query_one("#end", Input).value.strip()
        end = self._typed_rate("end") if how in FALLING and written not in {"", "0"} else None
        if (
            steps == NOT_TYPED
            or (asked and lr is None)
            or (how in FALLING and written not in {"", "0"} and end is None)
        ):
            return None
        added = steps or self.checkpoint.schedule.total_steps // 4 or 1
        return plan_extension(
            self.checkpoint, profile, steps=added, how=how, lr=lr, end_lr=end, overrides=self._overrides
        )

    @property
    def left_out(self) -> LeftOut:
        """What was edited in the run's profile since and is not in the plan."""
        plans = self.forked or ((self.plan,) if self.plan else ())
        return self._edited.left_out(plans) if plans else LeftOut((), None)

    @property
    def _overrides(self) -> tuple[str, ...]:
        """The edits that were taken over, as far as the way can have them."""
        return tuple(assigned(one) for one in self._taken if can_take(one, self.way))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Edits can be taken over where there are some that the way can have."""
        if action == "take_edits":
            return any(map(self._can_take, self.left_out.effects))
        return super().check_action(action, parameters)

    def _can_take(self, effect: Effect) -> bool:
        """The rates of single groups have no field here."""
        is_groups_own = effect.field.startswith("optimizer.") and effect.field.endswith("_lr")
        return can_take(effect, self.way) and not is_groups_own

    def action_take_edits(self) -> None:
        """Put what was edited into the fields, and what has no field into the child's profile."""
        takes = [effect for effect in self.left_out.effects if self._can_take(effect)]
        self._taken = (*self._taken, *(effect for effect in takes if not has_option(effect.field)))
        for effect in takes:
            match effect.field:
                case "optimizer.lr":
                    self.query_one("#lr", Input).value = repr(effect.new)
                case "schedule.kind":
                    self.query_one("#kind", Choice).value = str(effect.new.value)
                case "schedule.warmup_steps":
                    self.query_one("#warmup", Input).value = str(effect.new)
                case "training.steps":
                    planned = self.checkpoint.total_steps if self.way is Route.EXTEND else self.checkpoint.step
                    self.query_one("#steps", Input).value = str(max(1, effect.new - planned))
                case "network.rank" | "network.alpha":
                    self.query_one("#way", Choice).value = Route.RESIZE.value
                    self.query_one(f"#{effect.field.partition('.')[2]}", Input).value = f"{effect.new:g}"
                case _ if effect.field.startswith("schedule."):
                    shape = self.query_one("#shape", Input)
                    word = assigned(effect).removeprefix("schedule.").replace(" ", "")
                    shape.value = f"{shape.value} {word}".strip()
        self.update_plan()

    def _typed_rate(self, name: str, text: str | None = None) -> float | None:
        return self.typed_rate(name, current=self._stands_at, base=self.checkpoint.groups[0].base_lr, text=text)

    def _typed_count(self, name: str) -> int | None:
        if name == "rank":
            return self.typed_count(name, f"was {self.checkpoint.network.rank}")
        return self.typed_count(name, "steps more than planned" if self.way is Route.EXTEND else "steps")

    def drawn(self, plan: ChildPlan) -> tuple[Sequence[Curve], Sequence[Mark]]:
        plans = self.forked or (plan,)
        curves = [
            seam_curves(one.old, one.old_base_lr, one.old_step, one.new, one.new_base_lr, first_step=one.first_step)
            for one in plans
        ]
        old = curves[0][:-1]
        return (*old, *(own[-1] for own in curves)), [
            Mark(plan.old_step, plan.jump_from, f"▲ seam {format_count(plan.old_step)}")
        ]

    def said_of(self, plan: ChildPlan) -> Content:
        """What of the profile's edits is left out, what the stored schedule had left, how long finishing that would take."""
        said = self._said_of_the_schedule(plan)
        return Content("\n").join([*self._said_of_edits(), said])

    def _said_of_edits(self) -> list[Content]:
        """The edits that the child would not have, in a line."""
        left = self.left_out
        if left.problem:
            return [Content.styled(clean(f"{left.problem}; edits in it are not in the child"), "bold $warning")]
        kept = [Content.styled(one, "bold $warning") for one in left.kept]
        if not left.effects or left.source is None:
            return kept
        names = ", ".join(effect.field for effect in left.effects)
        key = ("ctrl+t", "bold $warning") if self.check_action("take_edits", ()) else ("", "")
        does = " takes them: " if key[0] else " (another way takes them): "
        count = f"{len(left.effects)} edit{'s' * (len(left.effects) > 1)}"
        return [
            *kept,
            Content.assemble(
                (clean(f"{count} in {left.source.name} not in this child. "), "bold $warning"), key, does, names
            ),
        ]

    def _said_of_the_schedule(self, plan: ChildPlan) -> Content:
        checkpoint = self.checkpoint
        if self.forked:
            names = ", ".join(format_lr(one.new_base_lr) for one in self.forked)
            return Content.styled(f"{len(self.forked)} runs from here, one for each LR: {names}", MUTED)
        if not checkpoint.steps_left:
            return Content.styled(f"The stored {checkpoint.schedule.kind.value} schedule was finished.", MUTED)
        text = f"{format_percent(checkpoint.share_done)} done; {format_count(checkpoint.steps_left)} steps left"
        if self.steps_per_second:
            text += f"; finishing it first takes about {format_duration(checkpoint.steps_left / self.steps_per_second)}"
        return Content.styled(text, MUTED)

    def start_plan(self, plan: ChildPlan, told: Callable[[ResizeReport], None]) -> RunDirectory:
        from sdxl_tui.fleet.queue.chains import end_to_wait_for, finish_then, queue_siblings  # noqa: PLC0415
        from sdxl_tui.fleet.queue.going_on import go_on  # noqa: PLC0415

        when = self._planned_when
        if when == NOW and not self.forked:
            return start_child(self.workspace, plan, told=told)
        if when == AT_THE_END:
            end_to_wait_for(self.run_directory, self.checkpoint.folder)
            child = finish_then(self.workspace, self.run_directory, plan, Turn())
        else:
            child = queue_siblings(self.workspace, self.forked or (plan,), Turn())[0]
        go_on(self.workspace)
        return child
