"""The LoRA that is trained beside the frozen UNet: where it sits, how it starts, and its weights by name.

The layers are peft's (Hu et al., "LoRA", 2021): y = W x + (alpha / rank) · B A x, with dropout on x. Names are peft's own
without the adapter's name, ``down_blocks.1.attentions.0.proj_in.lora_A.weight``, in the order of the UNet's modules. Files for
other programs are ``lora_file.py``'s business.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, Final

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from engine.model.errors import AdapterError
from engine.profile.schema import Network

NAME: Final = "default"
HOST: Final = "Transformer2DModel"


def target_modules(unet: nn.Module) -> tuple[str, ...]:
    """The modules that get a LoRA: every linear layer and 1×1 convolution inside a ``Transformer2DModel``.

    That is the default of sd-scripts' ``networks.lora``: 722 modules in SDXL's UNet. Names in the order of the modules.
    """
    hosts = [name for name, module in unet.named_modules() if type(module).__name__ == HOST]
    return tuple(
        name
        for name, module in unet.named_modules()
        if _takes_lora(module) and any(name.startswith(f"{host}.") for host in hosts)
    )


def _takes_lora(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))


def add_lora(unet: nn.Module, network: Network, *, seed: int) -> Adapter:
    """Freeze ``unet`` as it is and put a LoRA on each of its ``target_modules``, trainable, in float32.

    A (down) starts uniform in ±1/√inputs, which is Kaiming's with a = √5, B (up) at zero, as in peft and sd-scripts: the
    adapted UNet first gives exactly what the base gives. A is drawn on the CPU from a generator of its own, so that
    the start depends on ``seed`` alone and no global random state moves.
    """
    names = target_modules(unet)
    if not names:
        raise AdapterError("the UNet has no transformer blocks: there is nothing to put a LoRA on")
    unet.requires_grad_(False)
    config = LoraConfig(
        r=network.rank,
        lora_alpha=network.alpha,
        lora_dropout=network.dropout,
        target_modules=list(names),
        init_lora_weights=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft wonders about layers without weights: they get them below
        inject_adapter_in_model(config, unet, adapter_name=NAME, low_cpu_mem_usage=True)
    generator = torch.Generator().manual_seed(seed)
    for name in names:
        _start(unet.get_submodule(name), generator)
    return Adapter(unet, network, names)


def _start(layer: nn.Module, generator: torch.Generator) -> None:
    """Give an injected layer (its LoRA still without storage) its first weights, beside its base layer."""
    assert isinstance(layer, LoraLayer)
    device = layer.get_base_layer().weight.device
    down, up = layer.lora_A[NAME], layer.lora_B[NAME]
    first = torch.empty(down.weight.shape, dtype=torch.float32)
    nn.init.kaiming_uniform_(first, a=math.sqrt(5), generator=generator)
    down.weight = nn.Parameter(first.to(device))
    up.weight = nn.Parameter(torch.zeros(up.weight.shape, dtype=torch.float32, device=device))


class Adapter:
    """The trainable weights in an adapted UNet. Made by ``add_lora``."""

    def __init__(self, unet: nn.Module, network: Network, modules: tuple[str, ...]) -> None:
        self.unet = unet
        self.network = network
        self.modules = modules
        self._parameters: dict[str, nn.Parameter] = {}
        for module in modules:
            layer: Any = unet.get_submodule(module)
            self._parameters[f"{module}.lora_A.weight"] = layer.lora_A[NAME].weight
            self._parameters[f"{module}.lora_B.weight"] = layer.lora_B[NAME].weight

    @property
    def modules_count(self) -> int:
        """How many modules of the UNet carry a LoRA."""
        return len(self.modules)

    @property
    def values_count(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self._parameters.values())

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Name and parameter, in the order of the UNet's modules, A before B."""
        return list(self._parameters.items())

    def state_dict(self) -> dict[str, Tensor]:
        """Name to weight, float32, on the parameters' own storage: clone what must outlive the next step."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Replace all weights by ``state``'s. Raises ``AdapterError``, with nothing changed, if names or shapes differ."""
        self._check(state)
        for name, parameter in self._parameters.items():
            parameter.copy_(state[name])

    def _check(self, state: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            if name in state and state[name].shape != parameter.shape:
                rank = self.network.rank
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
