"""A training state that sd-scripts wrote (accelerate's layout), read as far as it goes, and nothing guessed.

The folder holds the network's weights (``model.safetensors``), ``optimizer.bin``, ``scheduler.bin``, ``random_states_*.pkl`` and
``train_state.json``. Kind, warmup and length of the schedule are not in it: they stand in the ``ss_*`` metadata of the LoRA
file saved beside it, which is looked for by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.foreign.errors import ForeignFileError, HostilePickleError
from engine.foreign.lora_facts import LoraFacts, read_lora_facts
from engine.foreign.optimizer_kinds import QUANTISED, SCHEDULE_FREE, adapts_its_rate, optimizer_kind, steps_of_group
from engine.foreign.scheduler_state import LAMBDA, SchedulerState, scheduler_state
from engine.foreign.torch_archive import StoredTensor, TorchArchive
from engine.run.records import read_json_object

OPTIMIZER, SCHEDULER, POSITION = "optimizer.bin", "scheduler.bin", "train_state.json"
_STATE_NAME: Final = re.compile(r"^(?P<lora>.+)-state$")
_HIDDEN: Final = frozenset({"params", "lr", "initial_lr", "param_names"})


@dataclass(frozen=True)
class StateGroup:
    """A parameter group of the stored optimizer."""

    lr: float | None
    """The rate it stands at, which its next step would use."""
    base_lr: float | None
    """``initial_lr``: what the schedule's factor multiplies."""
    parameters: int
    hyperparameters: dict[str, float | int | str | bool | tuple[float, ...]]
    adaptation: float | None
    """``d`` of Prodigy and D-Adaptation, which the rate is multiplied by; None for the others."""

    @property
    def effective_lr(self) -> float | None:
        """``d · lr`` of an adaptive optimizer, else ``lr``."""
        return self.lr if self.lr is None or self.adaptation is None else self.lr * self.adaptation


@dataclass(frozen=True)
class SdScriptsState:
    """A state folder; what it does not hold is None or empty."""

    folder: Path
    groups: tuple[StateGroup, ...]
    optimizer: str | None
    """The kind, told by what the state holds; None where it is none that is known."""
    optimizer_step: int | None
    """Steps the optimizer counted, from its tensors."""
    scheduler: SchedulerState | None
    step: int | None
    """``current_step`` of train_state.json."""
    epoch: int | None
    weights: LoraFacts | None
    lora: LoraFacts | None
    """The LoRA file saved beside the state: its metadata tell the schedule."""
    processes: int
    """How many processes wrote random states."""
    bytes: int
    problems: tuple[str, ...]
    """Files that are missing or could not be read, in one line each."""

    @property
    def parts_of_groups(self) -> tuple[str | None, ...]:
        """Which part of the LoRA each group trains; told by how many tensors the part has, None where that fits no or several.

        A LoRA has two tensors per module. Groups have no names in a state.
        """
        network = self.lora or self.weights
        if network is None or network.kind != "LoRA":
            return (None,) * len(self.groups)
        tensors = {part: 2 * modules for part, modules in network.parts.items()}
        counts = [group.parameters for group in self.groups]
        if sorted(tensors.values()) != sorted(counts) or len(set(counts)) != len(counts):
            return (None,) * len(self.groups)
        return tuple(next(part for part, count in tensors.items() if count == one) for one in counts)

    @property
    def position_disagrees(self) -> str | None:
        """Why the stored positions cannot all be right; None where they agree.

        sd-scripts with ``--skip_until_initial_step`` restarts its step count too low; the optimizer's and the scheduler's own
        are right then. With several processes accelerate steps the scheduler once for each.
        """
        scheduler = self.scheduler.position if self.scheduler else None
        known = {
            POSITION: self.step,
            SCHEDULER: scheduler // self.processes if scheduler is not None and self.processes > 1 else scheduler,
            OPTIMIZER: self.optimizer_step,
        }
        said = {name: step for name, step in known.items() if step is not None}
        if len(set(said.values())) < 2:
            return None
        return "the steps differ: " + ", ".join(f"{name} says {step:,}" for name, step in said.items())

    @property
    def true_step(self) -> int | None:
        """The step that optimizer and scheduler counted; train_state.json's where neither did."""
        if self.optimizer_step is not None:
            return self.optimizer_step
        if self.scheduler is not None and self.scheduler.position is not None:
            return self.scheduler.position // max(1, self.processes)
        return self.step


def is_sd_scripts_state(folder: Path) -> bool:
    """Whether ``folder`` looks like a state of accelerate's layout. A look at names; nothing is read."""
    return (folder / OPTIMIZER).is_file() and not (folder / "manifest.json").exists()


def read_sd_scripts_state(folder: Path) -> SdScriptsState:
    """Everything that the state in ``folder`` tells. A file that cannot be read becomes one of ``problems``.

    Raises ``ForeignFileError`` where there is no ``optimizer.bin``, and ``HostilePickleError`` at a file that asks for
    code to be run: such a state is not shown at all.
    """
    if not (folder / OPTIMIZER).is_file():
        raise ForeignFileError(
            f"it has no {OPTIMIZER}, so it is no training state of sd-scripts",
            where=str(folder),
            hint="Name the folder that ends in -state; it holds optimizer.bin, scheduler.bin and train_state.json.",
        )
    problems: list[str] = []
    with TorchArchive(folder / OPTIMIZER) as archive:
        groups, kind, optimizer_step = _optimizer(archive)
    scheduler = None
    if (folder / SCHEDULER).is_file():
        scheduler = _read_scheduler(folder / SCHEDULER, problems)
    else:
        problems.append(
            f"there is no {SCHEDULER} (a schedule-free optimizer leaves none): position and rates are the optimizer's"
        )
    position = read_json_object(folder / POSITION) or {}
    if not position:
        problems.append(f"{POSITION} is missing or not readable: step and epoch are not stored")
    return SdScriptsState(
        folder=folder,
        groups=groups,
        optimizer=kind,
        optimizer_step=optimizer_step,
        scheduler=scheduler,
        step=_count(position.get("current_step")),
        epoch=_count(position.get("current_epoch")),
        weights=_lora(next(_weights(folder), None), problems),
        lora=_lora(lora_beside(folder), problems),
        processes=max(1, sum(1 for _ in folder.glob("random_states_*.pkl"))),
        bytes=sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        problems=tuple(problems),
    )


