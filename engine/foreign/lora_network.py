"""The network in a LoRA file, module by module: kind, rank, alpha, widths. From the headers alone; no tensor but alphas is read.

Files in the formats of sd-scripts (ours, LyCORIS'), diffusers and peft, as ``engine.model.lora_read`` loads them. What it would
refuse is refused here with the same reason, before a run is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

from engine.estimate.unet_size import part_of
from engine.foreign.errors import ForeignFileError
from engine.foreign.lora_facts import single_number
from engine.model.errors import ModelError
from engine.model.lora_names import TEXT_PREFIXES, modules_by_file_name, names_in
from engine.model.lora_tensors import ALPHA, DOWN, MAGNITUDE, OURS, UP, kind_of, problem_of, rank_of
from engine.model.peft_names import configs_of, is_peft, lora_files, place_of, scale_in
from engine.model.safetensors_header import Header, TensorEntry, read_header
from engine.profile.schema import GROUP_OF, Part

_TEXT_PARTS: Final = dict(zip(TEXT_PREFIXES, (Part.TEXT_ENCODER, Part.TEXT_ENCODER_2), strict=True))
_NARROW: Final = (".time_emb_proj", ".conv_shortcut")
"""Modules of residual blocks that are one pixel wide."""
_TENSORS: Final = (".lora_", "_lora", ".hada_", ".lokr_", "lora_linear_layer", ".dora_scale")
_OTHERS: Final = (
    (("model.diffusion_model.", "conditioner.", "first_stage_model.", "cond_stage_model."), "a whole model"),
    (("down_blocks.", "input_blocks.", "time_embedding.", "double_blocks."), "a UNet or transformer"),
    (("encoder.", "decoder."), "a VAE"),
    (("clip_l", "clip_g", "emb_params", "string_to_param", "<"), "a textual inversion"),
    (("control_model.", "controlnet_"), "a ControlNet"),
)
"""What is given instead of a LoRA now and then, by how its tensors' names begin."""
_ARCHITECTURES: Final = (
    (("lora_te_", "lora_unet_down_blocks_0_attentions_", "lora_unet_mid_block_attentions_0_proj_in_"), "SD 1.x or 2.x"),
    (("lora_unet_input_blocks_1_1_", "unet.down_blocks.0.attentions."), "SD 1.x or 2.x"),
    (("lora_unet_double_blocks", "lora_unet_single_blocks", "transformer.", "lora_transformer_"), "FLUX or its like"),
    (("lora_unet_joint_blocks", "lora_te3_"), "SD 3"),
    (("diffusion_model.",), "a video or image transformer"),
)
"""Whose LoRAs begin so."""


@dataclass(frozen=True)
class LoraModule:
    """One adapted module."""

    name: str
    """The adapter's: ``down_blocks.1.attentions.0.proj_in``."""
    kind: str
    """``lora``, ``loha`` or ``lokr``."""
    is_dora: bool
    rank: int | None
    """None for a LoKr of two full matrices."""
    alpha: float
    """As loaders read it: the strength is alpha / rank."""
    outputs: int
    inputs: int
    """Of a convolution, channels times the kernel's sides."""
    tensors: int
    """That are trained."""
    factors: tuple[int, int] | None = None
    """Of a LoKr the sides of its smaller factor."""

    @property
    def part(self) -> Part:
        """The part of the model that it belongs to."""
        group = self.name.partition(".")[0]
        return _TEXT_PARTS.get(group) or part_of(f"{self.name}.weight") or Part.CONVOLUTIONS

    @property
    def group(self) -> str:
        """The optimizer's group that it belongs to."""
        return GROUP_OF[self.part]

    @property
    def is_wide(self) -> bool:
        """It is a convolution wider than a pixel, which ``network.conv_rank`` is for."""
        return self.part is Part.CONVOLUTIONS and not self.name.endswith(_NARROW)


@dataclass(frozen=True)
class LoraNetwork:
    """The adapted modules in a file or folder, in its order."""

    path: Path
    modules: tuple[LoraModule, ...]
    is_sd_scripts: bool
    """Its keys are sd-scripts'; else diffusers' or peft's."""

    @property
    def kind(self) -> str:
        """``lora``, ``loha`` or ``lokr``."""
        return self.modules[0].kind

    @property
    def is_dora(self) -> bool:
        """Any of the modules has a magnitude of its own."""
        return any(module.is_dora for module in self.modules)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that have modules in it, in the profile's order."""
        found = {module.part for module in self.modules}
        return tuple(part for part in Part if part in found)

    @property
    def groups(self) -> tuple[str, ...]:
        """The optimizer's groups of these parts, the UNet's first."""
        return tuple(dict.fromkeys(GROUP_OF[part] for part in self.parts))


