"""``queue`` and ``--queue`` as they are typed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.run.liveness import RunState, assess
from engine.run.lock import RunLock
from engine.run.metrics import MetricsReader
from sdxl_tui.fleet.queue.going_on import WentOn
from sdxl_tui.fleet.queue.record import changing
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.cli.cli_runner import CommandLine
from tests.sdxl_tui.cli.conftest import SHORTER

SETTINGS = [word for setting in (*SHORTER, "schedule.warmup_steps=0") for word in ("--set", setting)]


@pytest.fixture
def queued(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """A workspace whose queue is paused, so that nothing in it starts."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    cli.workspace.mkdir()
    assert cli("queue", "pause").code == 0
    yield cli
    for one in cli("queue", "--json").json["waiting"]:
        cli("queue", "hold", one["run"])


def line_up(cli: CommandLine, *options: str) -> str:
    launched = cli("launch", "demo", *SETTINGS, "--queue", *options)
    assert launched.code == 0, launched.err
    return launched.out.strip()


def waiting(cli: CommandLine) -> list[tuple[str, str]]:
    return [(one["run"], one["why"]) for one in cli("queue", "--json").json["waiting"]]


def test_the_queue_is_shown_moved_held_released_and_emptied(queued: CommandLine) -> None:
    first, second = line_up(queued), line_up(queued)
    third = line_up(queued, "--first")
    urgent = line_up(queued, "--priority", "5", "--retries", "2", "--hold")
    assert [run for run, _ in waiting(queued)] == [urgent, third, first, second]
    table = queued("queue")
    assert table.code == 0 and [line.split()[:2] for line in table.out.splitlines()[1:]] == [
        ["1", urgent],
        ["2", third],
        ["3", first],
        ["4", second],
    ]
    assert "The queue is paused, 4 runs wait. To go on: sdxl-tui queue start" in table.err
    assert "is number 1 of the queue now" in queued("queue", "move", second, "first").err
    assert queued("queue", "hold", first).code == 0
    assert dict(waiting(queued))[first] == "held"
    assert queued("queue", "release", urgent).code == 0
    removed = queued("queue", "remove", third)
    assert "had never started and is deleted" in removed.err and not queued.run(third).path.exists()
    assert [run for run, _ in waiting(queued)] == [second, urgent, first]


def test_a_real_run_is_trained_from_the_queue_after_the_one_it_waits_for(queued: CommandLine) -> None:
    first = line_up(queued, "--set", "training.steps=2")
    second = line_up(queued, "--after", first, "--set", "training.steps=2")
    assert dict(waiting(queued))[second] == f"after {first}"
    assert f"started: {first}" in queued("queue", "start").err
    deadline = time.monotonic() + 120
    while assess(queued.run(second)).state is not RunState.FINISHED:
        assert time.monotonic() < deadline, queued("runs").out
        time.sleep(0.2)
    assert [len(MetricsReader(queued.run(run).metrics).poll()) for run in (first, second)] == [2, 2]
    assert f"started {second}" in next((queued.workspace / "queue").glob("*.log")).read_text()
    assert queued("queue").err.startswith("Nothing waits.")


def test_waiting_follows_a_run_from_its_place_in_the_queue_to_its_end(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    cli("launch", "demo", *SETTINGS, "--queue", "--set", "training.steps=3")
    second = cli("launch", "demo", *SETTINGS, "--queue", "--set", "training.steps=2", "--wait")
    assert second.code == 0, second.err
    said = second.err.splitlines()
    assert "waits: next in the queue" in said[0]
    assert any("finished after 2 steps" in line for line in said)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("queue", "move", "RUN", "sideways"), "'sideways' is no place: first, last, up, down or a number from 1"),
        (("queue", "move", "RUN"), "WHERE"),
        (("queue", "remove", "nobody"), "there is no run 'nobody'"),
        (("queue", "add", "RUN"), "is in the queue already"),
        (("queue", "jump"), "invalid choice: 'jump'"),
        (("launch", "demo", "--queue", "--priority", "1000"), "'1000' is not a whole number from -99 to 99"),
        (("launch", "demo", "--queue", "--after", "nobody"), "there is no run 'nobody'"),
        (("launch", "demo", "--queue", "--gpu", "7"), "there is no GPU '7'"),
        (("launch", "demo", "--queue", "--share"), "--share starts a run at once and --queue lets it wait"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    queued: CommandLine, words: tuple[str, ...], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    run = line_up(queued)
    before = waiting(queued)
    said = queued(*(run if word == "RUN" else word for word in words))
    assert said.code == 2 and what in said.err and "Traceback" not in said.err
    assert waiting(queued) == before
    assert [one["id"] for one in queued("runs", "--json").json] == [run]


def test_a_run_that_waits_nowhere_is_not_taken_out(copied: CommandLine) -> None:
    run = copied("runs", "--json").json[0]["id"]
    said = copied("queue", "remove", run)
    assert said.code == 2 and "is not in the queue of this machine" in said.err
    said = copied("queue", "add", run)
    assert said.code == 2 and "has finished, there is nothing left" in said.err


def test_a_run_that_somebody_else_started_meanwhile_is_said_to_have_been_started(
    queued: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = line_up(queued)
    queued("queue", "hold", run)

    def beaten(workspace: Workspace) -> WentOn:
        with changing(workspace) as change:
            change.queue = change.queue.without(run)
        locks.append(RunLock.acquire(queued.run(run).lock))
        return WentOn()

    locks: list[RunLock] = []
    monkeypatch.setattr("sdxl_tui.cli.queue_command.go_on_now", beaten)
    said = queued("queue", "release", run)
    for lock in locks:
        lock.close()
    assert (said.code, said.err.strip()) == (0, f"{run} was started at this very moment by another command.")
