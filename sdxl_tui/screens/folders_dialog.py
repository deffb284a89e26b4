"""The folders of other trainers that are shown: one is added by its path, or taken away by the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from engine.errors import UserError
from engine.user_path import absolute_user_path
from sdxl_tui.fleet.foreign_states import StateFolder, add_folder, find_states, read_folders, remove_folder
from sdxl_tui.fleet.path_completion import FOLDER
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.fact_lines import MUTED
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.labelled_field import LabelledField
from sdxl_tui.widgets.path_input import Offered, PathInput
from sdxl_tui.widgets.place_bar import short_path

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

SHOWN: Final = 8
"""Lines of folders, or of what a path could be."""


class FoldersDialog(Dialog[str]):
    """Dismissed with what was done, safe to print; with an empty text if nothing."""

    DEFAULT_CSS = """
    FoldersDialog {
        align: center middle;
        & > #box {
            width: 84; max-width: 96%; height: auto; max-height: 96%; border: round $primary;
            border-title-style: bold; border-title-color: $foreground; background: $surface; padding: 1 2 0 2;
        }
        #about, #shown { height: auto; color: $foreground 70%; }
        #about { margin-bottom: 1; }
        LabelledField > PathInput { width: 9fr; }
        #shown { margin-top: 1; }
        #failure { height: auto; min-height: 1; color: $error; }
        KeyBar { background: $surface; padding: 0; margin-top: 1; }
    }
    """
    AUTO_FOCUS: ClassVar[str | None] = "PathInput"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "add", "Add", priority=True),
        Binding("ctrl+x", "remove", "Show it no longer", priority=True),
        Binding("down", "pick(1)", "Next folder", key_display="↑↓", priority=True),
        Binding("up", "pick(-1)", "Previous folder", show=False, priority=True),
        Binding("escape", "dismiss('')", "Back"),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._path = PathInput("", folder=_here(), wanted=(FOLDER,), placeholder="~/kohya/output")
        self._named: tuple[Path, ...] = ()
        self._found: dict[Path, StateFolder] = {}

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(" Folders of others ")
            yield Static(
                "Of sd-scripts or another trainer: runs by their TensorBoard event files, training states, LoRA files. They are "
                "only read, up to four folders deep. Tab completes a path.",
                id="about",
            )
            yield LabelledField("Folder", self._path)
            yield Static(id="shown")
            yield Static(id="failure")
            yield KeyBar()

    def on_mount(self) -> None:
        """List what is shown by now."""
        try:
            self._named = read_folders(self._workspace)
        except UserError as error:
            self._fail(error)
        self._list()
        self._look()

    @work(thread=True, group="folders")
    def _look(self) -> None:
        """What is in each, in a thread: a disk may be slow."""
        worker = get_current_worker()
        for folder in self._named[:SHOWN]:
            found = find_states(folder)
            if worker.is_cancelled:
                return
            self.app.call_from_thread(self._take, found)

    def _take(self, found: StateFolder) -> None:
        self._found[found.path] = found
        self._list()

    def _list(self) -> None:
        lines = []
        for folder in self._named[:SHOWN]:
            found = self._found.get(folder)
            holds = "…" if found is None else clean(found.problem) or found.counted
            lines.append(Content.assemble((clean(short_path(folder)), "$foreground"), (f"  {holds}", MUTED)))
        if len(self._named) > SHOWN:
            lines.append(Content.styled(f"and {len(self._named) - SHOWN} more: sdxl-tui folders", MUTED))
        shown = Content("\n").join(lines) if lines else Content.styled("None is shown yet.", MUTED)
        self.query_one("#shown", Static).update(shown)

    def _fail(self, error: UserError | OSError) -> None:
        self.query_one("#failure", Static).update(Content(clean(str(error), lines=True)))

    @on(Input.Changed)
    def _typed(self) -> None:
        self.query_one("#failure", Static).update("")

    @on(Offered)
    def _offer(self, event: Offered) -> None:
        """What the path could be, where the folders stand otherwise."""
        if not event.candidates:
            self._list()
            return
        names = [clean(text) for text in event.candidates[:SHOWN]]
        more = len(event.candidates) - len(names)
        text = "\n".join([*names, *([f"and {more} more"] if more else [])])
        self.query_one("#shown", Static).update(Content.styled(text, MUTED))

    def action_pick(self, by: int) -> None:
        """Take the path of one that is shown, to remove it."""
        if self._named:
            texts = [str(folder) for folder in self._named]
            at = texts.index(self._path.value) + by if self._path.value in texts else (0 if by > 0 else -1)
            self._path.value = texts[at % len(texts)]
            self._path.cursor_position = len(self._path.value)

    @work(thread=True, exclusive=True, group="change")
    def action_add(self) -> None:
        """Show it from now on, and say what is in it."""

        def add(folder: Path) -> str:
            was_new = add_folder(self._workspace, folder)
            found = find_states(absolute_user_path(folder))
            shown = "is shown from now on" if was_new else "was shown already"
            return f"{clean(short_path(found.path))} {shown}: {clean(found.problem) or found.counted}."

        self._change(add)

    @work(thread=True, exclusive=True, group="change")
    def action_remove(self) -> None:
        """Show it no longer; nothing in it is changed."""

        def remove(folder: Path) -> str:
            gone = remove_folder(self._workspace, folder)
            return f"{clean(short_path(gone))} is no longer shown; nothing in it was changed."

        self._change(remove)

    def _change(self, change: Callable[[Path], str]) -> None:
        """Do it with the folder that is named, if one is; what it says is told."""
        if not (text := self._path.value.strip()):
            return
        try:
            said = change(Path(text))
        except (UserError, OSError) as error:
            self.app.call_from_thread(self._fail, error)
        else:
            self.app.call_from_thread(self.dismiss, said)


def _here() -> Path:
    """Where relative paths begin: the current folder; the root of the disk if that was deleted."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")
