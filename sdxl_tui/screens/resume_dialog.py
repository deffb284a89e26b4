"""Resume a run exactly: says what will happen before it is done, or why it cannot be done and what to do instead."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from engine.checkpoint.describe import CheckpointSummary
from engine.errors import UserError
from engine.profile.schema import Profile
from engine.routes.resuming import routes_for
from engine.routes.route import Route, kept_by
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.launch import resume
from sdxl_tui.fleet.resume_outlook import ResumeOutlook, look_ahead
from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_lr
from sdxl_tui.widgets.effect_table import EffectTable
from sdxl_tui.widgets.key_bar import KeyBar
from sdxl_tui.widgets.schedule_plot import Mark, SchedulePlot, stored_curve

MUTED: Final = "$foreground 60%"
LABEL: Final = 10

ResumeAnswer = RunDirectory | Literal["continue"] | None


class ResumeDialog(Dialog[ResumeAnswer]):
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
        EffectTable { margin: 1 0 0 0; display: none; max-height: 8; }
        EffectTable.-needed { display: block; }
        SchedulePlot { height: 8; margin: 1 0; }
        KeyBar { background: $surface; padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,r", "resume", "Resume"),
        Binding("k", "keep_stored", "Resume, keep what is stored"),
        Binding("l", "as_launched", "Resume as launched"),
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
            yield EffectTable()
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
        outlook = look_ahead(self.run_directory, self.checkpoint, self.damage, self._tell)
        self.app.call_from_thread(self._show, outlook)

    def _tell(self, sentence: str) -> None:
        """From the thread: what takes a while."""
        self.app.call_from_thread(self.query_one("#outlook", Static).update, Content.styled(sentence, MUTED))

    def _show(self, outlook: ResumeOutlook) -> None:
        self.outlook = outlook
        self.query_one("#outlook", Static).update(outlook_text(outlook))
        table, effects = self.query_one(EffectTable), outlook.edits.plan.effects if outlook.edits else ()
        table.show(effects)
        table.set_class(bool(effects), "-needed")
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done is offered."""
        outlook = self.outlook
        if action in {"resume", "keep_stored", "as_launched"}:
            if outlook is None or not outlook.is_possible or self._resuming:
                return False
            return {
                "resume": not outlook.decision,
                "keep_stored": outlook.decision == "keep_stored",
                "as_launched": bool(outlook.decision),
            }[action]
        if action == "continue":
            return outlook is not None and (outlook.is_possible or outlook.continuing_helps)
        return True

    def action_continue(self) -> None:
        """The other route."""
        self.dismiss("continue")

    def action_resume(self) -> None:
        """Start the engine again from here, with what was edited and takes effect."""
        self._begin(edited=True)

    def action_keep_stored(self) -> None:
        """As ``action_resume``; where a resume ignores an edit, what is stored goes on."""
        self._begin(edited=True)

    def action_as_launched(self) -> None:
        """Start the engine again with what the run trained before; no later edit counts."""
        self._begin(edited=False)

    def _begin(self, *, edited: bool) -> None:
        self._resuming = True
        self.refresh_bindings()
        self._resume(edited)

    def _profile(self, edited: bool) -> Profile | None:
        """What the attempt trains if that is not what the one before did."""
        edits = self.outlook.edits if self.outlook and edited else None
        if edits is None or not edits.plan.effects:
            return None
        return edits.attempts_profile(self.run_directory, keep_stored=True)

    @work(thread=True, exclusive=True)
    def _resume(self, edited: bool) -> None:
        try:
            resume(self.run_directory, self.checkpoint.folder, profile=self._profile(edited))
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


def _edited(outlook: ResumeOutlook) -> Content:
    """What has become of the profile since, and what has to be decided; and what it says where the launch said something else."""
    found = _edits_found(outlook)
    kept = () if outlook.edits is None else outlook.edits.kept
    return Content(f"\n{' ' * LABEL}").join([found, *(Content.styled(one, "$warning") for one in kept)])


def _edits_found(outlook: ResumeOutlook) -> Content:
    if outlook.edits is None:
        return Content.styled(
            clean(f"not compared: {outlook.unsaid or 'it does not say what it was trained with'}"), "$warning"
        )
    plan = outlook.edits.plan
    if not plan.effects:
        return Content(clean(outlook.edits.remark or "not edited since"))
    if all(effect.is_moved for effect in plan.effects):
        return Content.styled("moved since, the same content: the resume goes on with it", "$success")
    if not outlook.decision:
        return Content.styled("edited since; every edit takes effect from the next step on", "$success")
    held = plan.fixed or plan.restored
    settings = "1 setting" if len(held) == 1 else f"{len(held)} settings"
    what = "no exact resume with" if plan.fixed else "a resume ignores"
    routes = " or ".join(routes_for(plan.fixed + plan.restored)) or "a new run"
    return Content.styled(
        f"edited: {what} {settings}; apply {'it' if len(held) == 1 else 'them'} by {routes}", "$warning"
    )


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
    lines: list[tuple[str, str | Content]] = [
        ("From", Content.assemble((where, "bold"), ", in the same run, exactly as it stood")),
        ("Next step", Content.assemble(("LR ", MUTED), (rates, "bold $primary"), (f" · {checkpoint.phase}", MUTED))),
        ("Restored", ", ".join(kept_by(Route.RESUME))),
        ("Profile", _edited(outlook)),
    ]
    if outlook.reached > checkpoint.step:
        again = f"steps {format_count(checkpoint.step + 1)} to {format_count(outlook.reached)} are trained again"
        lines.append(("Again", Content.styled(again, "$warning")))
    if outlook.replaced:
        steps = ", ".join(format_count(step) for step in outlook.replaced[:6])
        more = f" and {len(outlook.replaced) - 6} more" if len(outlook.replaced) > 6 else ""
        lines.append(("Replaced", Content.styled(f"checkpoints {steps}{more}, as their steps are reached", "$warning")))
    return Content("\n").join(Content.assemble((f"{name:<{LABEL}}", MUTED), text) for name, text in lines)
