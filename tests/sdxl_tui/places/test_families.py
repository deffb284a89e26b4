"""Families of runs: what hangs where, what is read when, how it is drawn."""

from __future__ import annotations

import shutil

import pytest

import sdxl_tui.fleet.families as families_module
from engine.checkpoint.describe import BrokenCheckpoint, CheckpointSummary
from engine.run.records import Parent
from sdxl_tui.fleet.checkpoint_query import parse_query
from sdxl_tui.fleet.families import CheckpointEntry, CheckpointShelf, Family
from sdxl_tui.widgets.family_rows import View, family_rows
from tests.sdxl_tui.places.place_field import NOW, Field


def described(shelf: CheckpointShelf) -> tuple[Family, ...]:
    """All families with everything described."""
    for root in shelf.read():
        for family in root.walk():
            for entry in family.checkpoints:
                shelf.describe(entry)
    return shelf.read()


def drawn(
    families: tuple[Family, ...], *, folded: frozenset[str] = frozenset(), words: tuple[str, ...] = ()
) -> list[str]:
    """Guides, marks and labels of the rows."""
    return [
        row.guides + {"open": "v ", "closed": "> ", None: ""}[row.fold] + "".join(text for text, _ in row.label)
        for row in family_rows(families, View(folded, parse_query(words), now=NOW))
    ]


@pytest.fixture
def family(field: Field) -> Field:
    """A run with three checkpoints, a child from its middle one, and an unrelated older run."""
    parent = field.run(age=9000)
    for step in (500, 860, 1000):
        field.checkpoint(parent, step)
    child = field.run("fox-child", age=100, parent=Parent(parent.id, "step-00000860", 860, "continue"))
    field.checkpoint(child, 200)
    field.run("old", age=90_000)
    return field


def test_a_child_hangs_below_the_checkpoint_it_came_from(family: Field) -> None:
    assert drawn(described(CheckpointShelf(family.workspace))) == [
        "v ■ fox-20261124-093000",
        "├ 1,000",
        "├ 860",
        "│ ↳ v ■ fox-child",
        "│   ╰ 200",
        "╰ 500",
        "■ old",
    ]


def test_a_child_whose_checkpoint_was_pruned_hangs_below_its_parent(family: Field) -> None:
    shutil.rmtree(family.workspace.runs / "fox-20261124-093000/checkpoints/step-00000860")
    assert drawn(described(CheckpointShelf(family.workspace)))[:5] == [
        "v ■ fox-20261124-093000",
        "├ 1,000",
        "├ 500",
        "╰ v ■ fox-child",
        "  ╰ 200",
    ]


def test_a_child_whose_parent_is_gone_stands_alone(family: Field) -> None:
    shutil.rmtree(family.workspace.runs / "fox-20261124-093000")
    assert drawn(described(CheckpointShelf(family.workspace))) == ["v ■ fox-child", "╰ 200", "■ old"]


def test_runs_that_claim_to_descend_from_each_other_end_nothing(field: Field) -> None:
    field.run("a", parent=Parent("b", "step-00000001", 1, "continue"))
    field.run("b", parent=Parent("a", "step-00000001", 1, "continue"))
    field.run("c", parent=Parent("c", "step-00000001", 1, "continue"))
    assert [root.key for root in CheckpointShelf(field.workspace).read()] == ["c"]


def test_a_folded_run_hides_what_is_below_it(family: Field) -> None:
    rows = drawn(described(CheckpointShelf(family.workspace)), folded=frozenset({"fox-20261124-093000"}))
    assert rows == ["> ■ fox-20261124-093000", "■ old"]


def test_the_filter_keeps_the_way_to_what_it_finds(family: Field) -> None:
    families = described(CheckpointShelf(family.workspace))
    everything = frozenset({"fox-20261124-093000", "fox-child"})
    assert drawn(families, folded=everything, words=("child",)) == [
        "v ■ fox-20261124-093000",
        "╰ v ■ fox-child",
        "  ╰ 200",
    ]
    assert drawn(families, words=("500",)) == ["v ■ fox-20261124-093000", "╰ 500"]
    assert drawn(families, words=("nothing",)) == []


def test_a_damaged_checkpoint_is_a_row_that_says_so(family: Field) -> None:
    folder = family.workspace.runs / "fox-20261124-093000/checkpoints"
    (folder / "step-00000860/optimizer.safetensors").write_bytes(b"short")
    (folder / "step-00000500/manifest.json").unlink()
    rows = drawn(described(CheckpointShelf(family.workspace)))
    assert "├ 860  ✗ damaged" in rows
    assert "╰ 500  ✗ damaged" in rows


def test_a_checkpoint_is_read_once_however_often_it_is_listed(family: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = CheckpointShelf(family.workspace)
    described(shelf)
    monkeypatch.setattr(families_module, "describe", lambda folder: pytest.fail(f"{folder} was read again"))
    assert all(entry.described for root in described(shelf) for run in root.walk() for entry in run.checkpoints)


def test_a_new_save_is_listed_undescribed_then_described(family: Field) -> None:
    shelf = CheckpointShelf(family.workspace)
    described(shelf)
    run = next(root.run.directory for root in shelf.read() if root.key.startswith("fox-2026"))
    family.checkpoint(run, 1250)
    newest = next(root for root in shelf.read() if root.key == run.id).checkpoints[0]
    assert (newest.step, newest.described) == (1250, None)
    assert isinstance(shelf.describe(newest), CheckpointSummary)


def test_a_checkpoint_that_is_gone_is_not_described(family: Field) -> None:
    missing = family.workspace.runs / "fox-20261124-093000/checkpoints/step-00009999"
    assert CheckpointShelf(family.workspace).describe(CheckpointEntry(missing, 9999)) is None


def test_a_renamed_checkpoint_is_damaged_not_believed(family: Field) -> None:
    folder = family.workspace.runs / "fox-20261124-093000/checkpoints"
    (folder / "step-00000500").rename(folder / "step-00000777")
    shelf = CheckpointShelf(family.workspace)
    broken = shelf.describe(CheckpointEntry(folder / "step-00000777", 777))
    assert isinstance(broken, BrokenCheckpoint)
    assert "777" in broken.reason
