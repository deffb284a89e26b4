"""What a profile would train, with its planned learning rate; or, while it is not valid, what is wrong with it."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from engine.profile.problems import Problem
from engine.profile.schema import Profile
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.profile_summary import profile_curve, summary_lines
from sdxl_tui.widgets.schedule_plot import SchedulePlot

SHOWN: Final = 8
"""Problems that are listed; the rest is counted."""


class ProfilePlan(Vertical):
    """Summary and curve of a valid profile; problems of another."""

    DEFAULT_CSS = """
    ProfilePlan {
        padding: 0 1;
        & > #summary { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
        & > SchedulePlot { margin-top: 1; max-height: 16; }
        &.-wrong > #summary { text-wrap: wrap; }
        &.-wrong > SchedulePlot { display: none; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._summary, self._plot = Static(id="summary"), SchedulePlot()
        self._shown: tuple[Profile | None, tuple[Problem, ...]] = (None, ())
        self._steps_per_epoch = 0.0

    def compose(self) -> ComposeResult:
        yield self._summary
        yield self._plot

    def show(self, profile: Profile | None, problems: tuple[Problem, ...] = ()) -> None:
        """Show a profile, or the problems that keep it from being one."""
        if (profile, problems) == self._shown:
            return
        before, self._shown = self._shown[0], (profile, problems)
        self.set_class(profile is None, "-wrong")
        if profile is not None:
            self._summary.update(summary_lines(profile), layout=before is None)  # always as many lines
            self._show_curve(profile)
            return
        lines = [Content.assemble((_place(problem), "$foreground 60%"), clean(problem.message)) for problem in problems]
        if len(lines) > SHOWN:
            lines[SHOWN:] = [Content.styled(f"… and {len(problems) - SHOWN} more", "$foreground 60%")]
        self._summary.update(Content("\n").join(lines))

    def show_epochs(self, steps_per_epoch: float) -> None:
        """Mark epochs of so many steps; 0: they are not known, or not the same all along."""
        if steps_per_epoch != self._steps_per_epoch:
            self._steps_per_epoch = steps_per_epoch
            if (profile := self._shown[0]) is not None:
                self._show_curve(profile)

    def _show_curve(self, profile: Profile) -> None:
        curves, marks = profile_curve(profile)
        epochs = 0.0 if profile.stages else self._steps_per_epoch
        self._plot.show(curves, marks, steps_per_epoch=epochs)


def _place(problem: Problem) -> str:
    return f"line {problem.line}  " if problem.line else ""
