"""Turns pictures into latents and captions into SDXL's conditioning, for the cache (``engine.data.encoders.EncoderSource``).

The encoders are loaded at first use and given back with ``release``. Everything is computed in float32 without drawing a
random number, so what comes back depends on the input and the keys alone.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from engine.model.open_base import Base

LATENTS_FORMAT: Final = "mean float32 v1"
TEXT_FORMAT: Final = "penultimate float32 v1"
CAPTIONS_AT_ONCE: Final = 16
SHOWN: Final = 60

log = logging.getLogger(__name__)


class BaseEncoders:
    """The VAE and both text encoders of an SDXL base.

    Latents are the *mean* of the VAE's posterior. sd-scripts and diffusers' examples draw one sample and cache that; the
    posterior of SDXL's VAE is far narrower than the spread of its latents, so the two train alike, and the mean is the
    same in every run.
    """

    def __init__(self, base: Base, device: torch.device | str = "cpu") -> None:
        self._base = base
        self._device = device
        self._vae: Any = None
        self._text: Any = None

    @property
    def vae_key(self) -> str:
        """Identifies the latents: the VAE, its scaling and how they are computed."""
        return _key(self._base.vae_key, LATENTS_FORMAT)

    @property
    def text_key(self) -> str:
        """Identifies the embeddings: both encoders, their tokenizers and how they are computed."""
        return _key(self._base.text_key, TEXT_FORMAT)

    @torch.no_grad()
    def encode_images(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) in [-1, 1] to latents (B, 4, H/8, W/8), float32 on the CPU, times the scaling factor."""
        if self._vae is None:
            self._vae = self._base.vae(self._device)
        posterior = self._vae.encode(pixels.to(self._device, torch.float32)).latent_dist
        latents: Tensor = posterior.mode() * self._vae.config.scaling_factor
        return latents.cpu()

    @torch.no_grad()
    def encode_captions(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions to prompt embeddings (B, 77, D1 + D2) and pooled embeddings (B, P), float32 on the CPU.

        As SDXL was trained (Podell et al., 2023, section 2.1): the penultimate hidden states of both encoders side by side,
        and the second one's projected pooled output. A caption beyond 75 tokens is cut, with a warning. The empty
        caption is encoded like any other (not zeros, which only diffusers' pipeline uses for a negative prompt left out).
        """
        if self._text is None:
            self._text = (self._base.tokenizers(), self._base.text_encoders(torch.float32, self._device))
        parts = [
            self._encode(list(captions[start : start + CAPTIONS_AT_ONCE]))
            for start in range(0, len(captions), CAPTIONS_AT_ONCE)
        ]
        if not parts:
            unet = self._base.unet_config
            pooled = int(self._base.configs.text_encoder_2["projection_dim"])
            return torch.empty(0, 77, int(unet["cross_attention_dim"])), torch.empty(0, pooled)
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def release(self) -> None:
        """Drop the encoders and give their memory back; the next use loads them again."""
        self._vae = self._text = None
        if torch.device(self._device).type == "cuda":
            torch.cuda.empty_cache()

    def _encode(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        states = []
        for tokenizer, encoder in zip(*self._text, strict=True):
            ids = tokenizer(
                captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
            ).input_ids
            output = encoder(ids.to(self._device), output_hidden_states=True)
            states.append(output.hidden_states[-2])
        self._warn_of_cut(captions)
        return torch.cat(states, dim=-1).float().cpu(), output.text_embeds.float().cpu()

    def _warn_of_cut(self, captions: list[str]) -> None:
        tokenizer = self._text[0][0]
        room = 77 - 2
        for caption in captions:
            if len(caption.encode(errors="replace")) <= room:
                continue  # a token stands for at least one byte
            length = len(tokenizer(caption, add_special_tokens=False, verbose=False).input_ids)
            if length > room:
                shown = caption if len(caption) <= SHOWN else caption[:SHOWN] + "…"
                log.warning("a caption of %d tokens is cut to %d: %r", length, room, shown)


def _key(digest: str, how: str) -> str:
    return hashlib.sha256(f"{digest} {how}".encode()).hexdigest()
