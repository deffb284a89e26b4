"""Starting runs: each engine is on its own from then on, one at a time per run, and a failed start leaves nothing."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine
from engine.profile.problems import ProfileError
from engine.profile.schema import Model
from engine.run.create import create_run
from engine.run.errors import RunBusy, RunError
from engine.run.layout import RunDirectory
from engine.run.liveness import RunState, assess
from engine.run.lock import RunLock, is_held
from engine.run.metrics import MetricsReader
from engine.run.records import RunRecord
from engine.run.status import StatusWriter
from sdxl_tui.fleet import launch
from sdxl_tui.fleet.runs import list_runs
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.fleet import stand_in
from tests.sdxl_tui.fleet.stand_in import engine_of, is_gone, loaded, pids, process_of, speaks, standing_in, until

LAUNCHER = """
import sys; from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.sdxl_tui.fleet import stand_in
from engine.run.layout import RunDirectory
from sdxl_tui.fleet import launch
from sdxl_tui.workspace import Workspace
launch.engine_command = stand_in.engine_of(2000)
run = launch.launch(Workspace(Path(sys.argv[1])), stand_in.loaded(Path(sys.argv[1])))
print(run.path, flush=True)
import time; time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path / "workspace")
    with standing_in(monkeypatch, workspace):
        yield workspace


def launched(workspace: Workspace) -> RunDirectory:
    return launch.launch(workspace, loaded(workspace.path))


def test_a_launched_run_trains_to_its_end_and_says_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "engine_command", engine_of(20))
    run = launched(workspace)
    assert assess(run).alive
    end = launch.wait(run, 20)
    assert (end.state, end.alive, end.attempt) == (RunState.FINISHED, False, 1)
    assert [point.step for point in MetricsReader(run.metrics).poll()] == list(range(1, 21))
    assert run.attempt(1).log.read_text() == "standing in\n"
    record = RunRecord.read(run.record)
    assert record is not None and record.source_profile == str(workspace.path / "demo.toml")


def test_waiting_has_a_limit(workspace: Workspace) -> None:
    run = launched(workspace)
    begun = time.monotonic()
    assert launch.wait(run, 0.2).alive
    assert 0.2 <= time.monotonic() - begun < 5


def test_the_launcher_does_not_keep_what_it_started(workspace: Workspace) -> None:
    run = launched(workspace)
    engine_pid, keeper_pid = pids(run)
    assert os.getsid(keeper_pid) == keeper_pid != os.getsid(0)
    os.kill(engine_pid, signal.SIGKILL)
    until(lambda: not is_held(run.lock))
    # Nobody else waits for the keeper: unless the launcher does, it stays a zombie.
    until(lambda: not Path(f"/proc/{keeper_pid}").exists())


def launcher_of(workspace: Workspace) -> list[str]:
    """A program that launches a run there, says where it is, and stays."""
    return [sys.executable, "-c", LAUNCHER, str(workspace.path), str(Path(stand_in.__file__).parent)]


