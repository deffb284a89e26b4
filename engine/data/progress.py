"""How the preparation of a data set talks to whoever started it: three callbacks, and what they are when nobody listens."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """Called as often as something is done; the receiver thins it out."""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """``done`` of ``total`` items of ``what`` ("images", "latents" or "text") are ready."""


class ShouldStop(Protocol):
    """Asked between two items."""

    def __call__(self) -> bool:
        """True to end the preparation with ``PreparationStopped``."""


class Warn(Protocol):
    """Called for everything that is mended or left out, and that a person should hear of."""

    def __call__(self, message: str, where: str, /) -> None:
        """``message`` in one sentence; ``where``: the file or folder it is about."""


def report_to_nobody(what: str, done: int, total: int, /) -> None:
    """A ``Report`` that is not heard."""


def never_stop() -> bool:
    """A ``ShouldStop`` that never asks for it."""
    return False


def warn_nobody(message: str, where: str, /) -> None:
    """A ``Warn`` that is not heard."""
