"""A child run's plan and the effects of changed settings as they are printed, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.foreign.starting_point import StartKind
from engine.profile.setting import AtResume
from engine.routes.effects import Effect, shown
from engine.routes.left_out import can_take
from engine.routes.plan import ChildPlan, FilePlan, Plan
from engine.routes.route import kept_by, new_under
from engine.schedule import Schedule
from sdxl_tui.cli.output import Column, Printer
from sdxl_tui.fleet.edits import LeftOut
from sdxl_tui.fleet.route_commands import options_for
from sdxl_tui.terminal.clean import clean, without_middle
from sdxl_tui.terminal.numbers import format_count, format_factor, format_lr

EFFECT_COLUMNS = (
    Column("SETTING"),
    Column("STORED", right=True),
    Column("WANTED", right=True),
    Column("AT RESUME"),
    Column("APPLIED BY", shortens=True),
)
LONGEST = 22
"""Characters of a value in the table."""
AT_RESUME = {
    AtResume.APPLIED: "applied",
    AtResume.RESTORED: "ignored",
    AtResume.FIXED: "refused",
}


def print_plan(printer: Printer, plan: ChildPlan | FilePlan) -> None:
    """What is kept, what is new, and what the learning rate does at the seam."""
    source = plan.start.label if isinstance(plan, FilePlan) else f"{plan.checkpoint.run_id}/{plan.checkpoint.name}"
    title = f"{plan.route.value.capitalize()} from {source}"
    printer.line(printer.paint(clean(title), "bold"))
    printer.line()
    printer.fields(
        [
            ("kept", ", ".join(kept_by(plan.route)) or "the LoRA, resized"),
            ("new", ", ".join(new_under(plan.route)) or "nothing"),
            ("stored schedule", _stored(plan)),
            ("new schedule", _schedule(plan.new, plan.new_base_lr)),
            ("steps to train", format_count(plan.steps)),
            ("LR at the seam", _jump(plan)),
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


def print_left_out(printer: Printer, left: LeftOut, plan: ChildPlan) -> None:
    """The edits of the profile that the child does not have, and the options that give them to it."""
    if left.problem:
        printer.paragraph(printer.paint(clean(f"{left.problem}. What was edited in it is not in the child."), "yellow"))
        printer.line()
    for kept in left.kept:
        printer.paragraph(printer.paint(f"Note: {kept}, in the child as well unless you set it here.", "yellow"))
    if left.kept:
        printer.line()
    if not left.effects or left.source is None:
        return
    printer.line(printer.paint(clean(f"  Edited in {left.source.name} since, and NOT in this child:"), "yellow"))
    rows = [
        (one.field, f"{value_text(one.stored)} → {value_text(one.new)}{_elsewhere(one, plan)}") for one in left.effects
    ]
    printer.fields([(field, clean(text)) for field, text in rows], indent=4)
    if takes := [one for one in left.effects if can_take(one, plan.route)]:
        printer.line(clean(f"  To have it so: {options_for(takes, plan.route, plan.checkpoint.step)}"))
    printer.line()


def _elsewhere(effect: Effect, plan: ChildPlan) -> str:
    if can_take(effect, plan.route):
        return ""
    return f"  (by {' or '.join(effect.applied_by) or 'a new run'} only)"


def print_effects(printer: Printer, effects: Sequence[Effect]) -> None:
    """The table of what a resume does with each changed setting."""
    rows = [
        [
            effect.field,
            without_middle(clean(value_text(effect.stored)), LONGEST),
            without_middle(clean(value_text(effect.new)), LONGEST),
            effect.what_happens.partition(":")[0] if effect.is_moved else AT_RESUME[effect.at_resume],
            " or ".join(effect.applied_by) or "a new run",
        ]
        for effect in effects
    ]
    printer.table(EFFECT_COLUMNS, rows)


def plan_as_json(plan: ChildPlan | FilePlan, left: LeftOut | None = None) -> dict[str, Any]:
    """All of it, for machines. What is not stored is null. left: edits that the run does not have."""
    old = plan.old.to_json() if plan.old else None
    return {
        "route": plan.route.value,
        "checkpoint": str(plan.checkpoint.folder) if isinstance(plan, ChildPlan) else None,
        "origin": plan.start.to_json() if isinstance(plan, FilePlan) else None,
        "old": None if old is None else old | {"base_lr": plan.old_base_lr, "step": plan.old_step},
        "new": plan.new.to_json() | {"base_lr": plan.new_base_lr, "first_step": plan.first_step},
        "jump": plan.jump,
        "jump_from": plan.jump_from,
        "jump_to": plan.jump_to,
        "suggested_warmup": plan.suggested_warmup,
        "effects": [effect.to_json() for effect in plan.effects],
        "edits_left_out": [effect.to_json() for effect in left.effects] if left else [],
        "kept_of_launch": list(left.kept) if left else [],
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
    return f"{_shape(schedule)}, base LR {format_lr(base_lr)}"


def _shape(schedule: Schedule) -> str:
    shape = ", ".join(f"{name} {text}" for name, text in schedule.shown()[1:])
    return f"{schedule.kind.value} over {format_count(schedule.total_steps)} steps{f' ({shape})' * bool(shape)}"


def _stored(plan: ChildPlan | FilePlan) -> str:
    """The schedule that was trained and where it stands, or what of both is not stored."""
    if isinstance(plan, ChildPlan):
        return f"{_schedule(plan.old, plan.old_base_lr)}\nthe checkpoint stands at step {plan.old_step:,}"
    start = plan.start
    base = "base LR not stored" if plan.old_base_lr is None else f"base LR {format_lr(plan.old_base_lr)}"
    schedule = f"not stored, {base}" if plan.old is None else f"{_shape(plan.old)}, {base}"
    whose = "the state stands" if start.kind is StartKind.STATE else "the file was saved"
    return f"{schedule}\n" + (
        "at which step is not stored" if start.step is None else f"{whose} at step {start.step:,}"
    )


def _jump(plan: Plan) -> str:
    if plan.jump_from is None:
        return f"not stored → {format_lr(plan.jump_to)}"
    way = f"{format_lr(plan.jump_from)} → {format_lr(plan.jump_to)}"
    if plan.jump is None:
        return f"{way}: up from 0"
    return f"{way}: " + ("unchanged" if abs(plan.jump - 1) < 5e-4 else f"{format_factor(plan.jump)} as high")
