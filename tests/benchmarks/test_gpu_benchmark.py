"""The benchmark for cards runs its own code on the demo base, and says so where there is no card."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.report import as_markdown
from benchmarks.gpu.training_step import Measured, Setting, measure

REPOSITORY = Path(__file__).parents[2]


def test_a_step_is_timed_and_reported() -> None:
    setting = Setting("demo", 64, batch=2, rank=4, checkpointing=True, compiled=False)
    result = measure(setting, torch.device("cpu"), steps=2)
    assert result.failure == ""
    assert result.seconds > 0
    assert measure(replace(setting, base="int8"), torch.device("cpu"), steps=1).failure == ""
    twice = measure(Setting("demo", 128, 2, 4, False, False), torch.device("cpu"), steps=1)
    assert twice.flops > 3 * result.flops  # four times the latents; what depends on the text alone stays
    text = as_markdown([result, Measured(setting, failure="out of memory")], 1e12, torch.device("cpu"))
    assert "| 2 | bf16 | eager | on | out of memory" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/gpu"], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert done.stderr.strip().endswith("nothing was measured.")
    assert "Traceback" not in done.stderr
