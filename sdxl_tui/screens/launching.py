"""Launching a profile from wherever one is shown, at once or in its turn; what is worth knowing first is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textual import work

from engine.errors import UserError
from sdxl_tui.screens.ask import Answer
from sdxl_tui.screens.draft_questions import not_launched
from sdxl_tui.screens.place import OpenRun, Place
from sdxl_tui.terminal.clean import clean


class LaunchingPlace(Place):
    """A place with ``launch_profile``; what becomes of a refusal is the subclass's."""

    def refused(self, path: Path, error: Exception, answer: str | None) -> None:
        """The profile was not launched; ``answer`` is what was chosen of ``refusal_answers``."""

    @property
    def refusal_answers(self) -> Sequence[Answer]:
        """What can be done about a refusal besides waiting for devices."""
        return ()

    @work(thread=True, exclusive=True, group="launch")
    def launch_profile(self, path: Path, *, waits: bool = False) -> None:
        """Make a run of the profile, start it or let it wait, and go to its page."""
        from engine.profile.load import load_profile  # noqa: PLC0415 - pydantic, when first needed
        from sdxl_tui.fleet.launch_warnings import launch_warnings  # noqa: PLC0415
        from sdxl_tui.fleet.queue.chains import begin  # noqa: PLC0415
        from sdxl_tui.fleet.queue.changes import Turn  # noqa: PLC0415

        try:
            loaded = load_profile(path)
            warnings = launch_warnings(self.workspace, loaded)
            run = begin(self.workspace, loaded, Turn() if waits else None)[0]
        except (UserError, OSError) as error:
            self.app.call_from_thread(self._ask_about_refusal, path, error)
            return
        for warning in warnings:
            self.app.call_from_thread(self._warn, run.id, warning)
        self.app.call_from_thread(self.post_message, OpenRun(run.id))

    def _warn(self, run_id: str, warning: str) -> None:
        self.app.notify(clean(warning), title=clean(run_id), severity="warning", markup=False, timeout=12)

    @work
    async def _ask_about_refusal(self, path: Path, error: Exception) -> None:
        answer = await self.app.push_screen_wait(not_launched(error, *self.refusal_answers))
        if answer == "queue":
            self.launch_profile(path, waits=True)
        else:
            self.refused(path, error, answer)
