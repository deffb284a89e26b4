"""Held-out images are measured as the papers say, the same in every run, and without a trace in the training."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.prepare import prepare
from engine.demo import locate
from engine.model.base import BaseFolder
from engine.model.encoders import BaseEncoders
from engine.profile.load import read_snapshot
from engine.run.commands import send_command
from engine.run.layout import RunDirectory
from engine.run.metrics import MetricsReader, ValidationPoint
from engine.train import rng
from engine.train.held_out import HeldOut, choose_held_out
from engine.train.loop import optimizer_step
from engine.train.meter import StepResult
from engine.train.training import Training
from engine.train.validator import Validator, timesteps_of
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, status, train


@pytest.fixture(scope="module")
def held_out(lab: Lab) -> Path:
    """Two pictures that are in no training."""
    folder = lab.root / "held-out"
    folder.mkdir()
    for picture in sorted(locate("bundled:demo-images").glob("*.png"))[6:8]:
        for file in (picture, picture.with_suffix(".txt")):
            shutil.copy(file, folder)
    return folder


def validations(run: RunDirectory) -> list[ValidationPoint]:
    reader = MetricsReader(run.metrics)
    reader.poll()
    return reader.validations


def reference(run: RunDirectory, folder: Path) -> dict[int, float]:
    """The base's loss by timestep: DDPM's equations, one image at a time."""
    profile = read_snapshot(run.profile)
    base = BaseFolder(locate(profile.model.base))
    unet: Any = base.unet()
    source = profile.dataset.sources[0].model_copy(update={"path": str(folder)})
    data = prepare(profile.dataset.model_copy(update={"sources": (source,)}), run.cache, BaseEncoders(base))
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alpha_bar = torch.cumprod(1 - betas, dim=0)
    losses = {}
    for t in (166, 500, 833):
        found = []
        for index, item in enumerate(data.items):
            one = data.batch([index])
            purpose = f"validation, {item.image.digest}, timestep {t}"
            generator = torch.Generator().manual_seed(rng.derived_seed(3, purpose))
            noise = torch.randn(one.latents.shape, generator=generator)
            noisy = alpha_bar[t].sqrt() * one.latents + (1 - alpha_bar[t]).sqrt() * noise
            told = {"text_embeds": one.pooled, "time_ids": one.time_ids}
            with torch.no_grad():
                predicted = unet(noisy, torch.tensor([t]), one.prompt_embeds, added_cond_kwargs=told).sample
            found.append(((predicted - noise) ** 2).mean().item())
        losses[t] = sum(found) / len(found)
    return losses


def test_the_base_is_measured_by_the_papers_equations_whatever_the_run_trains(lab: Lab, held_out: Path) -> None:
    how = (f'validation.folders=["{held_out}"]', "validation.timesteps=3", "validation.seed=3", "training.steps=2")
    plain = lab.run(*how, "schedule.warmup_steps=0")
    other = lab.run(
        *(*how, "schedule.warmup_steps=0", "loss.kind=huber", "loss.min_snr_gamma=1", "loss.noise_offset=0.2"),
        *("training.batch_size=1", "training.seed=99", "network.dropout=0.5", "loss.min_timestep=900"),
    )
    assert train(plain) == 0
    assert train(other) == 0
    expected = reference(plain, held_out)
    first = events(plain, "validated")[0]
    assert first["step"] == 0
    assert first["images"] == 2
    assert {int(t): loss for t, loss in first["by_timestep"].items()} == {
        t: pytest.approx(loss, rel=1e-5) for t, loss in expected.items()
    }
    assert first["loss"] == pytest.approx(sum(expected.values()) / 3, rel=1e-5)
    assert events(other, "validated")[0]["loss"] == pytest.approx(first["loss"], rel=1e-5)
    points = validations(plain)
    assert [point.step for point in points] == [0, 2]
    assert [point.validation_loss for point in points] == [event["loss"] for event in events(plain, "validated")]
    assert points[1].validation_loss != points[0].validation_loss
    saved = state(plain.checkpoint(2))
    assert (saved["validation_loss"], saved["validated_step"]) == (points[1].validation_loss, 2)
    assert status(plain).validation_loss == points[1].validation_loss


def test_measuring_leaves_no_trace_in_the_training(lab: Lab, held_out: Path) -> None:
    how = ("network.dropout=0.3", "training.steps=4")
    without = lab.run(*how)
    measured = lab.run(*how, f'validation.folders=["{held_out}"]', "validation.every_steps=1")
    assert train(without) == 0
    assert train(measured) == 0
    assert [event["step"] for event in events(measured, "validated")] == [0, 1, 2, 3, 4]
    assert arithmetic(metrics(measured)) == arithmetic(metrics(without))
    for name in ("trainable.safetensors", "optimizer.safetensors"):
        assert same_tensors(measured.checkpoint(4), without.checkpoint(4), name)
    assert state(measured.checkpoint(4))["rng"] == state(without.checkpoint(4))["rng"]


def test_a_validation_that_a_stop_has_forgone_is_made_at_the_resume(lab: Lab, held_out: Path) -> None:
    how = (f'validation.folders=["{held_out}"]', "validation.every_steps=2", "training.steps=6")
    straight, stopped = lab.run(*how), lab.run(*how)
    assert train(straight) == 0
    assert train(stopped, stop_at=4) == 0
    assert state(stopped.checkpoint(4))["validated_step"] == 2
    assert train(stopped) == 0
    for run in (straight, stopped):
        assert [event["step"] for event in events(run, "validated")] == [0, 2, 4, 6]
    losses = [[event["loss"] for event in events(run, "validated")] for run in (straight, stopped)]
    assert losses[0] == losses[1]
    for part in ("validation_loss", "validated_step", "average", "rng"):
        assert state(straight.checkpoint(6))[part] == state(stopped.checkpoint(6))[part]


def test_a_share_of_the_data_is_measured_and_never_trained(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Training] = []
    measure = Validator.measure

    def spied(self: Validator, *arguments: Any) -> Any:
        seen.append(self._training)
        return measure(self, *arguments)

    monkeypatch.setattr(Validator, "measure", spied)
    run = lab.run("validation.share=0.34", "training.steps=4", "validation.every_steps=0", "validation.at_start=false")
    assert train(run) == 0
    assert [event["step"] for event in events(run, "validated")] == [4]
    (told,) = events(run, "held_out")
    assert (told["images"], told["of_the_data"]) == (2, 2)
    training = seen[0]
    ((_, chosen),) = training.held_out.parts
    trained = {index for batch in training.order.state_dict()["order"] for index in batch}
    assert trained.isdisjoint(chosen)
    assert trained | chosen == set(range(6))


@dataclass(frozen=True)
class Picture:
    digest: str
    source: int
    is_regularisation: bool = False


@dataclass(frozen=True)
class Item:
    image: Picture


class Pictures:
    """A data set as far as the choice looks at it."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), min_size=1, max_size=40),
    st.floats(0.01, 0.9),
    st.integers(0, 2**63 - 1),
)
def test_the_choice_follows_content_alone(names: list[tuple[int, int]], share: float, seed: int) -> None:
    # What comes from source 2 is for regularisation.
    items = [Item(Picture(f"digest-{number}-{source == 2}", source, source == 2)) for source, number in names]
    data: Any = Pictures(items)
    chosen = {items[index].image.digest for index in choose_held_out(data, share, seed)}
    moved: Any = Pictures([Item(replace(item.image, source=item.image.source + 5)) for item in reversed(items)])
    assert {moved.items[index].image.digest for index in choose_held_out(moved, share, seed)} == chosen
    for source in (0, 1):
        digests = {item.image.digest for item in items if item.image.source == source}
        assert len(digests & chosen) >= min(1, len(digests) - 1)
    assert not any(item.image.is_regularisation for item in items if item.image.digest in chosen)
    assert not choose_held_out(data, 0.0, seed)


