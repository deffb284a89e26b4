"""The commands ``import`` and ``export``: what they print and write, and what they refuse."""

from __future__ import annotations

import shutil
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from engine.profile.shipped import shipped_profiles
from tests.sdxl_tui.cli.cli_runner import CommandLine

LORA = next((Path(__file__).parents[2] / "engine" / "foreign" / "data").glob("base_cosine*.safetensors"))
CONFIG = """
[model]
pretrained_model_name_or_path = "owner/sdxl"
output_name = "cat"
[training]
max_train_steps = 900
resolution = 1024
train_batch_size = 2
learning_rate = 1e-4
lr_scheduler = "cosine"
network_module = "networks.lora"
network_dim = 16
network_alpha = 8
xformers = true
color_aug = true
network_dimm = 3
train_data_dir = "/no/such/place"
wandb_api_key = "SECRET"
"""


@pytest.fixture
def command(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "workspace")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    return file


def test_a_config_becomes_a_profile_of_the_workspace(command: CommandLine, config: Path) -> None:
    result = command("import", str(config))
    assert result.code == 0
    for words in (
        "translated (",
        "not supported (1)",
        "unknown (1)",
        "meaningless here (",
        "not in the file",
        "to do:",
    ):
        assert words in result.out
    assert "network_dim = 16" in result.out
    assert "network.rank = 16" in result.out
    assert "did you mean network_dim?" in result.out
    assert "SECRET" not in result.out
    written = command.workspace / "profiles" / "cat.toml"
    assert f"written: {written}" in result.out
    assert "SECRET" not in written.read_text()
    assert command("profiles").out.count("cat") == 1
    checked = command("check", "cat", "--json")
    assert {problem["field"] for problem in checked.json["problems"]} == {"model.base", "dataset.sources[0].path"}


def test_a_profile_that_is_there_is_not_replaced(command: CommandLine, config: Path) -> None:
    assert command("import", str(config)).code == 0
    written = command.workspace / "profiles" / "cat.toml"
    written.write_text("# mine\n")
    refused = command("import", str(config))
    assert (refused.code, written.read_text()) == (2, "# mine\n")
    assert "is there already" in refused.err
    assert "--force" in refused.err
    assert command("import", str(config), "--force").code == 0
    assert "# Imported from config.toml" in written.read_text()


def test_output_dry_run_and_json(command: CommandLine, config: Path, tmp_path: Path) -> None:
    shown = command("import", str(config), "--dry-run")
    assert (shown.code, command.workspace.exists()) == (0, False)
    assert "[[dataset.sources]]" in shown.out
    target = tmp_path / "mine.toml"
    report = command("import", str(config), "-o", str(target), "--json").json
    assert report["profile"] == str(target)
    assert tomllib.loads(target.read_text()) == tomllib.loads(report["toml"])
    lines = {line["option"]: line for line in report["lines"]}
    assert lines["network_dim"] == {
        "option": "network_dim",
        "value": "16",
        "fate": "translated",
        "becomes": {"network.rank": "16"},
        "note": "",
        "warning": False,
    }
    assert lines["color_aug"]["fate"] == "unsupported"
    assert lines["xformers"]["fate"] == "meaningless"


