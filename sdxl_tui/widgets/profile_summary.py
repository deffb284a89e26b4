"""A valid profile in a few lines: what will be trained, how long, and the learning rate it plans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import Final

from textual.content import Content

from engine.profile.schema import Profile
from engine.profile.stages import stage_name, trained_profiles
from engine.schedule import Schedule, is_used
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_lr
from sdxl_tui.widgets.schedule_plot import Curve, Mark, planned_curve

MUTED: Final = "$foreground 60%"


def planned_schedule(profile: Profile) -> Schedule:
    """The schedule the profile asks for."""
    return profile.schedule.over(profile.training.steps)


def profile_curve(profile: Profile) -> tuple[tuple[Curve, ...], tuple[Mark, ...]]:
    """Its learning rates over the steps, the stages one after another, and a mark where each but the first begins.

    The first group's curve is the main one; groups with other rates are drawn below it in another colour.
    """
    curves: list[Curve] = []
    others: list[Curve] = []
    marks: list[Mark] = []
    for number, trained in enumerate(trained_profiles(profile), start=1):
        start = curves[-1].last if curves else 0
        schedule, lr = planned_schedule(trained), trained.leading_lr
        if curves:
            marks.append(Mark(start, schedule.lr(0, lr), clean(stage_name(profile, number))))
        curves += (curve.moved(start) for curve in planned_curve(schedule, lr))
        for further in dict.fromkeys(rate for rate in trained.base_lrs.values() if rate != lr):
            others += (replace(curve, tone="other").moved(start) for curve in planned_curve(schedule, further))
    return (*others, *curves), tuple(marks)


def short_base(profile: Profile) -> str:
    """The base model's last name."""
    return clean(PurePath(profile.model.base).name or profile.model.base)


def summary_lines(profile: Profile) -> Content:
    """What will be trained and how long, saved and drawn how often."""
    training, network, parts = profile.training, profile.network, trained_profiles(profile)
    seen = sum(part.training.steps * part.training.batch_size * part.training.gradient_accumulation for part in parts)
    lines = (
        ("LR", _stage_rates(profile) if profile.stages else _planned_rate(profile)),
        (
            "Length",
            f"{format_count(profile.planned_steps)} steps{in_stages(profile)} · {format_count(seen)} images seen",
        ),
        (
            "Batch",
            f"{training.batch_size} × accumulation {training.gradient_accumulation} · {profile.precision.compute}",
        ),
        (
            "Network",
            f"{network.kind.value} · rank {network.rank} · alpha {network.alpha:g} · dropout {network.dropout:g}",
        ),
        ("Base", clean(profile.model.base, limit=200)),
        ("Images", ", ".join(_source(source.path, source.repeats) for source in profile.dataset.sources)),
        ("Saves", _saves(profile)),
        ("Samples", _samples(profile)),
    )
    return Content("\n").join(Content.assemble((f"{name:<9}", MUTED), value) for name, value in lines)


def in_stages(profile: Profile) -> str:
    """`` in 2 stages``; empty without any."""
    count = len(profile.stages)
    return f" in {count} stage{'s' * (count > 1)}" if count else ""


def _planned_rate(profile: Profile) -> str:
    schedule = planned_schedule(profile)
    return " · ".join((_rates(profile), schedule.kind.value, *_shape(schedule)))


def _rates(profile: Profile) -> str:
    """The rate, or that of each group where they differ: ``1.00e-4, text encoder 1: 5.00e-5``."""
    first = profile.leading_lr
    others = [
        f"{name.replace('_', ' ')}: {format_lr(rate)}" for name, rate in profile.base_lrs.items() if rate != first
    ]
    return ", ".join((format_lr(first), *others))


def _stage_rates(profile: Profile) -> str:
    """``rough 2.00e-04 constant → fine 5.00e-05 cosine``."""
    found = []
    for number, trained in enumerate(trained_profiles(profile), start=1):
        name = clean(stage_name(profile, number))
        found.append(f"{name} {format_lr(trained.leading_lr)} {trained.schedule.kind.value}")
    return " → ".join(found)


def _shape(schedule: Schedule) -> list[str]:
    """What shapes the schedule, apart from its length; a floor only where there is one."""
    passed_over = {("total steps",), ("warmup steps",), ("min factor", "0")}
    shown = [f"{name} {text}" for name, text in schedule.shown() if not {(name,), (name, text)} & passed_over]
    warmup = [f"warmup {format_count(schedule.warmup_steps)} steps"] if is_used(schedule.kind, "warmup_steps") else []
    return [*warmup, *shown]


def _source(path: str, repeats: int) -> str:
    name = clean(path, limit=200)
    return f"{name} × {repeats}" if repeats > 1 else name


def _saves(profile: Profile) -> str:
    saving = profile.checkpoints
    rhythm = [f"every {format_count(saving.every_steps)} steps"] if saving.every_steps else []
    rhythm += [f"every {saving.every_minutes:g} min"] if saving.every_minutes else []
    kept = [f"the newest {saving.keep_last}"] if saving.keep_last else ["all"]
    kept += [f"every {format_count(saving.keep_every_steps)} steps'"] if saving.keep_every_steps else []
    kept += [f"the {saving.keep_best} best"] if saving.keep_best else []
    return f"{' and '.join(rhythm) or 'only at the end'} · {', '.join(kept)} kept"


def _samples(profile: Profile) -> str:
    samples = profile.samples
    if not samples.prompts:
        return "none"
    rhythm = f"every {format_count(samples.every_steps)} steps" if samples.every_steps else "at the end"
    return f"{len(samples.prompts)} prompt{'s' * (len(samples.prompts) > 1)} · {rhythm} · {samples.width}×{samples.height} px"
