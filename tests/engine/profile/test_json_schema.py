"""The JSON Schema of profiles and the loader agree: on what is shipped, on random profiles and on broken ones."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from engine.profile.fields import OF_A_FILE, STAGES, TABLES, ProfileField, profile_fields, table_fields
from engine.profile.json_schema import json_schema
from engine.profile.load import ProfileError, parse_profile
from engine.profile.shipped import shipped_profiles
from engine.profile.to_toml import toml_value
from tests.engine.profile.profile_strategies import tables, texts_of_profiles

SCHEMA = json_schema()
VALIDATOR = Draft7Validator(SCHEMA)
GOOD: dict[str, Any] = {"model": {"base": "b"}, "dataset": {"sources": [{"path": "p"}]}}


def accepted(data: Any) -> bool:
    return bool(VALIDATOR.is_valid(data))


def loads(data: dict[str, Any]) -> bool:
    text = "\n".join(f"{key} = {toml_value(value)}" for key, value in data.items())
    try:
        parse_profile(text, folder=Path("/nowhere"))
    except ProfileError:
        return False
    return True


def test_it_is_a_schema_and_no_field_is_left_out() -> None:
    Draft7Validator.check_schema(SCHEMA)
    for field in profile_fields():
        place = SCHEMA["properties"][field.section] if field.section else SCHEMA
        assert field.help in place["properties"][field.name]["description"]
        assert field.at_resume.value in place["properties"][field.name]["description"]
    sources = SCHEMA["properties"]["dataset"]["properties"]["sources"]["items"]
    assert list(sources["properties"]) == [field.name for field in table_fields("dataset.sources")]


def objects(schema: Any) -> list[dict[str, Any]]:
    found = [schema] if isinstance(schema, dict) and "additionalProperties" in schema else []
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return [*found, *(item for part in inner for item in objects(part))]


def test_no_table_takes_unknown_names() -> None:
    assert len(objects(SCHEMA)) > len(TABLES) + 10
    assert all(table["additionalProperties"] is False for table in objects(SCHEMA))


@pytest.mark.parametrize("path", shipped_profiles(), ids=lambda path: path.stem)
def test_every_shipped_profile_is_accepted(path: Path) -> None:
    assert list(VALIDATOR.iter_errors(tomllib.loads(path.read_text()))) == []


@settings(max_examples=60, deadline=None)
@given(texts_of_profiles())
def test_every_profile_that_loads_is_accepted(text: str) -> None:
    assert list(VALIDATOR.iter_errors(tomllib.loads(text))) == []


WRONG: dict[str, list[Any]] = {
    "int": ["text", 1.5, True, -(10**12), 10**30],
    "float": ["text", True, -1e12, 1e30],
    "bool": ["true", 1],
    "str": [1, True],
    "choice": ["no such choice", 3],
    "strings": ["text", [1]],
    "numbers": [1.0, ["x"]],
    "tables": ["text", [1], [{"no-such": 1}]],
    "settings": ["text", {"no.such": 1}],
}
SINGLE = [field for field in profile_fields() if field.path not in OF_A_FILE]


@settings(max_examples=150, deadline=None)
@given(tables(), st.data())
def test_what_it_refuses_the_loader_refuses_and_the_other_way_round(found: dict[str, Any], data: st.DataObject) -> None:
    field = data.draw(st.sampled_from([field for field in SINGLE if field.path != STAGES]))
    broken = copy.deepcopy(found)
    place = broken.setdefault(field.section, {}) if field.section else broken
    if data.draw(st.booleans()):
        place[field.name] = data.draw(st.sampled_from(WRONG[field.kind]))
    else:
        place[f"{field.name}_x"] = 1
    assert loads(found) and accepted(found)
    if not accepted(broken):
        assert not loads(broken)
    elif not loads(broken):
        assert field.path in RULED or field.kind in {"int", "float"}, "only a rule between fields is beyond a schema"


RULED = {"logging.trackers", "schedule.rules", "captions.separator"}


@pytest.mark.parametrize("field", SINGLE, ids=lambda field: field.path)
def test_both_refuse_a_value_of_the_wrong_type_in_every_field(field: ProfileField) -> None:
    for value in WRONG[field.kind][:2]:
        broken = copy.deepcopy(GOOD)
        place = broken.setdefault(field.section, {}) if field.section else broken
        place[field.name] = value
        assert not accepted(broken) and not loads(broken), value


@pytest.mark.parametrize(
    ("broken", "is_good"),
    [
        ({}, False),
        ({"extends": "demo"}, True),
        ({"extends": "demo", "model": {"vae": "x"}, "without": ["samples", "optimizer.lr"]}, True),
        ({"extends": "demo", "without": ["optimizer.rl"]}, False),
        ({"model": {}, "dataset": {"sources": [{"path": "p"}]}}, False),
        ({"model": {"base": "b"}, "dataset": {"sources": []}}, False),
        ({**GOOD, "stages": [{"steps": 5, "set": {"schedule.min_factor": 0.1}}]}, True),
        ({**GOOD, "stages": [{"steps": 5, "set": {"optimizer.lr": 0.1}}]}, False),
        ({**GOOD, "stages": [{"set": {}}]}, False),
        ({**GOOD, "schema": 2}, False),
        ({**GOOD, "name": "../x"}, False),
    ],
)
def test_what_a_profile_needs(broken: dict[str, Any], is_good: bool) -> None:
    assert accepted(broken) is is_good
