"""``pin``, ``unpin`` and ``delete`` on a real run."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.sdxl_tui.cli.cli_runner import CommandLine


@pytest.fixture
def run_id(copied: CommandLine) -> str:
    """A finished run with checkpoints at 2, 4 and 6."""
    found: str = copied("runs", "--json").json[0]["id"]
    return found


def left(cli: CommandLine, run_id: str) -> list[int]:
    return [int(folder.name[5:]) for folder in cli.run(run_id).checkpoint_folders()]


class Terminal(io.StringIO):
    """A person at a keyboard."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_a_pinned_checkpoint_is_shown_and_refused(copied: CommandLine, run_id: str) -> None:
    assert f"{run_id} keeps step-00000002." in copied("pin", f"{run_id}@2").err
    assert [item["is_pinned"] for item in copied("checkpoints", run_id, "--json").json] == [True, False, False]
    assert "pinned" in copied("checkpoints", run_id).out.splitlines()[1]
    shown = copied("delete", f"{run_id}@2", f"{run_id}@4", "--yes")
    assert shown.code == 2
    assert "step-00000002: it is pinned" in shown.err
    assert left(copied, run_id) == [2, 6]
    assert "no longer pinned" in copied("unpin", f"{run_id}@2").err
    assert copied("unpin", f"{run_id}@2").code == 2
    assert copied("delete", f"{run_id}@2", "--yes").code == 0
    assert left(copied, run_id) == [6]


def test_delete_names_what_goes_and_asks(copied: CommandLine, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = copied("delete", f"{run_id}@2")
    assert (nobody.code, left(copied, run_id)) == (2, [2, 4, 6])
    assert "--yes" in nobody.err
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    refused = copied("delete", f"{run_id}@2", f"{run_id}@4")
    assert (refused.code, left(copied, run_id)) == (0, [2, 4, 6])
    assert [line.split()[-1].rpartition("/")[2] for line in refused.out.splitlines()] == [
        "step-00000002",
        "step-00000004",
    ]
    assert "Delete 2 checkpoints, " in refused.err and "Nothing is deleted." in refused.err
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert copied("delete", f"{run_id}@2", f"{run_id}@4").code == 0
    assert left(copied, run_id) == [6]


def test_delete_for_scripts(copied: CommandLine, run_id: str) -> None:
    words = ("delete", f"{run_id}@2", f"{run_id}@4", f"{run_id}@6", "--json")
    planned = copied(*words, "--dry-run")
    assert planned.json["dry_run"] is True and len(planned.json["goes"]) == 2
    assert left(copied, run_id) == [2, 4, 6]
    done = copied(*words, "--yes")
    assert done.json["bytes"] == planned.json["bytes"] == sum(item["bytes"] for item in done.json["goes"]) > 100_000
    assert [Path(item["checkpoint"]).name for item in done.json["refused"]] == ["step-00000006"]
    assert "last whole one" in done.json["refused"][0]["reason"]
    assert left(copied, run_id) == [6]


@pytest.mark.parametrize("words", [["latest"], ["demo"]])
def test_a_run_alone_is_not_taken_for_its_newest_checkpoint(copied: CommandLine, words: list[str]) -> None:
    shown = copied("delete", *words, "--yes")
    assert shown.code == 2
    assert f"Name the step: {words[0]}@20" in shown.err


def test_a_copy_outside_a_run_is_neither_pinned_nor_deleted(copied: CommandLine, run_id: str, tmp_path: Path) -> None:
    folder = tmp_path / "step-00000002"
    copied.run(run_id).checkpoint(2).rename(folder)
    assert "lies in no run" in copied("pin", str(folder)).err
    shown = copied("delete", str(folder), "--yes")
    assert shown.code == 2 and "not a checkpoint of a run" in shown.err
    assert folder.is_dir()
