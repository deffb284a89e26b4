"""What a training can start from: which rates and schedules are believed, which are not, and the network by its headers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.demo import locate
from engine.foreign.errors import ForeignFileError
from engine.foreign.fitting import misfit, modules_left_out
from engine.foreign.lora_network import read_lora_network
from engine.foreign.starting_point import StartKind, StoredRate, may_be_starting_point, read_starting_point
from engine.model.adapter import add_lora
from engine.model.base import BaseFolder
from engine.model.lora_file import write_lora
from engine.model.open_base import names_of, open_base
from engine.profile.load import parse_profile
from engine.profile.schema import Network, Part
from engine.routes.plan import FilePlan
from engine.routes.route import RouteError
from engine.routes.starting import plan_start
from engine.schedule import Kind, Schedule
from tests.engine.foreign.made_states import (
    REAL_LORA,
    REAL_STATE,
    metadata_of,
    real_state_of_torch_cosine,
    state_around,
)
from tests.engine.model.original_file import write_original

PROFILE = """
schema = 1
name = "mine"
model = {base = "bundled:demo-base"}
dataset = {sources = [{path = "bundled:demo-images"}]}
network = {rank = 8, alpha = 4, convolutions = true, text_encoder_2 = true, start_from = "/some/lora.safetensors"}
training = {steps = 200}
optimizer = {lr = 2e-4, text_encoder_lr = 1e-4}
schedule = {kind = "linear", warmup_share = 0.1}
"""
GIVEN = parse_profile(PROFILE, folder=Path("/")).profile


def lora(path: Path, *modules: str, rank: int = 2, alpha: float = 1.0, metadata: dict[str, str] | None = None) -> Path:
    """A LoRA on modules by sd-scripts' names, 8 wide."""
    tensors: dict[str, Any] = {}
    for module in modules:
        tensors[f"{module}.lora_down.weight"] = torch.ones(rank, 8)
        tensors[f"{module}.lora_up.weight"] = torch.ones(8, rank)
        tensors[f"{module}.alpha"] = torch.tensor(alpha)
    save_file(tensors, path, metadata=metadata)
    return path


UNET = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
TE1 = "lora_te1_text_model_encoder_layers_0_mlp_fc1"
TE2 = [f"lora_te2_text_model_encoder_layers_{layer}_mlp_fc1" for layer in (0, 1)]


def with_groups(state: Path, *groups: tuple[int, float]) -> Path:
    """Give the state's optimizer groups of so many tensors at so high a base rate, half of which is used."""
    stored = [
        {"lr": base / 2, "initial_lr": base, "betas": (0.9, 0.999), "weight_decay": 0.0, "params": list(range(tensors))}
        for tensors, base in groups
    ]
    torch.save({"state": {}, "param_groups": stored}, state / "optimizer.bin")
    return state


def plan_of(path: Path, **options: Any) -> FilePlan:
    return plan_start(read_starting_point(path), **options)


def test_a_state_knows_its_rates_and_the_schedule_its_lora_names() -> None:
    start = read_starting_point(REAL_STATE)
    assert (start.kind, start.step, start.steps_left) == (StartKind.STATE, 20, 20)
    assert start.rates == {"unet": StoredRate(1e-4, 5e-5)}
    assert start.stored.schedule == Schedule(Kind.COSINE, 40)


def test_a_lora_file_knows_its_base_rate_and_not_where_it_stood() -> None:
    start = read_starting_point(REAL_LORA)
    assert start.rates == {"unet": StoredRate(1e-4, None)}
    assert (start.step, start.stored.schedule) == (20, Schedule(Kind.COSINE, 40))


def test_torchs_cosine_is_known_by_its_parameters_and_not_by_what_the_metadata_say(tmp_path: Path) -> None:
    state = real_state_of_torch_cosine(tmp_path)
    assert read_starting_point(state).stored.schedule == Schedule(Kind.COSINE, 40)
    scheduler = {"base_lrs": [1e-4], "last_epoch": 20, "_last_lr": [5e-5], "step_size": 20, "gamma": 0.5}
    torch.save(scheduler, state / "scheduler.bin")
    stored = read_starting_point(state).stored
    assert (stored.schedule, stored.said) == (None, "StepLR is none of the schedules here")


