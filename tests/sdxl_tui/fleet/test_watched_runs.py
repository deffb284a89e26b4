"""Which runs of other trainers are found, what they are called, what they saved, and that looking touches nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from engine.run.liveness import RunState
from sdxl_tui.fleet import foreign_states
from sdxl_tui.fleet.foreign_states import add_folder, find_states
from sdxl_tui.fleet.runs import RunSummary, find_run
from sdxl_tui.fleet.watched.event_folder import run_name
from sdxl_tui.fleet.watched.record import FRESH_SECONDS, WatchedRunError
from sdxl_tui.fleet.watched.runs import WatchedRuns, find_watched, watched_runs
from sdxl_tui.fleet.watched.watch import WatchedWatch
from sdxl_tui.workspace import Workspace
from tests.engine.foreign.test_event_file import frame, scalar
from tests.sdxl_tui.watched_field import Training, aged, contents, empty_workspace, made_lora, made_state


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty one."""
    return empty_workspace(tmp_path / "ws")


@pytest.fixture
def kohya(tmp_path: Path) -> Path:
    """A folder to train in, with ``logs`` and ``output``."""
    (tmp_path / "kohya/output").mkdir(parents=True)
    return tmp_path / "kohya"


def only(workspace: Workspace) -> RunSummary:
    """The one watched run."""
    (run,) = watched_runs(workspace)
    return run


def test_a_run_is_summed_up_by_the_end_of_its_files(workspace: Workspace, kohya: Path) -> None:
    Training(kohya / "logs", "fox20240612103000").train(500).log(500, loss__validation__step_average=0.25).end()
    assert add_folder(workspace, kohya)
    before = contents(kohya)
    run = only(workspace)
    assert (run.id, run.name, run.state, run.alive) == ("fox-20240612-103000", "fox", RunState.WATCHED, False)
    assert (run.step, run.total_steps, run.share) == (500, 0, None)
    assert run.loss == pytest.approx(1 / 11)
    assert run.loss_avg == pytest.approx(1 / 11 + 0.01)
    assert run.lr == pytest.approx(1e-4)
    assert run.validation_loss == 0.25
    assert run.steps_per_second is not None and run.eta_seconds is None
    assert run.watched is not None and run.watched.shown == kohya
    assert run.moves(time.time()) and not run.moves(time.time() + FRESH_SECONDS + 60)
    assert contents(kohya) == before


def test_a_growing_run_is_read_again_and_a_still_one_is_not(workspace: Workspace, kohya: Path) -> None:
    training = Training(kohya / "logs").train(3)
    add_folder(workspace, kohya)
    runs = WatchedRuns(workspace)
    first = runs.look()
    assert runs.look() == first and runs.look()[0] is first[0]
    training.train(4)
    assert runs.look()[0].step == 7
    training.end()


def test_planned_steps_are_known_where_something_tells_them(workspace: Workspace, kohya: Path) -> None:
    Training(kohya / "logs", "20240612103000").train(20).settings(output_name="owl", max_train_steps=80).end()
    add_folder(workspace, kohya)
    run = only(workspace)
    assert (run.id, run.total_steps, run.share) == ("owl-20240612-103000", 80, 0.25)
    assert run.eta_seconds is not None and run.eta_seconds >= 0


