"""Starting runs, new ones and resumed ones, each under its keeper and independent of whoever started it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import engine
from engine.durable import write_atomically
from engine.run import keeper
from engine.run.attempt import begin_attempt, newest_attempt
from engine.run.create import create_run
from engine.run.errors import RunBusy, RunError
from engine.run.layout import AttemptDirectory, RunDirectory
from engine.run.liveness import Liveness, assess, running_elsewhere
from engine.run.lock import RunLock
from engine.run.records import ExitRecord, RunRecord
from sdxl_tui.fleet.devices import Claim, DevicesBusy, Needs, claim, needs_of
from sdxl_tui.fleet.gpus import list_gpus

if TYPE_CHECKING:
    from engine.profile.load import LoadedProfile
    from engine.profile.schema import Profile
    from sdxl_tui.workspace import Workspace

START_SECONDS: Final = 30.0
LEFTOVER_SECONDS: Final = 15.0


def launch(workspace: Workspace, loaded: LoadedProfile) -> RunDirectory:
    """Make a run of the profile and start its engine; returns once it runs.

    Raises ``ProfileError`` if the folders it names rule it out, ``WorkspaceError`` or ``RunError`` if it cannot be
    written or started; nothing of it is left behind then.
    """
    return start_new(make_run(workspace, loaded))


def make_run(workspace: Workspace, loaded: LoadedProfile) -> RunDirectory:
    """A run of the profile, not started. Raises as ``launch`` does."""
    from engine.profile.preflight import check_inputs  # noqa: PLC0415 - pydantic, only where a run is made

    check_inputs(loaded.profile, loaded)
    workspace.create()
    return create_run(
        workspace.runs,
        loaded.profile,
        source=loaded.source,
        overrides=loaded.overrides,
        extended=loaded.lineage.parents,
    )


def resume(run: RunDirectory, checkpoint: Path | None = None, *, profile: Profile | None = None) -> int:
    """Go on with ``run`` exactly where ``checkpoint`` (by default its newest whole one) left it; the new attempt's number.

    A child that has no checkpoint of its own yet begins again with what it was given. profile: what is trained from now on;
    by default what the attempt before trained.

    Raises ``RunBusy`` if it is alive, ``RunError`` if there is nothing to resume, ``CheckpointError`` if it is damaged.
    """
    from engine.checkpoint.describe import describe  # noqa: PLC0415
    from engine.checkpoint.manifest import verify  # noqa: PLC0415

    if checkpoint is None:
        checkpoint = _newest_whole(run)
    else:
        verify(checkpoint, digests=True)
    if checkpoint is None and run.start_weights.parent.is_dir() and not run.checkpoint_folders():
        return start(run, profile=profile)
    if checkpoint is None:
        raise RunError(
            "has no whole checkpoint to resume from",
            where=run.id,
            hint=f"Launch its settings as a new run: sdxl-tui launch {run.latest_profile}"
            if run.checkpoint_folders()
            else f"Start it again from its first step: sdxl-tui start {run.id}",
        )
    summary = describe(checkpoint)
    if not summary.steps_left:
        raise RunError(
            f"all {summary.total_steps} steps are done, there is nothing to resume",
            where=run.id,
            hint=f"Train on: sdxl-tui extend {run.id}@{summary.step} --steps N --then HOW for more steps, "
            f"sdxl-tui continue {run.id}@{summary.step} --lr LR for a new schedule.",
        )
    return start(run, from_checkpoint=checkpoint, profile=profile)


def start(
    run: RunDirectory,
    *,
    from_checkpoint: Path | None = None,
    profile: Profile | None = None,
    devices: Claim | None = None,
) -> int:
    """Start the engine of ``run`` under a keeper; returns the attempt's number once the engine runs.

    profile: what this attempt trains if that is not what the one before did. devices: what was taken for it, let go here by
    the caller; by default what its profile needs and is free. A run that has checkpoints goes on from its newest whole one
    unless another is given. Raises ``RunBusy`` if the run is alive (of several who start it at once, one succeeds),
    ``DevicesBusy`` if its GPUs are in use, ``RunError`` if the engine cannot be started; the attempt's folder is removed then.
    """
    if devices is None:
        with _free_devices(run, profile) as found:
            return start(run, from_checkpoint=from_checkpoint, profile=profile, devices=found)
    if from_checkpoint is None:
        from_checkpoint = _newest_whole(run)
    elif from_checkpoint.absolute().parent != run.checkpoints.absolute():
        raise RunError("is not a checkpoint of this run", where=str(from_checkpoint))
    newest = newest_attempt(run)
    if (words := running_elsewhere(run)) is not None:
        hint = "If that machine is gone, try again in two minutes."
        raise RunBusy(f"this run is already {words}", where=run.id, hint=hint)
    with RunLock.acquire(run.lock) as lock:
        _take_over(run)
        attempt = begin_attempt(run, after=newest)
        try:
            if profile is not None:
                _write_profile(attempt, profile)
            command = engine_command(run, attempt, lock, from_checkpoint)
            process = _spawn_keeper(run, attempt, lock, devices, command)
        except OSError as error:
            shutil.rmtree(attempt.path, ignore_errors=True)
            raise RunError(f"the engine cannot be started: {error.strerror}", where=run.id) from error
    _await_engine(run, attempt, process)
    return attempt.number


def wait(run: RunDirectory, timeout: float | None = None) -> Liveness:
    """Wait until nothing of ``run`` is alive, or ``timeout`` seconds; what it looked like last.

    Returns as well when the engine's end is recorded and what it left behind stays on (processes that made themselves
    independent of it).
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause, ended = 0.02, None
    while True:
        liveness = assess(run)
        now = time.monotonic()
        if liveness.exit is not None and ended is None:
            ended = now
        if not liveness.alive or (ended is not None and now - ended > LEFTOVER_SECONDS):
            return liveness
        if deadline is not None and now >= deadline:
            return liveness
        time.sleep(pause if deadline is None else min(pause, deadline - now))
        pause = min(0.25, pause * 1.5)


