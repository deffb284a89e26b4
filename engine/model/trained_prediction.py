"""What is trained to be predicted: the base's word and what ``[loss]`` says instead, or why the two do not agree. Torch-free."""

from __future__ import annotations

from dataclasses import replace

from engine.errors import UserError
from engine.model.prediction import Prediction
from engine.profile.schema import Loss


class ObjectiveError(UserError):
    """The profile's ``[loss]`` does not fit the base."""


def effective_prediction(base: Prediction, settings: Loss) -> Prediction:
    """What is trained: the base's own word, but for what the profile says. Raises ``ObjectiveError`` if that makes no sense."""
    found = base
    if settings.prediction != "auto":
        found = replace(found, type=settings.prediction, source="loss.prediction")
    if settings.zero_terminal_snr != "auto":
        found = replace(found, zero_terminal_snr=settings.zero_terminal_snr == "on")
    if found.zero_terminal_snr and found.type == "epsilon":
        raise ObjectiveError(
            f"the noise cannot be learned from pure noise: zero terminal SNR needs v-prediction, and the model predicts "
            f"epsilon ({found.source})",
            where="loss.zero_terminal_snr",
            hint="Set loss.zero_terminal_snr = off, or loss.prediction = v_prediction if that is what the base predicts.",
        )
    if settings.scale_v_like_noise and found.type == "epsilon":
        raise ObjectiveError(
            f"the base predicts epsilon ({found.source}): there is no v-prediction to scale",
            where="loss.scale_v_like_noise",
            hint="Leave it out.",
        )
    if settings.v_like_share is not None and found.type == "v_prediction":
        raise ObjectiveError(
            f"the base predicts v ({found.source}): its loss is a v-prediction's already",
            where="loss.v_like_share",
            hint="Leave it out.",
        )
    return found
