"""Gradient checkpointing changes memory, not results."""

from __future__ import annotations

from typing import Any

import pytest
from torch.utils import checkpoint

from tests.engine.train.train_runs import Lab, arithmetic, metrics, same_tensors, train


def test_results_are_the_same_to_the_bit_with_dropout(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    how = ("training.steps=3", "network.dropout=0.3", "network.module_dropout=0.2", "schedule.warmup_steps=0")
    calls = 0
    compute = checkpoint.checkpoint

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return compute(*arguments, **options)

    plain, saving = lab.run(*how), lab.run(*how, "training.gradient_checkpointing=true")
    assert train(plain) == 0
    monkeypatch.setattr(checkpoint, "checkpoint", counted)
    assert train(saving) == 0
    assert calls > 0, "it was really used"
    assert arithmetic(metrics(saving)) == arithmetic(metrics(plain))
    for name in ("trainable.safetensors", "optimizer.safetensors"):
        assert same_tensors(saving.checkpoint(3), plain.checkpoint(3), name)
