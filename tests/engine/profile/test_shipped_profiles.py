"""The shipped profiles are valid, found by name, and say what they are for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.estimate.memory import PROGRAM_BYTES, estimate_memory
from engine.profile.load import LoadedProfile, ProfileError, load_profile
from engine.profile.preflight import check_inputs
from engine.profile.shipped import find_profile, shipped_profiles
from engine.profile.stages import stage_route
from engine.routes.route import Route

CARDS = {"8gb": 8, "12gb": 12, "24gb": 24, "80gb": 80, "multi-gpu": 24}
"""Profiles that are made for a size of card, in GiB."""
OTHERS = ("character", "style", "concept", "prodigy", "locon", "dora", "refine")
NAMES = sorted([*CARDS, *OTHERS, "demo", "stages"])
FROM_12_GIB = ("character", "style", "concept", "prodigy", "locon", "dora", "refine")
"""Profiles that say they need 12 GB, or what character.toml needs."""


def shipped(name: str) -> LoadedProfile:
    return load_profile(find_profile(name, Path("/nowhere")))


def test_there_is_one_for_each_purpose_and_card() -> None:
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


@pytest.mark.parametrize("path", shipped_profiles(), ids=lambda path: path.stem)
def test_each_names_the_source_of_its_numbers(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"^# Sources? of the numbers|Source of the numbers|arXiv:", text, re.MULTILINE)
    cited = re.findall(r"https?://\S+|arXiv:\d{4}\.\d{5}|(?:tests|benchmarks|engine)/[\w/]+\.py|[\w-]+\.toml", text)
    assert cited
    root = path.parent.parent
    assert all((root / name).is_file() for name in cited if name.endswith(".py"))
    if load_profile(path).profile.model.base.startswith("bundled:"):
        return
    cited_in_whole_lineage = cited + re.findall(r"arXiv:\d{4}\.\d{5}", (path.parent / "character.toml").read_text())
    assert any(name.startswith(("https://", "arXiv:")) for name in cited_in_whole_lineage)


@pytest.mark.parametrize(("name", "card"), [*CARDS.items(), *((name, 12) for name in FROM_12_GIB)])
def test_the_estimate_fits_the_card(name: str, card: int) -> None:
    profile = shipped(name).profile
    needed = estimate_memory(profile).total + PROGRAM_BYTES
    assert needed < 0.9 * card * 2**30, "a tenth is left for what is beside it"
    told = re.search(r"About (\d+(?:\.\d)?) GB", find_profile(name, Path("/nowhere")).read_text())
    assert told is None or abs(float(told[1]) - needed / 1e9) <= 1


@pytest.mark.parametrize(("small", "large"), [("8gb", "12gb"), ("12gb", "24gb"), ("24gb", "80gb")])
def test_a_larger_card_is_made_use_of(small: str, large: str) -> None:
    needed = [estimate_memory(shipped(name).profile).total for name in (small, large)]
    assert needed[0] < needed[1]
    assert needed[1] > CARDS[small] * 2**30 or large == "12gb"


@pytest.mark.parametrize("name", ["8gb", "12gb", "24gb", "80gb", "multi-gpu", "prodigy", "locon", "dora"])
def test_all_for_one_character_see_as_many_images(name: str) -> None:
    training, base = shipped(name).profile.training, shipped("character").profile.training
    seen = (
        training.steps * training.batch_size * training.gradient_accumulation * shipped(name).profile.launch.processes
    )
    assert seen == base.steps * base.batch_size


def test_each_does_what_its_name_says() -> None:
    assert shipped("prodigy").profile.optimizer.kind == "prodigy"
    locon, dora, refine = (shipped(name).profile for name in ("locon", "dora", "refine"))
    assert locon.network.convolutions and dora.network.dora
    assert refine.optimizer.lr < shipped("character").profile.optimizer.lr / 5
    assert refine.network.start_from is not None
    assert shipped("multi-gpu").profile.launch.processes > 1
    assert any(source.regularisation for source in shipped("concept").profile.dataset.sources)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"demo", "stages"}))
def test_each_fits_on_one_screen(name: str) -> None:
    lines = find_profile(name, Path("/nowhere")).read_text().splitlines()
    assert len(lines) <= 60
    assert len([line for line in lines if line and not line.startswith(("#", "["))]) <= 36


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"demo", "stages"}))
def test_the_others_wait_for_the_users_folders(name: str) -> None:
    loaded = shipped(name)
    assert loaded.profile.dataset.resolution == 1024
    with pytest.raises(ProfileError) as caught:
        check_inputs(loaded.profile, loaded)
    problems = [problem for problem in caught.value.problems if problem.field != "optimizer.kind"]
    assert {"model.base", "dataset.sources[0].path"} <= {problem.field for problem in problems}
    assert all("is a placeholder: write your own " in problem.rule for problem in problems)
    for problem in problems:
        line = Path(problem.file).read_text().splitlines()[(problem.line or 0) - 1]
        assert "# edit" in line


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
        ("zzzzzz", "known by name: 12gb, 24gb, 80gb, 8gb, character, concept"),
        ("some/where.toml", "there is no such profile"),
        ("a\0b", "there is no such profile"),
        ("x" * 300, "there is no such profile"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        find_profile(name, tmp_path)
