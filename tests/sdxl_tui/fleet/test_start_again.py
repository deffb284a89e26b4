"""Starting a run that has no checkpoint from its first step: edits are applied and told, and both commands name each other."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.profile.load import load_profile, read_snapshot
from engine.profile.shipped import shipped_profiles
from engine.run.errors import RunBusy, RunError
from engine.run.layout import RunDirectory
from engine.run.liveness import assess
from sdxl_tui.cli.entry import main
from sdxl_tui.fleet import launch
from sdxl_tui.fleet.queue.chains import begin
from sdxl_tui.fleet.queue.changes import Turn
from sdxl_tui.fleet.start_again import plan_start_again
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.fleet.stand_in import pids, standing_in


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = Workspace(tmp_path / "ws")
    found.create()
    shipped = next(path for path in shipped_profiles() if path.name == "demo.toml")
    (found.profiles / "mine.toml").write_text(shipped.read_text())
    with standing_in(monkeypatch, found):
        yield found


@pytest.fixture
def killed(workspace: Workspace) -> RunDirectory:
    """A run that was launched with another number of steps, and killed before its first checkpoint."""
    loaded = load_profile(workspace.profiles / "mine.toml", ("training.steps=40",))
    run = launch.launch(workspace, loaded)
    os.kill(pids(run)[0], signal.SIGKILL)
    launch.wait(run, 10)
    return run


def edit(workspace: Workspace, old: str, new: str) -> None:
    path = workspace.profiles / "mine.toml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_without_edits_it_trains_what_it_trained(killed: RunDirectory) -> None:
    before = read_snapshot(killed.latest_profile)
    plan = plan_start_again(killed)
    assert (plan.edits, plan.profile, plan.remark, plan.kept) == ((), None, "", ())
    assert plan.start() == 2
    assert assess(killed).alive
    assert read_snapshot(killed.latest_profile) == before and before.training.steps == 40
    with pytest.raises(RunBusy, match="is running"):
        plan_start_again(killed)


def test_an_edit_is_told_and_trained_together_with_what_the_launch_had_set(
    workspace: Workspace, killed: RunDirectory
) -> None:
    edit(workspace, "lr = 2e-3", "lr = 1e-3")
    plan = plan_start_again(killed)
    assert plan.edits_text == "optimizer.lr: 2.00e-3 → 1.00e-3"
    plan.start()
    trained = read_snapshot(killed.latest_profile)
    assert (trained.optimizer.lr, trained.training.steps) == (1e-3, 40)
    assert read_snapshot(killed.profile).optimizer.lr == 2e-3, "the launch's record stays"


def test_an_edit_of_what_the_launch_had_set_is_told_not_ignored_in_silence(
    workspace: Workspace, killed: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(workspace, "steps = 250", "steps = 77")
    told = "training.steps is 77 in mine.toml; the launch's --set training.steps=40 is kept"
    plan = plan_start_again(killed)
    assert (plan.edits, plan.kept) == ((), (told,))
    assert main(["--workspace", str(workspace.path), "start", killed.id]) == 0
    assert f"Note: {told}." in capsys.readouterr().err
    assert read_snapshot(killed.latest_profile).training.steps == 40


def test_what_the_file_says_alike_or_not_at_all_is_not_told(workspace: Workspace, killed: RunDirectory) -> None:
    edit(workspace, "steps = 250", "steps = 40")
    assert plan_start_again(killed).kept == ()
    edit(workspace, "steps = 40", "")
    assert plan_start_again(killed).kept == ()


def test_a_problem_of_what_the_launch_had_set_is_told(workspace: Workspace, killed: RunDirectory) -> None:
    edit(workspace, "steps = 250", "steps = -7")
    (told,) = plan_start_again(killed).kept
    assert told.startswith("training.steps has a problem in mine.toml: it must be")
    assert told.endswith("; the launch's --set training.steps=40 is kept")


def test_as_launched_looks_at_no_edit_not_even_a_broken_one(workspace: Workspace, killed: RunDirectory) -> None:
    edit(workspace, "lr = 2e-3", "lr = 'much'")
    with pytest.raises(UserError, match="has problems now") as error:
        plan_start_again(killed)
    assert error.value.hint is not None and "--as-launched" in error.value.hint
    assert plan_start_again(killed, as_launched=True).trained.optimizer.lr == 2e-3


def test_as_launched_sheds_a_bad_edit_that_a_start_had_applied(
    workspace: Workspace, killed: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(workspace, "lr = 2e-3", "lr = 9e-3")
    plan_start_again(killed).start()
    os.kill(pids(killed, 2)[0], signal.SIGKILL)
    launch.wait(killed, 10)
    assert read_snapshot(killed.latest_profile).optimizer.lr == 9e-3
    assert main(["--workspace", str(workspace.path), "start", killed.id, "--as-launched"]) == 0
    said = capsys.readouterr().err
    assert "taken back (as launched):\n  optimizer.lr: 9.00e-3 → 2.00e-3\n" in said and "base LR 2.00e-3" in said
    assert read_snapshot(killed.latest_profile) == read_snapshot(killed.profile)


STAGES = """
[[stages]]
name = "rough"
steps = 20
schedule = "constant"

