"""LoRAs with peft's names: diffusers' ``pytorch_lora_weights.safetensors`` and the folders of peft's ``save_pretrained``.

diffusers' file names its component first, ``unet.<module>.lora_A.weight``, ``text_encoder.…``, ``text_encoder_2.…``; peft's
folder holds one model, ``base_model.model.<module>.lora_A.weight``, and its alphas in ``adapter_config.json``. What is written
has its strength in the weights (alpha = rank), since not every loader of these names looks for an alpha.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from engine.durable import write_atomically
from engine.model.errors import AdapterError
from engine.model.lora_file import serialized, stored
from engine.model.lora_tensors import ALPHA, DOWN, MAGNITUDE, UP
from engine.model.lora_weights import LoraWeights, ModuleWeights, require_whole
from engine.model.peft_names import (
    COMPONENTS,
    CONFIG_KEY,
    CONFIG_NAME,
    PEFT_PREFIX,
    WEIGHTS_NAME,
    configs_of,
    place_of,
    scale_in,
)
from engine.model.targets import TEXT_ENCODERS, UNET

_MAGNITUDE: Final = "lora_magnitude_vector"


def write_diffusers(
    path: Path, weights: LoraWeights, *, metadata: Mapping[str, str], dtype: torch.dtype = torch.float32
) -> None:
    """Write a LoRA or DoRA as ``StableDiffusionXLPipeline.load_lora_weights`` reads it without converting anything.

    Where ranks differ, the configuration of every component is added as diffusers itself does (``lora_adapter_metadata``).
    Raises ``AdapterError`` for other kinds of adapter, and ``OSError`` if the disk does not take it.
    """
    tensors: dict[str, Tensor] = {}
    configs: dict[str, Any] = {}
    for component, modules in by_component(weights).items():
        for name, tensor in _tensors(modules, dtype).items():
            # peft itself leaves this ending out, and adds it on reading; transformers, which has the encoders, does not.
            ending = ".weight" if name.endswith(_MAGNITUDE) else ""
            tensors[f"{component}.{name}{ending}"] = tensor
        configs |= {f"{component}.{name}": value for name, value in _config(modules).items()}
    is_mixed = any(value for name, value in configs.items() if name.endswith(".rank_pattern"))
    extra = {CONFIG_KEY: json.dumps(configs, sort_keys=True)} if is_mixed else {}
    write_atomically(path, serialized(tensors, {**metadata, "format": "pt", **extra}))


def write_peft(
    folder: Path, weights: LoraWeights, *, metadata: Mapping[str, str], dtype: torch.dtype = torch.float32
) -> None:
    """Write ``folder/unet``, ``folder/text_encoder`` and ``folder/text_encoder_2``, each as peft's own folders.

    Raises like ``write_diffusers``.
    """
    from engine.model.libraries import LoraConfig  # noqa: PLC0415 - slow

    for component, modules in by_component(weights).items():
        tensors = {PEFT_PREFIX + name: tensor for name, tensor in _tensors(modules, dtype).items()}
        config = LoraConfig(**_config(modules), inference_mode=True).to_dict()
        config = {name: sorted(value) if isinstance(value, set) else value for name, value in config.items()}
        (folder / component).mkdir(parents=True, exist_ok=True)
        write_atomically(folder / component / WEIGHTS_NAME, serialized(tensors, {**metadata, "format": "pt"}))
        text = json.dumps(config, indent=2, sort_keys=True, default=str) + "\n"
        write_atomically(folder / component / CONFIG_NAME, text.encode())


def by_component(weights: LoraWeights) -> dict[str, LoraWeights]:
    """The modules by diffusers' name of the model they lie in, under their paths in it. Only LoRA and DoRA."""
    found: dict[str, LoraWeights] = {}
    for module, own in weights.items():
        if own.kind != "lora":
            raise AdapterError(
                f"{module} is a {own.kind}, which diffusers and peft have no format of their own for",
                hint="Only LoRA and DoRA can be written in it; ComfyUI and Forge read the file as it is.",
            )
        group, _, inside = module.partition(".")
        if group not in TEXT_ENCODERS:
            group, inside = UNET, module
        found.setdefault(COMPONENTS[group], {})[inside] = own
    return found


def _tensors(modules: LoraWeights, dtype: torch.dtype) -> dict[str, Tensor]:
    """By name, with the scale in B."""
    found = {}
    for module, own in modules.items():
        for name, weight in own.tensors.items():
            scaled = weight.to(torch.float32) * own.scale if name == UP and own.scale != 1 else weight
            if name == MAGNITUDE:
                scaled = scaled.reshape((1, -1, 1, 1) if own.tensors[DOWN].dim() == 4 else (-1,))
            key = f"{module}.{_MAGNITUDE if name == MAGNITUDE else name}"
            found[key] = stored(key, scaled, dtype)
    return found


def _config(modules: LoraWeights) -> dict[str, Any]:
    """The settings of a component for peft. Names begin at ``encoder``: what stands before it differs by version."""
    ranks = {_short(module): int(own.rank or 0) for module, own in modules.items()}
    rank = Counter(ranks.values()).most_common(1)[0][0]
    others = {module: own for module, own in ranks.items() if own != rank}
    return {
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": others,
        "alpha_pattern": dict(others),
        "target_modules": sorted(ranks),
        "use_dora": any(own.is_dora for own in modules.values()),
    }


def _short(module: str) -> str:
    return module.removeprefix("text_model.")


def weights_from_peft(
    tensors: Mapping[str, Tensor], names: Mapping[str, str], metadata: Mapping[str, str], path: Path
) -> LoraWeights:
    """The weights in a file with peft's or diffusers' names, also with the older ones of attention processors.

    Alphas come from keys, from the metadata, or from ``adapter_config.json`` beside the file; without any of them alpha is
    the rank. names: the modules there are. Raises ``AdapterError`` for a key that belongs to none, and for incomplete modules.
    """
    found: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    for key, tensor in tensors.items():
        module, name = place_of(key, path)
        if module not in names:
            hint = "The LoRA was made for another base model, or trains modules that are not adapted here."
            raise AdapterError(f"{key} belongs to no module of this base model", where=str(path), hint=hint)
        if name == ALPHA:
            alphas[module] = float(tensor)
        else:
            found.setdefault(module, {})[name] = tensor
    configs = configs_of(metadata, path)
    weights = {}
    for module, own in found.items():
        rank = ModuleWeights(own, 1.0).rank or 1
        scale = scale_in(configs, module, rank)
        weights[module] = ModuleWeights(own, alphas.get(module, scale * rank))
    require_whole(weights, str(path))
    return weights
