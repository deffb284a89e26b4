"""``[loss]``: what does nothing or undoes something else is refused, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.profile.load import ProfileError, parse_profile

TEXT = '[model]\nbase = "base"\n[[dataset.sources]]\npath = "images"\n'

REFUSED = [
    (["loss.delta=0.2"], "loss.delta", "does nothing with loss.kind mse"),
    (["loss.delta_schedule=constant", "loss.kind=l1"], "loss.delta_schedule", "does nothing with loss.kind l1"),
    (["loss.delta_scale=2"], "loss.delta_scale", "does nothing"),
    (["loss.min_snr_gamma=5", "loss.debiased_estimation=true"], "loss.min_snr_gamma", "loss.debiased_estimation"),
    (["loss.min_snr_gamma=5", "loss.scale_v_like_noise=true"], "loss.min_snr_gamma", "loss.scale_v_like_noise"),
    (["loss.debiased_estimation=true", "loss.v_like_share=0.5"], "loss.debiased_estimation", "loss.v_like_share"),
    (["loss.scale_v_like_noise=true", "loss.prediction=epsilon"], "loss.scale_v_like_noise", "no v-prediction"),
    (["loss.v_like_share=0.5", "loss.prediction=v_prediction"], "loss.v_like_share", "already"),
    (["loss.zero_terminal_snr=on", "loss.prediction=epsilon"], "loss.zero_terminal_snr", "pure noise"),
    (["loss.noise_offset=0.1", "loss.multires_iterations=6"], "loss.noise_offset", "both add coarse noise"),
    (["loss.noise_offset_random=true"], "loss.noise_offset_random", "loss.noise_offset is off"),
    (["loss.adaptive_noise_scale=0.1"], "loss.adaptive_noise_scale", "loss.noise_offset is off"),
    (["loss.multires_discount=0.2"], "loss.multires_discount", "loss.multires_iterations is off"),
    (["loss.input_perturbation_random=true"], "loss.input_perturbation_random", "loss.input_perturbation is off"),
    (["loss.min_timestep=500", "loss.max_timestep=500"], "loss.min_timestep", "leaves no timestep"),
    (["loss.timestep_location=0.5"], "loss.timestep_location", "timestep_distribution uniform"),
    (["loss.timestep_scale=0.5", "loss.timestep_distribution=cosmap"], "loss.timestep_scale", "cosmap"),
    (["loss.timestep_scale=0", "loss.timestep_distribution=logit_normal"], "loss.timestep_scale", "above 0"),
    (["loss.timestep_scale=2", "loss.timestep_distribution=mode"], "loss.timestep_scale", "too large"),
]


@pytest.mark.parametrize(("overrides", "field", "words"), REFUSED, ids=[" ".join(case[0]) for case in REFUSED])
def test_settings_that_do_nothing_or_undo_each_other_are_refused(overrides: list[str], field: str, words: str) -> None:
    with pytest.raises(ProfileError) as error:
        parse_profile(TEXT, folder=Path("/nowhere"), overrides=overrides)
    (problem,) = error.value.problems
    assert problem.field == field
    assert words in problem.rule
    assert problem.suggestion


@pytest.mark.parametrize(
    "overrides",
    [
        ["loss.kind=huber", "loss.delta=0.2", "loss.delta_schedule=exponential", "loss.min_snr_gamma=5"],
        ["loss.prediction=v_prediction", "loss.zero_terminal_snr=on", "loss.scale_v_like_noise=true"],
        ["loss.noise_offset=0.05", "loss.adaptive_noise_scale=-0.01", "loss.input_perturbation=0.1"],
        ["loss.timestep_distribution=mode", "loss.timestep_scale=-0.5", "loss.min_timestep=200"],
    ],
)
def test_settings_that_fit_are_taken(overrides: list[str]) -> None:
    parse_profile(TEXT, folder=Path("/nowhere"), overrides=overrides)
