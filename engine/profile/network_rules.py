"""The rules about ``[network]`` and the rates of its parts: nothing is set that would do nothing, nothing that peft cannot do."""

from __future__ import annotations

from typing import Final

from engine.profile.rule import Broken, Rule, Values

_UNET: Final = ("attention", "feed_forward", "convolutions")
_TEXT: Final = ("text_encoder", "text_encoder_2")


def _something_is_trained(values: Values) -> Broken | None:
    if any(values[f"network.{part}"] for part in (*_UNET, *_TEXT)):
        return None
    return Broken("leaves nothing to train: every part is off", "switch one on, network.attention for instance")


def _is_used(field: str, parts: tuple[str, ...]) -> Rule:
    """``field`` may only be set where one of ``parts`` is trained."""
    switches = tuple(f"network.{part}" for part in parts)
    named = " or ".join(switches)

    def check(values: Values) -> Broken | None:
        if values[field] is None or any(values[switch] for switch in switches):
            return None
        return Broken(f"does nothing: {named} is off", f"set {switches[0]} = true, or leave it out")

    return Rule((field, *switches), f"`{field}` needs {' or '.join(f'`{switch}`' for switch in switches)}.", check)


def _needs_kind(field: str, kind: str, why: str) -> Rule:
    """``field`` may only be set (away from off) for one kind of adapter."""

    def check(values: Values) -> Broken | None:
        if not values[field] or values["network.kind"] == kind:
            return None
        return Broken(
            f"is not possible with network.kind {values['network.kind']}: {why}", f"leave it out, or use {kind}"
        )

    return Rule((field, "network.kind"), f"`{field}` needs `network.kind` {kind}: {why}.", check)


def _not_with_dora(field: str) -> Rule:
    def check(values: Values) -> Broken | None:
        if not values["network.dora"] or not values[field]:
            return None
        return Broken("is not possible with network.dora", "switch one of them off; network.dropout works with both")

    return Rule((field, "network.dora"), f"`{field}` is not possible with `network.dora`.", check)


NETWORK_RULES: Final[tuple[Rule, ...]] = (
    Rule(
        tuple(f"network.{part}" for part in (*_UNET, *_TEXT)),
        "At least one part of the model is trained.",
        _something_is_trained,
    ),
    _is_used("network.feed_forward_rank", ("feed_forward",)),
    _is_used("network.feed_forward_alpha", ("feed_forward",)),
    _is_used("network.conv_rank", ("convolutions",)),
    _is_used("network.conv_alpha", ("convolutions",)),
    _is_used("network.text_encoder_rank", _TEXT),
    _is_used("network.text_encoder_alpha", _TEXT),
    _is_used("network.text_encoder_2_rank", ("text_encoder_2",)),
    _is_used("network.text_encoder_2_alpha", ("text_encoder_2",)),
    _is_used("optimizer.unet_lr", _UNET),
    _is_used("optimizer.text_encoder_lr", _TEXT),
    _is_used("optimizer.text_encoder_2_lr", ("text_encoder_2",)),
    _needs_kind("network.dora", "lora", "only a LoRA has a direction of its own"),
    _needs_kind("network.rank_stabilized", "lora", "the other formats have no such scale"),
    _needs_kind(
        "network.dropout", "lora", "the others have no inputs between their factors; rank_dropout works with all"
    ),
    _needs_kind("network.lokr_factor", "lokr", "no other kind is split by it"),
    _not_with_dora("network.rank_dropout"),
    _not_with_dora("network.module_dropout"),
    _not_with_dora("network.scale_weight_norms"),
)
