"""The deliverable: a LoRA as a safetensors file with sd-scripts' names and metadata, which ComfyUI, Forge and diffusers load.

Per module there are ``<name>.lora_down.weight`` (A), ``<name>.lora_up.weight`` (B) and ``<name>.alpha``; a loader adds
alpha / rank · up · down to the module's weight. What the metadata say of the training is ``lora_metadata.py``'s business.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from engine.durable import write_atomically
from engine.model.errors import AdapterError
from engine.model.lora_names import PREFIX, sd_scripts_names
from engine.profile.schema import Network

DOWN, UP, ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"
_PEFT_DOWN, _PEFT_UP = ".lora_A.weight", ".lora_B.weight"
_SIDES: Final = {_PEFT_DOWN: DOWN, _PEFT_UP: UP}


@dataclass(frozen=True)
class LoraFile:
    """What ``read_lora`` found: weights under the adapter's names, each module's alpha and rank, the metadata."""

    state: dict[str, Tensor]
    alphas: dict[str, float]
    ranks: dict[str, int]
    metadata: dict[str, str]


def write_lora(
    path: Path,
    adapter_state: Mapping[str, Tensor],
    *,
    network: Network,
    unet_config: Mapping[str, Any],
    metadata: Mapping[str, str],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the adapter's weights in ``dtype`` to ``path``: beside, synced, renamed, readable as the umask says.

    The alphas stay in float32: they are single numbers, and a rounded one would change the LoRA's strength. The content's
    hash is added to ``metadata`` as sd-scripts does (``sshs_model_hash``). The same input gives the same bytes. Raises
    ``AdapterError`` for a weight whose module the UNet does not have, and ``OSError`` if the disk does not take it.
    """
    names = sd_scripts_names(unet_config)
    tensors: dict[str, Tensor] = {}
    for name, weight in adapter_state.items():
        module, side = _split(name)
        if module not in names:
            raise AdapterError(f"{name} belongs to no module of this UNet")
        stored = weight.detach().to("cpu", dtype).contiguous()
        if not torch.isfinite(stored).all() and torch.isfinite(weight).all():
            raise AdapterError(f"{name} does not fit into {dtype}", hint="Set precision.save to fp32 or bf16.")
        tensors[names[module] + _SIDES[side]] = stored
        tensors[names[module] + ALPHA] = torch.tensor(network.alpha, dtype=torch.float32)
    write_atomically(path, _serialized(tensors, metadata))


def read_lora(path: Path, unet_config: Mapping[str, Any]) -> LoraFile:
    """Read a LoRA of the UNet that ``unet_config`` describes, under the adapter's names; the inverse of ``write_lora``.

    A module without an alpha has its rank as alpha, as in sd-scripts. Raises ``AdapterError`` if the file is damaged, trains
    other modules, or lacks one half of a module.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 — not a mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise AdapterError(f"the LoRA cannot be read: {error}", where=str(path)) from error
    modules = {theirs: ours for ours, theirs in sd_scripts_names(unet_config).items()}
    state: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    ranks: dict[str, int] = {}
    for key, tensor in tensors.items():
        theirs, _, side = key.partition(".")
        module = modules.get(theirs)
        if module is None or f".{side}" not in (DOWN, UP, ALPHA):
            raise AdapterError(f"{key} belongs to no module of this UNet", where=str(path), hint=_stranger(key))
        if f".{side}" == DOWN:
            state[module + _PEFT_DOWN] = tensor
            ranks[module] = tensor.shape[0]
        elif f".{side}" == UP:
            state[module + _PEFT_UP] = tensor
        else:
            alphas[module] = float(tensor)
    _check_complete(state, path)
    alphas = {module: alphas.get(module, float(rank)) for module, rank in ranks.items()}
    return LoraFile(state, alphas, ranks, metadata)


def _split(name: str) -> tuple[str, str]:
    for side in _SIDES:
        if name.endswith(side):
            return name.removesuffix(side), side
    raise AdapterError(f"{name} is neither the down nor the up weight of a LoRA")


def _stranger(key: str) -> str:
    if not key.startswith(PREFIX):
        return "Only LoRAs of the UNet in sd-scripts' format are read."
    return "The LoRA was made for another base model, or trains more than linear layers."


def _check_complete(state: Mapping[str, Tensor], path: Path) -> None:
    halves = {module + side for module in {_split(name)[0] for name in state} for side in _SIDES}
    missing = sorted(halves - state.keys())
    if missing or not state:
        raise AdapterError(f"{missing[0]} is missing" if missing else "there is no LoRA in this file", where=str(path))


def _serialized(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with its metadata in order (the library writes them in a random one) and the content's hash."""
    data = safetensors.torch.save(tensors)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    content = memoryview(data)[8 + length :]
    metadata = {**metadata, "sshs_model_hash": hashlib.sha256(content).hexdigest()}
    text = json.dumps({"__metadata__": dict(sorted(metadata.items())), **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, content))