def test_a_lora_file_becomes_the_profile_that_made_it(command: CommandLine, tmp_path: Path) -> None:
    copy = tmp_path / "old.safetensors"
    shutil.copy(LORA, copy)
    result = command("import", str(copy), "--json")
    assert result.code == 0
    assert (result.json["name"], result.json["format"]) == ("base_cosine", "a LoRA file's metadata")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("broken.toml", b"a = = 1", "broken.toml:1:5"),
        ("broken.json", b'{"a": 1,}', "broken.json:1:"),
        ("latin.toml", "a = 'é'".encode("latin-1"), "is not UTF-8"),
        ("picture.toml", b"\x89PNG\x00\x00", "is not a text"),
        ("large.txt", b"x" * 50_000_000, "50,000,000 bytes"),
        ("other.toml", b"x = 1", "no option of sd-scripts"),
        ("bare.safetensors", b"\x02\0\0\0\0\0\0\0{}", "holds no LoRA"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_in_words(
    name: str, content: bytes, says: str, command: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    result = command("import", str(file))
    assert result.code == 2
    assert says in result.err
    assert "Traceback" not in result.err


def test_folders_and_missing_places_are_refused(command: CommandLine, config: Path, tmp_path: Path) -> None:
    assert "is a folder" in command("import", str(tmp_path)).err
    assert "no such file" in command("import", str(tmp_path / "none.toml")).err
    assert "no such folder" in command("import", str(config), "-o", str(tmp_path / "none" / "x.toml")).err
    assert "is a folder" in command("import", str(config), "-o", str(tmp_path)).err


def test_export_writes_the_files_and_names_the_rest(command: CommandLine, tmp_path: Path) -> None:
    target = tmp_path / "kohya.toml"
    words = (
        "export",
        "demo",
        "--sd-scripts",
        "-o",
        str(target),
        "--set",
        "ema.decay=0.99",
        "--set",
        "launch.processes=2",
    )
    result = command(*words)
    assert result.code == 0
    assert "ema.decay = 0.99" in result.out
    assert "accelerate launch --num_processes 2 sdxl_train_network.py --config_file" in result.err
    options = tomllib.loads(target.read_text())
    data = tomllib.loads(Path(options["dataset_config"]).read_text())
    assert (options["network_dim"], options["max_train_steps"], options["learning_rate"]) == (16, 250, 2e-3)
    assert Path(data["datasets"][0]["subsets"][0]["image_dir"]).is_dir()
    assert "a zorb robot" in Path(options["sample_prompts"]).read_text()
    again = command(*words)
    assert (again.code, "is there already" in again.err) == (2, True)
    report = command(*words, "--force", "--json").json
    assert {"config", "dataset", "prompts", "left_out", "remarks", "command"} == set(report)


def test_what_was_exported_comes_back(command: CommandLine, tmp_path: Path) -> None:
    target = tmp_path / "kohya.toml"
    assert command("export", "demo", "--sd-scripts", "-o", str(target)).code == 0
    report = command("import", str(target), "--dry-run", "--json").json
    assert not [line for line in report["lines"] if line["fate"] == "unknown"]
    tables = tomllib.loads(report["toml"])
    assert (tables["network"]["rank"], tables["network"]["convolutions"], tables["training"]["steps"]) == (
        16,
        True,
        250,
    )
    assert tables["schedule"] == {"kind": "cosine", "warmup_steps": 10}


def test_export_asks_for_whom(command: CommandLine) -> None:
    result = command("export", "demo")
    assert (result.code, "--sd-scripts" in result.err) == (2, True)


def test_stages_become_a_config_each_from_the_weights_of_the_one_before(command: CommandLine, tmp_path: Path) -> None:
    words = ("export", "stages", "--sd-scripts", "-o", str(tmp_path / "st.toml"))
    reports = command(*words, "--json").json["stages"]
    configs = [tomllib.loads(Path(report["config"]).read_text()) for report in reports]
    assert [Path(report["config"]).name for report in reports] == ["st-small.toml", "st-large.toml", "st-cooldown.toml"]
    assert [config["max_train_steps"] for config in configs] == [120, 100, 25]
    for before, config in pairwise(configs):
        assert config["network_weights"] == f"{before['output_dir']}/{before['output_name']}.safetensors"
    assert "network_weights" not in configs[0]
    assert any("--resume" in remark for remark in reports[2]["remarks"])
    (tmp_path / "st-small.toml").unlink()
    assert command(*words).code == 2
    assert not (tmp_path / "st-small.toml").exists(), "all or nothing"


@pytest.mark.parametrize("path", shipped_profiles(), ids=lambda path: path.stem)
def test_every_shipped_profile_is_exported(command: CommandLine, tmp_path: Path, path: Path) -> None:
    assert command("export", path.stem, "--sd-scripts", "-o", str(tmp_path / "out.toml")).code == 0