def test_an_engine_outlives_the_kill_of_its_launcher(workspace: Workspace) -> None:
    with subprocess.Popen(launcher_of(workspace), stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        run = RunDirectory(Path(launcher.stdout.readline().decode().strip()))
        launcher.kill()
    until(lambda: speaks(run))
    reader = MetricsReader(run.metrics)
    reader.poll()
    until(reader.poll)
    (row,) = list_runs(workspace)
    assert (row.state, row.alive, row.total_steps) == (RunState.TRAINING, True, 2000)


def test_an_engine_outlives_the_terminal_it_was_started_from(workspace: Workspace) -> None:
    ours, theirs = pty.openpty()
    # setsid --ctty makes the pseudo-terminal the launcher's own: closing our end hangs it up.
    command = ["setsid", "--ctty", *launcher_of(workspace)]
    launcher = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while b"\n" not in said:
        said += os.read(ours, 1000)
    run = RunDirectory(Path(said.decode().strip()))
    os.close(ours)
    assert launcher.wait(10) == -signal.SIGHUP
    until(lambda: speaks(run))
    engine_pid, _ = pids(run)
    assert assess(run).alive
    terminal = Path(f"/proc/{engine_pid}/stat").read_text().rpartition(")")[2].split()[4]
    assert terminal == "0"


def test_of_eight_that_start_a_run_at_once_one_wins_and_the_others_hear_who(workspace: Workspace) -> None:
    run = launched(workspace)
    os.kill(pids(run)[0], signal.SIGKILL)
    launch.wait(run, 10)
    results: list[int | str] = []
    shot = threading.Barrier(8)

    def race() -> None:
        shot.wait()
        try:
            results.append(launch.start(run))
        except RunBusy as busy:
            results.append(str(busy))

    racers = [threading.Thread(target=race) for _ in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [result for result in results if isinstance(result, int)] == [2]
    assert [attempt.number for attempt in run.existing_attempts()] == [1, 2]
    assert len([result for result in results if "already running" in str(result)]) == 7


def test_a_run_that_is_alive_is_not_started_again(workspace: Workspace) -> None:
    run = launched(workspace)
    with pytest.raises(RunBusy, match=f"engine pid {pids(run)[0]}"):
        launch.start(run)
    assert len(run.existing_attempts()) == 1


def test_a_run_at_work_on_another_machine_is_not_started_here(workspace: Workspace) -> None:
    run = launched(workspace)
    os.kill(pids(run)[0], signal.SIGKILL)
    launch.wait(run, 10)
    attempt = run.attempt(1)
    stored = json.loads(attempt.process.read_text()) | {"host": "pod-b", "boot_id": "another"}
    attempt.process.write_text(json.dumps(stored))
    attempt.exit.write_text(" " * 4096)
    StatusWriter(run, 1).update(state="training")
    with pytest.raises(RunBusy, match="pod-b"):
        launch.start(run)
    for path in (run.status, attempt.exit):
        os.utime(path, (0, 0))
    assert launch.start(run) == 2


def test_a_start_another_machine_made_while_we_looked_is_not_started_over(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines on a disk without a common lock: what was looked at when nobody was there binds the start."""
    run = launched(workspace)
    os.kill(pids(run)[0], signal.SIGKILL)
    launch.wait(run, 10)

    def look(looked_at: RunDirectory) -> None:
        looked_at.attempt(2).path.mkdir()

    monkeypatch.setattr(launch, "running_elsewhere", look)
    with pytest.raises(RunBusy, match="being started by someone else"):
        launch.start(run)
    assert [attempt.number for attempt in run.existing_attempts()] == [1, 2]
    assert list(run.attempt(2).path.iterdir()) == []


def test_an_engine_that_cannot_be_executed_leaves_neither_run_nor_attempt(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = launched(workspace)
    os.kill(pids(run)[0], signal.SIGKILL)
    launch.wait(run, 10)
    monkeypatch.setattr(launch, "engine_command", lambda *_: ["/nowhere/python", "-m", "engine"])
    with pytest.raises(RunError, match=r"No such file or directory: /nowhere/python \(errno 2\)"):
        launch.start(run)
    assert [attempt.number for attempt in run.existing_attempts()] == [1]
    with pytest.raises(RunError, match="/nowhere/python"):
        launched(workspace)
    assert [row.id for row in list_runs(workspace)] == [run.id]


def test_a_keeper_that_cannot_be_started_leaves_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("sdxl_tui.fleet.launch.subprocess.Popen", no_memory)
    with pytest.raises(RunError, match="Cannot allocate memory"):
        launched(workspace)
    assert list(workspace.runs.iterdir()) == []


def test_a_keeper_that_fails_is_quoted(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "keeper.py"
    broken.write_text("raise SystemExit('the keeper is broken')")
    monkeypatch.setattr("sdxl_tui.fleet.launch.keeper.__file__", str(broken))
    with pytest.raises(RunError, match="the keeper is broken"):
        launched(workspace)
    assert list(workspace.runs.iterdir()) == []


def test_a_profile_whose_folders_are_missing_makes_no_run(workspace: Workspace) -> None:
    profile = stand_in.PROFILE.model_copy(update={"model": Model(base="/nowhere/base")})
    broken = loaded(workspace.path)
    broken = type(broken)(profile, broken.source, "", broken.place)
    with pytest.raises(ProfileError, match="/nowhere/base"):
        launch.launch(workspace, broken)
    assert not workspace.path.exists()


def test_a_runs_folder_that_cannot_be_used_is_an_error_for_a_person(workspace: Workspace) -> None:
    workspace.create()
    workspace.runs.rmdir()
    workspace.runs.write_text("a file")
    with pytest.raises(Exception, match="is a file, not a folder"):
        launched(workspace)


def test_the_engine_is_this_package_and_nothing_in_the_runs_folder_is_imported(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import engine, random, sys; print(engine.__file__, random.__file__, sys.flags.safe_path, flush=True)"
    monkeypatch.setattr(launch, "engine_command", lambda *_: [sys.executable, "-P", "-c", program])
    monkeypatch.setenv("PYTHONPATH", f":{Path.cwd()}/no-such-folder:")
    run = create_run(workspace.runs, stand_in.PROFILE, source=None)
    for name in ("random.py", "torch.py", "engine.py", "sitecustomize.py"):
        (run.path / name).write_text("raise SystemExit('imported from the folder of the run')")
    launch.start(run)
    assert launch.wait(run, 10).exit is not None
    engine_file, random_file, safe = run.attempt(1).log.read_text().split()
    assert Path(engine_file).resolve() == Path(engine.__file__).resolve()
    assert not random_file.startswith(str(run.path))
    assert safe == "True"


def test_the_engine_is_told_its_run_attempt_and_lock_and_no_setting(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "runs" / "demo-1")
    run.path.mkdir(parents=True)
    with RunLock.acquire(run.lock) as lock:
        command = launch.engine_command(run, run.attempt(2), lock, run.checkpoint(20))
    assert command == [
        *(sys.executable, "-P", "-m", "engine", "train", str(run.path)),
        *("--attempt", "2", "--lock-fd", str(lock.fileno()), "--from", "step-00000020"),
    ]


def test_the_environment_of_an_engine_has_no_entry_that_means_its_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "relative", "/absolute", ""]))
    environment = launch.engine_environment()
    entries = environment["PYTHONPATH"].split(os.pathsep)
    assert entries[-2:] == [str(Path("relative").absolute()), "/absolute"]
    assert all(Path(entry).is_absolute() for entry in entries)
    assert environment["PYTHONUNBUFFERED"] == "1"


def test_a_run_without_a_whole_checkpoint_cannot_be_resumed(workspace: Workspace) -> None:
    run = launched(workspace)
    os.kill(pids(run)[0], signal.SIGKILL)
    launch.wait(run, 10)
    (run.checkpoints / "step-00000010").mkdir(parents=True)
    with pytest.raises(RunError, match="no whole checkpoint") as error:
        launch.resume(run)
    assert error.value.hint is not None and f"sdxl-tui launch {run.profile}" in error.value.hint
    (run.checkpoints / "step-00000010").rmdir()
    with pytest.raises(RunError, match="no whole checkpoint") as error:
        launch.resume(run)
    assert error.value.hint is not None and f"sdxl-tui start {run.id}" in error.value.hint


def test_a_checkpoint_of_another_run_is_not_started_from(workspace: Workspace, tmp_path: Path) -> None:
    run = launched(workspace)
    with pytest.raises(RunError, match="not a checkpoint of this run"):
        launch.start(run, from_checkpoint=tmp_path / "step-00000010")
    assert process_of(run).resumed_from is None
    assert not is_gone(pids(run)[0])
