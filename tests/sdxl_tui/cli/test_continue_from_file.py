"""``continue`` from a state of sd-scripts or a LoRA file: what it says, what it starts, and what it refuses in one line."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.profile.load import read_snapshot
from engine.run.records import RunRecord
from sdxl_tui.fleet.ask_engine import ask_engine
from tests.engine.foreign.made_states import REAL_LORA, REAL_STATE, metadata_of, state_around
from tests.sdxl_tui.cli.cli_runner import CommandLine, Result

QUICK = (("steps = 6", "steps = 1"), ("warmup_steps = 5", "warmup_steps = 0"))


@pytest.fixture
def lora(trained: CommandLine, finished: Result, tmp_path: Path) -> Path:
    """The LoRA file of a real run of the demo base, of rank 8, where somebody put it."""
    source = trained.run(finished.out.strip()).checkpoint(6) / "lora.safetensors"
    folder = tmp_path / "output"
    folder.mkdir()
    return Path(shutil.copy(source, folder / "fox.safetensors"))


@pytest.fixture
def state(lora: Path) -> Path:
    """A state of sd-scripts with that network, at step 20 of 40 with half its base rate, 1e-3."""
    tensors = load_file(lora)
    told = metadata_of(lora) | {"ss_lr_scheduler": "cosine", "ss_lr_warmup_steps": "0", "ss_max_train_steps": "40"}
    save_file(tensors, lora, metadata=told | {"ss_learning_rate": "0.001", "ss_unet_lr": "None"})
    return state_around(lora, lora.parent)


def small(cli: CommandLine, *edits: tuple[str, str]) -> str:
    """The demo's profile in the workspace, edited."""
    path = cli.workspace / "profiles" / "demo.toml"
    text = path.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    return "demo"


def in_a_line(result: Result) -> str:
    return " ".join(result.err.split())


def test_a_run_goes_on_from_a_state_with_a_profile_and_names_what_gives_way(copied: CommandLine, state: Path) -> None:
    name = small(copied, ("rank = 8", "rank = 16"), *QUICK)
    done = copied("continue", str(state), "--lr", "x0.5", "--profile", name, "--wait")
    assert done.code == 0, done.err
    said = in_a_line(done)
    for part in (
        f"Continue from sd-scripts state {state} at step 20",
        "LR at the seam 5.00e-4 → 2.50e-4: 0.50× as high",
        "gives way to the file: the weights are of that shape: network.rank 16 → 8",
        "The optimizer starts anew: the stored moments of AdamW are not taken over",
        "had 20 of 40 steps left, with the LR going from 5.00e-4 to",
    ):
        assert part in said
    run = copied.run(done.out.strip())
    record = RunRecord.read(run.record)
    assert record is not None
    assert record.parent is None
    assert record.origin is not None
    assert (record.origin.path, record.origin.kind, record.origin.step) == (str(state), "sd-scripts state", 20)
    assert run.start_lora.read_bytes() == (state / "model.safetensors").read_bytes()
    assert f"continue from sd-scripts state {state} at step 20" in copied("tree").out
    assert f"continue from sd-scripts state {state} at step 20" in copied("inspect", run.id).out
    listed = next(one for one in copied("runs", "--json").json if one["id"] == run.id)
    assert listed["origin"] == json.loads(run.record.read_text())["origin"]


def test_the_plan_of_a_bare_lora_is_told_as_json_too_and_what_is_not_stored_is_said(
    trained: CommandLine, lora: Path
) -> None:
    before = sorted(trained.workspace.rglob("*"))
    plan = trained("continue", str(lora), "--lr", "base x0.5", "--profile", "demo", "--dry-run", "--json").json
    assert (plan["checkpoint"], plan["jump_from"], plan["jump"], plan["run"]) == (None, None, None, None)
    assert plan["origin"]["rates"] == {"unet": {"base": 1e-3, "now": None}}
    assert plan["new"]["base_lr"] == pytest.approx(5e-4)
    said = trained("continue", str(lora), "--lr", "1e-4", "--profile", "demo", "--dry-run").err
    assert "not stored → 1.00e-4" in said
    assert sorted(trained.workspace.rglob("*")) == before


def test_a_resize_from_a_file_reports_what_was_kept_and_trains(copied: CommandLine, lora: Path) -> None:
    name = small(copied, *QUICK)
    done = copied("continue", str(lora), "--rank", "4", "--lr", "1e-4", "--profile", name, "--wait")
    assert done.code == 0, done.err
    assert "modules resized; each kept at least" in done.err
    run = copied.run(done.out.strip())
    network = read_snapshot(run.profile).network
    assert (network.rank, network.alpha) == (4, 4.0)
    record = RunRecord.read(run.record)
    assert record is not None
    assert record.origin is not None
    assert record.origin.route == "resize"


