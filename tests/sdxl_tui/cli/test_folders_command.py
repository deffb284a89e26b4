"""``folders``, and every command on a run that is only watched: it works, or says in one sentence why not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine.durable import write_json_atomically
from engine.run.layout import RunDirectory
from engine.run.records import RunRecord
from sdxl_tui.fleet.labels import read_labels
from sdxl_tui.fleet.watched.record import ONLY_WATCHED
from tests.sdxl_tui.cli.cli_runner import CommandLine
from tests.sdxl_tui.watched_field import Training, aged, contents, empty_workspace, made_lora, made_state

FOX = "fox-20240612-103000"
REFUSED = (
    ("stop", "fox"),
    ("stop", "fox", "--now"),
    ("save", "fox"),
    ("sample", "fox"),
    ("validate", "fox"),
    ("pause", "fox"),
    ("unpause", "fox"),
    ("scale-lr", "fox", "0.5"),
    ("logs", "fox"),
    ("logs", "fox", "-f"),
    ("checkpoints", "fox"),
    ("tree", "fox"),
    ("inspect", "fox"),
    ("inspect", "fox@20"),
    ("verify", "fox"),
    ("effect", "fox"),
    ("resume", "fox"),
    ("continue", "fox", "--lr", "1e-5"),
    ("reschedule", "fox", "--steps", "10"),
    ("extend", "fox", "--steps", "10", "--then", "hold"),
    ("fork", "fox"),
    ("delete", "fox", "--yes"),
    ("delete", "fox@20", "--yes"),
    ("pin", "fox@20"),
    ("tag", "fox", "good"),
    ("note", "fox", "words"),
    ("archive", "fox"),
    ("queue", "hold", "fox"),
    ("queue", "add", "fox"),
    ("compare", "fox@20", "owl@20"),
    ("diff", "fox", "demo"),
    ("launch", "demo", "--after", "fox"),
)


@pytest.fixture
def kohya(tmp_path: Path) -> Path:
    """Two runs of sd-scripts, one with a state and a LoRA file."""
    folder = tmp_path / "kohya"
    (folder / "output").mkdir(parents=True)
    owl = Training(folder / "logs", "owl20240611103000").train(30, loss=0.5).end()
    aged(owl, 3 * 86_400)
    Training(folder / "logs", "fox20240612103000").train(40).end()
    made_lora(folder / "output/fox.safetensors", ss_training_started_at="")
    made_state(folder / "output/fox-state")
    return folder


@pytest.fixture
def command(tmp_path: Path, kohya: Path) -> CommandLine:
    """On a workspace that shows them."""
    command = CommandLine(empty_workspace(tmp_path / "ws").path)
    added = command("folders", "add", str(kohya))
    assert (added.code, added.out) == (0, "")
    assert "kohya is shown from now on: 2 runs, 1 state, 1 LoRA file." in added.err
    return command


def test_the_old_name_is_the_same_command(command: CommandLine, kohya: Path) -> None:
    assert command("states", "list").out == command("folders").out
    assert "shown already" in command("states", "add", str(kohya)).err


def test_what_is_in_a_folder_is_listed(command: CommandLine, kohya: Path) -> None:
    listed = command("folders").out
    for text in (f"run {FOX}", "run owl-20240611-103000", "output/fox-state", "output/fox.safetensors"):
        assert text in listed
    (folder,) = command("folders", "--json").json
    assert folder["runs"] == [FOX, "owl-20240611-103000"]
    assert len(folder["entries"]) == 2
    assert "no longer shown" in command("folders", "remove", str(kohya)).err
    assert command("runs", "--json").json == []


def test_runs_lists_them_with_when_they_wrote(command: CommandLine) -> None:
    listed = command("runs").out
    assert "written just now" in listed and "written 3 d ago" in listed and "watched" in listed
    fox, owl = command("runs", "--json").json
    assert (fox["id"], fox["state"], fox["alive"], fox["step"]) == (FOX, "watched", False, 40)
    assert [Path(path).name for path in fox["watched"]["saved"]].count("fox-state") == 1
    assert owl["watched"]["saved"] == []
    assert [run["id"] for run in command("runs", "state:watched", "--without", "owl", "--json").json] == [FOX]
    assert [run["id"] for run in command("runs", "folder:owl2024", "--json").json] == [owl["id"]]


def test_they_are_compared_by_their_curves(command: CommandLine) -> None:
    compared = command("compare", "fox", "owl")
    assert compared.code == 0
    assert "0.5100" in compared.out
    assert f"{FOX} is another trainer's: it has no profile" in compared.err
    runs = command("compare", "fox", "owl", "--json").json["runs"]
    assert [(run["run"], run["step"]) for run in runs] == [(FOX, 40), ("owl-20240611-103000", 30)]


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_what_only_our_runs_can_do_is_refused_and_says_what_to_do(
    command: CommandLine, kohya: Path, words: tuple[str, ...]
) -> None:
    before = contents(kohya)
    refused = command(*words)
    assert refused.code == 2, refused
    assert f"{FOX}: {ONLY_WATCHED}" in refused.err
    assert "sdxl-tui continue " in refused.err and "fox-state" in refused.err
    assert refused.out == "" and "Traceback" not in refused.err
    assert contents(kohya) == before


def test_a_folder_that_is_gone_is_said_to_be(command: CommandLine, kohya: Path) -> None:
    kohya.rename(kohya.with_name("unmounted"))
    said = command("runs", "--json")
    assert (said.code, said.json) == (0, [])
    assert f"{kohya}: cannot be listed: No such file or directory" in said.err
    assert "cannot be listed" in command("folders").out


def test_a_list_that_cannot_be_read_hides_nothing_in_silence(command: CommandLine) -> None:
    (command.workspace / "state-folders.json").write_text("{")
    said = command("runs")
    assert said.code == 0 and "is not a list of folders" in said.err and "sdxl-tui folders add DIR" in said.err


@pytest.fixture
def ours(command: CommandLine, kohya: Path) -> RunDirectory:
    """A run of ours whose id begins with the whole id of a watched one, with the folder of a checkpoint."""
    run = RunDirectory(command.workspace / "runs/fox-20261129-100000")
    run.checkpoint(20).mkdir(parents=True)
    write_json_atomically(run.record, RunRecord(run.id, "fox", time.time(), None, "0.1.0", None).to_json())
    Training(kohya / "logs", "fox", tracker="lora_train").train(3).end()
    return run


@pytest.mark.parametrize(
    "words",
    [
        ("note", "fox", "words"),
        ("archive", "fox"),
        ("tag", "fox", "good"),
        ("stop", "fox"),
        ("start", "fox"),
        ("queue", "add", "fox"),
        ("delete", "fox@20", "--yes"),
        ("delete", "fox", "--yes"),
        ("inspect", "fox@20"),
        ("inspect", "fox/step-00000020"),
        ("pin", "fox@20"),
        ("resume", "fox"),
        ("continue", "fox@20", "--lr", "1e-5"),
        ("fork", "fox@20"),
        ("diff", "fox", "demo"),
    ],
    ids=" ".join,
)
def test_the_whole_id_of_a_watched_run_is_no_beginning_of_ours(
    command: CommandLine, ours: RunDirectory, words: tuple[str, ...]
) -> None:
    before = contents(ours.path)
    refused = command(*words)
    assert refused.code == 2 and f"fox: {ONLY_WATCHED}" in refused.err, refused
    assert contents(ours.path) == before


def test_ours_is_meant_by_its_id_and_by_a_longer_beginning(command: CommandLine, ours: RunDirectory) -> None:
    for name in (ours.id, "fox-2026"):
        assert command("note", name, name).code == 0
        assert read_labels(ours).note == name
        assert ours.id in command("inspect", f"{name}@20").err
    assert "is another trainer's" in command("compare", "fox", "fox-2026").err
    compared = command("compare", "fox", ours.id, "--json").json["runs"]
    assert [run["run"] for run in compared] == ["fox", ours.id]


@pytest.mark.parametrize("text", ["{", '{"format": 99, "folders": []}'])
def test_a_list_that_cannot_be_read_is_in_the_way_of_no_run_of_ours(
    command: CommandLine, ours: RunDirectory, text: str
) -> None:
    (command.workspace / "state-folders.json").write_text(text)
    said = command("runs", "--json")
    assert (said.code, [run["id"] for run in said.json]) == (0, [ours.id])
    assert "state-folders.json" in said.err
    assert command("note", "fox", "words").code == 0
    assert "there is no run 'owl'" in command("note", "owl", "words").err
