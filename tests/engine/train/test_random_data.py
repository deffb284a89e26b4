"""Everything that is random about the data, in a real training: stopped inside an epoch and resumed, it goes on bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.data.batches import TrainingSet
from engine.data.order import BatchOrder
from engine.run.layout import RunDirectory
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, state, train

# 6 pictures, each twice an epoch, in batches of 2: step 2 lies in the middle of the first epoch of 6 batches.
RANDOM = (
    *("training.steps=5", "dataset.sources.0.repeats=2"),
    *("dataset.flip=true", "dataset.random_crops=2", "dataset.buckets=false"),
    *("captions.shuffle=true", "captions.tag_dropout=0.2", "captions.caption_dropout=0.2", "captions.wildcards=true"),
    *("captions.weights=true", "captions.max_tokens=150"),
)


@pytest.fixture(scope="module")
def straight(lab: Lab) -> RunDirectory:
    """5 steps without an interruption."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
        run = lab.run(*RANDOM, "checkpoints.every_steps=2")
        assert train(run) == 0
    return run


def test_stopped_inside_an_epoch_and_resumed_equals_straight(lab: Lab, straight: RunDirectory) -> None:
    run = lab.run(*RANDOM)
    assert train(run, stop_at=2) == 0
    assert train(run) == 0
    assert arithmetic(metrics(run)) == arithmetic(metrics(straight))
    for name in ("trainable.safetensors", "optimizer.safetensors", "lora.safetensors"):
        assert same_tensors(run.checkpoint(5), straight.checkpoint(5), name), name
    assert state(run.checkpoint(5))["data"] == state(straight.checkpoint(5))["data"]
    assert events(run, "dataset")[0]["text"] == "live"


@pytest.mark.parametrize("part", ["seed", "epoch", "repeat"])
def test_each_number_of_a_visit_counts(
    lab: Lab, straight: RunDirectory, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = BatchOrder.next_batch

    def shifted(self: BatchOrder) -> Any:
        return [replace(visit, **{part: getattr(visit, part) + 100}) for visit in original(self)]

    monkeypatch.setattr(BatchOrder, "next_batch", shifted)
    run = lab.copy(straight, f"shifted-{part}")
    assert train(run, checkpoint="step-00000002", stop_at=4, save=False) == 0
    assert arithmetic(metrics(run, attempt=2)) != arithmetic(metrics(straight)[2:4])


def test_the_captions_of_a_run_really_differ_from_what_was_written(
    lab: Lab, straight: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []
    original = TrainingSet.batch

    def watched(self: TrainingSet, members: Any) -> Any:
        batch = original(self, members)
        seen.append(batch.captions)
        return batch

    monkeypatch.setattr(TrainingSet, "batch", watched)
    run = lab.copy(straight, "watched")
    assert train(run, checkpoint="step-00000002", stop_at=5, save=False) == 0
    written = {path.read_text().strip() for path in lab.pictures.glob("*.txt")}
    drawn = {caption for captions in seen for caption in captions}
    assert len(drawn) > 3
    assert not drawn <= written | {""}


def test_other_captions_rules_rule_an_exact_resume_out(lab: Lab, straight: RunDirectory) -> None:
    run = lab.copy(straight, "other-rules")
    text = run.profile.read_text()
    assert "tag_dropout = 0.2" in text
    run.profile.write_text(text.replace("tag_dropout = 0.2", "tag_dropout = 0.3"))
    assert train(run, checkpoint="step-00000004") == 2
    (failed,) = events(run, "failed", attempt=2)
    assert "captions.tag_dropout was 0.2 and is now 0.3" in failed["message"]


def test_a_regularisation_image_counts_as_its_prior_weight_says(lab: Lab) -> None:
    weights = []
    for weight in (1.0, 0.5):
        source = "dataset.sources.0.regularisation=true", f"dataset.sources.0.prior_weight={weight}"
        run = lab.run(*source, "training.max_grad_norm=0", "checkpoints.every_steps=1", "schedule.warmup_steps=0")
        assert train(run, stop_at=1) == 0
        weights.append(metrics(run)[0])
        assert events(run, "dataset")[0]["regularisation_images"] == 6
    whole, half = weights
    assert whole.loss is not None
    assert whole.grad_norm is not None
    assert half.loss == pytest.approx(whole.loss / 2, rel=1e-6)
    assert half.grad_norm == pytest.approx(whole.grad_norm / 2, rel=1e-5)
