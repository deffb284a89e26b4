"""Continuing with a new learning rate: what the dialog says and what it starts."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

import sdxl_tui.fleet.launch as launch_module
from engine.profile.load import read_snapshot
from engine.run.layout import RunDirectory
from engine.schedule import Kind, Schedule
from sdxl_tui.fleet.queue.changes import pause
from sdxl_tui.fleet.queue.record import read_queue
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.screens.way_on_dialog import WayOnDialog
from sdxl_tui.widgets.choice import Choice
from sdxl_tui.widgets.labelled_field import LabelledField
from tests.sdxl_tui.places.place_field import COSINE, PROFILE, Field, Shell, matches_snapshot, screen_text, typed, until


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose engines would have been started; none really is."""
    runs: list[str] = []

    def note(run: RunDirectory, **_devices: object) -> int:
        runs.append(run.id)
        return 1

    monkeypatch.setattr(launch_module, "start", note)
    return runs


async def dialog(pilot: Pilot[None]) -> WayOnDialog:
    """Open the dialog on the checkpoint under the cursor, and wait for its first plan."""
    await until(pilot, lambda: "epoch" in screen_text(pilot.app), "the details")
    await pilot.press("c")
    await until(pilot, lambda: isinstance(pilot.app.screen, WayOnDialog), "the dialog")
    screen = pilot.app.screen
    assert isinstance(screen, WayOnDialog)
    await until(pilot, lambda: screen.plan is not None, "the first plan")
    return screen


def shell(field: Field, *, step: int = 1000, schedule: Schedule = COSINE, base_lr: float = 1e-4) -> Shell:
    """The place with one checkpoint."""
    run = field.run(step=step, schedule=schedule)
    field.checkpoint(run, step, schedule=schedule, base_lr=base_lr)
    return Shell(lambda: CheckpointsScreen(field.workspace))


def edited(field: Field, *changes: tuple[str, str]) -> Shell:
    """The place with one checkpoint of a run whose profile was edited afterwards."""
    run = field.run(step=1000, source=field.workspace.profiles / "fox.toml")
    field.checkpoint(run, 1000)
    text = PROFILE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    field.profile(text=text)
    return Shell(lambda: CheckpointsScreen(field.workspace))


