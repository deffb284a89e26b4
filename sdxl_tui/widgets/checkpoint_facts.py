"""What a checkpoint says about itself, as text: how far it is, its rates, what it was made with, where it comes from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from textual.content import Content

from engine.checkpoint.describe import CheckpointSummary, NetworkFacts, RateGroup
from engine.run.records import Origin, Parent
from engine.schedule import Phase
from sdxl_tui.fleet.runs import RunSummary
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
from sdxl_tui.widgets.fact_lines import MUTED, fact_lines
from sdxl_tui.widgets.family_rows import PIN

PHASE_STYLES: Final = {Phase.WARMUP: "$warning", Phase.RISE: "$warning", Phase.FINISHED: "$success"}
"""All others have the usual one."""
BAR: Final = 10
SHORT_NAMES: Final = {"weight_decay": "decay", "beta1": "β1", "beta2": "β2", "eps": "ε"}


@dataclass(frozen=True)
class Checked:
    """Whether the digests of a checkpoint were compared, and what came of it. ``reason`` is empty when all agree."""

    running: bool = False
    reason: str = ""


def heading(summary: CheckpointSummary, run_id: str, now: float | None = None, *, kept: str = "") -> Content:
    """Which checkpoint, how far, how old, how large, how good. now: Unix seconds. kept: why it is; empty if it may be pruned."""
    age = (time.time() if now is None else now) - summary.created
    done = round(summary.share_done * BAR)
    return Content("\n").join(
        (
            Content.assemble((clean(run_id), "bold $primary"), (f"  {PIN} {kept}" if kept else "", "$warning")),
            Content.assemble(
                (f"step {format_count(summary.step)}", "bold"),
                (f" of {format_count(summary.total_steps)}  ", MUTED),
                ("━" * done, "$primary"),
                ("━" * (BAR - done), "$foreground 20%"),
                f" {format_percent(summary.share_done)}",
                (f"  epoch {format_count(summary.epoch)}", MUTED),
            ),
            Content.assemble(
                (f"{format_age(age)} · {format_bytes(summary.bytes)} · loss ", MUTED),
                format_loss(summary.loss),
                (f" (avg {format_loss(summary.loss_avg)})", MUTED),
                *_held_out(summary),
            ),
        )
    )


def _held_out(summary: CheckpointSummary) -> tuple[str | tuple[str, str], ...]:
    """The loss on held-out images, where it was measured."""
    if summary.validation_loss is None:
        return ()
    step = summary.validated_step
    when = "" if step in (None, summary.step) else f" at {format_count(step)}"
    return ((" · held out ", MUTED), format_loss(summary.validation_loss), (when, MUTED))


def rates(summary: CheckpointSummary, width: int = 0) -> Content:
    """The stored schedule, and for each group its rates: base, last step, next steps."""
    phase = summary.phase
    part = summary.schedule.part(summary.step)
    parameters = [f"{name} {clean(text)}" for name, text in summary.schedule.shown()] + ([part] if part else [])
    left = f"{format_count(summary.steps_left)} steps left" if summary.steps_left else "no steps left"
    lines = [
        Content.assemble(
            (summary.schedule.kind.value, "bold"),
            "  ",
            (f" {phase.value} ", f"bold {PHASE_STYLES.get(phase, '$primary')}"),
            f"  {left}",
        ),
        Content.styled(" · ".join(parameters), MUTED),
    ]
    cells = max([6, *(len(clean(group.name)) for group in summary.groups)]) + 1
    upcoming = summary.next_lrs(5)
    for group in summary.groups:
        lines += _group_rates(group, upcoming.get(group.name, ()), cells, width)
    return Content("\n").join(lines)


def _group_rates(group: RateGroup, upcoming: tuple[float, ...], cells: int, width: int) -> list[Content]:
    """Of one group; broken below its name where the pane is narrow."""
    rates = Content.assemble(
        ("base ", MUTED),
        format_lr(group.base_lr),
        ("  last ", MUTED),
        format_lr(group.last_lr),
        ("  next ", MUTED),
        (format_lr(upcoming[0]) if upcoming else "–", "bold $primary"),
    )
    further: list[Content] = []
    if group.d is not None:
        effective = (("d ", MUTED), format_lr(group.d), ("  effective d·LR ", MUTED))
        further.append(Content.assemble(*effective, (format_lr(group.effective_lr), "bold")))
    if len(upcoming) > 1:
        further.append(Content.styled(f"then {' '.join(format_lr(rate) for rate in upcoming[1:])}", MUTED))
    name = clean(group.name)
    if width and cells + max(line.cell_length for line in (rates, *further)) > width:
        return [Content.styled(name, "bold"), *(Content("  ") + line for line in (rates, *further))]
    blank = Content(" " * cells)
    return [Content.assemble((f"{name:<{cells}}", "bold"), rates), *(blank + line for line in further)]


def routes(summary: CheckpointSummary, run: RunSummary) -> Content:
    """The ways on, and whether they are open now."""
    seconds = summary.steps_left / run.steps_per_second if run.steps_per_second else None
    left = f"{format_count(summary.steps_left)} steps" + (f", about {format_duration(seconds)}" if seconds else "")
    if run.alive:
        resume = ("not while the run is alive", "$warning")
    elif not summary.steps_left:
        resume = ("nothing left to resume", "$warning")
    else:
        resume = (f"same run, exactly · {left}", "")
    return Content.assemble(
        ("From here\n", MUTED),
        ("r ", "bold $primary"),
        "resume    ",
        resume,
        ("\nc ", "bold $primary"),
        "continue  in a child run: a new LR and schedule with the ",
        "\n            moments or without, more steps, another rank",
    )


def facts(
    summary: CheckpointSummary, parent: Parent | Origin | None, checked: Checked | None, width: int = 0
) -> Content:
    """What it was made with, whether it is whole, where it comes from."""
    versions = " · ".join(f"{name} {version}" for name, version in summary.versions.items())
    seen = f"{format_duration(summary.elapsed_seconds)} · {format_count(summary.images_seen)} images seen"
    return fact_lines(
        (
            ("State", integrity(summary, checked)),
            *_network(summary.network),
            *_optimizer(summary),
            ("Lineage", lineage(summary, parent)),
            ("Trained", seen),
            ("Base", clean(f"{summary.base_model} · on {summary.device}")),
            ("Made with", clean(versions)),
        ),
        width,
    )


def _network(network: NetworkFacts) -> list[tuple[str, str]]:
    """Kind and strength, then each part that is trained."""
    own = f"rank {network.rank} · alpha {network.alpha:g} · dropout {network.dropout:g}"
    kind = [] if network.title == "lora" else [network.title]
    lines = [("LoRA", clean(" · ".join((*kind, own, f"{format_count(network.modules)} modules"))))]
    for part in network.parts:
        strength = (part.rank, part.alpha) != (network.rank, network.alpha)
        differs = f" · rank {part.rank} · alpha {part.alpha:g}" if strength else ""
        lines.append(("", clean(f"{part.part.replace('_', ' ')}: {format_count(part.modules)} modules{differs}")))
    return lines


def _optimizer(summary: CheckpointSummary) -> list[tuple[str, str]]:
    """Kind and settings; groups that are set alike share a line, and each says how much it trains."""
    lines: list[tuple[str, str]] = []
    for settings, alike in groupby(summary.groups, key=lambda group: group.hyperparameters):
        groups = list(alike)
        named = "" if len(groups) == len(summary.groups) else f"{', '.join(group.name for group in groups)}: "
        words = " · ".join((summary.optimizer, *(_setting(name, value) for name, value in settings.items())))
        lines.append(("Optimizer" if not lines else "", clean(named + words)))
    for group in summary.groups:
        trains = f"{format_count(group.values)} numbers in {format_count(group.parameters)} tensors"
        lines.append(("", clean(f"{group.name}: {trains}")))
    return lines


def _setting(name: str, value: float) -> str:
    return f"{SHORT_NAMES.get(name, name.replace('_', ' '))} {f'{value:g}'.replace('e-0', 'e-')}"


def integrity(summary: CheckpointSummary, checked: Checked | None) -> Content:
    """Whether all of it is there, as far as was looked."""
    if not summary.is_whole:
        return Content.styled(clean(f"damaged: {summary.integrity}"), "bold $error")
    if checked is None:
        return Content.assemble(("whole", "$success"), (" by sizes; v compares digests", MUTED))
    if checked.running:
        return Content.styled("comparing digests …", "$warning")
    if checked.reason:
        return Content.styled(clean(checked.reason), "bold $error")
    return Content.assemble(("whole", "$success"), (" · every digest agrees", MUTED))


def lineage(summary: CheckpointSummary, parent: Parent | Origin | None) -> Content:
    """The run and attempt that wrote it, and the checkpoint, state or file that run came from."""
    attempt = f"attempt {summary.attempt}"
    if parent is None:
        return Content.assemble("fresh run", (f" · {attempt}", MUTED))
    origin = (
        f"from {clean(parent.label)}"
        if isinstance(parent, Origin)
        else f"{clean(parent.run)} at {format_count(parent.step)}"
    )
    return Content.assemble((f"{clean(parent.route)} ", "$accent"), origin, (f" · {attempt}", MUTED))