def test_what_it_saved_is_told_by_metadata_and_by_time(workspace: Workspace, kohya: Path) -> None:
    now = time.time()
    older = Training(kohya / "logs", "owl20240612103000", began=int(now) - 5000).train(5).end()
    Training(kohya / "logs", "fox20240612113000", began=int(now) - 1000).train(20).end()
    aged(older, 4000)
    output = kohya / "output"
    fox = made_lora(output / "fox.safetensors", ss_training_started_at=now - 1100, ss_max_train_steps=40)
    owl = made_lora(output / "owl-step00000005.safetensors", ss_training_started_at=now - 5100, ss_max_train_steps=6)
    state = made_state(output / "owl-step00000005-state")
    stray = made_lora(output / "found.safetensors", ss_training_started_at=now - 90_000)
    unnamed = made_state(output / "elsewhere-state")
    for path, moment in ((fox, now), (owl, now - 4500), (state, now - 4400), (stray, now), (unnamed, now - 4300)):
        os.utime(path, (moment, moment))
    add_folder(workspace, kohya)
    runs = {run.name: run for run in watched_runs(workspace)}
    saved = {name: [file.path for file in run.watched.saved] for name, run in runs.items() if run.watched}
    assert saved == {"fox": [fox], "owl": [unnamed, state, owl]}
    assert (runs["fox"].total_steps, runs["owl"].total_steps) == (40, 6)


def test_logs_and_output_may_be_added_on_their_own(workspace: Workspace, kohya: Path) -> None:
    """Two trainings that were started at once, and cached their latents for longer or shorter, are told apart by name."""
    now = int(time.time())
    for name, began in (("fox", now - 100), ("owl", now - 110)):
        Training(kohya / "logs", f"{name}20240612103000", began=began).train(2).end()
        made_lora(kohya / f"output/{name}.safetensors", ss_training_started_at=now - 300, ss_max_train_steps=9)
        made_state(kohya / f"output/{name}-000001-state")
    add_folder(workspace, kohya / "logs")
    add_folder(workspace, kohya / "output")
    runs = {run.name: run for run in watched_runs(workspace)}
    saved = {name: {file.path.name for file in run.watched.saved} for name, run in runs.items() if run.watched}
    assert saved == {name: {f"{name}.safetensors", f"{name}-000001-state"} for name in ("fox", "owl")}
    assert {run.total_steps for run in runs.values()} == {9}


def test_a_folder_within_another_shows_nothing_twice(workspace: Workspace, kohya: Path) -> None:
    Training(kohya / "logs", "fox20240612103000").train(2).end()
    made_lora(kohya / "output/fox.safetensors", ss_training_started_at=time.time() - 5)
    for folder in (kohya, kohya / "logs", kohya / "output"):
        add_folder(workspace, folder)
    run = only(workspace)
    assert run.watched is not None and [file.path.name for file in run.watched.saved] == ["fox.safetensors"]


def test_two_runs_of_one_name_keep_their_ids(workspace: Workspace, kohya: Path) -> None:
    """The one that began first has the plain one, whenever the other comes."""
    Training(kohya / "a", "fox", began=2000).train(1).end()
    add_folder(workspace, kohya)
    first = only(workspace)
    Training(kohya / "b", "fox", began=3000).train(1).end()
    assert [run.id for run in watched_runs(workspace)] == ["fox-2", "fox"]
    assert watched_runs(workspace, {"fox"})[1].id == "fox-2"
    assert first.id == "fox"


@pytest.mark.parametrize(
    ("place", "output_name", "named"),
    [
        ("kohya/logs/20240612103000/network_train", "", ("kohya", "kohya-20240612-103000")),
        ("kohya/logs/20240612103000/network_train", "fox", ("fox", "fox-20240612-103000")),
        ("kohya/logs/fox20240612103000/lora_train", "", ("fox", "fox-20240612-103000")),
        ("kohya/logs/my fox_20240612103000/network_train", "", ("my-fox", "my-fox-20240612-103000")),
        ("onetrainer/tensorboard/2024-06-12_10-30-00", "", ("onetrainer", "onetrainer-20240612-103000")),
        ("logs/20240612103000/network_train", "", ("run", "run-20240612-103000")),
        ("kohya/logs/キツネ20240612103000/network_train", "", ("キツネ", "キツネ-20240612-103000")),
        ("x/\x1b]52;c;aa\x07-\x1b[31mred/network_train", "", ("red", "red")),
        ("x/../y", "", ("y", "y")),
    ],
)
def test_a_run_is_called_by_what_tells_of_it(place: str, output_name: str, named: tuple[str, str]) -> None:
    folder = Path("/data", os.path.normpath(place))
    assert run_name(folder, Path("/data", folder.parts[2]), output_name) == named


