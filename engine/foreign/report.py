"""A foreign training state or LoRA file in plain text, as ``sdxl-tui inspect`` shows it."""

from __future__ import annotations

from itertools import islice
from typing import Final

from engine.foreign.lora_facts import LoraFacts
from engine.foreign.scheduler_state import SchedulerState
from engine.foreign.sd_scripts_resume import answers, rate_passed_over
from engine.foreign.sd_scripts_state import SdScriptsState, StateGroup, schedule_kind

NOT_STORED = "not stored"
GROUPS_SHOWN: Final = 100
"""Rates per block and of LoRA+ come to some 50."""
Lines = list[tuple[str, str]]


def state_lines(state: SdScriptsState) -> Lines:
    """``stored_lines``, and what sd-scripts itself would do with changed arguments."""
    resume = [("", f"{answer.argument}: {answer.happens}: {answer.sentence}") for answer in answers(state)]
    return [*stored_lines(state), ("at --resume", "what sd-scripts itself would do with a changed argument:"), *resume]


def stored_lines(state: SdScriptsState) -> Lines:
    """(name, value) of everything that ``state`` tells, what it does not tell among it."""
    lines: Lines = [("state", f"{state.folder} (sd-scripts), {state.bytes / 1e6:.1f} MB")]
    lines.append(("step", _position(state)))
    if (disagreement := state.position_disagrees) is not None:
        lines.append(("", f"{disagreement}; the optimizer's and the scheduler's own count are right"))
    lines += _schedule(state)
    kind = state.optimizer or "of a kind that is not known by what it holds"
    named = state.lora.text("ss_optimizer") if state.lora else None
    lines.append(("optimizer", kind + (f"; the LoRA file says {named}" if named else "")))
    parts = zip(state.groups, state.parts_of_groups, strict=True)
    for number, (group, part) in enumerate(islice(parts, GROUPS_SHOWN), 1):
        lines += _group(number, group, part)
    if len(state.groups) > GROUPS_SHOWN:
        lines.append(("", f"and {len(state.groups) - GROUPS_SHOWN:,} more groups"))
    if (passed_over := rate_passed_over(state)) is not None:
        lines.append(("LR", passed_over))
    lines += lora_lines(state.lora or state.weights) if state.lora or state.weights else [("network", NOT_STORED)]
    if state.lora is None:
        only = "schedule, warmup and total steps are not stored anywhere else"
        if state.scheduler is not None and state.scheduler.stores_its_shape:
            only = "rank, alpha and total steps would stand in it"
        lines.append(("LoRA file", f"none beside the state: {only}"))
    return [*lines, *(("problem", problem) for problem in state.problems)]


def lora_lines(facts: LoraFacts | None) -> Lines:
    """(name, value) of what a LoRA file tells of itself."""
    if facts is None:
        return []
    ranks = ", ".join(str(rank) for rank in facts.ranks) or NOT_STORED
    alphas = ", ".join(f"{alpha:g}" for alpha in facts.alphas) or f"{NOT_STORED} (then the rank counts)"
    parts = ", ".join(f"{part} {modules:,}" for part, modules in facts.parts.items())
    lines: Lines = [
        ("network", f"{facts.kind or 'adapter'}, rank {ranks}, alpha {alphas}; modules: {parts or 'of unknown names'}"),
        ("file", f"{facts.path.name}, {facts.bytes / 1e6:.1f} MB"),
    ]
    for label, names in _METADATA:
        values = [f"{name.removeprefix('ss_')} {value}" for name in names if (value := facts.text(name)) is not None]
        if values:
            lines.append((label, ", ".join(values)))
    return lines


_METADATA = (
    ("training", ("ss_steps", "ss_max_train_steps", "ss_epoch", "ss_num_epochs", "ss_total_batch_size", "ss_seed")),
    ("rates", ("ss_learning_rate", "ss_unet_lr", "ss_text_encoder_lr", "ss_lr_scheduler", "ss_lr_warmup_steps")),
    ("base", ("ss_sd_model_name", "ss_base_model_version", "ss_new_sd_model_hash", "modelspec.prediction_type")),
    ("loss", ("ss_loss_type", "ss_min_snr_gamma", "ss_noise_offset", "ss_zero_terminal_snr")),
    ("data", ("ss_num_train_images", "ss_num_reg_images", "ss_resolution", "ss_enable_bucket")),
)


def _position(state: SdScriptsState) -> str:
    step, total = state.true_step, state.lora.count("ss_max_train_steps") if state.lora else None
    if step is None:
        return NOT_STORED
    of = f" of {total:,} ({step / total:.1%})" if total else f"; the total is {NOT_STORED}"
    epoch = "" if state.epoch is None else f", epoch {state.epoch}"
    return f"{step:,}{of}{epoch}"


def _schedule(state: SdScriptsState) -> Lines:
    kind, source = schedule_kind(state)
    lines: Lines = [("schedule", f"{kind} ({source})" if kind else f"{NOT_STORED}: {source}")]
    scheduler, lora = state.scheduler, state.lora
    if scheduler is not None and scheduler.parameters:
        lines.append(("", _parameters(scheduler)))
    for number, member in enumerate(scheduler.members if scheduler else (), 1):
        named = f"{number}. {member.kind or 'of a kind that is not known'}"
        lines.append(("", f"{named}: {_parameters(member)}" if member.parameters else named))
    if lora is not None and kind is not None and (scheduler is None or not scheduler.stores_its_shape):
        warmup, total = lora.text("ss_lr_warmup_steps"), lora.text("ss_max_train_steps")
        lines.append(
            ("", f"warmup {warmup or NOT_STORED}, total steps {total or NOT_STORED} (by the LoRA file's metadata)")
        )
    return lines


def _parameters(scheduler: SchedulerState) -> str:
    return ", ".join(f"{name.lstrip('_')} {_value(value)}" for name, value in scheduler.parameters.items())


def _group(number: int, group: StateGroup, part: str | None) -> Lines:
    settings = ", ".join(f"{name} {_value(value)}" for name, value in group.hyperparameters.items())
    rates = f"base LR {_rate(group.base_lr)}, the next step uses {_rate(group.lr)}"
    if group.adaptation is not None:
        rates += f", times d {group.adaptation:.4g}: in effect {_rate(group.effective_lr)}"
    whose = f", as many as {part} has" if part else ""
    return [(f"group {number}", f"{rates}; {group.parameters:,} tensors{whose}"), ("", settings)]


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(f"{item:g}" for item in value) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rate(rate: float | None) -> str:
    return NOT_STORED if rate is None else f"{rate:.4e}"
