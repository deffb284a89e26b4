"""The running average of the trained weights: what it is after each step, and how it stands in for them for a while.

Polyak & Juditsky 1992; the warmup of the decay is that of TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``. All
weights are taken in by one kernel per step, on their device, without a wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from engine.checkpoint.manifest import CheckpointError
from engine.profile.schema import Ema


class WeightAverage:
    """The average of named parameters; it begins as a copy of them."""

    def __init__(self, parameters: Sequence[tuple[str, nn.Parameter]], settings: Ema) -> None:
        """settings: with a decay."""
        if settings.decay is None:
            raise ValueError("an average needs a decay")
        self._decay, self._warmup = settings.decay, settings.warmup
        self._names = [name for name, _ in parameters]
        self._weights = [parameter for _, parameter in parameters]
        self._averages: list[Tensor] = []
        self.restart()

    def restart(self) -> None:
        """Begin again with the weights as they are."""
        self._averages = [weight.detach().clone() for weight in self._weights]
        self.updates = 0
        """Steps taken in."""

    @property
    def decay(self) -> float:
        """That of the next step."""
        return min(self._decay, (1 + self.updates) / (10 + self.updates)) if self._warmup else self._decay

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step: average = decay · average + (1 - decay) · weight."""
        torch._foreach_lerp_(self._averages, list[Tensor](self._weights), 1 - self.decay)
        self.updates += 1

    def tensors(self) -> dict[str, Tensor]:
        """The average by parameter name; not copies."""
        return dict(zip(self._names, self._averages, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """``ema`` in state.json; the tensors are a file of their own."""
        return {"decay": self._decay, "updates": self.updates}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on from a stored average. Raises ``CheckpointError`` if it is another adapter's or not readable."""
        updates = state.get("updates")
        if type(updates) is not int or updates < 0:
            raise CheckpointError("its state.json does not say how many steps its average took in")
        if tensors.keys() != set(self._names):
            raise CheckpointError("its average is of other weights than the run trains")
        for name, average in zip(self._names, self._averages, strict=True):
            if tensors[name].shape != average.shape:
                raise CheckpointError(f"its average of {name} has another shape than the weight")
            average.copy_(tensors[name])
        self.updates = updates

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the model compute with the average for the while; then the weights are back, to the bit."""
        with torch.no_grad():
            weights = list[Tensor](self._weights)
            kept = [weight.detach().clone() for weight in weights]
            torch._foreach_copy_(weights, self._averages)
            try:
                yield
            finally:
                torch._foreach_copy_(weights, kept)

    def to(self, device: torch.device) -> None:
        """Move the average to where its weights go."""
        self._averages = [average.to(device) for average in self._averages]
