"""Samples are drawn as diffusers draws them, and drawing leaves no trace in the training."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from engine.model.adapter import Adapter, add_lora
from engine.model.base import BaseFolder
from engine.model.encoders import BaseEncoders
from engine.model.prediction import Prediction
from engine.model.sampling import Picture, draw_samples, never_stop
from engine.profile.sample_prompts import SAMPLERS, SamplePrompt
from engine.profile.schema import Network

PROMPTS = ["a red circle", "a big blue square"]
HOW = SamplePrompt("", "blurry", 96, 64, 4, 5.0, 0.0, 11, "euler")


Draw = Callable[..., list[Image.Image]]


@pytest.fixture(scope="module")
def vae(base: BaseFolder) -> Any:
    return base.vae()


@pytest.fixture(scope="module")
def draw(base: BaseFolder, vae: Any) -> Draw:
    """Draws both prompts with a UNet: ``draw(unet, guidance=1.0)``."""
    encoders = BaseEncoders(base)
    prompts, negative = encoders.encode_captions(PROMPTS), encoders.encode_captions(["blurry"])

    def run(
        unet: Any,
        should_stop: Callable[[], bool] = never_stop,
        prediction: Prediction | None = None,
        **changes: Any,
    ) -> list[Image.Image]:
        pictures = [
            Picture(
                replace(HOW, seed=HOW.seed + at, **changes),
                (prompts[0][at : at + 1], prompts[1][at : at + 1]),
                (negative[0], negative[1]),
            )
            for at in range(len(PROMPTS))
        ]
        scheduler = partial(base.sampling_scheduler, prediction)
        return draw_samples(unet, vae, pictures, scheduler=scheduler, should_stop=should_stop)

    return run


def _difference(one: Image.Image, other: Image.Image) -> Tensor:
    return (torch.from_numpy(np.array(one, dtype=int)) - torch.from_numpy(np.array(other, dtype=int))).abs().float()


@pytest.fixture(scope="module")
def pipeline(base: BaseFolder) -> Any:
    found = StableDiffusionXLPipeline.from_pretrained(base.path, local_files_only=True)
    found.set_progress_bar_config(disable=True)
    return found


VELOCITY = Prediction("v_prediction", zero_terminal_snr=True, source="test")
CASES: list[dict[str, Any]] = [
    *({"guidance": guidance} for guidance in (0.0, 1.0, 5.0)),
    *({"sampler": sampler} for sampler in SAMPLERS),
    *({"sampler": sampler, "prediction": VELOCITY} for sampler in SAMPLERS),
    {"guidance_rescale": 0.7, "prediction": VELOCITY},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(getattr(v, "type", v)) for v in case.values()))
def test_pictures_are_those_of_diffusers_pipeline(
    base: BaseFolder, draw: Draw, pipeline: Any, case: dict[str, Any]
) -> None:
    pictures = draw(base.unet(), **case)
    prediction = case.get("prediction")
    pipeline.scheduler = base.sampling_scheduler(prediction, case.get("sampler", "euler"))
    assert len(pictures) == 2
    for index, picture in enumerate(pictures):
        expected = pipeline(
            PROMPTS[index],
            negative_prompt="blurry",
            width=96,
            height=64,
            num_inference_steps=4,
            guidance_scale=case.get("guidance", 5.0),
            guidance_rescale=case.get("guidance_rescale", 0.0),
            generator=torch.Generator().manual_seed(11 + index),
        ).images[0]
        assert (picture.size, picture.mode) == ((96, 64), "RGB")
        assert _difference(picture, expected).max() <= 1


def test_samplers_are_set_as_they_are_named(base: BaseFolder) -> None:
    for sampler in SAMPLERS:
        plain, velocity = base.sampling_scheduler(None, sampler), base.sampling_scheduler(VELOCITY, sampler)
        assert plain.config.prediction_type == "epsilon"
        assert bool(plain.config.get("use_karras_sigmas")) == sampler.endswith("karras")
        assert velocity.config.prediction_type == "v_prediction"
        assert velocity.config.rescale_betas_zero_snr
        velocity.set_timesteps(5)
        assert int(velocity.timesteps[0]) == 999, "with zero terminal SNR the first step is the last timestep"


def _random_states() -> tuple[object, ...]:
    numpy_state: Any = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), numpy_state[1].tolist(), numpy_state[2]


def test_drawing_leaves_no_trace(
    vae: Any, draw: Draw, adapted: Callable[..., Adapter], predict: Callable[[Any], Tensor]
) -> None:
    adapter = adapted(rank=2, dropout=0.5)
    unet: Any = adapter.unet
    unet.train()
    unet.conv_in.eval()  # a module in another mode than the rest must keep it
    torch.autograd.backward(predict(unet).square().mean())
    gradients = [parameter.grad for _, parameter in adapter.parameters()]
    values = [gradient.clone() for gradient in gradients if gradient is not None]
    modes = [module.training for module in unet.modules()]
    states = _random_states()

    first = draw(unet)
    assert _random_states() == states
    assert [module.training for module in unet.modules()] == modes
    assert not vae.training
    assert len(values) == 384
    for (_, parameter), gradient, value in zip(adapter.parameters(), gradients, values, strict=True):
        assert parameter.requires_grad
        assert parameter.grad is gradient
        assert gradient is not None
        assert torch.equal(gradient, value)

    torch.manual_seed(1)
    assert draw(unet) == first  # dropout is off, and only the seed counts


def test_an_error_while_drawing_still_restores_the_mode(base: BaseFolder, draw: Draw) -> None:
    unet = base.unet().train()

    def fail() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(unet, fail)
    assert all(module.training for module in unet.modules())


def test_stopping_returns_what_is_finished(base: BaseFolder, draw: Draw) -> None:
    asked = 0

    def after_six_steps() -> bool:
        nonlocal asked
        asked += 1
        return asked > 6

    assert len(draw(base.unet(), after_six_steps)) == 1


def test_a_base_in_half_precision_draws_nearly_the_same(base: BaseFolder, draw: Draw) -> None:
    half = base.unet(torch.bfloat16)
    add_lora(half, Network(rank=2), seed=0)
    assert _difference(draw(base.unet())[0], draw(half)[0]).mean() < 6


def test_values_that_are_not_finite_still_make_a_picture(base: BaseFolder, draw: Draw) -> None:
    unet = base.unet()
    unet.conv_out.bias.data.fill_(float("nan"))
    assert draw(unet)[0].getextrema() == ((128, 128),) * 3
