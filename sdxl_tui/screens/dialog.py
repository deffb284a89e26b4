"""What every dialog is: a box on the page it was opened from, which stays as it is around it.

Textual dims that page. A dimmed page is all of the screen sent twice, to open a dialog and to close it: 70 kB at 200 × 90 cells
where the box takes 20. And it is drawn by way of Rich, where the cells of pictures are lost.
"""

from __future__ import annotations

from typing import Any

from textual import on
from textual.await_complete import AwaitComplete
from textual.events import ScreenResume
from textual.geometry import Region
from textual.screen import ModalScreen, Screen, ScreenResultType
from textual.strip import Strip


class Dialog(ModalScreen[ScreenResultType]):
    """A modal screen that leaves the one below as it is."""

    DEFAULT_CSS = "Dialog { background: transparent; }"

    _late: tuple[ScreenResultType | None] | None = None
    """What it was dismissed with while something else was in front."""

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """As ever; while something else is in front, when it is so again: Textual takes away whatever is in front."""
        if self.app.screen is not self:
            self._late = (result,)
            return AwaitComplete.nothing()  # type: ignore[no-any-return,no-untyped-call]
        return super().dismiss(result)

    @on(ScreenResume)
    def _dismiss_late(self) -> None:
        if self._late is not None:
            (result,), self._late = self._late, None
            self.dismiss(result)

    def render_lines(self, crop: Region) -> list[Strip]:
        """What the screen below shows, cells of pictures included."""
        below = self._below()
        if below is None or below.size != self.size:
            return super().render_lines(crop)
        lines = below._compositor.render_strips(below.size)[crop.y : crop.bottom]
        return lines if crop.width == self.size.width else [line.crop(crop.x, crop.right) for line in lines]

    def _below(self) -> Screen[Any] | None:
        stack = self.app.screen_stack
        at = stack.index(self) if self in stack else 0
        return stack[at - 1] if at else None
