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
from engine.profile.preflight import check_inputs
from engine.profile.schema import Network
from engine.routes.plan import ChildPlan
from engine.routes.route import Route
from engine.run.create import Inheritance, create_run
from engine.run.layout import RunDirectory
from engine.run.records import Parent
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
    """Start the run of ``plan``; returns once it runs. told: hears what a resize has kept.

    The child gets its own copy of what it goes on with. Raises ``CheckpointError`` if the checkpoint is damaged, ``UserError``
    if its weights cannot be resized, ``ProfileError``, ``WorkspaceError`` or ``RunError`` as a launch does; nothing is left
    behind then.
    """
    folder = plan.checkpoint.folder
    summary = describe(folder)
    verify(folder, digests=True)
    check_inputs(plan.profile)
    workspace.create()
    with inheritance(plan, told) as inherits:
        run = create_run(
            workspace.runs,
            plan.profile,
            source=None,
            parent=Parent(summary.run_id, folder.name, summary.step, plan.route.value),
            inherits=inherits,
        )
    return start_new(run)


@contextlib.contextmanager
def inheritance(plan: ChildPlan, told: Callable[[ResizeReport], None] | None = None) -> Iterator[Inheritance]:
    """What the child is given. Resized weights are made for the while; that takes seconds."""
    folder = plan.checkpoint.folder
    if plan.route is not Route.RESIZE:
        yield Inheritance(checkpoint=folder) if plan.route.keeps_state else Inheritance(weights=folder / TRAINABLE)
        return
    with tempfile.TemporaryDirectory(prefix="sdxl-tui-") as scratch:
        resized = Path(scratch) / LORA
        report = resize(folder / LORA, resized, plan.profile.network)
        if told is not None:
            told(report)
        yield Inheritance(lora=resized)


def resize(source: Path, target: Path, network: Network) -> ResizeReport:
    """Write the LoRA in ``source`` at the rank and alpha of ``network``; the report on what each module kept.

    Raises ``UserError`` if it cannot be resized.
    """
    words = ["--rank", str(network.rank), "--alpha", repr(network.alpha), "--dtype", "fp32"]
    return ResizeReport.read(ask_engine("resize", str(source), "--output", str(target), *words))
