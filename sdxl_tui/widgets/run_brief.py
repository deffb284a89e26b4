"""Two lines on the run under the cursor: what the table has no room for."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.run_cells import (
    MUTED,
    REMARK_COLOURS,
    began,
    checkpoint_step,
    label_pieces,
    origin,
    remark,
)


class RunBrief(Static):
    """Identity and origin above, what there is to say below."""

    DEFAULT_CSS = """
    RunBrief { height: 3; padding: 0 1; border-top: solid $border-blurred; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self._shown = Content("")

    def show(self, run: RunSummary | None, now: float) -> None:
        """Say it; painted only if it differs."""
        content = Content("") if run is None else _brief(run, now)
        if not content.is_same(self._shown) or content.spans != self._shown.spans:
            self._shown = content
            self.update(content, layout=False)


def _brief(run: RunSummary, now: float) -> Content:
    status = run.liveness.status
    facts = [run.device, began(run, now)]
    if status is not None and status.epoch is not None and status.step:
        facts.append(f"epoch {status.epoch}" + (f"/{status.epochs}" if status.epochs else ""))
    if run.liveness.attempt > 1:
        facts.append(f"attempt {run.liveness.attempt}")
    saved = checkpoint_step(run)
    if run.watched is not None:
        facts += [run.watched.saved_words, run.watched.shown_as]
    else:
        facts.append("no checkpoint yet" if saved is None else f"saved {format_count(saved)}")
    first = Content.assemble((run.id, "bold"), ("  " + " · ".join(fact for fact in facts if fact), MUTED))
    said, came_from = remark(run), origin(run)
    second = Content("   ").join(
        Content.styled(text, style)
        for text, style in (
            *(piece for piece in label_pieces(run) if piece[0].strip()),
            (came_from, "$secondary"),
            (said, REMARK_COLOURS.get(run.state, MUTED)),
        )
        if text
    )
    return first + Content("\n") + second