def test_the_settings_of_a_run_are_no_run(workspace: Workspace, kohya: Path) -> None:
    folder = Training(kohya / "logs").train(1).settings(max_train_steps=1).end()
    assert len(list(folder.glob("*/events*"))) == 1
    add_folder(workspace, kohya)
    assert only(workspace).directory.path == folder


def test_looking_ends_at_depths_links_and_files_of_other_kinds(tmp_path: Path, kohya: Path) -> None:
    event = scalar("loss", 1.0, 1)
    for place in ("a/b/c/d", "a/b/c/d/e"):
        (kohya / place).mkdir(parents=True)
        (kohya / place / "events.out.tfevents.1.h").write_bytes(event)
    (kohya / "loop").symlink_to(kohya)
    (kohya / "link").mkdir()
    (kohya / "link/events.out.tfevents.1.h").symlink_to(kohya / "a/b/c/d/events.out.tfevents.1.h")
    (kohya / "pipe").mkdir()
    os.mkfifo(kohya / "pipe/events.out.tfevents.1.h")
    (kohya / "other").mkdir()
    (kohya / "other/events.out.tfevents.x").touch()
    assert find_states(kohya).events == (kohya / "a/b/c/d",)
    assert find_states(kohya).counted == "1 run"


def test_empty_garbled_and_vanished_runs_are_rows(workspace: Workspace, kohya: Path) -> None:
    for name, data in (("empty", b""), ("garbled", b"\xff" * 5000), ("fine", scalar("loss", 1.0, 3))):
        (kohya / "logs" / name).mkdir(parents=True)
        (kohya / "logs" / name / "events.out.tfevents.1.h").write_bytes(data)
    add_folder(workspace, kohya)
    shelf = WatchedRuns(workspace)
    runs = {run.name: run for run in shelf.look()}
    assert {name: run.step for name, run in runs.items()} == {"empty": 0, "garbled": 0, "fine": 3}
    assert runs["empty"].reason == "nothing is measured yet"
    (kohya / "logs/fine/events.out.tfevents.1.h").unlink()
    shelf.look_again()
    assert {run.name for run in shelf.look()} == {"empty", "garbled"}
    for path in (kohya / "logs").rglob("*"):
        if path.is_file():
            path.unlink()
    shelf.look_again()
    assert shelf.look() == ()


def test_pictures_at_the_end_hide_no_figures(workspace: Workspace, kohya: Path) -> None:
    """Samples are logged as pictures; what is measured stands before them."""
    path = kohya / "logs/fox/events.out.tfevents.1.h"
    path.parent.mkdir(parents=True)
    path.write_bytes(scalar("loss", 0.5, 7) + b"".join(frame(os.urandom(400_000)) for _ in range(3)))
    add_folder(workspace, kohya)
    assert (only(workspace).step, only(workspace).loss) == (7, 0.5)


def test_our_own_event_files_are_no_run_of_others(workspace: Workspace, tmp_path: Path) -> None:
    folder = workspace.runs / "fox-20261124-100000"
    Training(folder.parent, folder.name, tracker="tensorboard").train(1).end()
    (folder / "run.json").write_text("{}")
    add_folder(workspace, tmp_path)
    assert watched_runs(workspace) == ()


def test_a_run_of_others_is_found_by_its_beginning_and_refused_where_ours_are_meant(
    workspace: Workspace, kohya: Path
) -> None:
    Training(kohya / "logs", "fox20240612103000").train(1).end()
    add_folder(workspace, kohya)
    found = find_watched(workspace, "fox")
    assert found is not None and found.id == "fox-20240612-103000"
    assert find_watched(workspace, "owl") is None
    with pytest.raises(WatchedRunError, match="another trainer's run, only watched") as error:
        find_run(workspace, "fox-2024")
    assert "sdxl-tui continue FILE" in str(error.value)


