"""The adapter that is trained beside the frozen base: where it sits, how it starts, and its weights by name.

Names are peft's own without the adapter's name, ``down_blocks.1.attentions.0.proj_in.lora_A.weight``, in the order of the
modules; those of a text encoder begin with its group. The layers themselves are made by ``adapter_layers.py``; files for other
programs are ``lora_file.py``'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engine.model.adapter_layers import inject, layer_parameters, match_base_with, scale_of
from engine.model.errors import AdapterError
from engine.model.lora_tensors import MAGNITUDE, UP
from engine.model.lora_weights import LoraWeights, ModuleWeights
from engine.model.max_norm import limit_norms
from engine.model.targets import (
    TEXT_ENCODERS,
    UNET,
    Target,
    modules_by_part,
    target_modules,
    text_targets,
    unet_targets,
)
from engine.profile.schema import Network

__all__ = ["Adapter", "add_lora", "target_modules"]


def add_lora(
    unet: nn.Module, network: Network, *, seed: int, text_encoders: tuple[nn.Module, nn.Module] | None = None
) -> Adapter:
    """Freeze the models as they are and put an adapter on each module that ``network`` names, trainable, in float32.

    text_encoders: both, in order; needed where ``network`` trains one. The adapted models first give exactly what the base
    gives. First weights are drawn on the CPU from a generator of their own, so that the start depends on ``seed`` alone
    and no global random state moves. Raises ``AdapterError`` if there is nothing to put an adapter on.
    """
    models: dict[str, nn.Module] = {UNET: unet}
    targets = unet_targets(unet, network)
    for group, encoder in zip(TEXT_ENCODERS, text_encoders or (), strict=False):
        models[group] = encoder
        targets += text_targets(encoder, network, group)
    if not targets:
        raise AdapterError("the model has none of the modules that [network] asks for: there is nothing to train")
    generator = torch.Generator().manual_seed(seed)
    for group, model in models.items():
        model.requires_grad_(False)
        inject(model, network, tuple(target for target in targets if target.group == group), generator)
    return Adapter(models, network, targets)


class Adapter:
    """The trainable weights in the adapted models. Made by ``add_lora``."""

    def __init__(self, models: Mapping[str, nn.Module], network: Network, targets: tuple[Target, ...]) -> None:
        self.models = models
        """By group."""
        self.network = network
        self.targets = targets
        self._layers: dict[str, Any] = {
            target.name: models[target.group].get_submodule(target.path) for target in targets
        }
        self._parameters: dict[str, nn.Parameter] = {}
        for target in targets:
            for name, parameter in layer_parameters(self._layers[target.name]):
                parameter.requires_grad_(target.is_trained)
                self._parameters[f"{target.name}.{name}"] = parameter

    @property
    def unet(self) -> nn.Module:
        """The adapted UNet."""
        return self.models[UNET]

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the adapted modules."""
        return tuple(self._layers)

    @property
    def modules_count(self) -> int:
        """How many modules carry an adapter."""
        return len(self._layers)

    @property
    def values_count(self) -> int:
        """How many numbers the adapter has."""
        return sum(parameter.numel() for parameter in self._parameters.values())

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Name and parameter of all that is trained, in the order of the modules, A before B."""
        return [(name, parameter) for name, parameter in self._parameters.items() if parameter.requires_grad]

    def groups(self) -> dict[str, tuple[tuple[str, nn.Parameter], ...]]:
        """``parameters()`` by the optimizer's group: ``unet`` first, then the text encoders; groups with none are left out."""
        found: dict[str, list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in self.parameters():
            prefix = name.partition(".")[0]
            found.setdefault(prefix if prefix in TEXT_ENCODERS else UNET, []).append((name, parameter))
        return {group: tuple(parameters) for group, parameters in found.items()}

    def describe(self) -> dict[str, Any]:
        """``network`` in state.json (docs/files.md)."""
        network = self.network
        return {
            "kind": network.kind.value,
            "rank": network.rank,
            "alpha": network.alpha,
            "rank_stabilized": network.rank_stabilized,
            "dora": network.dora,
            "dropout": network.dropout,
            "rank_dropout": network.rank_dropout,
            "module_dropout": network.module_dropout,
            "scale_weight_norms": network.scale_weight_norms,
            "modules": self.modules_count,
            "parts": modules_by_part(self.targets),
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Name to weight, float32, on the parameters' own storage: clone what must outlive the next step."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Replace all weights by ``state``'s. Raises ``AdapterError``, with nothing changed, if names or shapes differ."""
        self._check(state)
        for name, parameter in self._parameters.items():
            parameter.copy_(state[name])

    def weights(self, state: Mapping[str, Tensor] | None = None) -> LoraWeights:
        """The adapter as files hold it, each module with its strength; with the tensors of ``state`` if that is given."""
        state = self.state_dict() if state is None else state
        found: LoraWeights = {}
        for module, layer in self._layers.items():
            tensors = {name: state[f"{module}.{name}"] for name, _ in layer_parameters(layer)}
            rank = ModuleWeights(tensors, 1.0).rank
            found[module] = ModuleWeights(tensors, scale_of(layer) * (rank or 1))
        return found

    @torch.no_grad()
    def start_from(self, weights: LoraWeights) -> tuple[str, ...]:
        """Begin with the weights of a file; returns the names of modules that it lacks, which keep their fresh start.

        The strength of each module is kept: where alpha / rank differs, its last factor is scaled. A LoRA starts a DoRA with
        the magnitudes that give the same model. Raises ``AdapterError``, with nothing changed, if the file adapts other
        modules, has another rank or is of another kind.
        """
        self._check_start(weights)
        for module, theirs in weights.items():
            layer = self._layers[module]
            factor = theirs.scale / scale_of(layer)
            scaled = next(name for name in (UP, "hada_w2_a", "lokr_w2_a", "lokr_w2") if name in theirs.tensors)
            for name, tensor in theirs.tensors.items():
                parameter = self._parameters[f"{module}.{name}"]
                parameter.copy_(tensor.reshape(parameter.shape))
                if name == scaled:
                    parameter.mul_(factor)
            if self.network.dora and not theirs.is_dora:
                match_base_with(layer)
        return tuple(module for module in self._layers if module not in weights)

    def train(self) -> None:
        """Put all adapted models into training mode."""
        for model in self.models.values():
            model.train()

    def limit_norms(self, limit: float) -> None:
        """Scale each module down to a norm of at most ``limit`` (see ``max_norm.py``)."""
        limit_norms(((dict(layer_parameters(layer)), scale_of(layer)) for layer in self._layers.values()), limit)

    def limited(self, state: Mapping[str, Tensor], limit: float) -> dict[str, Tensor]:
        """Copies of ``state``'s tensors (all that ``state_dict`` names) with each module's norm at most ``limit``."""
        copies = {name: tensor.clone() for name, tensor in state.items()}
        modules = (
            ({name: copies[f"{module}.{name}"] for name, _ in layer_parameters(layer)}, scale_of(layer))
            for module, layer in self._layers.items()
        )
        limit_norms(modules, limit)
        return copies

    def _check(self, state: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            if name in state and state[name].shape != parameter.shape:
                rank = next(target.rank for target in self.targets if name.startswith(f"{target.name}."))
                raise AdapterError(
                    f"{name} has the shape {list(state[name].shape)}, the adapter of rank {rank} needs {list(parameter.shape)}",
                    hint="The weights come from another rank or another base model; train them with network.rank and "
                    "model.base as they were.",
                )
        missing = [name for name in self._parameters if name not in state]
        unknown = sorted(name for name in state if name not in self._parameters)
        if missing or unknown:
            first = f"{missing[0]} is missing" if missing else f"{unknown[0]} belongs to no module"
            raise AdapterError(
                f"the weights are another adapter's: {len(missing)} missing, {len(unknown)} unknown; {first}",
                hint="They come from another base model or other trained modules.",
            )

    def _check_start(self, weights: LoraWeights) -> None:
        unknown = [module for module in weights if module not in self._layers]
        if unknown:
            raise AdapterError(
                f"it has {len(unknown)} modules that [network] does not train, {unknown[0]} first",
                hint="Switch the parts on that it has (network.feed_forward, convolutions, text_encoder, text_encoder_2), "
                "or use it with the base model it was made for.",
            )
        for target in self.targets:
            theirs = weights.get(target.name)
            if theirs is None:
                continue
            if theirs.kind != self.network.kind.value or (theirs.is_dora and not self.network.dora):
                kind = "a DoRA" if theirs.is_dora else f"a {theirs.kind}"
                raise AdapterError(
                    f"it is {kind}", where="network.start_from", hint="Set network.kind and network.dora to what it is."
                )
            self._check_shapes(target, theirs)

    def _check_shapes(self, target: Target, theirs: ModuleWeights) -> None:
        own = dict(layer_parameters(self._layers[target.name]))
        if theirs.rank is not None and theirs.rank != target.rank:
            raise AdapterError(
                f"it has rank {theirs.rank} in {target.name}, the profile asks for {target.rank}",
                hint=f"Set the rank to {theirs.rank}, or make a copy of the file with the other rank: "
                f"sdxl-tui resize FILE -o OTHER --rank {target.rank}",
            )
        for name in own.keys() | theirs.tensors.keys():
            if name not in theirs.tensors:
                if name != MAGNITUDE:
                    raise AdapterError(f"{target.name} lacks {name}", hint="Its rank or lokr_factor is another one.")
            elif name not in own or own[name].numel() != theirs.tensors[name].numel():
                raise AdapterError(
                    f"{target.name}.{name} has the shape {list(theirs.tensors[name].shape)}, which does not fit",
                    hint="It was made for another base model, or with another lokr_factor.",
                )
