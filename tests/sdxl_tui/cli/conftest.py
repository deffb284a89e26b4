"""Calling the command line as a user would, and one short real run that several tests look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.profile.load import load_profile, profile_to_toml
from engine.profile.shipped import find_profile
from tests.sdxl_tui.cli.cli_runner import CommandLine, Result, run_in_process

SHORTER = (
    "training.steps=6",
    "dataset.resolution=64",
    "checkpoints.every_steps=2",
    "samples.prompts=[]",
    "network.rank=8",
    "network.alpha=8",
    "network.convolutions=false",
    "training.batch_size=2",
    "optimizer.lr=1e-3",
    "schedule.warmup_steps=5",
    "launch.cpu_threads=1",
)
"""Makes the demo profile a matter of seconds."""


@pytest.fixture(autouse=True)
def _at_home_elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds or makes a workspace in the real home or in the project."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SDXL_TUI_WORKSPACE", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(home)


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    """A command line on a workspace that is not there yet."""
    cli = CommandLine(tmp_path / "workspace")
    yield cli
    cli.end_runs()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """What ``demo --wait`` said about a real run of six steps, by a profile the user made shorter."""
    folder = tmp_path_factory.getbasetemp() / "trained"
    own = folder / "profiles" / "demo.toml"
    own.parent.mkdir(parents=True)
    own.write_text(profile_to_toml(load_profile(find_profile("demo", own.parent), SHORTER).profile))
    return run_in_process("demo", "--dir", str(folder), "--no-app", "--wait")


@pytest.fixture(scope="session")
def trained(finished: Result, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The workspace of the run ``finished`` tells of; to be looked at only."""
    assert finished.code == 0, finished.err
    return CommandLine(tmp_path_factory.getbasetemp() / "trained")


@pytest.fixture
def copied(trained: CommandLine, tmp_path: Path) -> Iterator[CommandLine]:
    """A copy of ``trained`` to change, with its cache, so that nothing is encoded again."""
    shutil.copytree(trained.workspace, tmp_path / "copy")
    cli = CommandLine(tmp_path / "copy")
    yield cli
    cli.end_runs()
