"""The layers of an adapter: peft's, put into a model, given their first weights, and with the dropouts that peft lacks.

LoRA (Hu et al., arXiv:2106.09685): y = W x + s · B A x, with s = alpha / rank or, rank-stabilised (Kalajdzievski,
arXiv:2312.03732), alpha / √rank. DoRA (Liu et al., arXiv:2402.09353): the sum's rows are scaled to a trained magnitude.
LoHa (Hyeon-Woo et al., arXiv:2108.06098) and LoKr (Yeh et al., arXiv:2309.14859) replace B A. Dropouts on ranks and modules
draw from torch's global generators, whose state is in every checkpoint.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn

from engine.model.libraries import LoHaConfig, LoKrConfig, LoraConfig, inject_adapter_in_model
from engine.model.lora_tensors import DOWN, LOHA, LOKR, MAGNITUDE, UP
from engine.model.targets import Target
from engine.profile.schema import Network, NetworkKind

NAME: Final = "default"


def inject(model: nn.Module, network: Network, targets: tuple[Target, ...], generator: torch.Generator) -> None:
    """Put a layer on each of ``targets``, all modules of ``model``, with its first weights drawn from ``generator``."""
    if not targets:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft wonders about layers without weights: they get them below
        inject_adapter_in_model(_config(network, targets), model, adapter_name=NAME, low_cpu_mem_usage=True)
    for target in targets:
        layer: Any = model.get_submodule(target.path)
        _start(layer, generator)
        if hasattr(layer, "lokr_w1") and _is_full(layer):
            layer.scaling[NAME] = 1.0  # as LyCORIS: without an inner dimension there is nothing to divide alpha by
        _add_dropouts(layer, network)


def _config(network: Network, targets: tuple[Target, ...]) -> Any:
    """The configuration for peft. Parts of another rank or alpha are told apart by how their modules' names end."""
    first = targets[0]
    ranks, alphas = {}, {}
    for pattern, target in {_ending(target): target for target in targets}.items():
        ranks[pattern], alphas[pattern] = target.rank, target.alpha
    shared = {"target_modules": [target.path for target in targets], "rank_pattern": ranks, "alpha_pattern": alphas}
    if network.kind is NetworkKind.LORA:
        return LoraConfig(
            r=first.rank,
            lora_alpha=first.alpha,
            lora_dropout=network.dropout,
            use_rslora=network.rank_stabilized,
            use_dora=network.dora,
            **shared,
        )
    if network.kind is NetworkKind.LOHA:
        return LoHaConfig(r=first.rank, alpha=first.alpha, rank_dropout=network.rank_dropout, **shared)
    return LoKrConfig(
        r=first.rank,
        alpha=first.alpha,
        rank_dropout=network.rank_dropout,
        decompose_factor=network.lokr_factor or -1,
        **shared,
    )


def _ending(target: Target) -> str:
    """The last parts of a path that tell its part and width: ``conv1``, ``ff.net.2``, as a regular expression."""
    parts = target.path.split(".")
    return r"\.".join(parts[parts.index("net") - 1 :] if "net" in parts else parts[-1:])


