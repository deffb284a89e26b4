"""What is known of a watched run beyond its row, and why it is not steered."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import UserError
from sdxl_tui.terminal.clean import clean

if TYPE_CHECKING:
    from sdxl_tui.fleet.runs import RunSummary

FRESH_SECONDS: Final = 300.0
"""A run whose files were written within these may well be training."""
ONLY_WATCHED: Final = (
    "is another trainer's run, only watched here: "
    "it has no log, profile or checkpoints of ours, and is never written to"
)


@dataclass(frozen=True)
class SavedFile:
    """A training state or a LoRA file that was saved while the run trained."""

    path: Path
    is_state: bool
    changed: float
    """Unix seconds."""


@dataclass(frozen=True)
class Watched:
    """Of a run of another trainer: where it is watched, and what it saved."""

    folder: Path
    """Its event files lie in it."""
    shown: Path
    """The folder that was added and holds it."""
    files: tuple[Path, ...]
    """Event files, the first written first."""
    written: float
    """When the newest was last written: Unix seconds."""
    bytes: int
    """Of all event files."""
    saved: tuple[SavedFile, ...] = ()
    """The newest first."""

    @property
    def shown_as(self) -> str:
        """Where its event files lie, from the folder that was added; safe to print."""
        return clean(str(Path(self.shown.name) / self.folder.relative_to(self.shown)))

    @property
    def saved_words(self) -> str:
        """``saved fox-step00001000.safetensors and 2 more``; safe to print."""
        if not self.saved:
            return "nothing saved yet"
        more = f" and {len(self.saved) - 1} more" if len(self.saved) > 1 else ""
        return f"saved {clean(self.saved[0].path.name)}{more}"

    @property
    def startable(self) -> Path | None:
        """What a training here can start from: the newest that was saved."""
        return self.saved[0].path if self.saved else None


class WatchedRunError(UserError):
    """Something was asked of a watched run that only a run of our own can do."""

    run: RunSummary
    """The watched run."""


def refusal(run_id: str, watched: Watched, program: str = "sdxl-tui") -> WatchedRunError:
    """Why a watched run cannot be changed, and what can be done instead. program: how the command line begins."""
    newest = watched.startable
    start = "FILE" if newest is None else shlex.quote(clean(str(newest)))
    when = "Train on from what it saved" if newest else "Train on from a state or LoRA file of it, once there is one"
    return WatchedRunError(
        ONLY_WATCHED,
        where=clean(run_id),
        hint=f"Stop or steer it where it was started. {when}: {program} continue {start} --lr LR",
    )
