"""Editing a profile changes what was meant and nothing else, and never overwrites somebody else's change."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.profile.document import ProfileDocument
from engine.profile.fields import profile_field, profile_fields
from engine.profile.load import ProfileConflict, ProfileError, parse_profile
from engine.schedule import Kind
from tests.engine.profile.line_changes import changed, value_at
from tests.engine.profile.profile_strategies import texts_of_profiles, values

FIELDS = [field for field in profile_fields() if field.kind != "tables"]


def document(text: str) -> ProfileDocument:
    return ProfileDocument.new(Path("profile.toml"), text)


@settings(max_examples=80, deadline=None)
@given(texts_of_profiles(), st.data())
def test_setting_a_value_changes_one_line_and_no_comment(text: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from([field for field in FIELDS if field.kind != "strings"]))
    value = data.draw(values(field))
    before = value_at(text, field.path)
    edited = document(text)
    edited.set(field.path, value)
    assert value_at(edited.text, field.path) == value
    assert parse_profile(text, folder=Path("/x")), "the generated text is a valid profile"
    gone, come = changed(text.splitlines(), edited.text.splitlines())
    if before is not None:
        assert len(gone) == len(come) <= 1
    else:
        assert len(gone) <= 1, "one line was extended, or none was touched"
        assert len([line for line in come if line.strip()]) <= 2, (
            "a line, and its section's header where there was none"
        )
    kept = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in edited.text.splitlines() if "#" in line] == kept or '"' in edited.text


@settings(max_examples=50, deadline=None)
@given(texts_of_profiles(), st.data())
def test_only_the_field_that_was_set_has_another_value(text: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(profile_fields()))
    value = data.draw(values(field))
    edited = document(text)
    edited.set(field.path, value)
    wanted: dict[str, Any] = tomllib.loads(text)
    place = wanted.setdefault(field.section, {}) if field.section else wanted
    place[field.name] = value
    assert {key: part for key, part in tomllib.loads(edited.text).items() if part != {}} == {
        key: part for key, part in wanted.items() if part != {}
    }


@settings(max_examples=50, deadline=None)
@given(texts_of_profiles(), st.data())
def test_unsetting_removes_the_field_and_nothing_else(text: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(profile_fields()))
    edited = document(text)
    edited.unset(field.path)
    assert value_at(edited.text, field.path) is None
    wanted = tomllib.loads(text)
    (wanted.get(field.section, {}) if field.section else wanted).pop(field.name, None)
    assert {key: part for key, part in tomllib.loads(edited.text).items() if part != {}} == {
        key: part for key, part in wanted.items() if part != {}
    }
    if value_at(text, field.path) is None:
        assert edited.text == text


@settings(max_examples=50, deadline=None)
@given(texts_of_profiles(), st.data())
def test_setting_what_is_there_already_changes_nothing(text: str, data: st.DataObject) -> None:
    present = [field for field in profile_fields() if value_at(text, field.path) is not None]
    field = data.draw(st.sampled_from(present))
    edited = document(text)
    edited.set(field.path, value_at(text, field.path))
    assert edited.text == text


EXAMPLE = """\
# My profile.
name = "cat"

[optimizer]
lr = 1e-4  # usual
# weight_decay = 0.1

# ---- how the LR moves ----
[schedule]
kind = "cosine"

# The pictures.
[[dataset.sources]]
path = "cats"  # mine
repeats = 2

# More pictures.
[[dataset.sources]]
path = "dogs"

