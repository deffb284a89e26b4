"""``[optimizer]`` from sd-scripts' optimizer_type and its arguments, whose packages have defaults of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.foreign.sd_scripts.given import Entry
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.translation import Translation
from engine.foreign.sd_scripts.values import as_arguments, as_flag, as_number, as_numbers, as_text, is_nothing
from engine.profile.optimizer_kinds import OPTIMIZERS, OptimizerKind

KINDS: Final[dict[str, tuple[OptimizerKind, str]]] = {
    "adamw": (OptimizerKind.ADAMW, ""),
    "adamw8bit": (OptimizerKind.ADAMW_8BIT, ""),
    "pagedadamw": (OptimizerKind.ADAMW, "its state is not moved to the CPU"),
    "pagedadamw8bit": (OptimizerKind.ADAMW_8BIT, "its state is not moved to the CPU"),
    "pagedadamw32bit": (OptimizerKind.ADAMW, "its state is not moved to the CPU"),
    "adafactor": (OptimizerKind.ADAFACTOR, ""),
    "lion": (OptimizerKind.LION, ""),
    "lion8bit": (OptimizerKind.LION, "its state is kept in full precision"),
    "pagedlion8bit": (OptimizerKind.LION, "its state is kept in full precision"),
    "prodigy": (OptimizerKind.PRODIGY, ""),
    "dadaptadam": (OptimizerKind.DADAPT_ADAM, ""),
    "dadaptation": (OptimizerKind.DADAPT_ADAM, "the published version of the preprint's"),
    "dadaptadampreprint": (OptimizerKind.DADAPT_ADAM, "the published version of the preprint's"),
    "adamwschedulefree": (OptimizerKind.SCHEDULE_FREE_ADAMW, ""),
    "came": (OptimizerKind.CAME, ""),
}
"""By sd-scripts' word, or the name of the class, in small letters: our kind, and what is other about it."""
NEAREST: Final = (("dadapt", OptimizerKind.DADAPT_ADAM), ("prodigy", OptimizerKind.PRODIGY))
NO_DECAY: Final = frozenset(
    {
        OptimizerKind.LION,
        OptimizerKind.PRODIGY,
        OptimizerKind.DADAPT_ADAM,
        OptimizerKind.SCHEDULE_FREE_ADAMW,
        OptimizerKind.CAME,
    }
)
"""Kinds whose packages decay no weights unless they are told to, where ours do."""
ARGUMENTS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "weight_decay": ("weight_decay", as_number),
    "beta1": ("beta1", as_number),
    "beta2": ("beta2", as_number),
    "beta3": ("beta3", as_number),
    "d0": ("d0", as_number),
    "d_coef": ("d_coef", as_number),
    "growth_rate": ("growth_rate", as_number),
    "use_bias_correction": ("bias_correction", as_flag),
    "bias_correction": ("bias_correction", as_flag),
    "safeguard_warmup": ("safeguard_warmup", as_flag),
    "clip_threshold": ("clip_threshold", as_number),
    "decay_rate": ("decay_rate", lambda value: abs(as_number(value))),
    "eps1": ("eps", as_number),
    "eps2": ("eps2", as_number),
}
"""By the argument's name: the hyperparameter and the reader."""
_AS_HERE: Final = {
    "decouple": True,
    "weight_decouple": True,
    "scale_parameter": False,
    "relative_step": False,
    "warmup_init": False,
}
_NOT_HERE: Final = {
    "decouple": "weight decay is decoupled here (AdamW's)",
    "weight_decouple": "weight decay is decoupled here (AdamW's)",
    "scale_parameter": "the step is not scaled by the size of the weights",
    "relative_step": "the rate comes from optimizer.lr and the schedule",
    "warmup_init": "the warmup is the schedule's",
}


def translate_optimizer(t: Translation) -> OptimizerKind:
    """Kind and hyperparameters; returns the kind."""
    kind, word, is_exact = _kind(t)
    found = t.entry("optimizer_args")
    arguments: dict[str, Any] = {}
    if found is not None:
        arguments = as_arguments(found.value)
        t.tell(found, Fate.TRANSLATED, note=f"{len(arguments)} arguments, each told below")
    if (custom := t.entry("optimizer_args_custom")) is not None:
        arguments |= as_arguments(custom.value)
        t.tell(custom, Fate.TRANSLATED, note="told among the optimizer_args")
    for name, value in arguments.items():
        entry = Entry(name, value, f"optimizer_args {name}")
        if not is_exact:
            t.tell(entry, Fate.UNSUPPORTED, note="of an optimizer that is not among the kinds")
        else:
            _argument(t, kind, entry)
    if is_exact and (t.takes_defaults or t.entry("optimizer_type") is not None):
        _defaults(t, kind, arguments)
    if word == "adafactor" and as_flag_or(arguments.get("relative_step"), True):
        note = "sd-scripts' default: Adafactor finds the rate itself, and the rates given are not used; here they are"
        t.tell_default("optimizer_args relative_step", "True", (), note)
    return kind


