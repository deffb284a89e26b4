"""The bundled base is a complete, small SDXL folder that any SDXL program can use, and it draws what a prompt says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from engine.demo import locate
from engine.model.base import BaseFolder
from engine.model.encoders import BaseEncoders
from engine.model.sampling import Picture, draw_samples
from engine.profile.sample_prompts import parse_sample_prompt
from engine.profile.schema import Samples

LIMIT_BYTES = 12_000_000
WORDS = ["a", "big", "red", "dog's", "über-café", "№7", "日本", "🎨", "it's", "3,5"]


def _pixels(width: int, height: int, count: int) -> Tensor:
    files = sorted(file for file in locate("bundled:demo-images").iterdir() if file.suffix in {".png", ".jpg"})[:count]
    rows = []
    for file in files:
        with Image.open(file) as picture:
            data = picture.convert("RGB").resize((width, height)).tobytes()
        pixels = torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(height, width, 3)
        rows.append(pixels.permute(2, 0, 1) / 127.5 - 1)
    return torch.stack(rows)


def test_the_folder_is_small(base: BaseFolder) -> None:
    assert sum(file.stat().st_size for file in base.path.rglob("*") if file.is_file()) <= LIMIT_BYTES


def test_diffusers_pipeline_loads_it_and_draws(base: BaseFolder) -> None:
    pipeline = StableDiffusionXLPipeline.from_pretrained(base.path, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("a red circle", width=64, height=96, num_inference_steps=2, output_type="np").images[0]
    assert picture.shape == (96, 64, 3)
    assert 0.02 < picture.std() < 0.5


def test_it_has_sdxl_s_blocks_and_conditioning(base: BaseFolder) -> None:
    unet, vae, scheduler = base.unet_config, base.configs.vae, base.scheduler_config
    assert unet["down_block_types"] == ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
    assert unet["up_block_types"] == ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]
    assert (unet["layers_per_block"], unet["use_linear_projection"]) == (2, True)
    assert (vae["scaling_factor"], vae["latent_channels"], len(vae["block_out_channels"])) == (0.13025, 4, 4)
    assert (scheduler["_class_name"], scheduler["beta_schedule"]) == ("EulerDiscreteScheduler", "scaled_linear")
    assert (scheduler["beta_start"], scheduler["beta_end"]) == (0.00085, 0.012)


def test_latents_of_real_pictures_have_unit_scale(base: BaseFolder) -> None:
    latents = BaseEncoders(base).encode_images(_pixels(128, 96, 6))
    assert latents.shape == (6, 4, 12, 16)
    assert 0.5 < latents.std() < 2.0
    assert latents.mean().abs() < 0.5


def test_the_vae_shows_pictures_again_in_their_colours(base: BaseFolder) -> None:
    pixels = _pixels(128, 96, 6)
    with torch.no_grad():
        vae = base.vae()
        shown = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
    signal_to_noise = 10 * torch.log10(4 / (shown - pixels).square().mean())
    assert signal_to_noise > 18
    assert (avg_pool2d(shown, 16) - avg_pool2d(pixels, 16)).abs().mean() < 0.06


@pytest.fixture(scope="module")
def draw(base: BaseFolder) -> Callable[..., Tensor]:
    """Pictures for prompts, (N, 3, 128, 128) in [0, 1]: for each the mean of those from two seeds, the same for all prompts."""
    encoders, unet, vae = BaseEncoders(base), base.unet(), base.vae()

    def run(*prompts: str) -> Tensor:
        settings = Samples(steps=12, guidance=4.0, width=128, height=128)
        rows = []
        for seed in range(2):
            # One prompt at a time: the seed counts up within a call.
            for prompt in prompts:
                how = parse_sample_prompt(prompt, settings.model_copy(update={"seed": seed}), 0)
                asked = Picture(how, encoders.encode_captions([prompt]), encoders.encode_captions([""]))
                (picture,) = draw_samples(
                    unet, vae, [asked], scheduler=lambda sampler: base.sampling_scheduler(sampler=sampler)
                )
                pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
                rows.append(pixels.reshape(128, 128, 3).permute(2, 0, 1) / 255)
        return torch.stack(rows).reshape(2, len(prompts), 3, 128, 128).mean(0)

    return run


def test_it_draws_the_colour_that_the_prompt_names(draw: Callable[..., Tensor]) -> None:
    red, blue = draw("a red circle on a white background", "a blue circle on a white background")[
        ..., 52:76, 52:76
    ].mean((2, 3))
    assert red[0] - red[2] > 0.25
    assert blue[2] - blue[0] > 0.25


def test_it_draws_the_ground_that_the_prompt_names(draw: Callable[..., Tensor]) -> None:
    white, black = draw("a red circle on a white background", "a red circle on a black background")[..., :12, :12].mean(
        (2, 3)
    )
    assert white.min() > 0.75
    assert black.max() < 0.3


def test_it_draws_the_place_that_the_prompt_names(draw: Callable[..., Tensor]) -> None:
    meadow, night = draw("a person, red, on a green meadow", "a person, red, under a starry night sky")
    assert meadow[1, 110:].mean() - meadow[2, 110:].mean() > 0.15, "the ground is green"
    assert meadow[2, :30].mean() > 0.6, "the sky is bright and blue"
    assert night[:, :30].mean() < 0.4


def test_it_draws_where_the_prompt_says(draw: Callable[..., Tensor]) -> None:
    left, right = (
        picture[0] - picture[2]
        for picture in draw(
            "a small red circle on a blue background, on the left",
            "a small red circle on a blue background, on the right",
        )
    )
    assert left[:, :64].mean() > left[:, 64:].mean() + 0.05
    assert right[:, 64:].mean() > right[:, :64].mean() + 0.05


def test_tokenizers_frame_and_pad_as_sdxl_s_do(base: BaseFolder) -> None:
    first, second = base.tokenizers()
    assert (first.model_max_length, second.model_max_length) == (77, 77)
    assert (first.pad_token, second.pad_token, second.pad_token_id) == ("<|endoftext|>", "!", 0)
    for tokenizer, pad in ((first, first.eos_token_id), (second, 0)):
        ids = tokenizer("a red circle", padding="max_length", max_length=77).input_ids
        assert ids[0] == tokenizer.bos_token_id
        assert ids[4] == tokenizer.eos_token_id
        assert ids[5:] == [pad] * 72
    assert first.eos_token_id == len(first) - 1  # CLIP finds the end of the text at the highest id


def test_common_words_are_one_token(base: BaseFolder) -> None:
    tokenizer = base.tokenizers()[0]
    for word in ("a", "photo", "of", "red", "circle", "blue", "square", "background"):
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_text_meets_an_unknown_token(text: str) -> None:
    tokenizer = _TOKENIZER
    ids = tokenizer(text, add_special_tokens=False).input_ids
    unknown = tokenizer.unk_token_id in ids
    assert not unknown or "<|endoftext|>" in text


@given(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join))
@settings(max_examples=40, deadline=None)
def test_tokens_hold_every_letter_of_a_caption(text: str) -> None:
    decoded = _TOKENIZER.decode(_TOKENIZER(text, add_special_tokens=False).input_ids)
    assert decoded.replace(" ", "") == text.lower().replace(" ", "")


_TOKENIZER = BaseFolder(locate("bundled:demo-base")).tokenizers()[0]
