"""Training states of sd-scripts beside the runs: which are found, what is shown of them, what is refused."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

import tests.engine.foreign
from sdxl_tui.fleet import foreign_states
from sdxl_tui.fleet.checkpoint_order import Order, Sorting
from sdxl_tui.fleet.checkpoint_query import parse_query
from sdxl_tui.fleet.families import CheckpointShelf
from sdxl_tui.fleet.foreign_states import (
    ForeignEntry,
    ForeignProblem,
    StateFolder,
    StateFolderError,
    StateShelf,
    add_folder,
    find_states,
    read_folders,
    remove_folder,
)
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.widgets.family_rows import View
from sdxl_tui.widgets.flat_rows import flat_rows
from sdxl_tui.widgets.row_list import RowList
from sdxl_tui.widgets.state_rows import shortened
from tests.sdxl_tui.cli.cli_runner import CommandLine
from tests.sdxl_tui.places.place_field import Field, Shell, screen_text, until

DATA = Path(tests.engine.foreign.__path__[0]) / "data"
STATE = "base_cosine-step00000020-state"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder as sd-scripts leaves it: a real state and the LoRA file saved with it."""
    folder = tmp_path / "output"
    folder.mkdir()
    shutil.copytree(DATA / STATE, folder / STATE)
    shutil.copy(DATA / "base_cosine-step00000020.safetensors", folder)
    return folder


def test_folders_are_added_listed_and_removed(field: Field, output: Path) -> None:
    workspace = field.workspace
    assert read_folders(workspace) == ()
    assert add_folder(workspace, output)
    assert not add_folder(workspace, output.parent / "x" / ".." / "output")
    assert read_folders(workspace) == (output,)
    assert remove_folder(workspace, output) == output
    assert read_folders(workspace) == ()
    assert (output / STATE).is_dir()


def test_what_cannot_be_shown_is_refused_with_the_reason(field: Field, output: Path) -> None:
    workspace = field.workspace
    for folder, reason in (
        (output / "gone", "there is no such folder"),
        (output / "base_cosine-step00000020.safetensors", "is a file"),
        (workspace.runs, "shown already"),
    ):
        with pytest.raises(StateFolderError, match=reason):
            add_folder(workspace, folder)
    with pytest.raises(StateFolderError, match="not among"):
        remove_folder(workspace, output)
    workspace.state_folders.write_text('{"format": 1, "folders": 3}')
    with pytest.raises(StateFolderError, match="is not a list"):
        read_folders(workspace)
    workspace.state_folders.write_text('{"format": 2, "folders": []}')
    with pytest.raises(StateFolderError, match="newer version"):
        read_folders(workspace)


def test_states_and_lora_files_are_found_and_not_what_lies_in_a_state(output: Path) -> None:
    found = find_states(output)
    assert {(entry.path.name, entry.is_state) for entry in found.entries} == {
        (STATE, True),
        ("base_cosine-step00000020.safetensors", False),
    }
    assert find_states(output / STATE).entries[0].path == output / STATE


