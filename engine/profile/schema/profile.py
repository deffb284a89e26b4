"""The profile as a whole: its sections in order, and the rules between their fields."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from engine.profile.rules import RULES
from engine.profile.schema.captions import Captions
from engine.profile.schema.checkpoints import Checkpoints
from engine.profile.schema.dataset import Dataset
from engine.profile.schema.ema import Ema
from engine.profile.schema.launch import Launch
from engine.profile.schema.logging import Logging
from engine.profile.schema.loss import Loss
from engine.profile.schema.model import Model
from engine.profile.schema.network import GROUP_OF, Network, Part
from engine.profile.schema.optimizer import Optimizer
from engine.profile.schema.precision import Precision
from engine.profile.schema.samples import Samples
from engine.profile.schema.schedule import Schedule
from engine.profile.schema.section import APPLIED, FIXED, Section
from engine.profile.schema.stage import Stage
from engine.profile.schema.training import Training
from engine.profile.schema.validation import Validation
from engine.profile.setting import Setting

SCHEMA_VERSION: Final = 1


class Profile(Section):
    """A training profile as written in TOML, defaults filled in."""

    schema_version: Annotated[Literal[1], Field(alias="schema"), Setting("Version of the profile format.", APPLIED)] = (
        SCHEMA_VERSION
    )
    name: Annotated[
        str,
        Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        Setting("Name of the run and of the LoRA.", APPLIED, aliases=("output_name",)),
    ] = "lora"
    extends: Annotated[
        str | None,
        Field(min_length=1),
        Setting(
            "Another profile whose values hold where this file has none: a name or a path.",
            APPLIED,
            leads_to=(".toml",),
            absent="none",
            detail="A name is a file beside this one, NAME.toml, else a shipped profile; a path starts in this file's folder. "
            "Sections are taken over field by field; lists (prompts, sources, stages) as a whole. Up to 8 in a row. A run "
            "keeps a complete copy; at a resume an edit of a parent counts like one of the file.",
            aliases=("inherits", "inherit", "parent", "base_profile", "include", "preset"),
        ),
    ] = None
    without: Annotated[
        tuple[str, ...],
        Field(strict=False),
        Setting(
            "Fields or sections that are not taken over from the profile that is extended.",
            APPLIED,
            detail='["optimizer.d_coef"] goes back to the default of a field that has no value to write for it, as when the '
            "child has another optimizer.kind or schedule.kind.",
        ),
    ] = ()
    stages: Annotated[
        tuple[Stage, ...],
        Field(strict=False, max_length=100),
        Setting(
            "Parts of the training, one after another, each a run of its own.",
            FIXED,
            detail="Without any the training is one run. With stages training.steps is not used: each has its own.",
        ),
    ] = ()
    model: Model
    network: Network = Network()
    dataset: Dataset
    captions: Captions = Captions()
    training: Training = Training()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    loss: Loss = Loss()
    ema: Ema = Ema()
    precision: Precision = Precision()
    checkpoints: Checkpoints = Checkpoints()
    samples: Samples = Samples()
    validation: Validation = Validation()
    logging: Logging = Logging()
    launch: Launch = Launch()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        if self.stages:  # what is trained is each stage's profile, and that has none
            return self
        values = self.values()
        for rule in RULES:
            if broken := rule.check(values):
                field = rule.fields[0]
                raise ValueError(f"{field} {values[field]} {broken.sentence}: {broken.suggestion}")
        return self

    @property
    def base_lrs(self) -> dict[str, float]:
        """By group of the optimizer what the schedule's factor multiplies; only groups that are trained, the UNet first."""
        groups = dict.fromkeys(GROUP_OF[part] for part in Part if self.network.trains(part))
        return {group: self.optimizer.lr_of(group) for group in groups}

    @property
    def leading_lr(self) -> float:
        """The base rate of the first group: the one to show where there is room for one."""
        return next(iter(self.base_lrs.values()))

    @property
    def planned_steps(self) -> int:
        """Optimizer steps of the whole training: those of all stages, or ``training.steps`` without any."""
        return sum(stage.steps for stage in self.stages) if self.stages else self.training.steps

    def values(self) -> dict[str, Any]:
        """Every field's value by its path, ``{"optimizer.lr": 1e-4, ...}``; enums as their text."""
        found: dict[str, Any] = {}
        for name, value in self.model_dump(mode="python", by_alias=True).items():
            if isinstance(value, dict):
                found |= {f"{name}.{key}": plain(item) for key, item in value.items()}
            else:
                found[name] = plain(value)
        return found


def plain(value: object) -> object:
    """``value`` with an enum member replaced by its text."""
    return value.value if isinstance(value, StrEnum) else value
