"""The command ``gpus``: what the GPUs of this machine do now, and who uses them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import Column, err, out
from sdxl_tui.fleet.gpu_processes import own_runs
from sdxl_tui.fleet.gpu_readings import open_gpu_reader
from sdxl_tui.fleet.runs import list_runs
from sdxl_tui.terminal.numbers import UNKNOWN, format_percent

if TYPE_CHECKING:
    from sdxl_tui.fleet.gpu_readings import GpuReading

GIB: Final = 1 << 30
COLUMNS: Final = (
    Column("GPU", right=True),
    Column("NAME", droppable=1, shortens=True),
    Column("BUSY", right=True),
    Column("MEMORY", right=True),
    Column("TEMPERATURE", right=True, droppable=2),
    Column("POWER", right=True, droppable=3),
    Column("USED BY", shortens=True),
)


def add_commands(commands: Commands) -> None:
    """Declare it."""
    add_command(
        commands,
        "gpus",
        show_gpus,
        summary="show what the GPUs do and who uses them",
        about="""Show the GPUs of this machine: the share of time in which they compute, memory, temperature, power, and the
        processes on them: runs of this workspace by their ids, others by user and program.

        Reads them through the driver's library with the extra 'gpu' (pip install 'sdxl-tui[gpu]'), else through
        nvidia-smi.""",
        examples=["sdxl-tui gpus", "sdxl-tui gpus --json"],
        json=True,
    )


def show_gpus(arguments: argparse.Namespace) -> int:
    """``sdxl-tui gpus``."""
    workspace = workspace_to_read(arguments)
    reader = open_gpu_reader()
    readings = () if reader is None else reader.read(own_runs(list_runs(workspace)))
    if arguments.json:
        out().json([asdict(reading) for reading in readings])
    elif readings:
        out().table(COLUMNS, [_row(reading) for reading in readings])
    else:
        err().line("No GPU of NVIDIA's is seen here; runs train on the processor.")
    return EXIT_OK


def memory_of(reading: GpuReading) -> str:
    """``61.0 of 79.6 GiB``"""
    if reading.used is None or reading.total is None:
        return UNKNOWN
    return f"{reading.used / GIB:.1f} of {reading.total / GIB:.1f} GiB"


def _row(reading: GpuReading) -> list[str]:
    watts = UNKNOWN if reading.watts is None else f"{reading.watts:.0f} W"
    users = [
        process.who + ("" if process.memory is None else f" {process.memory / GIB:.1f} GiB")
        for process in reading.processes
    ]
    return [
        str(reading.index),
        reading.name,
        format_percent(reading.share),
        memory_of(reading),
        UNKNOWN if reading.temperature is None else f"{reading.temperature} °C",
        watts if reading.watts_limit is None else f"{watts} of {reading.watts_limit:.0f} W",
        reading.problem or ", ".join(users) or "–",
    ]
