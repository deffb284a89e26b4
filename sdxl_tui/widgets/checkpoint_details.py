"""Everything a checkpoint says about itself: where it stands, its learning rates, its curve, what it was made with.

Shows what was read; reads nothing. Its parts stack in a narrow terminal and stand side by side in a wide one; what has no
room is scrolled to. The words are ``checkpoint_facts``'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer
from textual.content import Content
from textual.events import Resize
from textual.geometry import Size
from textual.strip import Strip
from textual.widgets import Static

from engine.checkpoint.describe import CheckpointSummary
from engine.run.records import Origin, Parent
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.checkpoint_facts import Checked, facts, heading, rates, routes
from sdxl_tui.widgets.gallery import Gallery
from sdxl_tui.widgets.schedule_plot import Mark, SchedulePlot, stored_curve

Styled = tuple[str, str]
Texts = Callable[[int], tuple[Content, Content, Content, Content]]
"""Heading, rates, facts and routes for so many cells (0: without breaks)."""


class CheckpointDetails(ScrollableContainer):
    """The right side of the Checkpoints place."""

    DEFAULT_CSS = """
    CheckpointDetails {
        layout: vertical;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        scrollbar-gutter: stable;
        & > Static { height: auto; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #heading { text-wrap: wrap; }
        & > #routes, & > #samples { display: none; }
        & > #rates, & > #facts { margin-top: 1; }
        & > SchedulePlot { height: 1fr; min-height: 9; max-height: 24; margin-top: 1; }
        &.-wide {
            layout: grid;
            grid-size: 2;
            grid-columns: 60 1fr;
            grid-rows: auto auto auto 1fr;
            grid-gutter: 1 2;
            padding: 1 2;
            & > #heading { column-span: 2; text-wrap: nowrap; }
            & > #rates, & > #facts, & > SchedulePlot { margin-top: 0; }
            & > SchedulePlot { row-span: 2; }
            & > #routes, & > #samples { display: block; }
        }
        &.-words { layout: vertical; & > #heading { text-wrap: wrap; } }
        &.-words > SchedulePlot, &.-words > #rates, &.-words > #facts { display: none; }
        &.-words > #routes, &.-words > #samples { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
    ]
    WIDE_FROM: Final = 110
    LEFT_CELLS: Final = 60
    """Of the left column where there are two."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._drawn: CheckpointSummary | None = None
        self._texts: Texts | None = None
        self._heading, self._rates, self._facts = Static(id="heading"), Static(id="rates"), Static(id="facts")
        self._routes = Static(id="routes")
        self._plot = SchedulePlot()
        self._samples = Gallery(id="samples")

    def compose(self) -> ComposeResult:
        yield from (self._heading, self._rates, self._plot, self._facts, self._routes, self._samples)

    def on_resize(self, event: Resize) -> None:
        """Side by side where there is room."""
        self.set_class(event.size.width >= self.WIDE_FROM, "-wide")
        self._write()

    @property
    def room_for_samples(self) -> Size:
        """Cells that are free for pictures below the plot; none where the parts stack."""
        return self._samples.content_size if self.has_class("-wide") and not self.has_class("-words") else Size(0, 0)

    def show_samples(self, strips: Sequence[Strip]) -> None:
        """Pictures below the plot."""
        self._samples.show(strips)

    @property
    def text_cells(self) -> int:
        """Cells of a line of what is shown instead of a checkpoint; 0 before the first layout."""
        return self.scrollable_content_region.width

    def say(self, *parts: str | Styled) -> None:
        """Show a few words instead of a checkpoint."""
        self.say_content(lambda width: Content.assemble(*parts))

    def say_content(self, text: Callable[[int], Content]) -> None:
        """Show a text instead of a checkpoint, made for so many cells."""
        blank = Content("")
        self._texts = lambda width: (text(self.text_cells), blank, blank, blank)
        self.set_class(True, "-words")
        if self._drawn is not None:
            self._drawn = None
            self._plot.clear()
            self.scroll_home(animate=False)
        self._write()

    def show(
        self,
        summary: CheckpointSummary,
        run: RunSummary,
        parent: Parent | Origin | None,
        checked: Checked | None = None,
        now: float | None = None,
        *,
        kept: str = "",
    ) -> None:
        """Show a checkpoint of ``run``, which came from ``parent``. now: Unix seconds. kept: as ``heading``'s."""
        self._texts = lambda width: (
            heading(summary, run.id, now, kept=kept),
            rates(summary, width),
            facts(summary, parent, checked, width),
            routes(summary, run),
        )
        self.set_class(False, "-words")
        if self._drawn is None or summary is not self._drawn:
            self._samples.show(())
            if self._drawn is not None and self.scroll_offset.y:
                self.scroll_home(animate=False)
            self._drawn = summary
            self._draw(summary)
        self._write()

    def _write(self) -> None:
        if self._texts is None:
            return
        width = self.LEFT_CELLS if self.has_class("-wide") else self.text_cells
        for part, content in zip(
            (self._heading, self._rates, self._facts, self._routes), self._texts(width), strict=True
        ):
            self._put(part, content)

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
