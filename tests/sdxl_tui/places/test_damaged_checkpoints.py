"""Whatever lies in a run's folder: one clear line in the browser, which goes on."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.checkpoint.describe import CheckpointSummary
from engine.checkpoint.manifest import write_manifest
from sdxl_tui.fleet.families import CheckpointEntry, CheckpointShelf
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.widgets.checkpoint_facts import facts, heading, rates
from sdxl_tui.widgets.row_list import RowList
from sdxl_tui.widgets.schedule_plot import plot_lines, stored_curve
from tests.sdxl_tui.places.place_field import NOW, Field, Shell, screen_text, until


def truncated(folder: Path) -> None:
    """The optimizer's file is cut in half."""
    os.truncate(folder / "optimizer.safetensors", 200_000)


def flipped(folder: Path) -> None:
    """A bit of the state is another, which makes it no JSON."""
    data = bytearray((folder / "state.json").read_bytes())
    data[0] ^= 1
    (folder / "state.json").write_bytes(data)


def without_manifest(folder: Path) -> None:
    """It was never finished, or the manifest was lost."""
    (folder / "manifest.json").unlink()


def naming_outside(folder: Path) -> None:
    """The manifest names a file that is not in the folder."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../../../run.json"] = {"bytes": 1, "sha256": "0" * 64}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def of_the_future(folder: Path) -> None:
    """A newer version wrote it."""
    state = json.loads((folder / "state.json").read_text()) | {"format": 9}
    (folder / "state.json").write_text(json.dumps(state))
    write_manifest(folder, state["step"])


def with_a_link(folder: Path) -> None:
    """A file of it is a link to one elsewhere."""
    shutil.move(folder / "lora.safetensors", folder.parent.parent / "elsewhere")
    (folder / "lora.safetensors").symlink_to(folder.parent.parent / "elsewhere")


def a_loop(folder: Path) -> None:
    """The folder is a link to itself."""
    shutil.rmtree(folder)
    folder.symlink_to(folder)


def to_nothing(folder: Path) -> None:
    """The folder is a link to one that is gone."""
    shutil.rmtree(folder)
    folder.symlink_to(folder.parent / "gone")


def a_file(folder: Path) -> None:
    """There is a file under its name."""
    shutil.rmtree(folder)
    folder.write_text("")


def with_a_pipe(folder: Path) -> None:
    """Reading the manifest would wait for ever."""
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


def unreadable(folder: Path) -> None:
    """Its folder may not be entered."""
    folder.chmod(0)


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (truncated, "optimizer.safetensors has 200,000 bytes instead of 400,000"),
    (flipped, "state.json is not readable"),
    (without_manifest, "it has no manifest.json"),
    (naming_outside, "which is no plain file name"),
    (of_the_future, "written by a newer version"),
    (with_a_link, "lora.safetensors is not a regular file"),
    (a_loop, "it cannot be read: Too many levels of symbolic links"),
    (to_nothing, "a link to nothing"),
    (a_file, "a file, not a folder"),
    (with_a_pipe, "its manifest.json is not readable"),
    (unreadable, "it cannot be read: Permission denied"),
]


async def shows(pilot: Pilot[None], text: str) -> None:
    """Wait until ``text`` stands on the screen, wherever its lines are broken."""
    wanted = "".join(text.split())
    await until(
        pilot,
        lambda: wanted in "".join(line[55:].strip() for line in screen_text(pilot.app).splitlines()).replace(" ", ""),
        text,
    )


@pytest.mark.parametrize(("damage", "reason"), DAMAGE, ids=[damage.__name__ for damage, _ in DAMAGE])
async def test_each_kind_of_damage_is_one_line_and_the_browser_goes_on(
    field: Field, damage: Callable[[Path], None], reason: str
) -> None:
    if damage is unreadable and os.geteuid() == 0:
        pytest.skip("root reads everything")
    run = field.run()
    field.checkpoint(run, 100)
    damage(field.checkpoint(run, 200))
    async with Shell(lambda: CheckpointsScreen(field.workspace)).run_test(size=(160, 40)) as pilot:
        await shows(pilot, reason)
        rows = pilot.app.screen.query_one(RowList)
        await until(pilot, lambda: "damaged" in "".join(text for text, _ in rows.rows[1].label), "the mark of its row")
        await pilot.press("v", "c", "p", "p", "f")
        await pilot.pause(0.1)
        await pilot.press("escape", "i")
        await pilot.pause(0.1)
        await pilot.press("escape", "down")
        await shows(pilot, "step 100 of 2,000")
        await pilot.press("space", "up", "space", "equals_sign")
        await until(pilot, lambda: not isinstance(pilot.app.screen, CheckpointsScreen), "the comparison")
        await until(pilot, lambda: "Reading" not in screen_text(pilot.app), "its end")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, CheckpointsScreen), "the way back")


async def test_one_that_goes_while_it_is_shown_and_one_that_is_being_written(field: Field) -> None:
    run = field.run()
    for step in (100, 200):
        field.checkpoint(run, step)
    async with Shell(lambda: CheckpointsScreen(field.workspace)).run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "step 200 of" in screen_text(pilot.app), "the newest")
        shutil.rmtree(run.checkpoint(200))
        (run.checkpoints / ".tmp-step-00000300").mkdir()
        await pilot.press("v", "p", "y")
        await until(pilot, lambda: "step 100 of" in screen_text(pilot.app), "the one that is left")
        rows = pilot.app.screen.query_one(RowList)
        assert [row.key for row in rows.rows] == [run.id, f"{run.id}/step-00000100"]


async def test_checkpoints_that_cannot_be_listed_are_said_to_be(field: Field) -> None:
    run = field.run()
    run.checkpoints.rmdir()
    run.checkpoints.symlink_to(run.checkpoints)
    async with Shell(lambda: CheckpointsScreen(field.workspace)).run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "Its checkpoints cannot be listed" in screen_text(pilot.app), "the reason")


def test_any_state_is_shown_or_refused_in_a_line(field: Field) -> None:
    """Values of any kind in any place of the state: a sentence or a screen, never a crash."""
    run = field.run()
    folder = field.checkpoint(run, 100)
    whole = json.loads((folder / "state.json").read_text())
    generator = random.Random(7)
    odd: list[Any] = [None, True, -1, 0, 10**30, 1e308, -1e-300, "", "\x1b[31m", [], {}, [[0, 1]], "x" * 5000]
    shown = 0
    for _ in range(300):
        state = json.loads(json.dumps(whole))
        _, spot, key = generator.choice(list(_places(state)))
        spot[key] = generator.choice(odd)
        (folder / "state.json").write_text(json.dumps(state))
        write_manifest(folder, 100)
        found = CheckpointShelf(field.workspace).describe(CheckpointEntry(folder, 100))
        if not isinstance(found, CheckpointSummary):
            assert found is not None
            assert found.reason
            continue
        shown += 1
        for content in (heading(found, run.id, NOW), rates(found, 48), facts(found, None, None, 48)):
            assert "\x1b" not in content.plain
        base_lr = max(group.base_lr for group in found.groups)
        plot_lines(stored_curve(found.schedule, base_lr, found.step), [], 40, 8)
    assert shown > 100


def _places(value: Any, path: str = "") -> Any:
    """(path, container, key) of everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield f"{path}/{key}", value, key
        yield from _places(inner, f"{path}/{key}")
