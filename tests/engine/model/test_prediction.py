"""What a base predicts reaches its schedulers; the rescaled schedule is Lin et al.'s."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from engine.model.base import BaseFolder
from engine.model.prediction import Prediction, prediction_type


@pytest.fixture
def velocity_base(base: BaseFolder, tmp_path: Path) -> BaseFolder:
    """The bundled base with the scheduler of a v-prediction model with zero terminal SNR."""
    target = tmp_path / "base"
    shutil.copytree(base.path, target)
    file = target / "scheduler" / "scheduler_config.json"
    changes = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return BaseFolder(target)


def test_a_folder_says_what_its_unet_predicts(base: BaseFolder, velocity_base: BaseFolder) -> None:
    assert base.prediction == Prediction("epsilon", False, "scheduler/scheduler_config.json")
    assert velocity_base.prediction == Prediction("v_prediction", True, "scheduler/scheduler_config.json")
    assert base.digest != velocity_base.digest


def test_other_trainers_spellings_are_known() -> None:
    assert [prediction_type(name) for name in ("epsilon", "v", "V_Prediction ", "edm", "")] == [
        "epsilon",
        "v_prediction",
        "v_prediction",
        None,
        None,
    ]


def test_zero_terminal_snr_rescales_the_signal_as_published(base: BaseFolder, velocity_base: BaseFolder) -> None:
    """Lin et al. 2023, algorithm 1: the root of the signal shifted to end in 0 and scaled to keep its start."""
    plain = base.noise_scheduler().alphas_cumprod.sqrt()
    expected = ((plain - plain[-1]) * plain[0] / (plain[0] - plain[-1])) ** 2
    scheduler = velocity_base.noise_scheduler()
    torch.testing.assert_close(scheduler.alphas_cumprod, expected, rtol=1e-3, atol=1e-6)
    assert scheduler.alphas_cumprod[-1] == 0
    assert scheduler.config.prediction_type == "v_prediction"


def test_a_sampler_of_zero_terminal_snr_begins_at_the_last_timestep(velocity_base: BaseFolder) -> None:
    scheduler = velocity_base.sampling_scheduler()
    scheduler.set_timesteps(10)
    assert int(scheduler.timesteps[0]) == 999
    assert scheduler.config.prediction_type == "v_prediction"


def test_a_sampler_finds_the_picture_a_perfect_velocity_tells(velocity_base: BaseFolder) -> None:
    """With v = sqrt(a) noise - sqrt(1 - a) x, a model that always tells the true v must lead back to x."""
    scheduler, process = velocity_base.sampling_scheduler(), velocity_base.noise_scheduler()
    scheduler.set_timesteps(8)
    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(1, 4, 8, 8, generator=generator)
    latents = torch.randn(1, 4, 8, 8, generator=generator) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        noisy = scheduler.scale_model_input(latents, timestep)
        signal = process.alphas_cumprod[int(timestep)]
        noise = (noisy - signal.sqrt() * picture) / (1 - signal).sqrt()
        velocity = signal.sqrt() * noise - (1 - signal).sqrt() * picture
        latents = scheduler.step(velocity, timestep, latents).prev_sample
    torch.testing.assert_close(latents, picture, rtol=0, atol=1e-2)


def test_what_is_asked_for_overrules_the_base(base: BaseFolder) -> None:
    wanted = Prediction("v_prediction", True, "profile")
    assert base.noise_scheduler(wanted).config.prediction_type == "v_prediction"
    assert base.noise_scheduler(wanted).alphas_cumprod[-1] == 0
    assert base.sampling_scheduler(wanted).config.timestep_spacing == "trailing"
