"""Gives a LoRA another rank by singular value decomposition, module by module, and says what of each was kept.

The best approximation of a matrix at a lower rank keeps its largest singular values (Eckart & Young, 1936), which
``decomposition.py`` finds. A DoRA keeps its magnitudes, one for each row: only the direction they scale is resized. A LoHa or
LoKr has no best approximation of its own kind that could be computed; it can become a LoRA.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from engine.model.decomposition import decomposed
from engine.model.errors import AdapterError
from engine.model.lora_tensors import DOWN, MAGNITUDE, UP
from engine.model.lora_weights import LoraWeights, ModuleWeights
from engine.model.targets import kernel_of

_OF_OTHER_KINDS = ("factor", "decompose_both", "use_tucker", "full_matrix")


@dataclass(frozen=True)
class Wanted:
    """How the rank of each module is chosen: a fixed one, or the smallest that keeps enough; ``rank`` is then its limit.

    rank: for all modules; conv_rank: for convolutions wider than a pixel, by default as ``rank``. keep: share of the sum of
    singular values, keep_frobenius: share of the Frobenius norm, keep_ratio: all values down to the largest divided by it.
    alpha: of every module; by default each keeps its alpha / rank. to_lora: a LoHa or LoKr may become a LoRA.
    """

    rank: int | None = None
    conv_rank: int | None = None
    keep: float | None = None
    keep_frobenius: float | None = None
    keep_ratio: float | None = None
    alpha: float | None = None
    to_lora: bool = False

    @property
    def is_dynamic(self) -> bool:
        """The modules' ranks follow from their singular values."""
        return (self.keep, self.keep_frobenius, self.keep_ratio) != (None, None, None)

    def limit(self, is_wide: bool) -> int | None:
        """The fixed rank, or the highest, of a module."""
        return self.conv_rank if is_wide and self.conv_rank is not None else self.rank

    def problem(self) -> str | None:
        """What is wrong with it, as a sentence; None if nothing is."""
        ways = [self.keep, self.keep_frobenius, self.keep_ratio]
        shares = [share for share in (self.keep, self.keep_frobenius) if share is not None]
        problems = {
            "keep, keep-frobenius and keep-ratio exclude each other": sum(way is not None for way in ways) > 1,
            "neither a rank nor what to keep is given": self.rank is None and not self.is_dynamic,
            "what to keep is a share above 0 and up to 1": any(not 0 < share <= 1 for share in shares),
            "keep-ratio is at least 1": self.keep_ratio is not None and not self.keep_ratio >= 1,
            "alpha is above 0": self.alpha is not None and not 0 < self.alpha < math.inf,
            "a rank is at least 1": any(rank is not None and rank < 1 for rank in (self.rank, self.conv_rank)),
        }
        return next((problem for problem, is_so in problems.items() if is_so), None)


@dataclass(frozen=True)
class Kept:
    """What became of one module."""

    module: str
    old_rank: int
    new_rank: int
    frobenius: float
    """Share of ΔW's Frobenius norm that is kept, in [0, 1]; 1 where ΔW is zero."""
    singular_values: float
    """Share of the sum of its singular values."""
    largest: float
    """The largest singular value."""
    smallest_kept: float

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def resize(weights: LoraWeights, wanted: Wanted) -> tuple[LoraWeights, list[Kept]]:
    """``weights`` at the wanted ranks, in float32, with what was kept of each module.

    A rank above a module's own adds directions that do nothing yet and can learn: as in a fresh LoRA, random in A and zero in
    B. Raises ``AdapterError`` for a LoHa or LoKr that is not to become a LoRA, and for a DoRA that is.
    """
    generator = torch.Generator().manual_seed(0)
    resized: LoraWeights = {}
    report = []
    for module, own in weights.items():
        _require_possible(module, own, wanted)
        resized[module], kept = _resize(module, own, wanted, generator)
        report.append(kept)
    return resized, report


def _require_possible(module: str, own: ModuleWeights, wanted: Wanted) -> None:
    if own.kind != "lora" and not wanted.to_lora:
        raise AdapterError(
            f"{module} is a {own.kind}, which cannot have another rank and stay one",
            hint="Add --to-lora: the file then holds the LoRA that comes closest to it.",
        )
    if own.is_dora and wanted.to_lora:
        raise AdapterError(
            f"{module} is a DoRA: without its base no LoRA can stand for its magnitudes",
            hint="Leave --to-lora out: it stays a DoRA at the other rank.",
        )
    if not all(torch.isfinite(tensor).all() for tensor in own.tensors.values()):
        raise AdapterError(
            f"{module} has weights that are not finite", hint="The file is damaged, or its training diverged."
        )


