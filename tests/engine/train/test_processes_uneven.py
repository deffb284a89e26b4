"""Two processes where little goes evenly: small buckets, limited norms, a loss not finite in one of them, a refused save."""

from __future__ import annotations

import shutil
import time

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from engine.model.lora_read import read_lora
from engine.model.lora_weights import delta
from engine.run.layout import RunDirectory
from tests.engine.train.train_runs import Lab, events, metrics, start, state, status, train

LIMIT = 1e-3
# 5 pictures in one bucket and 1 in another: batches of 4, 1 and 1, three to a step, so that every step mixes them anew.
UNEVEN = (
    *("dataset.resolution=96", "dataset.bucket_max=128", "training.steps=4", "training.gradient_accumulation=2"),
    *(
        f"network.scale_weight_norms={LIMIT}",
        "ema.decay=0.9",
        "ema.deliverable=false",
        "training.on_nonfinite=skip",
        "captions.weights=true",
    ),
    *("optimizer.lr=1e-3", "optimizer.eps=1e-6", "schedule.warmup_steps=0"),
)
REFUSED = ("checkpoints.every_steps=2", "checkpoints.rehearsal=false", 'checkpoints.on_save_error="stop"')
OVERFLOW = "a (zorb:1" + 39 * "0" + ")"
"""Its embedding is infinite: the loss of whoever gets this image is not finite."""


def uneven(lab: Lab, name: str) -> str:
    """Pictures in two buckets, one of them with a caption that overflows, as an override."""
    folder = lab.root / name
    folder.mkdir()
    for number, picture in enumerate(sorted(lab.pictures.glob("*.png"))):
        with Image.open(picture) as image:
            image.convert("RGB").resize((128, 64) if number < 5 else (64, 128)).save(folder / picture.name)
        shutil.copy(picture.with_suffix(".txt"), folder)
    min(folder.glob("*.txt")).write_text(OVERFLOW, encoding="utf-8")
    return f'dataset.sources=[{{path="{folder}"}}]'


def both(lab: Lab, *overrides: str) -> tuple[RunDirectory, RunDirectory]:
    """Two processes with batches of 2, and one with batches of 4."""
    two = lab.run(*overrides, "launch.processes=2", "training.batch_size=2")
    one = lab.run(*overrides, "training.batch_size=4")
    process = start(two)
    assert train(one) == 0
    assert process.wait(600) == 0
    return two, one


def greatest_difference(two: RunDirectory, one: RunDirectory, name: str) -> float:
    left, right = (load_file(run.checkpoint(4) / name) for run in (two, one))
    assert left.keys() == right.keys()
    return max(float((left[key] - right[key]).abs().max()) for key in left)


def test_two_processes_equal_one_and_drop_the_same_steps(lab: Lab) -> None:
    two, one = both(lab, *UNEVEN, uneven(lab, "uneven"))
    assert events(one, "dataset")[0]["buckets"] == {"64x128": 1, "128x64": 5}
    for ours, theirs in zip(metrics(two), metrics(one), strict=True):
        assert (ours.loss is None) == (theirs.loss is None)
        if ours.loss is not None:
            assert ours.loss == pytest.approx(theirs.loss, abs=1e-6)
            assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-4)
    for name in ("trainable.safetensors", "ema.safetensors"):
        assert greatest_difference(two, one, name) < 1e-6, name
    dropped = [event["step"] for event in events(two, "nonfinite")]
    assert dropped == [event["step"] for event in events(one, "nonfinite")]
    assert 0 < len(dropped) < 4
    for part in ("dropped", "ema", "images_seen", "data"):
        assert state(two.checkpoint(4))[part] == state(one.checkpoint(4))[part], part
    trained = load_file(two.checkpoint(4) / "trainable.safetensors")
    assert all(tensor.isfinite().all() for tensor in trained.values())
    norms = torch.stack(
        [delta(own).norm() for own in read_lora(two.checkpoint(4) / "lora.safetensors").weights.values()]
    )
    assert 0.5 * LIMIT < float(norms.max()) <= LIMIT * (1 + 1e-5), "some module came to its limit"


def test_a_loss_that_is_not_finite_in_one_process_ends_all(lab: Lab) -> None:
    source = uneven(lab, "uneven-stop")
    run = lab.run(*UNEVEN, source, "training.on_nonfinite=stop", "launch.processes=2", "training.batch_size=2")
    engine = start(run)
    assert engine.wait(300) == 2
    (failed,) = events(run, "failed")
    assert "the training has diverged" in failed["message"]
    assert status(run).state == "failed"
    assert "process" not in failed["message"], "nobody was lost"


def test_a_refused_save_ends_both_where_the_profile_says_so(lab: Lab) -> None:
    run = lab.run(
        "checkpoints.every_steps=2",
        "checkpoints.rehearsal=false",
        'checkpoints.on_save_error="stop"',
        "launch.processes=2",
    )
    shutil.rmtree(run.checkpoints)
    run.checkpoints.write_text("in the way", encoding="utf-8")
    began = time.monotonic()
    assert start(run).wait(300) == 2
    assert time.monotonic() - began < 120
    assert [event["step"] for event in events(run, "save_failed")] == [2]
    assert "on_save_error = stop" in events(run, "failed")[0]["message"]
