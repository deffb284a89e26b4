"""What a resume from a checkpoint would do, or why it cannot be done and what to do instead; looked up before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.checkpoint.describe import CheckpointSummary, resume_candidates
from engine.errors import UserError
from engine.routes.moved import Tell, tell_nobody
from engine.run.layout import CHECKPOINT_NAME, RunDirectory
from engine.run.liveness import Liveness, assess
from sdxl_tui.fleet.edits import Edits, look_for_edits


@dataclass(frozen=True)
class ResumeOutlook:
    """Seen from one checkpoint of a run."""

    checkpoint: CheckpointSummary
    obstacle: str
    """Why it cannot be resumed now, in a sentence; empty if it can."""
    instead: str
    """What to do instead; empty if it can be resumed."""
    continuing_helps: bool
    """Whether continuing with a new LR is a way on."""
    next_lrs: dict[str, float]
    """By group, the rate of the first step after the resume; none at the schedule's end."""
    reached: int
    """The furthest step the run has been at."""
    replaced: tuple[int, ...]
    """Steps of the later checkpoints, which are replaced as the run reaches them again."""
    edits: Edits | None = None
    """What has been edited since; None where that cannot be said."""
    unsaid: str = ""
    """Why not, in a sentence."""

    @property
    def is_possible(self) -> bool:
        """It can be resumed, if need be with what is stored."""
        return not self.obstacle

    @property
    def decision(self) -> Literal["", "keep_stored", "as_launched"]:
        """What has to be agreed to before a resume: that stored values are kept, or that no edit counts; empty if nothing."""
        if self.edits is None:
            return "as_launched" if self.unsaid else ""
        if self.edits.plan.fixed:
            return "as_launched"
        return "keep_stored" if self.edits.plan.restored else ""


def look_ahead(
    run: RunDirectory, checkpoint: CheckpointSummary, damage: str = "", tell: Tell = tell_nobody
) -> ResumeOutlook:
    """Look at the run now; reads a few small files, and what a changed path leads to.

    damage: what comparing digests has found, if that was done. tell: hears of comparisons that take a while.
    """
    liveness = assess(run)
    later = tuple(step for folder in run.checkpoint_folders() if (step := _step(folder.name)) > checkpoint.step)
    said = liveness.status.step if liveness.status else 0
    obstacle, instead, continuing_helps = _obstacle(run, checkpoint, damage, liveness)
    edits, unsaid = (None, "") if obstacle else _edits(run, checkpoint, tell)
    return ResumeOutlook(
        checkpoint,
        obstacle,
        instead,
        continuing_helps,
        {group: rates[0] for group, rates in checkpoint.next_lrs(1).items() if rates},
        max(checkpoint.step, said, *later) if later else max(checkpoint.step, said),
        later,
        edits,
        unsaid,
    )


def _edits(run: RunDirectory, checkpoint: CheckpointSummary, tell: Tell) -> tuple[Edits | None, str]:
    try:
        return look_for_edits(run, checkpoint.folder, tell=tell), ""
    except UserError as error:
        return None, f"{error.where}: {error.what}" if error.where else error.what


def _step(name: str) -> int:
    found = CHECKPOINT_NAME.match(name)
    return int(found.group(1)) if found else -1


def _obstacle(
    run: RunDirectory, checkpoint: CheckpointSummary, damage: str, liveness: Liveness
) -> tuple[str, str, bool]:
    """(obstacle, what to do instead, whether continuing helps)"""
    if not checkpoint.is_whole or damage:
        whole = next((folder for folder in resume_candidates(run) if folder != checkpoint.folder), None)
        instead = f"Resume from {whole.name} instead." if whole else "The run has no other whole checkpoint."
        return f"{checkpoint.name} is damaged: {damage or checkpoint.integrity}.", instead, False
    if liveness.alive:
        instead = "Stop it first, or continue from this checkpoint in a child run."
        return f"The run is alive ({liveness.state}): one engine works on a run at a time.", instead, True
    if not checkpoint.steps_left:
        instead = "To train on: continue with a new LR and schedule, or extend with more steps; each is a child run."
        return (
            f"All {checkpoint.total_steps:,} steps of its schedule are done: nothing is left to resume.",
            instead,
            True,
        )
    return "", "", False
