"""Runs of other kinds at another rank: a DoRA goes on as one, a LoHa or LoKr becomes a LoRA that trains on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.__main__ import main
from engine.checkpoint.describe import describe
from engine.model.lora_read import read_lora
from engine.model.lora_tensors import MAGNITUDE
from engine.model.lora_weights import delta
from engine.profile.load import read_snapshot
from engine.routes.continuing import plan_continuation
from engine.routes.route import RouteError
from engine.run.create import Inheritance
from tests.engine.train.train_runs import Lab, train

EVERYWHERE = ("network.convolutions=true", "network.text_encoder=true", "schedule.warmup_steps=0")


def test_a_dora_goes_on_at_another_rank(lab: Lab, tmp_path: Path) -> None:
    parent = lab.run("network.dora=true", "training.steps=2", "schedule.warmup_steps=0")
    assert train(parent) == 0
    file, small = parent.checkpoint(2) / "lora.safetensors", tmp_path / "small.safetensors"
    plan = plan_continuation(describe(parent.checkpoint(2)), read_snapshot(parent.profile), rank=1)
    assert (plan.profile.network.rank, plan.profile.network.dora) == (1, True)
    assert main(["resize", str(file), "-o", str(small), "--rank", "1"]) == 0
    child = lab.run(
        *(
            "network.dora=true",
            "network.rank=1",
            "network.alpha=1",
            "training.steps=1",
            "optimizer.lr=1e-9",
            "schedule.warmup_steps=0",
        ),
        inherits=Inheritance(lora=small),
    )
    assert train(child) == 0
    began, resized = load_file(child.checkpoint(1) / "trainable.safetensors"), read_lora(small).weights
    for module, own in resized.items():
        for name, tensor in own.tensors.items():
            found = began[f"{module}.{name}"]
            assert torch.allclose(found, tensor.reshape(found.shape), atol=1e-6), name
        assert torch.equal(own.tensors[MAGNITUDE], read_lora(file).weights[module].tensors[MAGNITUDE])


@pytest.mark.parametrize("kind", ["loha", "lokr"])
def test_a_loha_or_lokr_becomes_a_lora_that_trains_on(
    lab: Lab, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = lab.run(f"network.kind={kind}", "training.steps=2", *EVERYWHERE)
    assert train(parent) == 0
    file, lora = parent.checkpoint(2) / "lora.safetensors", tmp_path / "lora.safetensors"
    with pytest.raises(RouteError, match=f"a {kind} cannot have another rank") as refused:
        plan_continuation(describe(parent.checkpoint(2)), read_snapshot(parent.profile), rank=4)
    assert "--to-lora" in (refused.value.hint or "")
    assert main(["resize", str(file), "-o", str(lora), "--rank", "64"]) == 2
    assert "--to-lora" in capsys.readouterr().err
    assert main(["resize", str(file), "-o", str(lora), "--rank", "64", "--to-lora"]) == 0
    before, after = read_lora(file).weights, read_lora(lora).weights
    assert before.keys() == after.keys()
    assert max(float(delta(own).abs().max()) for own in before.values()) > 0
    for module, own in before.items():
        assert torch.allclose(delta(after[module]), delta(own), atol=1e-6), module
    start = (
        "network.rank=64",
        "network.alpha=64",
        "training.steps=1",
        "optimizer.lr=1e-9",
        f"network.start_from={lora}",
    )
    child = lab.run(*EVERYWHERE, *start)
    assert train(child) == 0
    for module, own in read_lora(child.checkpoint(1) / "lora.safetensors").weights.items():
        assert torch.allclose(delta(own), delta(before[module]), atol=1e-6), module
