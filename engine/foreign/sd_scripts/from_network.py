"""sd-scripts' network module, optimizer and scheduler for ``[network]``, ``[optimizer]`` and ``[schedule]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.foreign.sd_scripts.exported import Export
from engine.foreign.sd_scripts.to_optimizer import NO_DECAY
from engine.model.lora_metadata import is_plain, network_arguments
from engine.profile.optimizer_kinds import HYPERPARAMETERS, OPTIMIZERS, OptimizerKind, is_set
from engine.profile.schema import Part
from engine.schedule import Kind, is_used

TYPES: Final[Mapping[OptimizerKind, str]] = {
    OptimizerKind.ADAMW: "AdamW",
    OptimizerKind.ADAMW_8BIT: "AdamW8bit",
    OptimizerKind.ADAFACTOR: "Adafactor",
    OptimizerKind.LION: "Lion",
    OptimizerKind.PRODIGY: "Prodigy",
    OptimizerKind.DADAPT_ADAM: "DAdaptAdam",
    OptimizerKind.SCHEDULE_FREE_ADAMW: "AdamWScheduleFree",
    OptimizerKind.CAME: "came_pytorch.CAME",
}
_ALWAYS: Final[Mapping[OptimizerKind, tuple[str, ...]]] = {
    OptimizerKind.ADAFACTOR: ("scale_parameter=False", "relative_step=False", "warmup_init=False"),
    OptimizerKind.PRODIGY: ("decouple=True",),
    OptimizerKind.DADAPT_ADAM: ("decouple=True",),
}
_SCHEDULERS: Final[Mapping[Kind, str]] = {
    Kind.CONSTANT: "constant",
    Kind.LINEAR: "linear",
    Kind.COSINE: "cosine",
    Kind.COSINE_WITH_RESTARTS: "cosine_with_restarts",
    Kind.POLYNOMIAL: "polynomial",
    Kind.INVERSE_SQRT: "inverse_sqrt",
    Kind.WARMUP_STABLE_DECAY: "warmup_stable_decay",
    Kind.PIECEWISE: "piecewise_constant",
}
_OWN_RANKS: Final = ("feed_forward", "text_encoder", "text_encoder_2")


def export_network(e: Export) -> None:
    """Module, rank, alpha, parts and arguments."""
    network = e.profile.network
    paths = [
        "network.kind",
        "network.dora",
        "network.rank_stabilized",
        "network.rank_dropout",
        "network.module_dropout",
    ]
    e.say("network_module", "networks.lora" if is_plain(network) else "lycoris.kohya", *paths, "network.lokr_factor")
    e.say("network_dim", network.rank, "network.rank")
    e.say("network_alpha", network.alpha, "network.alpha")
    arguments = [f"{name}={value}" for name, value in network_arguments(network).items()]
    e.say("network_args", arguments or None, "network.convolutions", "network.conv_rank", "network.conv_alpha")
    e.say("network_weights", network.start_from, "network.start_from")
    for part in _OWN_RANKS:
        for name in ("rank", "alpha"):
            if e.values[f"network.{part}_{name}"] is not None:
                e.leave(f"network.{part}_{name}", "its networks have one rank and alpha for all linear layers")
    unet = (network.attention, network.feed_forward, network.convolutions)
    if not any(unet):
        e.say("network_train_text_encoder_only", True, "network.attention", "network.feed_forward")
    elif not network.attention or not network.feed_forward:
        why = "its networks adapt attention and feed-forward layers together"
        for name in ("attention", "feed_forward"):
            if not e.values[f"network.{name}"]:
                e.leave(f"network.{name}", why)
    if not network.trains_text:
        e.say("network_train_unet_only", True)
    e.done("network.text_encoder", "network.text_encoder_2")


def export_optimizer(e: Export) -> None:
    """Type, arguments and the rates of the parts."""
    optimizer, network = e.profile.optimizer, e.profile.network
    kind = optimizer.kind
    e.say("optimizer_type", TYPES[kind], "optimizer.kind")
    e.say("optimizer_args", [*_ALWAYS.get(kind, ()), *_arguments(e, kind)] or None)
    e.done(*(f"optimizer.{name}" for name in HYPERPARAMETERS if name in OPTIMIZERS[kind].defaults))
    e.say("learning_rate", optimizer.lr, "optimizer.lr")
    e.say("unet_lr", optimizer.unet_lr, "optimizer.unet_lr")
    if network.trains_text:
        first, second = (optimizer.lr_of(group) for group in ("text_encoder_1", "text_encoder_2"))
        rates = [
            first if network.trains(Part.TEXT_ENCODER) else 0.0,
            second if network.trains(Part.TEXT_ENCODER_2) else 0.0,
        ]
        e.say("text_encoder_lr", rates, "optimizer.text_encoder_lr", "optimizer.text_encoder_2_lr")


def _arguments(e: Export, kind: OptimizerKind) -> list[str]:
    has = OPTIMIZERS[kind].defaults
    settled = e.profile.optimizer.hyperparameters()
    wanted = {name: e.values[f"optimizer.{name}"] for name in has if is_set(e.values[f"optimizer.{name}"])}
    is_told = "weight_decay" in wanted or kind in NO_DECAY
    found = [f"weight_decay={settled['weight_decay']!r}"] if is_told else []
    betas = [name for name in ("beta1", "beta2", "beta3") if name in has]
    own = [name for name in betas if name in wanted]
    if kind is OptimizerKind.ADAFACTOR or (kind is OptimizerKind.PRODIGY and "beta3" in own):
        if kind is OptimizerKind.PRODIGY and "beta3" in own:
            own.remove("beta3")
            found.append(f"beta3={wanted['beta3']!r}")
        elif wanted.get("beta1"):
            found.append(f"beta1={wanted['beta1']!r}")
    if own and kind is not OptimizerKind.ADAFACTOR:
        pair = [name for name in betas if kind is OptimizerKind.CAME or name != "beta3"]
        found.append(f"betas={','.join(repr(settled[name]) for name in pair)}")
    if "eps" in wanted or "eps2" in wanted:
        terms = [settled[name] for name in ("eps", "eps2") if name in has]
        terms += [1e-3] if kind is OptimizerKind.ADAFACTOR else []
        found.append(f"eps={terms[0]!r}" if len(terms) == 1 else f"eps=({terms[0]!r},{terms[1]!r})")
    renamed = {"bias_correction": "use_bias_correction"}
    for name in ("d0", "d_coef", "growth_rate", "bias_correction", "safeguard_warmup", "clip_threshold", "decay_rate"):
        if name in wanted:
            value: Any = -wanted[name] if name == "decay_rate" else wanted[name]
            found.append(f"{renamed.get(name, name)}={value!r}")
    return found


def export_schedule(e: Export) -> None:
    """Scheduler and its arguments."""
    schedule = e.profile.schedule
    kind = schedule.kind
    if e.profile.optimizer.kind is OptimizerKind.SCHEDULE_FREE_ADAMW:
        e.done("schedule.kind")
        e.say("lr_scheduler", "constant")
        if steps := schedule.over(e.profile.training.steps).warmup_steps:
            e.options["optimizer_args"] = [*e.options["optimizer_args"], f"warmup_steps={steps}"]
        e.done("schedule.warmup_steps", "schedule.warmup_share")
        return
    warms = bool(schedule.warmup_steps or schedule.warmup_share)
    if kind not in _SCHEDULERS:
        e.leave("schedule.kind", "no scheduler of that shape: cosine is written")
        e.say("lr_scheduler", "cosine")
        kind = Kind.COSINE
    elif kind is Kind.CONSTANT and warms:
        e.say("lr_scheduler", "constant_with_warmup", "schedule.kind")
    elif kind is Kind.COSINE and schedule.min_factor:
        e.say("lr_scheduler", "cosine_with_min_lr", "schedule.kind")
        e.say("lr_scheduler_min_lr_ratio", schedule.min_factor, "schedule.min_factor")
    else:
        e.say("lr_scheduler", _SCHEDULERS[kind], "schedule.kind")
    _shape(e, kind)
    if warms and kind is not Kind.PIECEWISE and is_used(schedule.kind, "warmup_steps") and schedule.warmup_share < 1:
        warmup = schedule.warmup_share or schedule.warmup_steps
        e.say("lr_warmup_steps", warmup, "schedule.warmup_steps", "schedule.warmup_share")


def _shape(e: Export, kind: Kind) -> None:
    schedule = e.profile.schedule
    if kind is Kind.COSINE_WITH_RESTARTS:
        e.say("lr_scheduler_num_cycles", schedule.cycles, "schedule.cycles")
    elif kind is Kind.POLYNOMIAL:
        e.say("lr_scheduler_power", schedule.power, "schedule.power")
    elif kind is Kind.INVERSE_SQRT:
        e.say("lr_scheduler_timescale", schedule.timescale, "schedule.timescale")
    elif kind is Kind.WARMUP_STABLE_DECAY:
        if schedule.decay_share < 1:
            e.say("lr_decay_steps", schedule.decay_share, "schedule.decay_share")
        e.say("lr_scheduler_min_lr_ratio", schedule.min_factor, "schedule.min_factor")
        if schedule.decay_shape == "cosine":
            e.done("schedule.decay_shape")
        else:
            e.leave("schedule.decay_shape", "its decay has the shape of a cosine")
    elif kind is Kind.PIECEWISE:
        rules = [piece.strip().split(":") for piece in schedule.rules.split(",")]
        until = [*(step for step, _ in rules[1:]), ""]
        text = ",".join(f"{factor}:{step}" if step else factor for (_, factor), step in zip(rules, until, strict=True))
        e.say("lr_scheduler_args", [f"step_rules='{text}'"], "schedule.rules")
