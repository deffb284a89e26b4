"""The profile's ``[loss]``: what the model is held against, how its errors count, and the noise and timesteps it is shown."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from engine.profile.schema.section import APPLIED, FIXED, Section
from engine.profile.setting import Setting


class LossKind(StrEnum):
    """How an error counts."""

    MSE = "mse"
    L1 = "l1"
    HUBER = "huber"
    SMOOTH_L1 = "smooth_l1"


class DeltaSchedule(StrEnum):
    """How a Huber loss's delta depends on the timestep."""

    CONSTANT = "constant"
    EXPONENTIAL = "exponential"
    SNR = "snr"


class TimestepDistribution(StrEnum):
    """How timesteps are drawn from their range."""

    UNIFORM = "uniform"
    LOGIT_NORMAL = "logit_normal"
    MODE = "mode"
    COSMAP = "cosmap"


class Loss(Section):
    """What the model is held against, how its errors count, and the noise and timesteps it is shown."""

    kind: Annotated[
        LossKind,
        Field(strict=False),
        Setting(
            "How an error counts: squared (mse), by its size (l1), or squared only while small (huber, smooth_l1).",
            APPLIED,
            detail="mse is usual. huber and smooth_l1 (both the smooth pseudo-Huber form, arXiv:2403.16728) take less "
            "notice of images that do not fit the rest.",
            aliases=("loss_type", "type", "loss_fn"),
        ),
    ] = LossKind.MSE
    delta: Annotated[
        float | None,
        Field(gt=0, le=10),
        Setting(
            "Where a huber or smooth_l1 loss turns from squared to linear.",
            APPLIED,
            absent="0.1",
            detail="With a schedule it is the value at the noisiest timestep; the clearest has 1.",
            aliases=("huber_c", "huber_delta"),
        ),
    ] = None
    delta_schedule: Annotated[
        DeltaSchedule,
        Field(strict=False),
        Setting(
            "How delta depends on the timestep: constant, exponential in it, or by the signal-to-noise ratio.",
            APPLIED,
            aliases=("huber_schedule",),
        ),
    ] = DeltaSchedule.SNR
    delta_scale: Annotated[
        float | None,
        Field(gt=0, le=100),
        Setting("Multiplies delta at every timestep.", APPLIED, absent="1", aliases=("huber_scale",)),
    ] = None
    prediction: Annotated[
        Literal["auto", "epsilon", "v_prediction"],
        Setting(
            "What the model predicts: the noise (epsilon), the velocity (v_prediction), or what the base says.",
            FIXED,
            detail="Only for a base whose file does not say what it is. A wrong value ruins the training.",
            aliases=("v_parameterization", "prediction_type"),
        ),
    ] = "auto"
    zero_terminal_snr: Annotated[
        Literal["auto", "on", "off"],
        Setting(
            "Rescale the noise schedule so that the last timestep is pure noise; auto does what the base says.",
            FIXED,
            detail="arXiv:2305.08891. For v-prediction bases that were trained so (NoobAI-XL v-pred).",
            aliases=("ztsnr", "rescale_betas_zero_snr", "enable_zero_terminal_snr"),
        ),
    ] = "auto"
    min_snr_gamma: Annotated[
        float | None,
        Field(gt=0, le=100),
        Setting(
            "Min-SNR-γ: limit the weight of timesteps with little noise.",
            APPLIED,
            absent="off",
            detail="arXiv:2303.09556. 5 is usual; 1 limits most. Learns evenly over the timesteps, and often faster.",
            aliases=("snr_gamma", "min_snr"),
        ),
    ] = None
    debiased_estimation: Annotated[
        bool,
        Setting(
            "Weight timesteps by 1 / √SNR, for v-prediction by 1 / (SNR + 1).",
            APPLIED,
            detail="arXiv:2310.08442. An alternative to Min-SNR-γ that favours noisy timesteps: composition and colours.",
            aliases=("debiased_estimation_loss", "debiased"),
        ),
    ] = False
    scale_v_like_noise: Annotated[
        bool,
        Setting(
            "With v-prediction, weight timesteps as the loss of a noise prediction would: by SNR / (SNR + 1).",
            APPLIED,
            aliases=("scale_v_pred_loss_like_noise_pred",),
        ),
    ] = False
    v_like_share: Annotated[
        float | None,
        Field(gt=0, le=10),
        Setting(
            "With noise prediction, add so much of what the loss of a v-prediction would be.",
            APPLIED,
            absent="off",
            detail="A factor 1 + share · (SNR + 1) / SNR.",
            aliases=("v_pred_like_loss",),
        ),
    ] = None
    noise_offset: Annotated[
        float,
        Field(ge=0, le=1),
        Setting(
            "Shift the noise of each channel as a whole by a random amount of this size; 0 is off.",
            APPLIED,
            detail="Helps with very dark and very bright pictures. 0.03 to 0.1; SDXL's own base was trained with 0.05.",
        ),
    ] = 0.0
    noise_offset_random: Annotated[
        bool,
        Setting(
            "Draw the size of the noise offset for each image from 0 to noise_offset.",
            APPLIED,
            aliases=("noise_offset_random_strength",),
        ),
    ] = False
    adaptive_noise_scale: Annotated[
        float | None,
        Field(gt=-1, lt=1),
        Setting(
            "Adds to the noise offset so much of the mean brightness of each latent channel.",
            APPLIED,
            absent="off",
        ),
    ] = None
    multires_iterations: Annotated[
        int,
        Field(ge=0, le=10),
        Setting(
            "Levels of ever coarser noise that are added to the noise (multi-resolution or pyramid noise); 0 is off.",
            APPLIED,
            detail="6 to 10 are usual. An alternative to the noise offset.",
            aliases=("multires_noise_iterations", "pyramid_noise_iterations"),
        ),
    ] = 0
    multires_discount: Annotated[
        float | None,
        Field(gt=0, le=1),
        Setting(
            "Weight of each level of multi-resolution noise relative to the one before.",
            APPLIED,
            absent="0.3",
            detail="0.1 to 0.3 for a LoRA; 0.8 changes the pictures a lot.",
            aliases=("multires_noise_discount", "pyramid_noise_discount"),
        ),
    ] = None
    input_perturbation: Annotated[
        float,
        Field(ge=0, le=1),
        Setting(
            "Extra noise in the input that the model is not asked to predict; 0 is off.",
            APPLIED,
            detail="arXiv:2301.11706, which uses 0.1.",
            aliases=("ip_noise_gamma", "input_perturbation_gamma"),
        ),
    ] = 0.0
    input_perturbation_random: Annotated[
        bool,
        Setting(
            "Draw the size of the perturbation for each image from 0 to input_perturbation.",
            APPLIED,
            aliases=("ip_noise_gamma_random_strength",),
        ),
    ] = False
    min_timestep: Annotated[
        int,
        Field(ge=0, le=999),
        Setting(
            "The lowest timestep, with the least noise, that is trained.",
            APPLIED,
            detail="A range trains only details (low) or only composition (high). 0 to 1000 is everything.",
            aliases=("min_timesteps", "min_t"),
        ),
    ] = 0
    max_timestep: Annotated[
        int | None,
        Field(ge=1, le=1000),
        Setting(
            "Only timesteps below this are trained.",
            APPLIED,
            absent="all of the base's",
            aliases=("max_timesteps", "max_t"),
        ),
    ] = None
    timestep_distribution: Annotated[
        TimestepDistribution,
        Field(strict=False),
        Setting(
            "How timesteps are drawn from their range.",
            APPLIED,
            detail="uniform is what SDXL was trained with. logit_normal favours the middle, mode and cosmap shift the weight "
            "as in arXiv:2403.03206, section 3.1.",
            aliases=("timestep_sampling", "timestep_type", "weighting_scheme"),
        ),
    ] = TimestepDistribution.UNIFORM
    timestep_location: Annotated[
        float | None,
        Field(ge=-5, le=5),
        Setting(
            "Centre of logit_normal: below 0 favours low timesteps, above 0 high ones.",
            APPLIED,
            absent="0",
            aliases=("logit_mean", "noising_bias"),
        ),
    ] = None
    timestep_scale: Annotated[
        float | None,
        Field(ge=-1, le=10),
        Setting(
            "Width of logit_normal (above 0), or the shift of mode (-1 to 1.75; above 0 favours the middle).",
            APPLIED,
            absent="1 for logit_normal, 1.29 for mode",
            aliases=("logit_std", "mode_scale", "noising_weight", "sigmoid_scale"),
        ),
    ] = None
