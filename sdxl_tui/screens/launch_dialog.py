"""Before a launch from the editor: everything that can be wrong, what it takes, and when, where and how often it is to train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import ScreenSuspend
from textual.suggester import SuggestFromList
from textual.timer import Timer
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from engine.estimate.estimate import duration, size_text
from engine.profile.fields import ProfileField, profile_fields
from sdxl_tui.fleet.gpus import Gpu, list_gpus
from sdxl_tui.fleet.launch_outlook import LaunchOutlook, LaunchWish, look_before_launch
from sdxl_tui.screens.aside import ask_aside
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.fact_lines import fact_lines
from sdxl_tui.widgets.field_text import text_of
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.labelled_field import LabelledField
from sdxl_tui.widgets.number_steps import stepped

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace

MUTED: Final = "$foreground 60%"
NOW, QUEUE, ANY = "now", "in the queue", "any"
LOOK_AFTER: Final = 0.15
"""Seconds without a keystroke before the sweep is looked at."""
NAMED: Final = 6
"""Runs that are named; the rest is counted."""
SWEPT: Final = ("int", "float", "bool", "choice", "str")


def sweep_example(field: ProfileField, value: Any) -> str:
    """A sweep over a field that has ``value`` (None: its default): that one and the next, or all that can be chosen."""
    text = text_of(field, field.default if value is None else value)
    match field.kind:
        case "bool":
            values = ["true", "false"]
        case "choice":
            values = list(field.choices)
        case _:
            further = stepped(field, text, True) or stepped(field, text, False)
            values = [text or "value", further or "value"]
    return f"{field.path}={','.join(values)}"


class SweepInput(Input):
    """An empty one takes the example that it shows, to be changed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("right", "take_example", "Take the example", show=False)]

    def action_take_example(self) -> None:
        """The whole example; with anything typed, one letter to the right."""
        if self.value or "=" not in str(self.placeholder):
            self.action_cursor_right()
        else:
            self.value = str(self.placeholder)
            self.cursor_position = len(self.value)


