"""How to stop a run: three ways from polite to final, each with what it does to this run and what would be lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widgets import Static

from sdxl_tui.fleet.stop import kill, out_of_reach, request_stop, stop_now
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.run_cells import checkpoint_step

if TYPE_CHECKING:
    from engine.run.layout import RunDirectory
    from sdxl_tui.fleet.runs import RunSummary


@dataclass(frozen=True)
class StopChoice:
    """A way to stop: its key and words, what it does, what is said while it is done, and the act (which may block)."""

    key: str
    words: str
    effect: str
    under_way: str
    act: Callable[[RunDirectory], object]


class ChoiceRow(Vertical):
    """One way: its key and words, below them what it does."""

    class Clicked(Message):
        """It was clicked."""

        def __init__(self, at: int) -> None:
            super().__init__()
            self.at = at

    def __init__(self, choice: StopChoice, at: int) -> None:
        super().__init__()
        self.choice = choice
        self.at = at

    def compose(self) -> ComposeResult:
        yield Static(
            Content.assemble((f"{self.choice.key}  ", "bold $primary"), (self.choice.words, "bold $foreground"))
        )
        yield Static(Content(self.choice.effect), classes="effect")

    def on_click(self, event: Click) -> None:
        """Choose it."""
        event.stop()
        self.post_message(self.Clicked(self.at))


class StopDialog(Dialog["StopChoice | None"]):
    """Dismissed with the chosen way, or with None. Nothing is done here."""

    DEFAULT_CSS = """
    StopDialog {
        align: center middle;
        & > #box {
            width: 74; max-width: 100%; height: auto; max-height: 100%;
            background: $surface; border: round $warning; padding: 1 1 0 1;
            border-title-color: $foreground; border-title-style: bold; border-subtitle-color: $foreground 60%;
        }
        ChoiceRow { height: auto; padding: 0 1; margin-bottom: 1; color: $foreground 65%; }
        ChoiceRow .effect { padding-left: 3; }
        ChoiceRow.-here { background: $block-cursor-background; color: $foreground; }
        KeyBar { background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Choose"),
        Binding("down,j", "move(1)", "Next", show=False),
        Binding("up,k", "move(-1)", "Previous", show=False),
        Binding("s", "take('s')", "Save and stop", show=False),
        Binding("n", "take('n')", "Stop now", show=False),
        Binding("K", "take('K')", "Kill", show=False),
        Binding("escape,q", "dismiss(None)", "Let it run"),
    ]

    def __init__(self, run: RunSummary) -> None:
        super().__init__()
        self._title = f"Stop {run.id}"
        self._subtitle = f"{run.state} · step {format_count(run.step)}"
        self.choices = ways_to_stop(run)
        self.at = 0

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(self._title)
            box.border_subtitle = Content(self._subtitle)
            for at, choice in enumerate(self.choices):
                yield ChoiceRow(choice, at)
            yield KeyBar()

    def on_mount(self) -> None:
        """Stand on the polite way."""
        self.action_move(0)

    def action_move(self, by: int) -> None:
        """Stand on another way."""
        self.at = max(0, min(len(self.choices) - 1, self.at + by))
        for row in self.query(ChoiceRow):
            row.set_class(row.at == self.at, "-here")

    def action_choose(self) -> None:
        """Take the way one stands on."""
        self.dismiss(self.choices[self.at])

    def action_take(self, key: str) -> None:
        """Take the way with this key, if it is there."""
        if found := next((choice for choice in self.choices if choice.key == key), None):
            self.dismiss(found)

    def on_choice_row_clicked(self, message: ChoiceRow.Clicked) -> None:
        """Take the way that was clicked."""
        self.dismiss(self.choices[message.at])


def ways_to_stop(run: RunSummary) -> tuple[StopChoice, ...]:
    """The three ways, with what they mean for this run; of one on another machine the one that reaches it."""
    host = out_of_reach(run.liveness)
    there = f" It runs on {clean(host)}: what ends it at once can be done only there." if host else ""
    politely = StopChoice(
        "s",
        "Save and stop",
        f"Finishes its step, saves a checkpoint and ends. A resume goes on exactly there.{there}",
        "Saving and stopping …",
        request_stop,
    )
    if host:
        return (politely,)
    return (
        politely,
        StopChoice("n", "Stop now", f"Ends without saving. {_loss(run)}", "Stopping without saving …", stop_now),
        StopChoice(
            "K",
            "Kill",
            f"SIGKILL to the engine and all it started, for one that hangs. {_loss(run)}",
            "Killing …",
            kill,
        ),
    )


def _loss(run: RunSummary) -> str:
    """What would be lost."""
    saved = checkpoint_step(run)
    if not run.step:
        return "No step is done yet."
    if saved is None:
        return f"It has no checkpoint: all {_steps(run.step)} are lost."
    if saved >= run.step:
        return "Its last step is saved."
    return f"The {_steps(run.step - saved)} since its checkpoint at {format_count(saved)} are lost."


def _steps(count: int) -> str:
    return f"{format_count(count)} {'step' if count == 1 else 'steps'}"
