"""Looks at a single ``.safetensors`` file's header and says whether it is an SDXL base in the original layout, or what else.

Nothing but the header is read and no torch needed, so a profile can be checked before anything is made. Loading the parts is
``base_file.py``'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.model.architecture import TIME_IDS, published_config, text_configs, unet_config, vae_config
from engine.model.base_check import BaseConfigs
from engine.model.errors import ModelError
from engine.model.original_layout import (
    TEXT_1,
    TEXT_2,
    UNET,
    VAE,
    NotThisLayoutError,
    Shapes,
    TextDimensions,
    UNetDimensions,
    VaeDimensions,
    differences,
)
from engine.model.prediction import Prediction, prediction_type
from engine.model.safetensors_header import AGAIN, Header, read_header

WANTED: Final = (
    "Name a diffusers folder or a single .safetensors file of an SDXL base, UNet, text encoders and VAE in one."
)


@dataclass(frozen=True)
class SingleFile:
    """An SDXL base in one file, its configurations worked out."""

    header: Header
    configs: BaseConfigs
    parts: Mapping[str, tuple[str, ...]]
    """The tensors of each part, by its prefix; what else the file holds is not looked at."""

    def size(self, part: str) -> int:
        """Bytes of one part's tensors."""
        entries = [self.header.tensors[name] for name in self.parts[part]]
        return sum(entry.end - entry.start for entry in entries)


def read_single_file(path: Path, *, needs_vae: bool = True) -> SingleFile:
    """The base in the file at ``path``. needs_vae: no other one was named, so it must be in the file.

    Raises ``ModelError`` with the one thing that the file is instead, or with what it lacks.
    """
    header = read_header(path)
    names = header.tensors.keys()
    for is_that, reason, hint in _OTHER_KINDS:
        if is_that(header):
            raise ModelError(reason, where=str(path), hint=hint)
    if needs_vae and not any(name.startswith(VAE) for name in names):
        raise ModelError("the file has no VAE", where=str(path), hint="Name one: model.vae, a file or folder.")
    try:
        return _single_file(header, has_vae=any(name.startswith(VAE) for name in names))
    except NotThisLayoutError as error:
        raise ModelError(f"this is no SDXL base: it {error}", where=str(path), hint=WANTED) from None


def vae_dimensions(tensors: Mapping[str, tuple[int, ...]]) -> VaeDimensions:
    """Of a VAE in the original layout, its tensors without prefix and complete. Raises ``NotThisLayoutError``."""
    found = VaeDimensions.of(tensors)
    _require(tensors, found.tensors(), "VAE")
    if found.latents != 4:
        raise NotThisLayoutError(f"has a VAE with {found.latents} latent channels; SDXL's has 4")
    return found


def without_prefix(header: Header, prefix: str) -> Shapes:
    """The shapes of the tensors under ``prefix``."""
    start = len(prefix)
    return {name[start:]: entry.shape for name, entry in header.tensors.items() if name.startswith(prefix)}


def _single_file(header: Header, *, has_vae: bool) -> SingleFile:
    unet, first, second = (without_prefix(header, prefix) for prefix in (UNET, TEXT_1, TEXT_2))
    dimensions = UNetDimensions.of(unet)
    encoders = TextDimensions.of_first(first), TextDimensions.of_second(second)
    vae = vae_dimensions(without_prefix(header, VAE)) if has_vae else None
    parts = {
        UNET: dimensions.tensors(),
        TEXT_1: encoders[0].first_tensors(),
        TEXT_2: encoders[1].second_tensors(),
        VAE: vae.tensors() if vae else {},
    }
    _require(unet, parts[UNET], "UNet", exactly=True)
    _require(first, parts[TEXT_1], "first text encoder")
    _require(second, parts[TEXT_2], "second text encoder")
    _require_fit(dimensions, *encoders)
    text = text_configs(*encoders)
    prediction = _prediction(header)
    configs = BaseConfigs(
        unet=unet_config(dimensions, pooled=encoders[1].projection),
        vae=vae_config(vae) if vae else {},
        text_encoder=text[0],
        text_encoder_2=text[1],
        scheduler=published_config("scheduler")
        | {"prediction_type": prediction.type, "rescale_betas_zero_snr": prediction.zero_terminal_snr},
        prediction=prediction,
    )
    names = {prefix: tuple(prefix + name for name in tensors) for prefix, tensors in parts.items()}
    return SingleFile(header, configs, names)


def _require(
    found: Shapes | Mapping[str, tuple[int, ...]], expected: Shapes, part: str, *, exactly: bool = False
) -> None:
    wrong = list(differences(found, expected))
    if exactly:
        wrong += [f"{name} is unknown" for name in found if name not in expected]
    if wrong:
        more = f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
        raise NotThisLayoutError(f"has another {part} than SDXL: {wrong[0]}{more}")


