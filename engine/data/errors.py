"""What can go wrong with a data set, and the one way in which preparing it ends early without anything being wrong."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import UserError


class DatasetError(UserError):
    """The images, captions or cache of a run cannot be used as they are."""


class DataOrderError(UserError):
    """A stored position in the data does not belong to the data at hand."""


class PreparationStopped(Exception):  # noqa: N818 — a request that was met, not an error
    """``should_stop`` said yes between two items; everything encoded so far is in the cache."""


def shown(path: Path | str) -> str:
    """``path`` as text that always encodes: bytes that are no UTF-8 are replaced. For messages, never for opening."""
    return os.fsencode(path).decode("utf-8", errors="replace")
