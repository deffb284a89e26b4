"""A checkpoint that the real engine wrote, with an adaptive optimizer and two groups: every stored fact is on the screen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.checkpoint.describe import describe
from sdxl_tui.fleet.comparison import compare
from sdxl_tui.screens.checkpoints import CheckpointsScreen
from sdxl_tui.terminal.numbers import format_loss, format_lr
from sdxl_tui.workspace import Workspace
from tests.engine.train.train_runs import make_lab, train
from tests.sdxl_tui.places.place_field import Shell, screen_text, until


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Four steps of a small run, a checkpoint and samples at 2 and 4."""
    lab = make_lab(tmp_path_factory.mktemp("lab"))
    run = lab.run(
        "name=small",
        "training.steps=4",
        "optimizer.kind=prodigy",
        "optimizer.lr=1.0",
        "network.text_encoder=true",
        "checkpoints.every_steps=2",
        "validation.share=0.3",
        "validation.every_steps=2",
        'samples.prompts=["a robot", "a house"]',
        "samples.every_steps=2",
        "schedule.warmup_steps=1",
    )
    assert train(run) == 0
    workspace = Workspace(lab.root)
    workspace.create()
    return workspace


async def test_every_stored_fact_is_in_the_details_at_both_sizes(trained: Workspace) -> None:
    (run,) = trained.runs.iterdir()
    summary = describe(run / "checkpoints/step-00000002")
    unet, text = summary.groups
    assert unet.d is not None
    assert summary.validation_loss is not None
    wanted = [
        "step 2 of 4",
        f"held out {format_loss(summary.validation_loss)}",
        f"loss {format_loss(summary.loss)} (avg {format_loss(summary.loss_avg)})",
        "cosine",
        "total steps 4 · warmup steps 1",
        f"base {format_lr(unet.base_lr)}  last {format_lr(unet.last_lr)}",
        f"d {format_lr(unet.d)}  effective d·LR {format_lr(unet.effective_lr)}",
        text.name,
        "rank 2 · alpha 2",
        "text encoder: ",
        "prodigy · decay",
        f"unet: {unet.values:,} numbers in {unet.parameters:,} tensors",
        "fresh run",
        "images seen",
        "on cpu",
        "torch ",
        "whole by sizes",
        "●",
    ]
    size: tuple[int, int]
    for size in ((80, 24), (200, 50)):
        async with Shell(lambda: CheckpointsScreen(trained)).run_test(size=size) as pilot:
            await until(pilot, lambda: "step 4 of 4" in screen_text(pilot.app), "the newest")
            await pilot.press("down")
            await until(pilot, lambda: "step 2 of 4" in screen_text(pilot.app), "step 2")
            seen = ""
            for _ in range(8):
                seen += screen_text(pilot.app)
                await pilot.press("J")
                await pilot.pause()
            missing = [fact for fact in wanted if fact not in seen]
            assert not missing, f"{missing} at {size}; the screen:\n{seen}"
            if size[0] == 200:
                await until(pilot, lambda: "▀" in screen_text(pilot.app), "the samples of step 2")


async def test_a_copy_outside_any_run_is_compared_too(trained: Workspace, tmp_path: Path) -> None:
    (run,) = trained.runs.iterdir()
    shutil.copytree(run / "checkpoints/step-00000002", tmp_path / "kept")
    found = compare(tmp_path / "kept", run / "checkpoints/step-00000004")
    titles = {section.title: section for section in found.sections}
    assert {item.name for item in titles["Checkpoint"].differences} >= {"step", "loss", "images seen"}
    assert titles["Profile"].differences == ()
    assert titles["Profile"].alike > 100
