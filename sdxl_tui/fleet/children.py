"""Child runs: made from a checkpoint by a plan of ``engine.routes``, given what their route keeps of it, and started."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from engine.checkpoint.describe import describe
from engine.checkpoint.manifest import LORA, TRAINABLE, verify
from engine.profile.load import read_snapshot
from engine.profile.preflight import check_inputs
from engine.profile.schema import Profile
from engine.routes.plan import ChildPlan
from engine.routes.route import Route
from engine.run.create import Inheritance, create_run, give_start
from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from engine.run.liveness import RunState, assess
from engine.run.records import Parent, RunRecord
from sdxl_tui.fleet.ask_engine import ask_engine
from sdxl_tui.fleet.launch import start_new
from sdxl_tui.workspace import Workspace


@dataclass(frozen=True)
class ResizeReport:
    """What of a LoRA's modules was kept at another rank."""

    modules: int
    least: float
    """Share of the Frobenius norm that the worst module kept, in [0, 1]."""
    worst: str
    """That module."""

    @property
    def sentence(self) -> str:
        """For a person."""
        return (
            f"{self.modules} modules resized; each kept at least {self.least:.1%} of its norm (least in {self.worst})."
        )

    @classmethod
    def read(cls, report: dict[str, Any]) -> Self:
        """From the engine's report."""
        worst = min(report["modules"], key=lambda module: float(module["frobenius"]))
        return cls(len(report["modules"]), float(worst["frobenius"]), str(worst["module"]))


def start_child(
    workspace: Workspace, plan: ChildPlan, *, told: Callable[[ResizeReport], None] | None = None
) -> RunDirectory:
    """Start the run of ``plan``; returns once it runs. Arguments and errors are those of ``make_child``."""
    return start_new(make_child(workspace, plan, told=told))


def make_child(
    workspace: Workspace, plan: ChildPlan, *, told: Callable[[ResizeReport], None] | None = None
) -> RunDirectory:
    """The run of ``plan``, not started. told: hears what a resize has kept.

    The child gets its own copy of what it goes on with. Raises ``CheckpointError`` if the checkpoint is damaged, ``UserError``
    if its weights cannot be resized, ``ProfileError``, ``WorkspaceError`` or ``RunError`` as a launch does; nothing is left
    behind then.
    """
    folder = plan.checkpoint.folder
    summary = describe(folder)
    check_inputs(plan.profile)
    workspace.create()
    with inheritance(plan, told) as inherits:
        return create_run(
            workspace.runs,
            plan.profile,
            source=None,
            parent=Parent(summary.run_id, folder.name, summary.step, plan.route.value, summary.attempt or None),
            inherits=inherits,
        )


def make_waiting_child(workspace: Workspace, plan: ChildPlan) -> RunDirectory:
    """The run of ``plan``, whose parent has yet to finish: it is given what that leaves when it starts.

    Raises ``ProfileError``, ``WorkspaceError`` or ``RunError`` as a launch does.
    """
    check_inputs(plan.profile)
    workspace.create()
    parent = Parent(plan.checkpoint.run_id, "", plan.checkpoint.step, plan.route.value)
    return create_run(workspace.runs, plan.profile, source=None, parent=parent)


@contextlib.contextmanager
def inheritance(plan: ChildPlan, told: Callable[[ResizeReport], None] | None = None) -> Iterator[Inheritance]:
    """What the child of ``plan`` is given; see ``inherited``. Raises ``CheckpointError`` where a byte of it is damaged."""
    verify(plan.checkpoint.folder, digests=True)
    with inherited(plan.route, plan.checkpoint.folder, plan.profile, told) as inherits:
        yield inherits


@contextlib.contextmanager
def inherited(
    route: Route, checkpoint: Path, profile: Profile, told: Callable[[ResizeReport], None] | None = None
) -> Iterator[Inheritance]:
    """What a child that trains ``profile`` is given of ``checkpoint``. Resized weights are made for the while; that takes
    seconds, and ``told`` hears what was kept of them.
    """
    if route is not Route.RESIZE:
        keeps_state = route.keeps_state
        yield Inheritance(checkpoint=checkpoint) if keeps_state else Inheritance(weights=checkpoint / TRAINABLE)
        return
    with tempfile.TemporaryDirectory(prefix="sdxl-tui-") as scratch:
        resized = Path(scratch) / LORA
        report = resize(checkpoint / LORA, profile, resized)
        if told is not None:
            told(report)
        yield Inheritance(lora=resized)


def resize(lora: Path, profile: Profile, target: Path) -> ResizeReport:
    """Write ``lora`` at the rank and alpha of ``profile``; the report on what each module kept."""
    network = profile.network
    words = ["--rank", str(network.rank), "--alpha", repr(network.alpha), "--dtype", "fp32"]
    return ResizeReport.read(ask_engine("resize", str(lora), "--output", str(target), *words))


def take_over(run: RunDirectory) -> None:
    """Give a child that was made before its parent had finished what that has left; nothing is done for any other run.

    The caller holds the run's lock. Raises ``RunError`` while the parent has not finished, ``CheckpointError`` if what it
    left is damaged.
    """
    record = RunRecord.read(run.record)
    if record is None or record.parent is None or record.parent.checkpoint:
        return
    wanted = record.parent
    parent = RunDirectory(run.path.parent / wanted.run)
    state = assess(parent).state if parent.path.is_dir() else None
    if state is not RunState.FINISHED:
        what = "is gone" if state is None else f"is {state.value}"
        hint = f"To take this one out: sdxl-tui queue remove {run.id}"
        raise RunError(
            f"begins with what {wanted.run} leaves when it finishes, and that {what}", where=run.id, hint=hint
        )
    folders = parent.checkpoint_folders()
    if not folders:
        raise RunError(f"begins with the last checkpoint of {wanted.run}, and there is none", where=run.id)
    verify(folders[-1], digests=True)
    left = describe(folders[-1])
    if left.steps_left:
        what = (
            f"begins at the end of {wanted.run}, whose last checkpoint is of step {left.step:,} of {left.total_steps:,}"
        )
        raise RunError(what, where=run.id, hint=f"To take this one out: sdxl-tui queue remove {run.id}")
    with inherited(Route(wanted.route), folders[-1], read_snapshot(run.profile)) as inherits:
        give_start(run, inherits, Parent(wanted.run, folders[-1].name, left.step, wanted.route, left.attempt or None))
