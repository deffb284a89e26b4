"""What the scalars of a training are about, by the names that trainers give them.

sd-scripts: ``loss/current``, ``loss/average`` (of the steps of an epoch), ``lr/unet``, ``lr/d*lr/unet``, ``norm/avg_grad_norm``;
``loss/epoch_average`` and ``loss/validation/epoch_average`` with the number of the epoch as their step, as older versions also
wrote ``loss/epoch``; ``loss/validation/step_average``. OneTrainer: ``loss/train_step``, ``smooth_loss/train_step``, ``lr/unet``,
``loss/validation_step/total_average``. diffusers' scripts and ai-toolkit: ``loss`` or ``train_loss``, ``lr``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final


class Meaning(Enum):
    """What a scalar measures."""

    LOSS = "loss"
    AVERAGE = "average"
    VALIDATION = "validation"
    RATE = "rate"
    GRAD_NORM = "grad norm"
    EPOCH = "epoch"
    OTHER = "other"


@dataclass(frozen=True)
class Tag:
    """A scalar's name, understood."""

    name: str
    meaning: Meaning
    rank: int = 0
    """Of several with one meaning the lowest is shown as it, the others by their names."""
    group: str = ""
    """Of a rate: whose."""
    by_epoch: bool = False
    """Written at the end of an epoch; its step is mostly the epoch's number."""

    @property
    def is_by_step(self) -> bool:
        """Its step says how far the training is."""
        return self.meaning in _BY_STEP and not self.by_epoch


_BY_STEP: Final = frozenset({Meaning.LOSS, Meaning.AVERAGE, Meaning.RATE})
_LOSSES: Final = (
    *("loss/current", "loss/train_step", "train/loss", "train_loss", "loss/train", "loss/step", "loss/loss", "loss"),
    "loss/total",
)
_AVERAGES: Final = ("loss/average", "smooth_loss/train_step", "loss/avg", "loss_avg")
_VALIDATIONS: Final = (
    *("loss/validation/step_average", "loss/validation_step/total_average", "loss/validation", "validation/loss"),
    *("val/loss", "val_loss", "loss/val", "validation_loss", "loss/validation/epoch_average"),
)
_GRAD_NORMS: Final = ("norm/avg_grad_norm", "grad_norm", "train/grad_norm", "grad/norm", "gradient_norm")
_RATE: Final = re.compile(r"(?:train/)?(?:lr|learning_rate)(?P<d>/d\*lr)?(?:/(?P<group>.+))?")
_BY_EPOCH: Final = re.compile(r"(?:^|[/_])epoch(?:$|[/_])")


@lru_cache(maxsize=4096)
def understand(name: str) -> Tag:
    """What ``name`` is about."""
    by_epoch = _BY_EPOCH.search(name) is not None
    for names, meaning in (
        (_LOSSES, Meaning.LOSS),
        (_AVERAGES, Meaning.AVERAGE),
        (_VALIDATIONS, Meaning.VALIDATION),
        (_GRAD_NORMS, Meaning.GRAD_NORM),
    ):
        if name in names:
            return Tag(name, meaning, names.index(name), by_epoch=by_epoch)
    if name in {"epoch", "train/epoch"}:
        return Tag(name, Meaning.EPOCH)
    if (rate := _RATE.fullmatch(name)) is not None and not by_epoch:
        # What an adaptive optimizer found times the rate is what the weights move by: it is the rate, where it is written.
        return Tag(name, Meaning.RATE, 0 if rate["d"] else 1, rate["group"] or "lr")
    return Tag(name, Meaning.OTHER, by_epoch=by_epoch)