def test_looking_ends_at_a_depth_a_number_and_at_links(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (output / "loop").symlink_to(output)
    (output / "link.safetensors").symlink_to(output / "base_cosine-step00000020.safetensors")
    deep = output / "a/b/c/d/e"
    deep.mkdir(parents=True)
    (deep / "too_deep.safetensors").touch()
    (deep.parent / "deep.safetensors").touch()
    assert {entry.path.name for entry in find_states(output).entries if not entry.is_state} == {
        "base_cosine-step00000020.safetensors",
        "deep.safetensors",
    }
    monkeypatch.setattr(foreign_states, "SHOWN", 1)
    assert find_states(output).problem == "3 found: only the newest 1 are shown"
    monkeypatch.setattr(foreign_states, "SHOWN", 500)
    monkeypatch.setattr(foreign_states, "LOOKED_AT", 2)
    assert "not all of it was looked at" in find_states(output).problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_listed_says_so(output: Path) -> None:
    output.chmod(0)
    assert "Permission denied" in find_states(output).problem
    output.chmod(0o700)


def test_a_damaged_state_is_one_line_and_mended_ones_are_read_again(field: Field, output: Path) -> None:
    add_folder(field.workspace, output)
    optimizer = output / STATE / "optimizer.bin"
    whole = optimizer.read_bytes()
    optimizer.write_bytes(whole[:100])
    shelf = StateShelf(field.workspace)
    (state,) = [entry for entry in shelf.read()[0].entries if entry.is_state]
    problem = shelf.describe(state)
    assert isinstance(problem, ForeignProblem)
    assert "\n" not in problem.reason


def test_a_folder_that_is_gone_is_said_to_be(field: Field, output: Path) -> None:
    add_folder(field.workspace, output)
    shutil.rmtree(output)
    assert StateShelf(field.workspace).read()[0].problem == "cannot be listed: No such file or directory"


def test_names_lose_what_all_begin_with_and_keep_their_numbers() -> None:
    assert shortened(["run-step00000500-state", "run-step00001000-state"]) == ["…500-state", "…1000-state"]
    assert shortened(["a-state", "b-state"]) == ["a-state", "b-state"]
    assert shortened(["run-state"]) == ["run-state"]


async def test_the_browser_shows_what_is_stored_what_is_not_and_what_sd_scripts_would_do(
    field: Field, output: Path
) -> None:
    field.checkpoint(field.run(), 100)
    (output / "base_cosine-step00000020.safetensors").unlink()
    add_folder(field.workspace, output)
    async with Shell(lambda: CheckpointsScreen(field.workspace)).run_test(size=(200, 50)) as pilot:
        await until(pilot, lambda: "step 100 of" in screen_text(pilot.app), "the list")
        rows = pilot.app.screen.query_one(RowList)
        await until(pilot, lambda: any(row.key.startswith("//") for row in rows.rows), "the states")
        await pilot.press("end")
        await until(pilot, lambda: "at --resume" in screen_text(pilot.app), "the details")
        text = screen_text(pilot.app)
        assert "the total is not stored" in text
        assert "base LR 1.0000e-04" in text
        assert "--max_train_steps" in text
        assert rows.rows[-1].columns[0][0] == "5.00e-5"
        await pilot.press("r", "d", "p", "enter", "f", "i", "v")  # none of these is for it
        assert isinstance(pilot.app.screen, CheckpointsScreen)
        await pilot.press("y")
        assert pilot.app.clipboard == str(output / STATE)
        await pilot.press("slash", *"cosine-step")
        await until(pilot, lambda: "1 of 2" in screen_text(pilot.app), "the filter")
        assert [row.key for row in rows.rows] == [f"/{output}/", f"/{output}/{STATE}"]


async def test_a_list_that_cannot_be_read_leaves_the_runs_as_they_are(field: Field) -> None:
    field.checkpoint(field.run(), 100)
    field.workspace.state_folders.write_text("{")
    async with Shell(lambda: CheckpointsScreen(field.workspace)).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "step 100 of" in screen_text(pilot.app), "the list")
        said = pilot.app._notifications
        await until(pilot, lambda: any("is not a list of folders" in note.message for note in said), "the reason")


def test_the_command_adds_lists_and_removes(field: Field, output: Path) -> None:
    command = CommandLine(field.workspace.path)
    added = command("states", "add", str(output))
    assert (added.code, added.out) == (0, "")
    assert "is shown from now on: 1 state, 1 LoRA file." in added.err
    listed = command("states")
    assert f"{output}\n" in listed.out
    assert "5.00e-5" in listed.out
    assert [entry["is_state"] for entry in command("states", "list", "--json").json[0]["entries"]].count(True) == 1
    assert command("states", "remove", str(output)).code == 0
    assert "Add one" in command("states").err
    assert command("states", "add").code == 2
    assert command("states", "list", str(output)).code == 2


def described(field: Field, output: Path) -> list[tuple[StateFolder, ForeignEntry]]:
    """What is shown, read."""
    add_folder(field.workspace, output)
    shelf = StateShelf(field.workspace)
    for entry in shelf.read()[0].entries:
        shelf.describe(entry)
    (folder,) = shelf.read()
    return [(folder, entry) for entry in folder.entries]


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("step>=20", ["lora", "state"]),
        ("step>20", []),
        ("lr=5e-5", ["state"]),
        ("base=1e-4 rank=1", ["lora", "state"]),
        ("done=50% cosine", ["lora", "state"]),
        ("epoch>2", ["state"]),
        ("loss<1", []),
        ("val<1", []),
        ("age<100000d", ["lora", "state"]),
        ("size>5gb", []),
        ("pinned", []),
        ("output adamw -damaged", ["state"]),
        ("-sd-scripts", []),
    ],
)
def test_conditions_find_states_by_what_is_stored(field: Field, output: Path, typed: str, wanted: list[str]) -> None:
    query = parse_query(tuple(typed.split()))
    assert query.problem == ""
    found = [entry for folder, entry in described(field, output) if query.fits_state(folder, entry, time.time())]
    assert sorted("state" if entry.is_state else "lora" for entry in found) == wanted