def test_a_folder_of_peft_is_brought_into_the_format_of_the_trainer(
    copied: CommandLine, lora: Path, tmp_path: Path
) -> None:
    ask_engine("export-lora", str(lora), "--format", "peft", "--output", str(tmp_path / "peft"))
    done = copied("continue", str(tmp_path / "peft"), "--lr", "1e-9", "--profile", small(copied, *QUICK), "--wait")
    assert done.code == 0, done.err
    run = copied.run(done.out.strip())
    given, began = load_file(lora), load_file(run.checkpoint(1) / "lora.safetensors")
    assert given.keys() == began.keys()
    for module in {key.partition(".")[0] for key in given}:
        one, other = (
            tensors[f"{module}.lora_up.weight"].flatten(1)
            @ tensors[f"{module}.lora_down.weight"].flatten(1)
            * tensors[f"{module}.alpha"]
            for tensors in (given, began)
        )
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_what_the_metadata_cannot_know_is_said_by_field_and_can_be_given(copied: CommandLine, lora: Path) -> None:
    refused = copied("continue", str(lora), "--lr", "1e-4")
    assert (refused.code, refused.out) == (2, "")
    said = in_a_line(refused)
    assert "names alone, not where these lie here: model.base (" in said
    assert "dataset.sources[0].path (" in said
    assert f"sdxl-tui import {lora} writes a profile to fill in" in said
    places = ["--set", "model.base=bundled:demo-base", "--set", "dataset.sources=[{path='bundled:demo-images'}]"]
    told = copied("continue", str(lora), "--lr", "1e-4", *places, "--dry-run")
    assert told.code == 0, told.err
    assert "All other settings are what the metadata of fox.safetensors tell" in in_a_line(told)


@pytest.mark.parametrize(
    "words",
    [["resume"], ["reschedule"], ["extend", "--steps", "5", "--then", "hold"], ["fork", "--lr", "1e-4,1e-5"]],
    ids=lambda words: words[0],
)
def test_routes_that_need_the_optimizer_name_the_one_that_does_not(
    trained: CommandLine, state: Path, lora: Path, words: list[str]
) -> None:
    for path in (state, lora):
        refused = trained(words[0], str(path), *words[1:])
        assert (refused.code, refused.out) == (2, "")
        assert "only continue starts from a foreign state or a LoRA file" in refused.err
        assert f"sdxl-tui continue {path} --lr LR" in refused.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--lr", "x0.5"],
            "the LoRA file does not store the LR it stood at, so there is no x0.5 of it: type a rate like",
        ),
        (["--lr", "1e-4", "--profile", "nowhere"], "there is no such profile"),
        (["--lr", "1e-4", "--group-lr", "text_encoder_1=1e-5"], "there is no group 'text_encoder_1'"),
        (["--lr", "1e-4", "--set", "network.dora=true"], "the weights would not fit"),
        (["--lr", "1e-4", "--rank", "9999"], "network.rank"),
        (["--lr", "1e-4", "--finish-first"], "has no run to finish"),
        (["--lr", "1e-4", "--steps", "3", "--warmup", "9"], "does not fit into 3 steps"),
    ],
)
def test_what_cannot_be_done_with_a_lora_is_refused_by_name(
    trained: CommandLine, lora: Path, words: list[str], said: str
) -> None:
    before = sorted(trained.workspace.rglob("*"))
    refused = trained("continue", str(lora), "--profile", "demo", *words)
    assert (refused.code, refused.out) == (2, "")
    assert said in in_a_line(refused)
    assert sorted(trained.workspace.rglob("*")) == before


def test_a_checkpoint_of_ours_takes_no_profile(trained: CommandLine) -> None:
    refused = trained("continue", "latest", "--lr", "base", "--profile", "demo")
    assert refused.code == 2
    assert "brings its run's own profile" in refused.err


