"""The deliverable: an adapter as a safetensors file with sd-scripts' names and metadata, which ComfyUI, Forge and diffusers load.

Per module of a LoRA there are ``<name>.lora_down.weight`` (A), ``<name>.lora_up.weight`` (B) and ``<name>.alpha``; a loader
adds alpha / rank · up · down to the module's weight. DoRA, LoHa and LoKr are laid out as LyCORIS does. What the metadata say
of the training is ``lora_metadata.py``'s business; which format a file has, ``lora_read.py``'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from torch import Tensor

from engine.durable import write_atomically
from engine.model.errors import AdapterError
from engine.model.lora_names import PREFIX, TEXT_PREFIXES, modules_by_file_name
from engine.model.lora_tensors import ALPHA, DOWN, MAGNITUDE, OURS, THEIRS, UP
from engine.model.lora_weights import LoraWeights, ModuleWeights, require_whole

PREFIXES: Final = (PREFIX, *TEXT_PREFIXES.values())
_LEGACY_START, _LEGACY_BYTES = 0x100000, 0x10000


def write_lora(
    path: Path,
    weights: LoraWeights,
    *,
    names: Mapping[str, str],
    metadata: Mapping[str, str],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write ``weights`` in ``dtype`` to ``path``: beside, synced, renamed, readable as the umask says.

    names: sd-scripts' name of each module (``sd_scripts_names``). The alphas stay in float32: they are single numbers, and a
    rounded one would change the strength. The content's hashes are added to ``metadata`` as sd-scripts does. The same input
    gives the same bytes. Raises ``AdapterError`` for a module without a name or a weight that ``dtype`` cannot hold, and
    ``OSError`` if the disk does not take it.
    """
    tensors: dict[str, Tensor] = {}
    for module, own in weights.items():
        if module not in names:
            raise AdapterError(f"{module} is no module of this base model")
        for name, weight in own.tensors.items():
            tensors[f"{names[module]}.{THEIRS[name]}"] = stored(f"{module}.{name}", _laid_out(name, weight, own), dtype)
        tensors[f"{names[module]}.{ALPHA}"] = torch.tensor(own.alpha, dtype=torch.float32)
    write_atomically(path, serialized(tensors, metadata))


def stored(name: str, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """``weight`` as it goes into a file. Raises ``AdapterError`` if it overflows in ``dtype``."""
    converted = weight.detach().to("cpu", dtype).contiguous()
    if not torch.isfinite(converted).all() and torch.isfinite(weight).all():
        raise AdapterError(f"{name} does not fit into {dtype}", hint="Use fp32 or bf16 (precision.save, or --dtype).")
    return converted


def _laid_out(name: str, weight: Tensor, module: ModuleWeights) -> Tensor:
    """A DoRA's magnitudes stand as a column, (out, 1) or (out, 1, 1, 1), in LyCORIS; everything else as it is."""
    return weight.reshape(-1, *[1] * (module.tensors[DOWN].dim() - 1)) if name == MAGNITUDE else weight


def weights_from_sd_scripts(tensors: Mapping[str, Tensor], names: Mapping[str, str], where: str) -> LoraWeights:
    """The weights in a file with sd-scripts' keys; ``names`` as for ``write_lora``. Blocks may be numbered as in diffusers.

    A module without an alpha has its rank as alpha, as in sd-scripts. Raises ``AdapterError`` for a key that belongs to no
    module and for modules that are not complete.
    """
    modules = modules_by_file_name(names)
    found: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    for key, tensor in tensors.items():
        theirs, _, name = key.partition(".")
        module = modules.get(theirs)
        if module is None or (name not in OURS and name != ALPHA):
            raise AdapterError(f"{key} belongs to no module of this base model", where=where, hint=_stranger(key))
        if name == ALPHA:
            alphas[module] = float(tensor)
        else:
            found.setdefault(module, {})[OURS[name]] = tensor
    weights = {}
    for module, own in found.items():
        rank = ModuleWeights(own, 1.0).rank
        weights[module] = ModuleWeights(own, alphas.get(module, float(rank or 1)))
    require_whole(weights, where)
    for module, own_weights in weights.items():
        if own_weights.is_dora and own_weights.tensors[MAGNITUDE].shape[0] != own_weights.tensors[UP].shape[0]:
            hint = "Its magnitudes are those of inputs (LyCORIS before 2.2); only those of outputs are read."
            raise AdapterError(f"{module} has a dora_scale of another axis", where=where, hint=hint)
    return weights


def _stranger(key: str) -> str:
    if not key.startswith(PREFIXES):
        return "LoRAs of SDXL in the formats of sd-scripts, diffusers and peft are read."
    name = key.partition(".")[2]
    if name in OURS or name == ALPHA:
        return "The LoRA was made for another base model, or trains modules that are not adapted here."
    return f"Weights of the kind {name} are not read."


def serialized(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with its metadata in order (the library writes them in a random one) and the content's hashes.

    ``sshs_model_hash`` is sha256 over everything behind the header; A1111 shows its first 12 digits (AutoV3).
    ``sshs_legacy_hash`` is the first 8 digits of sha256 over 64 KiB at 1 MiB of a file whose metadata are the ``ss_`` entries.
    """
    data = safetensors.torch.save(tensors)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    content = memoryview(data)[8 + length :]
    training = {name: value for name, value in metadata.items() if name.startswith("ss_")}
    start = max(0, _LEGACY_START - 8 - len(_header(header, training)))
    hashes = {
        "sshs_model_hash": hashlib.sha256(content).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(content[start : start + _LEGACY_BYTES]).hexdigest()[:8],
    }
    text = _header(header, {**metadata, **hashes})
    return b"".join((len(text).to_bytes(8, "little"), text, content))


def _header(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    head = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    text = json.dumps({**head, **tensors}, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return text + b" " * (-len(text) % 8)
