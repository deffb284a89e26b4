"""The curves of runs of other trainers: what they write is what is drawn, through restarts, gaps and damage."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.util.tensor_util import make_tensor_proto

from sdxl_tui.fleet.across import Across, x_of
from sdxl_tui.fleet.run_history import Curve
from sdxl_tui.fleet.watched import history as history_module
from sdxl_tui.fleet.watched.history import AVERAGED, WatchedHistory, watched_trend
from sdxl_tui.fleet.watched.tags import Meaning, understand
from sdxl_tui.widgets.axis import decimal_text
from sdxl_tui.widgets.chart import LineChart
from sdxl_tui.widgets.run_charts import Measured, next_measured, show_measured, show_rate, x_axis
from tests.engine.foreign.test_event_file import frame, scalar
from tests.sdxl_tui.watched_field import Training

HOSTILE = "\x1b]52;c;cm0gLXJm\x07loss\x1b[31m\u202eevil"
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder: Path, *, brief: bool = False) -> WatchedHistory:
    """All that is there."""
    return read_on(WatchedHistory(folder, brief=brief))


def read_on(history: WatchedHistory) -> WatchedHistory:
    """What came since."""
    history.poll()
    while not history.caught_up:
        history.poll()
    return history


def points(curve: Curve) -> list[tuple[int, float]]:
    """(step, value), NaN as -1 so that lists can be compared."""
    return [(step, -1.0 if math.isnan(value) else value) for step, value in zip(curve.steps, curve.values, strict=True)]


def drawn(history: WatchedHistory) -> str:
    """The text of both charts."""
    charts = LineChart(y_text=decimal_text), LineChart(y_text=decimal_text)
    show_measured(charts[0], history, x_axis(history, Across.STEP), Measured.LOSS)
    show_rate(charts[1], history, None, 0, x_axis(history, Across.STEP))
    return "\n".join(str(row) for chart in charts for row in chart.rows_for(60, 12))


def event_file(folder: Path, began: int, records: Sequence[bytes]) -> Path:
    """An event file of these framed records."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events.out.tfevents.{began}.host.1.0"
    path.write_bytes(b"".join(records))
    return path


def steps(first: int, last: int, value: float, *, tag: str = "loss/current") -> list[bytes]:
    """One scalar over steps, a second each."""
    return [scalar(tag, value, step, time=1000.0 + step) for step in range(first, last + 1)]


def test_a_run_of_sd_scripts(tmp_path: Path) -> None:
    training = Training(tmp_path).train(40).log(1, loss__epoch_average=0.5).train(40, max_norm__keys_scaled=3.0)
    training.log(80, loss__validation__step_average=0.25).log(2, loss__epoch_average=0.4)
    history = read(training.end())
    assert list(history.loss.steps) == list(range(1, 81))
    assert history.loss_avg.values[79] == pytest.approx(history.loss.values[79] + 0.01, rel=1e-5)
    assert list(history.lr) == ["unet", "textencoder"]
    assert points(history.validation) == [(80, 0.25)]
    assert list(history.others["loss/epoch_average"].steps) == [40, 80]
    assert points(history.others["max_norm/keys_scaled"])[0] == (41, 3.0)
    assert history.last is not None
    assert history.last.step == 80 and history.last.lr["unet"] == pytest.approx(1e-4)
    assert history.epoch_starts == [(0, 1), (40, 2), (80, 3)]
    assert x_of(history, Across.EPOCH)(60) == 1.5
    assert history.damaged == 0 and not history.problem


