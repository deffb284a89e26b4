"""A run's loss in a dozen numbers: evenly through the file, however long or damaged it is."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint, MetricsLog
from sdxl_tui.fleet.runs import list_runs
from sdxl_tui.fleet.trends import PLACES, Trends, trend_of
from sdxl_tui.widgets.run_cells import BARS, trend_cell
from tests.sdxl_tui.app.run_field import open_workspace


def measured(folder: Path, losses: list[float | None]) -> RunDirectory:
    run = RunDirectory(folder)
    log = MetricsLog(run.metrics)
    for step, loss in enumerate(losses, 1):
        log.write(MetricPoint(step, 1, 1, float(step), loss, loss, {"unet": 1e-4}))
    log.close()
    return run


def test_a_falling_loss_falls_and_ends_with_the_last_one(tmp_path: Path) -> None:
    trend = trend_of(measured(tmp_path, [1000.0 - step for step in range(1000)]))
    assert len(trend) == PLACES and trend[-1] == 1.0
    assert list(trend) == sorted((loss for loss in trend if loss is not None), reverse=True)
    gaps = [before - after for before, after in itertools.pairwise(trend) if before and after]
    assert max(gaps) < 2 * min(gaps), "evenly"


def test_what_is_not_finite_is_not_there(tmp_path: Path) -> None:
    assert trend_of(measured(tmp_path, [None] * 50)) == (None,) * PLACES


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{", b"\xff" * 9000, b"[1]\n" * 50, b'{"loss_avg": "x"}\n' * 50, b"x" * 50_000]
)
def test_a_file_of_anything_is_no_harm(tmp_path: Path, content: bytes) -> None:
    run = RunDirectory(tmp_path)
    run.metrics.write_bytes(content)
    assert not any(trend_of(run))
    assert trend_of(RunDirectory(tmp_path / "gone")) == ()


def test_a_pipe_or_folder_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    os.mkfifo(run.metrics)
    assert trend_of(run) == ()
    run.metrics.unlink()
    run.metrics.mkdir()
    assert trend_of(run) == ()


def test_an_ended_run_is_read_once_and_one_that_trains_as_it_goes(tmp_path: Path) -> None:
    field = open_workspace(tmp_path / "ws")
    run = field.run("fox", step=20)
    measured(run.path, [0.5] * 20)
    trends, runs = Trends(), list_runs(field.workspace)
    first = trends.read(runs)[run.id]
    assert first[-1] == 0.5
    run.metrics.write_text("")
    assert trends.read(runs)[run.id] == first
    status = json.loads(run.status.read_text())
    run.status.write_text(json.dumps({**status, "step": 21}))
    assert trends.read(list_runs(field.workspace))[run.id] == ()


@settings(max_examples=60)
@given(st.lists(st.none() | st.floats(0, 10), max_size=PLACES), st.booleans())
def test_bars_are_as_many_as_values_and_the_highest_is_full(losses: list[float | None], alive: bool) -> None:
    cell = trend_cell(losses, alive)
    known = [loss for loss in losses if loss is not None]
    if len(known) < 2:
        assert cell == ()
        return
    ((bars, _),) = cell
    assert len(bars) == len(losses) and set(bars) <= set(BARS + " ")
    if max(known) > min(known):
        assert bars[losses.index(max(known))] == BARS[-1] and bars[losses.index(min(known))] == BARS[0]
