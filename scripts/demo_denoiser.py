"""The demo base's UNet and text encoders: their dimensions, and their training together on latents and captions.

As SDXL was trained (Podell et al., 2023): size, crop and target size of every picture are told, captions are dropped now and
then for classifier-free guidance, several aspect ratios alternate, small pictures come before large ones. The loss is weighted by
min-SNR-γ (Hang et al., 2023). Both text encoders learn from nothing, beside the UNet.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from scripts.demo_muon import Optimizer
from scripts.demo_tokenizers import VOCABULARY_SIZE

BETAS: Final = (0.00085, 0.012)
TRAIN_TIMESTEPS: Final = 1000
UNSEEN_SHARE: Final = 0.3
"""How much of its own an unseen word keeps."""
SNR_LIMIT: Final = 5.0
CAPTION_DROPOUT: Final = 0.1
HIDDEN_1, HIDDEN_2, PROJECTION_2 = 40, 56, 56
TIME_ID_EMBEDDING: Final = 16
UNET: Final[dict[str, Any]] = {
    "sample_size": 16,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (32, 64, 64),
    "attention_head_dim": (2, 4, 4),  # SDXL's name for the number of heads
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 1, 2),
    "use_linear_projection": True,
    "norm_num_groups": 8,
    "cross_attention_dim": HIDDEN_1 + HIDDEN_2,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": TIME_ID_EMBEDDING,
    "projection_class_embeddings_input_dim": 6 * TIME_ID_EMBEDDING + PROJECTION_2,
}


@dataclass(frozen=True)
class Examples:
    """Encoded pictures of one size."""

    latents: Tensor
    """(N, 4, h, w), times the scaling factor."""
    time_ids: Tensor
    """(N, 6)."""
    captions: Tensor
    """(N,): rows of the tables of token ids; row 0 is the empty caption."""


@dataclass(frozen=True)
class Stage:
    """A stretch of the training."""

    examples: list[Examples]
    """One entry per picture size; each batch is from one of them."""
    steps: int
    batch_size: int
    tokens: int
    """How many of a caption's 77 tokens are looked at; the rest is padding."""


def text_config(*, hidden: int, layers: int, heads: int, activation: str, projection: int, pad: int) -> CLIPTextConfig:
    """A CLIP text encoder's dimensions over the demo vocabulary."""
    return CLIPTextConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=77,
        hidden_act=activation,
        projection_dim=projection,
        bos_token_id=VOCABULARY_SIZE - 2,
        eos_token_id=VOCABULARY_SIZE - 1,
        pad_token_id=pad,
    )


class Denoiser(nn.Module):
    """The UNet with the two text encoders that tell it what to draw."""

    def __init__(self) -> None:
        super().__init__()
        first = text_config(
            hidden=HIDDEN_1, layers=2, heads=2, activation="quick_gelu", projection=HIDDEN_1, pad=VOCABULARY_SIZE - 1
        )
        second = text_config(hidden=HIDDEN_2, layers=3, heads=4, activation="gelu", projection=PROJECTION_2, pad=0)
        self.text_encoder, self.text_encoder_2 = CLIPTextModel(first), CLIPTextModelWithProjection(second)
        self.unet = UNet2DConditionModel(**UNET).to(memory_format=torch.channels_last)
        for encoder in (self.text_encoder, self.text_encoder_2):
            for name, weight in encoder.named_parameters():
                # CLIP's own start suits its width and years of training.
                if name.endswith("token_embedding.weight"):
                    nn.init.normal_(weight, std=0.5)
                elif name.endswith("position_embedding.weight"):
                    nn.init.normal_(weight, std=0.1)

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: tuple[Tensor, Tensor], time_ids: Tensor) -> Tensor:
        """The noise in ``noisy`` (B, 4, h, w). ids: the captions' tokens for either encoder, (B, up to 77)."""
        first = self.text_encoder(ids[0], output_hidden_states=True)
        second = self.text_encoder_2(ids[1], output_hidden_states=True)
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        added = {"text_embeds": second.text_embeds, "time_ids": time_ids}
        predicted: Tensor = self.unet(noisy, timesteps, encoder_hidden_states=states, added_cond_kwargs=added).sample
        return predicted


