"""What the app has loaded is not walked through again by the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from sdxl_tui.settled_memory import settle_memory


@pytest.fixture
def thresholds() -> Iterator[None]:
    """Put the collector back as it was."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_is_loaded_is_set_aside_and_cycles_made_later_are_still_collected(thresholds: None) -> None:
    settle_memory()
    assert gc.get_freeze_count() > 1000
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() > 0
