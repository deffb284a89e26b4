"""``[schedule]`` from sd-scripts' built-in schedulers, and from those of torch and others that have a like here."""

from __future__ import annotations

import re
from typing import Any, Final

from engine.foreign.sd_scripts.given import Entry
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.translation import Translation
from engine.foreign.sd_scripts.values import as_arguments, as_number, as_text, as_whole
from engine.profile.optimizer_kinds import OptimizerKind
from engine.schedule import is_used
from engine.schedule.kinds import Kind

BUILT_IN: Final[dict[str, Kind]] = {
    "constant": Kind.CONSTANT,
    "constant_with_warmup": Kind.CONSTANT,
    "linear": Kind.LINEAR,
    "cosine": Kind.COSINE,
    "cosine_with_min_lr": Kind.COSINE,
    "cosine_with_restarts": Kind.COSINE_WITH_RESTARTS,
    "polynomial": Kind.POLYNOMIAL,
    "inverse_sqrt": Kind.INVERSE_SQRT,
    "warmup_stable_decay": Kind.WARMUP_STABLE_DECAY,
    "piecewise_constant": Kind.PIECEWISE,
    "rex": Kind.REX,
}
"""Our kind by sd-scripts' word."""
CLASSES: Final[dict[str, Kind]] = {
    "cosineannealinglr": Kind.COSINE,
    "cosineannealingwarmrestarts": Kind.COSINE_WITH_RESTARTS,
    "cosineannealingwarmuprestarts": Kind.COSINE_WITH_RESTARTS,
    "rexannealingwarmrestarts": Kind.REX,
    "rex": Kind.REX,
    "linearlr": Kind.LINEAR,
    "polynomiallr": Kind.POLYNOMIAL,
    "onecyclelr": Kind.ONE_CYCLE,
    "constantlr": Kind.CONSTANT,
}
"""Our kind by the class of an ``lr_scheduler_type``; the curve is alike, its length is the training's."""
_ALIKE: Final = "alike: here the curve spans the training; look at it before you launch"


def translate_schedule(t: Translation, optimizer: OptimizerKind, steps: int | None) -> None:
    """Kind, shape and warmup. steps: of the training, where they are known."""
    named, custom = t.entry("lr_scheduler"), t.entry("lr_scheduler_type")
    if optimizer is OptimizerKind.SCHEDULE_FREE_ADAMW:
        _schedule_free(t, named, custom)
        return
    word = as_text(named.value).strip().lower() if named else "constant"
    kind = _custom(t, custom) if custom is not None else None
    if custom is not None and named is not None and kind is not None:
        t.tell(named, Fate.MEANINGLESS, note="lr_scheduler_type counts")
    if kind is None:
        kind = _built_in(t, named, word)
    t.values["schedule.kind"] = kind.value
    _shape(t, kind, word, steps)
    if (arguments := t.entry("lr_scheduler_args")) is not None:
        _arguments(t, arguments, kind, steps)
    _warmup(t, kind, takes=custom is not None or word != "constant")


def _schedule_free(t: Translation, *entries: Entry | None) -> None:
    t.values["schedule.kind"] = Kind.CONSTANT.value
    for entry in (
        *entries,
        t.entry("lr_scheduler_args"),
        t.entry("lr_warmup_steps"),
        t.entry("warmup_ratio"),
        t.entry("lr_warmup"),
    ):
        if entry is not None:
            note = "a schedule-free optimizer has none, there as here; its own warmup_steps are the warmup"
            t.tell(entry, Fate.MEANINGLESS, (("schedule.kind", "constant"),), note)


def _built_in(t: Translation, named: Entry | None, word: str) -> Kind:
    if named is None:
        if t.takes_defaults:
            t.tell_default("lr_scheduler", "constant", (("schedule.kind", "constant"),))
        return Kind.CONSTANT if t.takes_defaults else Kind.COSINE
    if word.startswith("adafactor"):
        note = "Adafactor's own schedule: its rate is constant here, as given"
        t.tell(named, Fate.UNSUPPORTED, (("schedule.kind", "constant"),), note, warning=True)
        return Kind.CONSTANT
    kind = BUILT_IN.get(word) or next((kind for name, kind in BUILT_IN.items() if word.startswith(f"{name}_")), None)
    if kind is None:
        note = f"no schedule of that name: constant is taken (the kinds: {', '.join(Kind)})"
        t.tell(named, Fate.UNSUPPORTED, (("schedule.kind", "constant"),), note, warning=True)
        return Kind.CONSTANT
    exact = word in BUILT_IN
    t.tell(named, Fate.TRANSLATED, (("schedule.kind", kind.value),), "" if exact else _ALIKE, warning=not exact)
    return kind


