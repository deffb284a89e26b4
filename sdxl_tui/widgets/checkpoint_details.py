"""Everything a checkpoint says about itself: where it stands, its learning rates, its curve, what it was made with.

Shows what ``engine.checkpoint.describe`` read; reads nothing. Its parts stack in a narrow terminal and stand side by side
in a wide one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from engine.checkpoint.describe import CheckpointSummary
from engine.run.records import Parent
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
from sdxl_tui.widgets.schedule_plot import Mark, SchedulePlot, stored_curve

Styled = tuple[str, str]
MUTED: Final = "$foreground 60%"
PHASE_STYLE: Final = {
    Phase.WARMUP: "$warning",
    Phase.RISE: "$warning",
    Phase.CONSTANT: "$primary",
    Phase.DECAY: "$primary",
    Phase.TAIL: "$primary",
    Phase.FINISHED: "$success",
}
BAR: Final = 10


@dataclass(frozen=True)
class Checked:
    """Whether the digests of a checkpoint were compared, and what came of it. ``reason`` is empty when all agree."""

    running: bool = False
    reason: str = ""


class CheckpointDetails(Container):
    """The right side of the Checkpoints place."""

    DEFAULT_CSS = """
    CheckpointDetails {
        layout: grid;
        grid-size: 1;
        grid-rows: auto auto 1fr auto;
        grid-gutter: 1 0;
        padding: 0 1;
        overflow-y: auto;
        & > Static { height: auto; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #heading, &.-damaged > #facts { text-wrap: wrap; }
        & > #routes { display: none; }
        & > SchedulePlot { min-height: 6; }
        &.-wide {
            grid-size: 2;
            grid-columns: 60 1fr;
            grid-rows: auto auto auto 1fr;
            grid-gutter: 1 2;
            padding: 1 2;
            & > #heading { column-span: 2; }
            & > #facts { text-wrap: wrap; }
            & > SchedulePlot { row-span: 3; max-height: 24; }
            & > #routes { display: block; }
        }
    }
    """
    WIDE_FROM: Final = 110

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._summary: CheckpointSummary | None = None
        self._heading, self._rates, self._facts = Static(id="heading"), Static(id="rates"), Static(id="facts")
        self._routes = Static(id="routes")
        self._plot = SchedulePlot()

    def compose(self) -> ComposeResult:
        yield from (self._heading, self._rates, self._plot, self._facts, self._routes)

    def on_resize(self, event: Resize) -> None:
        """Side by side where there is room."""
        self.set_class(event.size.width >= self.WIDE_FROM, "-wide")

    def say(self, *parts: str | Styled) -> None:
        """Show a few words instead of a checkpoint."""
        self._summary = None
        self._put(self._heading, Content.assemble(*parts))
        for part in (self._rates, self._facts, self._routes):
            self._put(part, Content(""))
        self._plot.clear()

    def show(
        self,
        summary: CheckpointSummary,
        run: RunSummary,
        parent: Parent | None,
        checked: Checked | None = None,
        now: float | None = None,
    ) -> None:
        """Show a checkpoint of ``run``, which came from ``parent``. now: Unix seconds."""
        self.set_class(not summary.is_whole or (checked is not None and bool(checked.reason)), "-damaged")
        self._put(self._heading, heading(summary, now))
        self._put(self._facts, facts(summary, parent, checked))
        self._put(self._routes, routes(summary, run))
        if summary is self._summary:
            return
        self._summary = summary
        self._put(self._rates, rates(summary))
        self._draw(summary)

    def _put(self, part: Static, content: Content) -> None:
        """Replace a part's text; the whole screen is laid out anew only where the height may differ."""
        before = part.content
        if isinstance(before, Content):
            if before.is_same(content):
                return
            lines = content.split()
            fits = all(line.cell_length <= part.size.width for line in (*lines, *before.split()))
            same_height = len(lines) == len(before.split()) and (fits or part.styles.text_wrap == "nowrap")
            part.update(content, layout=not same_height)
        else:
            part.update(content)

    def _draw(self, summary: CheckpointSummary) -> None:
        if not summary.groups:
            self._plot.clear()
            return
        base_lr = max(group.base_lr for group in summary.groups)
        here = summary.schedule.lr(summary.step, base_lr)
        self._plot.show(
            stored_curve(summary.schedule, base_lr, summary.step),
            [Mark(summary.step, here, f"▲ {format_count(summary.step)}")],
        )


def heading(summary: CheckpointSummary, now: float | None = None) -> Content:
    """Which checkpoint, how far, how old, how large, how good. ``now`` in Unix seconds."""
    age = (time.time() if now is None else now) - summary.created
    done = round(summary.share_done * BAR)
    return Content("\n").join(
        (
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
                *held_out_words(summary),
            ),
        )
    )


