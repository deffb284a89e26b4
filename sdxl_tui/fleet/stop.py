"""Ending runs, from polite to final: ask, insist, kill. A process is only signalled after it is known to be the run's own.

No state is written here: what a run is, its files and its lock say once it is so.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

from engine.run.commands import send_command
from engine.run.errors import RunError
from engine.run.keeper import session_members, start_of
from engine.run.layout import RunDirectory
from engine.run.liveness import Liveness, RunState, assess_patiently
from engine.run.lock import holders
from engine.run.process import Place, is_running, place_of, signal_process
from engine.run.records import ProcessRecord
from sdxl_tui.fleet.launch import wait

PATIENCE_SECONDS: Final = 10.0
KILL_SECONDS: Final = 15.0
STARTING_SECONDS: Final = 2.0


def request_stop(run: RunDirectory, save: bool = True, *, at_step: int | None = None) -> None:
    """Ask the engine to finish its step (or wait for ``at_step``), save and end. Returns at once; asking twice does no harm.

    The request is a command file, which also reaches an engine on another machine, and SIGTERM, which wakes one that does
    not look yet. Raises ``RunError`` if the run is not alive or neither could be delivered.
    """
    liveness = _alive(run)
    arguments = {"save": save} | ({} if at_step is None else {"at_step": at_step})
    undelivered: RunError | None = None
    try:
        send_command(run, "stop", **arguments)
    except RunError as error:
        undelivered = error
    _wake(liveness.process)
    # SIGTERM means: save and stop now. It may not overtake a request that says otherwise.
    signalled = at_step is None and (save or liveness.state is RunState.STARTING) and _terminate(liveness.process)
    if undelivered is not None and not signalled:
        raise undelivered


def stop_now(run: RunDirectory, *, patience: float = PATIENCE_SECONDS) -> Liveness:
    """End the run without saving: ask, and kill what has not ended within ``patience`` seconds. Blocks until it has ended.

    What was trained since the last checkpoint is lost. An engine that is only starting, deaf while it loads its libraries,
    gets two seconds. Raises ``RunError`` if the run is not alive here.
    """
    state, _ = _here(run)
    if state is RunState.STARTING:
        patience = min(patience, STARTING_SECONDS)
    with contextlib.suppress(RunError):  # ended meanwhile, or a full disk: then we need not ask
        request_stop(run, save=False)
    liveness = wait(run, patience)
    return kill(run) if liveness.alive and liveness.exit is None else liveness


def kill(run: RunDirectory) -> Liveness:
    """SIGKILL the engine and all that it started, at once. Blocks until nothing is left, about 15 s at most.

    The keeper is left to record it, unless it hangs too. The last checkpoint stays. Raises ``RunError`` if the run is not
    alive here.
    """
    _, process = _here(run)
    victims = [(process.engine_pid, process.engine_start), *_workers(run, process)]
    _wake(process)
    for pid, started in victims:
        signal_process(pid, started, signal.SIGKILL)
    liveness = wait(run, KILL_SECONDS)
    if liveness.alive:
        signal_process(process.keeper_pid, process.keeper_start, signal.SIGKILL)
        liveness = wait(run, 1.0)
    return liveness


def out_of_reach(liveness: Liveness) -> str:
    """The machine on which a live run's processes are, if they cannot be signalled from here; else empty."""
    process = liveness.process
    is_here = process is None or not liveness.alive or place_of(process) is Place.HERE
    return "" if is_here or process is None else process.host or "another machine"


def _alive(run: RunDirectory) -> Liveness:
    liveness = assess_patiently(run)
    if not liveness.alive:
        raise RunError(f"is not running ({liveness.state})", where=run.id)
    return liveness


def _here(run: RunDirectory) -> tuple[RunState, ProcessRecord]:
    """What a run is doing that is alive on this machine, and its processes, which can be signalled from here."""
    liveness = _alive(run)
    process = liveness.process
    if process is None:
        raise RunError("is only just starting", where=run.id, hint="Try again in a moment.")
    if place_of(process) is not Place.HERE:
        raise RunError(
            f"runs on {process.host}, out of reach from here",
            where=run.id,
            hint=f"Ask it to save and end: sdxl-tui stop {run.id}",
        )
    return liveness.state, process


def _terminate(process: ProcessRecord | None) -> bool:
    """SIGTERM to the engine, or to the keeper, which passes it on."""
    if process is None or place_of(process) is not Place.HERE:
        return False
    return signal_process(process.engine_pid, process.engine_start, signal.SIGTERM) or signal_process(
        process.keeper_pid, process.keeper_start, signal.SIGTERM
    )


def _wake(process: ProcessRecord | None) -> None:
    """SIGCONT: a suspended process hears nothing else."""
    if process is not None and place_of(process) is Place.HERE:
        signal_process(process.engine_pid, process.engine_start, signal.SIGCONT)
        signal_process(process.keeper_pid, process.keeper_start, signal.SIGCONT)


def _workers(run: RunDirectory, process: ProcessRecord) -> list[tuple[int, int | None]]:
    """Whatever the engine started, as (pid, start): who holds the run's lock, and the rest of the living keeper's session."""
    pids = set(holders(run.lock))
    if process.keeper_pid is not None and is_running(process.keeper_pid, process.keeper_start):
        pids.update(session_members(process.keeper_pid))
    return [(pid, start_of(pid)) for pid in pids - {process.keeper_pid, process.engine_pid, os.getpid()}]
