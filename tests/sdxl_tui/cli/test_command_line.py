"""The shell of every command: help, exit codes, errors, pipes, start-up. No run is needed for these."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import engine
from sdxl_tui.cli import run_commands
from sdxl_tui.cli.entry import build_parser, main
from tests.sdxl_tui.cli.cli_runner import CommandLine, run_in_process

COMMANDS = (
    *("demo", "launch", "runs", "logs", "stop", "checkpoints", "inspect", "resume", "continue"),
    *("profiles", "check", "explain", "schema", "dataset", "import", "export", "resize", "export-lora"),
    *("tree", "verify", "pin", "unpin", "delete", "compare", "states", "effect", "reschedule", "extend"),
    *("save", "sample", "validate", "pause", "unpause", "scale-lr"),
)


def process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m sdxl_tui`` as a process of its own, with a home of its own."""
    return subprocess.run(
        [sys.executable, "-m", "sdxl_tui", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(engine.__file__).parent.parent), **environment},
    )


def test_the_first_help_page_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {command} " in shown for command in COMMANDS)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"  sdxl-tui {command}" in shown.split("examples:")[1]
    assert "  2    " in shown.split("exit codes:")[1]
    assert "--workspace DIR" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_examples_in_the_help_are_command_lines_that_parse() -> None:
    parser = build_parser()
    pages = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for command, page in pages.choices.items():
        examples = page.epilog.split("exit codes:")[0].splitlines()[1:]
        for example in filter(None, map(str.strip, examples)):
            words = example.removeprefix("RUN=$(").removesuffix(")").split(" | ")[0].split()
            assert words[:2] == ["sdxl-tui", command], example
            parser.parse_args(words[1:])


def test_the_workspace_is_named_before_or_after_the_command(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    before = run_in_process("--workspace", str(tmp_path), "runs")
    after = run_in_process("runs", "--workspace", str(tmp_path))
    assert before == after
    assert str(tmp_path) in before.err
    assert before.code == 0


def test_version() -> None:
    shown = process("--version")
    assert (shown.returncode, shown.stdout) == (0, f"sdxl-tui {engine.__version__}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runz"], "there is no command 'runz'\n  Did you mean 'runs'?"),
        (["xyzzy"], "there is no command 'xyzzy'\n  All of them: sdxl-tui --help"),
        (["runs", "--jsn"], "unrecognized arguments: --jsn"),
        (["launch"], "the following arguments are required: PROFILE\n  See: sdxl-tui launch --help"),
        (["continue", "latest"], "the following arguments are required: --lr"),
        (["continue", "latest", "--lr", "fast"], "'fast' is not a learning rate: a number above 0"),
        (["continue", "latest", "--lr", "0"], "'0' is not a learning rate"),
        (["continue", "latest", "--lr", "nan"], "'nan' is not a learning rate"),
        (["continue", "latest", "--lr", "11"], "'11' is not a learning rate"),
        (["continue", "latest", "--lr", "1e-4", "--steps", "0"], "'0' is not a whole number of at least 1"),
        (["continue", "latest", "--lr", "1e-4", "--warmup", "x"], "'x' is not a whole number of at least 0"),
        (
            ["explain", "no.such.thing.xyzzy"],
            "there is no field 'no.such.thing.xyzzy'\n  All of them: sdxl-tui explain",
        ),
        (["\x1b]0;owned\x07"], r"there is no command '\x1b]0;owned\x07'"),
    ],
)
def test_a_wrong_command_line_gets_one_message(words: list[str], message: str) -> None:
    result = run_in_process(*words)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert message in result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    assert "usage:" not in result.err
    assert "\x1b" not in result.err


@pytest.mark.parametrize("words", [[], ["demo"]])
def test_without_a_terminal_the_app_is_refused_and_nothing_is_made(words: list[str]) -> None:
    result = run_in_process(*words)
    assert result.code == 2
    assert "the app needs a terminal" in result.err
    assert list(Path.home().iterdir()) == []