def test_a_schedule_that_does_not_meet_the_stored_rate_is_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "fox.safetensors"
    save_file(load_file(REAL_LORA), file, metadata=metadata_of(REAL_LORA) | {"ss_lr_scheduler": "linear"})
    assert read_starting_point(state_around(file, tmp_path / "half", share=0.5)).stored.schedule == Schedule(
        Kind.LINEAR, 40
    )
    stored = read_starting_point(state_around(file, tmp_path / "odd", share=0.3)).stored
    assert stored.schedule is None
    assert "does not meet the stored rate" in stored.said


@pytest.mark.parametrize(
    ("groups", "bases"),
    [
        (((2, 1e-5), (4, 2e-5), (2, 1e-4)), {"unet": 1e-4, "text_encoder_1": 1e-5, "text_encoder_2": 2e-5}),
        (((6, 1e-5), (2, 1e-4)), {"unet": 1e-4, "text_encoder_1": 1e-5, "text_encoder_2": 1e-5}),
        (((8, 3e-5),), {"unet": 3e-5, "text_encoder_1": 3e-5, "text_encoder_2": 3e-5}),
        (((1, 1e-5), (1, 16e-5), (6, 1e-4)), dict.fromkeys(("unet", "text_encoder_1", "text_encoder_2"))),
    ],
    ids=["three", "encoders together", "one", "of LoRA+"],
)
def test_the_groups_of_a_state_are_told_apart_by_their_tensors(
    tmp_path: Path, groups: tuple[tuple[int, float], ...], bases: dict[str, float | None]
) -> None:
    file = lora(tmp_path / "fox.safetensors", UNET, TE1, *TE2)
    start = read_starting_point(with_groups(state_around(file, tmp_path), *groups))
    assert {name: rate.base for name, rate in start.rates.items()} == bases
    assert list(start.rates) == ["unet", "text_encoder_1", "text_encoder_2"]


def test_all_other_settings_are_the_given_profiles_and_what_loses_is_named(tmp_path: Path) -> None:
    plan = plan_of(lora(tmp_path / "fox.safetensors", UNET, TE1), given=GIVEN, lr=1e-3)
    assert plan.new == GIVEN.schedule.over(200)
    assert plan.profile.schedule == GIVEN.schedule, "nothing of it was asked to change"
    optimizer = plan.profile.optimizer
    assert [optimizer.lr_of(group) for group in ("unet", "text_encoder_1")] == [1e-3, 5e-4], "in the profile's ratio"
    happens = {
        effect.field: (effect.stored, effect.new, effect.what_happens.partition(":")[0]) for effect in plan.effects
    }
    assert happens["network.rank"] == (8, 2, "gives way to the file")
    assert happens["network.text_encoder"] == (False, True, "gives way to the file")
    assert happens["network.start_from"][2] == "gives way to the file that the run starts from"
    assert happens["optimizer.lr"] == (2e-4, 1e-3, "takes effect")
    assert (plan.jump, plan.jump_from, plan.suggested_warmup) == (None, None, None)


def test_a_rate_above_the_stored_base_surely_jumps_up(tmp_path: Path) -> None:
    assert plan_of(REAL_LORA, lr=1e-4).suggested_warmup is None
    assert plan_of(REAL_LORA, lr=2e-4).suggested_warmup == 10
    assert plan_of(REAL_STATE, lr=1e-4).jump == pytest.approx(2)


def test_without_a_profile_the_steps_that_were_left_are_trained_as_stored() -> None:
    plan = plan_of(REAL_STATE, lr=1e-4)
    assert plan.new == Schedule(Kind.COSINE, 20)
    assert plan_of(REAL_STATE, lr=1e-4, steps=7, warmup_steps=2, kind="constant").new == Schedule(Kind.CONSTANT, 7, 2)


def test_a_file_without_metadata_needs_a_profile(tmp_path: Path) -> None:
    with pytest.raises(RouteError, match="nothing tells the other settings"):
        plan_of(lora(tmp_path / "fox.safetensors", UNET), lr=1e-4)


