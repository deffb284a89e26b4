"""Keeps Python's garbage collector from walking through everything the app has loaded: a stall of 0.1 s and more each time."""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 20, 50)
"""Of the three generations. Reading one checkpoint makes thousands of short-lived lists: with Python's 700 the oldest generation
was collected within the first few."""


def settle_memory() -> None:
    """Take all that is loaded by now for lasting, and collect more seldom. For after imports; cycles that are garbage stay."""
    gc.set_threshold(*THRESHOLDS)
    gc.freeze()
