"""Bad input: each one clear message, exit code 2, nothing half-made, no traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import engine.demo
from tests.sdxl_tui.cli.cli_runner import CommandLine, Result

GOOD = """\
name = "mine"
[model]
base = "bundled:demo-base"
[[dataset.sources]]
path = "bundled:demo-images"
[dataset]
resolution = 64
bucket_min = 64
[training]
steps = 2
[precision]
compute = "fp32"
[samples]
prompts = []
"""


def assert_refused(result: Result, *parts: str) -> None:
    assert result.code == 2, result
    assert result.out == ""
    assert "Traceback" not in result.err
    assert result.err.count("error: ") == 1
    for part in parts:
        assert part in result.err, result.err


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ('name = "mine"', "name = mine", ("mine.toml:1:8",)),
        ("[training]", "[training", ("mine.toml:9:",)),
        ("steps = 2", "stepz = 2", ("mine.toml:10:1", "training.stepz", "did you mean training.steps?")),
        ("steps = 2", "max_train_steps = 2", ("training.max_train_steps", "did you mean training.steps?")),
        ("[training]", "[trainig]", ("mine.toml:9:", "trainig", "did you mean [training]?")),
        ("steps = 2", 'steps = "2"', ("mine.toml:10:1", "training.steps", "not text")),
        ("steps = 2", "steps = true", ("training.steps", "not true or false")),
        ("steps = 2", "steps = 0", ("mine.toml:10:1", "training.steps = 0", "from 1 to 10,000,000")),
        ('"bundled:demo-base"', '"/no/such/model"', ("mine.toml:3:1", "/no/such/model", "no such folder")),
        ('"bundled:demo-images"', '"/no/such/images"', ("mine.toml:5:1", "/no/such/images", "no such folder")),
        ('"bundled:demo-base"', '"empty"', ("mine.toml:3:1", "model_index.json")),
        ('"bundled:demo-images"', '"empty"', ("mine.toml", "no image in")),
    ],
)
def test_a_wrong_profile_is_refused(
    before: str, after: str, parts: tuple[str, ...], cli: CommandLine, tmp_path: Path
) -> None:
    assert before in GOOD
    (tmp_path / "empty").mkdir()
    profile = tmp_path / "mine.toml"
    profile.write_text(GOOD.replace(before, after))
    assert_refused(cli("launch", str(profile)), *parts)
    assert_refused(cli("check", str(profile)), *parts)
    assert not cli.workspace.exists()


def test_several_problems_are_told_at_once(cli: CommandLine, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text(GOOD.replace("steps = 2", "steps = 0\nbatch = 2").replace("resolution = 64", "resolution = 65"))
    result = cli("launch", str(profile))
    assert_refused(result, "3 problems", "mine.toml:7:1", "mine.toml:10:1", "mine.toml:11:1", "training.batch_size")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("training.steps=0", ("--set training.steps=0", "from 1 to")),
        ("training.stps=5", ("--set training.stps=5", "did you mean training.steps?")),
        ("optimizer.lr=fast", ("optimizer.lr", "fast")),
        ("training.steps", ("--set training.steps",)),
    ],
)
def test_a_wrong_override_is_refused(override: str, parts: tuple[str, ...], cli: CommandLine) -> None:
    assert_refused(cli("launch", "demo", "--set", override), *parts)
    assert not cli.workspace.exists()


def test_a_profile_that_does_not_exist_is_refused(cli: CommandLine) -> None:
    assert_refused(cli("launch", "demoo"), "demoo", "no such profile", "did you mean demo?")
    assert_refused(cli("launch", "/no/such.toml"), "/no/such.toml", "no such profile")
    assert not cli.workspace.exists()


def test_a_profile_that_is_not_text_is_refused(cli: CommandLine, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_bytes(b"\xff\xfe\x00\x01")
    assert_refused(cli("launch", str(profile)), "mine.toml")
    assert_refused(cli("launch", str(tmp_path)), str(tmp_path))
    assert not cli.workspace.exists()


@pytest.mark.parametrize("command", ["logs", "stop", "checkpoints", "resume", "inspect", "continue"])
def test_a_run_that_does_not_exist_is_refused(command: str, trained: CommandLine) -> None:
    lr = ["--lr", "1e-4"] if command == "continue" else []
    run_id = trained("runs", "--json").json[0]["id"]
    assert_refused(trained(command, "demo-2000", *lr), "there is no run 'demo-2000'", run_id)
    assert_refused(trained(command, "\x1b]0;owned\x07", *lr), "there is no run")
    assert_refused(trained(command, "", *lr))


@pytest.mark.parametrize("command", ["logs", "stop", "checkpoints", "resume", "inspect", "continue"])
def test_a_workspace_without_runs_says_how_to_start_one(command: str, cli: CommandLine) -> None:
    lr = ["--lr", "1e-4"] if command == "continue" else []
    assert_refused(cli(command, "latest", *lr), "there is no such workspace", str(cli.workspace))
    cli.workspace.mkdir()
    assert_refused(cli(command, "latest", *lr), "no run")
    assert list(cli.workspace.iterdir()) == []


@pytest.mark.parametrize("command", ["resume", "inspect", "continue"])
def test_a_checkpoint_that_is_not_one_is_refused(command: str, trained: CommandLine, tmp_path: Path) -> None:
    lr = ["--lr", "1e-4"] if command == "continue" else []
    run_id = trained("runs", "--json").json[0]["id"]
    (tmp_path / "step-00000002").mkdir()
    stranger = tmp_path / "step-00000003"
    stranger.mkdir()
    (stranger / "manifest.json").write_text("{}")
    (tmp_path / "file").write_text("no folder")
    for text, parts in [
        (str(tmp_path / "step-00000002"), ("step-00000002", "manifest.json")),
        (str(stranger), ("step-00000003",)),
        (str(tmp_path / "file"), (str(tmp_path / "file"),)),
        (str(tmp_path / "missing"), (str(tmp_path / "missing"),)),
        (f"{run_id}@5", ("no checkpoint at step 5", f"{run_id}@4")),
        (f"{run_id}@five", ("'five' is not a step",)),
        (f"{run_id}/step-00000099", ("no checkpoint at step 99",)),
    ]:
        assert_refused(trained(command, text, *lr), *parts)
    assert len(trained("runs", "--json").json) == 1


@pytest.mark.parametrize("command", ["resume", "continue"])
@pytest.mark.parametrize("damage", ["cut short", "changed", "removed"])
def test_a_damaged_checkpoint_is_refused(command: str, damage: str, copied: CommandLine) -> None:
    run_id = copied("runs", "--json").json[0]["id"]
    weights = copied.run(run_id).checkpoint(4) / "trainable.safetensors"
    data = weights.read_bytes()
    weights.chmod(0o600)
    if damage == "removed":
        weights.unlink()
    else:
        weights.write_bytes(data[:-10] if damage == "cut short" else bytes([data[0] ^ 1]) + data[1:])
    lr = ["--lr", "1e-4"] if command == "continue" else []
    assert_refused(copied(command, f"{run_id}@4", *lr), "trainable.safetensors")
    assert len(copied("runs", "--json").json) == 1
    assert len(copied.run(run_id).existing_attempts()) == 1
    shown = copied("inspect", f"{run_id}@4")
    assert shown.code == 2
    assert "cosine" in shown.out
    assert "trainable.safetensors" in shown.err


@pytest.mark.parametrize("command", ["launch", "demo"])
def test_a_runs_folder_that_cannot_be_written_is_refused(command: str, tmp_path: Path) -> None:
    words = ["launch", "demo"] if command == "launch" else ["demo", "--no-app"]
    (tmp_path / "file").write_text("")
    assert_refused(CommandLine(tmp_path / "file")(*words), str(tmp_path / "file"), "--workspace")
    assert_refused(CommandLine(tmp_path / "file" / "below")(*words), str(tmp_path / "file"))
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "runs").write_text("")
    assert_refused(CommandLine(tmp_path / "workspace")(*words), "runs")
    assert_refused(CommandLine(Path("/proc/sdxl-tui"))(*words), "/proc/sdxl-tui")


def test_the_demo_does_not_write_into_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    project = Path(engine.__file__).parent.parent
    monkeypatch.chdir(project)
    before = sorted(project.iterdir())
    result = CommandLine(project / "demo-workspace")("demo", "--no-app")
    assert_refused(result, "the demo does not write into the program's own folder", "--dir")
    assert sorted(project.iterdir()) == before


def pictures(folder: Path, *, good: int) -> Path:
    """A folder of the demo's pictures, ``good`` of three; the others cannot be read."""
    folder.mkdir()
    for number, path in enumerate(sorted((Path(engine.demo.__file__).parent / "images").glob("*.png"))[:3]):
        shutil.copy(path, folder)
        if number >= good:
            data = path.read_bytes()
            (folder / path.name).write_bytes(data[: len(data) // 2])
    assert len(list(folder.iterdir())) == 3
    return folder


def test_an_unreadable_image_is_skipped_and_named(cli: CommandLine, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "images", good=2)
    profile = tmp_path / "mine.toml"
    profile.write_text(GOOD.replace("bundled:demo-images", str(folder)))
    result = cli("launch", str(profile), "--wait")
    assert result.code == 0, result.err
    skipped = sorted(folder.iterdir())[2].name
    assert skipped in result.err


def test_a_dataset_of_which_nothing_is_left_is_refused(cli: CommandLine, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text(GOOD.replace("bundled:demo-images", str(pictures(tmp_path / "images", good=0))))
    result = cli("launch", str(profile), "--wait")
    assert result.code == 2
    assert "Traceback" not in result.err
    assert "images" in result.err


LORA = Path(__file__).parents[2] / "engine" / "foreign" / "data" / "base_cosine-step00000020.safetensors"


@pytest.mark.parametrize(
    "words",
    [
        ("folders", "add", "~nobody-here/logs"),
        ("folders", "remove", "~nobody-here/logs"),
        ("inspect", "~nobody-here/x.safetensors"),
        ("verify", "~nobody-here"),
        ("continue", "~nobody-here/x.safetensors", "--lr", "1e-5"),
        ("compare", "~nobody-here/x@20", "~nobody-here/y@20"),
        ("diff", "~nobody-here/x", "demo"),
        ("launch", "~nobody-here/x.toml"),
        ("import", "~nobody-here/x.toml"),
        ("import", str(LORA), "-o", "~nobody-here/x.toml"),
        ("import", str(LORA), "--dataset-config", "~nobody-here/x.toml"),
        ("export", "demo", "--sd-scripts", "-o", "~nobody-here/x.toml"),
        ("schema", "-o", "~nobody-here/x.json"),
        ("resize", "~nobody-here/x", "-o", "x", "--rank", "8"),
        ("export-lora", str(LORA), "-o", "~nobody-here/y", "--format", "peft"),
        ("dataset", "~nobody-here/x"),
        ("demo", "--dir", "~nobody-here/x", "--no-app"),
    ],
    ids=" ".join,
)
def test_the_home_of_nobody_is_no_path(words: tuple[str, ...], cli: CommandLine) -> None:
    cli.workspace.mkdir()
    result = cli(*words)
    assert_refused(result, "~nobody-here")


def test_a_config_that_names_a_data_set_in_the_home_of_nobody_is_imported(cli: CommandLine, tmp_path: Path) -> None:
    cli.workspace.mkdir()
    (tmp_path / "config.toml").write_text('dataset_config = "~nobody-here/set.toml"\nlearning_rate = 1e-4\n')
    result = cli("import", str(tmp_path / "config.toml"), "--dry-run")
    assert "Traceback" not in result.err and "~nobody-here/set.toml" in result.err + result.out