class LaunchDialog(Dialog[LaunchWish | None]):
    """Dismissed with what is to be launched, or with None."""

    DEFAULT_CSS = """
    LaunchDialog {
        align: center middle;
        & > #box {
            width: 76; max-width: 96%; height: auto; max-height: 96%; border: round $primary;
            border-title-style: bold; border-title-color: $foreground; border-subtitle-color: $foreground 60%;
            background: $surface; padding: 1 2 0 2;
        }
        LabelledField > Input { width: 1fr; }
        LabelledField > Choice { max-width: 60; }
        LabelledField > .field-note { width: auto; }
        VerticalScroll { height: auto; max-height: 12; margin-top: 1; }
        #outlook { height: auto; }
        KeyBar { background: $surface; padding: 0; margin-top: 1; }
    }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#start"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "launch", "Launch"),
        Binding("escape", "dismiss(None)", "Back"),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    def __init__(self, path: Path, workspace: Workspace, *, example: str = "optimizer.lr=1e-4,2e-4") -> None:
        """example: of a sweep, shown where none is typed."""
        super().__init__()
        self.path, self.workspace = path, workspace
        self._example = example
        self._outlook: LaunchOutlook | None = None
        """None while it is looked at."""
        self._wanted = False
        self._timer: Timer | None = None
        self._gpus: dict[str, Gpu] = {}
        self._row_of_gpus = LabelledField("GPU", Choice((ANY,), ANY, id="gpu"))

    def compose(self) -> ComposeResult:
        fields = [f"{field.path}=" for field in profile_fields() if field.kind in SWEPT]
        with Vertical(id="box") as box:
            box.border_title = Content(f" Launch {clean(self.path.name)} ")
            box.border_subtitle = "enter launches · esc back"
            yield LabelledField("Start", Choice((NOW, QUEUE), NOW, id="start"))
            yield self._row_of_gpus
            for at, (label, example) in enumerate((("Sweep", self._example), ("and", "a second field")), 1):
                suggester = SuggestFromList(fields, case_sensitive=False)
                line = LabelledField(
                    label, SweepInput(placeholder=example, id=f"sweep-{at}", compact=True, suggester=suggester)
                )
                if "=" in example:
                    line.note("→ takes it")
                yield line
            with VerticalScroll(can_focus=False):
                yield Static(Content.styled("Looking …", MUTED), id="outlook")
            yield KeyBar()

    def on_mount(self) -> None:
        """Look at the profile and at the machine."""
        self._row_of_gpus.display = False
        self._look_soon()
        ask_aside(self.app, self, list_gpus, self._show_gpus)

    def _show_gpus(self, gpus: list[Gpu]) -> None:
        if not gpus:
            return
        self._gpus = {f"{gpu.index}": gpu for gpu in gpus}
        choice = self.query_one("#gpu", Choice)
        choice.options = (ANY, *self._gpus)
        choice.refresh(layout=True)
        self._row_of_gpus.display = True
        self._show_gpu()

    @on(Choice.Changed, "#gpu")
    def _show_gpu(self) -> None:
        choice = self.query_one("#gpu", Choice)
        gpu = self._gpus.get(choice.value)
        said = f"{clean(gpu.name)}, {size_text(gpu.free)} of {size_text(gpu.total)} free" if gpu else "the emptiest"
        self._row_of_gpus.note(said)

    # the outlook

    @on(ScreenSuspend)
    def _not_unseen(self) -> None:
        """Something else came in front: nothing is launched behind it."""
        self._wanted = False

    @on(Input.Changed)
    def _look_soon(self) -> None:
        self._outlook = None
        self._wanted = False  # Enter was for what stood there then
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(LOOK_AFTER, self._look)

    @work(thread=True, exclusive=True, group="look")
    def _look(self) -> None:
        worker = get_current_worker()
        swept = self._swept
        found = look_before_launch(self.path, self.workspace, swept)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._show, swept, found)

    def _show(self, swept: tuple[str, ...], found: LaunchOutlook) -> None:
        if swept != self._swept:
            return
        self._outlook = found
        width = self.query_one("#outlook", Static).size.width
        self.query_one("#outlook", Static).update(_lines(found, width, is_sweep=bool(swept)))
        if self._wanted:
            self._wanted = False
            self.action_launch()

    @property
    def _swept(self) -> tuple[str, ...]:
        typed = (self.query_one(f"#sweep-{at}", Input).value.strip() for at in (1, 2))
        return tuple(text for text in typed if text)

    @on(Input.Submitted)
    def action_launch(self) -> None:
        """As it is chosen; waits for the look that is under way."""
        if self._outlook is None:
            self._wanted = True
            self.query_one("#outlook", Static).update(
                Content.styled("Looking … launches if nothing stands against it", MUTED)
            )
        elif not self._outlook.problem:
            gpu = self._gpus.get(self.query_one("#gpu", Choice).value)
            waits = self.query_one("#start", Choice).value == QUEUE or bool(self._swept)
            self.dismiss(LaunchWish(waits, (gpu.uuid,) if gpu else (), self._swept))


def _lines(found: LaunchOutlook, width: int, *, is_sweep: bool) -> Content:
    if found.problem or found.largest is None:
        return Content.assemble(
            ("Not possible: ", "bold $error"), (clean(found.problem, lines=True, limit=1200), "$error")
        )
    count, expected = len(found.names), found.largest
    names = ", ".join(clean(name) for name in found.names[:NAMED]) + (f" and {count - NAMED} more" * (count > NAMED))
    runs = f"{count} runs, one after another or on as many GPUs as are free" if is_sweep else "1 run"
    pairs: list[tuple[str, str | Content]] = [
        ("Runs", f"{runs} · {format_count(found.steps)} steps"),
        ("", names),
        ("Memory", f"about {size_text(expected.memory.total)}{' for the largest' * is_sweep}"),
        ("Disk", f"up to {size_text(expected.disk.total)}{' each' * is_sweep}"),
    ]
    if expected.speed is not None:
        pairs.append(("Time", f"{duration(expected.speed.seconds_per_step * found.steps)} in all · {expected.time()}"))
    else:
        pairs.append(("Time", expected.time()))
    pairs += [
        ("Mind" if at == 0 else "", Content.styled(clean(text), "$warning")) for at, text in enumerate(found.warnings)
    ]
    return fact_lines(pairs, width)
