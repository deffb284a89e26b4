"""Sorting runs: by every order, unknown last, whichever way round."""

from __future__ import annotations

from pathlib import Path

from sdxl_tui.fleet.run_order import RunOrder, RunSorting
from sdxl_tui.fleet.runs import list_runs
from tests.sdxl_tui.app.run_field import open_workspace


def test_each_order_sorts_by_what_it_says_and_leaves_the_unknown_last(tmp_path: Path) -> None:
    field = open_workspace(tmp_path / "ws")
    field.run("cow", loss=0.3, step=100, age=30)
    field.run("ant", loss=0.1, step=300, age=20, state="failed", exit_code=1)
    field.run("bee", step=0, age=10)
    runs = list_runs(field.workspace)

    def names(order: RunOrder, *, turned: bool = False) -> list[str]:
        return [run.name for run in RunSorting(order, turned).sorted(runs)]

    assert names(RunOrder.TURN) == ["bee", "ant", "cow"]
    assert names(RunOrder.NAME) == ["ant", "bee", "cow"]
    assert names(RunOrder.NAME, turned=True) == ["cow", "bee", "ant"]
    assert names(RunOrder.LOSS) == ["ant", "cow", "bee"]
    assert names(RunOrder.LOSS, turned=True) == ["cow", "ant", "bee"]
    assert names(RunOrder.DONE) == ["bee", "cow", "ant"]
    assert names(RunOrder.AGE) == ["bee", "ant", "cow"]
    assert names(RunOrder.STATE)[0] == "ant"
    for order in RunOrder:
        assert sorted(names(order)) == ["ant", "bee", "cow"]


def test_the_orders_come_round() -> None:
    order, seen = RunOrder.TURN, []
    for _ in RunOrder:
        seen.append(order)
        order = order.next
    assert order is RunOrder.TURN and set(seen) == set(RunOrder)
