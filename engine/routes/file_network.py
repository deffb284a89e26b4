"""The fields of ``[network]`` that a LoRA file's weights ask for: kind, parts, rank and alpha of each; or of a resized copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, Final

from engine.foreign.lora_network import LoraModule, LoraNetwork
from engine.profile.fields import profile_field
from engine.profile.schema import Network, Part
from engine.routes.route import RouteError

_PREFIXES: Final = {
    Part.FEED_FORWARD: "feed_forward",
    Part.CONVOLUTIONS: "conv",
    Part.TEXT_ENCODER: "text_encoder",
    Part.TEXT_ENCODER_2: "text_encoder_2",
}
"""How the fields of a part's own rank and alpha begin; attention has ``rank`` and ``alpha`` themselves."""
WHOLE_RANK: Final = 1024
"""With which no factor of a LoKr is decomposed."""


@dataclass(frozen=True)
class PartShape:
    """Rank and alpha of the modules of one part."""

    rank: int
    alpha: float
    modules: int
    has_other_alphas: bool


def shape_fields(network: LoraNetwork) -> dict[str, Any]:
    """The fields with which a training has exactly the network of the file. Raises ``RouteError`` where none do."""
    sized = _sized(network)
    main = sized.get(Part.ATTENTION) or next(iter(sized.values()))
    fields: dict[str, Any] = _parts(network) | {"rank": main.rank, "alpha": main.alpha}
    settled = Network.model_construct(**fields)
    for part, prefix in _PREFIXES.items():
        own = sized.get(part)
        if own is None:
            continue
        for name, value, follows in (("rank", own.rank, settled.rank_of), ("alpha", own.alpha, settled.alpha_of)):
            if follows(part) != value:
                fields[f"{prefix}_{name}"] = value
                settled = Network.model_construct(**fields)
    for name in ("rank", "alpha"):
        _require_allowed(f"network.{name}", fields[name])
    return fields


def resized_fields(network: LoraNetwork, rank: int | None, alpha: float | None) -> dict[str, Any]:
    """The fields for the file's LoRA at ``rank``, in all parts; alpha by default in the old ratio. Raises ``RouteError``."""
    if network.kind != "lora" or network.is_dora:
        kind = "a DoRA" if network.is_dora else f"a {network.kind}"
        raise RouteError(f"{kind} cannot be resized", field="network.rank", hint="Only plain LoRAs and LoCons can.")
    first = next((module for module in network.modules if module.part is Part.ATTENTION), network.modules[0])
    old = first.rank or 1
    rank = old if rank is None else rank
    _require_allowed("network.rank", rank)
    alpha = first.alpha * rank / old if alpha is None else alpha
    _require_allowed("network.alpha", alpha)
    return _parts(network) | {"rank": rank, "alpha": float(alpha)}


def shape_notes(network: LoraNetwork) -> Iterator[str]:
    """What a person should know of the network in the file."""
    kind = f"{network.kind}{', DoRA' * network.is_dora}"
    ranks = _range([module.rank for module in network.modules if module.rank is not None])
    alphas = _range([module.alpha for module in network.modules])
    parts = ", ".join(part.value for part in network.parts)
    yield (
        f"The network is the file's: {kind} of rank {ranks or 'none (whole factors)'}, alpha {alphas}, on "
        f"{len(network.modules):,} modules of {parts}."
    )


def _parts(network: LoraNetwork) -> dict[str, Any]:
    own = {f"{prefix}_{name}": None for prefix in _PREFIXES.values() for name in ("rank", "alpha")}
    parts = {part.value: part in network.parts for part in Part}
    factor = {"lokr_factor": _factor(network) if network.kind == "lokr" else None}
    return {"kind": network.kind, "dora": network.is_dora, "rank_stabilized": False, **parts, **own, **factor}


def _sized(network: LoraNetwork) -> dict[Part, PartShape]:
    """By part; the narrow modules among the convolutions have the rank of the attention. Raises ``RouteError``."""
    found: dict[Part, list[LoraModule]] = {}
    for module in network.modules:
        narrow = module.part is Part.CONVOLUTIONS and not module.is_wide
        found.setdefault(Part.ATTENTION if narrow else module.part, []).append(module)
    return {part: _shape(part, modules) for part, modules in found.items()}


def _shape(part: Part, modules: Sequence[LoraModule]) -> PartShape:
    ranks = {module.rank for module in modules if module.rank is not None}
    if len(ranks) > 1:
        plain = modules[0].kind == "lora" and not any(module.is_dora for module in modules)
        raise RouteError(
            f"the file's modules of {part.value} have ranks from {min(ranks)} to {max(ranks)}, a training has one for each part",
            field="network.rank",
            hint="Bring all of them to one rank: --rank N" if plain else None,
        )
    alphas = Counter(module.alpha for module in modules if module.rank is not None)
    rank = next(iter(ranks), WHOLE_RANK)
    alpha = alphas.most_common(1)[0][0] if alphas else float(rank)
    return PartShape(rank, alpha, len(modules), len(alphas) > 1)


def _require_allowed(path: str, value: float) -> None:
    field = profile_field(path)
    low, high = field.minimum or 0, field.maximum or value
    if isinstance(value, bool) or not low <= value <= high or value <= 0:
        raise RouteError(f"must be {field.requirement}, not {value:,g}", field=path)


def _factor(network: LoraNetwork) -> int | None:
    """``network.lokr_factor`` with which the engine divides the widths as the file does. Raises ``RouteError``."""
    sides = sorted({side for module in network.modules for side in module.factors or () if side >= 2})
    for factor in (None, *sides):
        if all(_divided(module, factor) == module.factors for module in network.modules):
            return factor
    raise RouteError(
        "the factors of the file's LoKr belong to no lokr_factor", field="network.lokr_factor", hint="It cannot go on."
    )


def _divided(module: LoraModule, factor: int | None) -> tuple[int, int]:
    """The sides of a module's smaller factor; a convolution's inputs are its channels."""
    kernel = 9 if module.is_wide else 1
    return _smaller(module.outputs, factor), _smaller(module.inputs // kernel, factor)


def _smaller(width: int, factor: int | None) -> int:
    """What LyCORIS and peft divide ``width`` by: ``factor`` where it divides it, else the next divisor below, up to the root."""
    if factor is not None and width % factor == 0:
        return factor
    highest = isqrt(width) if factor is None else min(factor, isqrt(width))
    return next(side for side in range(highest, 0, -1) if width % side == 0)


def _range(values: Sequence[float]) -> str:
    found = sorted(set(values))
    return f"{found[0]:g}" + (f" to {found[-1]:g}" if len(found) > 1 else "") if found else ""
