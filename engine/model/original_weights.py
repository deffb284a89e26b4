"""Tensors of a file in SDXL's original layout, read one at a time and put into diffusers' and transformers' networks.

The renaming is diffusers' (``single_file_utils``), which needs nothing but the configuration. Every tensor is read into memory
of its own: a network costs its own size and one tensor more, and no file stays mapped that somebody might replace during
a run. Which tensors there are, and what they mean, is known from ``single_file.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from engine.model.errors import ModelError
from engine.model.original_layout import TEXT_2
from engine.model.safetensors_header import AGAIN, Header

DTYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


def read_tensors(header: Header, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    """The named tensors as they are stored, on the CPU, in the order they lie in the file.

    Raises ``ModelError`` if the file has become shorter or a tensor is of a type that holds no weights.
    """
    entries = sorted(((name, header.tensors[name]) for name in names), key=lambda item: item[1].start)
    with header.path.open("rb", buffering=0) as stream:
        for name, entry in entries:
            if entry.dtype not in DTYPES:
                raise ModelError(f"{name} is of type {entry.dtype}, which is not supported", where=str(header.path))
            data = torch.empty(entry.end - entry.start, dtype=torch.uint8)
            stream.seek(entry.start)
            if not _fill(stream, data):
                raise ModelError("the file was changed while it was read", where=str(header.path), hint=AGAIN)
            yield name, data.view(DTYPES[entry.dtype]).reshape(entry.shape)


def unet_names(header: Header, names: Iterable[str], config: Mapping[str, Any]) -> dict[str, str]:
    """What diffusers calls each of the UNet's tensors: the file's name to diffusers'."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint  # noqa: PLC0415

    # The conversion only moves tensors to other names, so empty ones show where each goes.
    stand_ins = {name: torch.empty(header.tensors[name].shape, device="meta") for name in names}
    sources = {id(stand_in): name for name, stand_in in stand_ins.items()}
    return {sources[id(moved)]: name for name, moved in convert_ldm_unet_checkpoint(stand_ins, dict(config)).items()}


def vae_tensors(tensors: dict[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """All of a VAE's tensors (in the original layout, with or without prefix) under diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint  # noqa: PLC0415

    renamed: dict[str, Tensor] = convert_ldm_vae_checkpoint(tensors, dict(config))
    return renamed


def text_tensors(encoder: Any, name: str, tensor: Tensor) -> dict[str, Tensor]:
    """What one tensor of a text encoder becomes in ``encoder``: one tensor, or OpenCLIP's joined projections split.

    The second encoder's ``text_projection`` is stored transposed; it is turned as diffusers does.
    """
    from diffusers.loaders.single_file_utils import (  # noqa: PLC0415
        convert_ldm_clip_checkpoint,
        convert_open_clip_checkpoint,
    )

    if name.startswith(TEXT_2):
        found = convert_open_clip_checkpoint(encoder, {name: tensor}, prefix=TEXT_2)
    else:
        found = convert_ldm_clip_checkpoint({name: tensor})
    if hasattr(encoder, "text_model"):
        return dict(found)
    # transformers 5 keeps that level only in the encoder with a projection.
    return {key.removeprefix("text_model."): value for key, value in found.items()}


def built(kind: Any, config: Any) -> Any:
    """A network without memory for its weights: ``kind.from_config(config)``, or ``kind(config)`` where there is none."""
    from accelerate import init_empty_weights  # noqa: PLC0415

    with init_empty_weights(include_buffers=False):
        return kind.from_config(config) if isinstance(config, dict) else kind(config)


def filled(network: Any, tensors: dict[str, Tensor], device: torch.device | str, *, where: Path) -> Any:
    """``network`` with ``tensors`` as its weights, in evaluation mode and frozen. Raises ``ModelError`` if they do not fit."""
    try:
        network.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        raise ModelError(f"the weights do not fit the network: {error}", where=str(where)) from error
    return network.to(device).eval().requires_grad_(False)


def _fill(stream: Any, data: Tensor) -> bool:
    """Read until ``data`` (bytes) is full; False if the file ends before."""
    view = memoryview(data.numpy().data)
    while view:
        count = stream.readinto(view)
        if not count:
            return False
        view = view[count:]
    return True
