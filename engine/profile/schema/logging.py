"""The profile's ``[logging]``: other programs that get the metrics, too."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.profile.schema.section import APPLIED, Section
from engine.profile.setting import Setting


class Logging(Section):
    """Other programs that get the metrics and samples, beside the run's own files."""

    trackers: Annotated[
        tuple[str, ...],
        Field(strict=False),
        Setting(
            "Trackers to log to: tensorboard, wandb; none turns it off.",
            APPLIED,
            detail="tensorboard writes event files into the run's own folder (runs/<id>/tensorboard) and needs the extra "
            "sdxl-tui[tensorboard]. wandb sends them to Weights & Biases and needs sdxl-tui[wandb]; the key comes from "
            "wandb login or WANDB_API_KEY, never from a profile, and WANDB_MODE=offline keeps everything on the box. "
            "A tracker that fails never ends a run.",
            aliases=("log_with", "report_to"),
        ),
    ] = ()
    project: Annotated[
        str,
        Field(min_length=1, max_length=128),
        Setting("Project that runs are filed under at wandb.", APPLIED, aliases=("wandb_project", "log_tracker_name")),
    ] = "sdxl-tui"
