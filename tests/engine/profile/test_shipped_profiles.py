"""The shipped profiles are valid, found by name, and say what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.profile.load import ProfileError, load_profile
from engine.profile.preflight import check_inputs
from engine.profile.shipped import find_profile, shipped_profiles
from engine.profile.stages import stage_route
from engine.routes.route import Route

NAMES = ["character", "demo", "stages", "style"]


def test_there_are_four() -> None:
    assert [path.stem for path in shipped_profiles()] == NAMES


@pytest.mark.parametrize("path", shipped_profiles(), ids=lambda path: path.stem)
def test_each_is_valid_and_named_like_its_file(path: Path) -> None:
    assert load_profile(path).profile.name == path.stem


@pytest.mark.parametrize("path", shipped_profiles(), ids=lambda path: path.stem)
def test_each_opens_with_two_lines_on_whom_it_is_for(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[1].startswith("# ")
    assert all(len(line) <= 120 for line in lines)


def test_the_demo_trains_what_is_bundled() -> None:
    profile = load_profile(find_profile("demo", Path("/nowhere"))).profile
    assert check_inputs(profile) == []
    assert profile.precision.compute == "fp32"
    assert profile.training.steps // profile.checkpoints.every_steps >= 4


def test_the_stages_train_what_is_bundled_and_set_nothing_that_none_of_them_uses() -> None:
    loaded = load_profile(find_profile("stages", Path("/nowhere")))
    assert check_inputs(loaded.profile, loaded) == []
    assert [stage_route(loaded.profile, number) for number in (2, 3)] == [Route.CONTINUE, Route.RESCHEDULE]


@pytest.mark.parametrize("name", ["character", "style"])
def test_the_others_wait_for_the_users_folders(name: str) -> None:
    loaded = load_profile(find_profile(name, Path("/nowhere")))
    assert loaded.profile.dataset.resolution == 1024
    with pytest.raises(ProfileError) as caught:
        check_inputs(loaded.profile, loaded)
    assert [problem.field for problem in caught.value.problems] == ["model.base", "dataset.sources[0].path"]
    lines = Path(loaded.source).read_text().splitlines()
    assert all("is a placeholder: write your own folder here" in problem.rule for problem in caught.value.problems)
    assert all("# edit" in lines[(problem.line or 0) - 1] for problem in caught.value.problems)


def test_a_workspaces_own_profile_comes_before_a_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "demo.toml"
    own.write_text("")
    assert find_profile("demo", tmp_path) == own
    assert find_profile("demo.toml", tmp_path) == own
    assert find_profile("style", tmp_path) in shipped_profiles()


def test_a_path_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "demo.toml").write_text("")
    monkeypatch.chdir(here)
    assert find_profile("demo.toml", tmp_path).absolute() == here / "demo.toml"
    assert find_profile(str(here / "demo"), tmp_path) == here / "demo.toml"
    assert find_profile("./demo.toml", tmp_path).absolute() == here / "demo.toml"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dmeo", "did you mean demo?"),
        ("zzzzzz", "known by name: character, demo, stages, style"),
        ("some/where.toml", "there is no such profile"),
        ("a\0b", "there is no such profile"),
        ("x" * 300, "there is no such profile"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        find_profile(name, tmp_path)
