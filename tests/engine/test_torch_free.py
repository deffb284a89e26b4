"""What the manager imports of the engine loads no training library, and the light part not even pydantic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "engine"
TRAINING = {"torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "numpy", "PIL"}


def loaded_by(*modules: str) -> set[str]:
    program = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def modules_in(*places: str) -> list[str]:
    files = [file for place in places for file in sorted(ENGINE.glob(place)) if file.name != "__init__.py"]
    return [".".join(file.relative_to(ENGINE.parent).with_suffix("").parts) for file in files]


def test_profiles_checkpoints_and_continuations_load_no_training_library() -> None:
    modules = modules_in("profile/*.py", "run/*.py", "schedule/*.py", "durable.py", "errors.py", "routes/*.py")
    modules += modules_in("foreign/*.py", "foreign/sd_scripts/*.py")
    modules += ["engine.checkpoint.manifest", "engine.checkpoint.summary", "engine.checkpoint.describe"]
    modules = [name for name in modules if name != "engine.run.keeper"]
    assert loaded_by(*modules).isdisjoint(TRAINING)


@pytest.mark.parametrize(
    "module", ["engine.checkpoint.describe", "engine.checkpoint.manifest", "engine.schedule", "engine.durable"]
)
def test_listing_checkpoints_does_not_wait_for_pydantic(module: str) -> None:
    assert loaded_by(module).isdisjoint(TRAINING | {"pydantic", "tomlkit"})


def test_looking_at_a_data_set_loads_pillow_but_not_torch() -> None:
    found = loaded_by("engine.data.outlook", "engine.data.order", "engine.data.content", "engine.model.content")
    assert found.isdisjoint({"torch", "diffusers", "transformers", "accelerate", "peft", "safetensors"})
    assert "PIL" in found