def _resize(module: str, own: ModuleWeights, wanted: Wanted, generator: torch.Generator) -> tuple[ModuleWeights, Kept]:
    left, values, right = decomposed(own)
    shape = _input_shape(module, own, right.shape[1])
    limit = wanted.limit(is_wide=math.prod(shape[1:]) > 1)
    rank = limit if not wanted.is_dynamic and limit is not None else _enough(values, wanted)
    rank = min(rank, limit) if limit is not None else rank
    used = min(rank, len(values))
    # alpha / rank of the file stays, so that loaders and a training that goes on see the same scale.
    alpha = own.scale * rank if wanted.alpha is None else wanted.alpha
    scale = alpha / rank
    root = (values[:used] / abs(scale)).sqrt()
    up = torch.zeros(left.shape[0], rank, dtype=torch.float64)
    down = torch.zeros(rank, right.shape[1], dtype=torch.float64)
    up[:, :used] = left[:, :used] * root * math.copysign(1, scale)
    down[:used] = root[:, None] * right[:used]
    if rank > used:
        bound = right.shape[1] ** -0.5
        fresh = torch.rand(rank - used, right.shape[1], generator=generator, dtype=torch.float64)
        down[used:] = (2 * fresh - 1) * bound
    tensors = {
        DOWN: down.to(torch.float32).reshape(rank, *shape),
        UP: up.to(torch.float32).reshape(-1, rank, *[1] * (len(shape) - 1)),
    }
    if own.is_dora:
        tensors[MAGNITUDE] = own.tensors[MAGNITUDE].to(torch.float32)
    return ModuleWeights(tensors, alpha), _kept(module, own.rank or len(values), rank, values, used)


def _input_shape(module: str, own: ModuleWeights, width: int) -> tuple[int, ...]:
    """(in,) of a linear layer, (in, k, k) of a convolution, whose matrix has ``width`` columns."""
    if DOWN in own.tensors:
        return tuple(own.tensors[DOWN].shape[1:])
    side = kernel_of(module)
    return (width,) if side is None else (width // side**2, side, side)


def _enough(values: Tensor, wanted: Wanted) -> int:
    """The smallest rank that keeps what is wanted; at least 1, also where all values are zero."""
    if wanted.keep_ratio is not None:
        return max(1, int((values >= values[0] / wanted.keep_ratio).sum())) if values[0] > 0 else 1
    share = wanted.keep if wanted.keep is not None else wanted.keep_frobenius
    assert share is not None
    masses = values if wanted.keep is not None else values.square()
    needed = share if wanted.keep is not None else share * share
    total = masses.sum()
    if total <= 0:
        return 1
    # Rounding must not cost the last singular value when everything is to be kept.
    enough = masses.cumsum(0) >= total * needed * (1 - 1e-12)
    return int(enough.to(torch.int64).argmax()) + 1


def _kept(module: str, old_rank: int, rank: int, values: Tensor, used: int) -> Kept:
    total, squares = float(values.sum()), float(values.square().sum())
    return Kept(
        module=module,
        old_rank=old_rank,
        new_rank=rank,
        frobenius=math.sqrt(float(values[:used].square().sum()) / squares) if squares > 0 else 1.0,
        singular_values=float(values[:used].sum()) / total if total > 0 else 1.0,
        largest=float(values[0]),
        smallest_kept=float(values[used - 1]),
    )


def resized_metadata(metadata: Mapping[str, str], weights: LoraWeights) -> dict[str, str]:
    """``metadata`` of a file that was resized: rank and alpha as they are now, as sd-scripts writes them.

    ``ss_network_dim`` is ``Dynamic`` where the modules differ; the comment says where it came from.
    """
    found = {name: value for name, value in metadata.items() if not name.startswith(("sshs_", "modelspec.hash"))}
    narrow = [own for own in weights.values() if not _is_wide(own)] or list(weights.values())
    wide = [own for own in weights.values() if _is_wide(own)]
    old = metadata.get("ss_network_dim", "unknown")
    dim, alpha = _one({own.rank for own in narrow}), _one({own.alpha for own in narrow})
    found |= {"ss_network_dim": dim, "ss_network_alpha": alpha}
    arguments = _json_object(metadata.get("ss_network_args"))
    if arguments.pop("algo", "lora") not in ("lora", "locon"):
        found["ss_network_module"] = "networks.lora"
        arguments = {name: value for name, value in arguments.items() if name not in _OF_OTHER_KINDS}
        found["ss_network_args"] = json.dumps(arguments)
    if wide:
        arguments |= {"conv_dim": _one({own.rank for own in wide}), "conv_alpha": _one({own.alpha for own in wide})}
        found["ss_network_args"] = json.dumps(arguments)
    comment = f"resized from rank {old} to {dim}"
    if (before := metadata.get("ss_training_comment", "None")) not in ("None", ""):
        comment += f"; {before}"
    return found | {"ss_training_comment": comment}


def _is_wide(own: ModuleWeights) -> bool:
    return math.prod(own.tensors[DOWN].shape[2:]) > 1


def _one(values: set[Any]) -> str:
    return str(next(iter(values))) if len(values) == 1 else "Dynamic"


def _json_object(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
