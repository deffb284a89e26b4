"""The sample pictures of a run in the terminal, beginning with those of a checkpoint's step."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from engine.errors import UserError
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.sample_pictures import sample_number, samples_by_step
from sdxl_tui.screens.place import Place, PlaceName
from sdxl_tui.screens.sample_tiles import TileSize, sample_tiles
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.fact_lines import MUTED
from sdxl_tui.widgets.gallery import CAPTION_LINES, GAP, Gallery, Tile, gallery_strips

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

NARROWEST: Final = 36
"""Cells of a picture, as long as there is more than one."""


class ImagesPage(Place):
    """step: the checkpoint's; without pictures of it those of the nearest step before stand there, and it is said."""

    place: ClassVar[PlaceName] = PlaceName.CHECKPOINTS
    topic: ClassVar[str] = "Sample pictures"
    about: ClassVar[tuple[str, ...]] = (
        "The pictures that the run drew at a step. kitty and Ghostty draw them sharp, in tmux with allow-passthrough on; any "
        "other terminal in half blocks: two pixels to a character. SDXL_TUI_PICTURES=kitty or blocks chooses by hand.",
        "They are files in the run's samples folder; y copies the path of the first one shown.",
    )
    DEFAULT_CSS = """
    ImagesPage {
        #images { height: 1fr; padding: 0 1; }
        #where { height: 1; margin-bottom: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "turn(1)", "Next picture"),
        Binding("left,h", "turn(-1)", "Previous picture", show=False),
        Binding("up,k", "go(1)", "Later step"),
        Binding("down,j", "go(-1)", "Earlier step"),
        Binding("v", "through_time", "Through time"),
        Binding("y", "copy_path", "Copy path"),
        Binding("escape", "app.back", "Back", show=True),
    ]

    def __init__(self, workspace: Workspace, run: RunDirectory, step: int | None) -> None:
        super().__init__(workspace)
        self.directory = run
        self._wanted = step
        self._step: int | None = None
        self._first = 0
        """Number of the first picture shown, among those of the step."""
        self._shown = 0
        """Pictures beside each other."""
        self._steps: dict[int, tuple[Path, ...]] = {}
        self._prompts: tuple[str, ...] | None = None
        self._where, self._gallery = Static(id="where"), Gallery()

    def compose_body(self) -> Iterable[Widget]:
        yield Container(self._where, self._gallery, id="images")

    def on_resize(self, event: Resize) -> None:
        """Other pictures, for the room there is."""
        self.call_after_refresh(self._draw)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is another picture, or another step."""
        if action == "turn":
            return self._step in self._steps and self._shown < len(self._steps[self._step])
        return len(self._steps) > 1 if action in {"go", "through_time"} else True

    @work(thread=True, exclusive=True, group="pictures")
    def _draw(self) -> None:
        """List, decode and shrink; then show."""
        self._steps = samples_by_step(self.directory)
        size = self._gallery.content_size
        if not self._steps or size.width < 4 or size.height < 4:
            said = (
                ""
                if self._steps
                else "This run has drawn no samples: [samples] in its profile says which and how often."
            )
            self.app.call_from_thread(self._gallery.say, said)
            self.app.call_from_thread(self._title, ())
            return
        if self._step not in self._steps:
            self._step = self._nearest()
        paths = self._steps[self._step]
        self._first = min(self._first, len(paths) - 1)
        beside = max(1, min(len(paths), (size.width + GAP) // (NARROWEST + GAP)))
        shown = paths[self._first : self._first + beside]
        columns = (size.width + GAP) // beside - GAP
        worker = get_current_worker()
        if self.app.no_color:
            self.app.call_from_thread(self._title, shown)
            self.app.call_from_thread(self._gallery.say, "Colours are switched off here: pictures cannot be shown.")
            return

        def show(tiles: list[Tile], hint: str) -> None:
            strips = gallery_strips(tiles, columns)
            if not worker.is_cancelled:
                self.app.call_from_thread(self._title, shown, hint)
                self.app.call_from_thread(self._gallery.show, strips)

        room = TileSize(columns, size.height - CAPTION_LINES)
        sample_tiles(self.app, [(path, self._caption(path)) for path in shown], room, lambda: worker.is_cancelled, show)

    def _nearest(self) -> int:
        """The step wanted, or the last one before it, or the first one."""
        before = [step for step in self._steps if self._wanted is None or step <= self._wanted]
        return before[-1] if before else next(iter(self._steps))

    def _caption(self, path: Path) -> str:
        number = sample_number(path)
        prompts = self._read_prompts()
        return clean(prompts[number] if number < len(prompts) else path.name)

    def _read_prompts(self) -> tuple[str, ...]:
        """Of what the run's newest start when this opened trains, once; none if that cannot be read."""
        if self._prompts is None:
            from engine.profile.load import read_snapshot  # noqa: PLC0415 - pydantic

            try:
                self._prompts = tuple(read_snapshot(self.directory.latest_profile).samples.prompts)
            except (UserError, OSError):
                self._prompts = ()
        return self._prompts

    def _title(self, shown: tuple[Path, ...], hint: str = "") -> None:
        parts: list[tuple[str, str]] = [(clean(self.directory.id), "bold")]
        if shown and self._step is not None:
            of = len(self._steps[self._step])
            last = self._first + len(shown)
            which = f"{self._first + 1} of {of}" if len(shown) == 1 else f"{self._first + 1} to {last} of {of}"
            parts.append((f"  step {format_count(self._step)}", "$primary"))
            parts.append((f" · {which}", MUTED))
            if self._wanted is not None and self._step != self._wanted and self._wanted not in self._steps:
                parts.append((f" · none was drawn at {format_count(self._wanted)}", "$warning"))
        if hint:
            parts.append((f" · {hint}", MUTED))
        self._where.update(Content.assemble(*parts))
        self._shown = len(shown)
        self.refresh_bindings()

    def action_turn(self, by: int) -> None:
        """Another picture of the step."""
        if self._step in self._steps:
            self._first = max(0, min(len(self._steps[self._step]) - 1, self._first + by))
            self._draw()

    def action_go(self, by: int) -> None:
        """Another step."""
        steps = list(self._steps)
        if self._step in steps:
            self._step = steps[max(0, min(len(steps) - 1, steps.index(self._step) + by))]
            self._draw()

    def action_through_time(self) -> None:
        """The first picture shown at the steps around this one."""
        from sdxl_tui.screens.samples import SamplesPage  # noqa: PLC0415 - when first needed

        if self._step in self._steps:
            prompt = sample_number(self._steps[self._step][self._first])
            self.app.push_screen(SamplesPage(self.workspace, self.directory, self._step, prompt))

    def action_copy_path(self) -> None:
        """Of the first picture shown, into the terminal's clipboard."""
        if self._step in self._steps:
            path = str(self._steps[self._step][self._first])
            self.app.copy_to_clipboard(path)
            self.notify(clean(path), title="Copied", markup=False, timeout=3)
