"""What stands beside the form: the data set and the estimate of the profile as it is typed, looked at in the background."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from PIL import Image
from textual.pilot import Pilot

from engine.data.picture import KnownPictures, look_at_picture
from engine.profile.load import parse_profile
from sdxl_tui.cli import main
from sdxl_tui.fleet.profile_outlook import DataReader, estimate_of, rooms, this_machine
from sdxl_tui.fleet.sample_pictures import read_picture
from sdxl_tui.widgets.profile_summary import profile_curve, summary_lines
from tests.sdxl_tui.places.place_field import PROFILE, Field, screen_text, until
from tests.sdxl_tui.places.test_profile_editor import editor, go_to, retype, shell


def add_images(folder: Path, *sizes: tuple[int, int]) -> Path:
    """Pictures of these sizes, after those that are there."""
    folder.mkdir(exist_ok=True)
    already = len(list(folder.iterdir()))
    for number, size in enumerate(sizes, already):
        Image.new("RGB", size, (number, 0, 0)).save(folder / f"{number:03}.png")
    return folder


def with_images(folder: Path, text: str = PROFILE) -> str:
    return text.replace("bundled:demo-images", str(folder))


async def shown(pilot: Pilot[None], *words: str) -> None:
    """Wait until all of it stands on the screen."""
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words), " and ".join(words))


async def test_the_data_set_follows_what_is_typed(field: Field, tmp_path: Path) -> None:
    folder = add_images(tmp_path / "images", (128, 128), (128, 128), (96, 160))
    async with shell(field, with_images(folder)).run_test(size=(200, 50)) as pilot:
        await shown(pilot, "3 · 6 seen per epoch", "6 batches · 6 steps", "333.33 epochs", "128×128 3")
        await go_to(pilot, "training", "batch_size")
        await retype(pilot, "4")
        await shown(pilot, "2 batches · 2 steps", "1000 epochs")


async def test_an_image_that_is_added_is_seen_when_the_editor_comes_back(field: Field, tmp_path: Path) -> None:
    folder = add_images(tmp_path / "images", (128, 128))
    async with shell(field, with_images(folder)).run_test(size=(200, 50)) as pilot:
        await shown(pilot, "Images   1 ")
        add_images(folder, (64, 64))
        await pilot.press("ctrl+f")
        await pilot.pause()
        await pilot.press("escape")
        await shown(pilot, "Images   2 ")


async def test_a_folder_that_is_not_there_is_told_beside_the_form(field: Field, tmp_path: Path) -> None:
    async with shell(field, with_images(tmp_path / "nowhere")).run_test(size=(200, 50)) as pilot:
        await shown(pilot, "there is no such folder")


async def test_on_a_small_screen_one_key_turns_the_parts_beside_the_form(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await go_to(pilot, "training", "batch_size")
        for words in ("╰──", "Images   24", "Estimate"):
            await pilot.press("f5")
            await shown(pilot, words, "batch_size")
        await pilot.press("f5")
        await shown(pilot, "optimizer")
        await until(pilot, lambda: "Estimate" not in screen_text(pilot.app), "the sections are back")


async def test_a_profile_that_is_not_valid_keeps_the_figures_of_the_last_valid_one(field: Field) -> None:
    async with shell(field).run_test(size=(200, 50)) as pilot:
        await shown(pilot, "Images   24")
        await go_to(pilot, "training", "batch_size")
        await retype(pilot, "nonsense")
        await shown(pilot, "1 problem", "Images   24")


async def test_the_figures_are_those_of_the_commands(field: Field, capsys: pytest.CaptureFixture[str]) -> None:
    path = field.profile()
    profile = parse_profile(PROFILE, folder=path.parent, source=path).profile
    answer = DataReader().read(profile, anew=False, progress=lambda *_: None, should_stop=lambda: False)
    assert answer is not None
    assert answer.found is not None
    where = ["--workspace", str(field.workspace.path)]
    assert main(["dataset", "fox", "--json", "--no-tokens", *where]) == 0
    assert answer.found.to_json() == json.loads(capsys.readouterr().out)
    assert main(["check", "fox", "--json", *where]) == 0
    told = json.loads(capsys.readouterr().out)["estimate"]
    found = estimate_of(profile, field.workspace.runs)
    assert not isinstance(found, str)
    assert found.to_json()["memory"] == told["memory"]


def test_a_look_ends_when_it_is_not_wanted_any_more(field: Field, tmp_path: Path) -> None:
    folder = add_images(tmp_path / "images", *[(16, 16)] * 20)
    profile = parse_profile(with_images(folder), folder=tmp_path).profile
    looked = 0

    def progress(done: int, _: int) -> None:
        nonlocal looked
        looked = done

    reader = DataReader()
    assert reader.read(profile, anew=False, progress=progress, should_stop=lambda: looked >= 5) is None
    assert looked == 5
    whole = reader.read(profile, anew=False, progress=progress, should_stop=lambda: False)
    assert whole is not None
    assert whole.found is not None
    assert whole.found.report.images == 20


def test_a_look_that_waits_for_another_gives_up_when_it_is_not_wanted(field: Field) -> None:
    path = field.profile()
    profile = parse_profile(PROFILE, folder=path.parent).profile
    reader, inside, go_on = DataReader(), threading.Event(), threading.Event()

    def held(*_: int) -> None:
        inside.set()
        go_on.wait(20)

    first = threading.Thread(target=lambda: reader.read(profile, anew=False, progress=held, should_stop=lambda: False))
    first.start()
    assert inside.wait(20)
    assert reader.read(profile, anew=False, progress=lambda *_: None, should_stop=lambda: True) is None
    go_on.set()
    first.join()


def test_a_picture_is_read_once_per_version(tmp_path: Path) -> None:
    path = add_images(tmp_path / "images", (16, 16)) / "000.png"
    known = KnownPictures()
    first = known(path)
    assert known(path) is first
    assert first == look_at_picture(path)
    Image.new("RGB", (32, 16)).save(path)
    assert known(path).facts.width == 32


def test_a_run_on_the_processor_is_held_against_main_memory(field: Field) -> None:
    path = field.profile(text=PROFILE + '\n[launch]\ndevice = "cpu"\n')
    profile = parse_profile(path.read_text(), folder=path.parent).profile
    found = estimate_of(profile, field.workspace.runs)
    assert not isinstance(found, str)
    (room,) = rooms(profile, found, this_machine())
    assert room.device == "main memory"
    assert room.needed > found.memory.total


def test_every_gpu_is_held_against_what_the_run_needs(
    field: Field, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    lines = "0, GPU-a, NVIDIA RTX A, 24564, 0\n1, GPU-b, NVIDIA RTX B, 24564, 24500\n2, GPU-c, NVIDIA GT C, 512, 0"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    path = field.profile()
    profile = parse_profile(PROFILE, folder=path.parent).profile
    found = estimate_of(profile, field.workspace.runs)
    assert not isinstance(found, str)
    verdicts = [(room.suffices, room.suffices_now) for room in rooms(profile, found, this_machine())]
    assert verdicts == [(True, True), (True, False), (False, False)]


def test_every_group_with_a_rate_of_its_own_has_a_curve(field: Field) -> None:
    text = PROFILE + "\n[network]\ntext_encoder = true\n"
    text = text.replace("lr = 1e-4", "lr = 1e-4\ntext_encoder_lr = 5e-5")
    profile = parse_profile(text, folder=field.workspace.profiles).profile
    curves, _ = profile_curve(profile)
    assert sorted(curve.rate(100) for curve in curves) == [5e-5, 1e-4]
    assert [curve.tone for curve in curves][-1] == "new"
    assert "text encoder 1: 5.00e-5" in summary_lines(profile).plain
    alike = parse_profile(text.replace("5e-5", "1e-4"), folder=field.workspace.profiles).profile
    assert len(profile_curve(alike)[0]) == 1


async def test_some_of_the_images_stand_below_what_is_said_of_them(field: Field, tmp_path: Path) -> None:
    folder = add_images(tmp_path / "images", *[(64, 64)] * 20)
    turned = Image.new("RGB", (64, 32), (0, 200, 0))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "000.jpg", exif=exif)
    async with shell(field, with_images(folder)).run_test(size=(200, 60)) as pilot:
        await until(pilot, lambda: "▀" in screen_text(pilot.app), "thumbnails")
        assert "21 · 42 seen per epoch" in screen_text(pilot.app)
    for size, turns in (((200, 50), 2), ((110, 40), 2), ((150, 40), 1)):
        async with shell(field, with_images(folder)).run_test(size=size) as pilot:
            await pilot.pause()
            assert "▀" not in screen_text(pilot.app)
            await pilot.press(*["f5"] * turns)
            await until(pilot, lambda: "▀" in screen_text(pilot.app), "thumbnails")
            assert "21 · 42 seen per epoch" in screen_text(pilot.app)
            await pilot.press("f5")
            await until(pilot, lambda: "▀" not in screen_text(pilot.app), "only the estimate")
    assert read_picture(folder / "000.jpg", 20, 20).width * 2 == read_picture(folder / "000.jpg", 20, 20).height


async def test_epochs_are_marked_below_the_planned_rate(field: Field, tmp_path: Path) -> None:
    folder = add_images(tmp_path / "images", (128, 128), (128, 128), (128, 128))
    async with shell(field, with_images(folder)).run_test(size=(200, 50)) as pilot:
        await shown(pilot, "ep 50", "ep 250")
        await go_to(pilot, "training", "batch_size")
        await retype(pilot, "6")
        await shown(pilot, "ep 500", "ep 1000")
        assert "ep 50 " not in screen_text(pilot.app)


@pytest.mark.parametrize("width", [60, 96, 100, 103, 104])
async def test_f5_stands_any_width(field: Field, width: int) -> None:
    async with shell(field).run_test(size=(width, 24)) as pilot:
        await until(pilot, lambda: bool(editor(pilot)), "the editor")
        for _ in range(4):
            await pilot.press("f5")
            await pilot.pause(0.1)