def bad_files(folder: Path, lora: Path) -> dict[str, tuple[Path, str]]:
    """Things that are no LoRA of SDXL, or no state, by what they are; each with what has to be said."""
    tensors: dict[str, Any] = load_file(lora)
    one = torch.zeros(2, 2)

    def saved(name: str, content: dict[str, Any]) -> Path:
        save_file(content, folder / name)
        return folder / name

    def copied_state(name: str) -> Path:
        return Path(shutil.copytree(REAL_STATE, folder / name))

    cut = folder / "cut.safetensors"
    cut.write_bytes(lora.read_bytes()[:-1000])
    pickled = folder / "old.pt"
    pickled.write_bytes(b"\x80\x02cos\nsystem\n(X\x02\0\0\0idtR.")
    absurd = folder / "absurd.safetensors"
    absurd.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    hostile, empty, torn = (copied_state(f"{name}-state") for name in ("hostile", "empty", "torn"))
    (hostile / "optimizer.bin").write_bytes(pickled.read_bytes())
    scheduler = copied_state("scheduler-state")
    with zipfile.ZipFile(scheduler / "scheduler.bin", "w") as archive:
        archive.writestr("scheduler/data.pkl", b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R.")
    (empty / "model.safetensors").unlink()
    (torn / "model.safetensors").write_bytes((REAL_STATE / "model.safetensors").read_bytes()[:150_000])
    half = {name: tensor for name, tensor in tensors.items() if "proj_in.lora_up" not in name}
    module = next(iter(tensors)).partition(".")[0]
    return {
        "gone": (folder / "gone.safetensors", "there is no such file or folder"),
        "cut short": (cut, "cut short or damaged"),
        "a pickle": (pickled, "a pickle"),
        "an absurd header": (absurd, "no safetensors file"),
        "hostile": (hostile, "optimizer.bin"),
        "a hostile scheduler": (scheduler, "nothing was run"),
        "no weights": (empty, "the state has no weights"),
        "torn weights": (torn, "cut short or damaged"),
        "another base": (REAL_LORA, "made for another base model"),
        "a checkpoint": (saved("sdxl.safetensors", {"model.diffusion_model.out.0.weight": one}), "it is a whole model"),
        "an embedding": (saved("ti.safetensors", {"clip_l": one, "clip_g": one + 1}), "it is a textual inversion"),
        "SD 1.5": (
            saved("sd15.safetensors", {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": one}),
            "a LoRA of SD 1.x or 2.x",
        ),
        "SD 1.5, UNet": (
            saved("sd15u.safetensors", {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": one}),
            "a LoRA of SD 1.x or 2.x",
        ),
        "FLUX": (saved("flux.safetensors", {"lora_unet_double_blocks_0_img_mlp_0.lora_down.weight": one}), "FLUX"),
        "half": (saved("half.safetensors", half), "lacks lora_B.weight"),
        "a bad alpha": (
            saved("alpha.safetensors", tensors | {f"{module}.alpha": torch.tensor(float("nan"))}),
            "is no number above 0",
        ),
        "a stranger": (
            saved("odd.safetensors", tensors | {"lora_unet_\x1b[31mred.lora_down.weight": one}),
            "belongs to no module of SDXL",
        ),
    }


def test_bad_files_are_one_clear_line_each_and_leave_nothing(trained: CommandLine, lora: Path, tmp_path: Path) -> None:
    before = sorted(trained.workspace.rglob("*"))
    for what, (path, said) in bad_files(tmp_path, lora).items():
        refused = trained("continue", str(path), "--lr", "1e-4", "--profile", "demo")
        assert (refused.code, refused.out) == (2, ""), what
        (error,) = [line for line in refused.err.splitlines() if line.startswith("error:")]
        assert said in in_a_line(refused), what
        assert "Traceback" not in refused.err, what
        assert "\x1b" not in refused.err, what
        assert path.name in error, what
    assert sorted(trained.workspace.rglob("*")) == before


def test_names_with_escape_sequences_are_shown_without_them(copied: CommandLine, lora: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a \x1b[31mred\n one.safetensors"
    told = metadata_of(lora) | {"ss_lr_scheduler": "\x1b]0;x\x07", "ss_learning_rate": "1e400"}
    save_file(load_file(lora), odd, metadata=told)
    done = copied("continue", str(odd), "--lr", "1e-4", "--profile", small(copied, *QUICK), "--wait")
    assert done.code == 0, done.err
    assert "\x1b" not in done.err
    for command in (["tree"], ["inspect", done.out.strip()], ["runs"], ["logs", done.out.strip()]):
        assert "\x1b" not in copied(*command).out


def test_ranks_that_differ_within_a_part_need_a_resize(copied: CommandLine, lora: Path) -> None:
    tensors = load_file(lora)
    first = next(name for name in tensors if name.endswith(".lora_down.weight"))
    up = first.replace("lora_down", "lora_up")
    mixed = tensors | {first: tensors[first][:4].contiguous(), up: tensors[up][:, :4].contiguous()}
    save_file(mixed, lora, metadata=metadata_of(lora))
    refused = copied("continue", str(lora), "--lr", "1e-4", "--profile", "demo")
    assert "have ranks from 4 to 8, a training has one for each part" in in_a_line(refused)
    assert "--rank N" in refused.err
    resized = copied("continue", str(lora), "--lr", "1e-4", "--profile", "demo", "--rank", "6", "--dry-run")
    assert resized.code == 0, resized.err
    assert "modules resized" in resized.err


def test_a_file_that_says_nothing_of_its_training_needs_a_profile(copied: CommandLine, lora: Path) -> None:
    save_file(load_file(lora), lora)
    refused = copied("continue", str(lora), "--lr", "1e-4")
    assert "nothing tells the other settings: fox.safetensors has no metadata of its training" in in_a_line(refused)
    assert "--profile NAME" in refused.err
    no_base = copied("continue", str(lora), "--lr", "base x0.5", "--profile", "demo")
    assert "the LoRA file does not store its base LR" in in_a_line(no_base)
    told = in_a_line(copied("continue", str(lora), "--lr", "1e-4", "--profile", "demo", "--dry-run"))
    assert "The base LR it was trained with is not stored: the file has no metadata of its training." in told
    assert "The schedule it was trained with is not stored" in told