def train_denoiser(
    denoiser: Denoiser,
    stages: list[Stage],
    ids: tuple[Tensor, Tensor],
    *,
    generator: torch.Generator,
    average_gradients: Callable[[list[nn.Parameter]], None],
    report: Callable[[str], None],
) -> dict[str, Tensor]:
    """Train through all stages on one cosine; the weights' moving average. ids: (captions, 77) for either text encoder."""
    optimizer = Optimizer(denoiser.named_parameters(), lr=2e-3, matrix_lr=2e-2)
    betas = torch.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, TRAIN_TIMESTEPS, dtype=torch.float64) ** 2
    signal = torch.cumprod(1 - betas, 0).float()
    weights = (SNR_LIMIT * (1 - signal) / signal).clamp(max=1.0)
    average = {name: weight.detach().clone() for name, weight in denoiser.named_parameters()}
    total, step, losses = sum(stage.steps for stage in stages), 0, []
    for stage in stages:
        for _ in range(stage.steps):
            examples = stage.examples[int(torch.randint(len(stage.examples), (1,), generator=generator))]
            chosen = torch.randint(len(examples.latents), (stage.batch_size,), generator=generator)
            latents = examples.latents[chosen]
            noise = torch.randn(latents.shape, generator=generator)
            # Evenly spread over the batch: the mean loss varies less than with independent timesteps.
            spread = (torch.arange(len(latents)) + torch.rand(1, generator=generator)) / len(latents)
            timesteps = (spread * TRAIN_TIMESTEPS).long().clamp(max=TRAIN_TIMESTEPS - 1)
            share = signal[timesteps][:, None, None, None]
            is_told = torch.rand(len(latents), generator=generator) >= CAPTION_DROPOUT
            captions = examples.captions[chosen] * is_told
            told = ids[0][captions, : stage.tokens], ids[1][captions, : stage.tokens]
            noisy = share.sqrt() * latents + (1 - share).sqrt() * noise
            noisy = noisy.contiguous(memory_format=torch.channels_last)
            predicted = denoiser(noisy, timesteps, told, examples.time_ids[chosen])
            loss = ((predicted - noise).square().mean((1, 2, 3)) * weights[timesteps]).mean()
            loss.backward()
            average_gradients(optimizer.parameters())
            done = step / total
            optimizer.step(min(1.0, (step + 1) / 50) * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * done))))
            step += 1
            decay = min(0.995, step / (step + 10))
            torch._foreach_lerp_(list(average.values()), [p.detach() for p in denoiser.parameters()], 1 - decay)
            losses.append(loss.detach())
            if step % 50 == 0:
                report(f"UNet {step}/{total}: loss {torch.stack(losses[-50:]).mean().item():.4f}")
    return average


@torch.no_grad()
def quieten_unseen_words(encoder: CLIPTextModel | CLIPTextModelWithProjection, ids: Tensor) -> None:
    """Give tokens that ``ids`` (captions, 77) lack the mean of the words in it, and a little of their own first value.

    An embedding that training never met is as loud as any and means nothing to the UNet, which then draws noise. Quiet, an
    unknown word says "something", and can still be told from another.
    """
    embeddings = encoder.get_input_embeddings().weight
    seen = torch.zeros(len(embeddings), dtype=torch.bool)
    seen[ids.flatten()] = True
    words = seen.clone()
    words[[0, VOCABULARY_SIZE - 2, VOCABULARY_SIZE - 1]] = False  # "!", which pads, and the start and the end
    embeddings[~seen] = embeddings[words].mean(0) + UNSEEN_SHARE * embeddings[~seen]