def test_batches_keep_buckets_and_lengths_apart_and_take_each_image_once() -> None:
    chunks = {0: 1, 1: 2, 2: 1, 3: 1, 4: 3, 5: 1}
    data: Any = SimpleNamespace(groups=[[0, 0, 1, 2, 5], [3, 4, 4]], chunks=chunks.__getitem__)
    held = HeldOut(((data, frozenset({0, 1, 2, 4, 5})),))
    assert [members for _, members in held.batches(2)] == [[0, 2], [5], [1], [4]]
    assert len(held) == 5


def test_timesteps_are_the_middles_of_equal_parts() -> None:
    assert timesteps_of(4, 1000) == [125, 375, 625, 875]
    assert timesteps_of(1, 1000) == [500]
    assert timesteps_of(5, 3) == [0, 1, 2]


def test_a_command_measures_now_and_one_without_images_says_why(
    lab: Lab, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lab.run(f'validation.folders=["{held_out}"]', "validation.at_start=false", "validation.every_steps=0")

    def stepped(training: Training) -> StepResult:
        result = optimizer_step(training)
        if result.step == 1:
            send_command(RunDirectory(run.path.with_name(training.origin.run)), "validate")
        return result

    monkeypatch.setattr("engine.train.loop.optimizer_step", stepped)
    assert train(run, stop_at=3) == 0
    assert [event["step"] for event in events(run, "validated")] == [1]
    assert [(event["ok"], event["message"]) for event in events(run, "command")] == [(True, "validated")]
    bare = lab.run()
    assert train(bare, stop_at=2) == 0
    (answer,) = events(bare, "command")
    assert not answer["ok"]
    assert "validation.folders" in answer["message"]


def test_no_generator_is_touched_and_every_module_keeps_its_mode(
    lab: Lab, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    measure = Validator.measure

    def spied(self: Validator, *arguments: Any) -> Any:
        training = self._training
        before = rng.capture(training.noise), [module.training for module in training.unet.modules()]
        python, numpy = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
        result = measure(self, *arguments)
        assert (rng.capture(training.noise), [module.training for module in training.unet.modules()]) == before
        assert (random.getstate(), np.random.get_state()[1].tolist()) == (python, numpy)  # type: ignore[index]
        looked.append(training.progress.step)
        return result

    monkeypatch.setattr(Validator, "measure", spied)
    run = lab.run(
        f'validation.folders=["{held_out}"]', "network.dropout=0.3", "training.steps=2", "schedule.warmup_steps=0"
    )
    assert train(run) == 0
    assert looked == [0, 2]


def test_a_stop_interrupts_a_validation(lab: Lab, held_out: Path) -> None:
    run = lab.run(f'validation.folders=["{held_out}"]')
    assert train(run, stop_at=0) == 0
    assert not events(run, "validated")
    assert events(run, "stopped")[0]["step"] == 0
