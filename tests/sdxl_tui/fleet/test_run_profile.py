"""What a run trains beside its parent, its own first start and the file that it was launched from."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.profile.load import load_profile
from engine.profile.problems import ProfileError
from engine.profile.to_toml import profile_to_toml
from engine.run.create import create_run
from engine.run.layout import RunDirectory
from engine.run.records import Parent
from sdxl_tui.fleet.run_profile import read_run_profile

TEXT = """\
name = "fox"
[model]
base = "bundled:demo-base"
[[dataset.sources]]
path = "bundled:demo-images"
[optimizer]
lr = 1e-4
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "fox.toml"
    path.write_text(TEXT)
    (tmp_path / "runs").mkdir()
    return path


def launched(source: Path, parent: Parent | None = None) -> RunDirectory:
    profile = load_profile(source).profile
    return create_run(source.parent / "runs", profile, source=None if parent else source, parent=parent)


def said(run: RunDirectory) -> list[tuple[str, list[tuple[str, object, object]]]]:
    found = read_run_profile(run)
    return [
        (one.words, [(each.field, each.here, each.there) for each in one.diff.differences] if one.diff else [])
        for one in found.compared
    ]


def test_a_run_whose_file_says_what_it_trains_is_shown_as_it_is(source: Path) -> None:
    run = launched(source)
    found = read_run_profile(run)
    assert found.compared == ()
    assert found.path == run.profile
    assert found.text == run.profile.read_text()


def test_edits_of_its_file_since_are_named(source: Path) -> None:
    run = launched(source)
    source.write_text(TEXT.replace("1e-4", "2e-4"))
    assert said(run) == [
        ("Edited since in fox.toml: a resume says what becomes of each", [("optimizer.lr", 1e-4, 2e-4)])
    ]
    source.write_text("name = ")
    assert said(run) == [("fox.toml, which it was launched from, cannot be compared: it has problems now", [])]


def test_a_child_is_shown_beside_its_parent(source: Path) -> None:
    parent = launched(source)
    source.write_text(TEXT.replace("1e-4", "5e-5"))
    child = launched(source, parent=Parent(parent.id, "step-00000020", 20, "continue"))
    place = f"{parent.id}/step-00000020"
    assert said(child) == [(f"Made by continue from {place}", [("optimizer.lr", 1e-4, 5e-5)])]
    parent.profile.unlink()
    assert said(child) == [(f"Made by continue from {place}, whose profile cannot be read any more", [])]


def test_what_a_resume_applied_is_what_it_trains_now(source: Path) -> None:
    run = launched(source)
    before = load_profile(source).profile.samples.every_steps
    source.write_text(TEXT + "[samples]\nevery_steps = 7\n")
    attempt = run.attempt(2)
    attempt.path.mkdir(parents=True)
    attempt.profile.write_text(profile_to_toml(load_profile(source).profile))
    found = read_run_profile(run)
    assert found.path == attempt.profile
    words = "Edited since its first start, and applied at a resume"
    assert said(run) == [(words, [("samples.every_steps", before, 7)])]


def test_a_run_without_a_readable_profile_is_an_error_with_a_place(source: Path) -> None:
    run = launched(source)
    run.profile.write_text("name = ")
    with pytest.raises(ProfileError, match=r"profile\.toml"):
        read_run_profile(run)
