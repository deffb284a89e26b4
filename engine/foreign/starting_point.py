"""What a training can start from besides a checkpoint of ours: a state of sd-scripts, a LoRA file, a folder of peft's.

Everything that it tells of network, rates, schedule and settings, as typed values; what it does not tell is None. Nothing in it
is run and no weight is read. The optimizer's moments are not taken over, so they play no part here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.foreign.errors import ForeignFileError
from engine.foreign.lora_facts import LoraFacts, read_lora_facts
from engine.foreign.lora_network import LoraNetwork, read_lora_network
from engine.foreign.sd_scripts.imported import Imported
from engine.foreign.sd_scripts.importing import profile_from_lora
from engine.foreign.sd_scripts.metadata import has_training
from engine.foreign.sd_scripts_state import SdScriptsState, is_sd_scripts_state, read_sd_scripts_state
from engine.foreign.stored_schedule import StoredSchedule, schedule_in_metadata, schedule_of_state
from engine.model.peft_names import lora_files
from engine.profile.load import parse_profile
from engine.profile.schema import Profile
from engine.user_path import absolute_user_path


class StartKind(StrEnum):
    """What it is, in words; run.json records it."""

    STATE = "sd-scripts state"
    LORA = "LoRA file"
    PEFT = "peft folder"


@dataclass(frozen=True)
class StoredRate:
    """The rate of an optimizer's group, as far as it is stored."""

    base: float | None = None
    """What the schedule's factor multiplies."""
    now: float | None = None
    """Where it stands: what the next step would use."""


@dataclass(frozen=True)
class StartingPoint:
    """A state, file or folder, read."""

    path: Path
    """Absolute."""
    kind: StartKind
    weights: Path
    """The file, or the folder of peft's, that holds the network's weights."""
    network: LoraNetwork
    step: int | None
    """Optimizer steps that were made."""
    rates: Mapping[str, StoredRate]
    """By optimizer group of the network, the first one first."""
    stored: StoredSchedule
    optimizer: str | None
    """In words."""
    told_by: LoraFacts | None
    """The LoRA file whose metadata tell of the training; None where none does."""
    imported: Imported | None = None
    """What these metadata are as a profile."""
    profile: Profile | None = None
    """The same, loaded."""
    problems: tuple[str, ...] = field(default=())

    @property
    def rate(self) -> StoredRate:
        """That of the first group."""
        return next(iter(self.rates.values()))

    @property
    def steps_left(self) -> int | None:
        """Of the stored schedule; None where it or the step is not known."""
        schedule = self.stored.schedule
        return None if schedule is None or self.step is None else max(0, schedule.total_steps - self.step)

    @property
    def label(self) -> str:
        """``sd-scripts state PATH at step N``."""
        return f"{self.kind} {self.path}" + ("" if self.step is None else f" at step {self.step:,}")

    def to_json(self) -> dict[str, Any]:
        """What it is, and its stored rates."""
        return {
            "path": str(self.path),
            "kind": self.kind.value,
            "step": self.step,
            "rates": {name: {"base": rate.base, "now": rate.now} for name, rate in self.rates.items()},
            "schedule": {"known": self.stored.schedule is not None, "said": self.stored.said},
            "optimizer": self.optimizer,
            "problems": list(self.problems),
        }


def may_be_starting_point(named: str) -> bool:
    """Whether ``named`` is meant as one: a path to what is none of our checkpoints or runs. A look at names; nothing is read."""
    try:
        path = Path(named).expanduser()
        if path.is_dir():
            is_ours = (path / "manifest.json").exists() or (path / "run.json").exists()
            return not is_ours and (is_sd_scripts_state(path) or path.name.endswith("-state") or _is_peft_folder(path))
        return path.suffix.lower() in _ENDINGS or ("/" in named and path.is_file())
    except (OSError, ValueError, RuntimeError):
        return False


_ENDINGS = (".safetensors", ".pt", ".ckpt", ".bin", ".pth")


def _is_peft_folder(path: Path) -> bool:
    try:
        return bool(lora_files(path))
    except UserError:
        return False


