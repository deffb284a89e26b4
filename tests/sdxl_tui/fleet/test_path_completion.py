"""How a path that is typed goes on: by what lies on the machine, and by what the field wants."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.profile.fields import profile_field
from sdxl_tui.fleet.path_completion import Completion, complete


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("models/sdxl", "models/sd15", "images"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("models/sdxl-a.safetensors", "models/sdxl-b.ckpt", "models/notes.txt", "models/evil\x1b[31m"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_base_is_a_folder_or_a_file_of_weights(disk: Path) -> None:
    wanted = profile_field("model.base").leads_to
    assert complete("models/sdx", disk, wanted) == Completion(
        "models/sdxl", ("models/sdxl-a.safetensors", "models/sdxl/")
    )
    assert complete("models/sdxl-", disk, wanted) == Completion("models/sdxl-a.safetensors")
    assert complete("mod", disk, wanted) == Completion("models/")


def test_where_a_folder_is_wanted_no_file_is_offered(disk: Path) -> None:
    wanted = profile_field("dataset.sources.path").leads_to
    assert complete("models/sdx", disk, wanted) == Completion("models/sdxl/")


def test_a_whole_name_of_a_folder_with_nothing_to_go_on_to_is_the_end(disk: Path) -> None:
    (disk / "images" / "a.png").touch()
    assert complete("images", disk, ("/",)) == Completion("images"), "tab goes to the next field"
    (disk / "images" / "more").mkdir()
    assert complete("images", disk, ("/",)) == Completion("images/")
    assert complete("models", disk, (".safetensors",)) == Completion("models/"), "a file in it is wanted"


def test_what_is_written_before_the_last_slash_stays_as_it_is(disk: Path) -> None:
    assert complete("~/im", Path("/nowhere"), ("/",)) == Completion("~/images/")
    assert complete(f"{disk}/models/../im", Path("/nowhere"), ("/",)) == Completion(f"{disk}/models/../images/")


@pytest.mark.parametrize(
    "text", ["nothing", "no/such/folder/x", "bundled:demo-i", "a\0b/", "models/e", "~", "~nobody-here/x"]
)
def test_what_does_not_go_on_stays(disk: Path, text: str) -> None:
    assert complete(text, disk, ("/",)) == Completion(text)


def test_a_folder_that_cannot_be_read_offers_nothing(disk: Path) -> None:
    (disk / "file").touch()
    assert complete("file/x", disk, ("/",)) == Completion("file/x")
