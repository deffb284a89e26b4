"""States of sd-scripts: real ones it wrote, and ones made with torch's own optimizers and schedulers."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from engine.foreign.errors import ForeignFileError, HostilePickleError
from engine.foreign.lora_facts import read_lora_facts
from engine.foreign.report import lora_lines, state_lines
from engine.foreign.sd_scripts_resume import answers
from engine.foreign.sd_scripts_state import is_sd_scripts_state, read_sd_scripts_state, schedule_kind

DATA = Path(__file__).parent / "data"
REAL = DATA / "base_cosine-step00000020-state"
LORA = DATA / "base_cosine-step00000020.safetensors"


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A copy of the real state with its LoRA file beside."""
    shutil.copytree(DATA, tmp_path / "output")
    return tmp_path / "output" / REAL.name


def test_a_real_state_tells_rates_position_optimizer_and_network() -> None:
    state = read_sd_scripts_state(REAL)
    (group,) = state.groups
    assert (group.lr, group.base_lr, group.parameters) == (5e-05, 1e-4, 264)
    assert (group.hyperparameters["betas"], group.hyperparameters["weight_decay"]) == ((0.9, 0.999), 0.01)
    assert (state.optimizer, state.optimizer_step) == ("AdamW", 20)
    assert (state.step, state.epoch, state.true_step, state.processes) == (20, 3, 20, 1)
    assert state.position_disagrees is None
    assert state.scheduler is not None
    assert (state.scheduler.position, state.scheduler.base_lrs, state.scheduler.last_lrs) == (20, (1e-4,), (5e-05,))
    assert schedule_kind(state) == ("cosine", "by the LoRA file's metadata")
    assert state.weights is not None and state.lora is not None
    assert state.weights.parts == state.lora.parts == {"UNet": 132}
    assert (state.lora.ranks, state.lora.alphas, state.lora.count("ss_max_train_steps")) == ((1,), (1.0,), 40)
    assert state.problems == ()


def test_without_the_lora_file_the_schedule_is_said_to_be_not_stored(real: Path) -> None:
    (real.parent / LORA.name).unlink()
    state = read_sd_scripts_state(real)
    kind, why = schedule_kind(state)
    assert kind is None
    assert "does not store it" in why
    lines = dict(state_lines(state))
    assert lines["schedule"].startswith("not stored")
    assert "the total is not stored" in lines["step"]


def test_a_scheduler_of_torch_is_told_by_what_it_stores_and_not_by_the_metadata(real: Path) -> None:
    shutil.copy(DATA / "torch-cosine-state" / "scheduler.bin", real / "scheduler.bin")
    state = read_sd_scripts_state(real)
    assert schedule_kind(state) == ("CosineAnnealingLR", "by what scheduler.bin holds")
    assert state.scheduler is not None
    assert state.scheduler.parameters == {"T_max": 40, "eta_min": 0.0}
    assert {answer.argument: answer.happens for answer in answers(state)}["--lr_scheduler_args"] == "ignored"


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 40, 1e-6),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 10, 2),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 1e-3, total_steps=50),
    "StepLR": lambda o: schedulers.StepLR(o, 5),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [5, 15]),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.9),
    "LinearLR": schedulers.LinearLR,
    "PolynomialLR": lambda o: schedulers.PolynomialLR(o, 30),
    "ConstantLR": schedulers.ConstantLR,
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 1e-5, 1e-3, cycle_momentum=False),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o, [schedulers.LinearLR(o), schedulers.ExponentialLR(o, 0.9)], [4]
    ),
    "a lambda": lambda o: schedulers.LambdaLR(o, [lambda step: 1 / (1 + step)] * 2),
}

OPTIMIZERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "AdamW": (torch.optim.AdamW, "AdamW"),
    "AdamW fused": (lambda groups: torch.optim.AdamW(groups, fused=True), "AdamW"),
    "AdamW amsgrad": (lambda groups: torch.optim.AdamW(groups, amsgrad=True), "AdamW"),
    "SGD": (lambda groups: torch.optim.SGD(groups, momentum=0.9), "SGD with momentum"),
    "Adafactor": (torch.optim.Adafactor, "Adafactor (torch)"),
}


def _state(folder: Path, optimizer: Any, scheduler: Any, steps: int) -> None:
    folder.mkdir()
    for _ in range(steps):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        scheduler.step()
    torch.save(optimizer.state_dict(), folder / "optimizer.bin")
    torch.save(scheduler.state_dict(), folder / "scheduler.bin")
    (folder / "train_state.json").write_text(json.dumps({"current_epoch": 1, "current_step": steps}))