def _require_fit(unet: UNetDimensions, first: TextDimensions, second: TextDimensions) -> None:
    if (unet.in_channels, unet.out_channels) != (4, 4):
        raise NotThisLayoutError(
            f"has a UNet that takes {unet.in_channels} channels and gives {unet.out_channels}, not 4"
        )
    if unet.context != first.width + second.width:
        together = f"{first.width} + {second.width}"
        raise NotThisLayoutError(f"has a UNet for a text {unet.context} wide, its text encoders give {together}")
    if unet.added <= second.projection or (unet.added - second.projection) % TIME_IDS:
        raise NotThisLayoutError(
            f"has a UNet with other size conditioning: {unet.added} beside {second.projection} pooled"
        )


def _prediction(header: Header) -> Prediction:
    """What the UNet predicts. Marker tensors, which is how ComfyUI knows such a file, count more than metadata.

    Merging tools copy metadata from either side; the markers go with the weights.
    """
    said = header.metadata.get("modelspec.prediction_type", "")
    ends_in_noise = "ztsnr" in header.tensors
    if "v_pred" in header.tensors:
        return Prediction("v_prediction", ends_in_noise, "the file's tensor v_pred")
    kind = prediction_type(said)
    if said and kind is None:
        raise NotThisLayoutError(
            f"predicts {said!r} (modelspec.prediction_type); an SDXL base predicts 'epsilon' or 'v'"
        )
    if kind is not None:
        return Prediction(kind, ends_in_noise, "the file's modelspec.prediction_type")
    return Prediction("epsilon", ends_in_noise, "nothing in the file says otherwise")


def _has(*starts: str) -> Callable[[Header], bool]:
    return lambda header: any(name.startswith(starts) for name in header.tensors)


def _lacks(*starts: str) -> Callable[[Header], bool]:
    return lambda header: not any(name.startswith(starts) for name in header.tensors)


def _is_lora(header: Header) -> bool:
    marks = (".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".hada_w1", ".lokr_w1", ".dora_scale")
    return any(name.startswith(("lora_", "lycoris_")) or any(mark in name for mark in marks) for name in header.tensors)


def _takes_channels(count: int) -> Callable[[Header], bool]:
    def takes(header: Header) -> bool:
        entry = header.tensors.get(f"{UNET}input_blocks.0.0.weight")
        return entry is not None and len(entry.shape) > 1 and entry.shape[1] == count

    return takes


def _is_vae(header: Header) -> bool:
    return all(
        name.startswith((VAE, "vae.", "encoder.", "decoder.", "quant_conv.", "post_quant_conv."))
        for name in header.tensors
    )


_OTHER_KINDS: Final[tuple[tuple[Callable[[Header], bool], str, str], ...]] = (
    (lambda header: not header.tensors, "the file holds no tensors", AGAIN),
    (_is_lora, "this is a LoRA, not a base model", "Name the base it was trained on; a LoRA goes on top of one."),
    (_is_vae, "this is a VAE, not a base model", "Name it as model.vae, and an SDXL base as model.base."),
    (_has(f"{UNET}double_blocks.", "double_blocks."), "this is a Flux model, not SDXL", WANTED),
    (_has(f"{UNET}joint_blocks.", "joint_blocks."), "this is a Stable Diffusion 3 model, not SDXL", WANTED),
    (_has("cond_stage_model.transformer."), "this is a Stable Diffusion 1 model, not SDXL", WANTED),
    (_has("cond_stage_model.model."), "this is a Stable Diffusion 2 model, not SDXL", WANTED),
    (_has("control_model.", "controlnet_"), "this is a ControlNet, not a base model", WANTED),
    (_has("down_blocks.", "input_blocks."), "this is a UNet alone, without text encoders and VAE", WANTED),
    (_lacks(UNET), "this is no SDXL base in the original layout: it has no model.diffusion_model", WANTED),
    (_takes_channels(9), "this is an inpainting model (its UNet takes 9 channels)", WANTED),
    (_takes_channels(8), "this is an editing model (its UNet takes 8 channels)", WANTED),
    (_has("edm_"), "this model was trained with EDM's noise schedule, which is not SDXL's", WANTED),
    (_lacks(f"{UNET}label_emb."), "this is no SDXL model: its UNet has no size conditioning (label_emb)", WANTED),
    (
        _has("conditioner.embedders.0.model."),
        "this is an SDXL refiner, which has one text encoder; only the base can be trained",
        WANTED,
    ),
    (_lacks(TEXT_1, TEXT_2), "this is a UNet alone, without text encoders", WANTED),
    (_lacks(TEXT_1), "the file lacks the first text encoder (conditioner.embedders.0)", WANTED),
    (_lacks(TEXT_2), "the file lacks the second text encoder (conditioner.embedders.1)", WANTED),
)
