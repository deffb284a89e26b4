"""No option of sd-scripts vanishes: each is declared, each gets its line, and no value of any makes the import fail."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.foreign.sd_scripts.given import Entry, Given, GivenDataset, GivenSubset
from engine.foreign.sd_scripts.importing import import_file, import_given
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.table import ARGUMENTS, OPTIONS, SD_SCRIPTS
from engine.profile.fields import find_field
from engine.profile.load import parse_profile

LISTED = Path(__file__).parent.parent / "data" / "sdxl_train_network_options.txt"
NAMES = [line for line in LISTED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]

odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(
        [
            "",
            "0",
            "1",
            "None",
            "True",
            "1e-4",
            "10%",
            "fp16",
            "cosine",
            "1,2",
            "a=b",
            "../x",
            "~nobody/x",
            "\0",
            "\ud800",
        ]
    ),
    st.text(max_size=20),
    st.lists(st.one_of(st.integers(-5, 2000), st.text(max_size=5), st.floats()), max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)
real_values: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([True, False, 0, 1, 4, 512, 1024, 0.1, 1.0, 1e-4]),
    st.sampled_from(
        ["bf16", "lycoris.kohya", "networks.lora", "prodigy", "Adafactor", "lokr", "1024,1024", "all", "huber"]
    ),
    st.sampled_from([["algo=loha", "conv_dim=8"], ["weight_decay=0.1", "betas=0.9,0.99"], "cosine_with_restarts"]),
)


def given_of(options: dict[str, Any], *, gui: bool = False) -> Given:
    found = Given("a test", "test.toml")
    found.is_gui = gui
    for name, value in options.items():
        found.add(name, value)
    return found


def test_the_list_is_the_parsers() -> None:
    assert len(NAMES) > 200
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_each_option_is_declared_with_a_reason_or_a_field(name: str) -> None:
    option = SD_SCRIPTS.get(name) or OPTIONS[name]
    assert option.fields or option.why
    assert all(find_field(field) for field in option.fields)
    assert option.fate is Fate.TRANSLATED or option.why


def test_every_declared_field_of_an_argument_exists() -> None:
    for option in (*ARGUMENTS.values(), *OPTIONS.values()):
        assert all(find_field(field) for field in option.fields), option.name


@pytest.mark.parametrize("name", NAMES)
def test_each_option_that_is_set_has_its_line(name: str) -> None:
    for value in (True, 1, "1", 0.5, "x"):
        imported = import_given(given_of({"pretrained_model_name_or_path": "a/b", name: value}))
        lines = [line for line in imported.lines if line.option == name and line.fate is not Fate.DEFAULT]
        assert len(lines) == 1
        assert lines[0].fate in (Fate.TRANSLATED, Fate.MEANINGLESS, Fate.UNSUPPORTED)
        assert lines[0].becomes or lines[0].note


def test_an_unknown_option_is_told_with_the_nearest_name() -> None:
    imported = import_given(given_of({"network_dimm": 8, "zzqx": 1}))
    told = {line.option: line for line in imported.of(Fate.UNKNOWN)}
    assert told["network_dimm"].note.endswith("did you mean network_dim?")
    assert "zzqx" in told
    assert all(line.is_warning for line in told.values())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(OPTIONS)), odd_values | real_values, max_size=25), st.booleans())
def test_whatever_the_values_the_profile_loads_and_nothing_is_left_out(options: dict[str, Any], gui: bool) -> None:
    imported = import_given(given_of(options, gui=gui))
    parse_profile(imported.text, folder=Path("/"))
    told = {line.option for line in imported.lines}
    assert set(options) <= told
    json.dumps(imported.to_json())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.lists(st.dictionaries(st.sampled_from(sorted(OPTIONS)), odd_values | real_values, max_size=6), max_size=3),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_stands_in_data_sets_the_profile_loads(sets: list[list[dict[str, Any]]]) -> None:
    found = given_of({"max_train_epochs": 3})
    for number, subsets in enumerate(sets):
        levels = [
            {name: Entry(name, value, f"{number}.{index}.{name}") for name, value in subset.items()}
            for index, subset in enumerate(subsets)
        ]
        found.datasets.append(GivenDataset({}, [GivenSubset(level) for level in levels]))
    imported = import_given(found)
    parse_profile(imported.text, folder=Path("/"))
    told = {line.option for line in imported.lines}
    assert {
        entry.label for dataset in found.datasets for sub in dataset.subsets for entry in sub.options.values()
    } <= told


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(max_size=200),
    st.sampled_from(
        [
            "",
            "accelerate launch sdxl_train_network.py --network_dim=4 ",
            "network_dim = 4\n",
            '{"network_dim": 4, "x": ',
        ]
    ),
)
def test_whatever_text_follows_it_is_read_or_refused_in_words(text: str, start: str) -> None:
    from engine.errors import UserError  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.toml", "a.json", "a.sh"):
            path = Path(folder) / name
            path.write_text(start + text, encoding="utf-8", errors="replace")
            try:
                imported = import_file(path)
            except UserError as error:
                assert str(error)
            else:
                parse_profile(imported.text, folder=Path("/"))