def read_starting_point(path: Path) -> StartingPoint:
    """What ``path`` tells. Raises ``ForeignFileError`` for what no training can start from."""
    path = absolute_user_path(path)
    try:
        if not path.exists():
            raise ForeignFileError("there is no such file or folder", where=str(path), hint="Check the path.")
        if path.is_dir() and not _is_peft_folder(path):
            return _of_state(path)
    except OSError as error:
        raise ForeignFileError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return _of_lora(path)


def _of_lora(path: Path) -> StartingPoint:
    network = read_lora_network(path)
    told_by = _told_by(read_lora_facts(path)) if path.is_file() else None
    imported, profile = _imported(told_by)
    return StartingPoint(
        path=path,
        kind=StartKind.PEFT if path.is_dir() else StartKind.LORA,
        weights=path,
        network=network,
        step=told_by.count("ss_steps") if told_by else None,
        rates={group: StoredRate(_base_lr(group, imported, profile)) for group in network.groups},
        stored=schedule_in_metadata(told_by, imported, profile),
        optimizer=told_by.text("ss_optimizer") if told_by else None,
        told_by=told_by,
        imported=imported,
        profile=profile,
    )


def _of_state(folder: Path) -> StartingPoint:
    state = read_sd_scripts_state(folder)
    weights = next(
        (file for name in ("model.safetensors", "model_1.safetensors") if (file := folder / name).is_file()), None
    )
    if weights is None:
        hint = f"The LoRA file saved with it can be continued: {state.lora.path}" if state.lora else None
        raise ForeignFileError("the state has no weights: model.safetensors is missing", where=str(folder), hint=hint)
    network = read_lora_network(weights)
    told_by = _told_by(state.lora)
    imported, profile = _imported(told_by)
    return StartingPoint(
        path=folder,
        kind=StartKind.STATE,
        weights=weights,
        network=network,
        step=state.true_step,
        rates=_state_rates(state, network),
        stored=schedule_of_state(state, schedule_in_metadata(told_by, imported, profile)),
        optimizer=state.optimizer,
        told_by=told_by,
        imported=imported,
        profile=profile,
        problems=state.problems,
    )


def _told_by(facts: LoraFacts | None) -> LoraFacts | None:
    return facts if facts is not None and has_training(facts.metadata) else None


def _imported(told_by: LoraFacts | None) -> tuple[Imported | None, Profile | None]:
    if told_by is None:
        return None, None
    imported = profile_from_lora(told_by)
    return imported, parse_profile(imported.text, folder=told_by.path.parent).profile


def _base_lr(group: str, imported: Imported | None, profile: Profile | None) -> float | None:
    """The rate that metadata give a group; None where they are silent, though the profile has a default."""
    if imported is None or profile is None:
        return None
    said = imported.tables.get("optimizer", {})
    fields = {"unet": ("unet_lr", "lr"), "text_encoder_1": ("text_encoder_lr", "lr")}
    names = fields.get(group, ("text_encoder_2_lr", "text_encoder_lr", "lr"))
    return profile.optimizer.lr_of(group) if any(name in said for name in names) else None


def _state_rates(state: SdScriptsState, network: LoraNetwork) -> dict[str, StoredRate]:
    """By group. A state's groups have no names: text encoders come before the UNet, and the number of tensors must agree."""
    tensors = {
        group: sum(module.tensors for module in network.modules if module.group == group) for group in network.groups
    }
    order: list[str] = [group for group in ("text_encoder_1", "text_encoder_2", "unet") if group in tensors]
    texts = [group for group in order if group != "unet"]
    shared: list[list[str]] = [texts, ["unet"]] if len(texts) == 2 and "unet" in order else []
    divisions: tuple[list[list[str]], ...] = ([[group] for group in order], shared, [order])
    found = [group.parameters for group in state.groups]
    for division in divisions:
        if [sum(tensors[name] for name in names) for names in division] == found:
            named = {
                name: StoredRate(group.base_lr, group.lr)
                for names, group in zip(division, state.groups, strict=True)
                for name in names
            }
            return {group: named[group] for group in network.groups}
    return dict.fromkeys(network.groups, StoredRate())
