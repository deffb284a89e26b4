"""The average loss that is shown beside the raw one: the mean over the latest optimizer steps.

The loss of a single step says little, since most of it is the timestep that was drawn; a hundred steps say where it goes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from engine.checkpoint.manifest import CheckpointError

WINDOW: Final = 100


class LossAverage:
    """Mean of the losses of the last ``WINDOW`` steps; of all of them while there are fewer."""

    def __init__(self) -> None:
        """No step yet."""
        self._losses: deque[float] = deque(maxlen=WINDOW)

    @property
    def value(self) -> float | None:
        """The mean; None before the first step. Summed exactly, so it depends on the losses alone."""
        return math.fsum(self._losses) / len(self._losses) if self._losses else None

    def add(self, loss: float) -> None:
        """Take in the loss of a step; must be finite."""
        self._losses.append(loss)

    def state_dict(self) -> dict[str, Any]:
        """``average`` in state.json."""
        return {"window": WINDOW, "losses": list(self._losses)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state; of one with a longer window the latest losses count."""
        losses = state.get("losses")
        if not isinstance(losses, list) or not all(type(loss) is float and math.isfinite(loss) for loss in losses):
            raise CheckpointError("the losses of its average are not readable")
        self._losses = deque(losses, maxlen=WINDOW)