def _custom(t: Translation, custom: Entry) -> Kind | None:
    name = as_text(custom.value).strip().rpartition(".")[2].lower()
    kind = CLASSES.get(name)
    if kind is None:
        t.tell(custom, Fate.UNSUPPORTED, note="no schedule like it: lr_scheduler is taken", warning=True)
        return None
    t.tell(custom, Fate.TRANSLATED, (("schedule.kind", kind.value),), _ALIKE, warning=True)
    return kind


def _shape(t: Translation, kind: Kind, word: str, steps: int | None) -> None:
    """What sd-scripts' own arguments make of the curve; those the kind has not are told to be unused, as they are there."""
    if (cycles := t.entry("lr_scheduler_num_cycles")) is not None:
        count = t.read(cycles, as_whole, 1)
        if kind is Kind.COSINE_WITH_RESTARTS and count >= 1:
            t.put("schedule.cycles", count, cycles)
        else:
            t.tell(cycles, Fate.MEANINGLESS, note="counts with cosine_with_restarts alone")
    elif kind is Kind.COSINE_WITH_RESTARTS:
        t.values["schedule.cycles"] = 1
        note = "" if t.takes_defaults else "the number of cycles is not stored: set schedule.cycles"
        t.tell_default("lr_scheduler_num_cycles", "1", (("schedule.cycles", 1),), note)
    if (ratio := t.entry("lr_scheduler_min_lr_ratio")) is not None:
        if word in ("cosine_with_min_lr", "warmup_stable_decay"):
            t.put("schedule.min_factor", t.read(ratio, as_number, 0.0), ratio)
        else:
            t.tell(ratio, Fate.MEANINGLESS, note="counts with cosine_with_min_lr and warmup_stable_decay alone")
    _exponents(t, kind)
    decay = t.entry("lr_decay_steps")
    if kind is Kind.WARMUP_STABLE_DECAY:
        t.values["schedule.decay_shape"] = "cosine"
        _decay(t, decay, steps)
    elif decay is not None:
        t.tell(decay, Fate.MEANINGLESS, note="counts with warmup_stable_decay alone")


def _exponents(t: Translation, kind: Kind) -> None:
    if (power := t.entry("lr_scheduler_power")) is not None:
        if kind is Kind.POLYNOMIAL:
            t.put("schedule.power", t.read(power, as_number, 1.0), power)
        else:
            t.tell(power, Fate.MEANINGLESS, note="counts with polynomial alone")
    if (timescale := t.entry("lr_scheduler_timescale")) is not None:
        if kind is Kind.INVERSE_SQRT and (scale := t.read(timescale, as_whole, 0)) > 0:
            t.put("schedule.timescale", scale, timescale)
        else:
            t.tell(timescale, Fate.MEANINGLESS, note="counts with inverse_sqrt alone")


def _decay(t: Translation, decay: Entry | None, steps: int | None) -> None:
    amount = t.read(decay, as_number, 0.0)
    if amount <= 0:
        t.values |= {"schedule.kind": Kind.CONSTANT.value, "schedule.decay_shape": "linear", "schedule.min_factor": 0.0}
        for name in ("schedule.decay_shape", "schedule.min_factor"):
            t.values.pop(name)
        t.tell_default("lr_decay_steps", "0", (("schedule.kind", "constant"),), "a warmup_stable_decay without decay")
    elif decay is not None and amount < 1:
        t.put("schedule.decay_share", amount, decay)
    elif decay is not None and steps:
        t.put("schedule.decay_share", min(1.0, amount / steps), decay, note=f"of {steps} steps")
    elif decay is not None:
        note = "as a share of the steps, which are not known: set schedule.decay_share"
        t.tell(decay, Fate.UNSUPPORTED, note=note, warning=True)


