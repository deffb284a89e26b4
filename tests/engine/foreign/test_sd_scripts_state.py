"""States of sd-scripts: real ones it wrote, and ones made with torch's own optimizers and schedulers."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import pytorch_optimizer
import schedulefree
import torch
from diffusers.optimization import get_scheduler
from safetensors.torch import load_file, save_file
from torch.optim import lr_scheduler as schedulers
from transformers.optimization import Adafactor, AdafactorSchedule

from engine.foreign.errors import ForeignFileError, HostilePickleError
from engine.foreign.lora_facts import read_lora_facts
from engine.foreign.report import lora_lines, state_lines
from engine.foreign.sd_scripts_resume import answers, rate_passed_over
from engine.foreign.sd_scripts_state import is_sd_scripts_state, read_sd_scripts_state, schedule_kind
from tests.engine.foreign.made_states import metadata_of

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
    "Adam": (torch.optim.Adam, "Adam"),
    "NAdam": (torch.optim.NAdam, "NAdam"),
    "RAdam": (torch.optim.RAdam, "RAdam"),
    "Adamax": (torch.optim.Adamax, "Adamax"),
    "Muon": (torch.optim.Muon, "Muon"),
    "RMSprop": (torch.optim.RMSprop, "RMSprop"),
    "AdamW8bit": (bitsandbytes.optim.AdamW8bit, "Adam or AdamW (bitsandbytes)"),
    "AdamW8bit of real size": (
        lambda groups: bitsandbytes.optim.AdamW8bit(groups, min_8bit_size=4),
        "Adam or AdamW in 8 bits (bitsandbytes)",
    ),
    "Lion8bit": (
        lambda groups: bitsandbytes.optim.Lion8bit(groups, min_8bit_size=4),
        "Lion in 8 bits (bitsandbytes)",
    ),
    "SGD8bit": (
        lambda groups: bitsandbytes.optim.SGD8bit(groups, lr=1e-3, momentum=0.9, min_8bit_size=4),
        "SGD with momentum in 8 bits (bitsandbytes)",
    ),
    "AdEMAMix8bit": (
        lambda groups: bitsandbytes.optim.AdEMAMix8bit(groups, min_8bit_size=4),
        "AdEMAMix in 8 bits (bitsandbytes)",
    ),
    "Lion": (pytorch_optimizer.Lion, "Lion"),
    "Prodigy": (pytorch_optimizer.Prodigy, "Prodigy"),
    "CAME": (pytorch_optimizer.CAME, "CAME"),
    "DAdaptAdam": (pytorch_optimizer.DAdaptAdam, "D-Adaptation Adam"),
    "DAdaptLion": (pytorch_optimizer.DAdaptLion, "D-Adaptation Lion"),
    "DAdaptSGD": (pytorch_optimizer.DAdaptSGD, "D-Adaptation SGD"),
    "DAdaptAdaGrad": (pytorch_optimizer.DAdaptAdaGrad, "D-Adaptation AdaGrad"),
    "DAdaptAdan": (pytorch_optimizer.DAdaptAdan, "D-Adaptation Adan"),
    "Adan": (pytorch_optimizer.Adan, "Adan"),
    "AdaBelief": (pytorch_optimizer.AdaBelief, "AdaBelief"),
    "StableAdamW": (pytorch_optimizer.StableAdamW, "None"),
    "Grams": (pytorch_optimizer.Grams, "of Adam's family (which one is not stored)"),
    "Adafactor of transformers": (
        lambda groups: Adafactor(groups, scale_parameter=False, relative_step=False),
        "Adafactor",
    ),
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


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_told_by_what_it_keeps(name: str, tmp_path: Path) -> None:
    make, kind = OPTIMIZERS[name]
    optimizer = make(_groups())
    _state(tmp_path / "x-state", optimizer, schedulers.LambdaLR(optimizer, [lambda step: 1 / (1 + step)] * 2), 3)
    state = read_sd_scripts_state(tmp_path / "x-state")
    assert str(state.optimizer) == kind
    counts_none = name in {"SGD", "Muon", "Prodigy"}  # Prodigy: from 0 or from 1, by the version
    assert state.optimizer_step == (None if counts_none else 3)
    assert state.true_step == 3
    assert state.position_disagrees is None
    assert [group.base_lr for group in state.groups] == [2e-4, 5e-5]
    assert [group.lr for group in state.groups] == [group["lr"] for group in optimizer.param_groups]


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


SCHEDULE_FREE: dict[str, Callable[[Any], Any]] = {
    "AdamW": schedulefree.AdamWScheduleFree,
    "RAdam": schedulefree.RAdamScheduleFree,
    "SGD": lambda groups: schedulefree.SGDScheduleFree(groups, lr=1e-3),
}


@pytest.mark.parametrize("name", SCHEDULE_FREE)
def test_a_schedule_free_optimizer_has_no_schedule_whatever_the_metadata_name(name: str, real: Path) -> None:
    optimizer = SCHEDULE_FREE[name](_groups())
    optimizer.train()
    folder = real.parent / "x-state"
    _state(folder, optimizer, schedulers.LambdaLR(torch.optim.SGD(_groups()), lambda step: 1), 3)
    (folder / "scheduler.bin").unlink()
    shutil.copy(real.parent / LORA.name, real.parent / "x.safetensors")
    state = read_sd_scripts_state(folder)
    assert (state.optimizer, state.true_step) == (f"{name}, schedule-free", 3)
    kind, why = schedule_kind(state)
    assert kind is None
    assert "cosine in the LoRA file's metadata had no effect" in why
    assert "the stored LR 2.00e-4 / 5.00e-5 goes on" in answers(state)[0].sentence


def test_rates_that_are_tensors_in_a_scheduler_are_read(tmp_path: Path) -> None:
    optimizer = Adafactor([{"params": group["params"]} for group in _groups()], lr=None)
    _state(tmp_path / "x-state", optimizer, AdafactorSchedule(optimizer, 1e-4), 3)
    state = read_sd_scripts_state(tmp_path / "x-state")
    assert state.optimizer == "Adafactor"
    assert all(group.lr is not None and group.lr > 0 for group in state.groups)


def test_a_clipping_threshold_of_torchs_adafactor_is_no_adapted_rate(tmp_path: Path) -> None:
    optimizer = torch.optim.Adafactor(_groups(), d=2.0)
    _state(tmp_path / "x-state", optimizer, schedulers.LambdaLR(optimizer, lambda step: 1), 3)
    state = read_sd_scripts_state(tmp_path / "x-state")
    assert state.groups[0].adaptation is None


def test_what_a_sequence_of_schedulers_is_made_of_is_shown(tmp_path: Path) -> None:
    optimizer = torch.optim.AdamW(_groups())
    parts: list[Any] = [schedulers.LinearLR(optimizer, 0.1, 1, 5), schedulers.CosineAnnealingLR(optimizer, 45)]
    _state(tmp_path / "x-state", optimizer, schedulers.SequentialLR(optimizer, parts, [5]), 7)
    shown = [value for _, value in state_lines(read_sd_scripts_state(tmp_path / "x-state"))]
    assert "milestones (5)" in shown
    assert "1. LinearLR: start_factor 0.1, end_factor 1, total_iters 5" in shown
    assert "2. CosineAnnealingLR: T_max 45, eta_min 0" in shown


def test_a_scheduler_of_another_library_is_none_of_torchs_and_not_the_metadatas(real: Path) -> None:
    """LoRA_Easy_Training_Scripts' and others inherit from torch's; beside them the metadata say ``constant``."""
    stored = {"T_0": 10, "T_mult": 1, "eta_min": 0.0, "T_i": 10, "T_cur": 3, "gamma": 0.9, "d": 0.9, "base_lrs": [1e-4]}
    torch.save(stored | {"last_epoch": 20, "_last_lr": [5e-5]}, real / "scheduler.bin")
    state = read_sd_scripts_state(real)
    assert schedule_kind(state)[0] is None
    assert "gamma 0.9" in "\n".join(value for _, value in state_lines(state))
    said = {answer.argument: answer for answer in answers(state)}
    assert "the stored scheduler restores all its parameters" in said["--lr_scheduler_args"].sentence


def test_a_rate_that_sd_scripts_passed_over_is_said(real: Path) -> None:
    """Facts, rule 1: after a resume with another LR the metadata name the new one, the state trains on the old."""
    assert rate_passed_over(read_sd_scripts_state(real)) is None
    beside = real.parent / LORA.name
    save_file(load_file(beside), beside, metadata=metadata_of(LORA) | {"ss_learning_rate": "0.0005"})
    said = rate_passed_over(read_sd_scripts_state(real))
    assert said is not None
    assert said.startswith("the LoRA file names LR 5.00e-4, and the state trains on base LR 1.00e-4")
    assert any(value == said for _, value in state_lines(read_sd_scripts_state(real)))


def test_groups_are_told_by_the_numbers_of_their_tensors(tmp_path: Path) -> None:
    """sd-scripts trains the encoders first; a state has no names for its groups."""
    names = {f"lora_unet_{n}": 5 for n in range(5)} | {f"lora_te1_{n}": 2 for n in range(2)}
    tensors = {
        f"{name}.lora_{side}.weight": torch.zeros(shape)
        for name in names
        for side, shape in (("down", (2, 4)), ("up", (4, 2)))
    }
    save_file(tensors, tmp_path / "x.safetensors")
    groups = [
        {"params": [torch.nn.Parameter(torch.ones(2, 2)) for _ in range(count)], "lr": lr}
        for count, lr in ((4, 1e-5), (10, 1e-4))
    ]
    optimizer = torch.optim.AdamW(groups)
    _state(
        tmp_path / "x-state",
        optimizer,
        get_scheduler("cosine", optimizer, num_warmup_steps=2, num_training_steps=20),
        4,
    )
    state = read_sd_scripts_state(tmp_path / "x-state")
    assert state.parts_of_groups == ("text encoder 1", "UNet")
    assert answers(state)[0].sentence.startswith("the stored base LR 1.00e-5 / 1.00e-4 goes on")


def test_a_damaged_scheduler_leaves_the_optimizers_rates_shown(real: Path) -> None:
    (real / "scheduler.bin").write_bytes((real / "scheduler.bin").read_bytes()[:-30])
    state = read_sd_scripts_state(real)
    assert (state.groups[0].lr, state.true_step, state.scheduler) == (5e-5, 20, None)
    assert any("scheduler.bin cannot be read" in problem for problem in state.problems)


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
