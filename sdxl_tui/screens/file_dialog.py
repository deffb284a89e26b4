"""Train on from a state of sd-scripts or a LoRA file: continue or resize, with the settings of a profile or of the metadata.

The plan is ``engine.routes.starting``'s; whether base and data are here and fit is looked at in a thread, once for each profile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Final

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from engine.errors import UserError
from engine.foreign.starting_point import StartingPoint
from engine.profile.schema import Profile
from engine.routes.child import read_shape
from engine.routes.plan import FilePlan
from engine.routes.route import Route, RouteError
from engine.routes.starting import plan_start
from engine.run.layout import RunDirectory
from engine.schedule import Kind, Schedule
from sdxl_tui.fleet.children import ResizeReport
from sdxl_tui.fleet.file_starts import check_start, start_from_file
from sdxl_tui.fleet.profile_shelf import ProfileEntry
from sdxl_tui.screens.child_dialog import MUTED, NOT_TYPED, ChildDialog, shape_words
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_lr
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.effect_table import EffectTable, kept_and_new
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.labelled_field import LabelledField
from sdxl_tui.widgets.schedule_plot import Curve, Mark, SchedulePlot, planned_curve, seam_curves
from sdxl_tui.workspace import Workspace

WAYS: Final = (Route.CONTINUE, Route.RESIZE)
WAY_NOTES: Final = {
    Route.CONTINUE: "the file's weights, all else anew",
    Route.RESIZE: "the file's weights at another rank",
}
METADATA: Final = "(its metadata)"
"""Stands among the profiles for what the file itself tells; no profile's name has brackets."""
NAME_CELLS: Final = 40