def test_states_are_sorted_among_checkpoints_and_what_is_not_stored_stands_last(field: Field, output: Path) -> None:
    run = field.run()
    for step in (10, 100):
        field.checkpoint(run, step)
    shelf = CheckpointShelf(field.workspace)
    (family,) = shelf.read()
    for entry in family.checkpoints:
        shelf.describe(entry)
    (family,) = shelf.read()
    view = View(sorting=Sorting(Order.STEP))
    states = [described(field, output)[0][0]]
    assert [row.key.rpartition("/")[2] for row in flat_rows([family], states, view)] in (
        ["step-00000100", STATE, "base_cosine-step00000020.safetensors", "step-00000010"],
        ["step-00000100", "base_cosine-step00000020.safetensors", STATE, "step-00000010"],
    )
    rows = flat_rows([family], states, View(sorting=Sorting(Order.LR)))
    assert rows[-1].key.endswith("base_cosine-step00000020.safetensors"), "a LoRA file stores no rate"
    assert [row.columns[0][0] for row in rows if row.key.endswith(STATE)] == ["5.00e-5"]


async def test_a_state_and_a_checkpoint_are_marked_and_compared(field: Field, output: Path) -> None:
    field.checkpoint(field.run(), 100)
    add_folder(field.workspace, output)
    async with Shell(lambda: CheckpointsScreen(field.workspace)).run_test(size=(160, 60)) as pilot:
        rows = pilot.app.screen.query_one(RowList)
        await until(pilot, lambda: any(row.key.startswith("//") for row in rows.rows), "the states")
        await pilot.press("space")
        while not (rows.key or "").endswith(STATE):
            await pilot.press("down")
        await pilot.press("space")
        await until(pilot, lambda: "A B marked" in screen_text(pilot.app), "the marks")
        assert "B " in next(row.label for row in rows.rows if row.key.endswith(STATE))[0][0]
        await pilot.press("equals_sign")
        await until(
            pilot, lambda: "nothing differs" in screen_text(pilot.app) or "Group 1" in screen_text(pilot.app), "it"
        )
        text = screen_text(pilot.app)
        assert f"{STATE} sd-scripts · step 20 of 40 · cosine" in text
        assert "not stored" in text
        assert "A 100" in text
        assert "B 20" in text
        await pilot.press("x")
        await until(pilot, lambda: f"A  {STATE}" in screen_text(pilot.app), "the sides swapped")


def test_the_command_compares_states_and_says_what_is_not_stored(field: Field, output: Path) -> None:
    field.checkpoint(field.run("fox"), 100)
    command = CommandLine(field.workspace.path)
    state, lora = output / STATE, output / "base_cosine-step00000020.safetensors"
    found = command("compare", "fox@100", str(state), "--json")
    assert found.code == 0, found.err
    sections = {section["title"]: section["differences"] for section in found.json["sections"]}
    group = {item["name"]: (item["first"], item["second"]) for item in sections["Group 1"]}
    assert group["next LR"][1] == pytest.approx(5e-5)
    assert "beta1" not in group, "both store 0.9"
    assert group["name"] == ("unet", None)
    assert {item["name"]: item["second"] for item in sections["Schedule"]}["total steps"] == "40"
    assert sections["Profile"][0]["second"] is None
    shown = command("compare", "fox@100", str(state)).out
    assert "not stored" in shown
    (output / "base_cosine-step00000020.safetensors").rename(output / "away.safetensors")
    other = output / "later-state"
    shutil.copytree(state, other)
    both = command("compare", str(state), str(other), "--json").json
    assert not any(section["differences"] for section in both["sections"])
    alone = command("compare", str(output / "away.safetensors"), str(other), "--json").json
    schedules = {section["title"]: section for section in alone["sections"]}["Schedule"]["differences"]
    assert {item["name"]: (item["first"], item["second"]) for item in schedules}["kind"] == ("cosine", None)
    assert not lora.exists()
    (state / "optimizer.bin").write_bytes(b"broken")
    refused = command("compare", str(state), str(other))
    assert (refused.code, refused.out) == (2, "")
