"""A rehearsal before the first step: save, load and resume once, so that a state that does not come back is known at once.

The training itself goes through a file and back; since its optimizer has no state yet, the same optimizer makes steps on a few
throwaway parameters, goes through a file, and must then make the very step that it makes without. Random numbers of the
training are not used up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Parameter

from engine.checkpoint.load import load_checkpoint, load_tensors
from engine.checkpoint.manifest import CheckpointError
from engine.checkpoint.retention import UNFINISHED, discard
from engine.checkpoint.save import SavedCheckpoint, SaveError, host_copies, save_checkpoint
from engine.errors import UserError
from engine.run.layout import RunDirectory
from engine.train import rng
from engine.train.optimizer import NamedOptimizer, ParameterGroup
from engine.train.resume import restore
from engine.train.training import Training

SHAPES: Final = 4
"""Of a group's parameters so many of different shapes are tried, the smallest and the largest among them."""
MOMENTS: Final = frozenset({"created"})
"""Entries of state.json that say when it was written."""


class RehearsalError(UserError):
    """A training could not be resumed exactly if it were saved now."""


def rehearse(run: RunDirectory, training: Training) -> SavedCheckpoint:
    """Save ``training``, which has made no step, load it again and compare everything; what was written is deleted.

    Raises ``RehearsalError`` naming what does not come back, or why nothing can be saved.
    """
    folder = run.checkpoints / f"{UNFINISHED}rehearsal" / run.checkpoint(0).name
    drawn = rng.capture(training.noise)
    try:
        _try_optimizer(training.optimizer, folder.parent)
        return _try_training(training, folder)
    except (SaveError, OSError) as error:
        raise RehearsalError(
            f"no checkpoint can be saved: {error}",
            where=str(run.checkpoints),
            hint="Free some space or choose another workspace; nothing was trained yet.",
        ) from error
    finally:
        discard(folder.parent)
        rng.restore(drawn, training.noise)


def _try_training(training: Training, folder: Path) -> SavedCheckpoint:
    """The state of ``training`` through a file and back into it."""
    before = training.content()
    saved = save_checkpoint(folder, before)
    try:
        restore(training, load_checkpoint(folder))
    except CheckpointError as error:
        raise _not_exact(error.what, "checkpoints") from error
    after = training.content()
    for name, one, other in (
        ("weights", before.trainable, after.trainable),
        ("average of the weights", before.ema or {}, after.ema or {}),
        ("optimizer state", before.optimizer, after.optimizer),
    ):
        if (different := _first_difference(one, other)) is not None:
            raise _not_exact(f"its {name} {different!r} is another after loading", "checkpoints")
    states = (json.loads(json.dumps(content.state)) for content in (before, after))
    if (entry := _first_change(*states)) is not None:
        raise _not_exact(f"its {entry} is another after loading", "checkpoints")
    return saved


def _try_optimizer(optimizer: NamedOptimizer, folder: Path) -> None:
    """Two steps, through a file into a second optimizer, and a third step in both."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = torch.Generator().manual_seed(0)
    one, weights = _throwaway(optimizer, drawn)
    gradients = [[torch.randn(weight.shape, generator=drawn) for weight in weights.values()] for _ in range(3)]
    try:
        for given in gradients[:2]:
            _step(one, given)
        described, tensors = json.loads(json.dumps(one.describe(), allow_nan=False)), host_copies(one.tensors())
        save_file(tensors, folder / "optimizer.safetensors")
        other, copies = _throwaway(optimizer, drawn)
        with torch.no_grad():
            for name, weight in weights.items():
                copies[name].copy_(weight)
        other.restore(described, load_tensors(folder / "optimizer.safetensors"))
    except (CheckpointError, ValueError) as error:
        raise _optimizer_lost(optimizer, str(error)) from error
    for stepped in (one, other):
        _step(stepped, gradients[2])
    different = _first_difference(weights, copies) or _first_difference(one.tensors(), other.tensors())
    if different is not None:
        raise _optimizer_lost(optimizer, f"after a third step {different} is another")
    if one.describe() != other.describe():
        raise _optimizer_lost(optimizer, "after a third step what it keeps as numbers is another")


def _throwaway(optimizer: NamedOptimizer, drawn: torch.Generator) -> tuple[NamedOptimizer, dict[str, Parameter]]:
    """The same optimizer over a few new parameters, shaped like its own; those by name."""
    groups = [
        ParameterGroup(group.name, group.base_lr, tuple(_like(group, drawn))) for group in optimizer.parameter_groups
    ]
    weights = {name: parameter for group in groups for name, parameter in group.parameters}
    return NamedOptimizer(groups, optimizer.hyperparameters, optimizer.kind), weights


def _like(group: ParameterGroup, drawn: torch.Generator) -> Iterator[tuple[str, Parameter]]:
    of_shape = {parameter.shape: (name, parameter.device) for name, parameter in group.parameters}
    shapes = sorted(of_shape, key=lambda shape: shape.numel())
    for shape in dict.fromkeys([*shapes[: SHAPES - 1], shapes[-1]]):
        name, device = of_shape[shape]
        yield name, Parameter(torch.randn(shape, generator=drawn).to(device))


def _step(optimizer: NamedOptimizer, gradients: Sequence[Tensor]) -> None:
    optimizer.set_lr(optimizer.base_lrs)
    for parameter, gradient in zip(optimizer.parameters, gradients, strict=True):
        parameter.grad = gradient.to(parameter.device, copy=True)  # some optimizers work in it
    optimizer.inner.step()


def _first_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The first name whose tensor is not the same to the bit; None if all are."""
    if missing := one.keys() ^ other.keys():
        return min(missing)
    return next((name for name, tensor in one.items() if not _same_bits(tensor, other[name])), None)


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(*(tensor.detach().contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other)))


def _first_change(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first entry of a state.json that differs, the times of writing left out."""
    entries = (one.keys() | other.keys()) - MOMENTS
    return next((entry for entry in sorted(entries) if one.get(entry) != other.get(entry)), None)


def _not_exact(what: str, where: str) -> RehearsalError:
    return RehearsalError(
        f"the training could not be resumed exactly: {what}",
        where=where,
        hint="Nothing was trained yet. checkpoints.rehearsal = false trains all the same.",
    )


def _optimizer_lost(optimizer: NamedOptimizer, what: str) -> RehearsalError:
    return RehearsalError(
        f"the state of the optimizer {optimizer.kind.value} does not come back exactly from a checkpoint: {what}",
        where="optimizer.kind",
        hint="Choose another optimizer.kind. Nothing was trained yet; checkpoints.rehearsal = false trains all the same.",
    )