def layer_parameters(layer: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """The adapter's parameters in a layer, by peft's names without the adapter's: ``lora_A.weight``, ``hada_w1_a``."""
    if hasattr(layer, "lora_A"):
        yield DOWN, layer.lora_A[NAME].weight
        yield UP, layer.lora_B[NAME].weight
        if NAME in layer.lora_magnitude_vector:
            yield MAGNITUDE, layer.lora_magnitude_vector[NAME].weight
        return
    for name in (*LOHA, *LOKR):
        holder = getattr(layer, name, {})
        if NAME in holder:
            yield name, holder[NAME]


def scale_of(layer: Any) -> float:
    """What a layer multiplies the product of its factors by."""
    return float(layer.scaling[NAME])


def _is_full(layer: Any) -> bool:
    return NAME in layer.lokr_w1 and NAME in layer.lokr_w2


def _start(layer: Any, generator: torch.Generator) -> None:
    """Give an injected layer (its adapter still without storage) its first weights, beside its base layer.

    One factor is zero, so that the product is. LoRA: A uniform in ±1/√inputs, which is Kaiming's with a = √5, as in peft
    and sd-scripts. LoHa and LoKr start as in LyCORIS: normal with deviations 0.1 and 1, or Kaiming's.
    """
    device = layer.get_base_layer().weight.device
    for name, parameter in list(layer_parameters(layer)):
        first = torch.zeros(parameter.shape, dtype=torch.float32)
        if name in ("hada_w1_a", "hada_w1_b", "hada_w2_b"):
            first.normal_(std=0.1 if name == "hada_w1_a" else 1.0, generator=generator)
        elif name in (DOWN, "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a"):
            nn.init.kaiming_uniform_(first, a=math.sqrt(5), generator=generator)
        _put(layer, name, nn.Parameter(first.to(device)))
    if hasattr(layer, "lora_A") and NAME in layer.lora_magnitude_vector:
        match_base_with(layer)


def _put(layer: Any, name: str, parameter: nn.Parameter) -> None:
    holder, _, weight = name.partition(".")
    if weight:
        getattr(layer, holder)[NAME].weight = parameter
    else:
        getattr(layer, holder)[NAME] = parameter


@torch.no_grad()
def match_base_with(layer: Any) -> None:
    """Set a DoRA's magnitudes to the norms of the rows of W + s · B A, so that the direction alone decides the output."""
    magnitudes = layer.lora_magnitude_vector[NAME].weight
    weight = layer.get_base_layer().weight.to(torch.float32)
    product = layer.lora_B[NAME].weight.flatten(1) @ layer.lora_A[NAME].weight.flatten(1)
    norms = (weight.flatten(1) + scale_of(layer) * product).norm(dim=1)
    magnitudes.copy_(norms.reshape(magnitudes.shape))


def _add_dropouts(layer: Any, network: Network) -> None:
    """Drop ranks and modules in training: of a LoRA here, of the others partly by peft."""
    if hasattr(layer, "lora_A"):
        if network.rank_dropout:
            layer.lora_A[NAME].register_forward_hook(_rank_dropout(network.rank_dropout))
        if network.module_dropout:
            layer.lora_B[NAME].register_forward_hook(_module_dropout(network.module_dropout))
    elif network.module_dropout:
        activations: Callable[..., Tensor] = layer._get_delta_activations
        drop = _module_dropout(network.module_dropout)

        def dropped(*args: Any, **kwargs: Any) -> Tensor:
            return drop(layer, args, activations(*args, **kwargs))

        layer._get_delta_activations = dropped


Hook = Callable[[nn.Module, Any, Tensor], Tensor]


def _rank_dropout(share: float) -> Hook:
    """Zero ``share`` of the ranks of A x (B, …, r) or (B, r, h, w), drawn anew for each sample; the rest scaled up."""

    def drop(module: nn.Module, _: Any, output: Tensor) -> Tensor:
        if not module.training:
            return output
        samples = output.shape[0]
        if isinstance(module, nn.Conv2d):
            shape = (samples, output.shape[1], *[1] * (output.dim() - 2))
        else:
            shape = (samples, *[1] * (output.dim() - 2), output.shape[-1])
        kept = torch.rand(shape, device=output.device) >= share
        return output * kept.to(output.dtype) / (1 - share)

    return drop


def _module_dropout(share: float) -> Hook:
    """Zero the whole output with probability ``share``. Its gradient is then zero, not missing: every step moves all weights."""

    def drop(module: nn.Module, _: Any, output: Tensor) -> Tensor:
        if not module.training:
            return output
        return output * (torch.rand((), device=output.device) >= share).to(output.dtype)

    return drop