[[stages]]
name = "fine"
steps = 10
lr = 1e-3
keep = "state"
"""


@pytest.fixture
def second(workspace: Workspace) -> RunDirectory:
    """A run of a second stage that begins with the state of the first, which waits for that."""
    source = workspace.profiles / "mine.toml"
    source.write_text(source.read_text() + STAGES)
    return begin(workspace, load_profile(source), Turn(held=True))[1]


def test_a_stage_takes_the_edits_that_fit_the_state_it_begins_with(workspace: Workspace, second: RunDirectory) -> None:
    assert plan_start_again(second).edits == ()
    edit(workspace, "lr = 1e-3", "lr = 5e-4")
    assert plan_start_again(second).edits_text == "optimizer.lr: 1.00e-3 → 5.00e-4"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rank = 16", "rank = 4", r"network.rank \(the optimizer's state would not fit\)"),
        (
            'keep = "state"',
            'keep = "weights"',
            r"stage 2 of mine.toml begins with the weights alone .* with the state$",
        ),
    ],
)
def test_a_stage_is_not_started_with_what_its_beginning_cannot_take(
    workspace: Workspace, second: RunDirectory, old: str, new: str, told: str
) -> None:
    edit(workspace, old, new)
    with pytest.raises(UserError) as caught:
        plan_start_again(second)
    assert re.search(told, caught.value.what)
    hint = caught.value.hint or ""
    assert f"launch {workspace.profiles / 'mine.toml'}" in hint and "--as-launched" in hint
    assert plan_start_again(second, as_launched=True).trained == read_snapshot(second.profile)


def test_the_queue_takes_no_run_whose_profile_was_edited_without_a_word(
    workspace: Workspace, killed: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    add = ["--workspace", str(workspace.path), "queue", "add", killed.id]
    edit(workspace, "lr = 2e-3", "lr = 1e-3")
    assert main(add) == 2
    said = capsys.readouterr().err
    assert "edited since (optimizer.lr)" in said and f"start {killed.id}" in said
    assert main([*add, "--as-launched", "--hold"]) == 0


def test_a_run_with_a_checkpoint_is_resumed_instead(killed: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdxl_tui.fleet.start_again.resume_point", lambda run: run.checkpoint(20))
    with pytest.raises(RunError, match="step-00000020") as error:
        plan_start_again(killed)
    assert error.value.hint is not None and f"sdxl-tui resume {killed.id}" in error.value.hint


def test_a_run_with_nothing_but_damaged_checkpoints_is_left_alone(
    workspace: Workspace, killed: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    killed.checkpoint(10).mkdir(parents=True)
    with pytest.raises(RunError, match="no checkpoint that is whole: 1 is damaged") as error:
        plan_start_again(killed)
    assert error.value.hint is not None and f"sdxl-tui launch {killed.profile}" in error.value.hint
    assert main(["--workspace", str(workspace.path), "resume", killed.id]) == 2
    said = capsys.readouterr().err
    assert "start" not in said and f"launch {killed.profile}" in said.replace("\n", "")


def test_resume_names_the_command_that_starts_it_again_and_that_works(
    workspace: Workspace, killed: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = ["--workspace", str(workspace.path)]
    assert main([*begin, "resume", killed.id]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "has no checkpoint yet" in said
    command = f"sdxl-tui --workspace {workspace.path} start {killed.id}"
    assert command in said
    assert main(command.split()[1:]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == killed.id and "from its first step (start 2), base LR 2.00e-3" in shown.err
    assert main([*begin, "resume", killed.id]) == 2
    assert f"save {killed.id}" in capsys.readouterr().err