def lora_beside(folder: Path) -> Path | None:
    """The LoRA file saved with the state: ``x-state`` has ``x.safetensors`` beside it; None where it is not there."""
    named = _STATE_NAME.match(folder.absolute().name)
    if named is None:
        return None
    file = folder.absolute().parent / f"{named['lora']}.safetensors"
    return file if file.is_file() else None


def _weights(folder: Path) -> Iterator[Path]:
    yield from (file for name in ("model.safetensors", "model_1.safetensors") if (file := folder / name).is_file())


def _lora(path: Path | None, problems: list[str]) -> LoraFacts | None:
    if path is None:
        return None
    try:
        return read_lora_facts(path)
    except ForeignFileError as error:
        problems.append(error.what)
        return None


def _optimizer(archive: TorchArchive) -> tuple[tuple[StateGroup, ...], str | None, int | None]:
    content = archive.content
    stored = content.get("param_groups") if isinstance(content, dict) else None
    if not isinstance(stored, list) or not all(isinstance(group, dict) for group in stored):
        raise ForeignFileError(f"{OPTIMIZER} holds no optimizer's state", where=str(archive.path))
    states = content.get("state")
    tensors = [state for state in states.values() if isinstance(state, dict)] if isinstance(states, dict) else []
    inner = [kept for state in tensors if isinstance(kept := state.get(QUANTISED), dict)]
    slots = {str(slot) for state in (*tensors, *inner) for slot in state}
    return (
        tuple(_group(archive, group) for group in stored),
        optimizer_kind(slots, {str(name): value for group in reversed(stored) for name, value in group.items()}),
        _steps(archive, tensors, stored),
    )


def _steps(archive: TorchArchive, states: list[dict[str, Any]], groups: list[dict[str, Any]]) -> int | None:
    """How many steps the optimizer made: most tensors' own count; some kinds count per group."""
    for state in states:
        step = _number(archive, state.get("step"))
        if step is not None:
            return int(step)
    return next((count for group in groups if (count := steps_of_group(group)) is not None), None)


def _read_scheduler(path: Path, problems: list[str]) -> SchedulerState | None:
    """A rate may be a tensor: transformers' Adafactor and optimizers for graphs store theirs so."""
    try:
        with TorchArchive(path) as archive:
            if not isinstance(archive.content, dict):
                raise ForeignFileError(f"{path.name} holds no scheduler's state")
            return scheduler_state(
                {
                    name: [_number(archive, item) if isinstance(item, StoredTensor) else item for item in value]
                    if isinstance(value, (list, tuple))
                    else value
                    for name, value in archive.content.items()
                }
            )
    except HostilePickleError:
        raise
    except ForeignFileError as error:
        problems.append(f"{path.name} cannot be read: {error.what}; position and rates are the optimizer's")
        return None


def _group(archive: TorchArchive, group: dict[str, Any]) -> StateGroup:
    parameters = group.get("params")
    settings: dict[str, float | int | str | bool | tuple[float, ...]] = {}
    for name, value in group.items():
        if not isinstance(name, str) or name in _HIDDEN:
            continue
        if isinstance(value, StoredTensor):
            value = _number(archive, value)  # noqa: PLW2901 - the same setting, read
        if isinstance(value, (int, float, str)):
            settings[name] = value
        elif isinstance(value, (list, tuple)) and all(isinstance(item, (int, float)) for item in value):
            settings[name] = tuple(float(item) for item in value)
    adaptation = settings.get("d") if adapts_its_rate(group) else None
    return StateGroup(
        lr=_number(archive, group.get("lr")),
        base_lr=_number(archive, group.get("initial_lr")),
        parameters=len(parameters) if isinstance(parameters, list) else 0,
        hyperparameters=settings,
        adaptation=float(adaptation) if isinstance(adaptation, (int, float)) else None,
    )


def _number(archive: TorchArchive, value: Any) -> float | None:
    if isinstance(value, StoredTensor):
        return archive.number(value) if value.values == 1 else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def schedule_kind(state: SdScriptsState) -> tuple[str | None, str]:
    """The schedule's kind and where it is known from; (None, why) where nothing tells it.

    The metadata name sd-scripts' own schedules only: beside a scheduler of another library they say ``constant``.
    """
    scheduler = state.scheduler
    if scheduler is not None and scheduler.kind is None:
        return None, f"{SCHEDULER} holds a scheduler of a kind that is not known; its own entries are"
    if scheduler is not None and scheduler.kind != LAMBDA:
        return scheduler.kind, f"by what {SCHEDULER} holds"
    named = state.lora.text("ss_lr_scheduler") if state.lora else None
    if scheduler is None and state.optimizer is not None and state.optimizer.endswith(SCHEDULE_FREE):
        ignored = f"; {named} in the LoRA file's metadata had no effect" if named else ""
        return None, f"a schedule-free optimizer has none but its own warmup{ignored}"
    if named is not None:
        return named, "by the LoRA file's metadata"
    if scheduler is None:
        return None, f"there is no readable {SCHEDULER}, and no LoRA file beside the state"
    return None, "sd-scripts does not store it in a state, and there is no LoRA file beside it"
