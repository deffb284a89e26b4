"""The curves of a run: the newest attempt wins, long ones are grouped without losing an extreme, and following is cheap."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from engine.run.json_lines import JsonLinesWriter
from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint, newest_attempt_wins
from sdxl_tui.fleet.run_history import Curve, RunHistory


def point(step: int, attempt: int, loss: float | None = 0.5) -> MetricPoint:
    return MetricPoint(step, attempt, 0, 0.0, loss, loss, {"unet": 1e-4 / step})


@given(
    changes=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 60), st.one_of(st.none(), st.floats(-10, 10))),
            st.tuples(st.just("cut"), st.integers(1, 60), st.none()),
            st.tuples(st.just("look"), st.integers(1, 9), st.none()),
        ),
        max_size=120,
    ),
    most=st.integers(1, 9),
)
def test_a_followed_curve_groups_like_one_that_is_read_at_once(
    changes: list[tuple[str, int, float | None]], most: int
) -> None:
    followed = Curve()
    for what, number, value in changes:
        if what == "add":
            followed.add(number, value)
        elif what == "cut":
            followed.cut(number)
        else:
            followed.spans(number)
    at_once = Curve()
    for step, value in zip(followed.steps, followed.values, strict=True):
        at_once.add(step, value)
    assert repr(followed.spans(most)) == repr(at_once.spans(most))
    assert len(followed.spans(most)) <= most
    values = [value for value in followed.values if not math.isnan(value)]
    if values:
        assert min(low for _, low, _ in followed.spans(most) if not math.isnan(low)) == min(values)
        assert max(high for _, _, high in followed.spans(most) if not math.isnan(high)) == max(values)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 20)), min_size=1, max_size=5))
def test_attempts_replace_each_other_as_the_engines_rule_says(attempts: list[tuple[int, int]]) -> None:
    points: list[MetricPoint] = []
    for number, (first, count) in enumerate(attempts, 1):
        points += [point(step, number, number + step / 100) for step in range(first, first + count)]
    history = RunHistory(RunDirectory(Path("/nowhere")))
    for one in points:
        history.take(one)
    expected = newest_attempt_wins(points)
    assert list(history.loss.steps) == [one.step for one in expected]
    assert list(history.loss.values) == [one.loss for one in expected]
    assert list(history.lr["unet"].values) == [one.lr["unet"] for one in expected]


def test_a_resume_is_marked_where_it_took_over(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    writer = JsonLinesWriter(run.metrics)
    for one in (*(point(step, 1) for step in range(1, 27)), *(point(step, 2) for step in range(21, 30))):
        writer.write(one._asdict())
    history = RunHistory(run)
    assert history.poll()
    assert history.resumes == [20]
    assert list(history.loss.steps) == list(range(1, 30))
    assert not history.poll()
    writer.write(point(30, 2)._asdict())
    assert history.poll()
    assert history.loss.steps[-1] == 30


def test_a_file_that_is_replaced_begins_a_new_history(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    writer = JsonLinesWriter(run.metrics)
    for step in range(1, 30):
        writer.write(point(step, 1)._asdict())
    history = RunHistory(run)
    history.poll()
    writer.close()
    run.metrics.unlink()
    writer.write(point(1, 1, 0.25)._asdict())
    assert history.poll()
    assert list(history.loss.values) == [0.25]
