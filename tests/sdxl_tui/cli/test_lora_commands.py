"""``resize`` and ``export-lora`` on a LoRA that sd-scripts wrote: what they print and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from engine.foreign.lora_facts import read_lora_facts
from tests.sdxl_tui.cli.cli_runner import run_in_process

REAL = Path(__file__).parents[2] / "engine" / "model" / "data" / "sd_scripts_rank1.safetensors"


def test_resize_prints_what_was_kept_and_writes_the_file(tmp_path: Path) -> None:
    target = tmp_path / "two.safetensors"
    text = run_in_process("resize", str(REAL), "-o", str(target), "--rank", "2", "--dtype", "fp16")
    assert (text.code, text.err.count("100 %")) == (0, 1), text.err
    assert "down_blocks.1.attentions.0.proj_in" in text.out
    assert read_lora_facts(target).modules == 132
    with safe_open(target, framework="np") as file:
        assert file.metadata()["ss_network_dim"] == "2"
        assert file.metadata()["ss_training_comment"] == "resized from rank 1 to 2"
    again = run_in_process("resize", str(target), "-o", str(tmp_path / "one.safetensors"), "--keep", "0.9", "--json")
    assert again.code == 0, again.err
    assert {module["new_rank"] for module in again.json["modules"]} == {1}


def test_export_writes_each_format_and_reads_it_back(tmp_path: Path) -> None:
    diffusers, back = tmp_path / "d.safetensors", tmp_path / "s.safetensors"
    assert run_in_process("export-lora", str(REAL), "--format", "diffusers", "-o", str(diffusers)).code == 0
    result = run_in_process("export-lora", str(diffusers), "--format", "sd-scripts", "-o", str(back), "--json")
    assert (result.code, result.json["modules"]) == (0, 132)
    with safe_open(back, framework="np") as one, safe_open(REAL, framework="np") as other:
        assert sorted(one.keys()) == sorted(other.keys())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("resize", str(REAL), "-o", "OUT"), "neither a rank nor what to keep is given"),
        (("resize", str(REAL), "-o", "OUT", "--keep", "2"), "a share above 0 and up to 1"),
        (("resize", "no-such-file", "-o", "OUT", "--rank", "2"), "the LoRA cannot be read"),
        (("resize", str(REAL), "-o", str(REAL), "--rank", "2"), "there is something of that name"),
        (("export-lora", str(REAL), "-o", "nowhere/OUT", "--format", "peft"), "there is no such folder"),
    ],
)
def test_what_cannot_be_done_is_one_message(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    result = run_in_process(*(str(tmp_path / word) if word.endswith("OUT") else word for word in words))
    assert result.code == 2
    assert message in result.err
    assert result.err.count("error:") == 1
    assert "Traceback" not in result.err
