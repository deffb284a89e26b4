"""The curves of a run: the newest attempt wins, long ones are grouped without losing an extreme, and following is cheap."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.profile.load import parse_profile, profile_to_toml
from engine.run.json_lines import JsonLinesWriter
from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint, MetricsLog, newest_attempt_wins
from sdxl_tui.fleet import run_history, run_page
from sdxl_tui.fleet.run_history import Curve, RunHistory
from sdxl_tui.fleet.run_page import RunCurves
from tests.sdxl_tui.app.run_field import PROFILE


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


def test_of_a_long_run_an_overview_stands_until_all_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDirectory(tmp_path / "fox-20261124-100000")
    run.path.mkdir()
    log = MetricsLog(run.metrics)
    for step in range(1, 3001):
        log.write(point(step, 1, 1.0))
    log.write(point(2001, 2, 2.0))
    for step in range(2002, 4001):
        log.write(point(step, 2, 2.0))
    log.close()
    monkeypatch.setattr(run_history, "OVERVIEW_BYTES", 10_000)
    monkeypatch.setattr(run_history, "OVERVIEW_POINTS", 100)
    monkeypatch.setattr(run_page, "SECONDS_PER_LOOK", 0.0)
    curves = RunCurves(run)
    assert "history" in curves.poll()
    seen = curves.history.loss
    assert 40 < len(seen) <= 101
    behind = curves.caught_up
    assert not behind
    assert seen.steps[0] < 60 and seen.steps[-1] > 3900
    wrong = [step for step, loss in zip(seen.steps, seen.values, strict=True) if (loss == 2.0) != (step > 2000)]
    assert len(wrong) <= 1  # of what the second attempt trained anew, before its first point that was looked at
    while not curves.caught_up:
        curves.poll()
    assert list(curves.history.loss.steps) == list(range(1, 4001))
    assert curves.history.resumes == [2000]
    log = MetricsLog(run.metrics)
    log.write(point(4001, 2, 2.0))
    log.close()
    assert "history" in curves.poll()
    assert curves.history.loss.steps[-1] == 4001


def test_a_short_or_unreadable_history_has_no_overview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDirectory(tmp_path / "fox-20261124-100000")
    assert RunHistory(run).overview() is None
    run.path.mkdir()
    run.metrics.write_bytes(b"\x00" * 50_000)
    assert RunHistory(run).overview() is None
    monkeypatch.setattr(run_history, "OVERVIEW_BYTES", 10_000)
    assert RunHistory(run).overview() is None
    run.metrics.write_bytes(b"not json\n" * 5_000)
    assert RunHistory(run).overview() is None


def test_the_plan_is_of_what_the_newest_start_trains(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "runs" / "demo")
    run.path.mkdir(parents=True)
    profile = parse_profile(PROFILE.format(name="demo", steps=40, warmup=0), folder=tmp_path).profile
    run.profile.write_text(profile_to_toml(profile))
    curves = RunCurves(run)
    assert "plan" in curves.poll() and curves.plan is not None and curves.plan.schedule.total_steps == 40
    run.attempt(1).path.mkdir(parents=True)
    assert "plan" not in curves.poll()
    edited = parse_profile(PROFILE.format(name="demo", steps=70, warmup=0), folder=tmp_path).profile
    run.attempt(2).path.mkdir(parents=True)
    run.attempt(2).profile.write_text(profile_to_toml(edited))
    assert "plan" in curves.poll()
    assert curves.plan.schedule.total_steps == 70
    assert "plan" not in curves.poll()
