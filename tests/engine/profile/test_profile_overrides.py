"""``--set section.field=value``: what may be written, and what is said about what may not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.profile.fields import OF_A_FILE, profile_field, profile_fields
from engine.profile.load import ProfileError, load_profile, parse_profile
from engine.profile.schema import Profile, Stage
from engine.profile.to_toml import toml_value
from tests.engine.profile.profile_strategies import values, with_rules_held

TEXT = '[model]\nbase = "base"\n[[dataset.sources]]\npath = "images"\n[optimizer]\nlr = 1e-4\n'


def override(*overrides: str) -> Profile:
    return parse_profile(TEXT, folder=Path("/w"), overrides=overrides).profile


def refused(*overrides: str) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        override(*overrides)
    return [str(problem) for problem in caught.value.problems]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_value_written_as_toml_is_taken(data: st.DataObject) -> None:
    resolved = {
        "model.base",
        "model.vae",
        "network.start_from",
        "dataset.sources",
        "validation.folders",
    }  # paths, made absolute
    fields = [field for field in profile_fields() if field.path not in {*resolved, *OF_A_FILE}]
    fields = [field for field in fields if field.section not in {"checkpoints", "dataset", "schedule", "training"}]
    field = data.draw(st.sampled_from(fields))
    value = data.draw(values(field))
    # A field that does nothing beside the defaults of the others is refused, not taken.
    table: dict[str, Any] = {"dataset": {"sources": [{"path": "x"}]}}
    if field.section:
        table[field.section] = {field.name: value}
    assume(with_rules_held(copy.deepcopy(table)) == table)
    taken = override(f"{field.path}={toml_value(value)}").values()[field.path]
    if field.path == "stages":
        value = [Stage.model_validate(table).model_dump() for table in value]
    assert taken == (tuple(value) if isinstance(value, list) else value)


WITHOUT_QUOTES: list[tuple[str, str, Any]] = [
    ("schedule.kind=constant", "schedule.kind", "constant"),
    ("name=my-cat", "name", "my-cat"),
    ("name=123", "name", "123"),
    ("launch.device=cuda:1", "launch.device", "cuda:1"),
    ("samples.negative=blurry, low quality", "samples.negative", "blurry, low quality"),
    ("samples.negative=", "samples.negative", ""),
    ("samples.prompts=a cat", "samples.prompts", ("a cat",)),
    ("samples.prompts=['a', 'b']", "samples.prompts", ("a", "b")),
    (" optimizer.lr = 5e-5 ", "optimizer.lr", 5e-5),
    ("optimizer.lr=1", "optimizer.lr", 1.0),
    ("training.steps=1_000", "training.steps", 1000),
    ("dataset.upscale=false", "dataset.upscale", False),
]


@pytest.mark.parametrize(("text", "path", "value"), WITHOUT_QUOTES)
def test_quotes_may_be_left_out(text: str, path: str, value: object) -> None:
    assert override(text).values()[path] == value
    assert profile_field(path)


def test_the_last_of_several_counts() -> None:
    assert override("optimizer.lr=1e-3", "optimizer.lr=2e-3").optimizer.lr == 2e-3


def test_paths_are_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    profile = override("model.base=models/my base", "dataset.sources=pictures")
    assert profile.model.base == str(tmp_path / "models" / "my base")
    assert [source.path for source in profile.dataset.sources] == [str(tmp_path / "pictures")]
    assert override("training.steps=5").model.base == "/w/base"


def test_one_source_can_be_changed_by_its_number() -> None:
    assert override("dataset.sources.0.repeats=7").dataset.sources[0].repeats == 7
    assert override("dataset.sources=[{path='/a'},{path='/b',repeats=2}]").dataset.sources[1].repeats == 2


WRONG = [
    ("lr=1e-3", "--set lr=1e-3: there is no such field; did you mean optimizer.lr?"),
    ("optimizer.learning_rate=1", "did you mean optimizer.lr?"),
    ("training.lr=1", "did you mean optimizer.lr?"),
    ("zzz=1", "docs/profile-reference.md lists all fields"),
    ("optimizer.lr", "is not written as section.field=value; for instance --set optimizer.lr=5e-5"),
    ("=3", "is not written as section.field=value"),
    ("", "is not written as section.field=value"),
    ("optimizer=adamw", "--set optimizer=adamw: is a section, not a field; write optimizer.field=value"),
    (
        "optimizer.lr=fast",
        "--set optimizer.lr=fast: must be a number above 0 and at most 10, not text",
    ),
    ("optimizer.lr=", "must be a number above 0 and at most 10"),
    ("optimizer.lr=20", "must be a number above 0 and at most 10"),
    ("training.steps=true", "must be a whole number from 1 to 10,000,000, not true or false"),
    ("training.steps=1\nx=2", "must be a whole number"),
    ("samples.prompts=['a'", "must be a list of texts, written as in TOML"),
    ("schedule.kind=spiral", "must be one of constant, linear, cosine"),
    ("dataset.sources.path=x", "does not say which source; write dataset.sources.0.path=…"),
    ("dataset.sources.3.path=x", "there is no source 3: the profile has 1, counted from 0"),
    ("dataset.sources.0.zzz=x", "there is no such field"),
    ("schedule.warmup_steps=2000", "--set schedule.warmup_steps=2000: is longer than training.steps 1600"),
    ("training.steps=0.5", "not a fraction"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_override_is_told_as_such(text: str, message: str) -> None:
    (problem,) = refused(text)
    assert problem.startswith("--set")
    assert message in problem


def test_all_wrong_overrides_are_told_at_once() -> None:
    assert len(refused("lr=1", "optimizer.lr=x", "training.steps=0", "zzz")) == 4


def test_an_override_mends_a_value_of_the_file() -> None:
    text = TEXT.replace("1e-4", "'wrong'")
    assert parse_profile(text, folder=Path("/w"), overrides=["optimizer.lr=1e-4"]).profile.optimizer.lr == 1e-4


def test_an_override_of_a_broken_file_is_still_judged() -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile("lr = fast", folder=Path("/w"), overrides=["lr=1"])
    assert [problem.field for problem in caught.value.problems] == ["", "lr"]


def test_an_override_that_contradicts_the_file_names_the_field_it_breaks() -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(f"{TEXT}[schedule]\nwarmup_steps = 60\n", folder=Path("/w"), overrides=["training.steps=50"])
    (problem,) = caught.value.problems
    assert "schedule.warmup_steps = 60: is longer than training.steps 50" in str(problem)


def test_what_was_said_is_kept_so_that_it_says_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "p.toml"
    file.write_text('[model]\nbase = "base"\n[[dataset.sources]]\npath = "images"\n')
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    said = ["model.base=near", "dataset.sources.0.path=pictures", 'validation.folders=["held"]', "optimizer.lr=5e-5"]
    monkeypatch.chdir(here)
    first = load_profile(file, said)
    whole = load_profile(file, ['dataset.sources=[{path="pictures", repeats=3}]'])
    monkeypatch.chdir(there)
    assert load_profile(file, first.overrides).profile == first.profile
    assert load_profile(file, whole.overrides).profile == whole.profile
    assert load_profile(file, said).profile != first.profile
