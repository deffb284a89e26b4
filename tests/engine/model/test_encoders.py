"""The encoders give SDXL's conditioning exactly, and the same every time."""

from __future__ import annotations

import logging

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from engine.data.encoders import EncoderSource
from engine.model.base import BaseFolder
from engine.model.encoders import BaseEncoders

CAPTIONS = ["a red circle on a blue field", "", "photo of a cat, it's 7 o'clock — 日本"]


@pytest.fixture(scope="module")
def encoders(base: BaseFolder) -> BaseEncoders:
    return BaseEncoders(base)


def test_it_is_an_encoder_source(encoders: BaseEncoders) -> None:
    source: EncoderSource = encoders
    assert source.vae_key != source.text_key


def test_captions_are_conditioned_as_diffusers_pipeline_does(base: BaseFolder, encoders: BaseEncoders) -> None:
    pipeline = StableDiffusionXLPipeline.from_pretrained(base.path, local_files_only=True)
    with torch.no_grad():
        expected, _, expected_pooled, _ = pipeline.encode_prompt(CAPTIONS, do_classifier_free_guidance=False)
    embeddings, pooled = encoders.encode_captions(CAPTIONS)
    assert embeddings.shape == (3, 77, 96)
    assert torch.equal(embeddings, expected)
    assert torch.equal(pooled, expected_pooled)


def test_many_captions_and_none(encoders: BaseEncoders) -> None:
    many = [f"caption number {index}" for index in range(20)]
    embeddings, pooled = encoders.encode_captions(many)
    alone, alone_pooled = encoders.encode_captions([many[18]])
    torch.testing.assert_close(embeddings[18], alone[0])
    torch.testing.assert_close(pooled[18], alone_pooled[0])
    embeddings, pooled = encoders.encode_captions([])
    assert (embeddings.shape, pooled.shape) == ((0, 77, 96), (0, 56))


def test_latents_are_the_scaled_mean(base: BaseFolder, encoders: BaseEncoders) -> None:
    pixels = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    vae = base.vae()
    with torch.no_grad():
        expected = vae.encode(pixels).latent_dist.mean * 0.13025
    assert torch.equal(encoders.encode_images(pixels), expected)
    assert expected.shape == (2, 4, 8, 12)


def test_encoding_draws_no_random_number_and_repeats_exactly(encoders: BaseEncoders) -> None:
    pixels = torch.zeros(1, 3, 64, 64)
    before = torch.get_rng_state()
    first = encoders.encode_images(pixels), *encoders.encode_captions(CAPTIONS)
    encoders.release()
    encoders.release()
    again = encoders.encode_images(pixels), *encoders.encode_captions(CAPTIONS)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_a_caption_that_is_cut_is_warned_of(encoders: BaseEncoders, caplog: pytest.LogCaptureFixture) -> None:
    fits = " ".join(["red"] * 75)
    with caplog.at_level(logging.WARNING):
        encoders.encode_captions([fits])
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        embeddings, _ = encoders.encode_captions([f"{fits} red"])
    assert "76 tokens" in caplog.text
    assert torch.equal(embeddings, encoders.encode_captions([fits])[0])
