"""The newest values of a watched run, by the end of its event files: enough for a row of a table, however long they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.foreign.event_file import open_to_read, readings_near
from engine.foreign.event_record import Reading
from sdxl_tui.fleet.watched.tags import Meaning, understand

TAIL_BYTES: Final = (8192, 262_144, 8_388_608)
"""Read of each file: some twenty steps; more where there are none, and most only where pictures and texts stand there alone."""


@dataclass(frozen=True)
class Tail:
    """What the end of the event files says."""

    step: int = 0
    loss: float | None = None
    average: float | None = None
    validation: float | None = None
    rate: float | None = None
    steps_per_second: float | None = None
    is_by_step: bool = False
    """The step is that of a scalar that is known to count steps, and not of another that stood in for it."""


def read_tail(files: Sequence[tuple[Path, os.stat_result]], before: Tail) -> Tail:
    """The newest values; what is not written so near the end is as it was before."""
    found = before
    for path, status in files[-2:]:  # a new file may hold nothing yet
        try:
            descriptor = open_to_read(path)
        except OSError:
            continue
        try:
            found = _newer(found, _last_readings(descriptor, status.st_size))
        except OSError:
            continue
        finally:
            os.close(descriptor)
    return found


def _last_readings(descriptor: int, size: int) -> list[Reading]:
    """From so far before the end that a step is among them."""
    readings: list[Reading] = []
    for length in TAIL_BYTES:
        start = max(0, size - length)
        readings = readings_near(descriptor, start, size - start)
        tags = [understand(reading.tag) for reading in readings if reading.tag is not None]
        if start == 0 or any(tag.is_by_step for tag in tags) or (tags and length > TAIL_BYTES[0]):
            break
    return readings


def _newer(before: Tail, readings: Sequence[Reading]) -> Tail:
    first, last = None, None
    others: dict[str, tuple[Reading, Reading]] = {}
    values: dict[Meaning, tuple[int, float | None]] = {}
    rates: dict[str, tuple[int, float | None]] = {}
    for reading in readings:
        if reading.tag is None:
            continue
        tag, value = understand(reading.tag), None if reading.value != reading.value else reading.value
        if tag.is_by_step:
            first, last = first or reading, reading
        elif not tag.by_epoch:
            others[tag.name] = others.get(tag.name, (reading, reading))[0], reading
        if tag.meaning is Meaning.RATE:
            if tag.rank <= rates.get(tag.group, (99, None))[0]:
                rates[tag.group] = tag.rank, value
        elif tag.rank <= values.get(tag.meaning, (99, None))[0]:
            values[tag.meaning] = tag.rank, value
    if not values and not rates:
        return before
    is_by_step = before.is_by_step or last is not None
    if not is_by_step and others:
        first, last = max(others.values(), key=lambda pair: pair[1].step)
    made, took = (last.step - first.step, last.time - first.time) if first and last else (0, 0.0)
    return Tail(
        (last.step if last else 0) or before.step,
        values.get(Meaning.LOSS, (0, before.loss))[1],
        values.get(Meaning.AVERAGE, (0, before.average))[1],
        values.get(Meaning.VALIDATION, (0, before.validation))[1],
        rates[next((group for group in ("unet", "lr") if group in rates), min(rates))][1] if rates else before.rate,
        made / took if made > 0 < took else before.steps_per_second,
        is_by_step,
    )
