"""Tags, notes and putting away: written whole or not at all, by several at once, and never into run.json."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from sdxl_tui.cli import main
from sdxl_tui.fleet.labels import Labels, archive, change_tags, parse_tags, read_labels, set_labels
from sdxl_tui.fleet.run_filter import found_runs
from sdxl_tui.fleet.runs import list_runs
from tests.sdxl_tui.app.run_field import RunField, open_workspace


@pytest.fixture
def field(tmp_path: Path) -> RunField:
    return open_workspace(tmp_path / "ws")


def test_labels_are_kept_beside_the_record_and_seen_in_the_list(field: RunField) -> None:
    run = field.run("fox")
    record = run.record.read_bytes()
    before = list_runs(field.workspace)
    set_labels(run, tags=["#good", "v2"], note=" hands are right ")
    archive(run)
    assert read_labels(run) == Labels(("good", "v2"), "hands are right", True)
    assert run.record.read_bytes() == record
    (seen,) = list_runs(field.workspace, before)
    assert seen.labels.tags_text == "#good #v2", "an ended run that was looked at before is looked at again"


def test_tags_are_added_and_taken_away_whatever_their_case(field: RunField) -> None:
    run = field.run("fox")
    change_tags(run, add=["Good", "v2", "good"])
    assert read_labels(run).tags == ("Good", "v2")
    assert change_tags(run, add=["new"], remove=["GOOD"]).tags == ("v2", "new")
    with pytest.raises(RunError, match="does not have the tag 'gone'"):
        change_tags(run, add=["more"], remove=["gone"])
    assert read_labels(run).tags == ("v2", "new")


@pytest.mark.parametrize("tag", ["", "#", "two words", "a/b", "x" * 33, "a\x1b[31m", "-x"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(RunError, match="is not a tag"):
        parse_tags([tag])


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 2}', '{"format": 1, "tags": "x"}', '{"format": 1, "note": 3}']
)
def test_a_damaged_file_says_nothing_and_is_not_overwritten(field: RunField, content: str) -> None:
    run = field.run("fox")
    run.labels.write_text(content)
    assert read_labels(run) == Labels()
    with pytest.raises(RunError, match="labels cannot be read"):
        set_labels(run, note="x")
    assert run.labels.read_text() == content


def test_text_from_a_file_is_cleaned(field: RunField) -> None:
    run = field.run("fox")
    stored = {"format": 1, "tags": ["ok", "\x1b]52;c;x\x07"], "note": "a\x1b]0;b\x07c\nd"}
    run.labels.write_text(json.dumps(stored))
    labels = read_labels(run)
    assert labels.tags == ("ok",) and labels.note.isprintable()


def test_eight_who_tag_at_once_lose_nothing(field: RunField) -> None:
    run = field.run("fox")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: change_tags(RunDirectory(run.path), add=[f"t{at}"]), range(16)))
    assert set(read_labels(run).tags) == {f"t{at}" for at in range(16)}


def test_whoever_is_killed_while_writing_leaves_the_old_or_the_new(field: RunField) -> None:
    run = field.run("fox")
    program = (
        "import sys; from pathlib import Path; from engine.run.layout import RunDirectory\n"
        "from sdxl_tui.fleet.labels import set_labels\n"
        "run, at = RunDirectory(Path(sys.argv[1])), 0\n"
        "print('ready', flush=True)\n"
        "while True: at += 1; set_labels(run, tags=[f'a{at}', f'b{at}'], note='n' * 1000)\n"
    )
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", program, str(run.path)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        if run.labels.exists():
            labels = read_labels(run)
            assert [tag[1:] for tag in labels.tags] == [labels.tags[0][1:]] * 2 and len(labels.note) == 1000


def test_words_find_runs_by_every_field(field: RunField) -> None:
    fox = field.run("fox", device="cuda:0")
    cat = field.run("cat", state="failed", exit_code=1, device="cpu", step=9)
    set_labels(fox, tags=["Good", "v2"], note="hands are right")
    runs = list_runs(field.workspace)

    def found(*words: str) -> set[str]:
        return {run.name for run in found_runs(runs, words)}

    assert found() == {"fox", "cat"}
    assert found("#good") == found("tag:v2") == found("HANDS") == found("note:right", "fox") == {"fox"}
    assert (
        found("failed") == found("state:failed") == found("-#good") == found("-fox") == found("device:cpu") == {"cat"}
    )
    assert found("profile:cat") == {"cat"}
    assert found("#goo", "failed") == found("name:hands") == found("#bad") == set()
    archive(cat)
    runs = list_runs(field.workspace)
    assert found() == {"fox"} and found("archived") == {"cat"} and found("-archived") == {"fox"}
    assert {run.name for run in found_runs(runs, [], with_archived=True)} == {"fox", "cat"}


def test_a_run_that_trains_is_shown_even_if_it_was_put_away(field: RunField) -> None:
    run = field.run("fox", state="training", step=3)
    archive(run)
    assert len(found_runs(list_runs(field.workspace), [])) == 1
    field.close()


@given(words=st.lists(st.text(max_size=8)))
def test_any_words_are_understood(words: list[str]) -> None:
    assert found_runs([], words) == []


def test_the_commands(field: RunField, capsys: pytest.CaptureFixture[str]) -> None:
    fox, cat = field.run("fox"), field.run("cat")

    def command(*words: str) -> tuple[int, str, str]:
        code = main(["--workspace", str(field.workspace.path), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    assert command("tag", "fox", "good", "v2") == (0, "", f"{fox.id}: #good #v2\n")
    assert command("tag", "fox") == (0, "good\nv2\n", "")
    assert command("note", "fox", "hands are right")[0] == 0
    assert command("note", "fox") == (0, "hands are right\n", "")
    code, listed, _ = command("runs", "--tag", "good")
    assert code == 0 and "fox" in listed and "cat" not in listed and "#good #v2  hands are right" in listed
    assert command("archive", "fox", "cat")[0] == 0
    assert "--archived" in command("runs")[2]
    assert fox.id in command("runs", "--archived")[1]
    assert command("archive", "cat", "--undo")[0] == 0
    assert cat.id in command("runs")[1]
    assert command("tag", "fox", "no tag")[0] == 2
    assert command("archive", "fox", "fox")[0] == 2
