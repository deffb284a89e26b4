"""Whether the network in a LoRA file fits a base model, and what of the base it leaves out. From shapes alone, free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from engine.errors import UserError
from engine.estimate.unet_size import part_of, text_encoder_sizes, unet_shapes
from engine.foreign.lora_network import LoraModule, LoraNetwork
from engine.model.lora_names import PREFIX, TEXT_PREFIXES, names_in


def misfit(network: LoraNetwork, base: str) -> str | None:
    """Why the network cannot sit on the base that ``model.base`` names, in a sentence; None if it can.

    None as well for a base that cannot be looked at: what is wrong with that one is said elsewhere.
    """
    shapes = _unet(base)
    if shapes is None:
        return None
    names = names_in(module.name for module in network.modules)
    try:
        encoders = dict(zip(TEXT_PREFIXES, text_encoder_sizes(base), strict=True))
    except (UserError, OSError, ValueError, KeyError, TypeError):
        encoders = {}
    for module in network.modules:
        group = module.name.partition(".")[0]
        if group in TEXT_PREFIXES:
            if group in encoders and (wrong := _wrong_text(module, *encoders[group])):
                return wrong
            continue
        shape = shapes.get(_flat(module.name)) or shapes.get(names.get(module.name, "").removeprefix(PREFIX))
        if shape is None:
            return f"it adapts {module.name}, which the base does not have"
        wanted = (shape[0], prod(shape[1:]))
        if (module.outputs, module.inputs) != wanted:
            return (
                f"it adapts {module.name} with {module.inputs:,} inputs and {module.outputs:,} outputs, the base's has "
                f"{wanted[1]:,} and {wanted[0]:,}"
            )
    return None


def modules_left_out(network: LoraNetwork, base: str) -> int:
    """How many modules of the base's UNet belong to the parts that the network trains, and are not in it."""
    parts = set(network.parts)
    there = sum(part_of(name) in parts for name in unet_shapes(base) or {})
    own = sum(module.name.partition(".")[0] not in TEXT_PREFIXES for module in network.modules)
    return max(0, there - own)


def _unet(base: str) -> Mapping[str, tuple[int, ...]] | None:
    """The shapes by a name without dots and ``weight``."""
    found = unet_shapes(base)
    return None if found is None else {_flat(name.removesuffix(".weight")): shape for name, shape in found.items()}


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _wrong_text(module: LoraModule, layers: int, width: int) -> str | None:
    number = int(module.name.partition("encoder.layers.")[2].partition(".")[0])
    if number >= layers:
        return f"it adapts {module.name}, and the base's encoder has {layers} layers"
    if not module.name.endswith(".fc2") and module.inputs != width:
        return f"it adapts {module.name} with {module.inputs:,} inputs, the base's has {width:,}"
    return None
