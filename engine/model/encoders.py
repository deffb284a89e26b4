"""Turns pictures into latents and captions into SDXL's conditioning, for the cache (``engine.data.encoders.EncoderSource``).

The encoders are loaded at first use and given back with ``release``. No random number is drawn, so what comes back
depends on the input and the keys alone. Everything is computed in float32, but for a VAE that is mended for float16.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from engine.model.conditioning import TextRules, encode_prompts, tokenize
from engine.model.open_base import Base

LATENTS_FORMATS: Final = {torch.float32: "mean float32 v1", torch.float16: "mean float16 v1"}
TEXT_FORMAT: Final = "penultimate float32 v1"
WARNED_OF: Final = 20
SHOWN: Final = 60

log = logging.getLogger(__name__)


class BaseEncoders:
    """The VAE and both text encoders of an SDXL base.

    Latents are the *mean* of the VAE's posterior. sd-scripts and diffusers' examples draw one sample and cache that; the
    posterior of SDXL's VAE is far narrower than the spread of its latents, so the two train alike, and the mean is the
    same in every run.
    """

    def __init__(
        self,
        base: Base,
        device: torch.device | str = "cpu",
        rules: TextRules | None = None,
        *,
        vae_dtype: torch.dtype = torch.float32,
    ) -> None:
        """Nothing is loaded yet. rules: how captions are read; by default 75 tokens of plain text. vae_dtype: float32, or float16
        for a VAE that is mended for it (``vae.vae_dtype``).
        """
        self._base = base
        self._device = device
        self._vae_dtype = vae_dtype
        self._rules = rules or TextRules()
        self._cut: set[str] = set()
        self._vaes: dict[torch.dtype, Any] = {}
        self._text: Any = None
        self._tokenizers: Any = None

    @property
    def vae_key(self) -> str:
        """Identifies the latents: the VAE, its scaling and how they are computed."""
        return _key(self._base.vae_key, LATENTS_FORMATS[self._vae_dtype])

    @property
    def text_key(self) -> str:
        """Identifies the embeddings: both encoders, their tokenizers, how captions are read and how they are computed."""
        rules = "" if self._rules == TextRules() else f" {self._rules.max_tokens} tokens, weights {self._rules.weights}"
        return _key(self._base.text_key, TEXT_FORMAT + rules)

    @torch.no_grad()
    def encode_images(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) in [-1, 1] to latents (B, 4, H/8, W/8), float32 on the CPU, times the scaling factor.

        Pictures that overflow a VAE in float16 are encoded again in float32, with a warning.
        """
        latents = self._latents(pixels, self._vae_dtype)
        if self._vae_dtype == torch.float32 or bool(torch.isfinite(latents).all()):
            return latents
        log.warning(
            "the VAE overflowed in float16 (is it really mended for it?); the image is encoded again in float32"
        )
        return self._latents(pixels, torch.float32)

    def _latents(self, pixels: Tensor, dtype: torch.dtype) -> Tensor:
        vae = self._vaes.get(dtype)
        if vae is None:
            vae = self._vaes[dtype] = self._base.vae(self._device, dtype)
        posterior = vae.encode(pixels.to(self._device, dtype)).latent_dist
        latents: Tensor = posterior.mode().float() * vae.config.scaling_factor
        return latents.cpu()

    @torch.no_grad()
    def encode_captions(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions to prompt embeddings (B, 77·k, D1 + D2) and pooled embeddings (B, P), float32 on the encoders' device.

        See ``conditioning.encode_prompts``. A caption beyond the rules' tokens is cut, with a warning. The empty caption is
        encoded like any other (not zeros, which only diffusers' pipeline uses for a negative prompt left out).
        """
        if not captions:
            unet = self._base.unet_config
            pooled = int(self._base.configs.text_encoder_2["projection_dim"])
            return torch.empty(0, 77, int(unet["cross_attention_dim"])), torch.empty(0, pooled)
        tokenizers, encoders = self._loaded_tokenizers(), self._loaded_text()
        embeds, pooled_embeds = encode_prompts(tokenizers, encoders, captions, self._rules)
        self._warn_of_cut(captions)
        return embeds.float(), pooled_embeds.float()

    def count_tokens(self, caption: str) -> int:
        """How many tokens a caption has, those that are cut included. Loads the tokenizers alone."""
        return len(tokenize(self._loaded_tokenizers()[0], caption, self._rules).ids)

    def release(self) -> None:
        """Drop the encoders and give their memory back; the next use loads them again."""
        self._vaes.clear()
        self._text = None
        if torch.device(self._device).type == "cuda":
            torch.cuda.empty_cache()

    def _loaded_tokenizers(self) -> Any:
        if self._tokenizers is None:
            self._tokenizers = self._base.tokenizers()
        return self._tokenizers

    def _loaded_text(self) -> Any:
        if self._text is None:
            self._text = self._base.text_encoders(torch.float32, self._device)
        return self._text

    def _warn_of_cut(self, captions: Sequence[str]) -> None:
        """Once per caption, and of a flood only the first: the data set's report counts them all."""
        room = self._rules.max_tokens
        for caption in captions:
            if len(caption.encode(errors="replace")) <= room or caption in self._cut or len(self._cut) >= WARNED_OF:
                continue  # a token stands for at least one byte
            length = self.count_tokens(caption)
            if length > room:
                self._cut.add(caption)
                shown = caption if len(caption) <= SHOWN else caption[:SHOWN] + "…"
                log.warning("a caption of %d tokens is cut to %d: %r", length, room, shown)


def _key(digest: str, how: str) -> str:
    return hashlib.sha256(f"{digest} {how}".encode()).hexdigest()