def test_a_file_that_grows_is_followed(tmp_path: Path) -> None:
    training = Training(tmp_path)
    history = WatchedHistory(training.folder)
    looks = []
    for count in (0, 3, 0, 2):
        training.train(count)
        looks.append((history.poll(), len(history.loss), history.last.step if history.last else None))
    assert looks == [(False, 0, None), (True, 3, 3), (False, 3, 3), (True, 5, 5)]
    training.end()


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 30)), min_size=1, max_size=5))
@QUICK
def test_what_is_trained_anew_replaces_what_stood_there(tmp_path: Path, attempts: list[tuple[int, int]]) -> None:
    """Each file begins at some step; from there on nothing older counts, whatever was logged seldom among it."""
    folder = tmp_path / os.urandom(8).hex()
    expected: dict[int, float] = {}
    rare: dict[int, float] = {}
    for number, (first, count) in enumerate(attempts):
        value = float(number)
        records = steps(first, first + count - 1, value)
        records.append(scalar("norm/weights", value, first + count - 1))
        event_file(folder, 1000 + number, records)
        expected = {step: old for step, old in expected.items() if step < first}
        rare = {step: old for step, old in rare.items() if step < first}
        expected |= dict.fromkeys(range(first, first + count), value)
        rare[first + count - 1] = value
    history = read(folder)
    assert points(history.loss) == sorted(expected.items())
    assert points(history.others["norm/weights"]) == sorted(rare.items())
    assert len(history.resumes) <= len(attempts) - 1
    assert history.last is not None and history.last.step == max(expected)


def test_epochs_are_known_after_a_resume_at_the_end_of_one(tmp_path: Path) -> None:
    """sd-scripts saves its state there; and one that ended within an epoch begins it again."""

    def written(number: int, first: int) -> list[bytes]:
        """Epochs of twenty steps."""
        records = []
        for step in range(first, 20 * number + 1):
            records += steps(step, step, 1.0)
            if step % 20 == 0:
                records.append(scalar("loss/epoch_average", 1.0, step // 20))
        return records

    event_file(tmp_path, 1, written(2, 1))
    event_file(tmp_path, 2, [*written(3, 41), *steps(61, 64, 1.0)])
    history = read(tmp_path)
    assert history.epoch_starts == [(0, 1), (20, 2), (40, 3), (60, 4)]
    assert x_of(history, Across.EPOCH)(50) == 2.5
    event_file(tmp_path, 3, written(3, 21))
    assert read_on(history).epoch_starts == [(0, 1), (20, 2), (40, 3), (60, 4)]
    event_file(tmp_path, 4, written(1, 1))
    assert read_on(history).epoch_starts == [(0, 1), (20, 2)]


ORDERS = st.permutations(["loss/current", "lr/unet", "norm/avg_grad_norm", "weights"])


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9), ORDERS), min_size=1, max_size=5), st.booleans())
@QUICK
def test_nothing_that_was_written_anew_is_lost_whatever_is_written_first(
    tmp_path: Path, attempts: list[tuple[int, int, list[str]]], in_one_file: bool
) -> None:
    """Within a file and from file to file: every scalar is written with every step."""
    folder = tmp_path / os.urandom(8).hex()
    expected: dict[int, float] = {}
    records: list[list[bytes]] = []
    for number, (first, count, order) in enumerate(attempts):
        taken = range(first, first + count)
        records.append([scalar(tag, float(number), step) for step in taken for tag in order])
        expected = {step: old for step, old in expected.items() if step < first} | dict.fromkeys(taken, float(number))
    if in_one_file:
        records = [[record for attempt in records for record in attempt]]
    for number, one in enumerate(records):
        event_file(folder, 1000 + number, one)
    history = read(folder)
    for curve in (history.loss, history.lr["unet"], history.grad_norm, history.others["weights"]):
        assert points(curve) == sorted(expected.items())


def test_a_loss_that_goes_to_and_fro_is_read_in_time(tmp_path: Path) -> None:
    """Every second record goes back by a step."""
    places = [step for back in range(1, 15_001) for step in (back + 1, back)]
    records = [scalar("loss/current", 1.0, step) for step in places]
    folder = event_file(tmp_path, 1, records).parent
    began = time.process_time()
    history = read(folder)
    assert time.process_time() - began < 1.8
    assert len(history.resumes) == history_module.RESUMES and history.is_cut
    assert history.resumes == sorted(history.resumes) and history.resumes[-1] == 14_999


