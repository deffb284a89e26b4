"""Runs of other trainers in the app: in the table, on their page, compared, added by a key; else refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from sdxl_tui.app import SdxlTui
from sdxl_tui.fleet.foreign_states import add_folder, read_folders
from sdxl_tui.screens.compare_runs import CompareRunsPage
from sdxl_tui.screens.folders_dialog import FoldersDialog
from sdxl_tui.screens.help import HelpScreen
from sdxl_tui.screens.run import RunScreen
from sdxl_tui.screens.watched_run import WatchedRunScreen
from sdxl_tui.workspace import Workspace
from tests.engine.foreign.test_event_file import scalar
from tests.sdxl_tui.app.run_field import RunField, fill_for_show
from tests.sdxl_tui.app.screen_text import screen_lines, screen_text, wait_for, wait_for_text
from tests.sdxl_tui.watched_field import Training, contents, made_lora, made_state

FOX = "fox-20240612-103000"
LARGE = (200, 50)


@pytest.fixture
def kohya(tmp_path: Path) -> Path:
    """A folder to train in, with ``logs`` and ``output``."""
    (tmp_path / "kohya/output").mkdir(parents=True)
    return tmp_path / "kohya"


@pytest.fixture
def workspace(runs: RunField, kohya: Path) -> Workspace:
    """Without runs of ours; the folder is shown."""
    add_folder(runs.workspace, kohya)
    return runs.workspace


@pytest.fixture
def training(kohya: Path) -> Iterator[Training]:
    """A run of sd-scripts that goes on."""
    training = Training(kohya / "logs", "fox20240612103000").train(30)
    yield training
    training.end()


def titles(app: SdxlTui) -> str:
    """What was notified."""
    return "\n".join(f"{note.title}: {note.message}" for note in app._notifications)


async def on_its_page(pilot: Pilot[Any]) -> None:
    """Open the page of the first run."""
    await wait_for_text(pilot, "fox")
    await pilot.press("enter")
    await wait_for(pilot, lambda: isinstance(pilot.app.screen, WatchedRunScreen))


async def test_a_watched_run_is_a_row_that_moves_on(workspace: Workspace, training: Training) -> None:
    app = SdxlTui(workspace)
    async with app.run_test(size=LARGE) as pilot:
        await wait_for_text(pilot, "◎ watched")
        row = next(line for line in screen_lines(app) if "◎ watched" in line)
        assert "30/–" in row and "1.00e-4" in row and "written <1 min ago" in row
        training.train(12)
        await wait_for(pilot, lambda: "42/–" in screen_text(app))
        assert "0 live" in screen_text(app) or "live" not in screen_lines(app)[0]


async def test_its_page_follows_it(workspace: Workspace, training: Training, kohya: Path) -> None:
    training.log(30, loss__validation__step_average=0.3)
    made_lora(kohya / "output/fox.safetensors", ss_training_started_at="", ss_max_train_steps=90)
    before = contents(kohya / "output")
    app = SdxlTui(workspace)
    async with app.run_test(size=LARGE) as pilot:
        await on_its_page(pilot)
        page = app.screen
        assert isinstance(page, WatchedRunScreen)
        await wait_for(pilot, lambda: len(page._data.history.loss) == 30)
        await wait_for_text(pilot, "fox.safetensors")
        for text in ("written just now", "30/90", "held out 0.3", "LoRA, rank", "only watched, in kohya/logs"):
            await wait_for_text(pilot, text)
        training.train(20, max_norm__keys_scaled=2.0)
        await wait_for(pilot, lambda: len(page._data.history.loss) == 50)
        await wait_for_text(pilot, "also logs  max_norm/keys_scaled")
        await pilot.press("m")
        await wait_for_text(pilot, "Steps a second")
        await pilot.press("m")
        await wait_for(pilot, lambda: "max_norm/keys_scaled" in str(page._loss.border_title))
        await pilot.press("u", "u", "z", "z")
        await pilot.press("escape")
        await wait_for(pilot, lambda: not isinstance(app.screen, WatchedRunScreen))
    assert contents(kohya / "output") == before


async def test_its_page_stays_with_it_when_its_name_becomes_known(workspace: Workspace, training: Training) -> None:
    app = SdxlTui(workspace)
    async with app.run_test(size=(120, 40)) as pilot:
        await on_its_page(pilot)
        training.settings(output_name="vixen", max_train_steps=120).train(5)
        await wait_for_text(pilot, "35/120")
        await wait_for_text(pilot, "vixen-20240612-103000")


@pytest.mark.parametrize("size", [(80, 24), LARGE, (40, 12)])
async def test_its_page_fits_any_terminal(workspace: Workspace, training: Training, size: tuple[int, int]) -> None:
    app = SdxlTui(workspace)
    async with app.run_test(size=size) as pilot:
        await on_its_page(pilot)
        await wait_for_text(pilot, "watched")
        await pilot.press("v")
        await pilot.pause(0.2)
        assert screen_text(app).strip()


@pytest.mark.parametrize("key", ["s", "r", "t", "a", "h", "K", "J", "x"])
@pytest.mark.parametrize("is_on_page", [False, True], ids=["table", "page"])
async def test_keys_that_steer_say_why_not(
    workspace: Workspace, training: Training, kohya: Path, key: str, is_on_page: bool
) -> None:
    made_state(kohya / "output/fox-state")
    before = contents(kohya / "output"), sorted(path.name for path in (kohya / "logs").rglob("*"))
    app = SdxlTui(workspace)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for_text(pilot, "fox")
        if is_on_page:
            await on_its_page(pilot)
        assert "Stop" not in screen_lines(app)[-1] and "Resume" not in screen_lines(app)[-1]
        await pilot.press(key)
        await wait_for(pilot, lambda: "only watched here" in titles(app))
        said = titles(app)
        assert said.startswith(FOX) and "Stop or steer it where it was started; c shows what it saved" in said
        assert len(app.screen_stack) == (2 if is_on_page else 1)
    assert before == (contents(kohya / "output"), sorted(path.name for path in (kohya / "logs").rglob("*")))


async def test_c_goes_to_what_it_saved(
    workspace: Workspace, training: Training, kohya: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdxl_tui.fleet.watched.runs.SCAN_SECONDS", 0.1)
    app = SdxlTui(workspace)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for_text(pilot, "fox")
        await pilot.press("c")
        await wait_for(pilot, lambda: "has saved no state or LoRA file yet" in titles(app))
        made_state(kohya / "output/fox-state")
        await wait_for(pilot, lambda: any(run.watched and run.watched.saved for run in app.runs or ()))
        await pilot.press("c")
        await wait_for_text(pilot, "Train on")
        await wait_for_text(pilot, "fox-state")


async def test_it_is_compared_with_a_run_of_ours(runs: RunField, workspace: Workspace, training: Training) -> None:
    fill_for_show(runs)
    app = SdxlTui(workspace)
    async with app.run_test(size=LARGE) as pilot:
        await wait_for_text(pilot, "◎ watched")
        ids = [run.id for run in app.runs or ()]
        assert FOX in ids and len(ids) > 3
        await pilot.press("slash", *"state", "colon", *"watched", "enter", "space")
        await pilot.press("escape", "home", "equals_sign")
        await wait_for(pilot, lambda: isinstance(app.screen, CompareRunsPage))
        await wait_for_text(pilot, FOX)
        await wait_for_text(pilot, "another trainer's run, without a profile")


async def test_a_run_of_ours_opens_as_before(runs: RunField, workspace: Workspace, training: Training) -> None:
    fill_for_show(runs)
    app = SdxlTui(workspace)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for_text(pilot, "◎ watched")
        await pilot.press("home", "enter")
        await wait_for(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_f_adds_a_folder_and_takes_one_away(runs: RunField, training: Training, kohya: Path) -> None:
    app = SdxlTui(runs.workspace)
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "watch a folder of sd-scripts")
        await pilot.press("f")
        await wait_for(pilot, lambda: isinstance(app.screen, FoldersDialog))
        await pilot.press(*"/nowhere", "enter")
        await wait_for_text(pilot, "there is no such folder")
        await pilot.press(*(["backspace"] * 8), *str(kohya), "enter")
        await wait_for(pilot, lambda: read_folders(runs.workspace) == (kohya,))
        await wait_for(pilot, lambda: "is shown from now on: 1 run." in titles(app))
        await wait_for_text(pilot, "fox")
        await pilot.press("f")
        await wait_for_text(pilot, "1 run")
        await pilot.press("down", "ctrl+x")
        await wait_for(pilot, lambda: read_folders(runs.workspace) == ())
        await wait_for_text(pilot, "No runs yet")


async def test_folders_are_asked_for_without_a_current_one_and_without_a_home(
    runs: RunField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder the app was started in was deleted; a home that nobody has is typed."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    app = SdxlTui(runs.workspace)
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "watch a folder of sd-scripts")
        (tmp_path / "gone").rmdir()
        await pilot.press("f")
        await wait_for(pilot, lambda: isinstance(app.screen, FoldersDialog))
        await pilot.press(*"~nobody-here/x", "enter")
        await wait_for_text(pilot, "this machine knows no user 'nobody-here'")
        await pilot.press("ctrl+x")
        await pilot.press(*(["backspace"] * 14), *"logs", "enter")
        await wait_for_text(pilot, "the current folder no longer exists")


async def test_a_path_that_is_longer_than_its_field_is_seen_at_its_end(runs: RunField) -> None:
    """A field of one line has no scrollbar: it would stand where the text does."""
    app = SdxlTui(runs.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "watch a folder of sd-scripts")
        await pilot.press("f")
        await wait_for(pilot, lambda: isinstance(app.screen, FoldersDialog))
        await pilot.press(*("/data" + 12 * "/folder" + "/kohya"))
        await wait_for_text(pilot, "folder/kohya")


async def test_the_help_says_what_is_watched(workspace: Workspace, training: Training) -> None:
    app = SdxlTui(workspace)
    async with app.run_test(size=(120, 60)) as pilot:
        await on_its_page(pilot)
        await pilot.press("question_mark")
        await wait_for(pilot, lambda: isinstance(app.screen, HelpScreen))
        text = screen_text(app)
        assert "TensorBoard event files" in text and "Stop" not in text


async def test_a_hostile_run_reaches_no_terminal(workspace: Workspace, kohya: Path) -> None:
    evil = "\x1b]52;c;cm0=\x07\x9b31m\u202eevil"
    folder = kohya / "logs" / "fox\x1b[31m\u202e20240612103000"
    folder.mkdir(parents=True)
    records = [
        scalar("loss", 1.0, step) + scalar(evil, 1.0, step) + scalar(f"lr/{evil}", 1.0, step) for step in range(9)
    ]
    (folder / "events.out.tfevents.1.h").write_bytes(b"".join(records))
    app = SdxlTui(workspace)
    async with app.run_test(size=LARGE) as pilot:
        await on_its_page(pilot)
        await wait_for_text(pilot, "also logs")
        await pilot.press("m", "m")
        await pilot.pause(0.3)
        text = screen_text(app)
        assert "evil" in text
        assert not set(text) & set("\x1b\x07\x9b\u202e")


async def test_a_run_that_goes_is_said_to_be_gone(workspace: Workspace, training: Training) -> None:
    app = SdxlTui(workspace)
    async with app.run_test(size=(120, 40)) as pilot:
        await on_its_page(pilot)
        for path in training.folder.iterdir():
            path.unlink()
        training.folder.rmdir()
        await wait_for_text(pilot, "event files are gone")
        training.folder.mkdir()


async def test_a_folder_that_goes_is_said_to_be_gone(
    workspace: Workspace, kohya: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdxl_tui.fleet.watched.runs.SCAN_SECONDS", 0.1)
    Training(kohya / "logs", "fox20240612103000").train(3).end()
    app = SdxlTui(workspace)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for_text(pilot, "fox")
        kohya.rename(kohya.with_name("unmounted"))
        await wait_for(pilot, lambda: "cannot be listed: No such file or directory" in titles(app))
        await wait_for_text(pilot, "No runs yet")
        kohya.with_name("unmounted").rename(kohya)
        await wait_for(pilot, lambda: any("fox" in line and "watched" in line for line in screen_lines(app)))


async def test_a_list_that_cannot_be_read_is_said_and_ours_are_shown(runs: RunField, workspace: Workspace) -> None:
    fill_for_show(runs)
    workspace.state_folders.write_text("{")
    app = SdxlTui(workspace)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for_text(pilot, "harbour")
        await wait_for(pilot, lambda: "is not a list of folders" in titles(app))
        assert "harbour" in screen_text(app)
