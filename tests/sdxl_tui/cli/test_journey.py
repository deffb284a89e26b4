"""The commands on real runs of the real engine: launch, watch, stop, resume, inspect, continue, demo."""

from __future__ import annotations

import errno
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from fcntl import ioctl
from pathlib import Path

import pytest

import engine
from engine.checkpoint.describe import describe
from engine.profile.load import load_profile, read_snapshot
from engine.profile.shipped import find_profile
from engine.run.liveness import assess
from engine.run.records import Status
from engine.schedule import Schedule
from sdxl_tui.cli import main
from sdxl_tui.cli.progress import follow
from tests.sdxl_tui.cli.cli_runner import CommandLine, Result, run_in_process

SMALL = (
    *("--set", "training.steps=40"),
    *("--set", "schedule.warmup_steps=0"),
    *("--set", "dataset.resolution=64"),
    *("--set", "samples.prompts=[]"),
    *("--set", "launch.cpu_threads=1"),
)


def wait_until(claim: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def process(*words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parent.parent)}
    return subprocess.Popen(
        [sys.executable, "-m", "sdxl_tui", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


# Looking at a finished run


def test_waiting_shows_the_progress_and_the_outcome(finished: Result) -> None:
    run_id = finished.out.strip()
    assert run_id.startswith("demo-")
    assert len(finished.out.splitlines()) == 1
    assert "training  step " in finished.err
    assert f"{run_id}: finished after 6 steps" in finished.err
    assert "\x1b" not in finished.err
    lora = finished.err.strip().rpartition("LoRA: ")[2]
    assert Path(lora).is_file()


def test_runs_as_a_table_and_as_json(trained: CommandLine, finished: Result) -> None:
    table = trained("runs").out.splitlines()
    assert table[0].split() == ["RUN", "STATE", "STEP", "LOSS", "LR", "SPEED", "LEFT", "CREATED"]
    assert table[1].split()[:3] == [finished.out.strip(), "finished", "6/6"]
    assert max(map(len, table)) <= 80
    (run,) = trained("runs", "--json").json
    assert run["id"] == finished.out.strip()
    assert (run["state"], run["alive"], run["step"], run["total_steps"]) == ("finished", False, 6, 6)
    assert run["checkpoint"] == "step-00000006"
    assert Path(run["directory"]).is_dir()


def test_logs_of_a_run(trained: CommandLine, finished: Result) -> None:
    whole = trained("logs", "latest")
    written = trained.run(finished.out.strip()).attempt(1).log.read_text().splitlines()
    assert whole.out.splitlines() == written
    assert trained("logs", "demo", "-n", "2").out.splitlines() == written[-2:]
    assert trained("logs", "demo", "-f").out == whole.out
    assert trained("logs", "demo", "-n", "0").out == ""
    missing = trained("logs", "demo", "--attempt", "7")
    assert (missing.code, missing.out) == (2, "")
    assert "there is no attempt 7" in missing.err


def test_what_an_engine_prints_cannot_reach_the_terminal(copied: CommandLine, finished: Result) -> None:
    log = copied.run(finished.out.strip()).attempt(1).log
    log.write_bytes(
        b"10%\r\x1b[32m100%\x1b[0m\n\x1b]0;owned\x07caption \xe2\x80\xae\xff\n" + b"x" * 9000 + b"\nunfinished\x9b"
    )
    assert copied("logs", "latest").out.splitlines() == [
        "100%",
        "caption ��",
        "x" * 4096 + " …[+4.9 kB]",
        "unfinished�",
    ]
    assert copied("logs", "latest", "--json").out.splitlines()[0] == '{"attempt": 1, "text": "100%"}'


def test_checkpoints_of_a_run(trained: CommandLine, finished: Result) -> None:
    listed = trained("checkpoints", "latest")
    assert f"continue {finished.out.strip()} --lr LR" in listed.err
    table = listed.out.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["step-00000002", "step-00000004", "step-00000006"]
    assert [("*" in line) for line in table[1:]] == [False, False, True]
    entries = trained("checkpoints", "latest", "--json").json
    assert [entry["step"] for entry in entries] == [2, 4, 6]
    assert [entry["is_resume_point"] for entry in entries] == [False, False, True]


def test_inspecting_shows_the_stored_schedule_and_the_rates_to_come(trained: CommandLine, finished: Result) -> None:
    run_id = finished.out.strip()
    shown = trained("inspect", f"{run_id}@4", "--json")
    assert shown.code == 0
    facts = shown.json
    summary = describe(trained.run(run_id).checkpoint(4))
    schedule = Schedule.from_json(facts["schedule"])
    (group,) = facts["groups"]
    assert schedule == summary.schedule
    assert group["base_lr"] == 1e-3
    assert group["last_lr"] == pytest.approx(schedule.lr(3, 1e-3))
    assert group["next_lrs"] == pytest.approx([schedule.lr(4, 1e-3), schedule.lr(5, 1e-3)])
    assert (facts["step"], facts["total_steps"], facts["steps_left"], facts["phase"]) == (4, 6, 2, "warmup")
    assert facts["integrity"] == "whole"
    text = trained("inspect", f"{run_id}/step-00000004").out
    for part in ("cosine", "4 of 6 (66 %), 2 steps left", "1.00e-3", "6.00e-4 (used by step 4)", "8.00e-4  1.00e-3"):
        assert part in text
    for part in ("rank 8", "alpha 8", "adamw", "a fresh start", "whole"):
        assert part in text
    assert trained("inspect", str(summary.folder)).out == trained("inspect", f"{run_id[:-1]}@4").out


def test_a_plan_to_continue_changes_nothing(trained: CommandLine) -> None:
    before = sorted(trained.workspace.rglob("*"))
    plan = trained("continue", "latest@4", "--lr", "1.2e-3", "--steps", "30", "--dry-run", "--json").json
    assert plan["run"] is None
    assert plan["jump"] == pytest.approx(2.0)
    assert (plan["new"]["total_steps"], plan["new"]["base_lr"]) == (30, 1.2e-3)
    told = trained("continue", "latest@4", "--lr", "1.2e-3", "--steps", "30", "--dry-run")
    assert (told.code, told.out) == (0, "")
    assert "6.00e-4 → 1.20e-3: 2.0× as high" in told.err
    assert "--warmup" in told.err
    assert "optimizer.lr" in told.err
    assert sorted(trained.workspace.rglob("*")) == before


def test_a_finished_run_cannot_be_resumed_or_stopped(trained: CommandLine, finished: Result) -> None:
    resumed = trained("resume", "latest")
    assert (resumed.code, resumed.out) == (2, "")
    assert f"sdxl-tui continue {finished.out.strip()}@6 --lr LR" in resumed.err
    stopped = trained("stop", "latest")
    assert stopped.code == 2
    assert "is not running (finished)" in stopped.err


# Changing things


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_continuing_trains_a_child_at_the_new_rate(copied: CommandLine, finished: Result) -> None:
    shown = Terminal()
    with redirect_stderr(shown):
        words = ["continue", "latest@4", "--lr", "5e-4", "--schedule", "constant", "--steps", "3", "--wait"]
        code = main(["--workspace", str(copied.workspace), *words])
    assert code == 0, shown.getvalue()
    assert "\r\x1b[2K" in shown.getvalue()  # one line, rewritten
    child, parent = copied("runs", "--json").json
    assert child["parent"] == parent["id"] == finished.out.strip()
    assert (child["state"], child["step"], child["lr"]) == ("finished", 3, 5e-4)
    assert f"{child['id']}: " in shown.getvalue()
    assert f"continue from {parent['id']}/step-00000004" in copied("inspect", child["id"]).out


def test_stopping_and_resuming_goes_on_at_the_stored_step(cli: CommandLine) -> None:
    run_id = cli("launch", "demo", *SMALL).out.strip()
    run = cli.run(run_id)
    follower = process("logs", run_id, "-f", "--workspace", str(cli.workspace))
    wait_until(lambda: (status := Status.read(run.status)) is not None and status.step >= 2)
    live = cli("runs", "--json").json[0]
    assert (live["alive"], live["state"]) == (True, "training")
    busy = cli("resume", run_id)
    assert busy.code == 2
    stopped = cli("stop", run_id[:-1], "--wait")
    assert stopped.code == 0, stopped.err
    logged, _ = follower.communicate(timeout=120)
    assert follower.returncode == 0
    assert logged.splitlines() == run.attempt(1).log.read_text().splitlines()
    step = cli("checkpoints", run_id, "--json").json[-1]["step"]
    assert 2 <= step < 40
    assert f"{run_id}: stopped at step {step} of 40, saved as step-{step:08d}" in stopped.err
    resumed = cli("resume", run_id)
    assert (resumed.code, resumed.out) == (0, f"{run_id}\n")
    next_lr = describe(run.checkpoint(step)).next_lrs(1)["unet"][0]
    assert f"step {step + 1} of 40 is next, LR unet {next_lr:.2e}".replace("e-0", "e-") in resumed.err
    wait_until(lambda: (status := Status.read(run.status)) is not None and status.attempt == 2)
    ended = cli("stop", run_id, "--now")
    assert ended.code == 0, ended.err
    assert not cli("runs", "--json").json[0]["alive"]


def test_ctrl_c_leaves_the_run_alone_and_a_killed_run_fails(cli: CommandLine) -> None:
    waiting = process("launch", "demo", *SMALL, "--wait", "--workspace", str(cli.workspace))
    assert waiting.stdout is not None
    run = cli.run(waiting.stdout.readline().strip())
    wait_until(run.status.exists)
    waiting.send_signal(signal.SIGINT)
    _, told = waiting.communicate(timeout=120)
    assert waiting.returncode == 130
    assert f"{run.id} goes on" in told
    assert "Traceback" not in told
    liveness = assess(run)
    assert liveness.alive
    assert liveness.process is not None
    assert liveness.process.engine_pid is not None
    os.kill(liveness.process.engine_pid, signal.SIGKILL)
    said = io.StringIO()
    with redirect_stderr(said):
        assert follow(run, "sdxl-tui") == 1
    assert f"error: {run.id}: killed: killed by SIGKILL" in said.getvalue()
    assert "killed by SIGKILL" in cli("runs").out


# The demo


def test_the_demo_opens_the_app_and_reopens_a_run_that_trains(cli: CommandLine, tmp_path: Path) -> None:
    folder = cli.workspace
    on_a_terminal("demo", "--dir", str(folder), until=lambda screen: is_shown_training(cli, screen), then=b"q")
    (run,) = cli("runs", "--json").json
    assert run["alive"]
    own = folder / "profiles" / "demo.toml"
    assert own.read_bytes() == find_profile("demo", tmp_path).read_bytes()
    again = run_in_process("demo", "--dir", str(folder), "--no-app")
    assert (again.code, again.out) == (0, f"{run['id']}\n")
    assert "trains already" in again.err
    assert len(cli("runs", "--json").json) == 1
    assert cli("stop", run["id"], "--now").code == 0
    assert f"--workspace {folder}" in again.err


def test_the_demo_trains_the_profile_as_the_user_left_it(trained: CommandLine, finished: Result) -> None:
    snapshot = read_snapshot(trained.run(finished.out.strip()).profile)
    assert snapshot.training.steps == 6
    own = trained.workspace / "profiles" / "demo.toml"
    assert load_profile(own).profile == snapshot


def is_shown_training(cli: CommandLine, screen: str) -> bool:
    """The one run trains, and its id has been drawn."""
    result = cli("runs", "--json")
    return result.code == 0 and any(run["state"] == "training" and run["id"] in screen for run in result.json)


def on_a_terminal(*words: str, until: Callable[[str], bool], then: bytes) -> None:
    """Run a command on a terminal of 80 × 24; ``then`` is typed once ``until`` holds for what it wrote. It must end well."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = subprocess.Popen(
        [sys.executable, "-m", "sdxl_tui", *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(Path(engine.__file__).parent.parent)},
    )
    os.close(slave)
    received, typed, deadline = bytearray(), False, time.monotonic() + 180
    try:
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                received += os.read(master, 65536)
            elif not typed and until(received.decode(errors="replace")):
                typed = os.write(master, then) > 0
        raise TimeoutError(received.decode(errors="replace")[-2000:])
    except OSError as ended:
        if ended.errno != errno.EIO:
            raise
        assert command.wait(timeout=60) == 0, received.decode(errors="replace")[-3000:]
    finally:
        command.kill()
        command.wait()
        os.close(master)
