"""One line: how a profile that is edited stands against the newest run that was launched from it."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from engine.routes.resuming import ResumePlan
from sdxl_tui.fleet.source_run import SourceRun, counted
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.field_help import MUTED, RESUME_STYLE


class SourceRunLine(Static):
    """``run fox-…: 2 changes a resume applies, 1 it would refuse``; not there while there is no such run."""

    DEFAULT_CSS = """
    SourceRunLine {
        display: none; height: 1; width: 1fr; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis;
        &.-known { display: block; }
    }
    """

    def show(self, run: SourceRun | None, plan: ResumePlan | None, *, unfinished: bool = False) -> None:
        """Show how ``run`` and the profile differ.

        plan: None while the profile has problems. unfinished: something was typed that is no value yet; its last one counts.
        """
        self.set_class(run is not None, "-known")
        if run is not None:
            name = f"run {clean(run.id)}"
            finished = " (finished: nothing is left to resume)" if run.is_finished else ""
            rest = (", without what is no value yet" if unfinished and plan else "", MUTED)
            self.update(
                Content.assemble((name, "bold"), (f"{finished}: ", MUTED), _difference(plan), rest), layout=False
            )


def _difference(plan: ResumePlan | None) -> Content:
    if plan is None:
        return Content.styled("not compared while the profile has problems", MUTED)
    if not plan.effects:
        return Content.styled("trained with these very values", MUTED)
    return Content(", ").join(Content.styled(words, RESUME_STYLE[kind]) for words, kind in counted(plan))