def start_new(run: RunDirectory, *, share: bool = False, gpus: Sequence[str] = ()) -> RunDirectory:
    """Start a run that has just been made; it is gone again if that fails.

    share: on GPUs that other runs use, too. gpus: UUIDs of those it is to have, by default whichever are free.
    """
    try:
        with Claim() if share else _free_devices(run, chosen=gpus) as devices:
            start(run, devices=devices)
    except BaseException as error:
        if not isinstance(error, RunBusy) and not assess(run).alive:
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    return run


def _take_over(run: RunDirectory) -> None:
    """See ``children.take_over``; most runs need not load that."""
    record = RunRecord.read(run.record)
    if record is not None and record.parent is not None and not record.parent.checkpoint:
        from sdxl_tui.fleet.children import take_over  # noqa: PLC0415 - it imports this module

        take_over(run)


def _free_devices(run: RunDirectory, profile: Profile | None = None, chosen: Sequence[str] = ()) -> Claim:
    """What a run takes that is started at once: GPUs for itself, the processor together with others."""
    from engine.profile.load import read_snapshot  # noqa: PLC0415 - pydantic, only where a run is started

    gpus = list_gpus()
    needs = needs_of(profile or read_snapshot(run.latest_profile), chosen) if gpus else Needs(0)
    try:
        return claim(needs, gpus, run.id, alone=False)
    except DevicesBusy as error:
        hint = "Let it wait for its turn with --queue, or train beside what runs there with --share."
        if run.existing_attempts():
            hint = f"Let it wait for its turn: sdxl-tui queue add {run.id}"
        raise DevicesBusy(error.what, by_strangers=error.by_strangers, hint=hint) from error