def test_names_as_diffusers_numbers_blocks_and_as_peft_writes_them_are_the_same_modules(tmp_path: Path) -> None:
    numbered = lora(tmp_path / "one.safetensors", UNET.replace("input_blocks_4_1", "down_blocks_1_attentions_0"))
    path = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file(
        {f"{path}.lora_A.weight": torch.ones(2, 8), f"{path}.lora_B.weight": torch.ones(8, 2)},
        tmp_path / "two.safetensors",
    )
    ours, theirs = (read_lora_network(file) for file in (numbered, tmp_path / "two.safetensors"))
    assert ours.modules[0].name == theirs.modules[0].name == path.removeprefix("unet.")
    assert (ours.is_sd_scripts, theirs.is_sd_scripts) == (True, False)
    assert (ours.modules[0].alpha, theirs.modules[0].alpha) == (1.0, 2.0), "without an alpha the rank counts"
    assert ours.parts == (Part.ATTENTION,)


def test_a_network_of_all_parts_fits_its_base_as_a_folder_and_as_a_single_file(tmp_path: Path) -> None:
    base = open_base("bundled:demo-base", None)
    cpu = torch.device("cpu")
    adapter = add_lora(
        base.unet(torch.float32, cpu),
        Network(convolutions=True, text_encoder=True, text_encoder_2=True, rank=1),
        seed=0,
        text_encoders=base.text_encoders(torch.float32, cpu),
    )
    write_lora(tmp_path / "all.safetensors", adapter.weights(), names=names_of(base), metadata={})
    single = write_original(BaseFolder(locate("bundled:demo-base")), tmp_path / "single.safetensors")
    network = read_lora_network(tmp_path / "all.safetensors")
    assert network.parts == tuple(Part)
    for reference in ("bundled:demo-base", str(single)):
        assert misfit(network, reference) is None
        assert modules_left_out(network, reference) == 0
        assert misfit(read_lora_network(REAL_LORA), reference) is not None
    assert misfit(network, "nobody/has-this") is None, "what cannot be looked at is not judged"
    kept = [module for module in network.modules if "attn2" not in module.name]
    assert modules_left_out(replace(network, modules=tuple(kept)), str(single)) > 0


def test_a_setting_that_does_not_go_with_the_files_kind_is_named(tmp_path: Path) -> None:
    tensors = {f"{UNET}.hada_w{n}_{half}": torch.ones(2, 2) for n in (1, 2) for half in "ab"}
    save_file(tensors, tmp_path / "loha.safetensors")
    given = parse_profile(PROFILE, folder=Path("/"), overrides=("network.dropout=0.1",)).profile
    with pytest.raises(RouteError, match=r"is not possible with network\.kind loha") as error:
        plan_of(tmp_path / "loha.safetensors", given=given, lr=1e-4)
    assert error.value.field == "network.dropout"


def test_a_profile_of_stages_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    text = PROFILE + "\n[[stages]]\nsteps = 10\n\n[[stages]]\nsteps = 20\nlr = 5e-5\n"
    staged = parse_profile(text, folder=Path("/")).profile
    with pytest.raises(RouteError, match="trains one stage, and the profile has 2"):
        plan_of(lora(tmp_path / "fox.safetensors", UNET), given=staged, lr=1e-4)


def test_kinds_may_not_be_mixed(tmp_path: Path) -> None:
    lora(tmp_path / "one.safetensors", UNET)
    tensors = load_file(tmp_path / "one.safetensors")
    other = UNET.replace("to_q", "to_k")
    tensors |= {f"{other}.hada_w{n}_{half}": torch.ones(2, 2) for n in (1, 2) for half in "ab"}
    save_file(tensors, tmp_path / "mixed.safetensors")
    with pytest.raises(ForeignFileError, match="loha and lora together"):
        read_lora_network(tmp_path / "mixed.safetensors")


def test_paths_to_states_and_files_are_meant_as_such_and_names_of_runs_are_not(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    assert may_be_starting_point(str(REAL_STATE))
    assert may_be_starting_point("nowhere/lora.safetensors")
    for named in ("latest", "demo@20", str(tmp_path), "demo/step-00000020", "\0"):
        assert not may_be_starting_point(named)
