"""Reads a LoRA in whatever format it is: sd-scripts' (ours, LyCORIS'), diffusers' or peft's. Tells them apart by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
from torch import Tensor

from engine.model.errors import AdapterError
from engine.model.lora_file import weights_from_sd_scripts
from engine.model.lora_names import names_in
from engine.model.lora_weights import LoraWeights, require_whole
from engine.model.peft_file import weights_from_peft
from engine.model.peft_names import is_peft, lora_files


@dataclass(frozen=True)
class LoraFile:
    """What a file or folder holds: the weights of each module, sd-scripts' names for them, and the metadata."""

    weights: LoraWeights
    names: Mapping[str, str]
    metadata: dict[str, str]


def read_lora(path: Path, names: Mapping[str, str] | None = None) -> LoraFile:
    """The LoRA in ``path``: a file, or a folder of peft's with one component or, below it, several.

    names: the modules of the base (``sd_scripts_names``); by default those of any SDXL. Nothing is converted: tensors are in the
    file's number format. Raises ``AdapterError`` if it is damaged, not a LoRA of SDXL, or not complete.
    """
    files = lora_files(path)
    tensors = {file: _open(file) for file in files}
    if names is None:
        names = names_in(key for own, _ in tensors.values() for key in own)
    weights: LoraWeights = {}
    for file, (own, metadata) in tensors.items():
        if is_peft(own):
            weights |= weights_from_peft(own, names, metadata, file)
        else:
            weights |= weights_from_sd_scripts(own, names, str(file))
    require_whole(weights, str(path))
    return LoraFile(weights, names, dict(tensors[files[0]][1]))


def _open(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise AdapterError(f"the LoRA cannot be read: {error}", where=str(path)) from error
