"""A child run's plan and the effects of changed settings as they are printed, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.profile.setting import AtResume
from engine.routes.effects import Effect, shown
from engine.routes.plan import ChildPlan
from engine.routes.route import kept_by, new_under
from engine.schedule import Schedule
from sdxl_tui.cli.output import Column, Printer
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_factor, format_lr

EFFECT_COLUMNS = (
    Column("SETTING"),
    Column("STORED", right=True),
    Column("WANTED", right=True),
    Column("AT RESUME", droppable=1),
    Column("APPLIED BY", shortens=True),
)
AT_RESUME = {
    AtResume.APPLIED: "applied",
    AtResume.RESTORED: "ignored",
    AtResume.FIXED: "refused",
}


def print_plan(printer: Printer, plan: ChildPlan) -> None:
    """What is kept, what is new, and what the learning rate does at the seam."""
    title = f"{plan.route.value.capitalize()} from {plan.checkpoint.run_id}/{plan.checkpoint.name}"
    printer.line(printer.paint(clean(title), "bold"))
    printer.line()
    printer.fields(
        [
            ("kept", ", ".join(kept_by(plan.route)) or "the LoRA, resized"),
            ("new", ", ".join(new_under(plan.route)) or "nothing"),
            (
                "stored schedule",
                f"{_schedule(plan.old, plan.old_base_lr)}\nthe checkpoint stands at step {plan.old_step:,}",
            ),
            ("new schedule", _schedule(plan.new, plan.new_base_lr)),
            ("steps to train", format_count(plan.steps)),
            ("LR at the seam", f"{format_lr(plan.jump_from)} → {format_lr(plan.jump_to)}: {_jump(plan)}"),
        ],
        indent=2,
    )
    for sentence in dict.fromkeys(effect.what_happens for effect in plan.effects):
        printer.line()
        printer.line(f"  Changed, and each {sentence}:")
        changes = [effect for effect in plan.effects if effect.what_happens == sentence]
        printer.fields([(one.field, f"{value_text(one.stored)} → {value_text(one.new)}") for one in changes], indent=4)
    printer.line()
    for remark in plan.notes:
        printer.paragraph(remark, indent=2)
    for warning in plan.warnings:
        printer.paragraph(printer.paint(warning, "yellow"), indent=2)
    if plan.warmup_is_advised:
        printer.line(printer.paint(f"  A warmup would soften the jump: --warmup {plan.suggested_warmup}", "yellow"))
    printer.line()


def print_effects(printer: Printer, effects: Sequence[Effect]) -> None:
    """The table of what a resume does with each changed setting."""
    rows = [
        [
            effect.field,
            clean(value_text(effect.stored), limit=40),
            clean(value_text(effect.new), limit=40),
            AT_RESUME[effect.at_resume],
            " or ".join(effect.applied_by) or "a new run",
        ]
        for effect in effects
    ]
    printer.table(EFFECT_COLUMNS, rows)


def plan_as_json(plan: ChildPlan) -> dict[str, Any]:
    """All of it, for machines."""
    return {
        "route": plan.route.value,
        "checkpoint": str(plan.checkpoint.folder),
        "old": plan.old.to_json() | {"base_lr": plan.old_base_lr, "step": plan.old_step},
        "new": plan.new.to_json() | {"base_lr": plan.new_base_lr, "first_step": plan.first_step},
        "jump": plan.jump,
        "jump_from": plan.jump_from,
        "jump_to": plan.jump_to,
        "suggested_warmup": plan.suggested_warmup,
        "effects": [effect.to_json() for effect in plan.effects],
        "notes": list(plan.notes),
        "warnings": list(plan.warnings),
    }


def value_text(value: object) -> str:
    """A setting's value in a table."""
    if isinstance(value, float) and 0 < value < 0.01:
        return format_lr(value)
    if isinstance(value, tuple | list):
        return f"{len(value)} entries" if len(value) != 1 else shown(value[0])
    return shown(value)


def _schedule(schedule: Schedule, base_lr: float) -> str:
    shape = ", ".join(f"{name} {text}" for name, text in schedule.shown()[1:])
    steps = format_count(schedule.total_steps)
    return f"{schedule.kind.value} over {steps} steps{f' ({shape})' * bool(shape)}, base LR {format_lr(base_lr)}"


def _jump(plan: ChildPlan) -> str:
    if plan.jump is None:
        return "up from 0"
    return "unchanged" if abs(plan.jump - 1) < 5e-4 else f"{format_factor(plan.jump)} as high"
