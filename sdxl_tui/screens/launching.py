"""Launching a profile from wherever one is shown, at once or in its turn; what is worth knowing first is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textual import work

from engine.errors import UserError
from sdxl_tui.screens.ask import Answer
from sdxl_tui.screens.draft_questions import not_launched
from sdxl_tui.screens.place import OpenPlace, OpenRun, Place, PlaceName
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
    def launch_profile(
        self, path: Path, *, waits: bool = False, gpus: Sequence[str] = (), swept: Sequence[str] = ()
    ) -> None:
        """Make a run of the profile, start it or let it wait, and go to its page; of a sweep all runs wait.

        gpus: UUIDs of those it may use. swept: ``section.field=value,value``, of one field or two.
        """
        from sdxl_tui.fleet.launch_outlook import profiles_to_launch  # noqa: PLC0415 - pydantic, when first needed
        from sdxl_tui.fleet.launch_warnings import launch_warnings  # noqa: PLC0415
        from sdxl_tui.fleet.queue.chains import begin, queue_profiles  # noqa: PLC0415
        from sdxl_tui.fleet.queue.changes import Turn  # noqa: PLC0415

        turn = Turn(gpus=tuple(gpus))
        try:
            found = profiles_to_launch(path, swept)
            warnings = list(dict.fromkeys(text for one in found for text in launch_warnings(self.workspace, one)))
            if swept:
                runs = queue_profiles(self.workspace, found, turn)
            else:
                runs = begin(self.workspace, found[0], turn if waits else None, gpus=gpus)
        except (UserError, OSError) as error:
            self.app.call_from_thread(self._ask_about_refusal, path, error)
            return
        for warning in warnings:
            self.app.call_from_thread(self._warn, runs[0].id, warning)
        if swept:
            self.app.call_from_thread(self._tell_of_sweep, len(runs))
        self.app.call_from_thread(self.post_message, OpenPlace(PlaceName.RUNS) if swept else OpenRun(runs[0].id))

    def _tell_of_sweep(self, count: int) -> None:
        self.app.notify(f"{count} runs wait for their turn; what is free starts now.", title="Sweep", markup=False)

    def _warn(self, run_id: str, warning: str) -> None:
        self.app.notify(clean(warning), title=clean(run_id), severity="warning", markup=False, timeout=12)

    @work
    async def _ask_about_refusal(self, path: Path, error: Exception) -> None:
        answer = await self.app.push_screen_wait(not_launched(error, *self.refusal_answers))
        if answer == "queue":
            self.launch_profile(path, waits=True)
        else:
            self.refused(path, error, answer)