def read_lora_network(path: Path) -> LoraNetwork:
    """The network in the file ``path``, or in a folder of peft's.

    Raises ``ForeignFileError`` for what is no LoRA of SDXL, or none that can be loaded.
    """
    try:
        headers = [read_header(file) for file in lora_files(path)]
        for header in headers:
            _require_lora(header, path)
        names = names_in(key for header in headers for key in header.tensors)
        modules: dict[str, LoraModule] = {}
        for header in headers:
            modules |= {module.name: module for module in _modules(header, names)}
    except ModelError as error:
        raise ForeignFileError(error.what, where=error.where or str(path), hint=error.hint) from error
    except OSError as error:
        raise ForeignFileError(f"cannot be read: {error.strerror}", where=str(path)) from error
    kinds = sorted({module.kind for module in modules.values()})
    if len(kinds) > 1:
        raise ForeignFileError(f"it holds {' and '.join(kinds)} together, which cannot be trained", where=str(path))
    is_sd_scripts = not any(is_peft(header.tensors) for header in headers)
    return LoraNetwork(path, tuple(modules.values()), is_sd_scripts)


def _require_lora(header: Header, path: Path) -> None:
    """Raises ``ForeignFileError`` that says what the file is instead."""
    keys = list(header.tensors)
    where = str(path)
    if not any(mark in key for key in keys for mark in _TENSORS):
        what = next((what for starts, what in _OTHERS if any(key.startswith(starts) for key in keys)), None)
        said = f"it is {what}, not a LoRA" if what else f"none of its {len(keys):,} tensors is named like a LoRA's"
        raise ForeignFileError(said, where=where)
    for starts, architecture in _ARCHITECTURES:
        if any(key.startswith(starts) for key in keys):
            raise ForeignFileError(
                f"it is a LoRA of {architecture}, not of SDXL",
                where=where,
                hint="Only LoRAs of SDXL can be trained on.",
            )


def _modules(header: Header, names: Mapping[str, str]) -> Iterator[LoraModule]:
    by_peft = is_peft(header.tensors)
    found: dict[str, dict[str, TensorEntry]] = {}
    alphas: dict[str, TensorEntry] = {}
    modules = modules_by_file_name(names)
    for key, entry in header.tensors.items():
        module, name = place_of(key, header.path) if by_peft else _place(key, modules)
        if module not in names or not name:
            _refuse_stranger(key, module in names, header.path)
        if name == ALPHA:
            alphas[module] = entry
        else:
            found.setdefault(module, {})[name] = entry
    configs = configs_of(header.metadata, header.path) if by_peft else {}
    with header.path.open("rb") as file:
        for module, own in found.items():
            shapes = {name: entry.shape for name, entry in own.items()}
            if (problem := problem_of(shapes)) or (problem := _magnitude_problem(shapes)):
                raise ForeignFileError(f"{module} {problem}", where=str(header.path), hint="The file is not complete.")
            rank = rank_of(shapes)
            alpha = scale_in(configs, module, rank or 1) * (rank or 1)
            if module in alphas:
                number = single_number(file, alphas[module])
                if number is None or not math.isfinite(number) or number <= 0:
                    raise ForeignFileError(f"the alpha of {module} is no number above 0", where=str(header.path))
                alpha = number
            yield _module(module, shapes, rank, alpha)
    if alone := sorted(alphas.keys() - found.keys()):
        raise ForeignFileError(f"{alone[0]} has an alpha and no weights", where=str(header.path))


def _place(key: str, modules: Mapping[str, str]) -> tuple[str, str]:
    theirs, _, name = key.partition(".")
    return modules.get(theirs, ""), ALPHA if name == ALPHA else OURS.get(name, "")


def _refuse_stranger(key: str, has_module: bool, path: Path) -> None:
    if has_module:
        name = key.partition(".")[2]
        raise ForeignFileError(f"{key}: weights of the kind {name} are not read", where=str(path))
    hint = "The LoRA was made for another kind of model, or trains modules that are not adapted here."
    raise ForeignFileError(f"{key} belongs to no module of SDXL", where=str(path), hint=hint)


def _magnitude_problem(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    if MAGNITUDE not in shapes or prod(shapes[MAGNITUDE]) == shapes[UP][0]:
        return None
    return "has a dora_scale of another axis: magnitudes of inputs (LyCORIS before 2.2) are not read"


def _module(name: str, shapes: Mapping[str, tuple[int, ...]], rank: int | None, alpha: float) -> LoraModule:
    kind, factors = kind_of(shapes.keys() - {MAGNITUDE}), None
    if kind == "lora":
        outputs, inputs = shapes[UP][0], prod(shapes[DOWN][1:])
    elif kind == "loha":
        outputs, inputs = shapes["hada_w1_a"][0], prod(shapes["hada_w1_b"][1:])
    else:
        factors, second = _sides(shapes, "lokr_w1"), _sides(shapes, "lokr_w2")
        outputs, inputs = factors[0] * second[0], factors[1] * second[1]
    return LoraModule(name, kind, MAGNITUDE in shapes, rank, alpha, outputs, inputs, len(shapes), factors)


def _sides(shapes: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, int]:
    """Of a LoKr's factor, whole or in two halves."""
    if name in shapes:
        return shapes[name][0], prod(shapes[name][1:])
    return shapes[f"{name}_a"][0], prod(shapes[f"{name}_b"][1:])
