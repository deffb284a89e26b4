"""A profile that extends others: what it takes over, from where, and what is said when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.profile.document import ProfileDocument
from engine.profile.extends import MAX_PARENTS
from engine.profile.load import LoadedProfile, ProfileError, load_profile, parse_profile, profile_to_toml

BASE = """\
name = "base"

[model]
base = "models/sdxl"

[optimizer]
kind = "prodigy"
lr = 1.0
d_coef = 0.9

[samples]
prompts = ["a cat", "a dog"]

[[dataset.sources]]
path = "images"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.toml").write_text(BASE)
    return tmp_path


def load(folder: Path, text: str, *overrides: str) -> LoadedProfile:
    (folder / "mine.toml").write_text(text)
    return load_profile(folder / "mine.toml", overrides)


def lines_of(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        load(folder, text, *overrides)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_sections_are_taken_over_field_by_field_and_lists_as_a_whole(folder: Path) -> None:
    text = 'extends = "base"\n[optimizer]\nd_coef = 0.5\n[samples]\nprompts = ["a fox"]\n'
    profile = load(folder, text).profile
    assert (profile.optimizer.kind, profile.optimizer.lr, profile.optimizer.d_coef) == ("prodigy", 1.0, 0.5)
    assert profile.samples.prompts == ("a fox",)
    assert profile.name == "base"


def test_what_is_read_is_complete_by_itself(folder: Path) -> None:
    profile = load(folder, 'extends = "base"\n').profile
    assert (profile.extends, profile.without) == (None, ())
    assert "extends" not in profile_to_toml(profile)
    assert parse_profile(profile_to_toml(profile), folder=Path("/elsewhere")).profile == profile


def test_a_chain_is_followed_and_the_nearest_wins(folder: Path) -> None:
    (folder / "middle.toml").write_text('extends = "base.toml"\n[optimizer]\nd_coef = 2\nlr = 0.5\n')
    loaded = load(folder, 'extends = "./middle"\n[optimizer]\nlr = 0.7\n')
    optimizer = loaded.profile.optimizer
    assert (optimizer.kind, optimizer.d_coef, optimizer.lr) == ("prodigy", 2, 0.7)
    assert [path.name for path in loaded.lineage.parents] == ["middle.toml", "base.toml"]


def test_relative_paths_start_in_the_folder_of_the_file_that_wrote_them(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    profile = load(inner, 'extends = "../base.toml"\n[model]\nbase = "own"\n').profile
    assert profile.dataset.sources[0].path == str(folder / "images")
    assert profile.model.base == str(inner / "own")


def test_a_name_is_a_file_beside_it_else_a_shipped_profile_and_never_itself(folder: Path) -> None:
    (folder / "demo.toml").write_text('extends = "demo"\n[training]\nsteps = 77\n')
    assert load_profile(folder / "demo.toml").profile.model.base == "bundled:demo-base"
    assert load(folder, 'extends = "demo"\n').profile.training.steps == 77


def test_who_says_a_value_is_known(folder: Path) -> None:
    lineage = load(folder, 'extends = "base"\n[optimizer]\nlr = 0.5\n').lineage
    assert lineage.inherited_from("optimizer.kind") == folder / "base.toml"
    assert lineage.inherited_from("optimizer.lr") is None
    assert lineage.inherited_from("network.rank") is None
    assert lineage.inherited_value("optimizer.lr") == 1.0


def test_the_document_says_it_too_even_while_a_value_is_wrong(folder: Path) -> None:
    document = ProfileDocument.new(folder / "new.toml", 'extends = "base"\n[network]\nrank = "x"\n')
    assert document.lineage().inherited_from("optimizer.kind") == folder / "base.toml"


def test_an_inherited_mistake_is_told_at_the_parents_line(folder: Path) -> None:
    (folder / "base.toml").write_text(BASE.replace("lr = 1.0", 'lr = "fast"').replace("d_coef", "dcoef"))
    told = lines_of(folder, 'extends = "base"\n[network]\nrank = 0\n')
    assert told[0].startswith("mine.toml:3:1: network.rank = 0: must be a whole number from 1 to")
    assert told[1].startswith('base.toml:8:1: optimizer.lr = "fast": must be a number above 0')
    assert told[1].endswith("(inherited by mine.toml)")
    assert told[2].startswith(
        "base.toml:9:1: optimizer.dcoef: there is no such field (inherited by mine.toml); did you"
    )
    assert len(told) == 3


def test_a_rule_between_fields_is_told_where_the_nearest_of_them_stands(folder: Path) -> None:
    (folder / "base.toml").write_text(BASE + "[schedule]\nwarmup_steps = 100\n")
    assert lines_of(folder, 'extends = "base"\n[training]\nsteps = 10\n')[0].startswith(
        "mine.toml:3:1: schedule.warmup_steps = 100: is longer than training.steps 10"
    )


def test_a_field_that_has_no_value_to_write_can_be_left_out_of_what_is_taken_over(folder: Path) -> None:
    text = 'extends = "base"\n{}[optimizer]\nkind = "adamw"\nlr = 1e-4\n'
    told = lines_of(folder, text.format(""))[0]
    assert told.startswith("mine.toml:3:1: optimizer.d_coef = 0.9: is not used by the optimizer adamw (it is inherited")
    assert "base.toml:9); remove it" in told
    assert told.endswith('without = ["optimizer.d_coef"] goes back to its default')
    assert load(folder, text.format('without = ["optimizer.d_coef"]\n')).profile.optimizer.d_coef is None
    assert load(folder, text.format('without = ["optimizer", "samples"]\n')).profile.samples.prompts == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('without = ["optimizer.lr"]\n', "no value of it is inherited; take it out of the list"),
        ('extends = "base"\nwithout = ["schedule.kind"]\n', "no value of it is inherited"),
        ('extends = "base"\nwithout = ["optimizer.dcoef"]\n', "there is no such field; did you mean optimizer.d_coef?"),
        ('extends = "base"\nwithout = "optimizer.lr"\n', "must be a list of texts, not text"),
        ("extends = 3\n", "extends = 3: must be text, not a whole number"),
        ('extends = ""\n', "extends"),
        ('extends = "bsae"\n', "nor among the shipped ones; did you mean base?"),
        ('extends = "charcter"\n', "did you mean character?"),
        ('extends = "../no/such.toml"\n', "there is no such profile"),
        ('extends = "mine.toml"\n', "is this file itself"),
        ('extends = "a\\u0000b"\n', "there is no such profile"),
        ('extends = "/"\n', "mine.toml:1:1: extends = "),
        ('extends = "binary"\n', "binary.toml:1:2: is not UTF-8 text (byte 0xff) (extended by mine.toml)"),
        ('extends = "broken"\n', "broken.toml:2:3: not TOML: a [section] line is not closed (extended by mine.toml)"),
        ('extends = "folder"\n', "mine.toml:1:1: extends = \"folder\": folder.toml is a folder, not a profile"),
        ('extends = "base"\n[stages.set]\n', "stages"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_over_is_told(folder: Path, text: str, told: str) -> None:
    (folder / "binary.toml").write_bytes(b"a\xff")
    (folder / "broken.toml").write_text("\n[x")
    (folder / "folder.toml").mkdir()
    lines = lines_of(folder, text)
    assert any(told in line for line in lines), lines


def test_circles_are_named_and_long_chains_refused(folder: Path) -> None:
    (folder / "other.toml").write_text('extends = "mine"\n')
    assert lines_of(folder, 'extends = "other"\n') == [
        'other.toml:1:1: extends = "mine": leads back to where it began: mine.toml → other.toml → mine.toml; '
        "delete one of these extends lines"
    ]
    for number in range(12):
        (folder / f"p{number}.toml").write_text(f'extends = "p{number + 1}"\n')
    told = lines_of(folder, 'extends = "p0"\n')
    assert told[0].startswith(f'p{MAX_PARENTS - 1}.toml:1:1: extends = "p{MAX_PARENTS}": is parent {MAX_PARENTS + 1}')


def test_the_files_own_mistakes_are_told_beside_a_missing_parent(folder: Path) -> None:
    told = lines_of(folder, 'extends = "gone"\nnmae = "x"\n', "optimizer.lr=fast", "netwrk.rank=3")
    assert [line.partition(" ")[0] for line in told] == ["mine.toml:1:1:", "mine.toml:2:1:", "--set", "--set"]


def test_overrides_change_what_is_taken_over_and_not_the_parents(folder: Path) -> None:
    text = 'extends = "base"\n'
    assert load(folder, text, "optimizer.d_coef=1.5", "dataset.sources.0.repeats=3").profile.optimizer.d_coef == 1.5
    assert load(folder, text).profile.dataset.sources[0].repeats == 1
    assert "is not changed on the command line" in lines_of(folder, text, "extends=demo")[0]


def test_a_version_that_is_not_read_is_told_in_whichever_file(folder: Path) -> None:
    (folder / "base.toml").write_text("schema = 2\n" + BASE)
    assert lines_of(folder, 'schema = 1\nextends = "base"\n')[0].startswith("base.toml:1:1: schema = 2: must be 1")


def test_an_edit_of_a_parent_is_seen_at_once(folder: Path) -> None:
    assert load(folder, 'extends = "base"\n').profile.optimizer.d_coef == 0.9
    (folder / "base.toml").write_text(BASE.replace("d_coef = 0.9", "d_coef = 0.95"))
    assert load_profile(folder / "mine.toml").profile.optimizer.d_coef == 0.95
