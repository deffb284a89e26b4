"""Runs beside each other: their figures, what differs in their profiles, and a colour for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint, ValidationPoint
from sdxl_tui.fleet.run_comparison import Best, Setting, compare_settings, figures_of
from sdxl_tui.fleet.run_history import RunHistory
from sdxl_tui.fleet.run_marks import COLOURS, RunMarks
from sdxl_tui.fleet.runs import summarize
from tests.sdxl_tui.app.run_field import RunField, open_workspace


def history_of(averages: Sequence[float | None], validations: dict[int, float] | None = None) -> RunHistory:
    history = RunHistory(RunDirectory(Path("/nowhere")))
    for step, average in enumerate(averages, 1):
        history.take(MetricPoint(step, 1, 1, float(step), average, average, {"unet": 1e-4 / step}, step_seconds=1.0))
    for step, loss in (validations or {}).items():
        history.take_validation(ValidationPoint(step, 1, 0.0, loss))
    return history


def test_figures_are_the_last_and_the_lowest_values_with_their_steps() -> None:
    figures = figures_of(history_of([0.5] * 150 + [0.2] + [0.3] * 49, {0: 0.9, 100: 0.4, 200: 0.6}))
    assert (figures.step, figures.loss, figures.best_loss) == (200, 0.3, Best(0.2, 151))
    assert (figures.validation, figures.best_validation) == (0.6, Best(0.4, 100))
    assert figures.lr == 1e-4 / 200 and figures.seconds == 200.0


def test_the_lowest_loss_is_not_one_of_the_first_few_steps() -> None:
    """An average over three steps is low by chance; it says nothing about the run."""
    assert figures_of(history_of([0.01] * 3 + [0.4] * 200)).best_loss == Best(0.4, 100)
    assert figures_of(history_of([0.01, 0.3])).best_loss == Best(0.3, 2)


def test_what_was_never_measured_is_unknown() -> None:
    figures = figures_of(history_of([]))
    assert (figures.step, figures.loss, figures.best_loss, figures.lr, figures.seconds) == (0, None, None, None, None)
    assert figures_of(history_of([None, None])).best_loss is None


@given(st.lists(st.none() | st.floats(0, 10), min_size=100, max_size=300))
def test_the_lowest_is_the_lowest(values: list[float | None]) -> None:
    found = figures_of(history_of(values)).best_loss
    known = [(value, step) for step, value in enumerate(values, 1) if value is not None and step >= 100]
    assert found == (Best(*min(known)) if known else None)


def test_settings_that_differ_are_grouped_by_value(tmp_path: Path) -> None:
    field: RunField = open_workspace(tmp_path / "ws")
    fox, cat, owl = (field.run(name, total=total) for name, total in (("fox", 400), ("cat", 800), ("owl", 400)))
    compared = compare_settings([summarize(run) for run in (fox, cat, owl)])
    settings = {setting.name: setting for setting in compared.differing}
    assert set(settings) == {"training.steps", "schedule.warmup_steps"}, "the name trains nothing"
    assert settings["training.steps"] == Setting("training.steps", (("400", (fox.id, owl.id)), ("800", (cat.id,))))
    assert compared.alike > 30


def test_a_profile_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    field = open_workspace(tmp_path / "ws")
    fox, cat = field.run("fox"), field.run("cat")
    cat.profile.chmod(0o600)
    cat.profile.write_text("steps =")
    compared = compare_settings([summarize(run) for run in (fox, cat)])
    assert compared.unreadable == (cat.id,) and compared.differing == ()


@given(st.lists(st.sampled_from([f"run-{at}" for at in range(12)]), max_size=60))
def test_marked_runs_have_colours_of_their_own_while_there_are_any(toggles: list[str]) -> None:
    marks = RunMarks()
    for run_id in toggles:
        marks.toggle(run_id)
    marked = marks.marked
    colours = [marks.shown_colour(run_id) for run_id in marked]
    assert None not in colours
    if len(set(toggles)) <= COLOURS:
        assert len(set(colours)) == len(marked)


def test_a_colour_stays_with_its_run_while_the_app_is_open() -> None:
    marks = RunMarks()
    for run_id in ("a", "b", "c"):
        marks.toggle(run_id)
    before = marks.colour_of("b")
    marks.toggle("b")
    assert marks.shown_colour("b") is None
    marks.toggle("d")
    marks.toggle("b")
    assert marks.colour_of("b") == before != marks.colour_of("d")
