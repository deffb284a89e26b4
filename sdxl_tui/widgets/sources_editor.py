"""The folders of images of a profile as lines: a path and how often each of its images is seen per epoch.

The last line is always empty: what is typed there becomes a further folder. A folder is taken out by clearing its path.
Whatever else the profile says of a folder is counted beside it (+3), and is edited in a dialog of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from engine.profile.fields import SOURCES, profile_field
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.path_input import PathInput

EDITED: Final = ("path", "repeats")


class SourceLine(Horizontal):
    """One folder."""

    def __init__(self, path: str, repeats: str, folder: Path, others: Mapping[str, Any] | None = None) -> None:
        """folder: where relative paths start. others: what else is set for the folder of images, by name."""
        super().__init__()
        self.others = dict(others or {})
        wanted = profile_field(f"{SOURCES}.path").leads_to
        self.path = PathInput(path, folder=folder, wanted=wanted, placeholder="add a folder of images", classes="path")
        self.repeats = Input(repeats, placeholder="1", compact=True, classes="repeats")
        self._count = Static(self._counted())

    def compose(self) -> ComposeResult:
        yield self.path
        yield Static(Content("×"))
        yield self.repeats
        yield self._count

    def take(self, others: Mapping[str, Any]) -> None:
        """Something else is set for the folder."""
        self.others = dict(others)
        self._count.update(self._counted())

    def _counted(self) -> Content:
        return Content(f"+{len(self.others)}" if self.others else "")


class SourcesEditor(Vertical):
    """All folders of a profile."""

    DEFAULT_CSS = """
    SourcesEditor {
        height: auto; width: 1fr;
        SourceLine { height: 1; }
        SourceLine Static { width: 3; color: $foreground 50%; content-align: center middle; }
        .path { width: 1fr; max-width: 72; background: $foreground 8%; }
        .repeats { width: 8; background: $foreground 8%; }
        Input:focus { background: $primary 25%; }
        &.-error .path { background: $error 20%; }
    }
    """

    @dataclass
    class Changed(Message):
        """The folders are others now: each with ``path``, ``repeats`` where it has any, and what else was set for it."""

        editor: SourcesEditor
        sources: list[dict[str, Any]]

        @property
        def control(self) -> SourcesEditor:
            """The editor, for ``on(SourcesEditor.Changed, selector)``."""
            return self.editor

    @dataclass
    class Unreadable(Message):
        """What was typed for the repeats is no whole number."""

        editor: SourcesEditor
        text: str

    @property
    def focused_line(self) -> SourceLine | None:
        """The folder whose line has the focus, else the first one; None on the empty last line, and without folders."""
        lines = list(self.query(SourceLine))
        line = next((line for line in lines if line.has_focus_within), lines[0] if lines else None)
        return line if line is not None and line.path.value.strip() else None

    def set_others(self, line: SourceLine, others: Mapping[str, Any]) -> None:
        """Whatever is set for a folder besides path and repeats, by name."""
        if line.others != others:
            line.take(others)
            self._tell()

    def __init__(self, sources: Sequence[Mapping[str, Any]], *, folder: Path = Path(), disabled: bool = False) -> None:
        super().__init__(disabled=disabled)
        self._folder = folder
        self._start = [(clean(str(source.get("path", ""))), str(source.get("repeats", ""))) for source in sources]
        self._others = [{name: source[name] for name in source if name not in EDITED} for source in sources]
        self._typed_last = [*self._start, ("", "")]

    def compose(self) -> ComposeResult:
        for (path, repeats), others in zip(self._start, self._others, strict=True):
            yield SourceLine(path, repeats, self._folder, others)
        yield SourceLine("", "", self._folder)

    @on(Input.Changed)
    async def _typed(self, event: Input.Changed) -> None:
        event.stop()
        lines = list(self.query(SourceLine))
        typed = [(line.path.value, line.repeats.value) for line in lines]
        if typed == self._typed_last:
            return  # inputs also report what they are given at first
        self._typed_last = typed
        if lines and lines[-1].path.value.strip():
            await self.mount(SourceLine("", "", self._folder))
        self._tell()

    def _tell(self) -> None:
        try:
            sources = [self._source(line) for line in self.query(SourceLine) if line.path.value.strip()]
        except ValueError as error:
            self.post_message(self.Unreadable(self, str(error)))
        else:
            self.post_message(self.Changed(self, sources))

    @staticmethod
    def _source(line: SourceLine) -> dict[str, Any]:
        source: dict[str, Any] = {"path": line.path.value.strip()}
        typed = line.repeats.value.strip()
        if typed:
            try:
                source["repeats"] = int(typed)
            except ValueError:
                raise ValueError(f"repeats {typed[:12]} must be a whole number from 1 to 10,000") from None
        return source | line.others