def _groups() -> list[dict[str, Any]]:
    return [
        {"params": [torch.nn.Parameter(torch.ones(4, 3)) for _ in range(3)], "lr": 2e-4},
        {"params": [torch.nn.Parameter(torch.ones(2, 2))], "lr": 5e-5},
    ]


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_of_torch_is_told_with_its_rates(name: str, tmp_path: Path) -> None:
    optimizer = torch.optim.AdamW(_groups())
    scheduler = SCHEDULERS[name](optimizer)
    _state(tmp_path / "x-state", optimizer, scheduler, 7)
    state = read_sd_scripts_state(tmp_path / "x-state")
    assert state.scheduler is not None
    assert state.scheduler.kind == name
    assert state.scheduler.position == 7
    assert state.scheduler.last_lrs == tuple(scheduler.get_last_lr())
    assert tuple(group.lr for group in state.groups) == tuple(group["lr"] for group in optimizer.param_groups)
    assert [group.parameters for group in state.groups] == [3, 1]
    assert state_lines(state)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_told_by_what_it_keeps(name: str, tmp_path: Path) -> None:
    make, kind = OPTIMIZERS[name]
    optimizer = make(_groups())
    _state(tmp_path / "x-state", optimizer, schedulers.LambdaLR(optimizer, [lambda step: 1 / (1 + step)] * 2), 3)
    state = read_sd_scripts_state(tmp_path / "x-state")
    assert state.optimizer == kind
    assert state.optimizer_step == (3 if "SGD" not in name else None)
    assert state.true_step == 3


def test_a_learning_rate_that_is_a_tensor_and_an_adaptive_one_are_read(tmp_path: Path) -> None:
    optimizer = torch.optim.AdamW(_groups(), lr=torch.tensor(1e-3), foreach=False, capturable=False)
    for group in optimizer.param_groups:
        group |= {
            "lr": torch.tensor(1.0),
            "initial_lr": 1.0,
            "d": torch.tensor(2.5e-4),
            "d0": 1e-6,
            "d_max": 1.0,
            "d_coef": 1.0,
        }
    folder = tmp_path / "x-state"
    folder.mkdir()
    torch.save(optimizer.state_dict(), folder / "optimizer.bin")
    state = read_sd_scripts_state(folder)
    assert state.groups[0].lr == 1.0
    assert state.groups[0].effective_lr == pytest.approx(2.5e-4)
    assert any("in effect 2.5000e-04" in value for _, value in state_lines(state))


def test_positions_that_cannot_all_be_right_are_said(real: Path) -> None:
    (real / "train_state.json").write_text('{"current_epoch": 1, "current_step": 10}')
    state = read_sd_scripts_state(real)
    assert state.true_step == 20
    assert state.position_disagrees is not None
    assert "train_state.json says 10" in state.position_disagrees


def test_a_hostile_file_is_refused_by_what_it_tried(real: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return eval, (f"open({str(tmp_path / 'was-run')!r}, 'w')",)

    torch.save({"base_lrs": [Hostile()]}, real / "scheduler.bin")
    with pytest.raises(HostilePickleError, match=r"eval") as caught:
        read_sd_scripts_state(real)
    assert str(real / "scheduler.bin") in str(caught.value)
    (real / "optimizer.bin").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(ForeignFileError):
        read_sd_scripts_state(real)
    assert not (tmp_path / "was-run").exists()


def test_missing_and_broken_parts_are_problems_and_the_rest_is_shown(real: Path) -> None:
    (real / "scheduler.bin").unlink()
    (real / "train_state.json").write_text("{")
    (real / "model.safetensors").write_bytes(b"\xff" * 40)
    state = read_sd_scripts_state(real)
    assert len(state.problems) == 3
    assert state.true_step == 20
    assert state.groups[0].lr == 5e-05
    assert all("\n" not in problem for problem in state.problems)


def test_a_folder_that_is_no_state_is_said_to_be_none(tmp_path: Path) -> None:
    assert not is_sd_scripts_state(tmp_path)
    with pytest.raises(ForeignFileError, match=r"optimizer\.bin"):
        read_sd_scripts_state(tmp_path)


def test_a_lora_file_tells_its_training_and_a_damaged_one_what_is_wrong(tmp_path: Path) -> None:
    facts = read_lora_facts(LORA)
    assert (facts.kind, facts.modules, facts.text("ss_lr_scheduler"), facts.text("ss_unet_lr")) == (
        "LoRA",
        132,
        "cosine",
        None,
    )
    assert any("lr_scheduler cosine" in value for _, value in lora_lines(facts))
    data = LORA.read_bytes()
    for name, content in (("cut", data[:-5]), ("tiny", b"x"), ("lies", b"\xff" * 8 + data[8:]), ("none", b"")):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(ForeignFileError):
            read_lora_facts(path)
