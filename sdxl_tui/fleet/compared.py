"""What a checkpoint, state or LoRA file says of itself: the facts that are compared, in groups, and its curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint.describe import CheckpointSummary, RateGroup, describe, read_state
from engine.errors import UserError
from engine.foreign.lora_facts import LoraFacts, read_lora_facts
from engine.foreign.sd_scripts_state import (
    SdScriptsState,
    StateGroup,
    is_sd_scripts_state,
    read_sd_scripts_state,
    schedule_kind,
)
from engine.schedule import Schedule
from sdxl_tui.fleet.stored_facts import StoredFacts, facts_of, facts_of_foreign
from sdxl_tui.terminal.clean import clean

Facts = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    path: Path
    name: str
    """The run, or the state's or file's name."""
    stored: StoredFacts
    is_foreign: bool
    schedule: Schedule | None
    """None where it is not stored."""
    schedule_said: str
    """``cosine, decay``, or that it is not stored."""
    base_lr: float
    """What the schedule is drawn at: the highest of the groups, with the d that an adaptive optimizer had found."""
    sections: dict[str, Facts]
    """By title, in the order they are shown."""


def is_foreign(path: Path) -> bool:
    """Whether ``path`` is a LoRA file or a state of sd-scripts."""
    return path.is_file() or is_sd_scripts_state(path)


def side_of(path: Path, *, beside_foreign: bool) -> Side:
    """All that lies in ``path`` says. beside_foreign: it is compared with something of sd-scripts, whose groups have no names.

    Reads JSON and headers. Raises a ``UserError`` if it cannot be read.
    """
    if path.is_file():
        return _of_lora(read_lora_facts(path))
    if is_sd_scripts_state(path):
        return _of_state(read_sd_scripts_state(path))
    summary = describe(path)
    profile = read_state(path).get("profile")
    sections = _facts(summary, numbered=beside_foreign)
    settings = flat_settings(profile) if isinstance(profile, dict) else {}
    # One line where the other side has no profile at all, rather than every setting beside nothing.
    sections["Profile"] = {"settings": f"{len(settings)} stored"} if beside_foreign else settings
    return Side(
        path,
        summary.run_id,
        facts_of(summary),
        False,
        summary.schedule,
        f"{summary.schedule.kind.value}, {summary.phase.value}",
        max((group.base_lr * (1.0 if group.d is None else group.d) for group in summary.groups), default=0.0),
        sections,
    )


def _of_state(state: SdScriptsState) -> Side:
    stored = facts_of_foreign(state, state.folder.stat().st_mtime)
    schedule = _known_schedule(state.folder)
    kind = schedule_kind(state)[0]
    parameters = state.scheduler.parameters if state.scheduler else {}
    sections: dict[str, Facts] = {
        "Checkpoint": _where(stored, state.lora or state.weights)
        | {"files": "; ".join(state.problems) or None, "position": state.position_disagrees},
        "Schedule": _curve_facts(schedule, kind, stored) | dict(parameters),
        "Adapter": _adapter(state.lora or state.weights),
        "Optimizer": {"kind": state.optimizer.lower() if state.optimizer else None},
    }
    for number, one in enumerate(state.groups, 1):
        sections[f"Group {number}"] = _foreign_group(one)
    if state.lora is not None:
        sections["Metadata"] = dict(state.lora.metadata)
    peak = max(((one.base_lr or 0.0) * (one.adaptation or 1.0) for one in state.groups), default=0.0)
    said = schedule.kind.value if schedule else kind or "schedule not stored"
    return Side(state.folder, state.folder.name, stored, True, schedule, said, peak, sections)


def _of_lora(facts: LoraFacts) -> Side:
    stored = facts_of_foreign(facts, facts.path.stat().st_mtime)
    schedule, kind = _known_schedule(facts.path), facts.text("ss_lr_scheduler")
    sections = {
        "Checkpoint": _where(stored, facts),
        "Schedule": _curve_facts(schedule, kind, stored),
        "Adapter": _adapter(facts),
        "Optimizer": {"kind": facts.text("ss_optimizer")},
        "Metadata": dict(facts.metadata),
    }
    said = schedule.kind.value if schedule else kind or "schedule not stored"
    return Side(facts.path, facts.path.name, stored, True, schedule, said, stored.base_lr or 0.0, sections)


def _known_schedule(path: Path) -> Schedule | None:
    """The schedule that a state or LoRA file and the metadata beside it tell, where it is one of ours."""
    from engine.foreign.starting_point import read_starting_point  # noqa: PLC0415 - pydantic, for this alone

    try:
        return read_starting_point(path).stored.schedule
    except UserError:
        return None  # what lacks its weights can be compared all the same


def _where(stored: StoredFacts, lora: LoraFacts | None) -> Facts:
    return {
        "run": lora.text("ss_output_name") if lora else None,
        "step": stored.step,
        "epoch": stored.epoch,
        "loss": None,
        "average loss": None,
        "held-out loss": None,
        "size": stored.bytes,
        "base": lora.text("ss_sd_model_name") if lora else None,
    }


def _curve_facts(schedule: Schedule | None, kind: str | None, stored: StoredFacts) -> Facts:
    shown: Facts = {"kind": schedule.kind.value if schedule else kind, "share done": stored.share_done}
    if schedule is not None and stored.step is not None:
        shown |= dict(schedule.shown()) | {"phase": schedule.phase(stored.step).value}
    return shown


def _adapter(lora: LoraFacts | None) -> Facts:
    if lora is None:
        return {}
    return {
        "kind": lora.kind.lower() or None,
        "rank": _one_or_all(lora.ranks),
        "alpha": _one_or_all(lora.alphas),
        "modules": lora.modules,
        **{part: f"{modules} modules" for part, modules in lora.parts.items()},
    }


def _one_or_all(values: tuple[float, ...]) -> Any:
    return None if not values else values[0] if len(values) == 1 else ", ".join(f"{value:g}" for value in values)


def _foreign_group(group: StateGroup) -> Facts:
    settings: Facts = {}
    for name, value in group.hyperparameters.items():
        if name == "betas" and isinstance(value, tuple):
            settings |= {f"beta{at}": one for at, one in enumerate(value, 1)}
        else:
            settings[name.replace("_", " ")] = list(value) if isinstance(value, tuple) else value
    return {
        "base LR": group.base_lr,
        "next LR": group.lr,
        "effective LR": group.effective_lr if group.adaptation is not None else None,
        "d": group.adaptation,
        "tensors": group.parameters,
        **settings,
    }


def _facts(summary: CheckpointSummary, *, numbered: bool) -> dict[str, Facts]:
    """numbered: groups by their number, their name among the facts."""
    network = summary.network
    sections: dict[str, Facts] = {
        "Checkpoint": {
            "run": summary.run_id,
            "step": summary.step,
            "epoch": summary.epoch,
            "loss": summary.loss,
            "average loss": summary.loss_avg,
            "held-out loss": summary.validation_loss,
            "size": summary.bytes,
            "trained for": summary.elapsed_seconds,
            "images seen": summary.images_seen,
            "files": summary.integrity,
            "base": summary.base_model,
            "device": summary.device,
            **{f"{name} version": version for name, version in summary.versions.items()},
        },
        "Schedule": {
            "kind": summary.schedule.kind.value,
            **dict(summary.schedule.shown()),
            "phase": summary.phase.value,
            "share done": summary.share_done,
        },
        "Adapter": {
            "kind": network.title,
            "rank": network.rank,
            "alpha": network.alpha,
            "dropout": network.dropout,
            "modules": network.modules,
            **{
                f"{part.part.replace('_', ' ')}": f"rank {part.rank}, alpha {part.alpha:g}, {part.modules} modules"
                for part in network.parts
            },
        },
        "Optimizer": {"kind": summary.optimizer},
    }
    upcoming = summary.next_lrs(1)
    for number, group in enumerate(summary.groups, 1):
        title = f"Group {number}" if numbered else f"Group {clean(group.name)}"
        name = {"name": group.name} if numbered else {}
        sections[title] = name | _group(group, upcoming.get(group.name, ()))
    return sections


def _group(group: RateGroup, upcoming: tuple[float, ...]) -> Facts:
    return {
        "base LR": group.base_lr,
        "last LR": group.last_lr,
        "effective LR": group.effective_lr,
        "next LR": upcoming[0] if upcoming else None,
        "d": group.d,
        "numbers": group.values,
        "tensors": group.parameters,
        **{name.replace("_", " "): value for name, value in group.hyperparameters.items()},
    }


def flat_settings(profile: Mapping[str, Any], path: str = "") -> Facts:
    """Settings by their full names, ``optimizer.lr``; a list of tables is one setting per entry."""
    found: Facts = {}
    for name, value in profile.items():
        here = f"{path}{name}"
        if isinstance(value, Mapping):
            found |= flat_settings(value, f"{here}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for at, item in enumerate(value, 1):
                found |= flat_settings(item, f"{here}[{at}].")
        else:
            found[here] = value
    return found
