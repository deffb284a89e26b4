"""The weights of an adapter as files hold them, module by module, in whatever file they come from or go to.

Tensors are named as peft names its parameters; ``alpha`` is what loaders divide by the rank to get the strength. Formats are
the business of ``lora_file.py`` and ``peft_file.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.errors import AdapterError
from engine.model.lora_tensors import DOWN, MAGNITUDE, UP, kind_of, problem_of, rank_of


@dataclass(frozen=True)
class ModuleWeights:
    """One module's share of an adapter.

    A LoRA has ``lora_A.weight`` (r, in[, k, k]) and ``lora_B.weight`` (out, r[, 1, 1]), with DoRA also
    ``lora_magnitude_vector.weight`` (out values). LoHa and LoKr have LyCORIS' tensors under LyCORIS' names.
    """

    tensors: Mapping[str, Tensor]
    alpha: float

    @property
    def kind(self) -> str:
        """``lora``, ``loha`` or ``lokr``."""
        return kind_of(self.tensors)

    @property
    def is_dora(self) -> bool:
        """The module has a magnitude of its own."""
        return MAGNITUDE in self.tensors

    @property
    def rank(self) -> int | None:
        """The inner dimension; None for a LoKr whose two factors are full matrices."""
        return rank_of(self._shapes)

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied by."""
        return 1.0 if self.rank is None else self.alpha / self.rank

    def problem(self) -> str | None:
        """What is missing or does not fit together, as words after the module's name; None if nothing is."""
        return problem_of(self._shapes)

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}


LoraWeights = dict[str, ModuleWeights]
"""By module, under the adapter's names."""


def delta(weights: ModuleWeights) -> Tensor:
    """What the module's weight is changed by, (out, in · k · k) in float32: alpha / rank times the product of the factors.

    A DoRA's magnitude is left out. Formulas: LoRA arXiv:2106.09685, LoHa arXiv:2108.06098, LoKr arXiv:2212.10650.
    """
    tensors = {name: tensor.to(torch.float32) for name, tensor in weights.tensors.items()}
    if weights.kind == "lora":
        product = tensors[UP].flatten(1) @ tensors[DOWN].flatten(1)
    elif weights.kind == "loha":
        one, other = tensors["hada_w1_a"] @ tensors["hada_w1_b"], tensors["hada_w2_a"] @ tensors["hada_w2_b"]
        product = one * other
    else:
        first, second = (_factor(tensors, name) for name in ("lokr_w1", "lokr_w2"))
        product = torch.kron(first, second)
    return weights.scale * product


def _factor(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    whole = tensors.get(name)
    return tensors[f"{name}_a"] @ tensors[f"{name}_b"] if whole is None else whole.flatten(1)


def require_whole(weights: LoraWeights, where: str) -> None:
    """Raise ``AdapterError`` if a module lacks a part of its weights, or if there is none at all."""
    if not weights:
        raise AdapterError("there is no LoRA in this file", where=where)
    for name, module in weights.items():
        if problem := module.problem():
            raise AdapterError(f"{name} {problem}", where=where, hint="The file is not complete.")