def _arguments(t: Translation, given: Entry, kind: Kind, steps: int | None) -> None:
    arguments = as_arguments(given.value)
    t.tell(given, Fate.TRANSLATED, note=f"{len(arguments)} arguments, each told below")
    lr = t.values.get("optimizer.unet_lr") or t.values.get("optimizer.lr", 1e-4)
    for name, value in arguments.items():
        entry = Entry(name, value, f"lr_scheduler_args {name}")
        if name in ("eta_min", "min_lr", "lr_end") and is_used(kind, "min_factor"):
            floor = t.read(entry, as_number, 0.0)
            t.put("schedule.min_factor", round(min(1.0, floor / lr), 12), entry, note=f"of the base LR {lr:g}")
        elif name == "T_mult" and kind is Kind.COSINE_WITH_RESTARTS:
            t.put("schedule.cycle_growth", t.read(entry, as_number, 1.0), entry)
        elif name in ("T_0", "first_cycle_max_steps") and kind is Kind.COSINE_WITH_RESTARTS:
            _cycles(t, entry, arguments, steps)
        elif name == "warmup_steps":
            t.put("schedule.warmup_steps", t.read(entry, as_whole, 0), entry)
        elif name == "power" and kind is Kind.POLYNOMIAL:
            t.put("schedule.power", t.read(entry, as_number, 1.0), entry)
        elif name == "pct_start" and kind is Kind.ONE_CYCLE:
            t.put("schedule.rise_share", t.read(entry, as_number, 0.3), entry)
        elif name == "div_factor" and kind is Kind.ONE_CYCLE:
            t.put("schedule.start_factor", 1 / max(1.0, t.read(entry, as_number, 25.0)), entry)
        elif name == "step_rules" and kind is Kind.PIECEWISE:
            _rules(t, entry)
        else:
            t.tell(entry, Fate.UNSUPPORTED, note=f"not among the settings of {kind} here", warning=True)


def _cycles(t: Translation, entry: Entry, arguments: dict[str, Any], steps: int | None) -> None:
    length = t.read(entry, as_number, 0.0)
    if not steps or length < 1:
        note = "the steps are not known: set schedule.cycles"
        t.tell(entry, Fate.UNSUPPORTED, note=note, warning=True)
        return
    growth = max(1.0, float(arguments["T_mult"])) if isinstance(arguments.get("T_mult"), (int, float)) else 1.0
    cycles, end, part = 0, 0.0, length
    while end < steps and cycles < 100:
        end, part, cycles = end + part, part * growth, cycles + 1
    t.put(
        "schedule.cycles", cycles, entry, note=f"cycles of {length:g} steps in {steps}", warning=abs(end - steps) >= 1
    )


def _rules(t: Translation, entry: Entry) -> None:
    """Rules of diffusers, ``1:10,0.5:20,0.1`` (a factor until a step), as ours, ``0:1, 10:0.5, 20:0.1`` (from a step on)."""
    pieces = re.findall(r"([0-9.eE+-]+)\s*(?::\s*(\d+))?", as_text(entry.value))
    start, rules = 0, []
    for factor, end in pieces:
        rules.append(f"{start}:{factor}")
        start = int(end) if end else start
    t.put("schedule.rules", ", ".join(rules), entry)


def _warmup(t: Translation, kind: Kind, *, takes: bool) -> None:
    for name in ("lr_warmup_steps", "warmup_ratio", "lr_warmup"):
        entry = t.entry(name)
        if entry is None:
            continue
        amount = t.read(entry, as_number, 0.0) / (100 if name == "lr_warmup" else 1)
        if amount <= 0:
            t.tell(entry, Fate.MEANINGLESS, note="no warmup, as by default here")
        elif not takes:
            note = "sd-scripts' constant has no warmup: constant_with_warmup has"
            t.tell(entry, Fate.MEANINGLESS, note=note, warning=True)
        elif not is_used(kind, "warmup_steps"):
            t.tell(entry, Fate.UNSUPPORTED, note=f"not among the settings of {kind}", warning=True)
        elif t.values.get("schedule.warmup_steps") or t.values.get("schedule.warmup_share"):
            t.tell(entry, Fate.MEANINGLESS, note="given twice: the first counts")
        elif amount < 1 or name != "lr_warmup_steps":
            t.put("schedule.warmup_share", round(amount, 12), entry)
        else:
            processes = t.values.get("launch.processes", 1)
            whole = int(amount) // processes
            note = f"sd-scripts counts {processes} for each step of {processes} processes" if processes > 1 else ""
            t.put("schedule.warmup_steps", whole, entry, note=note, warning=processes > 1)
