"""What stands beside the editor's form: the planned learning rate, the data set and the estimate.

All three one below the other where there is room, else one at a time. Says when it wants the data set or the estimate looked
at; what is shown of a profile that is not valid any more is that of the last valid one, dimmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from engine.estimate.estimate import Estimate
from engine.profile.problems import Problem
from engine.profile.schema import Profile
from sdxl_tui.fleet.profile_outlook import DataAnswer, Room
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.fact_lines import MUTED
from sdxl_tui.widgets.gallery import Gallery
from sdxl_tui.widgets.outlook_text import data_lines, estimate_lines
from sdxl_tui.widgets.profile_plan import ProfilePlan

PLAN, DATA, ESTIMATE = "plan", "data", "estimate"
PARTS: Final = (PLAN, DATA, ESTIMATE)


class OutlookPart(Static):
    """A heading and lines; ``show`` does nothing where they are the same."""

    DEFAULT_CSS = """
    OutlookPart { height: auto; padding: 0 1; margin-top: 1; }
    OutlookPart.-stale { opacity: 50%; }
    """

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self._title = title
        self._lines, self._aside = Content.styled("…", MUTED), ""
        self._said: tuple[object, ...] = ()

    def show(self, lines: Content) -> None:
        """Replace the lines; whatever was said beside the heading is over."""
        self._lines, self._aside = lines, ""
        self._tell()

    def tell(self, aside: str) -> None:
        """Say something beside the heading: how far a look has come."""
        self._aside = aside
        self._tell()

    def _tell(self) -> None:
        head = Content.assemble((self._title, "bold"), (f"  {self._aside}" if self._aside else "", MUTED), "\n")
        text = head + self._lines
        said = text.plain, tuple(text.spans)
        if said != self._said:
            before, self._said = self._said, said
            height = before[0].count("\n") if before and isinstance(before[0], str) else -1
            self.update(text, layout=height != text.plain.count("\n"))


class BesideForm(Vertical):
    """The three parts."""

    DEFAULT_CSS = """
    BesideForm {
        display: none; width: 36%; border-left: solid $foreground 15%; overflow: hidden;
        & > * { display: none; }
        &.-all { display: block; & > * { display: block; } & > #thumbnails { display: none; } }
        &.-all.-tall > #thumbnails { display: block; }
        &.-plan { display: block; & > ProfilePlan { display: block; } }
        &.-data { display: block; & > #data { display: block; margin-top: 0; } & > #thumbnails { display: block; } }
        &.-estimate { display: block; & > #estimate { display: block; margin-top: 0; } }
        & > ProfilePlan { height: 1fr; min-height: 14; max-height: 26; }
        & > ProfilePlan.-wrong { height: auto; min-height: 2; }
        & > #thumbnails { height: 7; margin: 1 1 0 1; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._plan = ProfilePlan()
        self._data, self._estimate = OutlookPart("Data set", id=DATA), OutlookPart("Estimate", id=ESTIMATE)
        self.thumbnails = Gallery(id="thumbnails")
        self._answer: DataAnswer | None = None
        self._expected: tuple[Estimate, tuple[Room, ...]] | str | None = None

    def compose(self) -> ComposeResult:
        yield self._plan
        yield self._data
        yield self.thumbnails
        yield self._estimate

    def show_parts(self, part: str | None) -> None:
        """``all``, one of ``PARTS``, or None for nothing."""
        for name in ("all", *PARTS):
            self.set_class(name == part, f"-{name}")

    def show_plan(self, profile: Profile | None, problems: tuple[Problem, ...]) -> None:
        """The curve, or what is wrong; the others are dimmed then, for they are about what was valid last."""
        self._plan.show(profile, problems)
        for part in (self._data, self._estimate):
            part.set_class(profile is None, "-stale")

    def show_data(self, answer: DataAnswer) -> None:
        """What the data set comes to."""
        self._answer = answer
        self._data.show(data_lines(answer, self._room))
        self._plan.show_epochs(answer.found.report.steps_per_epoch if answer.found else 0.0)

    def tell_progress(self, done: int, total: int) -> None:
        """How far a look at the images has come."""
        self._data.tell(f"looking at images, {done:,} of {total:,}")

    def show_estimate(self, expected: Estimate | str, rooms: Sequence[Room]) -> None:
        """What a run takes, or why that is not known."""
        if isinstance(expected, str):
            self._expected = expected
            self._estimate.show(Content.styled(clean(expected, limit=400), "$error"))
        else:
            self._expected = expected, tuple(rooms)
            self._estimate.show(estimate_lines(expected, rooms, self._room))

    @property
    def _room(self) -> int:
        return max(0, self.size.width - 2)

    def on_resize(self, event: Resize) -> None:
        """Break the lines anew."""
        if self._answer is not None:
            self.show_data(self._answer)
        if isinstance(self._expected, tuple):
            self.show_estimate(*self._expected)
