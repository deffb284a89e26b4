"""``launch --sweep``: a run for every combination, named by what differs, in the queue; all of them or none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.profile.load import read_snapshot
from engine.run.liveness import RunState, assess
from tests.sdxl_tui.cli.cli_runner import CommandLine
from tests.sdxl_tui.cli.conftest import SHORTER

SETTINGS = [word for setting in (*SHORTER, "schedule.warmup_steps=0") for word in ("--set", setting)]


@pytest.fixture
def paused(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """A workspace whose queue is paused."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    cli.workspace.mkdir()
    assert cli("queue", "pause").code == 0
    yield cli
    for one in cli("queue", "--json").json["waiting"]:
        cli("queue", "hold", one["run"])


def test_a_grid_waits_in_order_each_run_named_by_what_differs(paused: CommandLine) -> None:
    grid = ("--sweep", "optimizer.lr=1e-4,2e-4", "--sweep", "network.rank=4,8")
    dry = paused("launch", "demo", *SETTINGS, *grid, "--dry-run")
    assert (dry.code, dry.out) == (0, "")
    assert "Nothing was made" in dry.err
    assert paused("queue", "--json").json["waiting"] == []
    said = paused("launch", "demo", *SETTINGS, *grid)
    assert said.code == 0, said.err
    runs = said.out.split()
    assert [one["run"] for one in paused("queue", "--json").json["waiting"]] == runs
    names = ["demo-lr1e-4-rank4", "demo-lr1e-4-rank8", "demo-lr2e-4-rank4", "demo-lr2e-4-rank8"]
    assert [run.rsplit("-", 2)[0] for run in runs] == names
    assert all(name in dry.err for name in names)
    profiles = [read_snapshot(paused.run(run).profile) for run in runs]
    assert [(one.optimizer.lr, one.network.rank) for one in profiles] == [(1e-4, 4), (1e-4, 8), (2e-4, 4), (2e-4, 8)]


def test_a_sweep_is_trained_from_the_queue(paused: CommandLine) -> None:
    runs = paused("launch", "demo", *SETTINGS, "--set", "training.steps=2", "--sweep", "training.seed=1,2").out.split()
    assert len(runs) == 2
    assert paused("queue", "start").code == 0
    deadline = time.monotonic() + 120
    while any(assess(paused.run(run)).state is not RunState.FINISHED for run in runs):
        assert time.monotonic() < deadline, paused("runs").out
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sweep", "optimizer.learning_rate=1,2"), "did you mean optimizer.lr"),
        (("--sweep", "optimizer.lr"), "section.field=value,value"),
        (("--sweep", "optimizer.lr=1e-4"), "makes one run only"),
        (("--sweep", "optimizer.lr=1e-4,1e-4"), "the same value twice"),
        (("--sweep", "samples.prompts=a,b"), "cannot be swept"),
        (("--sweep", "optimizer.lr=1e-4,20"), "must be a number above 0 and at most 10"),
        (("--sweep", f"training.seed={','.join(map(str, range(65)))}"), "64 are the most"),
        (("--sweep", "training.seed=1,2", "--wait"), "--wait follows one run"),
        (("--sweep", "training.seed=1,2", "--share"), "--share starts a run at once"),
        (("--sweep", "dataset.sources.0.path=/nowhere,/else"), "there is no such field"),
        (("--sweep", "model.base=/nowhere,/else"), "/nowhere"),
        (("--dry-run",), "sdxl-tui check demo"),
    ],
)
def test_what_cannot_be_swept_is_said_and_leaves_nothing(
    paused: CommandLine, words: tuple[str, ...], said: str
) -> None:
    result = paused("launch", "demo", *SETTINGS, *words)
    assert result.code == 2
    assert said in " ".join(result.err.split())
    assert result.out == ""
    assert paused("queue", "--json").json["waiting"] == []
    assert not list((paused.workspace / "runs").glob("*"))
