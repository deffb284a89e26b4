"""What a training imports, and what it does not."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import engine.train.session
from engine.model.adapter import add_lora
from engine.model.open_base import open_base
from engine.profile.optimizer_kinds import OptimizerKind
from engine.profile.schema import Network
from engine.train.optimizer import NamedOptimizer, ParameterGroup

base = open_base("bundled:demo-base")
adapter = add_lora(base.unet(), Network(rank=2, alpha=2.0), seed=0)
base.vae(), base.text_encoders()
print("bitsandbytes" in sys.modules)
group = ParameterGroup("unet", 1e-3, tuple(adapter.parameters()))
print(type(NamedOptimizer([group], kind=OptimizerKind.ADAMW_8BIT).inner).__module__)
"""


def test_bitsandbytes_is_imported_for_its_optimizer_alone() -> None:
    told = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout.split()
    assert told == ["False", "bitsandbytes.optim.adamw"]
