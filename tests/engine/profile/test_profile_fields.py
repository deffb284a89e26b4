"""The fields read from the schema are complete, and a wrong name finds the field it meant."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.profile.fields import (
    TABLES,
    nearest_field,
    nearest_section,
    profile_field,
    profile_fields,
    profile_sections,
    section_names,
    table_fields,
)
from engine.profile.load import ProfileError, parse_profile
from engine.profile.schema import Profile
from engine.profile.setting import AtResume
from engine.profile.to_toml import toml_value
from tests.engine.profile.profile_strategies import values


def test_every_field_of_the_schema_is_listed_in_its_order() -> None:
    schema = Profile.model_json_schema()
    definitions = schema["$defs"]
    paths = []
    for name, entry in schema["properties"].items():
        reference = entry.get("$ref", "").rpartition("/")[2]
        properties = definitions.get(reference, {}).get("properties")
        paths += [f"{name}.{inner}" for inner in properties] if properties else [name]
    assert [field.path for field in profile_fields()] == paths
    assert [section.name for section in profile_sections()] == ["", *section_names()]


def test_every_field_says_what_it_is() -> None:
    for field in (*profile_fields(), *(field for array in TABLES for field in table_fields(array))):
        assert field.help.endswith(".")
        assert isinstance(field.at_resume, AtResume)
        assert field.requirement
        assert (field.required or field.is_optional) == (field.default is None)
        assert (field.kind == "choice") == bool(field.choices)


def test_defaults_are_those_of_a_profile_that_sets_nothing() -> None:
    profile = Profile.model_validate({"model": {"base": "x"}, "dataset": {"sources": [{"path": "y"}]}})
    set_by_hand = {"model.base", "dataset.sources"}
    assert {field.path: field.default for field in profile_fields() if field.path not in set_by_hand} == {
        path: value for path, value in profile.values().items() if path not in set_by_hand
    }


def test_limits_are_read_from_the_declaration() -> None:
    lr = profile_field("optimizer.lr")
    assert (lr.kind, lr.minimum, lr.minimum_exclusive, lr.maximum, lr.maximum_exclusive) == (
        "float",
        0,
        True,
        10,
        False,
    )
    assert profile_field("dataset.resolution").multiple_of == 8
    assert profile_field("schedule.kind").choices[:3] == ("constant", "linear", "cosine")
    assert profile_field("schedule.kind").at_resume is AtResume.RESTORED
    assert profile_field("samples.prompts").kind == "strings"
    assert profile_field("dataset.sources").kind == "tables"
    assert profile_field("launch.device").pattern
    assert profile_field("name").max_length == 64


FOLDER = Path("/w")
TEXT = '[model]\nbase = "x"\n[[dataset.sources]]\npath = "y"\n'


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_what_a_field_declares_is_what_validation_holds(data: st.DataObject) -> None:
    """A number just outside the declared range is refused at this field, one inside is not."""
    numbers = [field for field in profile_fields() if field.kind in {"int", "float"}]
    field = data.draw(st.sampled_from(numbers))
    inside = data.draw(values(field))
    step = field.multiple_of or 1
    outside: list[Any] = []
    if field.minimum is not None:
        low = int(field.minimum) if field.kind == "int" else float(field.minimum)
        outside.append(
            low if field.minimum_exclusive else low - step if field.kind == "int" else math.nextafter(low, -math.inf)
        )
    if field.maximum is not None:
        high = int(field.maximum) if field.kind == "int" else float(field.maximum)
        outside.append(
            high if field.maximum_exclusive else high + step if field.kind == "int" else math.nextafter(high, math.inf)
        )
    assert field.path not in refused(field.path, inside)
    for value in outside:
        assert field.path in refused(field.path, value)


def refused(path: str, value: Any) -> set[str]:
    """The fields that are reported for their own value (not for how they fit together)."""
    section, _, name = path.rpartition(".")
    written = f"{name} = {toml_value(value)}\n"
    text = (
        f"{TEXT}[{section}]\n{written}" if section != "dataset" else f"{TEXT}".replace("[[", f"[dataset]\n{written}[[")
    )
    try:
        parse_profile(text, folder=FOLDER)
    except ProfileError as error:
        return {problem.field for problem in error.problems if problem.rule.startswith("must be")}
    return set()


NEAREST = [
    ("learning_rate", "", "optimizer.lr"),
    ("unet_lr", "optimizer", "optimizer.unet_lr"),
    ("optimizer.learning_rate", "optimizer", "optimizer.lr"),
    ("LR", "optimizer", "optimizer.lr"),
    ("learing_rate", "optimizer", "optimizer.lr"),
    ("lr", "training", "optimizer.lr"),
    ("network_dim", "network", "network.rank"),
    ("lora-rank", "network", "network.rank"),
    ("network_alpha", "", "network.alpha"),
    ("max_train_steps", "", "training.steps"),
    ("max_steps", "training", "training.steps"),
    ("steps", "samples", "samples.steps"),
    ("seed", "optimizer", "training.seed"),
    ("lr_scheduler", "", "schedule.kind"),
    ("type", "schedule", "schedule.kind"),
    ("type", "network", "network.kind"),
    ("mixed_precision", "", "precision.compute"),
    ("pretrained_model_name_or_path", "", "model.base"),
    ("train_data_dir", "", "dataset.sources.path"),
    ("num_repeats", "dataset.sources", "dataset.sources.repeats"),
    ("gradient_accumulation_steps", "", "training.gradient_accumulation"),
    ("resolutoin", "dataset", "dataset.resolution"),
    ("min_bucket_reso", "dataset", "dataset.bucket_min"),
    ("sample_prompts", "", "samples.prompts"),
    ("output_name", "", "name"),
    ("zzz", "training", None),
    ("x", "training", None),
]


@pytest.mark.parametrize(("name", "section", "path"), NEAREST)
def test_a_foreign_or_misspelt_name_finds_its_field(name: str, section: str, path: str | None) -> None:
    assert nearest_field(name, section) == path


def test_every_alias_finds_a_field_that_has_it() -> None:
    for field in (*profile_fields(), *(field for array in TABLES for field in table_fields(array))):
        for alias in field.aliases:
            assert (
                nearest_field(alias, field.section) == field.path
                or alias in profile_field(nearest_field(alias, field.section) or "").aliases
            )


@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("optimiser", "optimizer"),
        ("lora", "network"),
        ("Train", "training"),
        ("lr_scheduler", "schedule"),
        ("xyz", None),
    ],
)
def test_a_wrong_section_finds_the_right_one(name: str, section: str | None) -> None:
    assert nearest_section(name) == section
