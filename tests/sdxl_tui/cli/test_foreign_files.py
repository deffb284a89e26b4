"""``inspect`` on files of sd-scripts."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.sdxl_tui.cli.cli_runner import CommandLine

DATA = Path(__file__).parents[2] / "engine" / "foreign" / "data"
STATE = DATA / "base_cosine-step00000020-state"


def test_inspect_shows_the_stored_rates_of_a_state_and_what_a_resume_would_ignore(cli: CommandLine) -> None:
    shown = cli("inspect", str(STATE))
    assert shown.code == 0
    assert "base LR 1.0000e-04, the next step uses 5.0000e-05" in shown.out
    assert "20 of 40 (50.0%)" in shown.out
    assert "--learning_rate, --unet_lr, --text_encoder_lr: ignored" in shown.out
    told = cli("inspect", str(STATE), "--json").json
    assert told["groups"][0]["base_lr"] == 1e-4
    assert told["schedule"] == {"kind": "cosine", "known": "by the LoRA file's metadata"}


def test_inspect_reads_a_lora_file(cli: CommandLine) -> None:
    shown = cli("inspect", str(DATA / "base_cosine-step00000020.safetensors"))
    assert shown.code == 0
    assert "LoRA, rank 1, alpha 1; modules: UNet 132" in shown.out


def test_inspect_says_what_is_wrong_with_a_foreign_file(cli: CommandLine, tmp_path: Path) -> None:
    shutil.copytree(STATE, tmp_path / "mine-state")
    (tmp_path / "mine-state" / "optimizer.bin").write_bytes(b"\x80\x02cos\nsystem\n(X\x02\0\0\0idtR.")
    shown = cli("inspect", str(tmp_path / "mine-state"))
    assert shown.code == 2
    assert "optimizer.bin" in shown.err
    assert "Traceback" not in shown.err
    (tmp_path / "picture.safetensors").write_bytes(b"no tensors")
    assert cli("inspect", str(tmp_path / "picture.safetensors")).code == 2
