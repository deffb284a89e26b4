"""The bundled base is a complete, small SDXL folder that any SDXL program can use."""

from __future__ import annotations

import torch
from diffusers import StableDiffusionXLPipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from engine.demo import locate
from engine.model.base import BaseFolder
from engine.model.encoders import BaseEncoders

LIMIT_BYTES = 6_000_000
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


def test_it_denoises_strong_noise_a_little(base: BaseFolder) -> None:
    encoders = BaseEncoders(base)
    latents = encoders.encode_images(_pixels(128, 96, 6))
    embeddings, pooled = encoders.encode_captions(["a robot"] * 6)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    timesteps = torch.full((6,), 800)
    added = {"text_embeds": pooled, "time_ids": torch.tensor([[96.0, 128, 0, 0, 96, 128]]).repeat(6, 1)}
    with torch.no_grad():
        noisy = base.noise_scheduler().add_noise(latents, noise, timesteps)
        predicted = base.unet()(noisy, timesteps, encoder_hidden_states=embeddings, added_cond_kwargs=added).sample
    assert (predicted - noise).square().mean() < 0.6


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