def test_steps_are_known_by_scalars_that_nobody_understands(tmp_path: Path) -> None:
    """As Lightning names them; once a loss is written it is what tells of steps."""
    records = []
    for step in range(49, 1000, 50):
        records += [
            scalar(name, value, step, time=1000.0 + step)
            for name, value in (("train_loss_step", 0.5), ("epoch", float(step // 500 + 1)))
        ]
        if step % 500 == 499:
            records.append(scalar("train_loss_epoch", 0.5, step))
    folder = event_file(tmp_path, 1, records).parent
    history = read(folder)
    assert history.last is not None and (history.last.step, history.last.epoch, history.last.loss) == (999, 3, None)
    assert len(history.others["train_loss_step"]) == 20
    assert history.seconds.values[-1] == pytest.approx(950)
    assert "No scalar of it is known as the loss" in drawn(history) and "known as the rate" in drawn(history)
    event_file(folder, 2, steps(7, 9, 1.0))
    history = read_on(history)
    assert "No scalar of it is known as the loss" not in drawn(history)
    assert history.last is not None and (history.last.step, history.last.loss) == (9, 1.0)
    assert list(history.seconds.steps) == [7, 8, 9]


def test_a_writer_that_says_from_where_it_begins_anew(tmp_path: Path) -> None:
    """TensorBoard's purge, within a file."""
    start = frame(Event(wall_time=9.0, step=6, session_log=SessionLog(status=SessionLog.START)).SerializeToString())
    event_file(tmp_path, 1, [*steps(1, 10, 1.0), start, *steps(6, 7, 2.0)])
    history = read(tmp_path)
    assert points(history.loss) == [*((step, 1.0) for step in range(1, 6)), (6, 2.0), (7, 2.0)]
    assert history.resumes == [5]


def test_a_file_read_to_its_end_is_left_for_the_next(tmp_path: Path) -> None:
    event_file(tmp_path, 1, steps(1, 5, 1.0))
    history = read(tmp_path)
    event_file(tmp_path, 2, [])  # a writer was opened and has nothing to say yet
    assert not read_on(history).resumes
    event_file(tmp_path, 2, steps(4, 6, 2.0))
    assert points(read_on(history).loss) == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0), (6, 2.0)]
    assert history.resumes == [3]


def test_a_file_that_was_replaced_is_begun_anew(tmp_path: Path) -> None:
    path = event_file(tmp_path, 1, steps(1, 9, 1.0))
    history = read(tmp_path)
    path.write_bytes(b"".join(steps(1, 2, 3.0)))
    assert read_on(history).poll() in {True, False}
    assert points(history.loss) == [(1, 3.0), (2, 3.0)]


def test_a_folder_that_goes_keeps_what_was_read(tmp_path: Path) -> None:
    path = event_file(tmp_path / "run", 1, steps(1, 9, 1.0))
    history = read(tmp_path / "run")
    path.unlink()
    path.parent.rmdir()
    assert not history.poll()
    assert history.problem and len(history.loss) == 9


def test_damage_and_a_torn_end_cost_what_they_hit(tmp_path: Path) -> None:
    records = steps(1, 9, 1.0)
    records[4] = records[4][:-6] + b"\xff" + records[4][-5:]
    path = event_file(tmp_path, 1, [*records, steps(10, 10, 1.0)[0][:-3]])
    history = read(tmp_path)
    assert list(history.loss.steps) == [1, 2, 3, 4, 6, 7, 8, 9]
    assert history.damaged == 1
    with path.open("ab") as file:
        file.write(steps(10, 10, 1.0)[0][-3:])
    assert read_on(history).loss.steps[-1] == 10


def test_values_that_are_not_finite_are_not_measured(tmp_path: Path) -> None:
    records = [scalar("loss/current", value, step) for step, value in enumerate((1.0, math.nan, math.inf, 2.0), 1)]
    history = read(event_file(tmp_path, 1, records).parent)
    assert points(history.loss) == [(1, 1.0), (2, -1.0), (3, -1.0), (4, 2.0)]
    assert history.loss_avg.values[-1] == 1.5


def test_an_average_is_taken_where_none_is_written(tmp_path: Path) -> None:
    records = [scalar("loss", float(step), step) for step in range(1, 251)]
    history = read(event_file(tmp_path, 1, records).parent)
    assert history.loss_avg.values[0] == 1.0
    assert history.loss_avg.values[249] == pytest.approx(sum(range(151, 251)) / AVERAGED)


def test_a_rate_with_the_factor_of_an_adaptive_optimizer_is_the_rate(tmp_path: Path) -> None:
    records = []
    for step in (1, 2):
        records += [scalar("lr/unet", 1.0, step), scalar("lr/d*lr/unet", 1e-4, step)]
    history = read(event_file(tmp_path, 1, records).parent)
    assert list(history.lr["unet"].values) == pytest.approx([1e-4, 1e-4])
    assert points(history.others["lr/unet"]) == [(1, 1.0), (2, 1.0)]


def test_rates_that_lag_behind_the_loss_cut_nothing(tmp_path: Path) -> None:
    records = []
    for step in range(1, 20):
        records += [scalar("loss", 1.0, step), scalar("lr", 1e-4, step - 1)]
    history = read(event_file(tmp_path, 1, records).parent)
    assert len(history.loss) == 19 and len(history.lr["lr"]) == 19
    assert not history.resumes


def test_hostile_names_are_shown_clean(tmp_path: Path) -> None:
    records = [scalar("loss", 1.0, 1), scalar(HOSTILE, 1.0, 1), scalar("lr/" + HOSTILE, 1.0, 1)]
    history = read(event_file(tmp_path, 1, records).parent)
    for name in (*history.others, *history.lr):
        assert name.isprintable() and "evil" in name


NUMBERS = st.floats() | st.sampled_from([1e308, -1e308, 1e-308, 3e38])
MOMENTS = st.floats() | st.floats(1.7e9, 1.8e9)
NAMES = st.sampled_from(
    ["loss/current", "loss/average", "lr/unet", "lr/d*lr/unet", "epoch", "loss/epoch_average", "loss/validation", "x"]
)


@given(st.lists(st.tuples(NAMES, st.integers(-(2**63), 2**63 - 1) | st.integers(0, 50), NUMBERS, MOMENTS), max_size=40))
@QUICK
def test_absurd_steps_times_and_numbers_can_be_drawn(
    tmp_path: Path, values: list[tuple[str, int, float, float]]
) -> None:
    """On every axis, as every curve; what is not measured is not drawn, and no place on the axis is lost."""
    records = []
    for tag, step, value, moment in values:
        tensor = make_tensor_proto(np.float64(value))
        summary = Summary(value=[Summary.Value(tag=tag, tensor=tensor)])
        records.append(frame(Event(wall_time=moment, step=step, summary=summary).SerializeToString()))
    folder = tmp_path / os.urandom(8).hex()
    event_file(folder, 1, records)
    history = read(folder)
    chart = LineChart(y_text=decimal_text)
    what: str = Measured.LOSS
    for across in Across:
        for _ in range(len(history.others) + 4):
            show_measured(chart, history, x_axis(history, across), what)
            assert chart.rows_for(60, 12)
            what = next_measured(what, history)
        show_rate(chart, history, None, 0, x_axis(history, across))
        assert chart.rows_for(60, 12)
    for curve in (history.loss, history.loss_avg, history.seconds, *history.lr.values(), *history.others.values()):
        assert all(math.isfinite(value) or math.isnan(value) for value in curve.values)
        assert list(curve.steps) == sorted(set(curve.steps))


def test_ten_thousand_names_do_not_fill_the_memory(tmp_path: Path) -> None:
    records = [scalar(f"tag {number}", 1.0, 1) for number in range(1000)] + [scalar("loss", 1.0, 1)]
    history = read(event_file(tmp_path, 1, records).parent)
    assert len(history.others) == history_module.SCALARS and history.is_cut
    assert len(history.loss) == 1


def test_a_brief_history_is_losses_and_rates(tmp_path: Path) -> None:
    training = Training(tmp_path).train(5, max_norm__keys_scaled=1.0).log(5, loss__validation__step_average=0.5)
    history = read(training.end(), brief=True)
    assert len(history.loss) == 5 and len(history.lr) == 2 and len(history.validation) == 1
    assert not history.others and not len(history.seconds)


def test_time_is_that_of_training(tmp_path: Path) -> None:
    """What lies between two files does not count."""
    event_file(tmp_path, 1, steps(1, 11, 1.0))
    event_file(tmp_path, 2, [scalar("loss/current", 1.0, step, time=90_000.0 + 2 * step) for step in range(12, 22)])
    history = read(tmp_path)
    assert history.seconds.values[-1] == pytest.approx(10 + 9 * 2)
    assert x_of(history, Across.TIME)(11) == pytest.approx(10)


def test_everything_written_can_be_looked_at(tmp_path: Path) -> None:
    history = read(Training(tmp_path).train(3, norm__avg_grad_norm=2.0, max_norm__keys_scaled=1.0).end())
    seen, what = [], next_measured(Measured.LOSS, history)
    while what != Measured.LOSS:
        seen.append(what)
        what = next_measured(what, history)
    assert seen == [Measured.GRAD_NORM, Measured.SPEED, "max_norm/keys_scaled"]


def test_a_long_run_is_drawn_at_once_and_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "OVERVIEW_BYTES", 100_000)
    records = []
    for step in range(1, 6001):
        records += [scalar("loss/current", 1.0 / step, step), scalar("loss/average", 2.0 / step, step)]
    folder = event_file(tmp_path, 1, records).parent
    overview = WatchedHistory(folder).overview()
    assert overview is not None and overview.last is not None
    assert overview.last.step > 5900 and 400 < len(overview.loss) <= 6000
    whole = read(folder)
    known = dict(points(whole.loss))
    assert all(known[step] == value for step, value in points(overview.loss))
    monkeypatch.setattr(history_module, "OVERVIEW_BYTES", 10_000_000)
    assert WatchedHistory(folder).overview() is None


