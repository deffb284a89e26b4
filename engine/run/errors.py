"""What can be wrong with a run, for a person. Raised by the modules beside this one and by the manager's fleet."""

from __future__ import annotations

from engine.errors import UserError


class RunError(UserError):
    """A run that cannot be made, found, started or stopped."""


class RunBusy(RunError):  # noqa: N818 - reads as what it says
    """Something of the run is alive, here or on another machine: it cannot be started or changed now."""
