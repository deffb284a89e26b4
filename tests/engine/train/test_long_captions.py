"""Captions of one, two and three chunks beside each other: however a batch is shared out or encoded, it trains the same."""

from __future__ import annotations

import pytest
from PIL import Image
from safetensors.torch import load_file

from engine.run.layout import RunDirectory
from tests.engine.train.train_runs import Lab, events, metrics, start, train

LENGTHS = (3, 160, 90, 5, 80, 4)
"""In tokens; beside each other in batches of two, three and four."""
LONG = ("captions.max_tokens=225", "training.steps=2", "training.gradient_accumulation=3")
# With a usual rate; AdamW's small epsilon would make whole steps of the round-off where a gradient is nearly zero.
GENTLE = ("optimizer.lr=1e-4", "optimizer.eps=1e-6", "schedule.warmup_steps=0")
BOTH = ("network.text_encoder=true", "network.text_encoder_2=true")


@pytest.fixture(scope="module")
def long_captions(lab: Lab) -> str:
    """The lab's pictures with captions of very different length, as an override of the source."""
    folder = lab.root / "long-captions"
    folder.mkdir()
    for number, (picture, length) in enumerate(zip(sorted(lab.pictures.glob("*.png")), LENGTHS, strict=True)):
        Image.open(picture).save(folder / f"{number}.png")
        letters = ("abcdefghijklmnopqrstuvwxyz"[(number + at) % 26] for at in range(length))  # each is a token
        (folder / f"{number}.txt").write_text(" ".join(letters), encoding="utf-8")
    return f'dataset.sources=[{{path="{folder}"}}]'


def assert_alike(one: RunDirectory, other: RunDirectory) -> None:
    for ours, theirs in zip(metrics(one), metrics(other), strict=True):
        assert ours.loss == pytest.approx(theirs.loss, abs=1e-6)
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-4)
    left, right = (load_file(run.checkpoint(2) / "trainable.safetensors") for run in (one, other))
    assert left.keys() == right.keys()
    assert max(float((left[name] - right[name]).abs().max()) for name in left) < 1e-6


@pytest.mark.parametrize("how", [BOTH, ("captions.tag_dropout=1e-12",)], ids=["trained", "live"])
def test_two_processes_equal_one_with_the_doubled_batch(lab: Lab, long_captions: str, how: tuple[str, ...]) -> None:
    two = lab.run(*LONG, *GENTLE, *how, long_captions, "launch.processes=2", "training.batch_size=2")
    one = lab.run(*LONG, *GENTLE, *how, long_captions, "training.batch_size=4")
    process = start(two)
    assert train(one) == 0
    assert process.wait(600) == 0
    assert_alike(two, one)
    trained = load_file(two.checkpoint(2) / "trainable.safetensors")
    for model in ("text_encoder_1.", "text_encoder_2.") if how is BOTH else ("",):
        moved = [
            float(value.abs().max()) for name, value in trained.items() if name.startswith(model) and "_B." in name
        ]
        assert max(moved) > 1e-4, model


def test_cached_live_and_trained_captions_begin_alike(lab: Lab, long_captions: str) -> None:
    runs = [
        lab.run(*LONG, *GENTLE, *how, long_captions, "training.batch_size=3", "captions.weights=true")
        for how in ((), ("captions.tag_dropout=1e-12",), BOTH)
    ]
    for run in runs:
        assert train(run) == 0
    assert [events(run, "dataset")[0]["text"] for run in runs] == ["cached", "live", "trained"]
    cached, live, trained = runs
    assert_alike(live, cached)
    assert metrics(trained)[0].loss == pytest.approx(metrics(cached)[0].loss, abs=1e-6)


@pytest.mark.parametrize("how", [BOTH, ()], ids=["trained", "cached"])
def test_a_validation_does_not_depend_on_who_stands_beside_whom(
    lab: Lab, long_captions: str, how: tuple[str, ...]
) -> None:
    folder = long_captions.partition('"')[2].partition('"')[0]
    found = []
    for size in (1, 2, 4):
        run = lab.run(
            *how, "captions.max_tokens=225", f'validation.folders=["{folder}"]', f"training.batch_size={size}"
        )
        assert train(run, stop_at=1, save=False) == 0
        found += [event["loss"] for event in events(run, "validated")]
    assert found == [pytest.approx(found[0], rel=1e-6)] * 3
