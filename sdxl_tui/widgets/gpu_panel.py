"""The GPUs of the machine above the table of runs, a line each: how busy, how full, how hot, and who is on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

from sdxl_tui.fleet.gpu_readings import GpuReading
from sdxl_tui.terminal.numbers import UNKNOWN, format_percent
from sdxl_tui.widgets.painted import Painted, Piece, Row

MUTED: Final = "$foreground 60%"
FAINT: Final = "$foreground 35%"
HOT: Final = 83
"""Degrees Celsius from which cards of any kind begin to slow down."""
VERY_HOT: Final = 90
FULL: Final = 0.95
IDLE: Final = 0.05
"""Share of a card's memory that its driver may take for itself."""
GIB: Final = 1 << 30
WIDE: Final = 120
MOST: Final = 8
"""Lines; the last one counts the GPUs that have none."""


class GpuPanel(Painted):
    """Hidden until ``show`` is given a GPU; as high as there are GPUs, but never more than a third of the screen."""

    DEFAULT_CSS = """
    GpuPanel { display: none; height: 1; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(id="gpus")
        self._readings: tuple[GpuReading, ...] = ()

    def show(self, readings: Sequence[GpuReading], *, room: int) -> None:
        """Draw these. room: lines that there are at most."""
        self._readings = tuple(readings)
        height = min(len(readings), room, MOST)
        self.display = height > 0
        if height > 0 and self.styles.height is not None and self.styles.height.value != height:
            self.styles.height = height
        self.repaint()

    def rows_for(self, width: int, height: int) -> Sequence[Row]:
        """A line per GPU."""
        if len(self._readings) <= height:
            return [gpu_row(reading, width) for reading in self._readings]
        left_out = self._readings[height - 1 :]
        busy = sum(reading.share is not None and reading.share >= 0.05 for reading in left_out)
        last = ((f"and {len(left_out)} more GPUs, {busy} of them busy: sdxl-tui gpus", MUTED),)
        return [*(gpu_row(reading, width) for reading in self._readings[: height - 1]), last]


def gpu_row(reading: GpuReading, width: int) -> Row:
    """``0 H200 ███─── 87 %  61/141 GB  64 °C 512/700 W  fox-…``; the last part takes what is left."""
    wide = width >= WIDE
    name = short_name(reading.name)
    row: list[Piece] = [(f"{reading.index} ", "bold"), (_fit(name, 16 if wide else 9), MUTED), (" ", "")]
    if reading.problem:
        return (*row, (reading.problem, "$error"))
    row += [*_bar(reading.share, 14 if wide else 6, "$success"), (f"{format_percent(reading.share):>6}", "")]
    row += [("  ", "")]
    full = reading.used / reading.total if reading.used is not None and reading.total else None
    style = "$warning" if full is not None and full >= FULL else ""
    if wide:
        row += [*_bar(full, 14, style or "$primary"), (" ", "")]
    row += [(f"{memory_text(reading):>11}", style), ("  ", "")]
    row += [(_temperature(reading), _heat(reading)), ("  ", "")]
    row += [(f"{watts_text(reading, with_limit=wide):>{9 if wide else 5}}", MUTED), ("  ", "")]
    return (*row, *_who(reading))


def short_name(name: str) -> str:
    """``RTX 4090``: what every card of the maker is called by is left out."""
    for word in ("NVIDIA ", "GeForce ", "Tesla ", "Graphics Device"):
        name = name.replace(word, "")
    return name.strip() or "GPU"


def memory_text(reading: GpuReading) -> str:
    """``61/80 GiB``, the unit that makes an 80 GB card 80; below ten with a decimal, to tell one in use from an idle one."""
    if reading.used is None or reading.total is None:
        return UNKNOWN
    used, total = reading.used / GIB, reading.total / GIB
    return f"{used:.1f}/{total:.0f} GiB" if used < 9.95 else f"{used:.0f}/{total:.0f} GiB"


def watts_text(reading: GpuReading, *, with_limit: bool) -> str:
    """``512/700 W``"""
    if reading.watts is None:
        return UNKNOWN
    limit = f"/{reading.watts_limit:.0f}" if with_limit and reading.watts_limit else ""
    return f"{reading.watts:.0f}{limit} W"


def _temperature(reading: GpuReading) -> str:
    return f"{UNKNOWN if reading.temperature is None else reading.temperature:>3} °C"


def _heat(reading: GpuReading) -> str:
    if reading.temperature is None or reading.temperature < HOT:
        return MUTED
    return "$error" if reading.temperature >= VERY_HOT else "$warning"


def _who(reading: GpuReading) -> Row:
    """Our runs in front, then other people's processes with what they take."""
    if not reading.processes:
        if reading.used is not None and reading.total and reading.used > IDLE * reading.total:
            return (("taken, by whom cannot be seen from here", "$warning"),)
        return (("free", "$foreground 45%"),)
    ordered = sorted(reading.processes, key=lambda process: (process.run is None, -(process.memory or 0)))
    pieces: list[Piece] = []
    for process in ordered:
        if pieces:
            pieces.append((", ", FAINT))
        if process.run is not None:
            pieces.append((process.run, "bold"))
        else:
            taken = "" if process.memory is None else f" {process.memory / GIB:.1f} GiB"
            pieces.append((f"{process.who}{taken}", "$warning"))
    return tuple(pieces)


def _bar(share: float | None, width: int, style: str) -> Row:
    full = 0 if share is None else min(width, max(1 if share >= 0.01 else 0, round(share * width)))
    return (("━" * full, style), ("─" * (width - full), "$foreground 20%"))


def _fit(text: str, width: int) -> str:
    if cell_len(text) > width:
        text = text[: width - 1] + "…"
    return text + " " * (width - cell_len(text))
