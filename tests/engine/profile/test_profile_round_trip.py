"""A profile written as a snapshot reads back equal; a person's text gives the values tomllib sees."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.profile.fields import profile_fields
from engine.profile.load import parse_profile, profile_to_toml, read_snapshot
from engine.profile.schema import Profile
from engine.profile.source_map import scan
from engine.profile.to_toml import toml_float, toml_text
from tests.engine.profile.profile_strategies import profiles, texts_of_profiles

FOLDER = Path("/workspace/profiles")


def absolute(profile: Profile) -> Profile:
    """``profile`` as loading it would give it."""
    return parse_profile(profile_to_toml(profile), folder=FOLDER).profile


@settings(max_examples=40, deadline=None)
@given(profiles())
def test_a_snapshot_reads_back_equal(profile: Profile) -> None:
    resolved = absolute(profile)
    assert absolute(resolved) == resolved
    paths = {name: getattr(resolved, name) for name in ("model", "network", "dataset", "validation")}
    assert resolved == profile.model_copy(update=paths), "only paths may change on the way"


@settings(max_examples=20, deadline=None)
@given(profiles())
def test_a_snapshot_names_every_field_that_has_a_value(profile: Profile) -> None:
    data = tomllib.loads(profile_to_toml(profile))
    written = {f"{section}.{name}" for section, table in data.items() if isinstance(table, dict) for name in table}
    written |= {name for name, value in data.items() if not isinstance(value, dict)}
    values = profile.values()
    unset = {field.path for field in profile_fields() if field.is_optional and values[field.path] is None}
    assert written == {field.path for field in profile_fields()} - unset - {"stages", "without"}  # it has none


@settings(max_examples=20, deadline=None)
@given(profiles())
def test_a_snapshot_on_disk_is_read_whatever_folder_it_lies_in(profile: Profile) -> None:
    resolved = absolute(profile)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile.toml"
        path.write_bytes(profile_to_toml(resolved).encode())
        assert read_snapshot(path) == resolved


@settings(max_examples=60, deadline=None)
@given(texts_of_profiles())
def test_every_value_is_found_where_it_stands(text: str) -> None:
    places = scan(text)
    data = tomllib.loads(text)
    for path, entry in places.entries.items():
        value: Any = data
        for key in path:
            value = value[key]
        assert tomllib.loads(f"found = {text[entry.start : entry.end]}")["found"] == value
        line, column = places.position(entry.key_start)
        assert text.split("\n")[line - 1][column - 1 :].startswith(text[entry.key_start : entry.key_start + 1])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_their_value(number: float) -> None:
    read = tomllib.loads(f"x = {toml_float(number)}")["x"]
    assert (read, isinstance(read, float)) == (number, True)


@given(st.text(st.characters(codec="utf-8")))
def test_texts_keep_their_value_on_one_line(text: str) -> None:
    written = toml_text(text)
    assert tomllib.loads(f"x = {written}")["x"] == text
    assert len(written.splitlines()) == 1


def test_rates_are_written_as_people_write_them() -> None:
    assert [toml_float(rate) for rate in (1e-4, 5e-5, 1.5e-4, 0.001, 0.05, 6.0)] == [
        "1e-4",
        "5e-5",
        "1.5e-4",
        "0.001",
        "0.05",
        "6.0",
    ]
