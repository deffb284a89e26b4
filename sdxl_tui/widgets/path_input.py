"""Inputs for paths: tab completes what is typed by what lies on this machine, in a thread.

The first tab goes as far as all that fits has in common, and says what fits; further ones go through it. Where nothing goes on,
tab goes to the next field, as anywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, TextArea

from sdxl_tui.fleet.path_completion import complete


@dataclass
class Offered(Message):
    """What fits a path that is typed in ``widget``; empty: no more to choose from."""

    widget: Widget
    candidates: tuple[str, ...]


class PathCompletion:
    """What tab does next."""

    def __init__(self, folder: Path, wanted: Sequence[str]) -> None:
        self._folder, self._wanted = folder, tuple(wanted)
        self._offered: tuple[str, ...] = ()
        self._last = ""

    async def next(self, text: str) -> tuple[str, tuple[str, ...]] | None:
        """The text instead of ``text`` and what fits; None where nothing goes on."""
        if self._offered and text == self._last:
            at = self._offered.index(text) + 1 if text in self._offered else 0
            self._last = self._offered[at % len(self._offered)]
            return self._last, self._offered
        found = await asyncio.to_thread(complete, text, self._folder, self._wanted)
        self._offered, self._last = found.candidates, found.text
        return None if found.text == text and not found.candidates else (found.text, found.candidates)


class PathInput(Input):
    """One path."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "complete", "Complete", show=False)]

    def __init__(
        self,
        value: str,
        *,
        folder: Path,
        wanted: Sequence[str],
        placeholder: str = "",
        disabled: bool = False,
        classes: str | None = None,
    ) -> None:
        """folder: where relative paths start. wanted: as ``complete``'s."""
        super().__init__(value, placeholder=placeholder, compact=True, disabled=disabled, classes=classes)
        self._completion = PathCompletion(folder, wanted)

    @work(exclusive=True, group="complete")
    async def action_complete(self) -> None:
        """Go on with what is typed, or to the next field."""
        typed = self.value
        found = await self._completion.next(typed) if typed and self.cursor_position == len(typed) else None
        if self.value != typed:
            return  # typed on meanwhile
        if found is None:
            self.screen.focus_next()
            return
        self.value, candidates = found
        self.cursor_position = len(self.value)
        self.post_message(Offered(self, candidates))


class PathLines(TextArea):
    """Paths, one a line."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "complete", "Complete", show=False)]

    def __init__(
        self, text: str, *, folder: Path, wanted: Sequence[str], placeholder: str = "", read_only: bool = False
    ) -> None:
        """As ``PathInput``."""
        super().__init__(text, read_only=read_only, compact=True, soft_wrap=True, placeholder=placeholder)
        self._completion = PathCompletion(folder, wanted)

    @work(exclusive=True, group="complete")
    async def action_complete(self) -> None:
        """Go on with the line up to the cursor, or to the next field."""
        row, column = self.cursor_location
        text = self.text
        line = str(self.document.get_line(row))
        found = await self._completion.next(line) if line and column == len(line) and not self.read_only else None
        if self.text != text:
            return
        if found is None:
            self.screen.focus_next()
            return
        self.replace(found[0], (row, 0), (row, column))
        self.post_message(Offered(self, found[1]))