def test_a_trend_is_read_at_a_dozen_places(tmp_path: Path) -> None:
    records = [scalar("loss/average", 1.0 - step / 5000, step) for step in range(1, 4001)]
    path = event_file(tmp_path, 1, records)
    began = time.perf_counter()
    trend = watched_trend([path], 12)
    assert time.perf_counter() - began < 1.0
    assert len(trend) == 12 and None not in trend
    assert list(trend) == sorted((value for value in trend if value is not None), reverse=True)
    assert watched_trend([tmp_path / "gone"], 12) == ()


@pytest.mark.parametrize(
    ("name", "meaning", "group"),
    [
        ("loss/current", Meaning.LOSS, ""),
        ("loss/train_step", Meaning.LOSS, ""),
        ("train_loss", Meaning.LOSS, ""),
        ("loss/average", Meaning.AVERAGE, ""),
        ("smooth_loss/train_step", Meaning.AVERAGE, ""),
        ("loss/epoch_average", Meaning.OTHER, ""),
        ("loss/validation/epoch_average", Meaning.VALIDATION, ""),
        ("lr", Meaning.RATE, "lr"),
        ("lr/d*lr/unet", Meaning.RATE, "unet"),
        ("lr/group0", Meaning.RATE, "group0"),
        ("learning_rate", Meaning.RATE, "lr"),
        ("norm/avg_grad_norm", Meaning.GRAD_NORM, ""),
        ("max_norm/max_key_norm", Meaning.OTHER, ""),
        ("epoch", Meaning.EPOCH, ""),
        ("lrx/unet", Meaning.OTHER, ""),
    ],
)
def test_names_are_understood(name: str, meaning: Meaning, group: str) -> None:
    tag = understand(name)
    assert (tag.meaning, tag.group) == (meaning, group)