def test_a_defect_keeps_its_traceback_cleaned(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("bad\x1b]0;owned\x07\u202ename")

    cli.workspace.mkdir()
    monkeypatch.setattr(run_commands, "list_runs", broken)
    result = cli("runs")
    assert result.code == 1
    assert "Traceback" in result.err
    assert "RuntimeError: bad�name" in result.err
    assert "\x1b" not in result.err


def test_ctrl_c_is_quiet(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    cli.workspace.mkdir()
    monkeypatch.setattr(run_commands, "list_runs", interrupted)
    result = cli("runs")
    assert (result.code, result.out, result.err) == (130, "", "")


def test_a_reader_that_leaves_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed_pipe:
        result = subprocess.run(
            [sys.executable, "-m", "sdxl_tui", "explain", "--json"],
            stdout=closed_pipe,
            stderr=subprocess.PIPE,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(engine.__file__).parent.parent)},
        )
    assert (result.returncode, result.stderr) == (141, b"")


def test_a_terminal_without_unicode_gets_question_marks() -> None:
    result = process("explain", "optimizer.lr", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert process("profiles", PYTHONIOENCODING="ascii").returncode == 0


def test_profiles_can_be_listed_checked_and_explained(cli: CommandLine) -> None:
    (cli.workspace / "profiles").mkdir(parents=True)
    (cli.workspace / "profiles" / "broken.toml").write_text("[optimizer]\nlearning_rate = 1\n")
    listed = cli("profiles")
    assert listed.code == 0
    assert "demo       shipped" in listed.out
    assert "sdxl-tui check broken" in listed.out
    entries = {entry["name"]: entry for entry in cli("profiles", "--json").json}
    assert entries["demo"]["valid"]
    assert not entries["demo"]["problems"]
    assert entries["broken"]["problems"]
    good = cli("check", "demo", "--set", "optimizer.lr=3e-4")
    assert (good.code, good.err) == (0, "")
    assert "3.00e-4" in good.out
    bad = cli("check", "broken", "--json")
    assert bad.code == 2
    assert {problem["field"] for problem in bad.json["problems"]} >= {"optimizer.learning_rate", "model.base"}
    explained = cli("explain", "network_dim")
    assert explained.out.startswith("network.rank\n")
    assert json.loads(cli("explain", "optimizer.lr", "--json").out)["at_resume"] == "restored"


def test_listing_runs_starts_fast_and_loads_nothing_heavy(cli: CommandLine) -> None:
    cli.workspace.mkdir()
    program = (
        "import sys; from sdxl_tui.cli import main; code = main(sys.argv[1:]);"
        "print(code, *sorted({'textual', 'rich', 'pydantic', 'tomlkit', 'numpy', 'torch', 'asyncio'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", program, "runs", "--workspace", str(cli.workspace)]
    environment = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parent.parent)}
    assert subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout == "0\n"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(5):
        assert process("runs", "--workspace", str(cli.workspace)).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # CPU time, so that a busy machine does not count; the wall time is measured in benchmarks/.
    assert (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 5 < 0.4


def test_check_tells_of_each_stage_and_of_what_none_uses() -> None:
    told = run_in_process("check", "stages", "--set", "training.steps=20")
    assert told.code == 0, told.err
    assert "245 steps of 4 images in 3 stages" in told.out
    assert "constant from 1.00e-3, adamw, warmup steps 10, from the weights of the one before" in told.out
    assert "training.steps=20: is not used: the stages have their own; take it out" in told.out
    report = run_in_process("check", "stages", "--json").json
    assert [(stage["name"], stage["steps"], stage["keep"]) for stage in report["stages"]] == [
        ("small", 120, None),
        ("large", 100, "weights"),
        ("cooldown", 25, "state"),
    ]
    assert report["estimate"]["steps"] == 245