def as_flag_or(value: Any, default: bool) -> bool:
    """``value`` as a flag, or the default where it is none."""
    try:
        return default if is_nothing(value) else as_flag(value)
    except ValueError:
        return default


def class_name(word: str) -> str:
    """``bitsandbytes.optim.adamw.AdamW8bit`` → ``adamw8bit``."""
    return word.strip().rpartition(".")[2].lower()


_FLAGS: Final = (
    ("use_8bit_adam", OptimizerKind.ADAMW_8BIT, "use_8bit_adam"),
    ("use_lion_optimizer", OptimizerKind.LION, "use_lion_optimizer"),
    ("use_dadaptation", OptimizerKind.DADAPT_ADAM, "dadaptation"),
)
"""Of the time before optimizer_type: the option, our kind, and the word for it now."""


def _kind(t: Translation) -> tuple[OptimizerKind, str, bool]:
    """Our kind, the word for it there, and whether it is the same optimizer."""
    for name, kind, word in _FLAGS:
        entry = t.entry(name)
        if entry is not None and t.flag(name):
            t.put("optimizer.kind", kind.value, entry)
            return kind, word, True
    entry = t.entry("optimizer_type")
    if entry is None:
        return OptimizerKind.ADAMW, "adamw", True
    word = class_name(as_text(entry.value))
    if word in KINDS:
        kind, remark = KINDS[word]
        t.put("optimizer.kind", kind.value, entry, note=remark)
        return kind, word, True
    kind = next((kind for beginning, kind in NEAREST if word.startswith(beginning)), OptimizerKind.ADAMW)
    t.values["optimizer.kind"] = kind.value
    note = f"not among the optimizers here ({', '.join(OptimizerKind)}): {kind} is taken, whose rates differ"
    t.tell(entry, Fate.UNSUPPORTED, (("optimizer.kind", kind.value),), note, warning=True)
    return kind, word, False


def _argument(t: Translation, kind: OptimizerKind, entry: Entry) -> None:
    name, has = entry.name, OPTIMIZERS[kind].defaults
    if name in _AS_HERE:
        if t.read(entry, as_flag, _AS_HERE[name]) == _AS_HERE[name]:
            t.tell(entry, Fate.MEANINGLESS, note="as it always is here")
        else:
            t.tell(entry, Fate.UNSUPPORTED, note=_NOT_HERE[name], warning=name != "decouple")
    elif name == "betas":
        betas: list[float] = t.read(entry, as_numbers, [])
        paths = [f"optimizer.{beta}" for beta in ("beta1", "beta2", "beta3") if beta in has][: len(betas)]
        pairs = tuple(zip(paths, betas, strict=False))
        t.values |= dict(pairs)
        t.tell(entry, Fate.TRANSLATED, pairs)
    elif name in ("eps", "epsilon"):
        numbers: list[float] = t.read(entry, as_numbers, [])
        fields = [field for field in ("eps", "eps2") if field in has][: len(numbers)]
        pairs = tuple((f"optimizer.{field}", number) for field, number in zip(fields, numbers, strict=False))
        t.values |= dict(pairs)
        note = "the second counts with scale_parameter alone" if len(numbers) > len(fields) else ""
        t.tell(entry, Fate.TRANSLATED, pairs, note)
    elif name == "warmup_steps" and kind is OptimizerKind.SCHEDULE_FREE_ADAMW:
        t.put("schedule.warmup_steps", int(t.read(entry, as_number, 0.0)), entry)
    elif name == "decay_rate" and "decay_rate" not in has:
        t.tell(entry, Fate.UNSUPPORTED, note=f"not among {kind}'s settings here")
    elif name in ARGUMENTS and ARGUMENTS[name][0] in has:
        field, reader = ARGUMENTS[name]
        t.put(f"optimizer.{field}", t.read(entry, reader, None), entry)
    elif is_nothing(entry.value) or as_text(entry.value).lower() in ("false", "0"):
        t.tell(entry, Fate.MEANINGLESS, note="off")
    elif as_text(entry.value).lower() in ("inf", "infinity") and name == "growth_rate":
        t.tell(entry, Fate.MEANINGLESS, note="no limit, as by default here")
    else:
        t.tell(entry, Fate.UNSUPPORTED, note=f"not among {kind}'s settings here", warning=True)


def _defaults(t: Translation, kind: OptimizerKind, arguments: dict[str, Any]) -> None:
    if kind in NO_DECAY and "weight_decay" not in arguments:
        t.values["optimizer.weight_decay"] = 0.0
        note = f"the default of sd-scripts' {kind}; here it is {OPTIMIZERS[kind].defaults['weight_decay']}"
        t.tell_default("optimizer_args weight_decay", "0", (("optimizer.weight_decay", 0.0),), note)
    if kind is OptimizerKind.ADAFACTOR and "scale_parameter" not in arguments:
        note = "sd-scripts' default: steps scaled by the size of the weights, which is not done here"
        t.tell_default("optimizer_args scale_parameter", "True", (), note)
