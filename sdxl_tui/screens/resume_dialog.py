"""Resume a run exactly: says what will happen before it is done, or why it cannot be done and what to do instead."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.checkpoint.describe import CheckpointSummary
from engine.continuation import STATE_PARTS
from engine.errors import UserError
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.launch import resume
from sdxl_tui.fleet.resume_outlook import ResumeOutlook, look_ahead
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_lr
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.schedule_plot import Mark, SchedulePlot, stored_curve

MUTED: Final = "$foreground 60%"
LABEL: Final = 10

ResumeAnswer = RunDirectory | Literal["continue"] | None


class ResumeDialog(ModalScreen[ResumeAnswer]):
    """Dismissed with the resumed run, with ``"continue"`` if that is wanted instead, or with None."""

    DEFAULT_CSS = """
    ResumeDialog {
        align: center middle;
        & > #box {
            width: 96%; max-width: 88; height: auto; max-height: 96%;
            border: round $primary; border-title-style: bold; border-title-color: $foreground;
            border-subtitle-color: $foreground 60%;
            background: $surface; padding: 1 2 0 2;
        }
        #outlook, #failure { height: auto; }
        #outlook { text-wrap: wrap; }
        #failure { color: $error; display: none; }
        #failure.-said { display: block; }
        SchedulePlot { height: 8; margin: 1 0; }
        KeyBar { background: $surface; padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,r", "resume", "Resume"),
        Binding("c", "continue", "Continue with a new LR"),
        Binding("escape", "dismiss(None)", "Back"),
    ]

    def __init__(self, checkpoint: CheckpointSummary, *, damage: str = "") -> None:
        """damage: what comparing digests has found, if that was done."""
        super().__init__()
        self.damage = damage
        self.checkpoint = checkpoint
        self.run_directory = RunDirectory(checkpoint.folder.parent.parent)
        self.outlook: ResumeOutlook | None = None
        self._resuming = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(" Resume exactly ")
            box.border_subtitle = Content(f" {clean(self.run_directory.id)} ")
            yield Static(Content.styled("Looking at the run …", MUTED), id="outlook")
            yield SchedulePlot()
            yield Static(id="failure")
            yield KeyBar()

    def on_mount(self) -> None:
        """Draw what is known; look at the run in a thread."""
        checkpoint = self.checkpoint
        base_lr = max(group.base_lr for group in checkpoint.groups)
        here = checkpoint.schedule.lr(checkpoint.step, base_lr)
        self.query_one(SchedulePlot).show(
            stored_curve(checkpoint.schedule, base_lr, checkpoint.step),
            [Mark(checkpoint.step, here, f"▲ {format_count(checkpoint.step)}")],
        )
        self._look()

    @work(thread=True, exclusive=True)
    def _look(self) -> None:
        outlook = look_ahead(self.run_directory, self.checkpoint, self.damage)
        self.app.call_from_thread(self._show, outlook)

    def _show(self, outlook: ResumeOutlook) -> None:
        self.outlook = outlook
        self.query_one("#outlook", Static).update(outlook_text(outlook))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done is offered."""
        outlook = self.outlook
        if action == "resume":
            return outlook is not None and outlook.is_possible and not self._resuming
        if action == "continue":
            return outlook is not None and (outlook.is_possible or outlook.continuing_helps)
        return True

    def action_continue(self) -> None:
        """The other route."""
        self.dismiss("continue")

    def action_resume(self) -> None:
        """Start the engine again from here."""
        self._resuming = True
        self.refresh_bindings()
        self._resume()

    @work(thread=True, exclusive=True)
    def _resume(self) -> None:
        try:
            resume(self.run_directory, self.checkpoint.folder)
        except (UserError, OSError) as error:
            self.app.call_from_thread(self._fail, str(error))
        else:
            self.app.call_from_thread(self.dismiss, self.run_directory)

    def _fail(self, reason: str) -> None:
        self._resuming = False
        failure = self.query_one("#failure", Static)
        failure.update(Content(clean(reason, lines=True)))
        failure.add_class("-said")
        self._look()


def outlook_text(outlook: ResumeOutlook) -> Content:
    """What will happen, or why not."""
    checkpoint = outlook.checkpoint
    where = f"step {format_count(checkpoint.step)} of {format_count(checkpoint.total_steps)}"
    if not outlook.is_possible:
        return Content.assemble(
            ("Not possible from ", "bold"),
            (where, "bold"),
            ".\n\n",
            (clean(outlook.obstacle), "$warning"),
            "\n",
            outlook.instead,
        )
    rates = ", ".join(f"{clean(group)} {format_lr(rate)}" for group, rate in outlook.next_lrs.items())
    restored = [part.name for part in STATE_PARTS if part.resume.startswith("restored")]
    lines: list[tuple[str, str | Content]] = [
        ("From", Content.assemble((where, "bold"), ", in the same run, exactly as it stood")),
        ("Next step", Content.assemble(("LR ", MUTED), (rates, "bold $primary"), (f" · {checkpoint.phase}", MUTED))),
        ("Restored", ", ".join(restored)),
        ("Not read", "later edits of the profile: a run trains its own snapshot"),
    ]
    if outlook.reached > checkpoint.step:
        again = f"steps {format_count(checkpoint.step + 1)} to {format_count(outlook.reached)} are trained again"
        lines.append(("Again", Content.styled(again, "$warning")))
    if outlook.replaced:
        steps = ", ".join(format_count(step) for step in outlook.replaced[:6])
        more = f" and {len(outlook.replaced) - 6} more" if len(outlook.replaced) > 6 else ""
        lines.append(("Replaced", Content.styled(f"checkpoints {steps}{more}, as their steps are reached", "$warning")))
    return Content("\n").join(Content.assemble((f"{name:<{LABEL}}", MUTED), text) for name, text in lines)