def rates(summary: CheckpointSummary) -> Content:
    """The stored schedule, and for each group its rates: base, last step, next steps."""
    phase = summary.phase
    part = summary.schedule.part(summary.step)
    parameters = [f"{name} {clean(text)}" for name, text in summary.schedule.shown()] + ([part] if part else [])
    left = f"{format_count(summary.steps_left)} steps left" if summary.steps_left else "no steps left"
    lines = [
        Content.assemble(
            (summary.schedule.kind.value, "bold"), "  ", (f" {phase.value} ", f"bold {PHASE_STYLE[phase]}"), f"  {left}"
        ),
        Content.styled(" · ".join(parameters), MUTED),
    ]
    for group, upcoming in summary.next_lrs(5).items():
        stored = next(found for found in summary.groups if found.name == group)
        lines.append(
            Content.assemble(
                (f"{clean(group):<7}", "bold"),
                ("base ", MUTED),
                format_lr(stored.base_lr),
                ("  last ", MUTED),
                format_lr(stored.last_lr),
                ("  next ", MUTED),
                (format_lr(upcoming[0]) if upcoming else "–", "bold $primary"),
            )
        )
        if stored.d is not None:
            effective = (("       d ", MUTED), format_lr(stored.d), ("  effective d·LR ", MUTED))
            lines.append(Content.assemble(*effective, format_lr(stored.effective_lr)))
        if len(upcoming) > 1:
            then = " ".join(format_lr(rate) for rate in upcoming[1:])
            lines.append(Content.styled(f"{'':<7}then {then}", MUTED))
    return Content("\n").join(lines)


def routes(summary: CheckpointSummary, run: RunSummary) -> Content:
    """The two ways on, and whether they are open now."""
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
        "continue  child run with a new LR · keeps the weights, ",
        "\n            starts moments, schedule and data order anew",
    )


def facts(summary: CheckpointSummary, parent: Parent | None, checked: Checked | None) -> Content:
    """What it was made with, whether it is whole, where it comes from."""
    network, group = summary.network, summary.groups[0] if summary.groups else None
    settings = [] if group is None else [_setting(name, value) for name, value in group.hyperparameters.items()]
    modules = f"{format_count(network.modules)} modules"
    return _lines(
        (
            ("State", integrity(summary, checked)),
            ("LoRA", clean(f"rank {network.rank} · alpha {network.alpha:g} · dropout {network.dropout:g} · {modules}")),
            ("Optimizer", clean(" · ".join((summary.optimizer, *settings)))),
            ("Lineage", lineage(summary, parent)),
            (
                "Trained",
                f"{format_duration(summary.elapsed_seconds)} · {format_count(summary.images_seen)} images seen",
            ),
            ("Base", clean(f"{summary.base_model} · on {summary.device}")),
        )
    )


def _setting(name: str, value: float) -> str:
    words = {"weight_decay": "decay", "beta1": "β1", "beta2": "β2", "eps": "ε"}
    return f"{words.get(name, name)} {f'{value:g}'.replace('e-0', 'e-')}"


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


def lineage(summary: CheckpointSummary, parent: Parent | None) -> Content:
    """The run and attempt that wrote it, and the checkpoint that run came from."""
    attempt = f"attempt {summary.attempt}"
    if parent is None:
        return Content.assemble("fresh run", (f" · {attempt}", MUTED))
    origin = f"{clean(parent.run)} at {format_count(parent.step)}"
    return Content.assemble((f"{clean(parent.route)} ", "$accent"), origin, (f" · {attempt}", MUTED))


def _lines(pairs: Iterable[tuple[str, str | Content]]) -> Content:
    return Content("\n").join(Content.assemble((f"{name:<10}", MUTED), value) for name, value in pairs)


def held_out_words(summary: CheckpointSummary) -> tuple[tuple[str, str], ...]:
    """The loss on held-out images, where it was measured."""
    if summary.validation_loss is None:
        return ()
    return ((f" · held out {format_loss(summary.validation_loss)}", MUTED),)
