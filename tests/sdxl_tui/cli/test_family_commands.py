"""``tree`` and ``verify``."""

from __future__ import annotations

from tests.sdxl_tui.cli.cli_runner import CommandLine, Result


def test_verify_says_that_every_byte_is_there(trained: CommandLine, finished: Result) -> None:
    shown = trained("verify", f"{finished.out.strip()}@4")
    assert shown.code == 0
    assert "every byte is what was saved" in shown.out
    assert trained("verify", "latest", "--json").json["whole"] is True


def test_verify_names_the_damaged_file_and_the_newest_whole_checkpoint(copied: CommandLine) -> None:
    run_id = copied("runs", "--json").json[0]["id"]
    weights = copied.run(run_id).checkpoint(6) / "trainable.safetensors"
    data = weights.read_bytes()
    weights.chmod(0o600)
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    shown = copied("verify", f"{run_id}@6")
    assert shown.code == 2
    assert "trainable.safetensors" in shown.err
    assert f"resume {run_id}@4" in shown.err
    assert f"resume {run_id}@4" in copied("inspect", f"{run_id}@6").err
    told = copied("verify", f"{run_id}@6", "--json")
    assert told.json["newest_whole"].endswith("step-00000004")
    (copied.run(run_id).checkpoint(4) / "lora.safetensors").unlink()
    assert f"resume {run_id}@2" in copied("verify", f"{run_id}@4").err, "of two damaged ones neither is offered"


def test_tree_shows_runs_below_the_checkpoint_they_came_from(copied: CommandLine) -> None:
    parent = copied("runs", "--json").json[0]["id"]
    continued = copied("continue", f"{parent}@4", "--lr", "2e-4", "--steps", "2", "--wait")
    assert continued.code == 0
    child = continued.out.strip()
    lines = copied("tree").out.splitlines()
    assert lines[0].startswith(parent)
    at = next(index for index, line in enumerate(lines) if "step-00000004" in line)
    assert "cosine warmup, LR unet 6.00e-4" in lines[at]
    assert lines[at + 1].strip() == "└ continue"
    assert lines[at + 2].strip().startswith(child)
    (family,) = copied("tree", child, "--json").json
    assert family["run"] == parent
    assert family["children"][0]["parent"]["checkpoint"] == "step-00000004"


def test_tree_of_an_empty_workspace_says_so(cli: CommandLine) -> None:
    cli.workspace.mkdir()
    for name in ("runs", "profiles", "cache"):
        (cli.workspace / name).mkdir()
    shown = cli("tree")
    assert (shown.code, shown.out) == (0, "")
    assert "no run yet" in shown.err
