"""Which update rule a stored optimizer state belongs to, told by what it keeps per tensor and per group.

A state does not name its optimizer; the names of its entries are enough to tell the usual ones apart.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet


def optimizer_kind(slots: AbstractSet[str], group: AbstractSet[str]) -> str | None:
    """The kind, in words; None where the entries belong to none that is known.

    slots: what is kept for each tensor (``exp_avg``); group: the names of a group's settings (``betas``).
    """
    for kind, wanted_slots, wanted_settings in _SIGNS:
        if wanted_slots <= slots and wanted_settings <= group:
            return kind
    return None


_SIGNS: tuple[tuple[str, frozenset[str], frozenset[str]], ...] = (
    ("Prodigy, schedule-free", frozenset({"z"}), frozenset({"d", "d0", "d_coef"})),
    ("Prodigy", frozenset({"exp_avg_sq"}), frozenset({"d", "d0", "d_max", "d_coef"})),
    ("D-Adaptation Adam", frozenset({"exp_avg_sq"}), frozenset({"d", "k", "numerator_weighted"})),
    ("D-Adaptation Lion", frozenset({"exp_avg", "s"}), frozenset({"d", "k"})),
    ("D-Adaptation", frozenset(), frozenset({"d", "k"})),
    ("AdamW, schedule-free", frozenset({"z", "exp_avg_sq"}), frozenset({"weight_sum"})),
    ("RAdam, schedule-free", frozenset({"z"}), frozenset({"weight_sum", "silent_sgd_phase"})),
    ("SGD, schedule-free", frozenset({"z"}), frozenset({"weight_sum"})),
    ("Adam in 8 bits (bitsandbytes)", frozenset({"state1", "state2", "qmap1"}), frozenset()),
    ("Adam (bitsandbytes)", frozenset({"state1", "state2"}), frozenset()),
    ("Lion in 8 bits (bitsandbytes)", frozenset({"state1", "qmap1"}), frozenset({"betas"})),
    ("Lion or SGD (bitsandbytes)", frozenset({"state1"}), frozenset()),
    ("Adafactor", frozenset(), frozenset({"scale_parameter", "relative_step"})),
    ("CAME", frozenset({"exp_avg_res_row"}), frozenset()),
    ("Adafactor (torch)", frozenset({"row_var"}), frozenset()),
    ("AdamW", frozenset({"exp_avg", "exp_avg_sq", "step"}), frozenset({"decoupled_weight_decay"})),
    ("Adam or AdamW", frozenset({"exp_avg", "exp_avg_sq"}), frozenset({"betas"})),
    ("Lion", frozenset({"exp_avg"}), frozenset({"betas"})),
    ("SGD with momentum", frozenset({"momentum_buffer"}), frozenset({"momentum"})),
    ("SGD", frozenset(), frozenset({"momentum", "nesterov"})),
)
