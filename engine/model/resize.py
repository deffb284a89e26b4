"""Gives a LoRA another rank by singular value decomposition, module by module, and says what of each was kept.

The best approximation of a matrix at a lower rank keeps its largest singular values (Eckart & Young, 1936). ΔW = s · B A is
never formed: with B = Qb Rb and Aᵀ = Qa Ra (QR) the singular values are those of the small s · Rb Raᵀ, and its vectors, turned by
Qb and Qa, are ΔW's. A convolution's A is taken as a matrix over channels and kernel. Computed in float64.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from engine.model.errors import AdapterError
from engine.model.lora_tensors import DOWN, UP
from engine.model.lora_weights import LoraWeights, ModuleWeights


@dataclass(frozen=True)
class Wanted:
    """How the rank of each module is chosen: a fixed one, or the smallest that keeps enough; ``rank`` is then its limit.

    rank: for all modules; conv_rank: for convolutions wider than a pixel, by default as ``rank``. keep: share of the sum of
    singular values, keep_frobenius: share of the Frobenius norm, keep_ratio: all values down to the largest divided by it.
    alpha: of every module; by default each keeps its alpha / rank.
    """

    rank: int | None = None
    conv_rank: int | None = None
    keep: float | None = None
    keep_frobenius: float | None = None
    keep_ratio: float | None = None
    alpha: float | None = None

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
    B. Raises ``AdapterError`` for anything but plain LoRAs.
    """
    generator = torch.Generator().manual_seed(0)
    resized: LoraWeights = {}
    report = []
    for module, own in weights.items():
        if own.kind != "lora" or own.is_dora:
            kind = "a DoRA" if own.is_dora else f"a {own.kind}"
            raise AdapterError(f"{module} is {kind}", hint="Only plain LoRAs (and LoCons) can be resized.")
        resized[module], kept = _resize(module, own, wanted, generator)
        report.append(kept)
    return resized, report


def singular_values(weights: ModuleWeights) -> Tensor:
    """Those of ΔW, largest first, float64; as many as the module has ranks (or fewer, if the matrix is smaller)."""
    return _decomposed(weights)[1]


def _decomposed(weights: ModuleWeights) -> tuple[Tensor, Tensor, Tensor]:
    """U (out, m), S (m,), Vᵀ (m, in · k · k) of ΔW."""
    up = weights.tensors[UP].to(torch.float64).flatten(1)
    down = weights.tensors[DOWN].to(torch.float64).flatten(1)
    up_basis, up_core = torch.linalg.qr(up)
    down_basis, down_core = torch.linalg.qr(down.T)
    left, values, right = torch.linalg.svd(weights.scale * (up_core @ down_core.T), full_matrices=False)
    return up_basis @ left, values, right @ down_basis.T


def _resize(module: str, own: ModuleWeights, wanted: Wanted, generator: torch.Generator) -> tuple[ModuleWeights, Kept]:
    old_rank = own.tensors[DOWN].shape[0]
    shape = own.tensors[DOWN].shape[1:]
    if not all(torch.isfinite(tensor).all() for tensor in own.tensors.values()):
        raise AdapterError(
            f"{module} has weights that are not finite", hint="The file is damaged, or its training diverged."
        )
    left, values, right = _decomposed(own)
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
        UP: up.to(torch.float32).reshape(-1, rank, *own.tensors[UP].shape[2:]),
    }
    return ModuleWeights(tensors, alpha), _kept(module, old_rank, rank, values, used)


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
    if wide:
        arguments = _json_object(metadata.get("ss_network_args"))
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
