"""``sdxl-tui compare``: what it finds between two checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.schedule import Kind, Schedule
from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.cli.cli_runner import CommandLine
from tests.sdxl_tui.places.place_field import Field


@pytest.fixture
def field(tmp_path: Path) -> Field:
    """A workspace with fox@100, fox@500 and cat@40, which is constant."""
    workspace = Workspace(tmp_path / "ws")
    workspace.create()
    field = Field(workspace)
    fox = field.run("fox")
    field.checkpoint(fox, 100)
    field.checkpoint(fox, 500)
    field.checkpoint(field.run("cat"), 40, schedule=Schedule(Kind.CONSTANT, 50), base_lr=3e-4)
    return field


def test_only_what_differs_is_listed(field: Field) -> None:
    found = CommandLine(field.workspace.path)("compare", "fox@100", "fox@500")
    assert found.code == 0
    words = [line.split() for line in found.out.splitlines()]
    assert ["Checkpoint", "step", "100", "500"] in words
    assert ["Schedule", "phase", "constant", "decay"] in words or [
        "Schedule",
        "share",
        "done",
        "5",
        "%",
        "25",
        "%",
    ] in words
    assert "rank" not in found.out
    assert "the same" in found.err


def test_json_has_both_values_of_every_difference(field: Field) -> None:
    found = CommandLine(field.workspace.path)("compare", "fox@100", "cat@40", "--json").json
    sections = {section["title"]: section for section in found["sections"]}
    groups = {item["name"]: (item["first"], item["second"]) for item in sections["Group unet"]["differences"]}
    assert groups["base LR"] == (1e-4, 3e-4)
    schedule = {item["name"]: (item["first"], item["second"]) for item in sections["Schedule"]["differences"]}
    assert schedule["kind"] == ("cosine", "constant")
    assert not sections["Adapter"]["differences"]


def test_a_checkpoint_and_itself_differ_in_nothing(field: Field) -> None:
    found = CommandLine(field.workspace.path)("compare", "fox@100", "fox@100")
    assert (found.code, found.out) == (0, "")
    assert found.err.startswith("0 differences")


def test_one_that_is_not_there_is_named(field: Field) -> None:
    found = CommandLine(field.workspace.path)("compare", "fox@100", "fox@300")
    assert found.code == 2
    assert "no checkpoint at step 300" in found.err