async def test_it_opens_without_a_jump_and_with_the_steps_that_were_left(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        screen = await dialog(pilot)
        assert "LR goes on where it stood: 5.42e-5 → 5.42e-5" in screen_text(pilot.app)
        assert screen.plan is not None
        assert screen.plan.new == Schedule(Kind.COSINE, 1000, 0)


@pytest.mark.parametrize(
    ("size", "name"), [((80, 24), "continue-80x24"), ((200, 50), "continue-200x50")], ids=["small", "large"]
)
async def test_a_jump_is_named_and_a_warmup_proposed(field: Field, size: tuple[int, int], name: str) -> None:
    async with shell(field).run_test(size=size) as pilot:
        await dialog(pilot)
        text = await typed(pilot, "lr", "2e-4")
        assert "LR jumps ×3.7 at the seam: 5.42e-5 → 2.00e-4" in text
        assert "ctrl+r adds a warmup of 50 steps" in text
        assert "50 % done; 1,000 steps left" in text
        matches_snapshot(name, text)


async def test_the_time_that_finishing_first_would_take_is_told(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await dialog(pilot)
        assert "finishing it first takes about 33 m 20 s" in screen_text(pilot.app)  # 1,000 steps at 0.5 a second


async def test_one_key_takes_the_proposed_warmup(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        screen = await dialog(pilot)
        await typed(pilot, "lr", "2e-4")
        await pilot.press("ctrl+r")
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "LR rises ×3.7 over 50 warmup steps: 5.42e-5 → 0 → 2.00e-4" in text
        assert "ctrl+r" not in text
        assert screen.plan is not None
        assert screen.plan.new.warmup_steps == 50


async def test_a_factor_multiplies_the_rate_the_checkpoint_stands_at(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await dialog(pilot)
        text = await typed(pilot, "lr", "x0.5")
        assert "= 2.71e-5" in text
        assert "LR drops ×0.50 at the seam: 5.42e-5 → 2.71e-5" in text


async def test_what_shapes_the_schedule_is_typed_and_its_names_stand_in_the_empty_field(field: Field) -> None:
    async with shell(field).run_test(size=(200, 50)) as pilot:
        screen = await dialog(pilot)
        screen.query_one("#kind", Choice).value = "cosine_with_restarts"
        await pilot.pause()
        assert "min_factor=0 cycles=3 cycle_growth=1" in screen_text(pilot.app)
        text = await typed(pilot, "shape", "cycles=2 min_factor=0.1")
        assert screen.plan is not None
        assert screen.plan.new == Schedule(Kind.COSINE_WITH_RESTARTS, 1000, min_factor=0.1, cycles=2)
        assert "schedule.cycles" in text


async def test_digits_typed_in_a_field_stay_in_the_field(field: Field) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await dialog(pilot)
        await typed(pilot, "steps", "123")
        assert pilot.app.screen.query_one("#steps", Input).value == "123"


@pytest.mark.parametrize(
    ("box", "text", "said"),
    [
        ("lr", "fast", "fast is not a number"),
        ("lr", "-1e-4", "must be a number above 0"),
        ("lr", "", "type a rate"),
        ("warmup", "x", "must be a whole number of steps"),
        ("warmup", "1001", "does not fit into 1,000 steps"),
        ("steps", "0", "must be a whole number from 1"),
        ("shape", "cycles=2", "is not used by the schedule cosine"),
        ("shape", "min_factor", "'min_factor' is not written"),
    ],
)
async def test_an_error_stands_beside_its_field_and_nothing_can_be_started(
    field: Field, started: list[str], box: str, text: str, said: str
) -> None:
    async with shell(field).run_test(size=(120, 36)) as pilot:
        screen = await dialog(pilot)
        await typed(pilot, box, text)
        row = screen.query_one(f"#{box}-field", LabelledField)
        assert row.has_class("-error")
        assert said in str(row.query_one(".field-note", Static).content)
        assert screen.plan is None
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert started == []
        assert isinstance(pilot.app.screen, WayOnDialog)


async def test_a_checkpoint_at_rate_0_starts_from_its_base_and_has_no_factor(field: Field) -> None:
    schedule = Schedule(Kind.COSINE, 1000, 1000)
    async with shell(field, step=1, schedule=schedule).run_test(size=(100, 30)) as pilot:
        await dialog(pilot)
        assert "LR rises from 0" in screen_text(pilot.app)
        assert "rate is 0" in await typed(pilot, "lr", "x2")


async def test_enter_makes_the_child_run_and_goes_to_its_page(field: Field, started: list[str]) -> None:
    app = shell(field)
    parent = RunDirectory(next(field.workspace.runs.iterdir()))
    async with app.run_test(size=(80, 24)) as pilot:
        await dialog(pilot)
        await typed(pilot, "lr", "2e-4")
        await pilot.press("ctrl+r")
        await typed(pilot, "steps", "600")
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.opened_runs), "the child's page")
    child = RunDirectory(field.workspace.runs / app.opened_runs[0])
    assert started == [child.id]
    profile, before = read_snapshot(child.profile), read_snapshot(parent.profile)
    assert (profile.optimizer.lr, profile.training.steps) == (2e-4, 600)
    assert (profile.schedule.kind, profile.schedule.warmup_steps) == (Kind.COSINE, 50)
    same = {"optimizer.lr", "training.steps", "schedule.warmup_steps"}
    assert {key for key, value in profile.values().items() if value != before.values()[key]} == same
    record = json.loads(child.record.read_text())
    assert record["parent"] == {
        "run": parent.id,
        "checkpoint": "step-00001000",
        "step": 1000,
        "route": "continue",
        "attempt": 1,
    }
    weights = parent.checkpoint(1000) / "trainable.safetensors"
    assert child.start_weights.read_bytes() == weights.read_bytes()


async def test_what_stands_against_a_start_is_told_and_the_dialog_stays(field: Field, started: list[str]) -> None:
    app = shell(field)
    run = RunDirectory(next(field.workspace.runs.iterdir()))
    async with app.run_test(size=(80, 24)) as pilot:
        await dialog(pilot)
        flip(run.checkpoint(1000) / "optimizer.safetensors")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "optimizer.safetensors" in screen_text(pilot.app), "the reason")
        assert isinstance(app.screen, WayOnDialog)
    assert started == []
    assert [entry.name for entry in field.workspace.runs.iterdir()] == [run.id]


async def test_the_plan_follows_a_keystroke_within_a_tenth_of_a_second(field: Field) -> None:
    async with shell(field).run_test(size=(200, 50)) as pilot:
        screen = await dialog(pilot)
        box = screen.query_one("#lr", Input)
        taken = []
        for value in ("1e-4", "2e-4", "3e-4", "1e-3", "2e-5"):
            started = time.process_time()  # the work it takes: other processes' share of the machine is not ours
            box.value = value
            await pilot.pause()
            taken.append(time.process_time() - started)
            assert screen.plan is not None
            assert screen.plan.new_base_lr == float(value)
        assert min(taken) < 0.1


def flip(path: Path) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


async def test_several_rates_make_siblings_that_wait_in_the_queue(field: Field, started: list[str]) -> None:
    pause(field.workspace)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        await dialog(pilot)
        text = await typed(pilot, "lr", "x1,x0.5,1e-5")
        assert "3 siblings, in the queue" in text
        assert "3 runs from here, one for each LR: 5.42e-5, 2.71e-5, 1.00e-5" in text
        await pilot.press("enter")
        await until(pilot, lambda: len(read_queue(field.workspace).entries) == 3, "the siblings")
        names = [entry.run.rpartition("-20")[0] for entry in read_queue(field.workspace).entries]
        assert names == ["fox-lr5.42e-5", "fox-lr2.71e-5", "fox-lr1e-5"]
    assert started == []


@pytest.mark.parametrize(("text", "said"), [("x1,,x2", "type a rate"), ("x1,x1", "would be made twice")])
async def test_a_list_of_rates_that_makes_no_fork_is_said(field: Field, text: str, said: str) -> None:
    async with shell(field).run_test(size=(80, 24)) as pilot:
        screen = await dialog(pilot)
        assert said in await typed(pilot, "lr", text)
        assert screen.plan is None


async def test_finishing_first_plans_from_the_end_and_queues_the_run_and_its_child(
    field: Field, started: list[str]
) -> None:
    pause(field.workspace)
    async with shell(field).run_test(size=(80, 24)) as pilot:
        screen = await dialog(pilot)
        screen.query_one("#when", Choice).value = "finish first"
        text = await typed(pilot, "lr", "base x0.1")
        assert "the steps that are left come first" in text
        assert "→ 1.00e-5" in text and screen.plan is not None and screen.plan.old_step == 2000
        await pilot.press("enter")
        await until(pilot, lambda: len(read_queue(field.workspace).entries) == 2, "the chain")
    parent, child = read_queue(field.workspace).entries
    assert (child.after, parent.after) == (parent.run, None)
    assert started == []


async def test_edits_of_the_profile_that_the_child_would_not_have_are_named_and_taken_over(
    field: Field, started: list[str]
) -> None:
    """Who edits the profile and then trains on should not believe that the edits came along."""
    place = edited(field, ("lr = 1e-4", "lr = 3e-4\nweight_decay = 0.2"), ("resolution = 128", "resolution = 192"))
    async with place.run_test(size=(80, 24)) as pilot:
        screen = await dialog(pilot)
        await until(pilot, lambda: "3 edits in " in screen_text(pilot.app), "the edits")
        text = " ".join(screen_text(pilot.app).replace("│", " ").split())
        assert "not in this child. ctrl+t takes them: dataset.resolution, optimizer.lr, optimizer.weight_decay" in text
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "not in this child" not in screen_text(pilot.app), "the edits taken over")
        assert screen.plan is not None
        child = screen.plan.profile
        assert (child.optimizer.lr, child.optimizer.weight_decay, child.dataset.resolution) == (3e-4, 0.2, 192)
        screen.query_one("#way", Choice).value = "reschedule"
        await until(pilot, lambda: "2 edits in " in screen_text(pilot.app), "what a reschedule cannot have")
        assert "another way takes them" in " ".join(screen_text(pilot.app).replace("│", " ").split())


async def test_what_changes_can_be_read_to_its_end_on_a_small_terminal(field: Field, started: list[str]) -> None:
    place = edited(field, ("lr = 1e-4", "lr = 3e-4\nweight_decay = 0.2\nbeta1 = 0.8\nbeta2 = 0.99\neps = 1e-7"))
    async with place.run_test(size=(80, 24)) as pilot:
        await dialog(pilot)
        await until(pilot, lambda: "ctrl+t" in screen_text(pilot.app), "the edits")
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "Read on" in screen_text(pilot.app), "that there is more")
        assert "schedule.warmup_steps" not in screen_text(pilot.app)
        await pilot.press("pagedown", "pagedown", "pagedown")
        await until(pilot, lambda: "Kept LoRA weights" in screen_text(pilot.app), "the end")
