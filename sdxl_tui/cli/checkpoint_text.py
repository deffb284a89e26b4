"""Checkpoints as text and as JSON for the commands that look at them."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.checkpoint.describe import BrokenCheckpoint, CheckpointSummary, RateGroup
from engine.run.records import RunRecord
from sdxl_tui.cli.output import Column, Painted, Printer
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import (
    format_age,
    format_bytes,
    format_count,
    format_duration,
    format_loss,
    format_lr,
    format_percent,
)

COLUMNS = (
    Column("CHECKPOINT"),
    Column(""),
    Column("DONE", right=True, droppable=2),
    Column("LOSS", right=True, droppable=3),
    Column("LR", right=True),
    Column("PHASE"),
    Column("SIZE", right=True, droppable=4),
    Column("SAVED", right=True, droppable=1),
    Column("FILES", shortens=True),
)


def print_checkpoints(
    printer: Printer,
    found: Sequence[CheckpointSummary | BrokenCheckpoint],
    next_start: Path | None,
    pinned: Collection[str] = (),
) -> None:
    """A table; ``next_start``, the one a resume would take, has a star, and those of the names ``pinned`` say so."""
    printer.table(COLUMNS, [_row(item, next_start, is_pinned=item.name in pinned) for item in found])


def _row(
    item: CheckpointSummary | BrokenCheckpoint, next_start: Path | None, *, is_pinned: bool
) -> list[str | Painted]:
    mark = "pinned" if is_pinned else ""
    if isinstance(item, BrokenCheckpoint):
        return [item.name, mark, "–", "–", "–", "–", "–", "–", Painted(item.reason, "red")]
    return [
        item.name,
        Painted(f"* {mark}".rstrip(), "cyan") if item.folder == next_start else mark,
        format_percent(item.share_done),
        format_loss(item.loss_avg),
        format_lr(item.groups[0].last_lr),
        item.phase.value,
        format_bytes(item.bytes),
        format_age(time.time() - item.created),
        Painted(item.integrity, "" if item.is_whole else "red"),
    ]


def row_as_json(
    item: CheckpointSummary | BrokenCheckpoint, next_start: Path | None, pinned: Collection[str]
) -> dict[str, Any]:
    """One entry of the list."""
    told = {"is_pinned": item.name in pinned}
    if isinstance(item, BrokenCheckpoint):
        return {"name": item.name, "step": item.step, "folder": str(item.folder), "integrity": item.reason} | told
    return checkpoint_as_json(item, 1) | {"is_resume_point": item.folder == next_start} | told


def checkpoint_as_json(summary: CheckpointSummary, count: int) -> dict[str, Any]:
    """Everything about a checkpoint; ``count`` rates of steps to come."""
    upcoming = summary.next_lrs(count)
    return {
        "name": summary.name,
        "folder": str(summary.folder),
        "run": summary.run_id,
        "attempt": summary.attempt,
        "step": summary.step,
        "total_steps": summary.total_steps,
        "steps_left": summary.steps_left,
        "share_done": summary.share_done,
        "epoch": summary.epoch,
        "phase": summary.phase.value,
        "schedule": summary.schedule.to_json(),
        "groups": [
            {
                "name": group.name,
                "base_lr": group.base_lr,
                "last_lr": group.last_lr,
                "next_lrs": list(upcoming.get(group.name, ())),
                "parameters": group.parameters,
                "values": group.values,
                "hyperparameters": group.hyperparameters,
                "d": group.d,
                "effective_lr": group.effective_lr,
            }
            for group in summary.groups
        ],
        "loss": summary.loss,
        "loss_avg": summary.loss_avg,
        "validation_loss": summary.validation_loss,
        "validated_step": summary.validated_step,
        "optimizer": summary.optimizer,
        "network": {
            "kind": summary.network.kind,
            "rank": summary.network.rank,
            "alpha": summary.network.alpha,
            "dropout": summary.network.dropout,
            "modules": summary.network.modules,
            "options": list(summary.network.options),
            "parts": [asdict(part) for part in summary.network.parts],
        },
        "created": summary.created,
        "bytes": summary.bytes,
        "elapsed_seconds": summary.elapsed_seconds,
        "images_seen": summary.images_seen,
        "base_model": summary.base_model,
        "device": summary.device,
        "versions": summary.versions,
        "integrity": summary.integrity,
    }


def print_checkpoint(
    printer: Printer, summary: CheckpointSummary, *, damage: str | None, record: RunRecord | None, count: int
) -> None:
    """All that is stored, the schedule first. damage: what is wrong with its files. count: rates of steps to come."""
    printer.line(printer.paint(clean(f"{summary.run_id}/{summary.name}"), "bold"))
    files = printer.paint(f"damaged: {clean(damage)}", "red") if damage else "whole: every file has its recorded digest"
    printer.line(f"{format_bytes(summary.bytes)}, saved {format_age(time.time() - summary.created)}, {files}")
    printer.line()
    printer.line(printer.paint("Schedule", "bold"))
    printer.fields([*_schedule_fields(summary)], indent=2)
    for group in summary.groups:
        printer.line()
        printer.line(printer.paint(f"Learning rate of {clean(group.name)}", "bold"))
        printer.fields(_rate_fields(summary, group, count), indent=2)
    printer.line()
    printer.line(printer.paint("State", "bold"))
    printer.fields([*_state_fields(summary, record)], indent=2)


def _schedule_fields(summary: CheckpointSummary) -> list[tuple[str, str]]:
    schedule = summary.schedule
    left = f"{format_count(summary.steps_left)} steps left" if summary.steps_left else "no steps left"
    done = f"{format_count(summary.step)} of {format_count(schedule.total_steps)} ({format_percent(summary.share_done)}), {left}"
    phase = ", ".join(filter(None, (summary.phase.value, schedule.part(summary.step))))
    return [("kind", schedule.kind.value), *schedule.shown(), ("step", done), ("phase", phase)]


def _rate_fields(summary: CheckpointSummary, group: RateGroup, count: int) -> list[tuple[str, str]]:
    upcoming = summary.next_lrs(count).get(group.name, ())
    begin = summary.step + 1
    if upcoming:
        rates = "  ".join(format_lr(rate) for rate in upcoming)
        name, value = f"steps {begin}–{begin + len(upcoming) - 1}", _wrapped(rates, 66)
    else:
        name, value = "next steps", "none: the schedule is finished; a resume has nothing to do"
    return [
        ("base LR", format_lr(group.base_lr)),
        (
            "current LR",
            f"{format_lr(group.last_lr)} (used by step {summary.step})" if group.last_lr is not None else "none yet",
        ),
        *_adaptive_fields(summary, group),
        (name, value),
        ("trains", f"{format_count(group.values)} numbers in {format_count(group.parameters)} tensors"),
        ("optimizer", _optimizer(summary, group)),
    ]


def _adaptive_fields(summary: CheckpointSummary, group: RateGroup) -> list[tuple[str, str]]:
    """What an adaptive optimizer made of the rates."""
    if group.d is None:
        return []
    used = (
        "none yet" if group.effective_lr is None else f"{format_lr(group.effective_lr)} (used by step {summary.step})"
    )
    return [("effective LR", used), ("d", f"{format_lr(group.d)}: the next steps use d × LR, and d may still grow")]


def _optimizer(summary: CheckpointSummary, group: RateGroup) -> str:
    settings = "  ".join(f"{name} {value:g}" for name, value in group.hyperparameters.items())
    return f"{summary.optimizer}  {settings}".strip()


def _wrapped(words: str, width: int) -> str:
    return "\n".join(textwrap.wrap(words, width, drop_whitespace=True))


def _validation_field(summary: CheckpointSummary) -> list[tuple[str, str]]:
    if summary.validation_loss is None:
        return []
    step = "" if summary.validated_step is None else f", measured at step {summary.validated_step:,}"
    return [("held out", f"{format_loss(summary.validation_loss)}{step}")]


def _state_fields(summary: CheckpointSummary, record: RunRecord | None) -> list[tuple[str, str]]:
    network = summary.network
    parent = record.parent if record else None
    origin = f"{parent.route} from {parent.place}" if parent else "a fresh start"
    if record and record.origin:
        origin = clean(f"{record.origin.route} from {record.origin.label}")
    return [
        ("loss", f"{format_loss(summary.loss_avg)} average, {format_loss(summary.loss)} at the last step"),
        *_validation_field(summary),
        ("network", f"{network.title}  rank {network.rank}  alpha {network.alpha:g}  dropout {network.dropout:g}"),
        ("", f"on {network.modules} modules"),
        *(
            ("", f"{part.part}: rank {part.rank}, alpha {part.alpha:g}, {part.modules} modules")
            for part in network.parts
        ),
        ("epoch", f"{summary.epoch} ({format_count(summary.images_seen)} images seen)"),
        ("base model", summary.base_model),
        ("trained for", f"{format_duration(summary.elapsed_seconds)} on {summary.device}, attempt {summary.attempt}"),
        ("run began as", origin if record else "unknown: the folder does not lie in a run"),
        ("versions", _wrapped(", ".join(f"{name} {version}" for name, version in summary.versions.items()), 62)),
        ("folder", str(summary.folder)),
    ]
