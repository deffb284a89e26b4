"""A family's line of runs as one curve: where each run's steps lie, what counts of them, where the seams are."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from engine.run.layout import RunDirectory
from engine.run.metrics import MetricPoint, MetricsLog, ValidationPoint
from engine.run.records import Parent
from sdxl_tui.fleet.families import CheckpointShelf
from sdxl_tui.fleet.family_history import LineHistory, Link, lines_of
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.screens.family import FamilyPage
from tests.sdxl_tui.places.place_field import NOW, Field, Shell, screen_text, until


def measured(run: RunDirectory, steps: range, rate: float, *, attempt: int = 1, loss: float = 0.1) -> None:
    """Metrics of ``run`` for these steps."""
    log = MetricsLog(run.metrics)
    for step in steps:
        log.write(MetricPoint(step, attempt, 1, NOW, loss, loss, {"unet": rate}))
    log.close()


@pytest.fixture
def family(field: Field) -> Field:
    """Fox (10 steps, resumed at 4) → child (from 6; 5 steps) → grandchild (from 3); and a twin of child (from 2)."""
    fox = field.run("fox", age=9000)
    measured(fox, range(1, 7), 1e-3)
    measured(fox, range(5, 11), 1e-3, attempt=2, loss=0.2)
    child = field.run("child", age=500, parent=Parent("fox", "step-00000006", 6, "continue"))
    measured(child, range(1, 6), 5e-4)
    grandchild = field.run("grandchild", age=100, parent=Parent("child", "step-00000003", 3, "reschedule"))
    measured(grandchild, range(1, 3), 1e-4)
    log = MetricsLog(grandchild.metrics)
    log.write(ValidationPoint(2, 1, NOW, 0.3))
    log.close()
    twin = field.run("twin", age=300, parent=Parent("fox", "step-00000002", 2, "continue"))
    measured(twin, range(1, 4), 2e-4)
    event = {"time": NOW, "attempt": 1, "event": "lr_scaled", "step": 1, "factor": 0.5, "base_lr": {"unet": 1e-4}}
    with twin.events.open("a") as file:
        file.write(json.dumps(event) + "\n")
    for run, step in ((fox, 6), (child, 3), (twin, 3)):
        field.checkpoint(run, step)
    return field


def lines(field: Field) -> list[tuple[Link, ...]]:
    """Of the only family there is."""
    (root,) = CheckpointShelf(field.workspace).read()
    return list(lines_of(root))


def followed(line: tuple[Link, ...]) -> LineHistory:
    """All of a line read."""
    history = LineHistory()
    history.follow(line)
    history.poll()
    assert history.caught_up
    return history


def test_every_way_through_the_family_is_a_line(family: Field) -> None:
    found = [[(link.family.key, link.start, link.until) for link in line] for line in lines(family)]
    assert sorted(found) == [
        [("fox", 0, 2), ("twin", 2, None)],
        [("fox", 0, 6), ("child", 6, 3), ("grandchild", 9, None)],
    ]


def test_the_steps_follow_each_other_and_a_parent_counts_up_to_where_it_was_left(family: Field) -> None:
    longest = next(line for line in lines(family) if len(line) == 3)
    history = followed(longest)
    rates = history.lr()["unet"]
    assert [step for step, _, _ in rates] == list(range(1, 12))
    assert [rate for _, rate, _ in rates] == [1e-3] * 6 + [5e-4] * 3 + [1e-4] * 2
    assert [low for _, low, _ in history.loss()][4:6] == [0.2, 0.2]  # the resumed attempt's, not the first one's
    assert history.validation() == [(11, 0.3, 0.3)]
    assert history.steps == 11


def test_seams_are_named_and_lie_where_they_happened(family: Field) -> None:
    by_length = {len(line): followed(line).seams() for line in lines(family)}
    assert [(seam.step, seam.name) for seam in by_length[3]] == [(4, "resume"), (6, "continue"), (9, "reschedule")]
    assert [(seam.step, seam.name) for seam in by_length[2]] == [(2, "continue"), (3, "LR ×0.50")]


def test_a_run_that_goes_on_counting_its_parents_steps_lies_right_behind_them(field: Field) -> None:
    measured(field.run("fox", age=9000), range(1, 11), 1e-3)
    longer = field.run("longer", age=500, parent=Parent("fox", "step-00000006", 6, "extend"))
    measured(longer, range(7, 13), 5e-4)
    again = field.run("again", age=100, parent=Parent("longer", "step-00000008", 8, "continue"))
    measured(again, range(1, 3), 1e-4)
    (line,) = lines(field)
    history = followed(line)
    assert [(step, rate) for step, rate, _ in history.lr()["unet"]] == [
        *((step, 1e-3) for step in range(1, 7)),
        *((step, 5e-4) for step in (7, 8)),
        *((step, 1e-4) for step in (9, 10)),
    ]
    assert [(seam.step, seam.name) for seam in history.seams()] == [(6, "extend"), (8, "continue")]
    assert history.steps == 10


@pytest.mark.parametrize("recorded", [True, False])
def test_a_parent_that_was_resumed_after_the_child_was_made_keeps_the_childs_past(field: Field, recorded: bool) -> None:
    fox = field.run("fox", age=9000)
    measured(fox, range(1, 11), 1e-3)
    origin = Parent("fox", "step-00000006", 6, "continue", 1 if recorded else None)
    measured(field.run("child", age=500, parent=origin), range(1, 3), 5e-4)
    measured(fox, range(5, 11), 2e-3, attempt=2)
    later = Parent("fox", "step-00000008", 8, "continue", 2 if recorded else None)
    measured(field.run("later", age=100, parent=later), range(1, 3), 1e-4)
    event = {"time": NOW, "attempt": 2, "event": "lr_scaled", "step": 5, "factor": 2.0, "base_lr": {"unet": 2e-3}}
    with fox.events.open("a") as file:
        file.write(json.dumps(event) + "\n")
    by_last = {line[-1].family.key: line for line in lines(field)}
    history = LineHistory()
    for line, rates, seams in (
        (by_last["child"], [1e-3] * 6 + [5e-4] * 2, [(6, "continue")]),
        (
            by_last["later"],
            [1e-3] * 4 + [2e-3] * 4 + [1e-4] * 2,
            [(4, "resume"), (5, "LR ×2.0"), (8, "continue")],
        ),
    ):
        history.follow(line)
        history.poll()
        found = [rate for _, rate, _ in history.lr()["unet"]]
        if recorded or line is by_last["later"]:
            assert found == rates
            assert [(seam.step, seam.name) for seam in history.seams()] == seams
        else:
            assert found[:6] == [1e-3] * 4 + [2e-3] * 2, "an older version did not say which attempt it was"


def test_a_long_line_is_thinned_out(field: Field, tmp_path: Path) -> None:
    run = field.run("long")
    run.metrics.write_text(
        "".join(
            f'{{"step": {step}, "attempt": 1, "loss": {math.sin(step)}, "lr": {{"unet": 1e-4}}}}\n'
            for step in range(1, 60_001)
        )
    )
    (line,) = lines(field)
    history = LineHistory()
    history.follow(line)
    while not history.caught_up or not history.steps:
        began = time.process_time()
        history.poll()
        assert time.process_time() - began < 2
    assert history.steps == 60_000
    assert len(history.loss()) <= 2100


async def test_the_page_draws_the_line_and_turns_to_the_next(family: Field) -> None:
    for size in ((80, 24), (200, 50)):
        async with Shell(lambda: CheckpointsScreen(family.workspace)).run_test(size=size) as pilot:
            await until(pilot, lambda: "step 6 of" in screen_text(pilot.app), "the list")
            await pilot.press("f")
            await until(pilot, lambda: "in 3 runs" in screen_text(pilot.app), "the family")
            assert isinstance(pilot.app.screen, FamilyPage)
            text = screen_text(pilot.app)
            assert "11 steps in 3 runs · line" in text
            assert "grandchild  reschedule" in text
            assert "resume" in text
            await pilot.press("right")
            await until(pilot, lambda: "5 steps in 2 runs" in screen_text(pilot.app), "the other line")
            assert "LR ×0.50" in screen_text(pilot.app)
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, CheckpointsScreen), "the way back")
