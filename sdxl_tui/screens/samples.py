"""A run's sample pictures through time: each prompt a row, step beside step; or one picture, as large as fits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from engine.run.layout import RunDirectory
from sdxl_tui.fleet.run_page import read_prompts
from sdxl_tui.fleet.sample_grid import GridLayout, SampleGrid, layout_for, window
from sdxl_tui.fleet.sample_pictures import samples_by_step
from sdxl_tui.screens.place import PlaceName
from sdxl_tui.screens.reading import ReadingPlace
from sdxl_tui.screens.sample_tiles import TileSize, sample_tiles
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.gallery import CAPTION_LINES, Gallery, Tile, gallery_strips, row_title

if TYPE_CHECKING:
    from textual.strip import Strip

    from sdxl_tui.workspace import Workspace

LOOK_SECONDS: Final = 2.0
MUTED: Final = "$foreground 60%"
NONE: Final = "No samples yet: [samples] in the run's profile says which and how often."
NO_COLOURS: Final = "Colours are switched off here: pictures cannot be shown. y copies the path of one."


class SamplesPage(ReadingPlace):
    """step: where to stand first, or the nearest before; None: at the newest, and with each new one again."""

    place: ClassVar[PlaceName] = PlaceName.RUNS
    topic: ClassVar[str] = "Samples through time"
    about: ClassVar[tuple[str, ...]] = (
        "Each row is a prompt, from one step to the next: what the training has done to the same picture. ← → go through the "
        "steps, ↑ ↓ or tab to another prompt; enter shows one as large as there is room. At the newest step new ones appear.",
        "kitty and Ghostty draw pictures sharp, in tmux with allow-passthrough on; any other terminal in half blocks: two pixels "
        "to a character. SDXL_TUI_PICTURES=kitty or blocks chooses by hand.",
        "They are files in the run's samples folder; y copies the path of the one you stand on.",
    )
    DEFAULT_CSS = """
    SamplesPage {
        #samples-page { height: 1fr; padding: 0 1; }
        #where { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "go(1)", "Step", key_display="← →"),
        Binding("left,h", "go(-1)", "Earlier step", show=False),
        Binding("down,j,tab", "turn(1)", "Prompt", key_display="↑ ↓"),
        Binding("up,k,shift+tab", "turn(-1)", "Previous prompt", show=False),
        Binding("home,g", "edge(0)", "First step", show=False),
        Binding("end,G", "edge(-1)", "Newest step", show=False),
        Binding("enter,z", "large", "Large / all"),
        Binding("y", "copy_path", "Copy path"),
        Binding("escape", "leave", "Back"),
    ]

    def __init__(self, workspace: Workspace, run: RunDirectory, step: int | None = None, prompt: int = 0) -> None:
        super().__init__(workspace)
        self.directory = run
        self.step, self.prompt = step, prompt
        """Where one stands; None: at the newest step, which nobody has looked for yet."""
        self.is_large = False
        self._follows = step is None
        self._grid = SampleGrid()
        self._first = (10**9, 0)
        """The first step and the first prompt in sight, by their places; the end is looked at first."""
        self._prompts: tuple[str, ...] | None = None
        self._drawn: object = None
        self._again = False
        self._where, self._gallery = Static(id="where"), Gallery()

    def compose_body(self) -> Iterable[Widget]:
        yield Container(self._where, self._gallery, id="samples-page")

    def on_mount(self) -> None:
        """Follow what is drawn."""
        self.read_every(LOOK_SECONDS)

    def on_resize(self, event: Resize) -> None:
        """Other pictures, for the room there is."""
        self.call_after_refresh(self._draw_soon)

    def _draw_soon(self) -> None:
        """At once, or when the drawing that is under way has ended."""
        self._again = True
        if self._reading:
            self.set_timer(0.03, self.read_soon)
        else:
            self.read_soon()

    # In a thread

    def read_and_show(self) -> None:
        """List, decode and shrink what is in sight; then show. Where nothing is different nothing is done."""
        while not get_current_worker().is_cancelled:
            self._again = False
            self._grid = SampleGrid.of(samples_by_step(self.directory))
            if self._prompts is None:
                self._prompts = read_prompts(self.directory)
            self._look()
            if not self._again:  # a key was pressed meanwhile
                return

    def _look(self) -> None:
        grid, size = self._grid, self._gallery.content_size
        if not grid.steps or size.width < 4 or size.height < 4:
            if self._changed((size, ())):
                self._show([], () if grid.steps else (NONE,), "")
            return
        step = grid.nearest_step(None if self._follows else self.step)
        prompt = self.prompt if self.prompt in grid.prompts else grid.prompts[0]
        self.step, self.prompt = step, prompt
        at = grid.steps.index(step), grid.prompts.index(prompt)
        if self.is_large:
            layout = GridLayout(1, 1, size.width, size.height - CAPTION_LINES)
        else:
            layout = layout_for(size.width, size.height, len(grid.steps), len(grid.prompts))
        first = (
            window(self._first[0], layout.steps, at[0], len(grid.steps)),
            window(self._first[1], layout.prompts, at[1], len(grid.prompts)),
        )
        self._first = first
        steps = grid.steps[first[0] : first[0] + layout.steps]
        prompts = grid.prompts[first[1] : first[1] + layout.prompts]
        if not self._changed((size, self.is_large, step, prompt, steps, prompts)):
            return
        if self.app.no_color:
            self._show([], (NO_COLOURS,), "")
            return
        worker = get_current_worker()
        places = [(step, prompt) for prompt in prompts for step in steps]
        found = [(place, path) for place in places if (path := grid.path(*place)) is not None]

        def show(tiles: list[Tile], hint: str) -> None:
            if not worker.is_cancelled:
                drawn = {place: tile for (place, _), tile in zip(found, tiles, strict=True)}
                self._show(self._strips(drawn, steps, prompts, layout), (), hint)

        captioned = [(path, self._caption(*place)) for place, path in found]
        sample_tiles(self.app, captioned, TileSize(layout.columns, layout.rows), lambda: self._again, show)
        if self._again:  # given up half way: sharp pictures may be missing
            self._drawn = None

    def _changed(self, drawn: object) -> bool:
        before, self._drawn = self._drawn, drawn
        return drawn != before

    def _strips(
        self,
        tiles: dict[tuple[int, int], Tile],
        steps: tuple[int, ...],
        prompts: tuple[int, ...],
        layout: GridLayout,
    ) -> list[Strip]:
        strips: list[Strip] = []
        for prompt in prompts:
            row = [tiles.get((step, prompt)) or Tile("not drawn", self._caption(step, prompt)) for step in steps]
            lit = steps.index(self.step) if prompt == self.prompt and self.step in steps else None
            if not self.is_large:
                strips.append(row_title(self._words(prompt), layout.columns * len(steps), is_lit=lit is not None))
            strips += gallery_strips(row, layout.columns, lit=None if self.is_large else lit)
        return strips

    def _caption(self, step: int, prompt: int) -> str:
        return self._words(prompt) if self.is_large else f"step {format_count(step)}"

    def _words(self, prompt: int) -> str:
        prompts = self._prompts or ()
        return prompts[prompt] if prompt < len(prompts) else f"prompt {prompt + 1}"

    def _show(self, strips: list[Strip], said: tuple[str, ...], hint: str) -> None:
        def show() -> None:
            self._title(hint)
            if said:
                self._gallery.say(said[0])
            else:
                self._gallery.show(strips)

        self.app.call_from_thread(show)

    # Shown

    def _title(self, hint: str) -> None:
        grid = self._grid
        parts: list[tuple[str, str]] = [(clean(self.directory.id), "bold")]
        if grid.steps and self.step in grid.steps and self.prompt in grid.prompts:
            parts.append((f"  step {format_count(self.step)}", "$primary"))
            parts.append((f" · {grid.steps.index(self.step) + 1} of {len(grid.steps)}", MUTED))
            if len(grid.prompts) > 1:
                parts.append((f" · prompt {grid.prompts.index(self.prompt) + 1} of {len(grid.prompts)}", MUTED))
        if hint:
            parts.append((f" · {hint}", MUTED))
        self._where.update(Content.assemble(*parts))
        self.refresh_bindings()

    @property
    def path(self) -> Path | None:
        """The picture one stands on."""
        return None if self.step is None else self._grid.path(self.step, self.prompt)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is another step, another prompt, a picture."""
        match action:
            case "go" | "edge":
                return len(self._grid.steps) > 1
            case "turn":
                return len(self._grid.prompts) > 1
            case "large" | "copy_path":
                return bool(self._grid.steps)
        return True

    def action_go(self, by: int) -> None:
        """Another step."""
        steps = self._grid.steps
        if self.step in steps:
            self._go_to(steps.index(self.step) + by)

    def action_edge(self, at: int) -> None:
        """The first step, or the newest one."""
        self._go_to(at % len(self._grid.steps))

    def _go_to(self, at: int) -> None:
        steps = self._grid.steps
        at = max(0, min(len(steps) - 1, at))
        self.step, self._follows = steps[at], at == len(steps) - 1
        self._draw_soon()

    def action_turn(self, by: int) -> None:
        """Another prompt."""
        prompts = self._grid.prompts
        if self.prompt in prompts:
            self.prompt = prompts[(prompts.index(self.prompt) + by) % len(prompts)]
            self._draw_soon()

    def action_large(self) -> None:
        """One picture in all the room, or all of them again."""
        self.is_large = not self.is_large
        self._draw_soon()

    async def action_leave(self) -> None:
        """From a large one to all; else back."""
        if self.is_large:
            self.action_large()
        else:
            await self.run_action("app.back")

    def action_copy_path(self) -> None:
        """Of the picture one stands on, into the terminal's clipboard (OSC 52)."""
        if (path := self.path) is not None:
            self.app.copy_to_clipboard(str(path))
            self.notify(clean(str(path)), title="Copied", markup=False, timeout=3)