class FileDialog(ChildDialog[FilePlan]):
    """Profile, LR, schedule, warmup and steps of the run; the stored curve, where it is known, and the new one."""

    def __init__(self, workspace: Workspace, start: StartingPoint, profiles: Sequence[ProfileEntry]) -> None:
        """profiles: those that can be chosen, the workspace's before the shipped ones."""
        super().__init__(workspace)
        self.start = start
        whole = [entry for entry in profiles if entry.profile is not None]
        self._profiles = {entry.name: entry.profile for entry in reversed(whole) if entry.profile is not None}
        own = [entry.name for entry in whole if not entry.is_shipped]
        tells = (METADATA,) if start.profile is not None else ()
        self._choices = tuple(dict.fromkeys((*own, *tells, *(entry.name for entry in whole))))
        self._schedules: dict[str, Schedule] = {}
        """By profile what it would train with nothing typed."""
        self._checked: dict[str, tuple[str, tuple[str, ...]]] = {}
        """By profile what stands in the way (empty if nothing does), and what there is to know."""

    @property
    def _chosen(self) -> str:
        return self.query_one("#profile", Choice).value

    @property
    def _given(self) -> Profile | None:
        """The profile that is chosen; None where the metadata are."""
        return self._profiles.get(self._chosen)

    def compose(self) -> ComposeResult:
        first = self._choices[0]
        begins = self._own_schedule(first)
        with Vertical(id="box") as box:
            box.border_title = Content(" Train on from here ")
            step = "" if self.start.step is None else f" · step {format_count(self.start.step)}"
            box.border_subtitle = Content(f" {clean(self.start.path.name, limit=NAME_CELLS)}{step} ")
            with Container(id="grid"):
                with Vertical(id="fields"):
                    ways = tuple(way.value for way in WAYS)
                    yield LabelledField("Way", Choice(ways, Route.CONTINUE.value, id="way"), id="way-field")
                    yield LabelledField("Profile", Choice(self._choices, first, id="profile"), id="profile-field")
                    rank = self.start.network.modules[0].rank
                    yield LabelledField("Rank", Input(str(rank or ""), id="rank", compact=True), id="rank-field")
                    alpha = Input(placeholder="keeps its ratio", id="alpha", compact=True)
                    yield LabelledField("Alpha", alpha, id="alpha-field")
                    rate = self.start.rate.now or self.start.rate.base or self._profile_lr(first)
                    yield LabelledField("LR", Input(format_lr(rate), id="lr", compact=True), id="lr-field")
                    kinds = tuple(kind.value for kind in Kind)
                    yield LabelledField("Schedule", Choice(kinds, begins.kind.value, id="kind"), id="kind-field")
                    shape = Input(placeholder=shape_words(begins, begins.kind.value), id="shape", compact=True)
                    yield LabelledField("Shape", shape, id="shape-field")
                    yield LabelledField("Warmup", Input(id="warmup", compact=True), id="warmup-field")
                    yield LabelledField("Steps", Input(id="steps", compact=True), id="steps-field")
                yield SchedulePlot(id="plot")
                yield Static(id="verdict")
                with VerticalScroll(id="effects", can_focus=False):
                    yield EffectTable(whose="profile")
                    yield Static(id="kept")
                    yield Static(id="notes")
            yield Static(id="failure")
            yield KeyBar()

    def on_mount(self) -> None:
        """Plan with the first profile, and look whether it fits."""
        self._show_way()
        self._take_profile()

    @on(Choice.Changed, "#way")
    def _turned(self) -> None:
        self._show_way()
        self.update_plan()

    @on(Choice.Changed, "#profile")
    def _take_profile(self) -> None:
        """Its schedule stands in the fields; whether its places are here is looked at once."""
        own = self._own_schedule(self._chosen)
        self.query_one("#kind", Choice).set_quietly(own.kind.value)
        self.query_one("#steps", Input).placeholder = format_count(own.total_steps)
        self.query_one("#warmup", Input).placeholder = format_count(own.warmup_steps)
        self.update_plan()
        if self.plan is not None and self._chosen not in self._checked:
            self._check(self._chosen, self.plan)

    def _show_way(self) -> None:
        """Rank and alpha where the weights are resized."""
        for name in ("rank", "alpha"):
            self.query_one(f"#{name}-field").display = self.way is Route.RESIZE
        self.query_one("#box").border_title = Content(f" Train on: {WAY_NOTES[self.way]} ")
        self.query_one("#kept", Static).update(kept_and_new(self.way))

    @work(thread=True, exclusive=True, group="check")
    def _check(self, name: str, plan: FilePlan) -> None:
        """Whether the profile's base and data are here, and whether the weights fit that base."""
        try:
            checked = ("", check_start(plan))
        except (UserError, OSError) as error:
            checked = (str(error), ())
        self.app.call_from_thread(self._take_check, name, checked)

    def _take_check(self, name: str, checked: tuple[str, tuple[str, ...]]) -> None:
        self._checked[name] = checked
        self.update_plan()

    def _own_schedule(self, name: str) -> Schedule:
        """What a profile, or the metadata, would train with nothing typed."""
        if name not in self._schedules:
            self._schedules[name] = self._read_schedule(self._profiles.get(name))
        return self._schedules[name]

    def _read_schedule(self, given: Profile | None) -> Schedule:
        try:
            return plan_start(self.start, given).new
        except UserError:  # the plan itself says why
            profile = given or self.start.profile
            return profile.schedule.over(profile.training.steps) if profile else Schedule(Kind.CONSTANT, 1)

    def _profile_lr(self, name: str) -> float:
        profile = self._profiles.get(name) or self.start.profile
        return profile.optimizer.lr_of(self.start.network.groups[0]) if profile else 1e-4

    def make_plan(self) -> FilePlan | None:
        stored, own = self.start.rate, self._own_schedule(self._chosen)
        lr = self.typed_rate("lr", current=stored.now, base=stored.base, source=f"the {self.start.kind}")
        warmup, steps = self.typed_count("warmup", "steps"), self.typed_count("steps", "steps")
        rank, alpha = None, None
        if self.way is Route.RESIZE:
            was = self.start.network.modules[0].rank
            rank, alpha = self.typed_count("rank", f"was {was}"), self.typed_alpha()
        kind, shape = self.query_one("#kind", Choice).value, self.query_one("#shape", Input)
        shape.placeholder = shape_words(own, kind)
        self._note_profile()
        if lr is None or NOT_TYPED in (warmup, steps, rank, alpha):
            return None
        plan = plan_start(
            self.start,
            self._given,
            lr=lr,
            kind=None if kind == own.kind else kind,
            warmup_steps=warmup,
            steps=steps,
            shape=read_shape(shape.value.split()),
            rank=rank,
            alpha=alpha,
            route=self.way,
        )
        reason, _ = self._checked.get(self._chosen, ("", ()))
        if reason:
            self.query_one("#notes", Static).update(_paragraphs(plan.notes))
            raise RouteError(reason)
        return plan

    def _note_profile(self) -> None:
        profile = self._given or self.start.profile
        base = f"base {clean(PurePath(profile.model.base).name, limit=NAME_CELLS)}" if profile else ""
        self.query_one("#profile-field", LabelledField).note(base)

    def drawn(self, plan: FilePlan) -> tuple[Sequence[Curve], Sequence[Mark]]:
        if plan.old is None or plan.old_step is None or plan.old_base_lr is None:
            return planned_curve(plan.new, plan.new_base_lr), ()
        stood = plan.old.lr(plan.old_step, plan.old_base_lr) if plan.jump_from is None else plan.jump_from
        curves = seam_curves(plan.old, plan.old_base_lr, plan.old_step, plan.new, plan.new_base_lr)
        return curves, [Mark(plan.old_step, stood, f"▲ seam {format_count(plan.old_step)}")]

    def said_of(self, plan: FilePlan) -> Content:
        _, remarks = self._checked.get(self._chosen, ("", ()))
        self.query_one("#notes", Static).update(_paragraphs((*remarks, *plan.notes)))
        left = self.start.steps_left
        if self.start.stored.schedule is None:
            text = f"The stored schedule is not known: {self.start.stored.said}."
        elif not left:
            text = f"The {self.start.stored.schedule.kind.value} schedule before was finished."
        else:
            text = f"{format_count(left)} steps of its {self.start.stored.schedule.kind.value} schedule were left."
        return Content.styled(clean(text), MUTED)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is started before it is known whether it fits."""
        if action == "start" and self.plan is not None and self._chosen not in self._checked:
            return None
        return super().check_action(action, parameters)

    def action_start(self) -> None:
        """Make the run and start it."""
        if self.plan is not None and self._chosen in self._checked:
            super().action_start()

    def start_plan(self, plan: FilePlan, told: Callable[[ResizeReport], None]) -> RunDirectory:
        return start_from_file(self.workspace, plan, told=told)


def _paragraphs(sentences: Sequence[str]) -> Content:
    return Content.styled("\n".join(clean(sentence) for sentence in sentences), MUTED)
