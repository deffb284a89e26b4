"""Samples through time: rows of the same prompt that fit, keys that move through them, new ones that appear."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.run.layout import RunDirectory
from sdxl_tui.fleet.sample_grid import GAP, NARROWEST, WORDS, SampleGrid, layout_for, window
from sdxl_tui.fleet.sample_pictures import samples_by_step
from sdxl_tui.screens.samples import SamplesPage
from tests.sdxl_tui.places.place_field import Field, Shell, screen_text, until


def draw(run: RunDirectory, step: int, prompt: int) -> Path:
    path = run.samples / f"step-{step:08d}-{prompt:02d}.png"
    Image.new("RGB", (64, 64), (step % 256, 90, 40 * prompt)).save(path)
    return path


@given(st.integers(4, 400), st.integers(4, 120), st.integers(1, 500), st.integers(1, 12))
def test_what_is_laid_out_fits_and_is_no_more_than_there_is(width: int, height: int, steps: int, prompts: int) -> None:
    found = layout_for(width, height, steps, prompts)
    assert 1 <= found.steps <= steps and 1 <= found.prompts <= prompts
    assert found.steps * found.columns + (found.steps - 1) * GAP <= width
    assert found.prompts * (found.rows + WORDS) <= max(height, 1 + WORDS)
    assert found.columns >= min(NARROWEST, width)
    if steps >= 3 and width >= 3 * NARROWEST + 2 * GAP:
        assert found.steps >= 3


@given(st.integers(-5, 300), st.integers(1, 50), st.integers(0, 299), st.integers(1, 300))
def test_a_window_holds_where_one_stands_and_stays_where_it_is_if_it_can(
    first: int, shown: int, at: int, count: int
) -> None:
    at = min(at, count - 1)
    shown = min(shown, count)
    begin = window(first, shown, at, count)
    assert 0 <= begin <= at < begin + shown <= count
    if 0 <= first <= at < first + shown <= count:
        assert begin == first


def test_a_grid_knows_its_gaps(field: Field) -> None:
    run = field.run()
    for step, prompt in ((100, 0), (100, 1), (200, 0), (300, 0), (300, 4)):
        draw(run, step, prompt)
    grid = SampleGrid.of(samples_by_step(run))
    assert (grid.steps, grid.prompts) == ((100, 200, 300), (0, 1, 4))
    assert grid.path(200, 1) is None and grid.path(300, 4) is not None
    assert [grid.nearest_step(step) for step in (None, 50, 100, 250, 999)] == [300, 100, 100, 200, 300]


@pytest.mark.parametrize(("size", "beside"), [((80, 24), 3), ((200, 50), 5)])
async def test_a_prompt_is_followed_through_the_steps_by_keys(field: Field, size: tuple[int, int], beside: int) -> None:
    run = field.run()
    for step in range(100, 1300, 100):
        for prompt in (0, 1):
            draw(run, step, prompt)
    page = SamplesPage(field.workspace, run)
    async with Shell(lambda: page).run_test(size=size) as pilot:
        await until(pilot, lambda: "▸ step 1,200" in screen_text(pilot.app), "the newest")
        text = screen_text(pilot.app)
        assert "step 1,200 · 12 of 12 · prompt 1 of 2" in text
        in_sight = [step for step in range(100, 1300, 100) if f"step {step:,} " in text.replace("·", "")]
        assert len(in_sight) == beside
        await pilot.press("left", "left")
        await until(pilot, lambda: "▸ step 1,000" in screen_text(pilot.app), "two steps earlier")
        await pilot.press("down")
        await until(pilot, lambda: "10 of 12 · prompt 2 of 2" in screen_text(pilot.app), "the other prompt")
        await pilot.press("enter")
        await until(pilot, lambda: "▸" not in screen_text(pilot.app), "one, large")
        await pilot.press("home")
        await until(pilot, lambda: "step 100 · 1 of 12" in screen_text(pilot.app), "the first, still large")
        assert page.path == run.samples / "step-00000100-01.png"
        await pilot.press("escape")
        await until(pilot, lambda: "▸ step 100" in screen_text(pilot.app), "all again")


async def test_at_the_newest_step_new_ones_appear_and_elsewhere_one_stays(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdxl_tui.screens.samples.LOOK_SECONDS", 0.1)
    run = field.run()
    page = SamplesPage(field.workspace, run)
    async with Shell(lambda: page).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "No samples yet" in screen_text(pilot.app), "the words")
        draw(run, 100, 0)
        await until(pilot, lambda: "▸ step 100" in screen_text(pilot.app), "the first")
        draw(run, 200, 0)
        await until(pilot, lambda: "▸ step 200" in screen_text(pilot.app), "the next")
        await pilot.press("left")
        draw(run, 300, 0)
        await until(pilot, lambda: "1 of 3" in screen_text(pilot.app), "where it stood")
        assert "▸ step 100" in screen_text(pilot.app)


async def test_a_broken_or_missing_picture_is_said_in_its_place(field: Field) -> None:
    run = field.run()
    draw(run, 100, 0)
    draw(run, 200, 1)
    (run.samples / "step-00000300-00.png").write_bytes(b"half")
    async with Shell(lambda: SamplesPage(field.workspace, run)).run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "cannot be read as a" in screen_text(pilot.app), "its reason")
        assert "not drawn" in screen_text(pilot.app)
