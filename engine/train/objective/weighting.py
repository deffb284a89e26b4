"""How much each timestep counts: factors of the loss that depend on the signal-to-noise ratio alone, as a table over timesteps.

With the squared error of the predicted image as the measure, a noise prediction's loss counts by SNR and a v-prediction's by
SNR + 1 (Salimans & Ho 2022, arXiv:2202.00512, section 4); the factors below change that.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.model.prediction import PredictionType
from engine.profile.schema import Loss


def timestep_weights(snr: Tensor, prediction: PredictionType, settings: Loss) -> Tensor | None:
    """(T,) float64, by which the loss of a timestep is multiplied; None where all count alike.

    snr: (T,) float64. Min-SNR-γ (Hang et al. 2023, arXiv:2303.09556): min(SNR, γ) / SNR for noise, over SNR + 1 for v.
    Debiased estimation (Yu et al. 2023, arXiv:2310.08442): 1 / √SNR for noise; for v 1 / (SNR + 1), by which every timestep
    of the predicted image counts alike: the paper's aim, which for noise needs the root to stay bounded.
    """
    if settings.min_snr_gamma is not None:
        limited = snr.clamp(max=settings.min_snr_gamma)
        return limited / (snr if prediction == "epsilon" else snr + 1)
    if settings.debiased_estimation:
        return snr.rsqrt() if prediction == "epsilon" else 1 / (snr + 1)
    if settings.scale_v_like_noise:
        return snr / (snr + 1)
    if settings.v_like_share is not None:
        return 1 + settings.v_like_share * (snr + 1) / snr
    return None


def deltas(snr: Tensor, settings: Loss) -> Tensor:
    """(T,) float64: the pseudo-Huber loss's delta at each timestep (Khrapov et al. 2024, arXiv:2403.16728).

    ``exponential`` falls from 1 to δ as δ^(t/T); ``snr`` is (1 - δ) / (1 + σ)² + δ with σ = 1 / √SNR.
    """
    delta = 0.1 if settings.delta is None else settings.delta
    scale = 1.0 if settings.delta_scale is None else settings.delta_scale
    match settings.delta_schedule:
        case "constant":
            found = torch.full_like(snr, delta)
        case "exponential":
            share = torch.arange(len(snr), dtype=torch.float64) / len(snr)
            found = delta**share
        case _:
            found = (1 - delta) / (1 + snr.rsqrt()) ** 2 + delta
    return scale * found
