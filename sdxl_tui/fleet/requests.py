"""Asking a live run for something between two of its steps: to save, sample, validate, pause or go on.

The answer is an event of the run; nothing here waits for it. Ending a run is ``stop.py``'s business.
"""

from __future__ import annotations

from engine.run.commands import send_command
from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from engine.run.liveness import RunState, assess


def request(run: RunDirectory, command: str) -> None:
    """Put ``command`` to the run's engine. Raises ``RunError`` if it is not alive, or if a pause or its end makes no sense."""
    liveness = assess(run)
    if not liveness.alive:
        raise RunError(f"is not running ({liveness.state})", where=run.id)
    status = liveness.status
    says_paused = status is not None and status.attempt == liveness.attempt and status.state == "paused"
    if command == "pause" and says_paused:
        raise RunError("is paused already", where=run.id, hint=f"Let it go on: sdxl-tui unpause {run.id}")
    if command == "unpause" and liveness.state is RunState.PAUSED and not says_paused:
        raise RunError("was suspended by a signal", where=run.id, hint="Send its engine SIGCONT.")
    send_command(run, command)
