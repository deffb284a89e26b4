"""The tensors of an adapted module, under the names they have here; sd-scripts' and LyCORIS' names for them. Free of torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

DOWN: Final = "lora_A.weight"
UP: Final = "lora_B.weight"
MAGNITUDE: Final = "lora_magnitude_vector.weight"
LOHA: Final = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
LOKR: Final = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")
TENSORS: Final = (DOWN, UP, MAGNITUDE, *LOHA, *LOKR)
ALPHA: Final = "alpha"
THEIRS: Final = {DOWN: "lora_down.weight", UP: "lora_up.weight", MAGNITUDE: "dora_scale"} | {
    name: name for name in (*LOHA, *LOKR)
}
"""How sd-scripts and LyCORIS name a tensor, by our name."""
OURS: Final = {theirs: ours for ours, theirs in THEIRS.items()}
INNER: Final = (DOWN, "hada_w1_b", "lokr_w2_b", "lokr_w1_b")
"""Tensors whose first side is the rank; a LoKr of two full matrices has none of them."""


def kind_of(names: Collection[str]) -> str:
    """``lora``, ``loha`` or ``lokr``, by the tensors' names."""
    first = next(iter(names))
    return "loha" if first.startswith("hada") else "lokr" if first.startswith("lokr") else "lora"


def rank_of(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """The inner dimension; None for a LoKr whose two factors are full matrices."""
    return next((int(shapes[name][0]) for name in INNER if shapes.get(name)), None)


def problem_of(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """What of a module's tensors is missing or does not fit together, as words after its name; None if nothing is."""
    names = set(shapes)
    if not names:
        return "has no weights"
    needed = {"lora": {DOWN, UP}, "loha": set(LOHA)}.get(kind_of(names - {MAGNITUDE} or names))
    if needed is None:
        halves = [
            ("lokr_w1" in names, {"lokr_w1_a", "lokr_w1_b"}),
            ("lokr_w2" in names, {"lokr_w2_a", "lokr_w2_b"}),
        ]
        needed = {name for is_full, parts in halves if not is_full for name in parts}
    if missing := sorted(needed - names):
        return f"lacks {missing[0]}"
    if flat := sorted(name for name in names - {MAGNITUDE} if len(shapes[name]) < 2 or 0 in shapes[name]):
        return f"has a {flat[0]} of the shape {list(shapes[flat[0]])}"
    if DOWN in names and shapes[DOWN][0] != shapes[UP][1]:
        return f"has {shapes[DOWN][0]} ranks in one half and {shapes[UP][1]} in the other"
    return None
