"""Which modules of the base are adapted: for every part of ``[network]`` the modules it means, with rank and alpha.

The UNet's are those of sd-scripts' ``networks.lora``: every linear layer and 1×1 convolution inside a ``Transformer2DModel``
(722 in SDXL), and with convolutions everything in residual blocks, downsamplers and upsamplers (66 more, as LoCon). A text
encoder's are the projections and the MLP of its layers (72 and 192). Putting an adapter there is ``adapter.py``'s business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import nn

from engine.profile.schema import GROUP_OF, Network, Part

UNET: Final = "unet"
TEXT_ENCODERS: Final = {"text_encoder_1": Part.TEXT_ENCODER, "text_encoder_2": Part.TEXT_ENCODER_2}
_TRANSFORMER: Final = "Transformer2DModel"
_CONVOLUTIONAL: Final = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
_TEXT_ENDINGS: Final = (
    *(f".self_attn.{name}_proj" for name in ("q", "k", "v", "out")),
    ".mlp.fc1",
    ".mlp.fc2",
)
_TEXT_LAYERS: Final = "encoder.layers."


@dataclass(frozen=True)
class Target:
    """A module that gets an adapter."""

    name: str
    """In files and checkpoints: the module's path in the UNet, or ``text_encoder_1.text_model.encoder.layers.0.…``."""
    group: str
    """The optimizer's group: ``unet``, ``text_encoder_1`` or ``text_encoder_2``."""
    path: str
    """Inside its model."""
    part: Part
    rank: int
    alpha: float
    is_trained: bool = True
    """False where nothing that is computed depends on the module, so that it would never get a gradient."""


def target_modules(unet: nn.Module, network: Network | None = None) -> tuple[str, ...]:
    """The paths of the UNet's modules that ``network`` adapts (by default attention and feed-forward), in their order."""
    return tuple(target.path for target in unet_targets(unet, network or Network()))


def kernel_of(name: str) -> int | None:
    """The side of the kernel of SDXL's convolution of that name; None for a linear layer. Not every file tells."""
    return {"conv": 3, "conv1": 3, "conv2": 3, "conv_shortcut": 1}.get(name.rpartition(".")[2])


def unet_targets(unet: nn.Module, network: Network) -> tuple[Target, ...]:
    """The targets in the UNet, in the order of its modules."""
    found = []
    for path, module, part in _unet_parts(unet):
        if network.trains(part):
            # As in sd-scripts the rank of convolutions is for those that are wider than a pixel.
            sized = Part.ATTENTION if part is Part.CONVOLUTIONS and not _is_wide(module) else part
            found.append(Target(path, UNET, path, part, network.rank_of(sized), network.alpha_of(sized)))
    return tuple(found)


def text_targets(encoder: nn.Module, network: Network, group: str) -> tuple[Target, ...]:
    """The targets in the text encoder of ``group``, in the order of its modules; none if it is not trained.

    SDXL reads the first encoder's penultimate hidden states only, so its last layer is out of reach: sd-scripts adapts
    it all the same, and so does this, for files of the same modules, but does not train it.
    """
    part = TEXT_ENCODERS[group]
    if not network.trains(part):
        return ()
    paths = [path for path, module in encoder.named_modules() if _is_text_target(path, module)]
    last = max((_layer(path) for path in paths), default=-1)
    return tuple(
        Target(
            name=f"{group}.{_canonical(path)}",
            group=group,
            path=path,
            part=part,
            rank=network.rank_of(part),
            alpha=network.alpha_of(part),
            is_trained=group != "text_encoder_1" or _layer(path) != last,
        )
        for path in paths
    )


def modules_by_part(targets: tuple[Target, ...]) -> list[dict[str, Any]]:
    """``parts`` of ``network`` in state.json: for each part and rank its group, alpha and number of modules."""
    counts: dict[tuple[Part, int, float], int] = {}
    for target in targets:
        key = (target.part, target.rank, target.alpha)
        counts[key] = counts.get(key, 0) + 1
    return [
        {"part": part.value, "group": GROUP_OF[part], "rank": rank, "alpha": alpha, "modules": count}
        for (part, rank, alpha), count in counts.items()
    ]


def _unet_parts(unet: nn.Module) -> Iterator[tuple[str, nn.Module, Part]]:
    """Every module of the UNet that can be adapted, with its part."""
    hosts: Mapping[str, str] = {name: type(module).__name__ for name, module in unet.named_modules()}
    for path, module in unet.named_modules():
        if not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        inside = {hosts[parent] for parent in _parents(path)}
        if _TRANSFORMER in inside:
            if not _is_wide(module):
                yield path, module, Part.FEED_FORWARD if ".ff.net." in path else Part.ATTENTION
        elif inside.intersection(_CONVOLUTIONAL):
            yield path, module, Part.CONVOLUTIONS


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition(".")[0]:
        yield path


def _is_wide(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)


def _is_text_target(path: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) and _TEXT_LAYERS in path and path.endswith(_TEXT_ENDINGS)


def _layer(path: str) -> int:
    return int(path.partition(_TEXT_LAYERS)[2].partition(".")[0])


def _canonical(path: str) -> str:
    """The path below ``text_model``, which transformers has had around the encoder in some versions and not in others."""
    return f"text_model.{path.removeprefix('text_model.')}"