[samples]
prompts = [
    "a cat",  # the first
    "a dog",  # the second
]
"""


def edit(field: str, value: Any) -> tuple[list[str], list[str]]:
    edited = document(EXAMPLE)
    edited.set(field, value)
    return changed(EXAMPLE.splitlines(), edited.text.splitlines())


def test_a_comment_beside_the_value_stays() -> None:
    assert edit("optimizer.lr", 5e-5) == (["lr = 1e-4  # usual"], ["lr = 5e-5  # usual"])


def test_a_new_field_stands_with_its_section_and_not_below_the_next_sections_comment() -> None:
    edited = document(EXAMPLE)
    edited.set("optimizer.eps", 1e-7)
    assert "lr = 1e-4  # usual\neps = 1e-7\n# weight_decay = 0.1\n" in edited.text


def test_a_new_section_stands_at_the_end() -> None:
    edited = document(EXAMPLE)
    edited.set("training.steps", 500)
    assert edited.text == f"{EXAMPLE}\n[training]\nsteps = 500\n"


def test_a_section_known_only_by_its_list_gets_a_header_above_it() -> None:
    edited = document(EXAMPLE)
    edited.set("dataset.resolution", 768)
    assert '"cosine"\n\n[dataset]\nresolution = 768\n\n# The pictures.\n[[dataset.sources]]\n' in edited.text


def test_an_enum_is_written_as_its_text() -> None:
    assert edit("schedule.kind", Kind.CONSTANT) == (['kind = "cosine"'], ['kind = "constant"'])


def test_one_prompt_of_several_is_changed_alone() -> None:
    assert edit("samples.prompts", ["a cat", "two dogs"])[1] == ['    "two dogs",  # the second']


def test_an_added_prompt_leaves_the_comments_of_the_others() -> None:
    assert edit("samples.prompts", ["a cat", "a dog", "a bird"]) == ([], ['    "a bird",'])


def test_a_removed_prompt_takes_its_own_line_along_and_no_other() -> None:
    assert edit("samples.prompts", ["a dog"]) == (['    "a cat",  # the first'], [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("optimizer = { lr = 1e-4 }  # braces\n", "optimizer = { lr = 1e-4, eps = 1e-7 }  # braces\n"),
        ("optimizer.lr = 1e-4\nname = 'x'\n", "optimizer.lr = 1e-4\noptimizer.eps = 1e-7\nname = 'x'\n"),
        ("[optimizer]\n\tlr = 1e-4\n[model]\n", "[optimizer]\n\tlr = 1e-4\n\teps = 1e-7\n[model]\n"),
        ("[optimizer]\n\n# next\n[model]\n", "[optimizer]\neps = 1e-7\n\n# next\n[model]\n"),
        ("[optimizer]\nlr = 1e-4", "[optimizer]\nlr = 1e-4\neps = 1e-7"),
        ("# mine\r\n[optimizer]\r\nlr = 1\r\n", "# mine\r\n[optimizer]\r\nlr = 1\r\neps = 1e-7\r\n"),
    ],
)
def test_a_new_field_is_written_the_way_its_section_is(before: str, after: str) -> None:
    edited = document(before)
    edited.set("optimizer.eps", 1e-7)
    assert edited.text == after


def test_sources_that_stand_apart_are_changed_where_they_stand() -> None:
    text = '[[dataset.sources]]\npath = "a"\n\n[model]\nbase = "x"\n\n[[dataset.sources]]\npath = "b"\n'
    edited = document(text)
    edited.set("dataset.sources", [{"path": "a", "repeats": 2}, {"path": "c"}])
    assert edited.text == text.replace('"a"\n', '"a"\nrepeats = 2\n').replace('"b"', '"c"')


def test_changing_one_source_leaves_the_other_and_its_comments() -> None:
    sources = [{"path": "cats", "repeats": 3}, {"path": "dogs"}]
    assert edit("dataset.sources", sources) == (["repeats = 2"], ["repeats = 3"])


def test_an_added_source_stands_below_the_last_one() -> None:
    edited = document(EXAMPLE)
    edited.set("dataset.sources", [{"path": "cats", "repeats": 2}, {"path": "dogs"}, {"path": "birds"}])
    assert 'path = "dogs"\n\n[[dataset.sources]]\npath = "birds"\n\n[samples]' in edited.text


def test_a_removed_source_takes_its_own_comment_along_and_no_other() -> None:
    edited = document(EXAMPLE)
    edited.set("dataset.sources", [{"path": "cats", "repeats": 2}])
    assert edited.text == EXAMPLE.replace('# More pictures.\n[[dataset.sources]]\npath = "dogs"\n\n', "")


def test_sources_can_start_in_an_empty_file() -> None:
    edited = document("")
    edited.set("dataset.sources", [{"path": "cats"}])
    edited.set("model.base", "/base")
    assert edited.text == '[[dataset.sources]]\npath = "cats"\n\n[model]\nbase = "/base"\n'
    assert parse_profile(edited.text, folder=Path("/x")).profile.model.base == "/base"


def test_an_unknown_field_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        document("").set("optimizer.learning_rate", 1.0)


def test_text_that_is_not_toml_is_kept_and_reported() -> None:
    edited = document("lr = = 1")
    with pytest.raises(ProfileError) as caught:
        edited.set("optimizer.lr", 1e-4)
    assert caught.value.problems[0].line == 1
    assert edited.text == "lr = = 1"


@pytest.mark.parametrize("text", ['optimizer = "adamw"\n', "[[optimizer]]\nlr = 1\n", "dataset = 3\n"])
def test_a_layout_that_no_profile_has_is_left_alone(text: str) -> None:
    edited = document(text)
    with pytest.raises(ProfileError):
        edited.set("dataset.resolution" if text.startswith("dataset") else "optimizer.lr", 512)
    assert edited.text == text


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "cat.toml"
    path.write_text(EXAMPLE)
    return path


def test_saving_keeps_mode_and_symlink(saved: Path) -> None:
    saved.chmod(0o640)
    link = saved.with_name("link.toml")
    link.symlink_to(saved.name)
    opened = ProfileDocument.open(link)
    opened.set("optimizer.lr", 2e-4)
    opened.save()
    assert link.is_symlink()
    assert saved.read_text() == EXAMPLE.replace("1e-4", "2e-4")
    assert saved.stat().st_mode & 0o777 == 0o640
    assert not opened.is_changed
    assert sorted(path.name for path in saved.parent.iterdir()) == ["cat.toml", "link.toml"]


def test_a_change_from_outside_is_not_overwritten(saved: Path) -> None:
    opened = ProfileDocument.open(saved)
    opened.set("optimizer.lr", 2e-4)
    other = EXAMPLE.replace("cosine", "constant")
    saved.write_text(other)
    assert opened.changed_on_disk
    with pytest.raises(ProfileConflict):
        opened.save()
    assert saved.read_text() == other
    opened.save(overwrite=True)
    assert saved.read_text() == opened.text
    opened.set("optimizer.lr", 3e-4)
    opened.save()


def test_a_touched_file_with_the_same_content_is_no_conflict(saved: Path) -> None:
    opened = ProfileDocument.open(saved)
    saved.unlink()
    saved.write_text(EXAMPLE)
    opened.set("name", "dog")
    opened.save()
    assert tomllib.loads(saved.read_text())["name"] == "dog"


def test_a_deleted_file_is_a_conflict(saved: Path) -> None:
    opened = ProfileDocument.open(saved)
    saved.unlink()
    with pytest.raises(ProfileConflict):
        opened.save()


def test_a_new_profile_does_not_replace_a_file_that_appeared(saved: Path) -> None:
    new = ProfileDocument.new(saved, "name = 'x'\n")
    with pytest.raises(ProfileConflict):
        new.save()
    elsewhere = ProfileDocument.new(saved.with_name("new.toml"), "name = 'x'\n")
    elsewhere.save()
    assert elsewhere.path.read_text() == "name = 'x'\n"


def test_reload_takes_what_is_on_disk(saved: Path) -> None:
    opened = ProfileDocument.open(saved)
    opened.set("optimizer.lr", 2e-4)
    saved.write_text("name = 'other'\n")
    opened.reload()
    assert opened.text == "name = 'other'\n"
    assert not opened.is_changed


def test_a_byte_order_mark_and_windows_line_ends_survive(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes("\ufeff# note\r\nname = 'x'\r\n".encode())
    opened = ProfileDocument.open(path)
    assert not opened.is_changed
    opened.set("name", "y")
    opened.set("optimizer.lr", 1e-4)
    opened.save()
    assert path.read_bytes() == '\ufeff# note\r\nname = "y"\r\n\r\n[optimizer]\r\nlr = 1e-4\r\n'.encode()


def test_a_folder_that_cannot_be_written_is_reported(saved: Path) -> None:
    opened = ProfileDocument.new(saved / "below" / "x.toml", "name = 'x'\n")
    with pytest.raises(ProfileError, match="cannot be written"):
        opened.save()


def test_get_gives_what_the_text_itself_says() -> None:
    opened = document(EXAMPLE)
    assert opened.get("optimizer.lr") == 1e-4
    assert opened.get("training.max_grad_norm") is None
    assert opened.get("dataset.sources") == [{"path": "cats", "repeats": 2}, {"path": "dogs"}]
    assert profile_field("training.max_grad_norm").default == 1.0
