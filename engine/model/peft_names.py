"""How peft and diffusers name the tensors of a LoRA, and where they say its strength. No tensor is looked at, no torch needed.

diffusers' file names its component first, ``unet.<module>.lora_A.weight``; peft's holds one model,
``base_model.model.<module>.lora_A.weight``. Alphas stand in keys, in the metadata, or in ``adapter_config.json``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from engine.model.errors import AdapterError
from engine.model.lora_names import TEXT_PREFIXES
from engine.model.lora_tensors import ALPHA, DOWN, MAGNITUDE, UP

COMPONENTS: Final = {"unet": "unet", "text_encoder_1": "text_encoder", "text_encoder_2": "text_encoder_2"}
"""diffusers' name of the model that a group's modules lie in."""
PEFT_PREFIX: Final = "base_model.model."
CONFIG_KEY: Final = "lora_adapter_metadata"
WEIGHTS_NAME: Final = "adapter_model.safetensors"
CONFIG_NAME: Final = "adapter_config.json"
_PROJECTIONS: Final = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
_ENDINGS: Final = (
    (re.compile(r"\.lora_A(\.[^.]+)?\.weight$"), DOWN),
    (re.compile(r"\.lora_B(\.[^.]+)?\.weight$"), UP),
    (re.compile(r"\.lora_magnitude_vector(\.[^.]+)?(\.weight)?$"), MAGNITUDE),
    (re.compile(r"[._]lora(_linear_layer)?\.down\.weight$"), DOWN),
    (re.compile(r"[._]lora(_linear_layer)?\.up\.weight$"), UP),
    (re.compile(r"([._]lora(_linear_layer)?)?\.alpha$"), ALPHA),
)


def lora_files(path: Path) -> list[Path]:
    """The files of a LoRA: ``path`` itself, or those of a folder of peft's with one component or, below it, several.

    Raises ``AdapterError`` for a folder without any.
    """
    if not path.is_dir():
        return [path]
    folders = [path, *(path / component for component in COMPONENTS.values())]
    files = [folder / WEIGHTS_NAME for folder in folders if (folder / WEIGHTS_NAME).is_file()]
    if not files:
        hint = f"Name a .safetensors file, or a folder of peft's with {WEIGHTS_NAME}."
        raise AdapterError("there is no LoRA in this folder", where=str(path), hint=hint)
    return files


def is_peft(keys: Iterable[str]) -> bool:
    """Whether a file with these keys has peft's or diffusers' names."""
    return all(key.startswith((*(f"{name}." for name in COMPONENTS.values()), PEFT_PREFIX)) for key in keys)


def place_of(key: str, path: Path) -> tuple[str, str]:
    """The module and the tensor's name that ``key`` stands for; the module is "" for a key of no known form."""
    for pattern, name in _ENDINGS:
        if (found := pattern.search(key)) is None:
            continue
        module = key[: found.start()].replace(".processor.", ".")
        if module.startswith(PEFT_PREFIX):
            module = f"{_component_of(path, module)}.{module.removeprefix(PEFT_PREFIX)}"
        component, _, inside = module.partition(".")
        head, _, last = inside.rpartition(".")
        if component == "unet":
            return (f"{head}.to_out.0" if last == "to_out" else inside), name
        inside = f"{head}.{_PROJECTIONS.get(last, last)}"
        group = "text_encoder_2" if component == "text_encoder_2" else "text_encoder_1"
        return f"{group}.text_model.{inside.removeprefix('text_model.')}", name
    return "", ""


def _component_of(path: Path, module: str) -> str:
    """Which model a file of peft's is about: a text encoder is told by the folder's name, as ``write_peft`` names it."""
    if "encoder.layers." not in module:
        return "unet"
    return "text_encoder_2" if path.parent.name == "text_encoder_2" else "text_encoder"


def configs_of(metadata: Mapping[str, str], path: Path) -> dict[str, dict[str, Any]]:
    """The settings for peft by group, as far as the file or the one beside it tells them."""
    try:
        flat = json.loads(metadata.get(CONFIG_KEY) or "{}")
        beside = path.with_name(CONFIG_NAME)
        alone = json.loads(beside.read_bytes()) if path.name == WEIGHTS_NAME and beside.is_file() else None
    except (OSError, ValueError, RecursionError) as error:
        raise AdapterError(f"its configuration cannot be read: {error}", where=str(path)) from error
    if not isinstance(flat, dict) or not isinstance(alone, dict | None):
        raise AdapterError("its configuration is no JSON object", where=str(path))
    found: dict[str, dict[str, Any]] = {}
    for group, component in COMPONENTS.items():
        prefix = f"{component}."
        own = {name.removeprefix(prefix): value for name, value in flat.items() if name.startswith(prefix)}
        if config := own or alone:
            found[group] = config
    return found


def scale_in(configs: Mapping[str, dict[str, Any]], module: str, rank: int) -> float:
    """The strength of a module by the settings of ``configs_of``; 1 without any. Raises ``AdapterError``."""
    group = module.partition(".")[0]
    config = configs.get(group if group in TEXT_PREFIXES else "unet")
    if not config:
        return 1.0
    try:
        alpha = config.get("lora_alpha", rank)
        for pattern, own in (config.get("alpha_pattern") or {}).items():
            if re.match(rf"(.*\.)?({pattern})$", module):
                alpha = own
                break
        return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
    except (AttributeError, TypeError, ValueError, re.error) as error:
        raise AdapterError(f"its configuration gives {module} no alpha that can be read: {error}") from error
