"""Scaling the learning rate of a run that is alive: the request, and the engine's answer to it."""

from __future__ import annotations

import time
from typing import Any, Final

from engine.run.commands import send_command
from engine.run.errors import RunError
from engine.run.events import read_events
from engine.run.layout import RunDirectory
from engine.run.liveness import assess

ANSWER_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.1


def request_lr_scale(run: RunDirectory, factor: float) -> str:
    """Ask the engine to multiply every base LR by ``factor`` before its next step; the request's id. Returns at once.

    Raises ``RunError`` if the run is not alive or the request cannot be written.
    """
    liveness = assess(run)
    if not liveness.alive:
        hint = f"Train on with another LR: sdxl-tui continue {run.id} --lr LR"
        raise RunError(f"is not running ({liveness.state})", where=run.id, hint=hint)
    return send_command(run, "scale_lr", factor=factor)


def answer_to(run: RunDirectory, request: str, seconds: float = ANSWER_SECONDS) -> dict[str, Any] | None:
    """The ``command`` event that answers a request; None if there is none within ``seconds`` or the run ends without one."""
    until = time.monotonic() + seconds
    while True:
        alive = assess(run).alive
        for event in read_events(run.events):
            if event.get("event") == "command" and event.get("id") == request:
                return event
        if not alive or time.monotonic() >= until:
            return None
        time.sleep(LOOK_SECONDS)
