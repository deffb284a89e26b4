"""What can be done with a run wherever one is shown: stop it, resume it, look at its checkpoints, launch another one.

Shared by the table of runs and a run's page. What takes time runs in threads; what cannot be undone asks first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from engine.errors import UserError
from sdxl_tui.fleet.foreign_keys import FOREIGN_KEY
from sdxl_tui.fleet.runs import RunSummary
from sdxl_tui.fleet.watched.record import ONLY_WATCHED
from sdxl_tui.screens.place import (
    LookNow,
    OpenCheckpoints,
    OpenPlace,
    OpenRun,
    Place,
    PlaceName,
    changes_workspace,
    in_words,
)
from sdxl_tui.terminal.clean import clean

if TYPE_CHECKING:
    from engine.checkpoint.summary import CheckpointSummary
    from engine.run.layout import RunDirectory
    from sdxl_tui.fleet.start_again import StartAgain
    from sdxl_tui.screens.stop_dialog import StopChoice


class RunPlace(Place):
    """``run`` is the one that the keys are about; a subclass has ``RUN_KEYS`` and ``LABEL_KEYS`` among its bindings."""

    RUN_KEYS: ClassVar[list[BindingType]] = [
        Binding("s", "stop", "Stop"),
        Binding("r", "resume", "Resume"),
        Binding("h", "hold", "Hold / release"),
        Binding("K,shift+up", "move('up')", "Earlier", key_display="K"),
        Binding("J,shift+down", "move('down')", "Later", key_display="J"),
        Binding("x", "take_out", "Take out"),
        Binding("c", "checkpoints", "Checkpoints"),
        Binding("l", "launch", "Launch"),
    ]
    LABEL_KEYS: ClassVar[list[BindingType]] = [
        Binding("p", "profile", "Profile"),
        Binding("t", "label", "Tags, note"),
        Binding("a", "archive", "Put away / take out", show=False),
    ]

    STEERING: ClassVar[frozenset[str]] = frozenset(
        {"stop", "resume", "hold", "move", "take_out", "label", "archive", "profile"}
    )
    """Of a watched run, keys that only say why not."""

    @property
    def run(self) -> RunSummary | None:
        """The run under the cursor, or whose page this is."""
        raise NotImplementedError

    @property
    def quiet_actions(self) -> frozenset[str]:
        """Keys that answer and yet are not offered in the key bar."""
        return self.STEERING if self.run is not None and self.run.watched is not None else frozenset()

    def _refused(self) -> bool:
        """Say of a watched run why nothing can be done with it here, and what can be done instead; whether it is one."""
        if (run := self.run) is None or run.watched is None:
            return False
        files = (
            "c shows what it saved, and c there trains on from it" if run.watched.saved else "it has saved nothing yet"
        )
        words = f"It {ONLY_WATCHED}.\nStop or steer it where it was started; {files}."
        self.notify(words, title=run.id, severity="warning", markup=False, timeout=8)
        return True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The key bar offers what can be done with this run now."""
        run = self.run
        if action in self.quiet_actions:
            return True
        if run is not None and action in {"stop", "resume"}:
            return run.alive == (action == "stop")
        if action in {"hold", "move", "take_out"}:
            return run is not None and bool(run.waits)
        if action in {"stop", "resume", "checkpoints", "label", "profile"}:
            return run is not None
        if action == "archive":
            return run is not None and not run.alive and not run.waits
        return True

    def action_checkpoints(self) -> None:
        """Its checkpoints, in their place; of a watched run the newest file it saved."""
        if (run := self.run) is None:
            return
        if run.watched is None:
            self.post_message(OpenCheckpoints(run.id))
        elif run.watched.saved:
            self.post_message(OpenCheckpoints(f"{FOREIGN_KEY}{run.watched.saved[0].path}"))
        else:
            words = (
                f"It has saved no state or LoRA file yet in a folder that is shown ({clean(str(run.watched.shown))})."
            )
            self.notify(words, title=run.id, severity="warning", markup=False, timeout=8)

    def action_launch(self) -> None:
        """Choose a profile to launch."""
        self.post_message(OpenPlace(PlaceName.PROFILES))

    def action_profile(self) -> None:
        """What it trains, and how that differs from where it comes from."""
        if not self._refused() and (run := self.run) is not None:
            self._read_profile(run)

    @work(thread=True, exclusive=True, group="profile")
    def _read_profile(self, run: RunSummary) -> None:
        from sdxl_tui.fleet.run_profile import read_run_profile  # noqa: PLC0415 - pydantic, off the start of the app
        from sdxl_tui.screens.run_profile import RunProfileDialog  # noqa: PLC0415

        try:
            found = read_run_profile(run.directory)
        except (UserError, OSError) as error:
            words = f"Its profile cannot be read: {clean(in_words(error), lines=True)}"
            self.app.call_from_thread(self.notify, words, title=run.id, severity="error", markup=False, timeout=8)
        else:
            self.app.call_from_thread(self.app.push_screen, RunProfileDialog(run.id, found))

    # What one says of a run

    @changes_workspace
    def action_label(self) -> None:
        """Its tags and a note."""
        from sdxl_tui.screens.labels_dialog import LabelsDialog  # noqa: PLC0415 - opened rarely

        def answered(changed: bool | None) -> None:
            if changed:
                self.post_message(LookNow())

        if not self._refused() and (run := self.run) is not None:
            self.app.push_screen(LabelsDialog(run), answered)

    @changes_workspace
    def action_archive(self) -> None:
        """Put it away: lists leave it out; or take it out again."""
        if not self._refused() and (run := self.run) is not None:
            self._archive(run)

    @work(thread=True, group="labels")
    def _archive(self, run: RunSummary) -> None:
        from sdxl_tui.fleet.labels import archive  # noqa: PLC0415 - off the start of the app

        archived = not run.labels.archived
        if self._attempt(run.id, lambda: archive(run.directory, archived=archived)):
            self.post_message(LookNow())
            words = "put away; A shows those that are" if archived else "listed again"
            self.app.call_from_thread(self.notify, words, title=run.id, markup=False, timeout=4)

    # Waiting in the queue

    @changes_workspace
    def action_hold(self) -> None:
        """Hold a run that waits, or release one that is held."""
        if not self._refused() and (run := self.run) is not None and run.waits:
            self._change_queue(run, "release" if run.waits.startswith("held") else "hold")

    @changes_workspace
    def action_move(self, where: str) -> None:
        """Let a run that waits have its turn earlier or later."""
        if not self._refused() and (run := self.run) is not None and run.waits:
            self._change_queue(run, where)

    @changes_workspace
    @work
    async def action_take_out(self) -> None:
        """Take a run out of the queue; asks where that deletes it."""
        from sdxl_tui.screens.ask import Answer, Ask  # noqa: PLC0415 - opened rarely

        if self._refused() or (run := self.run) is None or not run.waits:
            return
        never_started = run.liveness.attempt == 0
        text = (
            "It has never started: it is deleted, with its copy of the profile."
            if never_started
            else ("It stays as it is and can be resumed.")
        )
        answer = Answer("take", "x", "Take out and delete" if never_started else "Take out", destroys=never_started)
        if await self.app.push_screen_wait(Ask(f" Take {run.id} out of the queue? ", text, [answer])) == "take":
            self._change_queue(run, "take out")

    @work(thread=True, group="queue")
    def _change_queue(self, run: RunSummary, what: str) -> None:
        from sdxl_tui.fleet.queue import changes  # noqa: PLC0415 - off the start of the app
        from sdxl_tui.fleet.queue.going_on import go_on  # noqa: PLC0415

        def change() -> None:
            match what:
                case "hold":
                    changes.hold(self.workspace, run.id)
                case "release":
                    changes.release(self.workspace, run.id)
                case "take out":
                    changes.take_out(self.workspace, run.id)
                case _:
                    changes.move(self.workspace, run.id, what)
            go_on(self.workspace)

        self._attempt(run.id, change)
        self.post_message(LookNow())

    # Stopping

    @changes_workspace
    def action_stop(self) -> None:
        """Ask how."""
        from sdxl_tui.screens.stop_dialog import StopDialog  # noqa: PLC0415 - opened rarely

        if self._refused() or (run := self.run) is None or not run.alive:
            return

        def chosen(choice: StopChoice | None) -> None:
            if choice is not None:
                self.notify(choice.under_way, title=run.id, markup=False, timeout=4)
                self._stop(run, choice.act)

        self.app.push_screen(StopDialog(run), chosen)

    @work(thread=True, group="stop")
    def _stop(self, run: RunSummary, act: Callable[[RunDirectory], object]) -> None:
        self._attempt(run.id, lambda: act(run.directory))

    # Resuming

    @changes_workspace
    def action_resume(self) -> None:
        """Show what a resume would do before it is done."""
        if not self._refused() and (run := self.run) is not None and not run.alive:
            self._find_resume_point(run)

    @work(thread=True, group="resume", exclusive=True)
    def _find_resume_point(self, run: RunSummary) -> None:
        from engine.checkpoint.describe import CheckpointError, describe, resume_point  # noqa: PLC0415

        try:
            folder = resume_point(run.directory)
            checkpoint = None if folder is None else describe(folder)
        except (CheckpointError, OSError) as error:
            self._say(run.id, in_words(error))
            return
        if checkpoint is None:
            self._look_at_its_start(run)
        else:
            self.app.call_from_thread(self._ask_to_resume, run, checkpoint)

    def _ask_to_resume(self, run: RunSummary, checkpoint: CheckpointSummary) -> None:
        from sdxl_tui.screens.resume_dialog import ResumeAnswer, ResumeDialog  # noqa: PLC0415 - opened rarely

        def answered(answer: ResumeAnswer) -> None:
            if answer == "continue":
                self._ask_to_continue(run, checkpoint)
            elif answer is not None:
                self.post_message(OpenRun(answer.id))

        self.app.push_screen(ResumeDialog(checkpoint), answered)

    def _ask_to_continue(self, run: RunSummary, checkpoint: CheckpointSummary) -> None:
        from sdxl_tui.screens.way_on_dialog import WayOnDialog  # noqa: PLC0415 - opened rarely

        def answered(child: RunDirectory | None) -> None:
            if child is not None:
                self.post_message(OpenRun(child.id))

        dialog = WayOnDialog(self.workspace, checkpoint, steps_per_second=run.steps_per_second)
        self.app.push_screen(dialog, answered)

    def _look_at_its_start(self, run: RunSummary) -> None:
        """In a thread: without a checkpoint it can be started from its first step, with what its profile says now."""
        from sdxl_tui.fleet.start_again import plan_start_again  # noqa: PLC0415

        problem = ""
        try:
            launched = plan_start_again(run.directory, as_launched=True)
            try:
                plan = plan_start_again(run.directory)
            except UserError as error:
                # What was edited since may be what cannot be trained; the run's own copy still can.
                plan = launched
                problem = clean(str(error), lines=True)
        except (UserError, OSError) as error:
            self._say(run.id, in_words(error))
            return
        self.app.call_from_thread(self._ask_to_start_again, run, plan, launched, problem)

    def _ask_to_start_again(self, run: RunSummary, plan: StartAgain, launched: StartAgain, problem: str) -> None:
        from sdxl_tui.screens.ask import Answer, Ask  # noqa: PLC0415 - opened rarely

        words = "It has no checkpoint to resume from. It can be started again from its first step, in the same run."
        answers = [Answer("start", "s", "Start again")]
        if problem:
            words = f"{words}\n\n{problem}"
            answers = [Answer("as-launched", "a", "Start as launched")]
        elif plan.edits:
            words = f"{words}\n\nIts profile was edited since:\n{plan.edits_text}"
            answers = [Answer("start", "s", "Start with these"), Answer("as-launched", "a", "As launched")]
        elif launched.edits:
            answers = [Answer("start", "s", "Start again"), Answer("as-launched", "a", "As launched")]
        if launched.edits:
            words = (
                f"{words}\n\nIts last start had applied edits. As launched, they are taken back:\n{launched.edits_text}"
            )
        for note in plan.notes:
            words = f"{words}\n\nNote: {note}."

        def answered(answer: str | None) -> None:
            if answer is not None:
                self._start_again(run, plan if answer == "start" else launched)

        self.app.push_screen(Ask(run.id, words, answers), answered)

    @work(thread=True, group="resume", exclusive=True)
    def _start_again(self, run: RunSummary, plan: StartAgain) -> None:
        if self._attempt(run.id, plan.start):
            self.post_message(OpenRun(run.id))