def _write_profile(attempt: AttemptDirectory, profile: Profile) -> None:
    from engine.profile.to_toml import profile_to_toml  # noqa: PLC0415

    write_atomically(attempt.profile, profile_to_toml(profile).encode(), mode=0o400)


def _newest_whole(run: RunDirectory) -> Path | None:
    """The newest checkpoint on the lineage of the latest attempt whose contents are what was saved."""
    if not run.checkpoint_folders():
        return None
    from engine.checkpoint.describe import resume_candidates  # noqa: PLC0415
    from engine.checkpoint.manifest import is_whole  # noqa: PLC0415

    return next(filter(is_whole, resume_candidates(run)), None)


def engine_command(
    run: RunDirectory, attempt: AttemptDirectory, lock: RunLock, from_checkpoint: Path | None
) -> list[str]:
    """The argv of an engine. It holds no settings: those are in the run's profile."""
    command = [sys.executable, "-P", "-m", "engine", "train", str(run.path)]
    command += ["--attempt", str(attempt.number), "--lock-fd", str(lock.fileno())]
    return command if from_checkpoint is None else [*command, "--from", from_checkpoint.name]


def go_on_command(workspace: Path) -> list[str]:
    """What a keeper becomes when its run has ended: whoever ends starts the next of the queue."""
    return [sys.executable, "-P", "-m", "sdxl_tui", "--workspace", str(workspace), "queue", "go-on", "--log"]


def tell_command(workspace: Path) -> list[str]:
    """What a keeper runs, with a run's id and a word, when something happened that its user may want to hear of."""
    return [sys.executable, "-P", "-m", "sdxl_tui", "--workspace", str(workspace), "notify", "about"]


def _spawn_keeper(
    run: RunDirectory, attempt: AttemptDirectory, lock: RunLock, devices: Claim, command: list[str]
) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-I", "-S", str(Path(keeper.__file__).resolve())]
    arguments = [str(run.path), str(attempt.number), str(lock.fileno()), *go_on_command(run.workspace)]
    arguments += [keeper.TELL, *tell_command(run.workspace)]
    settings = [f"{name}={value}" for name, value in devices.environment.items()]
    with attempt.log.open("ab") as log:
        return subprocess.Popen(
            [*program, *arguments, "--", *settings, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=run.path,
            env=engine_environment(),
            start_new_session=True,
            pass_fds=(lock.fileno(), *devices.descriptors),
        )


def engine_environment() -> dict[str, str]:
    """The environment of an engine: unbuffered, and with a search path on which it finds this very ``engine`` package.

    The engine runs with ``-P`` in the run's folder. Entries of ``PYTHONPATH`` are made absolute and empty ones left out, so
    that no file in that folder is ever imported.
    """
    package = Path(engine.__file__).resolve().parent.parent
    entries = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if package.name not in ("site-packages", "dist-packages"):
        entries.insert(0, str(package))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(entries)}
    if not entries:
        del environment["PYTHONPATH"]
    return environment


def _await_engine(run: RunDirectory, attempt: AttemptDirectory, process: subprocess.Popen[bytes]) -> None:
    """Return once the engine is recorded; raise ``RunError`` and remove the attempt if it could not be started."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None and not attempt.process.exists():
        time.sleep(0.005)
    if attempt.process.exists() or process.poll() is None:
        # Someone has to wait for the keeper, or it stays a zombie for as long as we live.
        threading.Thread(target=process.wait, name=f"keeper of {run.id}", daemon=True).start()
        return
    record = ExitRecord.read(attempt.exit)
    said = record.message if record is not None else _tail(attempt.log)
    shutil.rmtree(attempt.path, ignore_errors=True)
    raise RunError(
        f"the engine could not be started: {said or f'its keeper exited with {process.returncode}'}", where=run.id
    )


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace")[-4096:].strip().splitlines()
        return lines[-1] if lines else ""
    return ""