def test_two_hundred_folders_cost_little_once_seen(workspace: Workspace, tmp_path: Path) -> None:
    """Old runs are not looked at again between two looks through the folders."""
    records = b"".join(scalar("loss", 1.0, step) for step in range(1, 300))
    for number in range(200):
        folder = tmp_path / f"box/{number}"
        folder.mkdir(parents=True)
        path = folder / f"events.out.tfevents.{number}.h"
        path.write_bytes(records)
        os.utime(path, (1e9 + number, 1e9 + number))
    for number in range(200):
        add_folder(workspace, tmp_path / f"box/{number}")
    shelf = WatchedRuns(workspace)
    assert len(shelf.look()) == 200
    began = time.perf_counter()
    assert len(shelf.look()) == 200
    assert time.perf_counter() - began < 0.2


def test_names_that_nobody_understands_cost_little_and_tell_the_step(workspace: Workspace, kohya: Path) -> None:
    """As Lightning names them, in a file of megabytes; a loss that is found later is what tells of steps."""
    path = kohya / "logs/fox/events.out.tfevents.1.h"
    path.parent.mkdir(parents=True)
    record = [scalar("train_loss_step", 0.5, step, time=1e9 + step / 4) for step in range(1, 10_001)]
    path.write_bytes(b"".join(record) * 4)
    add_folder(workspace, kohya)
    runs = WatchedRuns(workspace)
    began = time.process_time()
    (run,) = runs.look()
    assert time.process_time() - began < 0.3
    assert (run.step, run.loss, run.reason) == (10_000, None, "")
    assert run.steps_per_second == pytest.approx(4.0)
    with path.open("ab") as file:
        file.write(scalar("loss", 0.5, 70))
    assert runs.look()[0].step == 70
    with path.open("ab") as file:
        file.write(b"".join(record))
    assert runs.look()[0].step == 70


def test_looking_that_takes_the_processor_is_done_less_often(
    workspace: Workspace, kohya: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for our own runs: a fortieth of a core at most."""
    waited: list[float] = []

    def look(runs: WatchedRuns, taken: object = ()) -> tuple[RunSummary, ...]:
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass
        return ()

    add_folder(workspace, kohya)
    monkeypatch.setattr(WatchedRuns, "look", look)
    watch = WatchedWatch(workspace, lambda _: None, lambda _: None, lambda: ())

    def wait(seconds: float) -> None:
        waited.append(seconds)
        watch.stop()

    monkeypatch.setattr(watch._wake, "wait", wait)
    watch.start()
    watch._thread.join(10)
    assert len(waited) == 1 and 8.0 <= waited[0] <= 15.0


def test_a_run_of_the_future_does_not_move_for_ever(workspace: Workspace, kohya: Path) -> None:
    """The clock of another machine, or a wrong one."""
    folder = Training(kohya / "logs", "fox").train(2).end()
    aged(folder, -3600)
    add_folder(workspace, kohya)
    assert not only(workspace).moves(time.time())
    assert only(workspace).moves(time.time() + 3600)


def test_of_too_many_runs_the_newest_are_shown(kohya: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By when they wrote, whatever they are called; the newest file of each counts."""
    monkeypatch.setattr(foreign_states, "SHOWN", 2)
    for name, written in (("a", 3e8), ("b", 1e8), ("c", 2e8), ("d", 1.5e8)):
        (kohya / name).mkdir()
        for began, moment in ((1, 1e7), (2, written)):
            path = kohya / name / f"events.out.tfevents.{began}.h"
            path.write_bytes(scalar("loss", 1.0, 1))
            os.utime(path, (moment, moment))
    found = find_states(kohya)
    assert found.events == (kohya / "a", kohya / "c")
    assert found.problem == "4 runs found: only the newest 2 are shown"
