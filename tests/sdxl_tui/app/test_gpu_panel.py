"""The GPUs on top of Runs and the queue below it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sdxl_tui.app import SdxlTui
from sdxl_tui.fleet.gpu_processes import GpuProcess
from sdxl_tui.fleet.gpu_readings import GpuReading
from tests.sdxl_tui.app.run_field import RunField, fill_for_show
from tests.sdxl_tui.app.screen_text import screen_lines, screen_text, wait_for_text

OpenApp = Callable[..., SdxlTui]
GIB = 1 << 30


def reading(index: int, *, run: str | None = None, stranger: str = "", share: float = 0.0) -> GpuReading:
    processes = [GpuProcess(7, 20 * GIB, run, "", "")] if run else []
    processes += [GpuProcess(8, 30 * GIB, None, stranger, "blender")] if stranger else []
    used = GIB // 2 + sum(process.memory or 0 for process in processes)
    return GpuReading(
        index, f"GPU-{index}", "NVIDIA GeForce RTX 4090", share, used, 80 * GIB, 64, 300.0, 450.0, tuple(processes)
    )


async def test_each_gpu_has_a_line_with_all_that_is_known_and_who_uses_it(runs: RunField, open_app: OpenApp) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=(150, 40)) as pilot:
        await wait_for_text(pilot, "sketches")
        app.gpus = (reading(0, run="fox-1", stranger="anna", share=0.97), reading(1))
        await pilot.pause()
        first, second = screen_lines(app)[1:3]
    for text in ("0 RTX 4090", "97 %", "50/80 GiB", "64 °C", "300/450 W", "fox-1, anna blender 30.0 GiB"):
        assert text in first
    assert second.startswith(" 1 RTX 4090") and "free" in second


@pytest.mark.parametrize("gpus", [0, 1, 8, 16])
@pytest.mark.parametrize("size", [(80, 24), (20, 5), (200, 50)])
async def test_the_runs_keep_their_place_however_many_gpus_there_are(
    runs: RunField, open_app: OpenApp, gpus: int, size: tuple[int, int]
) -> None:
    fill_for_show(runs)
    app = open_app()
    async with app.run_test(size=size) as pilot:
        await wait_for_text(pilot, "sdxl")
        app.gpus = tuple(reading(index) for index in range(gpus))
        await pilot.pause()
        text, rows = screen_text(app), app.screen.query_one("#runs").size.height
        shown = sum("4090" in line for line in screen_lines(app))
    assert shown == (0 if size[1] < 16 else min(gpus, 7 if gpus > 8 else 8))
    assert ("more GPUs" in text) == (gpus > 8 and size[1] >= 16)
    assert rows >= (6 if size[1] >= 16 else 1)


async def test_memory_that_nobody_here_holds_is_not_called_free(runs: RunField, open_app: OpenApp) -> None:
    runs.run()
    app = open_app()
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for_text(pilot, "fox")
        full = reading(0)
        app.gpus = (GpuReading(0, full.uuid, full.name, 0.5, 40 * GIB, 80 * GIB),)
        await wait_for_text(pilot, "by whom cannot be seen")
