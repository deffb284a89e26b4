"""The lines between the two programs, held by import-linter's contracts and by what really gets loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TRAINING_LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "peft")


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "modules",
    [
        "engine.profile.load, engine.profile.document, engine.profile.preflight",
        "engine.run.liveness, engine.run.metrics, engine.run.create, engine.run.keeper",
        "engine.checkpoint.describe, engine.routes.continuing, engine.schedule, engine.estimate.estimate",
        "sdxl_tui.app, sdxl_tui.cli, sdxl_tui.screens.checkpoints, sdxl_tui.screens.profiles, sdxl_tui.widgets.chart",
    ],
)
def test_the_torch_free_half_loads_no_training_library(modules: str) -> None:
    program = f"import sys, {modules}; print(*(set({TRAINING_LIBRARIES!r}) & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_the_engine_loads_neither_the_manager_nor_textual() -> None:
    program = (
        "import sys, engine.__main__, engine.train.loop; print(*({'sdxl_tui', 'textual', 'rich'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "sdxl_tui" not in result.stdout.split()
    assert "textual" not in result.stdout.split()
