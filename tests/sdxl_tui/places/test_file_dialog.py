"""Training on from a state of sd-scripts or a LoRA file in the browser: what the dialog says, and what it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from textual.pilot import Pilot

import sdxl_tui.fleet.launch as launch_module
from engine.profile.load import read_snapshot
from engine.run.layout import RunDirectory
from engine.run.records import RunRecord
from sdxl_tui.fleet.foreign_states import add_folder
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.screens.file_dialog import METADATA, FileDialog
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.row_list import RowList
from tests.engine.foreign.made_states import REAL_LORA, REAL_STATE, base_of_the_real_states
from tests.sdxl_tui.places.place_field import PROFILE, Field, Shell, screen_text, typed, until


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of the widths that the real state was trained on."""
    return base_of_the_real_states(tmp_path_factory.mktemp("bases") / "nano")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[RunDirectory]:
    """The runs whose engines would have been started; none really is."""
    runs: list[RunDirectory] = []

    def note(run: RunDirectory, **_devices: object) -> int:
        runs.append(run)
        return 1

    monkeypatch.setattr(launch_module, "start", note)
    return runs


def shell(field: Field, tmp_path: Path, *, with_lora: bool = True) -> Shell:
    """The browser, with the real state and the LoRA file beside it in a folder that is shown."""
    output = tmp_path / "output"
    output.mkdir()
    shutil.copytree(REAL_STATE, output / REAL_STATE.name)
    if with_lora:
        shutil.copy(REAL_LORA, output)
    add_folder(field.workspace, output)
    return Shell(lambda: CheckpointsScreen(field.workspace))


async def dialog(pilot: Pilot[None], ending: str) -> FileDialog:
    """Open it on the row whose key ends so, and wait until its first profile was looked at."""
    await until(pilot, lambda: bool(pilot.app.screen.query(RowList)), "the list")
    rows = pilot.app.screen.query_one(RowList)
    await until(pilot, lambda: any(row.key.endswith(ending) for row in rows.rows), "the rows")
    rows.move_to(next(row.key for row in rows.rows if row.key.endswith(ending)))
    await until(pilot, lambda: "c Train on" in screen_text(pilot.app), "the details")
    await pilot.press("c")
    await until(pilot, lambda: isinstance(pilot.app.screen, FileDialog), "the dialog")
    screen = pilot.app.screen
    assert isinstance(screen, FileDialog)
    await until(pilot, lambda: bool(screen._checked), "the look at base and data")
    return screen


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["small", "large"])
async def test_the_stored_curve_stands_beside_the_new_one_and_the_run_is_made(
    field: Field, base: Path, started: list[RunDirectory], tmp_path: Path, size: tuple[int, int]
) -> None:
    field.profile("nano", PROFILE.replace("bundled:demo-base", str(base)).replace("steps = 2000", "steps = 400"))
    async with shell(field, tmp_path).run_test(size=size) as pilot:
        screen = await dialog(pilot, "-state")
        text = await typed(pilot, "lr", "x4")
        for part in (
            "= 2.00e-4",
            "LR rises ×4.0 over 100 warmup steps",
            "20 steps of its cosine schedule were left",
            "seam 20",
        ):
            assert part in text
        assert "gives way to the file" in text
        assert screen.plan is not None
        await pilot.press("enter")
        await until(pilot, lambda: bool(started), "the start")
        (run,) = started
        record = RunRecord.read(run.record)
        assert record is not None
        assert record.origin is not None
        assert (record.origin.kind, record.origin.step, record.origin.route) == ("sd-scripts state", 20, "continue")
        profile = read_snapshot(run.profile)
        assert (profile.network.rank, profile.optimizer.lr, profile.training.steps) == (1, 2e-4, 400)
        assert run.start_lora.read_bytes() == (REAL_STATE / "model.safetensors").read_bytes()
        await until(pilot, lambda: run.id in getattr(pilot.app, "opened_runs", ()), "its page")


async def test_another_base_and_places_that_only_the_metadata_name_are_said_and_nothing_starts(
    field: Field, started: list[RunDirectory], tmp_path: Path
) -> None:
    field.profile()
    async with shell(field, tmp_path).run_test(size=(120, 40)) as pilot:
        screen = await dialog(pilot, ".safetensors")
        assert "it was made for another base model" in screen_text(pilot.app)
        await pilot.press("enter")
        screen.query_one("#profile", Choice).value = METADATA
        await until(pilot, lambda: METADATA in screen._checked, "the look at what the metadata name")
        text = " ".join(screen_text(pilot.app).split())
        assert "sdxl-tui import" in text
        assert "sdxl-nano-random.safetensors" in text
        await pilot.press("enter")
        assert screen.plan is None
        assert isinstance(pilot.app.screen, FileDialog)
        assert started == []


async def test_a_lora_file_has_no_rate_to_multiply_and_says_so_beside_the_field(
    field: Field, base: Path, tmp_path: Path
) -> None:
    field.profile("nano", PROFILE.replace("bundled:demo-base", str(base)))
    async with shell(field, tmp_path).run_test(size=(200, 50)) as pilot:
        screen = await dialog(pilot, ".safetensors")
        assert "where it stood is not stored" in screen_text(pilot.app)
        assert "does not store the LR it stood at" in " ".join((await typed(pilot, "lr", "x2")).split())
        plans = [screen.plan]
        assert "= 2.00e-4" in await typed(pilot, "lr", "base x2")
        plans.append(screen.plan)
        assert plans[0] is None and plans[1] is not None
        assert (plans[1].jump_from, plans[1].jump) == (None, None)


async def test_a_resize_asks_for_the_rank_and_a_warmup_is_proposed(field: Field, base: Path, tmp_path: Path) -> None:
    text = PROFILE.replace("bundled:demo-base", str(base)).replace("warmup_steps = 100", "warmup_steps = 0")
    field.profile("nano", text)
    async with shell(field, tmp_path, with_lora=False).run_test(size=(80, 24)) as pilot:
        screen = await dialog(pilot, "-state")
        assert "The stored schedule is not known" in screen_text(pilot.app)
        screen.query_one("#way", Choice).value = "resize"
        await pilot.pause()
        await typed(pilot, "rank", "4")
        assert "ctrl+r adds a warmup of 100 steps" in await typed(pilot, "lr", "base x3")
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert screen.plan is not None
        assert (screen.plan.route.value, screen.plan.profile.network.rank, screen.plan.new.warmup_steps) == (
            "resize",
            4,
            100,
        )


async def test_a_state_that_cannot_be_taken_up_is_one_line_and_no_dialog(field: Field, tmp_path: Path) -> None:
    app = shell(field, tmp_path)
    (tmp_path / "output" / REAL_STATE.name / "model.safetensors").unlink()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: bool(pilot.app.screen.query(RowList)), "the list")
        rows = pilot.app.screen.query_one(RowList)
        await until(pilot, lambda: any(row.key.endswith("-state") for row in rows.rows), "the rows")
        rows.move_to(next(row.key for row in rows.rows if row.key.endswith("-state")))
        await until(pilot, lambda: "c Train on" in screen_text(pilot.app), "the details")
        await pilot.press("c")
        said = pilot.app._notifications
        await until(pilot, lambda: any("has no weights" in note.message for note in said), "the reason")
        assert isinstance(pilot.app.screen, CheckpointsScreen)
