"""What is typed into the filter, and the orders of the list: which checkpoints come out, and in which order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.checkpoint.manifest import write_manifest
from engine.checkpoint.pins import pin
from engine.schedule import Kind, Schedule
from sdxl_tui.fleet.checkpoint_order import Order, Sorting
from sdxl_tui.fleet.checkpoint_query import parse_query
from sdxl_tui.fleet.families import CheckpointEntry, CheckpointShelf, Family
from tests.sdxl_tui.places.place_field import NOW, Field


def rewritten(folder: Path, **changes: object) -> None:
    """Change what a checkpoint's state says."""
    state = json.loads((folder / "state.json").read_text()) | changes
    (folder / "state.json").write_text(json.dumps(state))
    write_manifest(folder, state["step"])


@pytest.fixture
def grown(field: Field) -> list[tuple[Family, CheckpointEntry]]:
    """fox@100 (loss 0.2), fox@500 (loss 0.1, pinned), fox@860 damaged; cat@50, constant, held out 0.3, two days old."""
    fox, cat = field.run(), field.run("cat-1", age=9000)
    rewritten(field.checkpoint(fox, 100, age=500), loss_avg=0.2)
    rewritten(field.checkpoint(fox, 500, age=100), loss_avg=0.1)
    (field.checkpoint(fox, 860) / "optimizer.safetensors").write_bytes(b"short")
    constant = Schedule(Kind.CONSTANT, 100)
    rewritten(
        field.checkpoint(cat, 50, schedule=constant, base_lr=3e-4, age=180_000), loss_avg=0.15, validation_loss=0.3
    )
    pin(fox, "step-00000500")
    shelf = CheckpointShelf(field.workspace)
    for _, entry in every(shelf):
        shelf.describe(entry)
    return every(shelf)


def every(shelf: CheckpointShelf) -> list[tuple[Family, CheckpointEntry]]:
    """All checkpoints as they are known now."""
    return [(run, entry) for root in shelf.read() for run in root.walk() for entry in run.checkpoints]


def named(found: object) -> list[str]:
    """``fox@100`` for each."""
    assert isinstance(found, list)
    return [f"{run.key[:3]}@{entry.step}" for run, entry in found]


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("", ["fox@860", "fox@500", "fox@100", "cat@50"]),
        ("fox-2026", ["fox@860", "fox@500", "fox@100"]),
        ("pinned", ["fox@500"]),
        ("fox-2026 -pinned -damaged", ["fox@100"]),
        ("damaged", ["fox@860"]),
        ("lr<2e-4", ["fox@860", "fox@500", "fox@100"]),
        ("lr=3e-4", ["cat@50"]),
        ("lr!=3e-4 -damaged", ["fox@500", "fox@100"]),
        ("loss<=0.15", ["fox@860", "fox@500", "cat@50"]),
        ("val<1", ["cat@50"]),
        ("age>1d", ["cat@50"]),
        ("age<5min", ["fox@500"]),
        ("done>=50%", ["cat@50"]),
        ("size>1MB step>=500", ["fox@860", "fox@500"]),
        ("constant", ["cat@50"]),
        ("fox-2026 decay lr<9.5e-5", ["fox@860", "fox@500"]),
        ("500", ["fox@500"]),
    ],
)
def test_a_query_finds_what_it_says(grown: list[tuple[Family, CheckpointEntry]], typed: str, wanted: list[str]) -> None:
    query = parse_query(tuple(typed.lower().split()))
    assert named([(run, entry) for run, entry in grown if query.fits(run.run, entry, NOW)]) == wanted
    assert query.problem == ""


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("lr<", "such as lr<1e-4"),
        ("lr<1e-", "1e- is not understood: such as lr<1e-4"),
        ("size>3parsecs", "3parsecs is not understood: such as size>100MB"),
        ("speed>3", "no field speed: step loss val lr base done epoch rank size age"),
    ],
)
def test_a_term_that_is_not_understood_is_left_out_and_said(typed: str, problem: str) -> None:
    query = parse_query((typed,))
    assert (query.problem, query.is_empty) == (problem, True)


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        (Order.STEP, ["fox@860", "fox@500", "fox@100", "cat@50"]),
        (Order.LOSS, ["fox@500", "fox@860", "cat@50", "fox@100"]),
        (Order.HELD_OUT, ["cat@50", "fox@500", "fox@100", "fox@860"]),
        (Order.LR, ["cat@50", "fox@100", "fox@500", "fox@860"]),
        (Order.RUN, ["cat@50", "fox@500", "fox@100", "fox@860"]),
        (Order.DATE, ["fox@500", "fox@100", "fox@860", "cat@50"]),
        (Order.PINNED, ["fox@500", "fox@100", "fox@860", "cat@50"]),
    ],
)
def test_each_order_puts_first_what_is_looked_for(
    grown: list[tuple[Family, CheckpointEntry]], order: Order, wanted: list[str]
) -> None:
    assert named(Sorting(order).sorted(grown)) == wanted


def test_choosing_an_order_again_turns_it_round_and_what_says_nothing_stays_last(
    grown: list[tuple[Family, CheckpointEntry]],
) -> None:
    lowest = Sorting().chosen(Order.HELD_OUT)
    highest = lowest.chosen(Order.HELD_OUT)
    assert (lowest.words, highest.words) == ("by held-out loss, lowest first", "by held-out loss, highest first")
    assert named(highest.sorted(grown))[0] == "cat@50"
    assert Sorting(Order.RUN, True).words == "by run, Z to A"
