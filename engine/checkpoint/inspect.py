"""A checkpoint in plain text: what is stored in it, above all of its schedule. Torch-free."""

from __future__ import annotations

import time
from pathlib import Path

from engine.checkpoint.describe import describe
from engine.checkpoint.manifest import find_damage, read_manifest
from engine.checkpoint.summary import CheckpointSummary, RateGroup


def report(folder: Path) -> str:
    """The summary of the checkpoint in ``folder``; compares every file with its digest.

    Raises ``CheckpointError`` if it is not a checkpoint.
    """
    summary = describe(folder)
    damage = find_damage(folder, read_manifest(folder), digests=True)
    lines = [*_facts(summary), *_schedule(summary), *_versions(summary)]
    lines.append(("integrity", f"damaged: {damage}" if damage else "whole: every file is what was saved"))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def _facts(summary: CheckpointSummary) -> list[tuple[str, str]]:
    network = summary.network
    created = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(summary.created))
    return [
        ("checkpoint", str(summary.folder)),
        ("run", f"{summary.run_id}, attempt {summary.attempt}"),
        ("saved", f"{created}, {summary.bytes / 1e6:.1f} MB"),
        ("step", f"{summary.step:,} of {summary.total_steps:,} ({summary.share_done:.1%}), epoch {summary.epoch}"),
        ("loss", f"{_number(summary.loss)}, average {_number(summary.loss_avg)}"),
        ("trained", f"{summary.images_seen:,} images in {summary.elapsed_seconds:,.0f} s on {summary.device}"),
        ("base", summary.base_model),
        (
            "network",
            f"{network.title}, rank {network.rank}, alpha {network.alpha:g}, dropout {network.dropout:g}, "
            f"{network.modules} modules",
        ),
        *(
            ("", f"{part.part}: rank {part.rank}, alpha {part.alpha:g}, {part.modules} modules")
            for part in network.parts
        ),
    ]


def _schedule(summary: CheckpointSummary) -> list[tuple[str, str]]:
    schedule = summary.schedule
    parameters = ", ".join(f"{name} {text}" for name, text in schedule.shown())
    phase = ", ".join(filter(None, (summary.phase, schedule.part(summary.step))))
    lines = [("schedule", f"{schedule.kind}, {parameters}; phase: {phase}")]
    for group in summary.groups:
        lines.append((f"group {group.name}", _group(summary.optimizer, group)))
        upcoming = summary.next_lrs()[group.name]
        lines.append(("", "next LRs " + (", ".join(f"{lr:.4e}" for lr in upcoming) or "none: the schedule is done")))
    return lines


def _group(optimizer: str, group: RateGroup) -> str:
    last = "no step yet" if group.last_lr is None else f"last step used {group.last_lr:.4e}"
    settings = ", ".join(f"{name} {value:g}" for name, value in group.hyperparameters.items())
    values = f"{group.parameters:,} tensors, {group.values:,} values"
    if group.d is not None:
        used = "none yet" if group.effective_lr is None else f"{group.effective_lr:.4e}"
        last += f", effective rate d · LR {used}, d now {group.d:.4e}"
    return f"base LR {group.base_lr:.4e}, {last}; {optimizer} ({settings}); {values}"


def _versions(summary: CheckpointSummary) -> list[tuple[str, str]]:
    return [("versions", ", ".join(f"{name} {version}" for name, version in summary.versions.items()))]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.5f}"
